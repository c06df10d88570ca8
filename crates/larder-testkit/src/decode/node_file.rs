//! The file `node` of a data directory, from bytes. Framed: the input as the body of a right frame behind a right header, as `docs/formats/node.md` lays it down.

use larder_core::{FileHeader, FrameFormat, StoreId};

use super::Decoded;

const HEADER: FrameFormat = FileHeader::format(*b"LNOD", 1, 1);
const IDENTITY: FrameFormat = FrameFormat::new(*b"LNOD", 1, 144).kind(2);
const KEY_BYTES: usize = 16;

pub(super) fn check(input: &[u8]) -> Decoded {
    Decoded {
        raw: larder::decode_node_file(input).is_some(),
        framed: framed(input),
    }
}

fn framed(input: &[u8]) -> bool {
    let header = FileHeader::new(StoreId::from_bytes([7; 16]), 0, 4_711);
    let mut file = header.encode(&HEADER);
    if IDENTITY
        .encode(header.place(file.len() as u64), input, &mut file)
        .is_err()
    {
        return false;
    }
    let read = larder::decode_node_file(&file);
    let name = input.get(KEY_BYTES..).and_then(|name| str::from_utf8(name).ok());
    let expected = name.filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    assert_eq!(
        read.as_ref().map(|(name, _)| name.as_str()),
        expected,
        "a name is text without control characters, and nothing else is one"
    );
    if let Some((_, key)) = &read {
        assert_eq!(
            Some(key.as_slice()),
            input.get(..KEY_BYTES),
            "the key stands before it"
        );
    }
    file.push(0);
    assert!(
        larder::decode_node_file(&file).is_none(),
        "nothing stands behind its end"
    );
    read.is_some()
}
