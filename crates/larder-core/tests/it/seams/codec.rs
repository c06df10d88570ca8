//! The framed codec against `docs/formats/frame.md` and its promises.

use larder_core::{
    DamageReason, FRAME_HEADER_BYTES, FileHeader, FileHeaderError, FrameError, FrameFormat, FrameHeader,
    FrameReader, Scanned, StoreId,
};
use larder_testkit::{Random, for_each_seed};
use proptest::prelude::*;

const DOCUMENT: &str = include_str!("../../../../../docs/formats/frame.md");

const FORMAT: FrameFormat = FrameFormat::new(*b"LEXA", 1, 1_000)
    .kind(2)
    .fingerprint(0x1122_3344_5566_7788);
const PLACE: u64 = 0x0102_0304_0506_0708;
const HEADER: FrameFormat = FileHeader::format(*b"LEXA", 1, 7);

fn encoded(format: &FrameFormat, place: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    format.encode(place, body, &mut bytes).unwrap();
    bytes
}

fn store() -> StoreId {
    StoreId::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
}

/// The bytes of the document's example of that name.
fn example(name: &str) -> Vec<u8> {
    let start = format!("```hex {name}\n");
    let (_, behind) = DOCUMENT.split_once(&start).unwrap();
    let (digits, _) = behind.split_once("```").unwrap();
    digits
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

/// The rows `(offset, bytes, field)` of the table behind a heading.
fn table(heading: &str) -> Vec<(usize, Option<usize>, &'static str)> {
    let (_, behind) = DOCUMENT.split_once(heading).unwrap();
    let section = behind.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        let offset = cells.next()?.parse().ok()?;
        Some((offset, cells.next()?.parse().ok(), cells.next()?))
    });
    rows.collect()
}

#[test]
fn golden_bytes_are_those_of_the_document() {
    let golden = example("frame");
    assert_eq!(encoded(&FORMAT, PLACE, b"larder"), golden);
    let decoded = FORMAT.decode(PLACE, &golden).unwrap();
    assert_eq!((decoded.body, decoded.rest), (&b"larder"[..], &[][..]));

    let golden = example("file-header");
    let header = FileHeader::new(store(), 3, PLACE - 64);
    assert_eq!(header.encode(&HEADER), golden);
    assert_eq!(FileHeader::decode(&HEADER, Some(store()), &golden), Ok(header));
    assert_eq!(header.place(64), PLACE);
}

/// Each field stands where the document says: the frame differs from another in just the bytes of what differs.
#[test]
fn the_documents_layout_is_the_codes() {
    let layout = table("## Layout");
    let ends: Vec<usize> = layout
        .iter()
        .filter_map(|(offset, bytes, _)| Some(offset + (*bytes)?))
        .collect();
    let starts: Vec<usize> = layout.iter().map(|(offset, ..)| *offset).collect();
    assert_eq!(ends, starts[1..], "the fields are contiguous");
    assert_eq!(layout.last().unwrap(), &(FRAME_HEADER_BYTES, None, "body"));

    let field = |name: &str| {
        let (offset, bytes, _) = layout.iter().find(|(.., field)| *field == name).unwrap();
        *offset..offset + bytes.unwrap()
    };
    let base = encoded(&FORMAT, PLACE, b"larder");
    let others = [
        (
            "magic",
            encoded(
                &FrameFormat::new(*b"\x01\x02\x03\x04", 1, 9)
                    .kind(2)
                    .fingerprint(0x1122_3344_5566_7788),
                PLACE,
                b"larder",
            ),
        ),
        (
            "version",
            encoded(
                &FrameFormat::new(*b"LEXA", 0x102, 9)
                    .kind(2)
                    .fingerprint(0x1122_3344_5566_7788),
                PLACE,
                b"larder",
            ),
        ),
        ("kind", encoded(&FORMAT.kind(0x105), PLACE, b"larder")),
        ("fingerprint", encoded(&FORMAT.fingerprint(0), PLACE, b"larder")),
        ("checksum", encoded(&FORMAT, PLACE + 1, b"larder")),
    ];
    for (name, other) in others {
        let differs = (0..base.len()).filter(|at| base[*at] != other[*at]);
        for at in differs {
            assert!(
                field(name).contains(&at) || field("checksum").contains(&at),
                "{name} at {at}"
            );
        }
        assert_ne!(base[field(name)], other[field(name)], "{name}");
    }
    let longer = encoded(&FORMAT, PLACE, b"larder!");
    assert_eq!(
        (&base[field("length")], &longer[field("length")]),
        (&[6, 0, 0, 0][..], &[7, 0, 0, 0][..])
    );

    let body = table("## The start of a file");
    let (offset, bytes, _) = body.last().unwrap();
    assert_eq!(FRAME_HEADER_BYTES + offset + bytes.unwrap(), FileHeader::BYTES);
}

