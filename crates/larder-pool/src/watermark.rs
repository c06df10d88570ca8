//! [`Watermark`]: how far a row has come in its source, and the closed list of types that can say so.
//!
//! A watermark only grows in its source: a version, a time of the last change, a position. The list is closed because
//! the pool compares, keeps and prints watermarks, and sends them to sources as bounds: each type on it is ordered as
//! its source orders it. What is not ordered by time or number (`bool`, `char`, `()`, `Duration`) is not on it.

use std::fmt;
use std::time::SystemTime;

use larder_core::Position;

use crate::{Entity, MaybeSend, MaybeSync};

/// An entity that knows how new it is.
///
/// `#[entity(watermark)]` on a field implements it; by hand it may look at several.
pub trait Watermarked: Entity {
    /// What says how new.
    type Watermark: Watermark;

    /// How new this value is: never less than that of an older version of the same row.
    fn watermark(&self) -> Self::Watermark;
}

/// How far a row has come in its source.
///
/// Integers, `SystemTime`, [`Position`], and tuples of two to four of these, which are compared part by part. With the
/// feature `time`: its `Date`, `OffsetDateTime`, `PrimitiveDateTime`; with `chrono`: its `DateTime<Utc>`,
/// `DateTime<FixedOffset>`, `NaiveDate`, `NaiveDateTime`; with `jiff`: its `Timestamp`. The list is closed.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be a watermark",
    label = "no watermark",
    note = "watermarks are integers, `SystemTime`, `Position`, tuples of 2 to 4 of them, and by feature the dates and times of `time`, `chrono` and `jiff`"
)]
pub trait Watermark: Copy + Ord + fmt::Debug + MaybeSend + MaybeSync + sealed::Sealed + 'static {}

mod sealed {
    /// Keeps the list closed.
    pub trait Sealed {}
}

macro_rules! watermarks {
    ($($Type:ty)*) => {$(
        impl sealed::Sealed for $Type {}
        impl Watermark for $Type {}
    )*};
}

watermarks! {
    u8 u16 u32 u64 u128 usize
    i8 i16 i32 i64 i128 isize
    SystemTime
    Position
}

macro_rules! tuples {
    ($(($($Part:ident)*))*) => {$(
        impl<$($Part: Watermark),*> sealed::Sealed for ($($Part,)*) {}
        impl<$($Part: Watermark),*> Watermark for ($($Part,)*) {}
    )*};
}

tuples! { (A B) (A B C) (A B C D) }

#[cfg(feature = "time")]
watermarks! { time::Date time::OffsetDateTime time::PrimitiveDateTime }

#[cfg(feature = "chrono")]
watermarks! {
    chrono::DateTime<chrono::Utc> chrono::DateTime<chrono::FixedOffset>
    chrono::NaiveDate chrono::NaiveDateTime
}

#[cfg(feature = "jiff")]
watermarks! { jiff::Timestamp }
