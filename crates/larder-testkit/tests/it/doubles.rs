//! Clock, entropy and seeds: what their doubles promise.
