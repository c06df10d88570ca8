//! [`TagSet`]: the tags of one entity, as [`Entity::tags`](crate::Entity::tags) tells them.
//!
//! A set holds at most [`TAGS_MAX`] tags, each once. It never drops a tag in silence: a tag that it cannot take is
//! remembered as a refusal, and whoever would store the entity sees it in [`TagSet::into_targets`]. A value whose tags
//! are not all known could not be invalidated by them.

use std::slice;

use larder_core::{IntoName, Namespace, Tag, Target, TargetError, ToKey};
use thiserror::Error;

use crate::EntityId;

/// Most tags of one entity.
pub const TAGS_MAX: usize = 64;

/// The tags of one entity, each once, in the order in which they came.
///
/// A tag is in the namespace `default` unless it is given with another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSet {
    /// None until there is a tag or a refusal: most entities have no tags, and are asked for them at each store.
    told: Option<Box<Told>>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Told {
    tags: Vec<Tag>,
    /// Those that are not in the namespace `default`.
    elsewhere: Vec<(Namespace, Tag)>,
    refused: Option<TagsError>,
}

/// A tag that a [`TagSet`] could not take.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TagsError {
    /// The entity has more tags than are allowed.
    #[error("an entity has at most {max} tags")]
    TooMany {
        /// How many are allowed: [`TAGS_MAX`].
        max: usize,
    },
    /// A text or value is no tag.
    #[error("a tag is refused")]
    Tag(#[from] TargetError),
}

impl TagSet {
    /// A set without tags. Allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { told: None }
    }

    /// Adds a tag: a [`Tag`], or text, which is checked. One that is there already changes nothing.
    ///
    /// What cannot be taken, because the text is no tag or the set is full, is told by [`Self::into_targets`]. O(tags).
    pub fn insert(&mut self, tag: impl IntoName<Tag>) {
        let added = tag
            .into_name()
            .map_err(TagsError::from)
            .and_then(|tag| self.add(tag));
        self.remember(added);
    }

    /// Adds a tag of another namespace than `default`. Refusals as for [`Self::insert`]. O(tags).
    pub fn insert_in(&mut self, namespace: impl IntoName<Namespace>, tag: impl IntoName<Tag>) {
        let names = namespace
            .into_name()
            .and_then(|namespace| Ok((namespace, tag.into_name()?)));
        let added = names
            .map_err(TagsError::from)
            .and_then(|(namespace, tag)| self.add_in(namespace, tag));
        self.remember(added);
    }

    /// Adds the tag that is made of `label`, a colon, and the value as ids are rendered: `team:7`. `None` adds none.
    ///
    /// Triggers in a database write the same tag for the same value. Refusals as for [`Self::insert`].
    pub fn insert_value<V: TagValue + ?Sized>(&mut self, label: &str, value: &V) {
        let Some(value) = value.tag_value() else { return };
        let mut bytes = Vec::with_capacity(label.len() + 24);
        bytes.extend_from_slice(label.as_bytes());
        bytes.push(b':');
        value.append_to(&mut bytes);
        match String::from_utf8(bytes) {
            Ok(text) => self.insert(text),
            Err(_) => self.remember(Err(TargetError::NotUtf8 { part: "tag" }.into())),
        }
    }

    /// Whether a tag of the namespace `default` is in the set. O(tags).
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.iter().any(|own| own.as_str() == tag)
    }

    /// The tags of the namespace `default`, in the order in which they came.
    pub fn iter(&self) -> slice::Iter<'_, Tag> {
        self.told.as_ref().map_or(&[][..], |told| &told.tags).iter()
    }

    /// The tags of other namespaces, in the order in which they came.
    pub fn iter_elsewhere(&self) -> slice::Iter<'_, (Namespace, Tag)> {
        self.told.as_ref().map_or(&[][..], |told| &told.elsewhere).iter()
    }

    /// How many tags there are in all namespaces; at most [`TAGS_MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.told
            .as_ref()
            .map_or(0, |told| told.tags.len() + told.elsewhere.len())
    }

    /// Whether there is no tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The first tag that could not be taken.
    pub(crate) fn refusal(&self) -> Option<&TagsError> {
        self.told.as_ref()?.refused.as_ref()
    }

    /// All tags as what can be invalidated: those of the namespace `default` first.
    ///
    /// # Errors
    /// [`TagsError`], the first one, if some tag could not be taken.
    pub fn into_targets(self) -> Result<Vec<Target>, TagsError> {
        let Some(told) = self.told else {
            return Ok(Vec::new());
        };
        if let Some(refused) = told.refused {
            return Err(refused);
        }
        let default = Namespace::default();
        let here = told.tags.into_iter().map(|tag| Target::Tag {
            namespace: default.clone(),
            tag,
        });
        let elsewhere = told.elsewhere.into_iter();
        let elsewhere = elsewhere.map(|(namespace, tag)| Target::Tag { namespace, tag });
        Ok(here.chain(elsewhere).collect())
    }

    fn add(&mut self, tag: Tag) -> Result<(), TagsError> {
        if self.contains(tag.as_str()) {
            return Ok(());
        }
        self.check_room()?;
        self.told().tags.push(tag);
        Ok(())
    }

    fn add_in(&mut self, namespace: Namespace, tag: Tag) -> Result<(), TagsError> {
        if namespace.as_str() == Namespace::DEFAULT {
            return self.add(tag);
        }
        let named = (namespace, tag);
        if !self.iter_elsewhere().any(|own| *own == named) {
            self.check_room()?;
            self.told().elsewhere.push(named);
        }
        Ok(())
    }

    fn told(&mut self) -> &mut Told {
        self.told.get_or_insert_default()
    }

    fn check_room(&self) -> Result<(), TagsError> {
        if self.len() >= TAGS_MAX {
            return Err(TagsError::TooMany { max: TAGS_MAX });
        }
        Ok(())
    }

    fn remember(&mut self, added: Result<(), TagsError>) {
        if let Err(refused) = added {
            self.told().refused.get_or_insert(refused);
        }
    }
}

impl<'a> IntoIterator for &'a TagSet {
    type Item = &'a Tag;
    type IntoIter = slice::Iter<'a, Tag>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What can be the value of a tag: every id, and an option of one.
///
/// A type of one's own, an enum of states for instance, implements it by naming a value that core renders.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the value of a tag",
    label = "no value of a tag",
    note = "ids and options of ids can; for a type of your own derive `EntityId` or implement `TagValue`"
)]
pub trait TagValue {
    /// What stands for the value.
    type Value: ToKey + ?Sized;

    /// The value, or none if there is no such tag.
    fn tag_value(&self) -> Option<&Self::Value>;
}

impl<T: EntityId> TagValue for T {
    type Value = Self;

    fn tag_value(&self) -> Option<&Self> {
        Some(self)
    }
}

impl<T: EntityId> TagValue for Option<T> {
    type Value = T;

    fn tag_value(&self) -> Option<&T> {
        self.as_ref()
    }
}
