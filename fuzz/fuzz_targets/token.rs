//! Tokens from text: see `larder_testkit::decode`.
#![no_main]

larder_fuzz::target!("token");
