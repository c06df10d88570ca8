//! Why a name, a key or a text is not a target.
//!
//! Every variant names the part at fault, so that a caller with five names knows which. It never carries the text
//! that was refused: it may be long, and it may be a secret.

use thiserror::Error;

/// A name, a key or the text of a target was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TargetError {
    /// A name has no characters.
    #[error("{part} is empty")]
    Empty {
        /// What was refused: `namespace`, `tag`, `entity`, …
        part: &'static str,
    },
    /// A name, key or id is longer than its limit.
    #[error("{part} has {bytes} bytes, at most {max} are allowed")]
    TooLong {
        /// What was refused.
        part: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The longest that is allowed, in bytes.
        max: usize,
    },
    /// A name has a control character.
    #[error("{part} has a control character")]
    Control {
        /// What was refused.
        part: &'static str,
    },
    /// A name in a text is not UTF-8 once its escapes are read.
    #[error("{part} is not UTF-8")]
    NotUtf8 {
        /// What was refused.
        part: &'static str,
    },
    /// The text begins with no kind that has a text form.
    #[error(
        "no kind of target: the text begins with none of key, blob, tag, dependency, entity, collection, namespace, everything"
    )]
    UnknownKind,
    /// The text has too few or too many parts for its kind.
    #[error("text of a {kind} must look like {form}")]
    Form {
        /// The kind's word.
        kind: &'static str,
        /// What a text of this kind looks like.
        form: &'static str,
    },
    /// A `%` is not followed by two hexadecimal digits, or a control character stands unescaped.
    #[error("{part} has a damaged escape")]
    Escape {
        /// What was refused.
        part: &'static str,
    },
    /// A part's private target was given where only those go that are recorded or written as text.
    #[error("a private target is neither recorded nor read from text")]
    Private,
    /// The code of a private target lies below 128.
    #[error("{code} is no code for a private target, allowed are 128 to 255")]
    PrivateCode {
        /// The code that was given.
        code: u8,
    },
}

impl TargetError {
    /// The same error, told of another part.
    pub(crate) fn of(self, part: &'static str) -> Self {
        match self {
            Self::Empty { .. } => Self::Empty { part },
            Self::TooLong { bytes, max, .. } => Self::TooLong { part, bytes, max },
            Self::Control { .. } => Self::Control { part },
            Self::NotUtf8 { .. } => Self::NotUtf8 { part },
            Self::Escape { .. } => Self::Escape { part },
            other => other,
        }
    }
}
