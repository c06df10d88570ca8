//! [`Trace`]: accesses in order, from whatever they are written in.
//!
//! What is always true: bytes that do not decode are told, never left out in silence; a trace of which more than one line in a hundred cannot be read
//! is refused.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use super::Format;

/// The most blocks that one line of a list may stand for. Greater numbers mean that the file is something else.
const BLOCKS_MAX: u64 = 1 << 20;
/// The most accesses of a trace: they are kept as numbers of 32 bits.
const ACCESSES_MAX: usize = u32::MAX as usize;

/// Accesses in order, each by the number of its key: keys are numbered by their first access.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace {
    pub(crate) accesses: Vec<u32>,
    /// What each key was called.
    pub(crate) names: Names,
    /// Lines that could not be read.
    pub(crate) bad: u64,
    /// The first of them, and what it says.
    pub(crate) first_bad: Option<(u64, String)>,
    pub(crate) format: Option<Format>,
}

/// What keys were called: numbers, or texts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) numbers: Vec<u64>,
    numbered: HashMap<u64, u32>,
    texts: HashMap<Box<[u8]>, u32>,
}

/// Why there is no trace.
#[derive(Debug)]
pub(crate) enum Unread {
    /// It is not there, or may not be read.
    Missing(io::Error),
    /// It is no text, and nobody said what it is.
    Unknown(Vec<u8>),
    /// It is something else than what was said.
    Damaged(String),
}

impl Trace {
    /// How many keys there are.
    pub(crate) fn keys(&self) -> usize {
        self.names.numbers.len().max(self.names.texts.len())
    }

    fn number(&mut self, key: u64) -> Result<(), Unread> {
        let next = u32::try_from(self.names.numbers.len()).map_err(|_| too_long())?;
        let numbers = &mut self.names.numbers;
        let key = *self.names.numbered.entry(key).or_insert_with(|| {
            numbers.push(key);
            next
        });
        self.push(key)
    }

    fn text(&mut self, key: &[u8]) -> Result<(), Unread> {
        let next = u32::try_from(self.names.texts.len()).map_err(|_| too_long())?;
        let known = self.names.texts.get(key).copied();
        let key = known.unwrap_or_else(|| {
            self.names.texts.insert(key.into(), next);
            next
        });
        self.push(key)
    }

    fn push(&mut self, key: u32) -> Result<(), Unread> {
        if self.accesses.len() == ACCESSES_MAX {
            return Err(too_long());
        }
        self.accesses.push(key);
        Ok(())
    }

    fn bad(&mut self, line: u64, text: &[u8]) {
        self.bad += 1;
        if self.first_bad.is_none() {
            self.first_bad = Some((line, String::from_utf8_lossy(text).into_owned()));
        }
    }
}

fn too_long() -> Unread {
    Unread::Damaged(format!("there are more than {ACCESSES_MAX} accesses"))
}

/// Reads a trace; up to so many accesses of it, if that is given.
pub(crate) fn read(path: &Path, format: Option<Format>, first: Option<u64>) -> Result<Trace, Unread> {
    let bytes = plain(path)?;
    let limit = first.map_or(usize::MAX, |first| usize::try_from(first).unwrap_or(usize::MAX));
    let format = match format.or_else(|| recognised(&bytes)) {
        Some(format) => format,
        None => return Err(Unread::Unknown(bytes)),
    };
    let mut trace = Trace {
        format: Some(format),
        ..Trace::default()
    };
    match format {
        Format::Orm | Format::I32be => words(&bytes, &mut trace, limit, |word| {
            u64::from(u32::from_be_bytes(word))
        })?,
        Format::I32le => words(&bytes, &mut trace, limit, |word| {
            u64::from(u32::from_le_bytes(word))
        })?,
        Format::I64be => words(&bytes, &mut trace, limit, u64::from_be_bytes)?,
        Format::I64le => words(&bytes, &mut trace, limit, u64::from_le_bytes)?,
        Format::Keys | Format::Csv | Format::Text | Format::Arc => lines(&bytes, &mut trace, limit, format)?,
    }
    trace.accesses.truncate(limit);
    if trace.accesses.is_empty() {
        return Err(Unread::Damaged("there is no access in it".to_owned()));
    }
    Ok(trace)
}

/// What a file holds, without what it is compressed with.
fn plain(path: &Path) -> Result<Vec<u8>, Unread> {
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .read_to_end(&mut bytes)
            .map_err(Unread::Missing)?;
    } else {
        let file = File::open(path).map_err(Unread::Missing)?;
        BufReader::new(file)
            .read_to_end(&mut bytes)
            .map_err(Unread::Missing)?;
    }
    let mut plain = Vec::new();
    let unpacked = match bytes.as_slice() {
        [0x1F, 0x8B, ..] => flate2::read::MultiGzDecoder::new(&*bytes)
            .read_to_end(&mut plain)
            .map_err(|error| error.to_string()),
        [0xFD, b'7', b'z', b'X', b'Z', 0, ..] => {
            let mut reader = lzma_rust2::XzReader::new(&*bytes, true);
            reader.read_to_end(&mut plain).map_err(|error| error.to_string())
        }
        [0x28, 0xB5, 0x2F, 0xFD, ..] => ruzstd::decoding::StreamingDecoder::new(&*bytes)
            .map_err(|error| error.to_string())
            .and_then(|mut reader| reader.read_to_end(&mut plain).map_err(|error| error.to_string())),
        _ => return Ok(bytes),
    };
    match unpacked {
        Ok(_) => Ok(plain),
        Err(why) => Err(Unread::Damaged(format!("it cannot be unpacked: {why}"))),
    }
}

