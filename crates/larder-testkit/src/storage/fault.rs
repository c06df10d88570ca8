//! Faults: [`Fault`] says what goes wrong, [`Injection`] says when.
//!
//! Always true: a fault that is not armed never happens; when several match one call, the one that was armed first
//! strikes. Full disks and bits that flip where they lie are states of the disk, not faults of a call.

use std::io;
use std::path::{Path, PathBuf};

use larder_core::StorageOperation as Operation;

use crate::seed::Random;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// A write takes only a prefix, at least one byte, and says so.
    ShortWrite,
    /// A read gives only a prefix, at least one byte, and says so.
    ShortRead,
    /// A write takes a prefix, which may be empty, and fails.
    PartialWrite,
    /// The call fails and does nothing. For a sync this is [`Fault::FailedSync`].
    Fail,
    /// The call fails because the disk is full, and does nothing.
    NoSpace,
    /// A sync fails. Of a file's bytes since the last good one any may be on the medium; later syncs do not cover them
    /// until they are written again. Of a directory, nothing changes.
    FailedSync,
    /// A sync says `Ok` and does nothing, as a drive that lies.
    LostSync,
    /// A read gives bytes of which one bit is wrong, this time.
    FlippedBit,
    /// The call panics before it does anything.
    Panic,
}

impl Fault {
    fn strikes(self, operation: Operation) -> bool {
        let sync = matches!(operation, Operation::Sync | Operation::SyncDirectory);
        match self {
            Self::ShortWrite | Self::PartialWrite => operation == Operation::Write,
            Self::ShortRead | Self::FlippedBit => operation == Operation::Read,
            Self::FailedSync | Self::LostSync => sync,
            Self::NoSpace => needs_space(operation),
            Self::Fail | Self::Panic => true,
        }
    }
}

/// When a fault strikes: by default at the next call that it can strike, once.
#[derive(Clone, Debug)]
#[must_use]
pub struct Injection {
    fault: Fault,
    operation: Option<Operation>,
    path: Option<PathBuf>,
    skip: u64,
    times: u64,
    of_thousand: u32,
    at_step: Option<u64>,
}

impl Injection {
    /// The fault, at the next call that it can strike, once.
    pub fn new(fault: Fault) -> Self {
        Self {
            fault,
            operation: None,
            path: None,
            skip: 0,
            times: 1,
            of_thousand: 1000,
            at_step: None,
        }
    }

    /// Only at calls of this kind.
    pub fn operation(self, operation: Operation) -> Self {
        Self {
            operation: Some(operation),
            ..self
        }
    }

    /// Only at calls on paths that end in these components.
    pub fn path(self, suffix: impl Into<PathBuf>) -> Self {
        Self {
            path: Some(suffix.into()),
            ..self
        }
    }

    /// Only at the call that would be this step, counted as [`SimStorage::steps`](super::SimStorage::steps) counts.
    pub fn at_step(self, step: u64) -> Self {
        Self {
            at_step: Some(step),
            ..self
        }
    }

    /// Lets that many matching calls through first.
    pub fn skip(self, calls: u64) -> Self {
        Self { skip: calls, ..self }
    }

    /// Strikes that many times, not once.
    pub fn times(self, times: u64) -> Self {
        Self { times, ..self }
    }

    /// Strikes again and again, at random, that many in a thousand matching calls.
    pub fn rate(self, of_thousand: u32) -> Self {
        Self {
            of_thousand,
            times: u64::MAX,
            ..self
        }
    }

    fn matches(&self, operation: Operation, path: &Path, step: u64) -> bool {
        self.times > 0
            && self.fault.strikes(operation)
            && self.operation.is_none_or(|only| only == operation)
            && self.path.as_ref().is_none_or(|suffix| path.ends_with(suffix))
            && self.at_step.is_none_or(|only| only == step && is_step(operation))
    }
}

/// The armed faults of a disk.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    armed: Vec<Injection>,
    struck: u64,
}

impl Faults {
    pub(super) fn arm(&mut self, injection: Injection) {
        self.armed.push(injection);
    }

    pub(super) fn calm(&mut self) {
        self.armed.clear();
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck
    }

    /// The fault that strikes this call, if any; `step` is the number that the call will have.
    pub(super) fn strike(
        &mut self,
        operation: Operation,
        path: &Path,
        step: u64,
        random: &mut Random,
    ) -> Option<Fault> {
        for injection in self
            .armed
            .iter_mut()
            .filter(|armed| armed.matches(operation, path, step))
        {
            if injection.skip > 0 {
                injection.skip -= 1;
            } else if random.chance(injection.of_thousand) {
                injection.times -= 1;
                self.struck += 1;
                let sync = matches!(operation, Operation::Sync | Operation::SyncDirectory);
                let fault = injection.fault;
                return Some(if sync && fault == Fault::Fail {
                    Fault::FailedSync
                } else {
                    fault
                });
            }
        }
        None
    }
}

/// Whether the call changes or syncs something.
pub(super) fn is_step(operation: Operation) -> bool {
    use Operation::{AllocatedBytes, FreeBytes, Length, List, Open, Read};
    !matches!(
        operation,
        AllocatedBytes | FreeBytes | Length | List | Open | Read
    )
}

fn needs_space(operation: Operation) -> bool {
    use Operation::{Create, CreateDirectory, Link, Lock, Preallocate, Rename, Write};
    matches!(
        operation,
        Create | CreateDirectory | Link | Lock | Preallocate | Rename | Write
    )
}

/// What a broken medium says.
pub(super) fn input_output_error() -> io::Error {
    io::Error::other("simulated input/output error")
}
