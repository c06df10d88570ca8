//! `cargo xtask deny`: licences, sources and bans of the dependencies, and known advisories where they can be read.
//!
//! The list of licences in `deny.toml` is the list of those that occur: one that occurs no longer is a fault too. The
//! advisories need a database from the network; without it they are left out, and that is said.

use crate::check::beside;
use crate::shell::{self, Failure, root, say};
use crate::tools;

/// Checks the dependencies of the workspace, and the sources of those of the workspaces beside it.
pub(crate) fn run(_arguments: &[String]) -> Result<(), Failure> {
    let strict = [
        "check",
        "--deny",
        "license-not-encountered",
        "bans",
        "licenses",
        "sources",
    ];
    shell::run(tools::DENY.command()?.args(strict))?;
    for folder in beside() {
        // They are never shipped, so their licences bind nobody; where they come from matters all the same.
        let manifest = root().join(folder).join("Cargo.toml");
        let mut command = tools::DENY.command()?;
        command
            .arg("--manifest-path")
            .arg(manifest)
            .args(["--config", "deny.toml", "check"]);
        shell::run(command.args(["--allow", "duplicate", "bans", "sources"]))?;
    }
    if !shell::succeeds(tools::DENY.command()?.args(["fetch", "db"])) {
        say("advisories: left out, their database cannot be reached");
        return Ok(());
    }
    shell::run(
        tools::DENY
            .command()?
            .args(["check", "--disable-fetch", "advisories"]),
    )
}
