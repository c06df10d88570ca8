//! Values as bytes: containers, what is refused of foreign ones, and inserts from them.
//!
//! Containers are built here from `docs/formats/pool.md`, with the checksum of core's frames, not by the code that is tested.

// The bytes, as documented and as kept.
mod format;
// Inserts from bytes, by the rules of every insert.
mod inserts;
// Types that come back from their bytes, and values that do not fit.
mod values;
// Every refusal, and damage of every kind.
mod refusals;
// What hostile bytes may take.
mod hostile;
// The seeds of the fuzz target.
mod seeds;

use larder_core::FrameFormat;
use larder_pool::{Entity, TagSet, Watermarked};
use serde::{Deserialize, Serialize};

/// The example of the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
    team: Option<u32>,
}

const USER: u64 = 0x1122_3344_5566_7788;

impl Entity for User {
    type Id = u64;
    type Fields = ();

    fn name() -> &'static str {
        "user"
    }

    fn id(&self) -> u64 {
        self.id
    }

    fn fingerprint() -> u64 {
        USER
    }

    fn tags(&self, out: &mut TagSet) {
        if let Some(team) = &self.team {
            out.insert_value("team", team);
        }
    }
}

/// How long the name is.
impl Watermarked for User {
    type Watermark = u64;

    fn watermark(&self) -> u64 {
        self.name.len().try_into().unwrap()
    }
}

fn ada() -> User {
    User {
        id: 7,
        name: "Ada".to_owned(),
        team: Some(300),
    }
}

/// A container as a test wants it: that of a `User`, but for what is changed.
#[derive(Clone)]
struct Container {
    magic: [u8; 4],
    version: u16,
    kind: u16,
    fingerprint: u64,
    flags: u16,
    name: Vec<u8>,
    payload: Vec<u8>,
}

impl Container {
    fn of(payload: &[u8]) -> Self {
        Container {
            magic: *b"LPOL",
            version: 1,
            kind: 1,
            fingerprint: USER,
            flags: 0,
            name: b"user".to_vec(),
            payload: payload.to_vec(),
        }
    }

    /// Its bytes, with a right length and checksum.
    fn bytes(&self) -> Vec<u8> {
        let mut body = self.flags.to_le_bytes().to_vec();
        body.push(self.name.len().try_into().unwrap());
        body.extend_from_slice(&self.name);
        body.extend_from_slice(&self.payload);
        let format = FrameFormat::new(self.magic, self.version, u32::MAX);
        let format = format.kind(self.kind).fingerprint(self.fingerprint);
        let mut bytes = Vec::new();
        format.encode(0, &body, &mut bytes).unwrap();
        bytes
    }
}

/// What the document says that `ada` is.
const ADA: &[u8] = &[7, 3, b'A', b'd', b'a', 1, 0xac, 0x02];
