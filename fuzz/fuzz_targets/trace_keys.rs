//! Traces of a key a line, from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("trace_keys");
