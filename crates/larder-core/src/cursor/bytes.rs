//! Cursors as bytes.
//!
//! Fixed fields, little-endian, then the open positions as distances, then a checksum over all before it. One cursor
//! has one encoding. `docs/formats/outbox.md` has the layout.

use super::{Cursor, CursorError};
use crate::limits::{CURSOR_BYTES_MAX, CURSOR_OPEN_MAX};
use crate::position::{Epoch, Position, SourceId};
use crate::varint;

/// What every cursor begins with.
const MAGIC: [u8; 4] = *b"LCUR";
/// The format that is written, and the only one that is read.
const VERSION: u8 = 1;
/// Magic, version, five numbers, the count of open positions.
const HEADER_BYTES: usize = 4 + 1 + 5 * 8 + 4;
const CHECKSUM_BYTES: usize = 4;

/// The distances that the open positions are written as: from the horizon, then from the position after the last.
fn distances(cursor: &Cursor) -> impl Iterator<Item = u64> {
    let mut from = cursor.horizon.get();
    cursor.open.iter().map(move |open| {
        let distance = open.get() - from;
        from = open.next().get();
        distance
    })
}

pub(super) fn encoded_len(cursor: &Cursor) -> usize {
    HEADER_BYTES + distances(cursor).map(varint::len).sum::<usize>() + CHECKSUM_BYTES
}

pub(super) fn encode(cursor: &Cursor) -> Vec<u8> {
    let mut out = Vec::with_capacity(encoded_len(cursor));
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    let numbers = [
        cursor.source.get(),
        cursor.epoch.get(),
        cursor.horizon.get(),
        cursor.end.get(),
        cursor.check,
    ];
    for number in numbers {
        out.extend_from_slice(&number.to_le_bytes());
    }
    let count = u32::try_from(cursor.open.len()).expect("invariant: at most 8,192 open positions");
    out.extend_from_slice(&count.to_le_bytes());
    for distance in distances(cursor) {
        varint::write(&mut out, distance);
    }
    let checksum = crc32fast::hash(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    assert!(
        out.len() <= CURSOR_BYTES_MAX,
        "a cursor is cut to its horizon before it grows too long"
    );
    out
}

pub(super) fn decode(bytes: &[u8]) -> Result<Cursor, CursorError> {
    if bytes.len() > CURSOR_BYTES_MAX {
        return Err(CursorError::TooLong {
            bytes: bytes.len(),
            max: CURSOR_BYTES_MAX,
        });
    }
    // Before the checksum: another version may have another one, and is to be named.
    let after_magic = bytes.strip_prefix(&MAGIC).ok_or(CursorError::Magic)?;
    match after_magic.first() {
        Some(&VERSION) => {}
        Some(&found) => {
            return Err(CursorError::Version {
                found,
                known: VERSION,
            });
        }
        None => return Err(CursorError::Checksum),
    }
    let (body, checksum) = bytes
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(CursorError::Checksum)?;
    if crc32fast::hash(body) != u32::from_le_bytes(*checksum) {
        return Err(CursorError::Checksum);
    }
    let mut rest = body
        .get(MAGIC.len() + 1..)
        .ok_or(CursorError::Malformed("no header"))?;
    let source = SourceId::new(number(&mut rest)?);
    let epoch = Epoch::new(number(&mut rest)?);
    let horizon = Position::new(number(&mut rest)?);
    let end = Position::new(number(&mut rest)?);
    let check = number(&mut rest)?;
    let open = open_positions(&mut rest, horizon)?;
    if !rest.is_empty() {
        return Err(CursorError::Malformed("bytes after the open positions"));
    }
    Cursor::snapshot(source, epoch, horizon, end, open, check)
}

fn number(rest: &mut &[u8]) -> Result<u64, CursorError> {
    let (bytes, after) = rest
        .split_first_chunk::<8>()
        .ok_or(CursorError::Malformed("header cut short"))?;
    *rest = after;
    Ok(u64::from_le_bytes(*bytes))
}

/// The open positions, at most as many as a cursor keeps. Memory grows with the bytes that are there, not with the
/// count that is claimed.
fn open_positions(rest: &mut &[u8], horizon: Position) -> Result<Vec<Position>, CursorError> {
    let (bytes, after) = rest
        .split_first_chunk::<4>()
        .ok_or(CursorError::Malformed("header cut short"))?;
    *rest = after;
    let count = u32::from_le_bytes(*bytes);
    if usize::try_from(count).map_or(true, |count| count > CURSOR_OPEN_MAX) {
        return Err(CursorError::Malformed("more open positions than a cursor keeps"));
    }
    let mut open = Vec::new();
    let mut from = Some(horizon.get());
    for _ in 0..count {
        let distance = varint::read(rest).ok_or(CursorError::Malformed("damaged open position"))?;
        let position = from
            .and_then(|from| from.checked_add(distance))
            .ok_or(CursorError::Malformed("open position beyond the greatest number"))?;
        from = position.checked_add(1);
        open.push(Position::new(position));
    }
    Ok(open)
}
