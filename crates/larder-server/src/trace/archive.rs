//! [`unpacked`]: what a reader holds, without what it is compressed with, which its first bytes tell.
//!
//! What is always true: what cannot be unpacked to its end is an error, and so is what lies behind it; checksums are checked; and no more than
//! [`Bounds::unpacked_bytes_max`] bytes come out of an archive, however few went in.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use lzma_rust2::XzReader;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::formats::Bounds;
use super::limits::UNPACKING_KIB_MAX;

const GZ: &[u8] = &[0x1F, 0x8B];
const XZ: &[u8] = &[0xFD, b'7', b'z', b'X', b'Z', 0];
const ZST: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];
/// The longest of the three.
const MAGIC_BYTES: usize = 6;

/// An archive holds more than was allowed.
#[derive(Debug, thiserror::Error)]
#[error("it holds more than {0} bytes: unpack it before, or read its beginning with --first")]
pub(super) struct TooMuch(u64);

/// What an archive holds, up to a bound.
struct Bounded<R> {
    reader: R,
    left: u64,
    max: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.reader.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other(TooMuch(self.max))),
        }
        Ok(read)
    }
}

/// A reader of what is in an archive, or of what is no archive; and whether it is one.
///
/// # Errors
/// If the first bytes cannot be read.
pub(super) fn unpacked<'a>(
    mut source: impl Read + 'a,
    bounds: Bounds,
) -> io::Result<(Box<dyn BufRead + 'a>, bool)> {
    let mut magic = Vec::with_capacity(MAGIC_BYTES);
    source.by_ref().take(MAGIC_BYTES as u64).read_to_end(&mut magic)?;
    let is = |known: &[u8]| magic.starts_with(known);
    let (is_gz, is_xz, is_zst) = (is(GZ), is(XZ), is(ZST));
    let whole = BufReader::new(io::Cursor::new(magic).chain(source));
    let reader: Box<dyn Read + 'a> = if is_gz {
        Box::new(MultiGzDecoder::new(whole))
    } else if is_xz {
        Box::new(XzReader::new_mem_limit(whole, true, UNPACKING_KIB_MAX))
    } else if is_zst {
        Box::new(Frames::new(whole))
    } else {
        return Ok((Box::new(whole), false));
    };
    let max = bounds.unpacked_bytes_max;
    let bounded = Bounded {
        reader,
        left: max,
        max,
    };
    Ok((Box::new(BufReader::with_capacity(64 << 10, bounded)), true))
}

/// Every frame of a zstd archive, one after the other.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    is_within: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        let mut decoder = FrameDecoder::new();
        decoder.set_max_window_size(u64::from(UNPACKING_KIB_MAX) << 10);
        Frames {
            source,
            decoder,
            is_within: false,
        }
    }

    /// Begins the next frame; false at the end.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.source) {
                Ok(()) => {
                    self.is_within = true;
                    return Ok(true);
                }
                // A frame of somebody else's.
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let skipped = io::copy(&mut self.source.by_ref().take(length.into()), &mut io::sink())?;
                    if skipped < u64::from(length) {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn check(&self) -> io::Result<()> {
        let (said, found) = (
            self.decoder.get_checksum_from_data(),
            self.decoder.get_calculated_checksum(),
        );
        if said.is_some() && said != found {
            return Err(io::Error::other("its checksum is another"));
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.is_within && !self.begin()? {
                return Ok(0);
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.check()?;
            self.is_within = false;
        }
    }
}
