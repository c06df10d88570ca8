//! Traces of time, key and size, from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("trace_text");
