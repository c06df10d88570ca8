//! Cursors: what they include, against sets; their bytes, their limits.

use std::collections::BTreeSet;

use larder_core::limits::{CURSOR_BYTES_MAX, CURSOR_OPEN_MAX};
use larder_core::{Cursor, CursorError, Epoch, Position, SourceId};
use proptest::prelude::*;

use super::{runs, table};

const SOURCE: SourceId = SourceId::new(7);
const EPOCH: Epoch = Epoch::new(1);
/// Positions that the sets of this file are made of: all below.
const UNIVERSE: u64 = 70;

fn ordered(next: u64) -> Cursor {
    Cursor::ordered(SOURCE, EPOCH, Position::new(next), 5)
}

fn snapshot(horizon: u64, end: u64, open: &[u64]) -> Result<Cursor, CursorError> {
    let open = open.iter().copied().map(Position::new);
    Cursor::snapshot(SOURCE, EPOCH, Position::new(horizon), Position::new(end), open, 5)
}

/// Contract: O14
#[test]
fn a_cursor_says_what_it_was_made_of() {
    let cursor = snapshot(10, 20, &[12, 19]).unwrap();
    assert_eq!(
        (cursor.source(), cursor.epoch(), cursor.check()),
        (SOURCE, EPOCH, 5)
    );
    assert_eq!(
        (cursor.horizon(), cursor.end()),
        (Position::new(10), Position::new(20))
    );
    assert_eq!(cursor.open(), [Position::new(12), Position::new(19)]);
    let ordered = ordered(10);
    assert_eq!(
        (ordered.horizon(), ordered.end(), ordered.open()),
        (Position::new(10), Position::new(10), &[][..])
    );
}

/// Contract: O14
#[test]
fn parts_that_are_no_cursor_are_refused() {
    let [ten, twenty] = [10, 20].map(Position::new);
    assert_eq!(
        snapshot(20, 10, &[]),
        Err(CursorError::EndBelowHorizon {
            horizon: twenty,
            end: ten
        })
    );
    for outside in [9, 20, 21] {
        let position = Position::new(outside);
        assert_eq!(
            snapshot(10, 20, &[outside]),
            Err(CursorError::OpenOutside { position })
        );
    }
    for (open, at_fault) in [(&[12, 12][..], 12), (&[13, 12], 12)] {
        let position = Position::new(at_fault);
        assert_eq!(
            snapshot(10, 20, open),
            Err(CursorError::OpenNotAscending { position })
        );
    }
    assert_eq!(
        snapshot(10, 10, &[10]),
        Err(CursorError::OpenOutside { position: ten })
    );
    assert!(
        snapshot(10, 20, &[10, 19]).is_ok(),
        "horizon and last position may be open"
    );
}

/// Contract: O13 (partial: former epochs are kept by the source), O14
#[test]
fn cursors_of_other_sources_and_epochs_are_not_compared() {
    let one = ordered(10);
    assert!(one.includes_all(&one));
    assert!(!one.includes_all(&Cursor::ordered(SourceId::new(8), EPOCH, Position::new(3), 5)));
    assert!(!one.includes_all(&Cursor::ordered(SOURCE, Epoch::new(2), Position::new(3), 5)));
    assert!(
        !one.includes_all(&Cursor::ordered(SOURCE, Epoch::new(2), Position::ZERO, 5)),
        "not even an empty one"
    );
}

/// Contract: O14
#[test]
fn the_greatest_numbers_are_positions_like_others() {
    let cursor = snapshot(0, u64::MAX, &[0, u64::MAX - 1]).unwrap();
    assert!(!cursor.includes(Position::ZERO));
    assert!(cursor.includes(Position::new(1)));
    assert!(!cursor.includes(Position::new(u64::MAX - 1)));
    assert!(!cursor.includes(Position::MAX), "no cursor includes it");
    assert_eq!(Cursor::decode(&cursor.encode()), Ok(cursor.clone()));
    assert!(ordered(u64::MAX).includes_all(&cursor));
    assert!(!cursor.includes_all(&ordered(u64::MAX)));
    assert!(!ordered(0).includes_all(&cursor));
}

/// Contract: O14
#[test]
fn bytes_are_those_in_the_format_page() {
    for row in table("| cursor | bytes |") {
        let mut fields = std::collections::HashMap::new();
        for field in row[0].split(", ") {
            let (name, value) = field.split_once(' ').unwrap();
            fields.insert(name, value);
        }
        let number = |name: &str| Position::new(fields[name].parse().unwrap());
        let open = fields["open"]
            .split(' ')
            .filter(|open| *open != "none")
            .map(|open| open.parse().unwrap());
        let cursor = Cursor::snapshot(
            fields["source"].parse().unwrap(),
            fields["epoch"].parse().unwrap(),
            number("horizon"),
            number("end"),
            open,
            number("check").get(),
        )
        .unwrap();
        let bytes = cursor.encode();
        assert_eq!(
            bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
            row[1],
            "{}",
            row[0]
        );
        assert_eq!(Cursor::decode(&bytes), Ok(cursor));
    }
}

