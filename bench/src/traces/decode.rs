//! Reads the two kinds of files that traces come in.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::{error, fmt, io};

/// The most blocks that one line of a list may stand for. Greater numbers mean that the file is something else.
const BLOCKS_MAX: u64 = 1 << 20;

/// Why a trace could not be read.
#[derive(Debug)]
pub struct TraceError {
    file: String,
    detail: String,
}

impl fmt::Display for TraceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "read trace {}: {}", self.file, self.detail)
    }
}

impl error::Error for TraceError {}

/// 32-bit numbers, compressed with xz.
pub(super) fn numbers(path: &Path, number: impl Fn([u8; 4]) -> u32) -> Result<Vec<u64>, TraceError> {
    let fault = |error: &dyn fmt::Display| fault(path, error);
    let file = File::open(path).map_err(|error| fault(&error))?;
    let mut bytes = Vec::new();
    lzma_rust2::XzReader::new(BufReader::new(file), true)
        .read_to_end(&mut bytes)
        .map_err(|error| fault(&error))?;
    let (words, rest) = bytes.as_chunks::<4>();
    if rest.is_empty() {
        Ok(words.iter().map(|word| u64::from(number(*word))).collect())
    } else {
        Err(fault(&"its length is no multiple of four"))
    }
}

/// Lines of `first_block block_count 0 request`, compressed with zstd: each stands for that many accesses.
pub(super) fn block_lists(path: &Path) -> Result<Vec<u64>, TraceError> {
    let fault = |error: &dyn fmt::Display| fault(path, error);
    let file = File::open(path).map_err(|error| fault(&error))?;
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(BufReader::new(file)).map_err(|error| fault(&error))?;
    let mut blocks = Vec::new();
    for line in BufReader::new(decoder).lines() {
        let line = line.map_err(|error: io::Error| fault(&error))?;
        let mut numbers = line.split_ascii_whitespace().map(str::parse::<u64>);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(first)), Some(Ok(count))) if count <= BLOCKS_MAX => {
                blocks.extend(first..first.saturating_add(count));
            }
            _ => return Err(fault(&format_args!("`{line}` is no list of blocks"))),
        }
    }
    Ok(blocks)
}

fn fault(path: &Path, detail: &dyn fmt::Display) -> TraceError {
    TraceError {
        file: path.display().to_string(),
        detail: detail.to_string(),
    }
}
