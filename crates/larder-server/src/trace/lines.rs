//! [`Lines`]: the lines of a text, each at most so long; of a longer one the beginning, and the rest is passed over.

use std::io::{self, BufRead};

/// The lines of a reader, one at a time.
pub(super) struct Lines<R> {
    reader: R,
    line: Vec<u8>,
    line_bytes_max: usize,
    number: u64,
}

/// A line without its end.
pub(super) struct Line<'a> {
    /// From 1 on.
    pub(super) number: u64,
    pub(super) text: &'a [u8],
    /// There was more of it.
    pub(super) is_cut: bool,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(reader: R, line_bytes_max: usize) -> Self {
        Lines {
            reader,
            line: Vec::new(),
            line_bytes_max,
            number: 0,
        }
    }

    /// The next line; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let (mut is_cut, mut is_there) = (false, false);
        loop {
            let bytes = self.reader.fill_buf()?;
            if bytes.is_empty() {
                break;
            }
            is_there = true;
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let (text, _) = bytes.split_at(end.unwrap_or(bytes.len()));
            let (fits, more) = text.split_at(text.len().min(self.line_bytes_max - self.line.len()));
            self.line.extend_from_slice(fits);
            is_cut |= !more.is_empty();
            let passed = text.len() + usize::from(end.is_some());
            self.reader.consume(passed);
            if end.is_some() {
                break;
            }
        }
        self.number += 1;
        Ok(is_there.then_some(Line {
            number: self.number,
            text: self.line.trim_ascii(),
            is_cut,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::Lines;

    /// Contract: S144 (partial: the length of a line of a trace)
    #[test]
    fn lines_are_the_same_in_whatever_pieces_they_come() {
        let text = b"one\n\n two\r\nabcde\nabcdef\nlast";
        let expected = [
            (1, "one", false),
            (2, "", false),
            (3, "two", false),
            (4, "abcde", false),
            (5, "abcde", true),
            (6, "last", false),
        ];
        for piece in 1..40 {
            let mut lines = Lines::new(BufReader::with_capacity(piece, &text[..]), 5);
            for (number, line, is_cut) in expected {
                let next = lines.next().unwrap().unwrap();
                assert_eq!(
                    (next.number, next.text, next.is_cut),
                    (number, line.as_bytes(), is_cut),
                    "in pieces of {piece}"
                );
            }
            assert!(lines.next().unwrap().is_none());
        }
    }
}
