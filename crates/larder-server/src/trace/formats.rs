//! [`Trace`]: accesses in order, from whatever they are written in.
//!
//! What is always true: bytes that do not decode are told, never left out in silence; a trace of which more than one line in a hundred cannot be read
//! is refused. What is read is kept as numbers: memory is a few bytes an access, and each key once.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use clap::ValueEnum;

use super::archive::unpacked;
use super::lines::{Line, Lines};
use super::{Accesses, Op, limits};

/// How much is looked at to recognise a text.
const HEAD_BYTES: u64 = 1 << 16;
/// How much is kept of what is no text, to show what it may be.
const SHOWN_BYTES: u64 = 1 << 20;
/// How many characters are shown of a line that cannot be read.
const SHOWN_CHARACTERS: usize = 60;

/// How the accesses of a trace are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A key a line; blank lines, lines that begin with `#` and lone `*` are skipped.
    Keys,
    /// `time,op,key,size[,ttl]`, with or without a header; op is get, set or delete.
    Csv,
    /// `time key size`.
    Text,
    /// `first count 0 request`: each of `count` blocks from `first` is an access.
    Arc,
    /// Big-endian 32-bit words: type in bits 31-27, row in 26-9, index in 8-0.
    Orm,
    /// Big-endian 32-bit words.
    I32be,
    /// Little-endian 32-bit words.
    I32le,
    /// Big-endian 64-bit words.
    I64be,
    /// Little-endian 64-bit words.
    I64le,
}

/// What reading may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How many bytes may come out of an archive.
    pub unpacked_bytes_max: u64,
    /// How long a line may be; at least 1.
    pub line_bytes_max: usize,
    /// How many accesses there may be; less than 2^32.
    pub accesses_max: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds {
            unpacked_bytes_max: limits::UNPACKED_BYTES_MAX,
            line_bytes_max: limits::LINE_BYTES_MAX,
            accesses_max: limits::ACCESSES_MAX,
        }
    }
}

/// Accesses in order, and how they were found.
#[derive(Clone, Debug)]
pub struct Trace {
    /// What was done.
    pub accesses: Accesses,
    /// What each key was called, if keys are numbers; otherwise empty.
    pub numbers: Vec<u64>,
    /// Lines that could not be read.
    pub bad: u64,
    /// The first of them.
    pub first_bad: Option<BadLine>,
    /// What it was read as.
    pub format: Format,
}

/// A line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadLine {
    /// Which, from 1 on.
    pub number: u64,
    /// How it begins.
    pub text: String,
}

/// Why there is no trace.
#[derive(Debug)]
pub enum Unread {
    /// It cannot be read at all.
    Io(io::Error),
    /// It is no text, and nobody said what it is: how it begins, and how long it is.
    Unknown {
        /// The first megabyte.
        head: Vec<u8>,
        /// In bytes.
        len: u64,
    },
    /// It is something else than what was said, or more than is allowed.
    Damaged(String),
}

impl std::fmt::Display for Unread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Unread::Io(error) => write!(f, "{error}"),
            Unread::Unknown { .. } => f.write_str("it is no text: say how it is written"),
            Unread::Damaged(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Unread {}

/// What becomes of a line.
enum Seen {
    Accesses,
    Header,
    Bad,
}

/// A trace while it is read.
struct Reading {
    trace: Trace,
    bounds: Bounds,
    limit: usize,
    numbered: HashMap<u64, u32>,
    texts: HashMap<Box<[u8]>, u32>,
    /// The last size of each key.
    sizes: Vec<u64>,
}

impl Trace {
    /// Reads a trace; up to so many accesses of it, if that is given, and then nothing behind them.
    ///
    /// # Errors
    /// If it cannot be read, cannot be recognised, or is not what it was said to be; or if nothing in it is read.
    pub fn read<'a>(
        source: impl Read + 'a,
        format: Option<Format>,
        first: Option<u64>,
        bounds: Bounds,
    ) -> Result<Self, Unread> {
        let (reader, is_archive) = unpacked(source, bounds).map_err(Unread::Io)?;
        let read = read_plain(reader, format, first, bounds);
        match read {
            Err(Unread::Io(error)) if is_archive => {
                Err(Unread::Damaged(format!("it cannot be unpacked: {error}")))
            }
            read => read,
        }
    }
}