/// Contract: O14
#[test]
fn a_cursor_without_open_positions_is_small() {
    for next in [0, 1, u64::MAX] {
        assert!(ordered(next).encode().len() <= 64);
        let cursor = snapshot(next / 2, next, &[]).unwrap();
        assert!(cursor.encode().len() <= 64);
    }
}

/// Delivered again, none lost: what a cursor cannot keep it does not include.
///
/// Contract: O14
#[test]
fn more_open_positions_than_fit_leave_the_horizon() {
    assert_eq!((CURSOR_OPEN_MAX, CURSOR_BYTES_MAX), (8_192, 65_536));
    let open = |count: u64| (0..count).map(|number| 101 + 2 * number).collect::<Vec<_>>();
    let at = snapshot(100, 50_000, &open(8_192)).unwrap();
    assert_eq!((at.open().len(), at.end()), (8_192, Position::new(50_000)));
    assert_eq!(Cursor::decode(&at.encode()), Ok(at.clone()));
    let beyond = snapshot(100, 50_000, &open(8_193)).unwrap();
    assert_eq!(beyond, ordered(100));
    assert!(at.includes_all(&beyond) && !beyond.includes_all(&at));
    // What is not kept is looked at all the same.
    let mut damaged = open(8_193);
    damaged.push(101);
    assert!(matches!(
        snapshot(100, 50_000, &damaged),
        Err(CursorError::OpenNotAscending { .. })
    ));
}

/// Contract: O14
#[test]
fn a_cursor_of_more_bytes_than_fit_leaves_the_horizon() {
    // Distances of eight bytes each, and a last one that decides: 53 + 8,185 * 8 + 3 = 65,536.
    let open = |last: u64| {
        let mut from = 0;
        let distances = std::iter::repeat_n(1 << 49, 8_185).chain([last]);
        let ascending = distances.map(|distance| {
            let position = from + distance;
            from = position + 1;
            position
        });
        ascending.collect::<Vec<u64>>()
    };
    let at = snapshot(0, u64::MAX, &open((1 << 21) - 1)).unwrap();
    assert_eq!((at.encode().len(), at.open().len()), (65_536, 8_186));
    assert_eq!(Cursor::decode(&at.encode()), Ok(at));
    let beyond = snapshot(0, u64::MAX, &open(1 << 21)).unwrap();
    assert_eq!(beyond, ordered(0));
    let long = vec![b'x'; 65_537];
    assert_eq!(
        Cursor::decode(&long),
        Err(CursorError::TooLong {
            bytes: 65_537,
            max: 65_536
        })
    );
    assert_eq!(Cursor::decode(&long[1..]), Err(CursorError::Magic));
}

/// `body` with the right checksum behind it.
fn sealed(mut body: Vec<u8>) -> Vec<u8> {
    let checksum = crc32fast::hash(&body);
    body.extend_from_slice(&checksum.to_le_bytes());
    body
}

/// Damage done to bytes.
type Change = dyn Fn(&mut Vec<u8>);

/// The bytes of a cursor without its checksum.
fn body(cursor: &Cursor) -> Vec<u8> {
    let mut bytes = cursor.encode();
    bytes.truncate(bytes.len() - 4);
    bytes
}

/// Contract: O14
#[test]
fn bytes_with_a_right_checksum_must_still_be_a_cursor() {
    let good = body(&snapshot(10, 20, &[12, 19]).unwrap());
    assert!(Cursor::decode(&sealed(good.clone())).is_ok());
    let refused = |change: &Change| {
        let mut changed = good.clone();
        change(&mut changed);
        Cursor::decode(&sealed(changed)).expect_err("damaged")
    };
    assert_eq!(refused(&|bytes| bytes[0] = b'X'), CursorError::Magic);
    assert_eq!(
        refused(&|bytes| bytes[4] = 2),
        CursorError::Version { found: 2, known: 1 }
    );
    let malformed: [&Change; 7] = [
        &|bytes| bytes.push(0),
        &|bytes| bytes.truncate(bytes.len() - 1),
        &|bytes| bytes.truncate(20),
        &|bytes| bytes.truncate(5),
        &|bytes| bytes[45] = 3,
        // A longer form of the first distance, two.
        &|bytes| {
            bytes[49] = 0x82;
            bytes.insert(50, 0);
        },
        &|bytes| bytes[45..49].copy_from_slice(&8_193_u32.to_le_bytes()),
    ];
    for (number, change) in malformed.iter().enumerate() {
        assert!(
            matches!(refused(change), CursorError::Malformed(_)),
            "change {number}"
        );
    }
    let position = Position::new(20);
    assert_eq!(
        refused(&|bytes| bytes[50] = 7),
        CursorError::OpenOutside { position }
    );
    let below = CursorError::EndBelowHorizon {
        horizon: Position::new(10),
        end: Position::new(9),
    };
    assert_eq!(refused(&|bytes| bytes[29] = 9), below);
    // A distance that leads beyond the greatest number.
    let mut far = body(&snapshot(10, u64::MAX, &[u64::MAX - 1]).unwrap());
    let last = far.len() - 10;
    far[last..].copy_from_slice(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01]);
    assert!(matches!(
        Cursor::decode(&sealed(far)),
        Err(CursorError::Malformed(_))
    ));
}