/// The document lists the errors in the order in which the code looks for them.
#[test]
fn the_documents_errors_are_the_codes() {
    let (_, behind) = DOCUMENT.split_once("## Reading").unwrap();
    let listed: Vec<&str> = behind
        .split("\n## ")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();

    // All that can be wrong is wrong; then one thing after the other is put right.
    let wrong = FrameFormat::new(*b"OTHE", 9, 2_000).kind(9).fingerprint(9);
    let mut bytes = encoded(&wrong, PLACE, &[7; 1_500]);
    let right = encoded(&FORMAT, PLACE, &[7; 1_000]);
    bytes.truncate(FRAME_HEADER_BYTES + 10);
    let mut found = Vec::new();
    let mut note = |bytes: &[u8]| {
        let error = FORMAT.decode(PLACE, bytes).unwrap_err();
        found.push(format!("{error:?}").split([' ', '{']).next().unwrap().to_owned());
    };
    note(&bytes[..FRAME_HEADER_BYTES - 1]);
    for field in [0..4, 4..6, 6..8, 8..16, 16..20] {
        note(&bytes);
        bytes[field.clone()].copy_from_slice(&right[field]);
    }
    note(&bytes);
    bytes.resize(FRAME_HEADER_BYTES + 1_000, 7);
    note(&bytes);
    bytes[20..24].copy_from_slice(&right[20..24]);
    assert_eq!(FORMAT.decode(PLACE, &bytes).unwrap().body, [7; 1_000]);
    assert_eq!(found, listed);
}

#[test]
fn the_longest_body_is_accepted_and_the_next_is_not() {
    let mut out = Vec::new();
    FORMAT.encode(0, &[1; 1_000], &mut out).unwrap();
    assert_eq!(FORMAT.decode(0, &out).unwrap().body.len(), 1_000);
    let before = out.clone();
    let refused = FORMAT.encode(0, &[1; 1_001], &mut out);
    assert_eq!(
        refused,
        Err(FrameError::Length {
            len: 1_001,
            max: 1_000
        })
    );
    assert_eq!(out, before, "nothing is appended");
}

/// A newer version is refused by name, an older one too: the caller picks the format of that version, or none.
#[test]
fn versions_are_told_apart() {
    let frame = |version| encoded(&FrameFormat::new(*b"LEXA", version, 10), 0, b"x");
    let second = FrameFormat::new(*b"LEXA", 2, 10);
    let newer = second.decode(0, &frame(3)).unwrap_err();
    assert_eq!(newer, FrameError::Version { found: 3, known: 2 });
    assert!(newer.is_newer());
    assert_eq!(newer.to_string(), "format version 3, this program knows 2");
    let older = second.decode(0, &frame(1)).unwrap_err();
    assert!(!older.is_newer(), "{older}");
    assert_eq!(FrameHeader::peek(&frame(1)).unwrap().version(), 1);
}

/// No single wrong byte, bit, length or place goes unnoticed.
#[test]
fn nothing_wrong_passes() {
    let golden = encoded(&FORMAT, PLACE, b"larder");
    for at in 0..golden.len() {
        for bit in 0..8 {
            let mut bytes = golden.clone();
            bytes[at] ^= 1 << bit;
            assert!(FORMAT.decode(PLACE, &bytes).is_err(), "bit {bit} of byte {at}");
        }
        assert!(FORMAT.decode(PLACE, &golden[..at]).is_err(), "cut at {at}");
    }
    for bit in 0..64 {
        assert!(
            FORMAT.decode(PLACE ^ (1 << bit), &golden).is_err(),
            "place bit {bit}"
        );
    }
}

#[test]
fn a_file_of_another_store_is_refused_by_name() {
    let bytes = FileHeader::new(store(), 3, 5).encode(&HEADER);
    let other = StoreId::from_bytes([9; 16]);
    let error = FileHeader::decode(&HEADER, Some(other), &bytes).unwrap_err();
    assert_eq!(
        error,
        FileHeaderError::ForeignStore {
            found: store(),
            expected: other
        }
    );
    assert_eq!(
        error.to_string(),
        "the file belongs to store 000102030405060708090a0b0c0d0e0f, expected 09090909090909090909090909090909"
    );
    let unknown = FileHeader::decode(&HEADER, None, &bytes).unwrap();
    assert_eq!(
        (unknown.store(), unknown.number(), unknown.salt()),
        (store(), 3, 5)
    );
}

