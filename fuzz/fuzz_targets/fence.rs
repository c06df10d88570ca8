//! Operations on a fence against a map: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("fence");
