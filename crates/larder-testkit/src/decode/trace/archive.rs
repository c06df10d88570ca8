//! Archives that hold bytes as they are: gzip (RFC 1952, stored blocks of RFC 1951), xz (its format 1.2.1, LZMA2 chunks without compression) and
//! zstd (RFC 8878, raw blocks). Written from those descriptions, not by the code that unpacks.

/// Whether an input begins as an archive does.
pub(super) fn is_one(input: &[u8]) -> bool {
    let magics: [&[u8]; 3] = [&[0x1F, 0x8B], b"\xFD7zXZ\0", &[0x28, 0xB5, 0x2F, 0xFD]];
    magics.iter().any(|magic| input.starts_with(magic))
}

/// As much as a block of any of them may hold.
const BLOCK_BYTES: usize = 0x8000;

fn low16(number: usize) -> [u8; 2] {
    u16::try_from(number).expect("blocks are short").to_le_bytes()
}

/// The input in pieces, of which the last is marked; one that is empty if there is nothing.
fn pieces(input: &[u8]) -> Vec<(&[u8], bool)> {
    let mut pieces: Vec<(&[u8], bool)> = input.chunks(BLOCK_BYTES).map(|piece| (piece, false)).collect();
    if pieces.is_empty() {
        pieces.push((&[], false));
    }
    if let Some((_, is_last)) = pieces.last_mut() {
        *is_last = true;
    }
    pieces
}

pub(super) fn gz(input: &[u8]) -> Vec<u8> {
    // Deflate, no flags, no time, no hint, an unknown system.
    let mut archive = vec![0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 255];
    for (piece, is_last) in pieces(input) {
        archive.push(u8::from(is_last));
        archive.extend(low16(piece.len()));
        archive.extend(low16(piece.len()).map(|byte| !byte));
        archive.extend_from_slice(piece);
    }
    archive.extend(crc32fast::hash(input).to_le_bytes());
    let len = u32::try_from(input.len()).expect("inputs are short");
    archive.extend(len.to_le_bytes());
    archive
}

pub(super) fn zst(input: &[u8]) -> Vec<u8> {
    // No checksum, no dictionary, a window of 1 MiB.
    let mut archive = vec![0x28, 0xB5, 0x2F, 0xFD, 0, 10 << 3];
    for (piece, is_last) in pieces(input) {
        let header = piece.len() << 3 | usize::from(is_last);
        let [low, middle, high, ..] = header.to_le_bytes();
        archive.extend([low, middle, high]);
        archive.extend_from_slice(piece);
    }
    archive
}

pub(super) fn xz(input: &[u8]) -> Vec<u8> {
    // The only check is a CRC-32.
    let flags = [0, 1];
    let mut archive = b"\xFD7zXZ\0".to_vec();
    archive.extend(flags);
    archive.extend(crc32fast::hash(&flags).to_le_bytes());
    // Of twelve bytes, no sizes, one filter: LZMA2 with a dictionary of 1 MiB.
    let mut block = vec![2, 0, 0x21, 1, 16, 0, 0, 0];
    block.extend(crc32fast::hash(&block).to_le_bytes());
    for (at, piece) in input.chunks(BLOCK_BYTES).enumerate() {
        // Uncompressed; the first also resets the dictionary.
        block.push(if at == 0 { 1 } else { 2 });
        block.extend(low16(piece.len() - 1).iter().rev());
        block.extend_from_slice(piece);
    }
    block.push(0);
    let unpadded = block.len() + 4;
    block.resize(block.len().next_multiple_of(4), 0);
    block.extend(crc32fast::hash(input).to_le_bytes());
    archive.extend(block);
    let mut index = vec![0, 1];
    number(unpadded, &mut index);
    number(input.len(), &mut index);
    index.resize(index.len().next_multiple_of(4), 0);
    index.extend(crc32fast::hash(&index).to_le_bytes());
    let quarters = u32::try_from(index.len() / 4 - 1).expect("an index of one block is short");
    let mut footer = quarters.to_le_bytes().to_vec();
    footer.extend(flags);
    archive.extend(index);
    archive.extend(crc32fast::hash(&footer).to_le_bytes());
    archive.extend(footer);
    archive.extend(b"YZ");
    archive
}

/// Seven bits a byte, the low ones first.
fn number(mut number: usize, bytes: &mut Vec<u8>) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7F).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}
