//! Positions, and what they mean something within: sources and epochs.
//!
//! A position names one commit within one source and one epoch of it; it comes from the database, never from the
//! application. Positions of two epochs are never compared, which is why only what carries source and epoch
//! ([`Cursor`](crate::Cursor), [`AsOf`](crate::AsOf), [`Token`](crate::Token)) answers questions about order across
//! them. Sources and epochs have no order at all.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// One commit within a source and an epoch. The text form is decimal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position(u64);

impl Position {
    /// The position before all others.
    pub const ZERO: Self = Self(0);
    /// The greatest number. No commit has it: what lies below an end never reaches it.
    pub const MAX: Self = Self(u64::MAX);

    /// The position with this number.
    #[inline]
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// The position's number.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The position after this one; after [`Self::MAX`], itself.
    #[inline]
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// One incarnation of a log. The text form is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

/// One source of invalidations: one database, event log or memory store. The text form is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SourceId(u64);

/// The text is not one that this type prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum PositionError {
    /// Not a decimal number below 2^64 without sign and leading zeros.
    #[error("a position is a decimal number below 2^64, without sign or leading zeros")]
    Position,
    /// Not 16 lower-case hexadecimal digits.
    #[error("an epoch is 16 lower-case hexadecimal digits")]
    Epoch,
    /// Not 16 lower-case hexadecimal digits.
    #[error("a source id is 16 lower-case hexadecimal digits")]
    SourceId,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
        if !plain {
            return Err(PositionError::Position);
        }
        text.parse().map(Self).map_err(|_| PositionError::Position)
    }
}

macro_rules! id {
    ($Id:ident) => {
        impl $Id {
            /// The id with this number.
            #[inline]
            #[must_use]
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The id's number. It has no order.
            #[inline]
            #[must_use]
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $Id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:016x}", self.0)
            }
        }

        impl FromStr for $Id {
            type Err = PositionError;

            fn from_str(text: &str) -> Result<Self, PositionError> {
                let digits = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
                if text.len() != 16 || !digits {
                    return Err(PositionError::$Id);
                }
                u64::from_str_radix(text, 16).map(Self).map_err(|_| PositionError::$Id)
            }
        }
    };
}

id!(Epoch);
id!(SourceId);
