//! Two processes of one service over one SQLite file. Both read rows through a pool, one writes, every read is checked; each is
//! killed once, with SIGKILL, and comes back.
//!
//! What is stale is decided outside of the pools. Where a row was written, it must not be read older from the moment at which
//! its commit has returned. In the other process it must not be read older from the moment at which that node says that it
//! has applied the commit, which it is asked by the token. The status is 1 if any read was older, or a commit was not applied
//! within ten seconds.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "an example talks to whoever runs it"
)]

mod node;
mod options;
mod parent;
mod words;

use std::error::Error;
use std::process::ExitCode;

use options::{Asked, HELP};

/// Whatever goes wrong.
type Fault = Box<dyn Error + Send + Sync>;

fn main() -> ExitCode {
    let done = match options::asked() {
        Ok(Asked::Help) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Asked::Run(options)) => parent::run(&options),
        Ok(Asked::Node(node)) => node::run(&node).map(|()| true),
        Err(error) => {
            eprintln!("two_nodes: {error}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let mut text = error.to_string();
            let mut cause = error.source();
            while let Some(next) = cause {
                text.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("two_nodes: {text}");
            ExitCode::FAILURE
        }
    }
}
