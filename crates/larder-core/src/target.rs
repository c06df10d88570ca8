//! Targets: everything that an invalidation can name, their hashes and their parents.
//!
//! A target never carries a value. Its hash is stable for good, over parts that are each preceded by their length,
//! so that neither delimiters nor spaces nor empty parts make two targets meet. Two targets that share a hash by
//! chance are invalidated together, which is wider and never wrong. Whether something depends on a target is not
//! known here.

mod hash;
#[cfg(test)]
mod tests;
mod text;

use crate::name::{
    CollectionName, DependencyName, EntityName, IntoName, Key, Namespace, Tag, TargetError, ToKey,
};
use hash::{Head, hash_parts};
pub use hash::{Lineage, TargetHash};
pub(crate) use text::write_escaped;

/// What an invalidation names, and what a cached thing depends on.
///
/// Entities and collections belong to the node; keys, tags and dependencies to one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Target {
    /// One blob.
    Key {
        /// Where the key lives.
        namespace: Namespace,
        /// The key.
        key: Key,
    },
    /// Everything in a namespace that carries a tag.
    Tag {
        /// Where the tag lives.
        namespace: Namespace,
        /// The tag.
        tag: Tag,
    },
    /// Everything in a namespace that was made from something outside.
    Dependency {
        /// Where the dependency lives.
        namespace: Namespace,
        /// Its name.
        name: DependencyName,
    },
    /// One entity, in every pool, blob and query that depends on it.
    Entity {
        /// The type of the entity.
        entity: EntityName,
        /// Its id, rendered by [`ToKey`].
        id: Key,
    },
    /// Every entity of a type, or the lists over them.
    Collection {
        /// The collection.
        name: CollectionName,
    },
    /// Everything in a namespace.
    Namespace {
        /// The namespace.
        namespace: Namespace,
    },
    /// Everything on the node.
    Everything,
    /// A target that one part keeps to itself. It is never recorded and has no text that could be read back.
    Private {
        /// Which part's, and which kind of it.
        code: PrivateCode,
        /// Where it lives.
        namespace: Namespace,
        /// Its name, of any bytes.
        name: Key,
    },
}

/// The storage code of a private target: 128 to 255.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PrivateCode(u8);

impl PrivateCode {
    /// The least code.
    pub const MIN: u8 = 128;

    /// The code `code`.
    ///
    /// # Errors
    /// [`TargetError::PrivateCode`] below 128.
    pub const fn new(code: u8) -> Result<Self, TargetError> {
        if code < Self::MIN {
            return Err(TargetError::PrivateCode { code });
        }
        Ok(Self(code))
    }

    /// The code as a number.
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Target {
    /// The target of one key in a namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault; so for all constructors below.
    pub fn key(namespace: impl IntoName<Namespace>, key: impl ToKey) -> Result<Self, TargetError> {
        Ok(Self::Key {
            namespace: namespace.into_name()?,
            key: key.to_key()?,
        })
    }

    /// The target of a tag in a namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn tag(namespace: impl IntoName<Namespace>, tag: impl IntoName<Tag>) -> Result<Self, TargetError> {
        Ok(Self::Tag {
            namespace: namespace.into_name()?,
            tag: tag.into_name()?,
        })
    }