fn read_plain(
    mut reader: impl BufRead,
    format: Option<Format>,
    first: Option<u64>,
    bounds: Bounds,
) -> Result<Trace, Unread> {
    let mut head = Vec::new();
    if format.is_none() {
        reader
            .by_ref()
            .take(HEAD_BYTES)
            .read_to_end(&mut head)
            .map_err(Unread::Io)?;
    }
    let Some(format) = format.or_else(|| recognised(&head)) else {
        reader
            .by_ref()
            .take(SHOWN_BYTES - HEAD_BYTES)
            .read_to_end(&mut head)
            .map_err(Unread::Io)?;
        let rest = io::copy(&mut reader, &mut io::sink()).map_err(Unread::Io)?;
        let len = head.len() as u64 + rest;
        return Err(Unread::Unknown { head, len });
    };
    let mut reading = Reading {
        trace: Trace {
            accesses: Accesses::default(),
            numbers: Vec::new(),
            bad: 0,
            first_bad: None,
            format,
        },
        bounds,
        limit: first.map_or(usize::MAX, |first| usize::try_from(first).unwrap_or(usize::MAX)),
        numbered: HashMap::new(),
        texts: HashMap::new(),
        sizes: Vec::new(),
    };
    let reader = io::Cursor::new(head).chain(reader);
    match format {
        Format::Orm | Format::I32be => reading.words(reader, |word| u64::from(u32::from_be_bytes(word)))?,
        Format::I32le => reading.words(reader, |word| u64::from(u32::from_le_bytes(word)))?,
        Format::I64be => reading.words(reader, u64::from_be_bytes)?,
        Format::I64le => reading.words(reader, u64::from_le_bytes)?,
        Format::Keys | Format::Csv | Format::Text | Format::Arc => {
            reading.lines(Lines::new(reader, bounds.line_bytes_max), format)?;
        }
    }
    let trace = reading.trace;
    let why = if trace.accesses.is_empty() {
        "there is no access in it"
    } else if trace.accesses.reads().0 == 0 {
        "nothing in it is read"
    } else {
        return Ok(trace);
    };
    Err(Unread::Damaged(why.to_owned()))
}

impl Reading {
    fn is_full(&self) -> bool {
        self.trace.accesses.len() >= self.limit
    }

    /// The number of the next key that was not there before.
    fn next_number(&self, keys: usize) -> Result<u32, Unread> {
        if self.trace.accesses.len() < self.bounds.accesses_max
            && let Ok(next) = u32::try_from(keys)
        {
            return Ok(next);
        }
        Err(Unread::Damaged(format!(
            "there are more than {} accesses: read its beginning with --first",
            self.bounds.accesses_max
        )))
    }

    fn number(&mut self, key: u64) -> Result<(), Unread> {
        let next = self.next_number(self.trace.numbers.len())?;
        let numbers = &mut self.trace.numbers;
        let key = *self.numbered.entry(key).or_insert_with(|| {
            numbers.push(key);
            next
        });
        self.trace.accesses.push(key, Op::Get, 0);
        Ok(())
    }

    /// Of no size, if none was said: then its last size counts.
    fn text(&mut self, key: &[u8], op: Op, size: Option<u64>) -> Result<(), Unread> {
        let next = self.next_number(self.texts.len())?;
        let known = self.texts.get(key).copied();
        let key = known.unwrap_or_else(|| {
            self.texts.insert(key.into(), next);
            self.sizes.push(0);
            next
        });
        let last = self.sizes.get_mut(key as usize);
        let last = last.expect("invariant: each key has a last size");
        if op != Op::Delete {
            *last = size.unwrap_or(*last);
        }
        let size = *last;
        self.trace.accesses.push(key, op, size);
        Ok(())
    }

    fn bad(&mut self, line: &Line<'_>) {
        self.trace.bad += 1;
        self.trace.first_bad.get_or_insert_with(|| BadLine {
            number: line.number,
            text: String::from_utf8_lossy(line.text)
                .chars()
                .take(SHOWN_CHARACTERS)
                .collect(),
        });
    }

    fn words<const N: usize>(
        &mut self,
        mut reader: impl BufRead,
        number: impl Fn([u8; N]) -> u64,
    ) -> Result<(), Unread> {
        let mut rest = Vec::with_capacity(N);
        while !self.is_full() {
            let bytes = reader.fill_buf().map_err(Unread::Io)?;
            let len = bytes.len();
            if len == 0 {
                break;
            }
            // A word may lie across the end of what is at hand.
            let missing = if rest.is_empty() { 0 } else { N - rest.len() };
            let (begin, bytes) = bytes.split_at(missing.min(len));
            rest.extend_from_slice(begin);
            if let Ok(word) = <[u8; N]>::try_from(rest.as_slice()) {
                self.number(number(word))?;
                rest.clear();
            }
            let (words, end) = bytes.as_chunks::<N>();
            for word in words {
                if self.is_full() {
                    return Ok(());
                }
                self.number(number(*word))?;
            }
            rest.extend_from_slice(end);
            reader.consume(len);
        }
        if rest.is_empty() || self.is_full() {
            return Ok(());
        }
        Err(Unread::Damaged(format!("its length is no multiple of {N}")))
    }