/// What a crash leaves of a header is told apart from files of others, and from what is newer, however short.
#[test]
fn an_unfinished_header_is_no_foreign_file() {
    let whole = FileHeader::new(store(), 3, 5).encode(&HEADER);
    let decode = |bytes: &[u8]| FileHeader::decode(&HEADER, Some(store()), bytes).unwrap_err();
    for len in 0..FileHeader::BYTES {
        assert_eq!(decode(&whole[..len]), FileHeaderError::Unfinished, "{len} bytes");
        assert_eq!(decode(&vec![0; len]), FileHeaderError::Unfinished, "{len} zeros");
    }
    assert_eq!(decode(&[0; 500]), FileHeaderError::Unfinished);
    let mut damaged = whole.clone();
    damaged[30] ^= 1;
    for foreign in [b"PK\x03\x04".to_vec(), b"x".to_vec(), damaged] {
        let error = decode(&foreign);
        assert!(matches!(error, FileHeaderError::Frame(_)), "{error:?}");
    }
    let newer = FileHeader::new(store(), 3, 5).encode(&FileHeader::format(*b"LEXA", 2, 7));
    for len in [24, 40, 64] {
        let error = decode(&newer[..len]);
        let FileHeaderError::Frame(frame) = &error else {
            panic!("{error:?}")
        };
        assert!(frame.is_newer() || len < FileHeader::BYTES, "{error:?}");
    }
}

/// A sequence of frames, and where each begins.
fn sequence(random: &mut Random, salt: u64, count: usize) -> (Vec<u8>, Vec<usize>) {
    let (mut bytes, mut offsets) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let mut body = vec![0; random.index(300)];
        random.fill(&mut body);
        offsets.push(bytes.len());
        let place = salt.wrapping_add(u64::try_from(bytes.len()).unwrap());
        FORMAT.encode(place, &body, &mut bytes).unwrap();
    }
    (bytes, offsets)
}

/// What a reader says, one letter and offset an item.
fn scan(salt: u64, bytes: &[u8]) -> Vec<(char, usize)> {
    let mut end = 0;
    let items = FrameReader::new(FORMAT, salt, bytes).map(|item| {
        assert_eq!(item.offset(), end, "items are contiguous");
        let (letter, len) = match &item {
            Scanned::Frame { frame, .. } => ('f', FRAME_HEADER_BYTES + frame.body.len()),
            Scanned::TornTail { bytes, .. } => ('t', *bytes),
            Scanned::Damage {
                bytes,
                reason: DamageReason::SoundBehind,
                ..
            } => ('d', *bytes),
            Scanned::Damage {
                bytes,
                reason: DamageReason::Foreign,
                ..
            } => ('o', *bytes),
            Scanned::Damage { bytes, .. } => ('u', *bytes),
            _ => unreachable!(),
        };
        end += len;
        (letter, item.offset())
    });
    let items: Vec<_> = items.collect();
    assert_eq!(end, bytes.len(), "every byte belongs to one item");
    items
}

#[test]
fn a_sequence_is_read_to_its_end_its_torn_tail_and_its_damage() {
    for_each_seed(50, |seed| {
        let mut random = Random::seeded(seed);
        let salt = random.next_u64();
        let count = 1 + random.index(6);
        let (bytes, offsets) = sequence(&mut random, salt, count);
        let frames: Vec<_> = offsets.iter().map(|offset| ('f', *offset)).collect();
        assert_eq!(scan(salt, &bytes), frames);

        let last = *offsets.last().unwrap();
        let cut = last + 1 + random.index(bytes.len() - last - 1);
        let mut torn = frames.clone();
        torn.last_mut().unwrap().0 = 't';
        assert_eq!(scan(salt, &bytes[..cut]), torn, "cut at {cut}");

        let mut zeros = bytes.clone();
        zeros.resize(bytes.len() + 700, 0);
        let mut with_tail = frames.clone();
        with_tail.push(('t', bytes.len()));
        assert_eq!(scan(salt, &zeros), with_tail, "zeros behind");

        let hit = random.index(count);
        let mut flipped = bytes.clone();
        let end = offsets.get(hit + 1).copied().unwrap_or(bytes.len());
        flipped[offsets[hit] + random.index(end - offsets[hit])] ^= 1 << random.index(8);
        let mut expected = frames.clone();
        expected[hit].0 = if hit + 1 == count { 't' } else { 'd' };
        assert_eq!(scan(salt, &flipped), expected, "flipped in {hit}");

        assert_eq!(scan(salt.wrapping_add(1), &bytes), [('t', 0)], "of another file");
    });
}

