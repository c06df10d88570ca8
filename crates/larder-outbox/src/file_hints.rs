//! [`FileHints`]: what other processes write to a database's files, as a hint that there may be something to read.
//!
//! A hint and nothing else: the log is read as it always is, and what no hint tells of is found by asking. What is always true: a change of a
//! file is followed by a hint, about a quarter of a millisecond later, since SQLite writes its pages before it lets others see them; and there are
//! at most about a thousand hints a second.

use std::fmt;
use std::io;
use std::path::PathBuf;

use larder_core::sync::{Arc, AtomicU64, Ordering};

use crate::hints::Hints;

/// Wakes those who wait for rows of an [`Outbox`](crate::Outbox) in this process when another process has written to the database's files.
///
/// Made by [`Outbox::file_hints`](crate::Outbox::file_hints). It has no thread of its own: [`FileHints::run`] keeps the one that calls it. Over it, a
/// commit of another process on this machine is met after about a millisecond instead of at the next look, up to `poll_max` later.
pub struct FileHints {
    watch: system::Watch,
    hints: Arc<Hints>,
    rounds: AtomicU64,
}

/// What became of a wait.
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "nothing is waited for"))]
enum Waited {
    Changed,
    TimeOver,
    Stopped,
}

impl FileHints {
    /// Of these files, which may be made, removed and made anew. `None` where no system tells of them.
    pub(crate) fn of(files: Vec<PathBuf>, hints: Arc<Hints>) -> io::Result<Option<Self>> {
        if files.is_empty() {
            return Ok(None);
        }
        let watch = system::Watch::of(files)?;
        Ok(watch.map(|watch| FileHints {
            watch,
            hints,
            rounds: AtomicU64::new(0),
        }))
    }

    /// Gives hints until [`FileHints::stop`] was called, and keeps the thread for it.
    ///
    /// # Errors
    /// If the system tells of the files no more. Nothing is lost but hints.
    pub fn run(&self) -> io::Result<()> {
        loop {
            // Only told to people.
            self.rounds.fetch_add(1, Ordering::Relaxed);
            match self.watch.changed()? {
                Waited::Stopped => return Ok(()),
                Waited::TimeOver => continue,
                Waited::Changed => {}
            }
            let given = self.hints.given();
            if let Waited::Stopped = self.watch.settle()? {
                return Ok(());
            }
            // Who has committed here meanwhile has given a hint, and those who follow are awake.
            if self.hints.given() == given {
                self.hints.give();
            }
            if let Waited::Stopped = self.watch.rest()? {
                return Ok(());
            }
        }
    }

    /// How often [`FileHints::run`] has looked: while it runs, once a second at least.
    pub fn rounds(&self) -> u64 {
        self.rounds.load(Ordering::Relaxed)
    }

    /// Ends [`FileHints::run`], now or as soon as it is called.
    pub fn stop(&self) {
        self.watch.stop();
    }
}

impl fmt::Debug for FileHints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileHints").finish_non_exhaustive()
    }
}

#[cfg(target_os = "linux")]
mod system {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::path::{Path, PathBuf};
    use std::time::Duration;

    use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
    use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
    use rustix::io::{Errno, read, write};

    use super::Waited;

    /// From the first page that is written until all are, of a commit of a few pages.
    const WRITING: Duration = Duration::from_micros(100);
    /// From then until others see the commit. What is written later than the first of these is told by a hint of its own.
    const SHOWING: Duration = Duration::from_micros(100);
    /// Between two hints.
    const REST: Duration = Duration::from_millis(1);
    /// Between two looks, if nothing changes.
    const LOOK: Duration = Duration::from_secs(1);

    /// The files, watched by the kernel (inotify).
    pub(super) struct Watch {
        files: Vec<PathBuf>,
        changes: OwnedFd,
        stop: OwnedFd,
    }

    impl Watch {
        pub(super) fn of(files: Vec<PathBuf>) -> io::Result<Option<Self>> {
            let watch = Watch {
                files,
                changes: inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?,
                stop: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
            };
            for folder in watch.files.iter().filter_map(|file| file.parent()) {
                // Files that are made, or come from elsewhere.
                let made = WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::ONLYDIR;
                inotify::add_watch(&watch.changes, folder, made)?;
            }
            watch.watch_files()?;
            Ok(Some(watch))
        }

        /// Watches each file that is there; those that are watched already stay so.
        fn watch_files(&self) -> io::Result<()> {
            let each = |file: &Path| match inotify::add_watch(&self.changes, file, WatchFlags::MODIFY) {
                Ok(_) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(error.into()),
            };
            self.files.iter().try_for_each(|file| each(file))
        }

        /// Waits for a change, not for ever.
        pub(super) fn changed(&self) -> io::Result<Waited> {
            let mut both = [
                PollFd::new(&self.stop, PollFlags::IN),
                PollFd::new(&self.changes, PollFlags::IN),
            ];
            wait(&mut both, LOOK)?;
            Ok(match both.map(|ready| ready.revents().is_empty()) {
                [false, _] => Waited::Stopped,
                [true, false] => Waited::Changed,
                [true, true] => Waited::TimeOver,
            })
        }

        /// Waits until what was begun when this is called can be read.
        pub(super) fn settle(&self) -> io::Result<Waited> {
            if let Waited::Stopped = self.sleep(WRITING)? {
                return Ok(Waited::Stopped);
            }
            self.forget_changes()?;
            // A file that was made anew is another one.
            self.watch_files()?;
            self.sleep(SHOWING)
        }

        /// Waits so that there are not too many hints.
        pub(super) fn rest(&self) -> io::Result<Waited> {
            self.sleep(REST)
        }

        fn sleep(&self, time: Duration) -> io::Result<Waited> {
            let mut stop = [PollFd::new(&self.stop, PollFlags::IN)];
            wait(&mut stop, time)?;
            Ok(if stop[0].revents().is_empty() {
                Waited::TimeOver
            } else {
                Waited::Stopped
            })
        }

        fn forget_changes(&self) -> io::Result<()> {
            let mut changes = [0_u8; 4096];
            loop {
                match read(&self.changes, &mut changes) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(Errno::AGAIN) => return Ok(()),
                    Err(error) => return Err(error.into()),
                }
            }
        }

        pub(super) fn stop(&self) {
            // It fails if somebody has said so very often, and then it was said.
            let _said = write(&self.stop, &1_u64.to_ne_bytes());
        }
    }

    fn wait(ready: &mut [PollFd<'_>], time: Duration) -> io::Result<()> {
        let time = Timespec::try_from(time).map_err(io::Error::other)?;
        loop {
            match poll(ready, Some(&time)) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::convert::Infallible;
    use std::io;
    use std::path::PathBuf;

    use super::Waited;

    /// Nothing tells of files here.
    pub(super) struct Watch(Infallible);

    impl Watch {
        pub(super) fn of(_files: Vec<PathBuf>) -> io::Result<Option<Self>> {
            Ok(None)
        }

        pub(super) fn changed(&self) -> io::Result<Waited> {
            match self.0 {}
        }

        pub(super) fn settle(&self) -> io::Result<Waited> {
            match self.0 {}
        }

        pub(super) fn rest(&self) -> io::Result<Waited> {
            match self.0 {}
        }

        pub(super) fn stop(&self) {
            match self.0 {}
        }
    }
}
