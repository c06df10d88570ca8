//! What the fuzzer asks of the frame decoder: any bytes, raw and behind right checksums, decode to a result.
//!
//! It panics on a broken promise, and only then. The bytes come from the fuzzer, or from `fuzz/seeds/frame/` in the test
//! that replays them. Checksums are computed here, bit by bit, and not by the code that is checked.

use larder_core::{
    FRAME_HEADER_BYTES, FileHeader, FrameError, FrameFormat, FrameHeader, FrameReader, Scanned,
};

const MAGIC: [u8; 4] = *b"LFUZ";
const BODY_BYTES_MAX: u32 = 4_096;

/// The format of the frames that are made here.
const FORMAT: FrameFormat = FrameFormat::new(MAGIC, 1, BODY_BYTES_MAX).kind(1).fingerprint(7);

/// The check: whether the bytes are a frame as they are, and whether they came back as the body of one.
pub(super) fn check(bytes: &[u8]) -> super::Decoded {
    let all = frame(bytes);
    let (raw, framed) = (raw(bytes), as_body(bytes));
    super::Decoded {
        raw: raw > 0,
        framed: framed > 0 && all > 0,
    }
}

/// Decodes `bytes` in every way there is, and returns how many frames that gave.
///
/// # Panics
///
/// If the decoder breaks a promise.
#[must_use]
pub fn frame(bytes: &[u8]) -> usize {
    let file_header = FileHeader::format(MAGIC, 1, 1);
    let headers = usize::from(FileHeader::decode(&file_header, None, bytes).is_ok());
    headers + raw(bytes) + as_body(bytes) + with_chosen_header(bytes) + sequence(bytes, 3)
}

/// The bytes as they are.
fn raw(bytes: &[u8]) -> usize {
    let Ok(decoded) = FORMAT.decode(0, bytes) else {
        return 0;
    };
    let mut again = Vec::new();
    FORMAT
        .encode(0, decoded.body, &mut again)
        .expect("a body that was decoded can be encoded");
    again.extend_from_slice(decoded.rest);
    assert_eq!(again, bytes, "the frame is the one that encodes to these bytes");
    1
}

/// The bytes as the body of a sound frame, which must come back as it was.
fn as_body(bytes: &[u8]) -> usize {
    let mut framed = Vec::new();
    match FORMAT.encode(9, bytes, &mut framed) {
        Ok(()) => {
            let decoded = FORMAT.decode(9, &framed).expect("what was encoded decodes");
            assert_eq!((decoded.body, decoded.rest), (bytes, &[][..]));
            assert!(FORMAT.decode(8, &framed).is_err(), "not in another place");
            1 + sequence(&framed, 9)
        }
        Err(error) => {
            assert!(
                matches!(error, FrameError::Length { .. }) && framed.is_empty(),
                "{error}"
            );
            0
        }
    }
}

/// The first bytes as the fields of a header, with a right checksum: what passes is checked field by field.
fn with_chosen_header(bytes: &[u8]) -> usize {
    const CHOSEN: usize = FRAME_HEADER_BYTES - 4;
    let Some((fields, body)) = bytes.split_at_checked(CHOSEN) else {
        return 0;
    };
    let mut passed = 0;
    // Raw, and with the true length, since a fuzzer seldom guesses it.
    let true_length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    for length in [None, Some(true_length)] {
        let mut framed = fields.to_vec();
        if let (Some(length), Some(field)) = (length, framed.last_chunk_mut::<4>()) {
            *field = length;
        }
        let announced = framed
            .last_chunk::<4>()
            .map_or(0, |length| u32::from_le_bytes(*length));
        let whole = usize::try_from(announced)
            .ok()
            .and_then(|length| body.get(..length));
        let checksum = crc32(&[&[0; 8], &framed, &[0; 4], whole.unwrap_or(body)]);
        framed.extend_from_slice(&checksum.to_le_bytes());
        framed.extend_from_slice(body);
        passed += usize::from(judge(&framed, whole));
        passed += sequence(&framed, 0);
    }
    passed
}

/// Decodes a frame whose checksum is right if it has a `body` at all, and checks that the verdict is the true one.
fn judge(framed: &[u8], body: Option<&[u8]>) -> bool {
    let header = FrameHeader::peek(framed).expect("there is a header");
    let format = FrameFormat::new(header.magic(), header.version(), BODY_BYTES_MAX)
        .kind(header.kind())
        .fingerprint(header.fingerprint());
    let outcome = format.decode(0, framed);
    let fits = header.body_bytes() <= BODY_BYTES_MAX;
    match (&outcome, body) {
        (Ok(decoded), Some(body)) => assert!(fits && decoded.body == body),
        (Err(FrameError::Length { .. }), _) => assert!(!fits),
        (Err(FrameError::TooShort { .. }), None) => assert!(fits),
        _ => panic!("{outcome:?} for a body of {:?}", body.map(<[u8]>::len)),
    }
    let ours = header.magic() == MAGIC
        && header.version() == 1
        && header.kind() == 1
        && header.fingerprint() == 7
        && outcome.is_ok();
    assert_eq!(FORMAT.decode(0, framed).is_ok(), ours);
    outcome.is_ok()
}

/// The bytes as a sequence: every byte belongs to one item, nothing follows a torn tail, and it ends.
fn sequence(bytes: &[u8], salt: u64) -> usize {
    let (mut end, mut frames, mut ended) = (0, 0, false);
    for item in FrameReader::new(FORMAT, salt, bytes) {
        assert!(!ended, "a torn tail is the last item");
        assert_eq!(item.offset(), end, "items are contiguous");
        end += match item {
            Scanned::Frame { frame, .. } => {
                frames += 1;
                FRAME_HEADER_BYTES + frame.body.len()
            }
            Scanned::TornTail { bytes, .. } => {
                ended = true;
                bytes
            }
            Scanned::Damage { bytes, .. } => bytes,
            _ => unreachable!("these are all that a reader yields"),
        };
    }
    assert_eq!(end, bytes.len(), "every byte belongs to an item");
    frames
}

/// CRC-32/ISO-HDLC, a bit at a time, as `docs/formats/frame.md` names it.
fn crc32(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            let carry = if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
            crc = (crc >> 1) ^ carry;
        }
    }
    !crc
}
