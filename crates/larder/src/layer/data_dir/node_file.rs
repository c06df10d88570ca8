//! The file `node`, as bytes: a file header, and one frame with the node's key and name. `docs/formats/node.md` lays it down.

#![deny(clippy::indexing_slicing)]

use larder_core::limits::NODE_BYTES_MAX;
use larder_core::{Entropy, FileHeader, FileHeaderError, FrameError, FrameFormat, StoreId};

/// The version of the format that is written and read.
const VERSION: u16 = 1;
/// What the file begins with.
const MAGIC: [u8; 4] = *b"LNOD";
/// The kind of the frame that begins the file.
const HEADER_KIND: u16 = 1;
/// The kind of the frame behind it.
const IDENTITY_KIND: u16 = 2;
/// The key, and the longest name.
const BODY_BYTES_MAX: u32 = 144;
/// No such file is longer.
pub(super) const BYTES_MAX: u64 = 232;

const HEADER: FrameFormat = FileHeader::format(MAGIC, VERSION, HEADER_KIND);
const IDENTITY: FrameFormat = FrameFormat::new(MAGIC, VERSION, BODY_BYTES_MAX).kind(IDENTITY_KIND);

/// Who a node is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) node: String,
    pub(super) key: [u8; 16],
}

/// Why a file says nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unreadable {
    Newer { found: u16, known: u16 },
    Damaged(String),
}

impl Identity {
    /// A name that nobody else has, and a key that nobody else knows.
    pub(super) fn generate(entropy: &dyn Entropy) -> Self {
        let mut key = [0; 16];
        entropy.fill(&mut key);
        Identity {
            node: format!("node-{:016x}", entropy.next_u64()),
            key,
        }
    }
}

pub(super) fn encode(identity: &Identity, entropy: &dyn Entropy) -> Vec<u8> {
    let header = FileHeader::new(StoreId::generate(entropy), 0, entropy.next_u64());
    let mut bytes = header.encode(&HEADER);
    let mut body = identity.key.to_vec();
    body.extend_from_slice(identity.node.as_bytes());
    let place = header.place(FileHeader::BYTES as u64);
    let encoded = IDENTITY.encode(place, &body, &mut bytes);
    encoded.expect("invariant: a name is within its limit");
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<Identity, Unreadable> {
    let header = FileHeader::decode(&HEADER, None, bytes).map_err(|error| match error {
        FileHeaderError::Frame(error) => of_frame(error),
        other => Unreadable::Damaged(other.to_string()),
    })?;
    let behind = bytes.get(FileHeader::BYTES..).unwrap_or_default();
    let decoded = IDENTITY.decode(header.place(FileHeader::BYTES as u64), behind);
    let decoded = decoded.map_err(of_frame)?;
    if !decoded.rest.is_empty() {
        return Err(Unreadable::Damaged(
            "there is something behind its end".to_owned(),
        ));
    }
    let (key, name) = decoded
        .body
        .split_first_chunk::<16>()
        .ok_or_else(|| Unreadable::Damaged("it is too short for a key".to_owned()))?;
    let node = str::from_utf8(name).map_err(|_| Unreadable::Damaged("the name is no text".to_owned()))?;
    if node.is_empty() || node.len() > NODE_BYTES_MAX || node.chars().any(char::is_control) {
        return Err(Unreadable::Damaged("the name is none".to_owned()));
    }
    Ok(Identity {
        node: node.to_owned(),
        key: *key,
    })
}

fn of_frame(error: FrameError) -> Unreadable {
    match error {
        FrameError::Version { found, known } if found > known => Unreadable::Newer { found, known },
        other => Unreadable::Damaged(other.to_string()),
    }
}
