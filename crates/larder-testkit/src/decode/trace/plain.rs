//! [`Plain`]: what a trace says, read as plainly as can be.

use std::collections::HashMap;

use larder_server::trace::Op;

use super::{ACCESSES_MAX, LINE_BYTES_MAX};

const SIZE_MAX: u64 = 1 << 40;
const BLOCKS_MAX: u64 = 1_048_576;

/// What a trace says.
#[derive(Debug, Default)]
pub(super) struct Plain {
    accesses: Vec<(Vec<u8>, Op, Option<u64>)>,
    pub(super) bad: u64,
    /// Why it is not taken.
    pub(super) refused: Option<&'static str>,
}

/// What a line is.
enum Line {
    Accesses(Vec<(Vec<u8>, Op, Option<u64>)>),
    Header,
    Bad,
}

impl Plain {
    /// The accesses by the number of their key and with its last size.
    pub(super) fn numbered(&self) -> Vec<(u32, Op, u64)> {
        let mut keys: HashMap<&[u8], (u32, u64)> = HashMap::new();
        let mut numbered = Vec::new();
        for (key, op, size) in &self.accesses {
            let next = u32::try_from(keys.len()).expect("inputs are short");
            let (number, last) = keys.entry(key).or_insert((next, 0));
            if *op != Op::Delete {
                *last = size.unwrap_or(*last);
            }
            numbered.push((*number, *op, *last));
        }
        numbered
    }

    fn refuse(mut self, why: &'static str) -> Self {
        self.refused.get_or_insert(why);
        self
    }

    fn judged(self) -> Self {
        let is_read = self.accesses.iter().any(|(_, op, _)| *op == Op::Get);
        if self.accesses.len() > ACCESSES_MAX {
            self.refuse("too many accesses")
        } else if !is_read {
            self.refuse("nothing is read")
        } else {
            self
        }
    }
}

fn lines(input: &[u8], read: impl Fn(&[u8], bool) -> Line) -> Plain {
    let mut plain = Plain::default();
    let mut count = 0;
    for line in input.split(|byte| *byte == b'\n') {
        let is_cut = line.len() > LINE_BYTES_MAX;
        let line = line.get(..LINE_BYTES_MAX).unwrap_or(line).trim_ascii();
        if line.is_empty() || line.starts_with(b"#") || line == b"*" {
            continue;
        }
        let is_first = plain.accesses.is_empty() && plain.bad == 0;
        match read(line, is_first) {
            _ if is_cut => plain.bad += 1,
            Line::Bad => plain.bad += 1,
            Line::Header => continue,
            Line::Accesses(accesses) => plain.accesses.extend(accesses),
        }
        count += 1;
        if plain.accesses.len() > ACCESSES_MAX {
            return plain.refuse("too many accesses");
        }
    }
    if plain.bad * 100 > count {
        return plain.refuse("more than one line in a hundred cannot be read");
    }
    plain.judged()
}

pub(super) fn keys(input: &[u8]) -> Plain {
    lines(input, |line, _| {
        Line::Accesses(vec![(line.to_vec(), Op::Get, None)])
    })
}

pub(super) fn csv(input: &[u8]) -> Plain {
    lines(input, |line, is_first| {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).collect();
        let [time, op, key, size, ..] = fields.as_slice() else {
            return Line::Bad;
        };
        let is_time = str::from_utf8(time).is_ok_and(|time| time.parse::<f64>().is_ok());
        let op = op.to_ascii_lowercase();
        if is_first && !is_time && op == b"op" {
            return Line::Header;
        }
        let op = match op.as_slice() {
            b"get" => Op::Get,
            b"set" => Op::Set,
            b"delete" => Op::Delete,
            _ => return Line::Bad,
        };
        let is_size = size.is_empty() || whole(size).is_some_and(|size| size <= SIZE_MAX);
        if !is_time || key.is_empty() || !is_size {
            return Line::Bad;
        }
        Line::Accesses(vec![(key.to_vec(), op, whole(size))])
    })
}

pub(super) fn text(input: &[u8]) -> Plain {
    lines(input, |line, _| match parts(line).as_slice() {
        [_, key, size] => match whole(size).filter(|size| *size <= SIZE_MAX) {
            Some(size) => Line::Accesses(vec![(key.to_vec(), Op::Get, Some(size))]),
            None => Line::Bad,
        },
        _ => Line::Bad,
    })
}

pub(super) fn arc(input: &[u8]) -> Plain {
    lines(input, |line, _| match parts(line).as_slice() {
        [first, count, ..] => match (whole(first), whole(count)) {
            (Some(first), Some(count)) if count <= BLOCKS_MAX && first.checked_add(count).is_some() => {
                // More than may be is enough to see that it is too many.
                let blocks = (first..first + count).take(ACCESSES_MAX + 1);
                let blocks = blocks.map(|block| (block.to_be_bytes().to_vec(), Op::Get, None));
                Line::Accesses(blocks.collect())
            }
            _ => Line::Bad,
        },
        _ => Line::Bad,
    })
}

/// Words of so many bytes, as `big_endian` gives them.
pub(super) fn words(input: &[u8], width: usize, big_endian: impl Fn(&[u8]) -> Vec<u8>) -> Plain {
    let mut plain = Plain::default();
    for word in input.chunks(width) {
        plain.accesses.push((big_endian(word), Op::Get, None));
    }
    if plain.accesses.len() <= ACCESSES_MAX && !input.len().is_multiple_of(width) {
        return plain.refuse("half a word");
    }
    plain.judged()
}

pub(super) fn reversed(word: &[u8]) -> Vec<u8> {
    word.iter().rev().copied().collect()
}

fn parts(line: &[u8]) -> Vec<&[u8]> {
    let parts = line.split(u8::is_ascii_whitespace);
    parts.filter(|part| !part.is_empty()).collect()
}

fn whole(text: &[u8]) -> Option<u64> {
    str::from_utf8(text).ok()?.parse().ok()
}
