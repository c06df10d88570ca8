//! Traces of comma-separated values, from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("trace_csv");
