//! Files `node` from bytes: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("node_file");
