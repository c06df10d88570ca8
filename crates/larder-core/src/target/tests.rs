//! Hashes on both ways through the code, from the stack and piece by piece.

use super::TargetHash;
use super::hash::{hash_long, hash_parts};

/// Contract: O3
#[test]
fn short_and_long_ways_to_hash_agree() {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1_200).collect();
    for end in 0..bytes.len() {
        let name = bytes.get(..end).unwrap();
        let parts = [b"key".as_slice(), b"default", name];
        assert_eq!(hash_parts(&parts), hash_long(&parts), "{end} bytes");
    }
}

/// Contract: O3
#[test]
fn the_hash_of_everything_is_what_it_is_computed_to() {
    assert_eq!(TargetHash::EVERYTHING, hash_parts(&[b"everything"]));
    assert_eq!(TargetHash::EVERYTHING, hash_long(&[b"everything"]));
}
