//! The names that targets are made of: namespaces, entities, collections, tags, dependencies, and keys.
//!
//! A name is UTF-8 without control characters, not empty, and no longer than its limit; once made it stays so, and
//! a clone shares its bytes. A [`Key`] is any bytes, also none. Names say nothing about what exists: a namespace
//! needs not be declared anywhere.

mod error;
mod key;

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use error::TargetError;
pub use key::{Key, ToKey, UuidKey};

use crate::limits::{
    COLLECTION_BYTES_MAX, DEPENDENCY_BYTES_MAX, ENTITY_BYTES_MAX, LISTS_SUFFIX, NAMESPACE_BYTES_MAX,
    TAG_BYTES_MAX,
};

/// What is taken where a name of type `N` is asked for: the name itself, which costs no copy, or text, which is
/// checked.
pub trait IntoName<N> {
    /// The name.
    ///
    /// # Errors
    /// [`TargetError`] if the text is no name.
    fn into_name(self) -> Result<N, TargetError>;
}

/// What every name keeps to; `part` is what it is called in errors.
pub(crate) fn check(part: &'static str, name: &str, bytes_max: usize) -> Result<(), TargetError> {
    if name.is_empty() {
        return Err(TargetError::Empty { part });
    }
    if name.len() > bytes_max {
        return Err(TargetError::TooLong {
            part,
            bytes: name.len(),
            max: bytes_max,
        });
    }
    if name.chars().any(char::is_control) {
        return Err(TargetError::Control { part });
    }
    Ok(())
}

macro_rules! name {
    ($(#[$doc:meta])* $Name:ident, $part:literal, $bytes_max:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $Name(Arc<str>);

        impl $Name {
            /// The name, checked. O(bytes).
            ///
            /// # Errors
            /// [`TargetError::Empty`], [`TargetError::TooLong`] or [`TargetError::Control`], with the name of the
            /// part that is at fault.
            pub fn new(name: impl AsRef<str>) -> Result<Self, TargetError> {
                let name = name.as_ref();
                let bytes_max: fn(&str) -> usize = $bytes_max;
                check($part, name, bytes_max(name))?;
                Ok(Self(Arc::from(name)))
            }

            /// The name as text.
            #[inline]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The name's bytes.
            #[inline]
            pub fn as_bytes(&self) -> &[u8] {
                self.0.as_bytes()
            }
        }

        impl fmt::Display for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $Name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $Name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $Name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $Name {
            type Err = TargetError;

            fn from_str(name: &str) -> Result<Self, TargetError> {
                Self::new(name)
            }
        }

        impl IntoName<$Name> for $Name {
            fn into_name(self) -> Result<$Name, TargetError> {
                Ok(self)
            }
        }

        impl IntoName<$Name> for &$Name {
            fn into_name(self) -> Result<$Name, TargetError> {
                Ok(self.clone())
            }
        }

        impl IntoName<$Name> for &str {
            fn into_name(self) -> Result<$Name, TargetError> {
                $Name::new(self)
            }
        }

        impl IntoName<$Name> for &String {
            fn into_name(self) -> Result<$Name, TargetError> {
                $Name::new(self)
            }
        }

        impl IntoName<$Name> for String {
            fn into_name(self) -> Result<$Name, TargetError> {
                $Name::new(self)
            }
        }
    };
}

name!(
    /// The space that keys, tags and dependencies live in. Entities and collections belong to no namespace.
    ///
    /// At most 255 bytes. Default: `default`.
    Namespace,
    "namespace",
    |_| NAMESPACE_BYTES_MAX
);

name!(
    /// The durable word for a type of entity, such as `user`. At most 255 bytes.
    EntityName,
    "entity",
    |_| ENTITY_BYTES_MAX
);

name!(
    /// A collection: all entities of that name, or, with the suffix `.lists`, the lists over them.
    ///
    /// At most 255 bytes, a suffix `.lists` not counted.
    CollectionName,
    "collection",
    |name| {
        let suffix = if name.ends_with(LISTS_SUFFIX) { LISTS_SUFFIX.len() } else { 0 };
        COLLECTION_BYTES_MAX + suffix
    }
);

name!(
    /// A tag that many cached things may carry. At most 512 bytes.
    Tag,
    "tag",
    |_| TAG_BYTES_MAX
);

name!(
    /// The name of a dependency: something outside that cached things are made from. At most 512 bytes.
    DependencyName,
    "dependency",
    |_| DEPENDENCY_BYTES_MAX
);

impl Namespace {
    /// The namespace if none is given.
    pub const DEFAULT: &'static str = "default";
}

impl Default for Namespace {
    fn default() -> Self {
        Self(Arc::from(Self::DEFAULT))
    }
}

impl EntityName {
    /// The collection of all entities of this name. Shares the bytes.
    #[must_use]
    pub fn collection(&self) -> CollectionName {
        CollectionName(Arc::clone(&self.0))
    }
}

impl CollectionName {
    /// The collection of the lists over this one: the name with `.lists` after it.
    ///
    /// Lists that change with any row, while the rows stay, depend on it. Writers and readers get the same name for
    /// the same collection. A name for which there is no room, which is only one that is longer than 255 bytes
    /// because it ends in `.lists` already, is its own.
    #[must_use]
    pub fn lists(&self) -> CollectionName {
        if self.0.len() > COLLECTION_BYTES_MAX {
            return self.clone();
        }
        CollectionName(Arc::from([self.as_str(), LISTS_SUFFIX].concat()))
    }
}
