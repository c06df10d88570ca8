//! Containers of one value from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("container");
