//! [`Chunks`], an array that grows at its end without moving what it holds.
//!
//! What is always true: every chunk but the last is full, so a place is found by a shift and a mask; beyond the first chunk
//! nothing ever moves, and at most one chunk is partly unused. An array in one piece would be copied whole each time
//! that it grows, into memory that the system has to clear first: half of the cost of filling a pool.

use smallvec::SmallVec;

/// A chunk has two to the power of this many places.
const CHUNK_BITS: u32 = 9;
const CHUNK: usize = 1 << CHUNK_BITS;
/// The fewest places that the first chunk grows by.
const GROWTH_MIN: usize = 8;
/// It grows by one in so many, where doubling would leave half of it unused.
const GROWTH_PART: usize = 4;

/// Values by number, from zero on.
pub(crate) struct Chunks<T> {
    /// Few values are in one chunk, and need no memory but its own.
    chunks: SmallVec<[Vec<T>; 1]>,
}

impl<T> Chunks<T> {
    pub(crate) fn new() -> Self {
        Self {
            chunks: SmallVec::new(),
        }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.chunks.split_last() {
            None => 0,
            Some((last, full)) => full.len() * CHUNK + last.len(),
        }
    }

    #[inline]
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index >> CHUNK_BITS)?.get(index % CHUNK)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.chunks.get_mut(index >> CHUNK_BITS)?.get_mut(index % CHUNK)
    }

    /// Adds a value at the end. O(1), but for the first chunk, which moves while it grows.
    pub(crate) fn push(&mut self, value: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => {
                if last.len() == last.capacity() {
                    let more = (last.len() / GROWTH_PART).max(GROWTH_MIN);
                    last.reserve_exact(more.min(CHUNK - last.len()));
                }
                last.push(value);
            }
            _ => {
                let size = if self.chunks.is_empty() { GROWTH_MIN } else { CHUNK };
                let mut chunk = Vec::with_capacity(size);
                chunk.push(value);
                self.chunks.push(chunk);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values are found by their numbers over the borders of chunks, stay where they are, and what is not used is less than
    /// a chunk.
    #[test]
    fn values_are_found_by_number_and_do_not_move() {
        let mut chunks = Chunks::new();
        assert_eq!((chunks.len(), chunks.get(0)), (0, None));
        let count = 3 * CHUNK + 7;
        let mut addresses = Vec::new();
        for index in 0..count {
            chunks.push(index);
            if index % CHUNK == CHUNK - 1 {
                addresses.push(std::ptr::from_ref(chunks.get(index).unwrap()));
            }
        }
        assert_eq!((chunks.len(), chunks.get(count)), (count, None));
        for (chunk, address) in addresses.into_iter().enumerate() {
            let now = chunks.get(chunk * CHUNK + CHUNK - 1).unwrap();
            assert!(std::ptr::eq(now, address), "chunk {chunk} was moved");
        }
        for index in 0..count {
            *chunks.get_mut(index).unwrap() += 1;
        }
        assert!((0..count).all(|index| chunks.get(index) == Some(&(index + 1))));
        let room: usize = chunks.chunks.iter().map(Vec::capacity).sum();
        assert!(room < count + CHUNK, "{room} places for {count}");
    }

    /// A few values take up few places.
    #[test]
    fn the_first_chunk_grows_slowly() {
        let mut chunks = Chunks::new();
        for count in 1..=CHUNK {
            chunks.push(0_u8);
            let room = chunks.chunks[0].capacity();
            assert!(
                room <= count + (count / GROWTH_PART).max(GROWTH_MIN),
                "{room} for {count}"
            );
        }
        assert_eq!(chunks.chunks[0].capacity(), CHUNK, "and never beyond a chunk");
    }
}