    /// The target of a dependency in a namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn dependency(
        namespace: impl IntoName<Namespace>,
        name: impl IntoName<DependencyName>,
    ) -> Result<Self, TargetError> {
        Ok(Self::Dependency {
            namespace: namespace.into_name()?,
            name: name.into_name()?,
        })
    }

    /// The target of one entity.
    ///
    /// ```
    /// # use larder_core::Target;
    /// assert_eq!(Target::entity("user", 42)?.to_string(), "entity:user/42");
    /// # Ok::<_, larder_core::TargetError>(())
    /// ```
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn entity(entity: impl IntoName<EntityName>, id: impl ToKey) -> Result<Self, TargetError> {
        let entity = entity.into_name()?;
        let id = id.to_key().map_err(|error| error.of("id"))?;
        Ok(Self::Entity { entity, id })
    }

    /// The target of a collection.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn collection(name: impl IntoName<CollectionName>) -> Result<Self, TargetError> {
        Ok(Self::Collection {
            name: name.into_name()?,
        })
    }

    /// The target of a whole namespace.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn namespace(namespace: impl IntoName<Namespace>) -> Result<Self, TargetError> {
        Ok(Self::Namespace {
            namespace: namespace.into_name()?,
        })
    }

    /// A part's private target.
    ///
    /// # Errors
    /// [`TargetError`], with the name of the part at fault.
    pub fn private(
        code: PrivateCode,
        namespace: impl IntoName<Namespace>,
        name: impl ToKey,
    ) -> Result<Self, TargetError> {
        Ok(Self::Private {
            code,
            namespace: namespace.into_name()?,
            name: name.to_key()?,
        })
    }

    /// The kind's stable word.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Key { .. } => "key",
            Self::Tag { .. } => "tag",
            Self::Dependency { .. } => "dependency",
            Self::Entity { .. } => "entity",
            Self::Collection { .. } => "collection",
            Self::Namespace { .. } => "namespace",
            Self::Everything => "everything",
            Self::Private { .. } => "private",
        }
    }

    /// The code that stands for the kind where targets are stored. Fixed for good; zero is no kind.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Key { .. } => 1,
            Self::Tag { .. } => 2,
            Self::Dependency { .. } => 3,
            Self::Entity { .. } => 4,
            Self::Collection { .. } => 5,
            Self::Namespace { .. } => 6,
            Self::Everything => 7,
            Self::Private { code, .. } => code.get(),
        }
    }

    /// The last part: the key, tag, id, or name. `None` for everything.
    #[must_use]
    pub fn name(&self) -> Option<&[u8]> {
        match self {
            Self::Key { key, .. } => Some(key.as_bytes()),
            Self::Tag { tag, .. } => Some(tag.as_bytes()),
            Self::Dependency { name, .. } => Some(name.as_bytes()),
            Self::Entity { id, .. } => Some(id.as_bytes()),
            Self::Collection { name } => Some(name.as_bytes()),
            Self::Namespace { namespace } => Some(namespace.as_bytes()),
            Self::Everything => None,
            Self::Private { name, .. } => Some(name.as_bytes()),
        }
    }

    /// Whether this is a part's private target, which is never recorded.
    #[must_use]
    pub const fn is_private(&self) -> bool {
        matches!(self, Self::Private { .. })
    }

    /// The 128-bit hash, stable for good. O(bytes), without allocation.
    #[must_use]
    pub fn hash(&self) -> TargetHash {
        match self {
            Self::Key { namespace, key } => hash_parts(Head::KEY, [namespace.as_bytes(), key.as_bytes()]),
            Self::Tag { namespace, tag } => hash_parts(Head::TAG, [namespace.as_bytes(), tag.as_bytes()]),
            Self::Dependency { namespace, name } => {
                hash_parts(Head::DEPENDENCY, [namespace.as_bytes(), name.as_bytes()])
            }
            Self::Entity { entity, id } => hash_parts(Head::ENTITY, [entity.as_bytes(), id.as_bytes()]),
            Self::Collection { name } => hash_parts(Head::COLLECTION, [name.as_bytes()]),
            Self::Namespace { namespace } => hash_parts(Head::NAMESPACE, [namespace.as_bytes()]),
            Self::Everything => TargetHash::EVERYTHING,
            Self::Private {
                code,
                namespace,
                name,
            } => hash_parts(
                Head::PRIVATE,
                [&[code.get()], namespace.as_bytes(), name.as_bytes()],
            ),
        }
    }

    /// The target whose invalidation ends what depends on this one. `None` for everything.
    #[must_use]
    pub fn parent(&self) -> Option<Target> {
        match self {
            Self::Key { namespace, .. }
            | Self::Tag { namespace, .. }
            | Self::Dependency { namespace, .. }
            | Self::Private { namespace, .. } => Some(Self::Namespace {
                namespace: namespace.clone(),
            }),
            Self::Entity { entity, .. } => Some(Self::Collection {
                name: entity.collection(),
            }),
            Self::Collection { .. } | Self::Namespace { .. } => Some(Self::Everything),
            Self::Everything => None,
        }
    }

    /// The hashes of this target, of its parent, and so on, the last being everything's. Without allocation.
    #[must_use]
    pub fn lineage(&self) -> Lineage {
        let own = self.hash();
        match self {
            Self::Key { namespace, .. }
            | Self::Tag { namespace, .. }
            | Self::Dependency { namespace, .. }
            | Self::Private { namespace, .. } => {
                Lineage::under(hash_parts(Head::NAMESPACE, [namespace.as_bytes()]), own)
            }
            Self::Entity { entity, .. } => {
                Lineage::under(hash_parts(Head::COLLECTION, [entity.as_bytes()]), own)
            }
            Self::Collection { .. } | Self::Namespace { .. } => Lineage::under_everything(own),
            Self::Everything => Lineage::EVERYTHING,
        }
    }
}
