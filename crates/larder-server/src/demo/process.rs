//! [`Process`]: a node as a process: started, listened to, killed.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc::UnboundedSender;

use super::DemoOptions;
use super::checker::Read;
use super::shop::Size;
use super::words::{Said, now_nanos};
use crate::fault::{Ended, Exit, Fault};

pub(crate) const NAMES: [&str; 2] = ["a", "b"];

/// What whoever plays is told.
#[derive(Debug)]
pub(crate) enum Heard {
    /// By a node, in one of its lives.
    Said { node: usize, life: u32, said: Said },
    /// A node has ended, in one of its lives.
    Ended { node: usize, life: u32 },
    /// By somebody who reads nodes from outside.
    Read(Read),
    /// By the same, of the plain cache beside.
    Plain(Read),
}

/// A node that runs.
pub(crate) struct Process {
    child: Child,
    input: Option<ChildStdin>,
    pub(crate) life: u32,
    pub(crate) started_nanos: u64,
    /// Where its plain cache hears of changes; 0 if it has none.
    pub(crate) plain_port: u16,
}

impl Process {
    /// Starts a node. It is killed when the thread ends that has started it (on Linux), so that must be one that lives as long as the process.
    pub(crate) fn start(
        options: &DemoOptions,
        file: &Path,
        size: Size,
        node: usize,
        life: u32,
        told: &UnboundedSender<Heard>,
    ) -> Result<Self, Fault> {
        let could_not =
            |error| Ended::fault(Exit::CouldNotRun, format!("start node {}: {error}", NAMES[node]));
        let seed = options
            .seed
            .wrapping_mul(2)
            .wrapping_add(node as u64)
            .wrapping_add(u64::from(life) << 32);
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("demo-node")
            .arg("--file")
            .arg(file)
            .args(["--name", NAMES[node], "--seed", &seed.to_string()])
            .args(["--writers", &options.writers.to_string()])
            .args(["--readers", &options.readers.to_string()])
            .args(["--customers", &size.customers.to_string()])
            .args(["--products", &size.products.to_string()]);
        command.args(["--parent", &std::process::id().to_string()]);
        if options.contrast {
            command.arg("--contrast");
        }
        if let Some(sabotage) = options.sabotage {
            command.args(["--sabotage", sabotage.word()]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(could_not)?;
        let input = child.stdin.take();
        if let Some(output) = child.stdout.take() {
            let told = told.clone();
            tokio::spawn(async move {
                let mut lines = BufReader::with_capacity(1 << 16, output).lines();
                while let Ok(Some(line)) = lines.next_line().await {
                    if let Some(said) = Said::of_line(node, &line)
                        && told.send(Heard::Said { node, life, said }).is_err()
                    {
                        return;
                    }
                }
                // Whoever played may have left.
                drop(told.send(Heard::Ended { node, life }));
            });
        }
        Ok(Process {
            child,
            input,
            life,
            started_nanos: now_nanos(),
            plain_port: 0,
        })
    }

    /// Tells it something; one that has gone hears nothing.
    pub(crate) async fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            let line = format!("{line}\n");
            // One that is stopped does not read.
            drop(tokio::time::timeout(Duration::from_secs(1), input.write_all(line.as_bytes())).await);
        }
    }

    /// With what it has ended.
    pub(crate) fn how_it_ended(&mut self) -> String {
        let ended = self.child.try_wait().ok().flatten();
        ended.map_or_else(|| "its output was closed".to_owned(), |status| status.to_string())
    }

    /// Kills it, with SIGKILL, and waits until it has gone.
    pub(crate) async fn kill(&mut self) -> Result<(), Fault> {
        self.child.kill().await?;
        Ok(())
    }

    /// Stops it where it is, until it is told to go on.
    #[cfg(unix)]
    pub(crate) fn pause(&self) -> bool {
        self.signal(rustix::process::Signal::STOP)
    }

    /// Lets it go on.
    #[cfg(unix)]
    pub(crate) fn resume(&self) -> bool {
        self.signal(rustix::process::Signal::CONT)
    }

    #[cfg(unix)]
    fn signal(&self, signal: rustix::process::Signal) -> bool {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok());
        let id = id.and_then(rustix::process::Pid::from_raw);
        id.is_some_and(|id| rustix::process::kill_process(id, signal).is_ok())
    }

    /// No process can be stopped here.
    #[cfg(not(unix))]
    pub(crate) fn pause(&self) -> bool {
        false
    }

    /// None is stopped.
    #[cfg(not(unix))]
    pub(crate) fn resume(&self) -> bool {
        false
    }

    /// Lets it end by itself, and kills it if it does not within a few seconds.
    pub(crate) async fn end(mut self) {
        drop(self.input.take());
        let ended = tokio::time::timeout(Duration::from_secs(5), self.child.wait()).await;
        if ended.is_err() {
            drop(self.child.kill().await);
        }
    }
}
