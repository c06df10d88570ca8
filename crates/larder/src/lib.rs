//! A coherent data layer: what you cache stays fresh, and can prove it.
//!
//! This crate is what a service depends on. It re-exports the parts by name, each behind a feature of its own.

#[cfg(feature = "pool")]
pub mod pool {
    //! Typed objects in memory, by id: the crate `larder-pool`. Feature `pool`, on by default.

    pub use larder_pool::{
        Entity, EntityId, Field, Fingerprint, IntoName, Key, MaybeSend, MaybeSync, Position, TAGS_MAX, Tag,
        TagSet, TagValue, TagsError, TargetError, ToKey, Watermark, Watermarked,
    };
}

/// The pages of the guide whose examples are tested with this crate.
#[cfg(all(doctest, feature = "pool"))]
mod guide {
    #[doc = include_str!("../../../docs/guide/entities.md")]
    struct Entities;
}
