//! Hashes on both ways through the code, from the stack and piece by piece.

use super::hash::{Head, hash_long, hash_parts};

/// Contract: O3
#[test]
fn short_and_long_ways_to_hash_agree() {
    let bytes: Vec<u8> = (0..=u8::MAX).cycle().take(1_200).collect();
    for end in 0..bytes.len() {
        let name = bytes.get(..end).unwrap();
        let parts = [b"default".as_slice(), name];
        assert_eq!(
            hash_parts(Head::KEY, parts),
            hash_long(Head::KEY, &parts),
            "{end} bytes"
        );
    }
}
