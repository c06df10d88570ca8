//! Traces from bytes, in every format, and archives of them. Framed: the input within a right archive of each kind.
//!
//! What is read is held against plain readers, written from clause S136 and the guide: the same keys, operations and sizes in the same order, as
//! many bad lines, or refused. The bounds are small, so that inputs of the fuzzer's length reach them.

mod archive;
mod plain;

use larder_server::trace::{Bounds, Format, Trace, Unit, Unread};

use self::archive::{gz, xz, zst};
use self::plain::Plain;
use super::Decoded;

/// What comes out of an archive.
const UNPACKED_BYTES_MAX: u64 = 2_048;
const LINE_BYTES_MAX: usize = 40;
const ACCESSES_MAX: usize = 4_096;

/// A plain reader.
type Reader = fn(&[u8]) -> Plain;

fn bounds() -> Bounds {
    Bounds {
        unpacked_bytes_max: UNPACKED_BYTES_MAX,
        line_bytes_max: LINE_BYTES_MAX,
        accesses_max: ACCESSES_MAX,
    }
}

/// Of which nobody said what it is.
pub(super) fn check(input: &[u8]) -> Decoded {
    let raw = Trace::read(input, None, None, bounds());
    if let Err(Unread::Unknown { head, len }) = &raw {
        assert!(head.len() as u64 <= *len, "what is shown is there");
    }
    // In whatever it was recognised as, it reads the same.
    if let Ok(trace) = &raw {
        let again = Trace::read(input, Some(trace.format), None, bounds());
        let again = again.expect("it was read before");
        assert_eq!(again.accesses, trace.accesses, "{:?}", trace.format);
        let first = Trace::read(input, Some(trace.format), Some(1), bounds());
        assert!(first.is_err() || first.is_ok_and(|first| first.accesses.len() == 1));
    }
    Decoded {
        raw: raw.is_ok(),
        framed: framed(input, None, |read| {
            if !archive::is_one(input) && input.len() as u64 <= UNPACKED_BYTES_MAX {
                let same = match (read, &raw) {
                    (Ok(read), Ok(raw)) => read.accesses == raw.accesses && read.format == raw.format,
                    (Err(_), Err(_)) => true,
                    _ => false,
                };
                assert!(same, "an archive says the same: {read:?}, {raw:?}");
            }
        }),
    }
}

pub(super) fn keys(input: &[u8]) -> Decoded {
    of_format(input, Format::Keys, plain::keys)
}

pub(super) fn csv(input: &[u8]) -> Decoded {
    of_format(input, Format::Csv, plain::csv)
}

pub(super) fn text(input: &[u8]) -> Decoded {
    of_format(input, Format::Text, plain::text)
}

pub(super) fn arc(input: &[u8]) -> Decoded {
    of_format(input, Format::Arc, plain::arc)
}

pub(super) fn words(input: &[u8]) -> Decoded {
    let formats: [(Format, Reader); 5] = [
        (Format::Orm, |bytes| plain::words(bytes, 4, <[u8]>::to_vec)),
        (Format::I32be, |bytes| plain::words(bytes, 4, <[u8]>::to_vec)),
        (Format::I32le, |bytes| plain::words(bytes, 4, plain::reversed)),
        (Format::I64be, |bytes| plain::words(bytes, 8, <[u8]>::to_vec)),
        (Format::I64le, |bytes| plain::words(bytes, 8, plain::reversed)),
    ];
    let mut decoded = Decoded::default();
    for (format, read) in formats {
        let this = of_format(input, format, read);
        decoded.raw |= this.raw;
        decoded.framed |= this.framed;
    }
    decoded
}

/// Feeds the input to the reader of one format, as it is and within archives, and compares.
fn of_format(input: &[u8], format: Format, plain: impl Fn(&[u8]) -> Plain) -> Decoded {
    let expected = plain(input);
    let raw = Trace::read(input, Some(format), None, bounds());
    if !archive::is_one(input) {
        compare(&raw, &expected);
    }
    Decoded {
        raw: raw.is_ok(),
        framed: framed(input, Some(format), |read| {
            if input.len() as u64 <= UNPACKED_BYTES_MAX {
                compare(read, &expected);
            }
        }),
    }
}

/// The input within an archive of each kind; whether it decoded. All kinds say the same, and one that is cut is no archive.
fn framed(input: &[u8], format: Option<Format>, mut judge: impl FnMut(&Result<Trace, Unread>)) -> bool {
    let mut found = None;
    for archive in [gz(input), xz(input), zst(input)] {
        let read = Trace::read(archive.as_slice(), format, None, bounds());
        judge(&read);
        let is_read = read.is_ok();
        assert_eq!(
            *found.get_or_insert(is_read),
            is_read,
            "archives of all kinds are alike"
        );
        let Some((_, cut)) = archive.split_last() else {
            continue;
        };
        let cut = Trace::read(cut, format, None, bounds());
        assert!(cut.is_err(), "an archive without its last byte is none");
        if input.len() as u64 > UNPACKED_BYTES_MAX {
            assert!(!is_read, "more than may be was unpacked");
        }
    }
    found.unwrap_or(false)
}

fn compare(read: &Result<Trace, Unread>, expected: &Plain) {
    match (read, &expected.refused) {
        (Ok(trace), None) => {
            assert_eq!(trace.bad, expected.bad, "lines that could not be read");
            let found: Vec<_> = trace
                .accesses
                .iter(Unit::Bytes)
                .map(|access| (access.key, access.op, access.weight))
                .collect();
            assert_eq!(found, expected.numbered(), "accesses");
        }
        (Err(Unread::Damaged(_)), Some(_)) => {}
        (read, refused) => panic!("{read:?}, and was to be refused for: {refused:?}"),
    }
}
