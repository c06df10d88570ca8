//! The other process: this program, started anew with a variable that says what it is to be there.
//!
//! It writes a line `ready` when it has found the end of the log, and then a line for each thing that it has applied: the mark of that and when, in
//! nanoseconds of the clock that both processes share. It ends when it is killed, and by itself after a minute.

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Lines, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use super::clock;
use crate::Outcome;

/// Says what the process is to be.
const ROLE: &str = "LARDER_BENCH_LAG";
/// Says in which file.
const DATABASE: &str = "LARDER_BENCH_DATABASE";

const READY: &str = "ready";
/// After this it ends by itself, should nobody be there to end it.
const LIFETIME: Duration = Duration::from_secs(60);

/// The other process, as long as this lives.
pub(crate) struct OtherProcess {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl OtherProcess {
    /// Starts it, and waits until it has found the end of the log.
    pub(crate) fn start(role: &str, file: &Path) -> Result<Self, Box<dyn Error>> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("lag")
            .env(ROLE, role)
            .env(DATABASE, file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().ok_or("the output was piped")?;
        let mut other = OtherProcess {
            process,
            lines: BufReader::new(output).lines(),
        };
        let line = other.line()?;
        if line == READY {
            Ok(other)
        } else {
            Err(format!("the other process says `{line}`").into())
        }
    }

    /// What it reads, once.
    pub(crate) fn input(&mut self) -> Option<ChildStdin> {
        self.process.stdin.take()
    }

    /// The mark of the next thing that it has applied, and when.
    pub(crate) fn applied(&mut self) -> Result<(u64, Duration), Box<dyn Error>> {
        let line = self.line()?;
        let (mark, at) = line.split_once(' ').ok_or("a line is a mark and a time")?;
        Ok((mark.parse()?, Duration::from_nanos(at.parse()?)))
    }

    fn line(&mut self) -> Result<String, Box<dyn Error>> {
        Ok(self.lines.next().ok_or("the other process has ended")??)
    }
}

impl Drop for OtherProcess {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What this process is to be, if it is the other one.
pub(crate) fn role() -> Option<OsString> {
    std::env::var_os(ROLE)
}

/// The file of the database, in the other process.
pub(crate) fn database() -> Result<PathBuf, Box<dyn Error>> {
    Ok(PathBuf::from(
        std::env::var_os(DATABASE).ok_or("no database is named")?,
    ))
}

/// Plays the other process's part. Time over is as good an end as any.
pub(crate) async fn for_a_while(part: impl Future<Output = Outcome>) -> Outcome {
    tokio::time::timeout(LIFETIME, part).await.unwrap_or(Ok(()))
}

/// Tells the process that has started this one that it may begin.
pub(crate) fn ready() -> std::io::Result<()> {
    print(READY)
}

/// Tells the process that has started this one that something was applied just now.
pub(crate) fn applied_now(mark: u64) -> std::io::Result<()> {
    print(&format!("{mark} {}", clock::now().as_nanos()))
}

fn print(line: &str) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}
