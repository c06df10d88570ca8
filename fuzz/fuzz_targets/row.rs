//! Rows of the outbox from the bytes of their columns: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("row");
