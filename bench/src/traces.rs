//! Recorded accesses of real systems, read from a folder that the environment names.
//!
//! Always true: without [`FOLDER_VARIABLE`] there are no traces, and whoever asks says so; a file that does not decode is an
//! error, never a shorter trace. The folder's README tells where the traces come from and under which licences.

mod decode;

use std::env;
use std::fmt;
use std::path::PathBuf;

pub use decode::TraceError;

/// The variable that names the folder of traces.
pub const FOLDER_VARIABLE: &str = "LARDER_TRACES";

/// One of the traces that the contracts name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trace {
    /// A database server's reads of blocks (the paper on ARC, FAST 2003).
    Oltp,
    /// Rows that a web shop's mapper asked for in a busy hour.
    OrmBusy,
    /// Requests for a shop's product pages.
    Web12,
    /// Blocks that a virtual machine read and wrote.
    W106,
    /// A workstation's reads of its disk (the paper on ARC, FAST 2003).
    P6,
}

impl Trace {
    /// All of them, the order of the contracts.
    pub const ALL: [Self; 5] = [Self::Oltp, Self::OrmBusy, Self::Web12, Self::W106, Self::P6];

    /// The folder of traces, if there is one.
    #[must_use]
    pub fn folder() -> Option<PathBuf> {
        env::var_os(FOLDER_VARIABLE).map(PathBuf::from)
    }

    fn file(self) -> &'static str {
        match self {
            Self::Oltp => "OLTP.lis.zst",
            Self::OrmBusy => "orm-busy.trace.xz",
            Self::Web12 => "web12.trace.xz",
            Self::W106 => "w106.trace.xz",
            Self::P6 => "P6.lis.zst",
        }
    }

    /// Its accesses in order, each by its key.
    ///
    /// # Errors
    ///
    /// If the file is missing or does not decode.
    pub fn read(self) -> Result<Vec<u64>, TraceError> {
        let path = Self::folder().unwrap_or_default().join(self.file());
        match self {
            Self::Oltp | Self::P6 => decode::block_lists(&path),
            Self::OrmBusy | Self::Web12 => decode::numbers(&path, u32::from_be_bytes),
            Self::W106 => decode::numbers(&path, u32::from_le_bytes),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.file().split('.').next().unwrap_or_default())
    }
}
