//! Running other programs, and telling the user what is run.
//!
//! Each command is printed before it starts. A command that cannot be started is a fault like one that fails. Nothing here
//! goes through a shell: arguments are passed as they are.

use std::fmt;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// Why a chore ended without success.
#[derive(Debug)]
pub(crate) struct Failure {
    /// What is told to the user, one line or several.
    pub(crate) message: String,
    /// The exit code of xtask: 1 for a fault that was found, 2 for a request that cannot be carried out.
    pub(crate) code: u8,
}

impl Failure {
    /// A fault that was found.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 1,
        }
    }

    /// A request that cannot be carried out.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            code: 2,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Prints one line on standard output. A closed pipe is no fault of the chore, so it is ignored.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// The root of the workspace, whatever directory the user stands in.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Reads a file of the workspace as text.
pub(crate) fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::new(format!("read {}: {error}", path.display())))
}

/// Writes a file of the workspace, its directory too if it is missing.
pub(crate) fn write(path: &Path, text: &str) -> Result<(), Failure> {
    let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    made.and_then(|()| std::fs::write(path, text))
        .map_err(|error| Failure::new(format!("write {}: {error}", path.display())))
}

/// How long something took.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    #[expect(
        clippy::disallowed_methods,
        reason = "chores measure real time and have no Clock"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A call of the cargo that runs this chore, from the root of the workspace.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root()).args(arguments);
    command
}

/// Adds `--cfg name` to the flags of every crate that the command compiles, keeping flags that the user has set.
pub(crate) fn with_cfg(command: &mut Command, name: &str) {
    let given = std::env::var("RUSTFLAGS").unwrap_or_default();
    command.env("RUSTFLAGS", format!("{given} --cfg {name}").trim_start());
}

/// Runs a command with its output on the terminal, and demands success.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    announce(command);
    let status = command.status().map_err(|error| not_started(command, &error))?;
    demand(command, status)
}

/// Runs a command and gives each line of its standard output to `line`, as it comes; standard error goes to the terminal.
/// The status is the caller's to judge.
pub(crate) fn stream(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus, Failure> {
    announce(command);
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| not_started(command, &error))?;
    if let Some(out) = child.stdout.take() {
        for text in BufReader::new(out).split(b'\n') {
            let text =
                text.map_err(|error| Failure::new(format!("read from {}: {error}", shown(command))))?;
            line(String::from_utf8_lossy(&text).trim_end_matches('\r'));
        }
    }
    child
        .wait()
        .map_err(|error| Failure::new(format!("wait for {}: {error}", shown(command))))
}

/// Runs a command silently and says whether it could be started and succeeded.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let quiet = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// Runs a command silently; its standard output if it succeeded.
pub(crate) fn output_of(command: &mut Command) -> Option<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// How a command that had a time limit ended.
pub(crate) enum Ended {
    /// By itself.
    With(ExitStatus),
    /// It and what it had started were stopped when the time was over.
    Stopped,
}

/// Runs a command that may take at most `limit`. When the time is over the command and everything that it has started is
/// ended: on Unix as one process group, elsewhere only the command itself.
pub(crate) fn run_within(command: &mut Command, limit: Duration) -> Result<Ended, Failure> {
    announce(command);
    finish_within(command, limit)
}

/// As [`run_within`], without announcing the command.
pub(crate) fn finish_within(command: &mut Command, limit: Duration) -> Result<Ended, Failure> {
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(command, 0);
    let child = command.spawn().map_err(|error| not_started(command, &error))?;
    let pid = child.id();
    let (sender, receiver) = mpsc::channel();
    let waiter = std::thread::spawn(move || {
        let _ = sender.send(wait(child));
    });
    let ended = match receiver.recv_timeout(limit) {
        Ok(status) => Ended::With(status?),
        Err(_) => {
            stop(pid);
            Ended::Stopped
        }
    };
    let _ = waiter.join();
    Ok(ended)
}

/// Fails unless the status says success.
pub(crate) fn demand(command: &Command, status: ExitStatus) -> Result<(), Failure> {
    if status.success() {
        Ok(())
    } else {
        Err(Failure::new(format!("{} failed ({status})", shown(command))))
    }
}

/// A duration as people say it: `850 ms`, `12.3 s`, `4 min 05 s`.
pub(crate) fn spoken(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{:.1} s", time.as_secs_f64()),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

fn wait(mut child: Child) -> Result<ExitStatus, Failure> {
    child
        .wait()
        .map_err(|error| Failure::new(format!("wait for a command: {error}")))
}

fn stop(pid: u32) {
    let group = if cfg!(unix) {
        format!("-{pid}")
    } else {
        pid.to_string()
    };
    let killer = if cfg!(unix) { "kill" } else { "taskkill" };
    let arguments: &[&str] = if cfg!(unix) {
        &["-KILL", "--", &group]
    } else {
        &["/F", "/T", "/PID", &group]
    };
    if !succeeds(Command::new(killer).args(arguments)) {
        say(&format!("could not stop process {pid}"));
    }
}

fn announce(command: &Command) {
    say(&format!("$ {}", shown(command)));
}

fn shown(command: &Command) -> String {
    let mut words = Vec::new();
    for (name, value) in command.get_envs() {
        if let Some(value) = value.filter(|_| name != "PATH") {
            words.push(format!(
                "{}={:?}",
                name.to_string_lossy(),
                value.to_string_lossy()
            ));
        }
    }
    let program = Path::new(command.get_program());
    words.push(
        program
            .file_name()
            .unwrap_or(command.get_program())
            .to_string_lossy()
            .into_owned(),
    );
    words.extend(
        command
            .get_args()
            .map(|argument| argument.to_string_lossy().into_owned()),
    );
    words.join(" ")
}

fn not_started(command: &Command, error: &std::io::Error) -> Failure {
    Failure::new(format!("start {}: {error}", shown(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_spoken() {
        assert_eq!(spoken(Duration::from_millis(850)), "850 ms");
        assert_eq!(spoken(Duration::from_millis(12_340)), "12.3 s");
        assert_eq!(spoken(Duration::from_secs(245)), "4 min 05 s");
    }

    #[cfg(unix)]
    #[test]
    fn what_exceeds_its_time_is_stopped_with_its_children() {
        let watch = Stopwatch::start();
        let ended = finish_within(
            Command::new("sh").args(["-c", "sleep 60 & wait"]),
            Duration::from_millis(50),
        );
        assert!(
            matches!(ended, Ok(Ended::Stopped)),
            "the command should have been stopped"
        );
        assert!(
            watch.elapsed() < Duration::from_secs(30),
            "stopping took {:?}",
            watch.elapsed()
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_status_is_demanded_and_told() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 3"]);
        let status = command.status().expect("there is a shell");
        let failure = demand(&command, status).expect_err("exit code 3 is no success");
        assert_eq!(failure.to_string(), "sh -c exit 3 failed (exit status: 3)");
    }
}
