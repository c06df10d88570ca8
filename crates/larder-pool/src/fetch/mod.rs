//! Loads: one flight for each id, whoever asks, and nothing stored that was overtaken on its way.
//!
//! What is always true:
//!
//! - A call looks into memory first; whoever wins the flight looks once more, then pins, then calls the loader.
//! - A value that was loaded is stored in one commit, and only if nothing it depends on was invalidated since the pin was
//!   taken, nothing wrote its id, and no live entry is there but the one it set out to renew. Otherwise it goes to those
//!   who waited, and nowhere else.
//! - A load knows the pool weakly: it keeps nothing alive. It is driven by whoever waits for it.
//!
//! Files: `options`, `error` and `fetched` are what callers say and get; `flight` is what a load carries, `begin` and
//! `landing` are its ends;
//! `single` and `many` are the calls, `alone` those that pass memory by, and `waits` how the calls for many wait; `loader` is the pool's own loader and its batches.

mod alone;
mod begin;
mod error;
mod fetched;
mod flight;
mod landing;
mod loader;
mod many;
mod options;
mod single;
mod stale;
mod waits;

pub use error::{Behind, FetchError, LoaderError};
pub use fetched::{Fetched, Many};
pub use loader::Loader;
pub use options::{FetchConfig, FetchOptions};

pub(crate) use fetched::Found;
pub(crate) use flight::{Absence, AbsenceNote, FailureNote, Flights, Overtook, panicked};
pub(crate) use loader::{AnyLoader, OwnLoader};
