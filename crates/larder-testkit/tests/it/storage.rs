//! What storages promise.