/// What a text is written in; none for what is no text.
fn recognised(bytes: &[u8]) -> Option<Format> {
    let (head, _) = bytes.split_at(bytes.len().min(1 << 16));
    let is_text = |byte: &u8| *byte >= b' ' || matches!(byte, b'\n' | b'\r' | b'\t');
    if !head.iter().all(is_text) {
        return None;
    }
    let lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let mut lines = lines.filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    // The first may be a header.
    let Some(first) = lines.next() else {
        return Some(Format::Keys);
    };
    let line = lines.next().unwrap_or(first);
    if line.iter().filter(|byte| **byte == b',').count() >= 3 {
        return Some(Format::Csv);
    }
    let words: Vec<&[u8]> = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .collect();
    let is_number = |word: &&[u8]| number(word).is_some();
    Some(match words.as_slice() {
        [first, count, rest, request] if [first, count, rest, request].into_iter().all(is_number) => {
            Format::Arc
        }
        [_, _, size] if is_number(size) => Format::Text,
        _ => Format::Keys,
    })
}

fn words<const N: usize>(
    bytes: &[u8],
    trace: &mut Trace,
    limit: usize,
    number: impl Fn([u8; N]) -> u64,
) -> Result<(), Unread> {
    let (words, rest) = bytes.as_chunks::<N>();
    if !rest.is_empty() {
        return Err(Unread::Damaged(format!("its length is no multiple of {N}")));
    }
    words
        .iter()
        .take(limit)
        .try_for_each(|word| trace.number(number(*word)))
}

fn lines(bytes: &[u8], trace: &mut Trace, limit: usize, format: Format) -> Result<(), Unread> {
    let mut lines = 0;
    for (line, number) in bytes.split(|byte| *byte == b'\n').zip(1..) {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line == b"*" {
            continue;
        }
        if trace.accesses.len() >= limit {
            break;
        }
        lines += 1;
        let is_read = match format {
            Format::Keys => trace.text(line).map(|()| true)?,
            Format::Csv => csv(line, number, trace)?,
            Format::Text => text(line, trace)?,
            _ => blocks(line, trace)?,
        };
        if !is_read {
            trace.bad(number, line);
        }
    }
    if trace.bad * 100 > lines {
        let (line, text) = trace.first_bad.clone().unwrap_or_default();
        let text: String = text.chars().take(60).collect();
        let why = format!(
            "{} of {lines} lines cannot be read, the first is line {line}: `{text}`",
            trace.bad
        );
        return Err(Unread::Damaged(why));
    }
    Ok(())
}

/// `time,op,key,size[,ttl]`. Sets and deletes are accesses of their key as well: what is asked is what would be at hand.
fn csv(line: &[u8], number_of_line: u64, trace: &mut Trace) -> Result<bool, Unread> {
    let mut fields = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let (Some(time), Some(op), Some(key), Some(_size)) =
        (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Ok(false);
    };
    if number_of_line == 1 && time.parse_number().is_none() && op.eq_ignore_ascii_case(b"op") {
        return Ok(true);
    }
    let is_known = ["get", "set", "delete"]
        .iter()
        .any(|known| op.eq_ignore_ascii_case(known.as_bytes()));
    if !is_known || key.is_empty() || time.parse_number().is_none() {
        return Ok(false);
    }
    trace.text(key).map(|()| true)
}

/// `time key size`.
fn text(line: &[u8], trace: &mut Trace) -> Result<bool, Unread> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    match (words.next(), words.next(), words.next(), words.next()) {
        (Some(_), Some(key), Some(size), None) if number(size).is_some() => trace.text(key).map(|()| true),
        _ => Ok(false),
    }
}

/// `first count 0 request`.
fn blocks(line: &[u8], trace: &mut Trace) -> Result<bool, Unread> {
    let mut words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let mut next = || words.next().and_then(number);
    match (next(), next()) {
        (Some(first), Some(count)) if count <= BLOCKS_MAX && first.checked_add(count).is_some() => (first
            ..first + count)
            .try_for_each(|block| trace.number(block))
            .map(|()| true),
        _ => Ok(false),
    }
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}

/// Times are whole numbers, or have a fraction.
trait ParseNumber {
    fn parse_number(&self) -> Option<f64>;
}

impl ParseNumber for [u8] {
    fn parse_number(&self) -> Option<f64> {
        str::from_utf8(self).ok()?.parse().ok()
    }
}
