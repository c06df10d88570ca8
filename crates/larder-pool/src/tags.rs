//! [`TagSet`]: the tags of one entity, as [`Entity::tags`](crate::Entity::tags) tells them.
//!
//! A set holds at most [`TAGS_MAX`] tags, each once. It never drops a tag in silence: a tag that it cannot take is
//! remembered as a refusal, and whoever would store the entity sees it in [`TagSet::into_tags`]. A value whose tags
//! are not all known could not be invalidated by them.

use std::slice;

use larder_core::{IntoName, Tag, TargetError, ToKey};
use thiserror::Error;

use crate::EntityId;

/// Most tags of one entity.
pub const TAGS_MAX: usize = 64;

/// The tags of one entity, each once, in the order in which they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagSet {
    tags: Vec<Tag>,
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
        Self {
            tags: Vec::new(),
            refused: None,
        }
    }

    /// Adds a tag: a [`Tag`], or text, which is checked. One that is there already changes nothing.
    ///
    /// What cannot be taken, because the text is no tag or the set is full, is told by [`Self::into_tags`]. O(tags).
    pub fn insert(&mut self, tag: impl IntoName<Tag>) {
        let added = tag
            .into_name()
            .map_err(TagsError::from)
            .and_then(|tag| self.add(tag));
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

    /// Whether a tag is in the set. O(tags).
    #[must_use]
    pub fn contains(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| own.as_str() == tag)
    }

    /// The tags, in the order in which they came.
    pub fn iter(&self) -> slice::Iter<'_, Tag> {
        self.tags.iter()
    }

    /// How many tags there are; at most [`TAGS_MAX`].
    #[must_use]
    pub fn len(&self) -> usize {
        self.tags.len()
    }

    /// Whether there is no tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// All tags.
    ///
    /// # Errors
    /// [`TagsError`], the first one, if some tag could not be taken.
    pub fn into_tags(self) -> Result<Vec<Tag>, TagsError> {
        match self.refused {
            None => Ok(self.tags),
            Some(refused) => Err(refused),
        }
    }

    fn add(&mut self, tag: Tag) -> Result<(), TagsError> {
        if self.contains(tag.as_str()) {
            return Ok(());
        }
        if self.tags.len() >= TAGS_MAX {
            return Err(TagsError::TooMany { max: TAGS_MAX });
        }
        self.tags.push(tag);
        Ok(())
    }

    fn remember(&mut self, added: Result<(), TagsError>) {
        if let Err(refused) = added {
            self.refused.get_or_insert(refused);
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