    fn lines(&mut self, mut lines: Lines<impl BufRead>, format: Format) -> Result<(), Unread> {
        let mut count = 0;
        while !self.is_full()
            && let Some(line) = lines.next().map_err(Unread::Io)?
        {
            if line.text.is_empty() || line.text.starts_with(b"#") || line.text == b"*" {
                continue;
            }
            let seen = match format {
                _ if line.is_cut => Seen::Bad,
                Format::Keys => self.text(line.text, Op::Get, None).map(|()| Seen::Accesses)?,
                Format::Csv => self.csv(&line)?,
                Format::Text => self.sized(line.text)?,
                _ => self.blocks(line.text)?,
            };
            match seen {
                Seen::Accesses => count += 1,
                Seen::Header => {}
                Seen::Bad => {
                    count += 1;
                    self.bad(&line);
                }
            }
        }
        let bad = self.trace.bad;
        if bad * 100 > count {
            let first = self.trace.first_bad.as_ref();
            let (number, text) = first.map_or((0, ""), |first| (first.number, first.text.as_str()));
            let why = format!("{bad} of {count} lines cannot be read, the first is line {number}: `{text}`");
            return Err(Unread::Damaged(why));
        }
        Ok(())
    }

    /// `time,op,key,size[,ttl]`. No size at all means the last one of its key.
    fn csv(&mut self, line: &Line<'_>) -> Result<Seen, Unread> {
        let mut fields = line.text.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        let (Some(time), Some(op), Some(key), Some(size)) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Ok(Seen::Bad);
        };
        let is_first = self.trace.accesses.is_empty() && self.trace.bad == 0;
        if is_first && time.parse_number().is_none() && op.eq_ignore_ascii_case(b"op") {
            return Ok(Seen::Header);
        }
        let known = [("get", Op::Get), ("set", Op::Set), ("delete", Op::Delete)];
        let op = known
            .into_iter()
            .find(|(name, _)| op.eq_ignore_ascii_case(name.as_bytes()));
        let size = if size.is_empty() {
            Some(None)
        } else {
            size_of(size).map(Some)
        };
        match (op, size) {
            (Some((_, op)), Some(size)) if !key.is_empty() && time.parse_number().is_some() => {
                self.text(key, op, size).map(|()| Seen::Accesses)
            }
            _ => Ok(Seen::Bad),
        }
    }

    /// `time key size`.
    fn sized(&mut self, line: &[u8]) -> Result<Seen, Unread> {
        let mut words = words_of(line);
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some(_), Some(key), Some(size), None) if size_of(size).is_some() => {
                self.text(key, Op::Get, size_of(size)).map(|()| Seen::Accesses)
            }
            _ => Ok(Seen::Bad),
        }
    }

    /// `first count 0 request`.
    fn blocks(&mut self, line: &[u8]) -> Result<Seen, Unread> {
        let mut words = words_of(line);
        let mut next = || words.next().and_then(number);
        match (next(), next()) {
            (Some(first), Some(count))
                if count <= limits::BLOCKS_MAX && first.checked_add(count).is_some() =>
            {
                let room = self.limit - self.trace.accesses.len();
                let count = count.min(u64::try_from(room).unwrap_or(u64::MAX));
                (first..first + count)
                    .try_for_each(|block| self.number(block))
                    .map(|()| Seen::Accesses)
            }
            _ => Ok(Seen::Bad),
        }
    }
}

/// What a text is written in; none for what is no text.
fn recognised(head: &[u8]) -> Option<Format> {
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
    let words: Vec<&[u8]> = words_of(line).collect();
    let is_number = |word: &&[u8]| number(word).is_some();
    Some(match words.as_slice() {
        [first, count, rest, request] if [first, count, rest, request].into_iter().all(is_number) => {
            Format::Arc
        }
        [_, _, size] if is_number(size) => Format::Text,
        _ => Format::Keys,
    })
}

fn words_of(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
}

fn number(word: &[u8]) -> Option<u64> {
    str::from_utf8(word).ok()?.parse().ok()
}

/// In bytes.
fn size_of(word: &[u8]) -> Option<u64> {
    number(word).filter(|size| *size <= limits::SIZE_BYTES_MAX)
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
