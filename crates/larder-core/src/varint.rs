//! Numbers of one to ten bytes, least significant seven bits first, the high bit set on all but the last byte.
//!
//! Writing gives the shortest form and reading takes no other, so that a value has one encoding. Reading foreign
//! bytes never panics and never reads past them.

/// Appends `value`.
pub(crate) fn write(out: &mut Vec<u8>, value: u64) {
    let mut rest = value;
    loop {
        let low = u8::try_from(rest & 0x7f).expect("invariant: seven bits fit a byte");
        rest >>= 7;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// How many bytes [`write`] appends for `value`.
pub(crate) const fn len(value: u64) -> usize {
    // Zero takes one byte, like one.
    let bits = u64::BITS - (value | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

/// Takes a value from the front of `bytes`. `None` if they end too soon, or hold more than 64 bits or a longer form
/// than needed.
pub(crate) fn read(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let (&byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let low = u64::from(byte & 0x7f);
        if low.leading_zeros() < shift {
            return None;
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            let shortest = byte != 0 || shift == 0;
            return shortest.then_some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_comes_back_and_is_foretold() {
        for shift in 0..u64::BITS {
            for value in [(1 << shift) - 1, 1 << shift, (1 << shift) + 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                write(&mut bytes, value);
                assert_eq!(bytes.len(), len(value), "{value}");
                let mut rest = bytes.as_slice();
                assert_eq!(read(&mut rest), Some(value));
                assert!(rest.is_empty());
                assert_eq!(
                    read(&mut bytes.get(..bytes.len() - 1).unwrap()),
                    None,
                    "{value} cut short"
                );
            }
        }
    }

    #[test]
    fn longer_forms_and_more_than_64_bits_are_refused() {
        assert_eq!(read(&mut [0x80, 0x00].as_slice()), None);
        assert_eq!(read(&mut [0xff, 0x00].as_slice()), None);
        let greatest = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(read(&mut greatest.as_slice()), Some(u64::MAX));
        let beyond = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read(&mut beyond.as_slice()), None);
        assert_eq!(read(&mut [0x80; 11].as_slice()), None);
    }
}
