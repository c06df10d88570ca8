//! [`MaybeSend`] and [`MaybeSync`]: what is asked of values that may cross threads, and of none where there is one.
//!
//! This is the only file of the crate that looks at the target. Natively the two are `Send` and `Sync` by another name;
//! on wasm without an operating system they ask nothing, so that values of the browser can be kept. Nobody implements
//! them: each type that fits has them.

#[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
mod bounds {
    use std::error::Error;
    use std::future::Future;
    use std::pin::Pin;

    /// `Send` natively, nothing on `wasm32-unknown-unknown`.
    pub trait MaybeSend: Send {}
    impl<T: Send + ?Sized> MaybeSend for T {}

    /// `Sync` natively, nothing on `wasm32-unknown-unknown`.
    pub trait MaybeSync: Sync {}
    impl<T: Sync + ?Sized> MaybeSync for T {}

    /// Any error of a loader's.
    pub type AnyError = dyn Error + Send + Sync;

    /// A future on the heap.
    pub(crate) type BoxFuture<R> = Pin<Box<dyn Future<Output = R> + Send>>;
}

#[cfg(all(target_family = "wasm", target_os = "unknown"))]
mod bounds {
    use std::error::Error;
    use std::future::Future;
    use std::pin::Pin;

    /// `Send` natively, nothing on `wasm32-unknown-unknown`.
    pub trait MaybeSend {}
    impl<T: ?Sized> MaybeSend for T {}

    /// `Sync` natively, nothing on `wasm32-unknown-unknown`.
    pub trait MaybeSync {}
    impl<T: ?Sized> MaybeSync for T {}

    /// Any error of a loader's.
    pub type AnyError = dyn Error;

    /// A future on the heap.
    pub(crate) type BoxFuture<R> = Pin<Box<dyn Future<Output = R>>>;
}

pub(crate) use bounds::BoxFuture;
pub use bounds::{AnyError, MaybeSend, MaybeSync};
