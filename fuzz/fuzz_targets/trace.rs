//! Traces of which nobody said what they are, and archives, from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("trace");
