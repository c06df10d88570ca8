//! [`Origin`]: how a value came into a pool.

/// How a value came into a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A caller stored it.
    Inserted,
    /// A loader brought it.
    Loaded,
}