/// Sound frames that a user put into a body, or that this format refuses, are not frames of the sequence.
#[test]
fn frames_of_others_are_not_mistaken() {
    let salt = 77;
    let inner = encoded(&FORMAT, 0, b"inner");
    let mut bytes = encoded(&FORMAT, salt, &inner);
    bytes[8] ^= 1;
    assert_eq!(scan(salt, &bytes), [('t', 0)], "a frame inside a torn one");

    let foreign = [
        encoded(&FORMAT.kind(3), salt, b"x"),
        encoded(&FORMAT.fingerprint(3), salt, b"x"),
        encoded(
            &FrameFormat::new(*b"LEXA", 2, 10)
                .kind(2)
                .fingerprint(0x1122_3344_5566_7788),
            salt,
            b"x",
        ),
        encoded(
            &FrameFormat::new(*b"LEXA", 1, 9_999)
                .kind(2)
                .fingerprint(0x1122_3344_5566_7788),
            salt,
            &[0; 2_000],
        ),
    ];
    for frame in foreign {
        assert_eq!(scan(salt, &frame), [('o', 0)]);
        let mut torn = frame.clone();
        *torn.last_mut().unwrap() ^= 1;
        assert_eq!(scan(salt, &torn), [('t', 0)]);
    }
}

/// Bytes made to look like overlapping frames cost no more than a few passes, and are damage, not a tail to cut.
#[test]
fn overlapping_frames_are_given_up_on() {
    let format = FrameFormat::new(*b"LEXA", 1, u32::MAX);
    let count = 20_000;
    let mut bytes = Vec::new();
    for index in 0..count {
        let mut header = encoded(&format, 0, b"");
        let behind = u32::try_from((count - index - 1) * FRAME_HEADER_BYTES).unwrap();
        header[16..20].copy_from_slice(&behind.to_le_bytes());
        header[20] ^= 0xFF;
        bytes.extend(header);
    }
    let items: Vec<_> = FrameReader::new(format, 0, &bytes).collect();
    let [
        Scanned::Damage {
            offset: 0,
            bytes: whole,
            reason: DamageReason::Undecided,
            ..
        },
    ] = items[..]
    else {
        panic!("{items:?}")
    };
    assert_eq!(whole, bytes.len());
}

proptest! {
    /// Bytes from disk never panic, and a frame that decodes is the one frame that encodes to these bytes.
    #[test]
    fn any_bytes_decode_to_a_result(bytes in proptest::collection::vec(any::<u8>(), 0..200), place: u64) {
        let _ = FORMAT.decode(place, &bytes);
        let _ = FileHeader::decode(&HEADER, None, &bytes);
        scan(place, &bytes);
    }

    /// What is encoded is decoded, in its place and nowhere else, and what follows is left.
    #[test]
    fn frames_round_trip(
        body in proptest::collection::vec(any::<u8>(), 0..1_000),
        rest in proptest::collection::vec(any::<u8>(), 0..40),
        place: u64,
        elsewhere: u64,
        fingerprint: u64,
        kind: u16,
    ) {
        let format = FORMAT.kind(kind).fingerprint(fingerprint);
        let mut bytes = encoded(&format, place, &body);
        bytes.extend(&rest);
        let decoded = format.decode(place, &bytes).unwrap();
        prop_assert_eq!(decoded.body, &body[..]);
        prop_assert_eq!(decoded.rest, &rest[..]);
        prop_assert_eq!(decoded.header.kind(), kind);
        prop_assert_eq!(format.decode(elsewhere, &bytes).is_ok(), elsewhere == place);
    }
}

/// A format that was not made for headers allows less than a header needs: the header is written all the same.
#[test]
fn a_header_is_written_under_any_format() {
    let narrow = FrameFormat::new(*b"LTST", 1, 0);
    let header = FileHeader::new(StoreId::from_bytes([7; 16]), 3, 9);
    let bytes = header.encode(&narrow);
    let read = FileHeader::decode(&FileHeader::format(*b"LTST", 1, 0), None, &bytes);
    assert_eq!(read.unwrap(), header);
}