fn any_cursor() -> impl Strategy<Value = Cursor> {
    let end = (0..50_u64, 0..20_u64).prop_map(|(horizon, more)| (horizon, horizon + more));
    end.prop_flat_map(|(horizon, end)| {
        let open = prop::collection::btree_set(horizon..end.max(horizon + 1), 0..12);
        (Just(horizon), Just(end), open)
    })
    .prop_map(|(horizon, end, open)| {
        let open: Vec<u64> = open.into_iter().filter(|position| *position < end).collect();
        snapshot(horizon, end, &open).unwrap()
    })
}

fn far_cursor() -> impl Strategy<Value = Cursor> {
    let positions = prop::collection::btree_set(any::<u64>(), 2..40);
    (any::<u64>(), any::<u64>(), any::<u64>(), positions).prop_map(|(source, epoch, check, positions)| {
        let mut ascending: Vec<Position> = positions.into_iter().map(Position::new).collect();
        let end = ascending.pop().unwrap();
        let horizon = ascending[0];
        let open = ascending.into_iter().skip(1);
        Cursor::snapshot(
            SourceId::new(source),
            Epoch::new(epoch),
            horizon,
            end,
            open,
            check,
        )
        .unwrap()
    })
}

/// What a cursor includes, from its parts and the contract.
fn set(cursor: &Cursor) -> BTreeSet<u64> {
    let open: BTreeSet<u64> = cursor.open().iter().map(|open| open.get()).collect();
    (0..cursor.end().get())
        .filter(|position| !open.contains(position))
        .collect()
}

proptest! {
    #![proptest_config(runs(2_000))]

    /// Contract: O14
    #[test]
    fn a_cursor_includes_what_is_below_its_end_and_not_open(cursor in any_cursor()) {
        let set = set(&cursor);
        for position in 0..UNIVERSE {
            prop_assert_eq!(cursor.includes(Position::new(position)), set.contains(&position), "{}", position);
        }
    }

    /// Contract: O14
    #[test]
    fn including_all_is_being_a_superset(one in any_cursor(), other in any_cursor()) {
        prop_assert_eq!(one.includes_all(&other), set(&one).is_superset(&set(&other)));
        prop_assert!(one.includes_all(&one));
    }

    /// Contract: O14
    #[test]
    fn cursors_come_back_from_their_bytes(cursor in prop_oneof![any_cursor(), far_cursor()]) {
        let bytes = cursor.encode();
        prop_assert!(bytes.len() <= 53 + 10 * cursor.open().len());
        prop_assert_eq!(Cursor::decode(&bytes), Ok(cursor));
    }

    /// Contract: O14
    #[test]
    fn changed_bytes_are_never_a_cursor(cursor in far_cursor(), at: prop::sample::Index, change in 1_u8.., cut: prop::sample::Index) {
        let bytes = cursor.encode();
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= change;
        prop_assert!(Cursor::decode(&changed).is_err());
        prop_assert!(Cursor::decode(&bytes[..cut.index(bytes.len())]).is_err(), "cut short");
        prop_assert!(Cursor::decode(&[&bytes[..], &[change]].concat()).is_err(), "longer");
    }

    /// Contract: O14
    #[test]
    fn any_bytes_in_a_right_frame_decode_to_themselves_or_to_an_error(cursor in far_cursor(), at: prop::sample::Index, garbage in prop::collection::vec(any::<u8>(), 0..12)) {
        let mut bytes = body(&cursor);
        let from = at.index(bytes.len() + 1);
        let to = (from + garbage.len()).min(bytes.len());
        bytes.splice(from..to, garbage);
        let bytes = sealed(bytes);
        if let Ok(decoded) = Cursor::decode(&bytes) {
            prop_assert_eq!(decoded.encode(), bytes, "one cursor has one encoding");
        }
    }
}
