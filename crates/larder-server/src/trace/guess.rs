//! What raw numbers look like in each width and byte order, for whoever must say which it is.

use std::collections::HashSet;

/// How many numbers are looked at.
const LOOKED_AT: usize = 100_000;

/// The numbers that bytes are, read in one way.
type Reading = fn(&[u8]) -> Vec<u64>;

/// A line for each reading: the first numbers, how many are distinct, and how many neighbours are one apart. The right reading has few distinct
/// numbers, or many neighbours. `bytes` are how it begins, `len` how long it is.
#[must_use]
pub fn table(bytes: &[u8], len: u64) -> String {
    let mut table = String::from("format  distinct  one apart  first numbers\n");
    let readings: [(&str, u64, Reading); 4] = [
        ("i32be", 4, |bytes| {
            numbers::<4>(bytes, |word| u64::from(u32::from_be_bytes(word)))
        }),
        ("i32le", 4, |bytes| {
            numbers::<4>(bytes, |word| u64::from(u32::from_le_bytes(word)))
        }),
        ("i64be", 8, |bytes| numbers::<8>(bytes, u64::from_be_bytes)),
        ("i64le", 8, |bytes| numbers::<8>(bytes, u64::from_le_bytes)),
    ];
    for (name, width, read) in readings {
        if !len.is_multiple_of(width) {
            table.push_str(&format!("{name:<6}  its length is no multiple of {width}\n"));
            continue;
        }
        let numbers = read(bytes);
        let distinct = numbers.iter().collect::<HashSet<_>>().len();
        let near = numbers
            .windows(2)
            .filter(|two| matches!(two, [one, other] if one.abs_diff(*other) == 1))
            .count();
        let first: Vec<String> = numbers.iter().take(5).map(u64::to_string).collect();
        let share = |part: usize| part * 100 / numbers.len().max(1);
        table.push_str(&format!(
            "{name:<6}  {:>6} %  {:>7} %  {}\n",
            share(distinct),
            share(near),
            first.join(" ")
        ));
    }
    table
}

fn numbers<const N: usize>(bytes: &[u8], number: impl Fn([u8; N]) -> u64) -> Vec<u64> {
    let (words, _) = bytes.as_chunks::<N>();
    words.iter().take(LOOKED_AT).map(|word| number(*word)).collect()
}
