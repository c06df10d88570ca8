//! Cursors from bytes. Framed: what follows the format's number, magic before it and checksum behind it.

use larder_core::{Cursor, Position};

use super::{Decoded, sealed};

pub(super) fn check(input: &[u8]) -> Decoded {
    let framed = sealed([b"LCUR\x01", input].concat());
    Decoded {
        raw: decodes(input),
        framed: decodes(&framed),
    }
}

fn decodes(bytes: &[u8]) -> bool {
    let Ok(cursor) = Cursor::decode(bytes) else {
        return false;
    };
    assert_eq!(cursor.encode(), bytes, "one cursor has one encoding");
    let (horizon, end) = (cursor.horizon(), cursor.end());
    assert!(horizon <= end, "the horizon is at most the end");
    assert!(
        cursor.open().is_sorted_by(|one, next| one < next),
        "open positions ascend"
    );
    for open in cursor.open() {
        assert!(
            (horizon..end).contains(open),
            "open positions lie between horizon and end"
        );
        assert!(!cursor.includes(*open), "open positions are not included");
    }
    assert!(
        !cursor.includes(end) && !cursor.includes(Position::MAX),
        "nothing from the end on is included"
    );
    let before = horizon.get().checked_sub(1).map(Position::new);
    assert!(
        before.is_none_or(|before| cursor.includes(before)),
        "all below the horizon is included"
    );
    let (source, epoch) = (cursor.source(), cursor.epoch());
    let least = Cursor::ordered(source, epoch, horizon, 0);
    let most = Cursor::ordered(source, epoch, end, 0);
    assert!(cursor.includes_all(&cursor) && cursor.includes_all(&least) && most.includes_all(&cursor));
    assert_eq!(
        cursor.includes_all(&most),
        cursor.open().is_empty(),
        "what is open is not included"
    );
    true
}
