//! The chores of this workspace, one file a command: `cargo xtask` lists them.
//!
//! What is always true: a command that finds fault exits with 1, one that was asked for something impossible with 2; nothing
//! is installed, started or rewritten without a line that says so. It has no dependencies, so that a bare machine builds it
//! in seconds. It is not shipped, and no other crate may use it.

mod bench;
mod check;
mod ci;
mod citation;
mod clauses;
mod contract;
mod deny;
mod features;
mod fuzz;
mod json;
mod kill;
mod long;
mod mutate;
mod mutation;
mod shell;
mod sim;
mod test;
mod tidy;
mod tools;
mod tree;

use shell::{Failure, say};
use std::process::ExitCode;

/// One chore: its name, what it does in a line, and the function that does it.
struct Chore {
    name: &'static str,
    usage: &'static str,
    run: fn(&[String]) -> Result<(), Failure>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "check",
        usage: "format, lints and tidy, without running a test",
        run: check::run,
    },
    Chore {
        name: "test",
        usage: "every test, the schedules of the model checkers included",
        run: test::run,
    },
    Chore {
        name: "tidy",
        usage: "the rules of the house that no compiler knows",
        run: tidy::run,
    },
    Chore {
        name: "clauses",
        usage: "[--accept] [part [section…]]: each clause and its tests",
        run: clauses::run,
    },
    Chore {
        name: "mutate",
        usage: "[--list] [id…]: break the code on purpose, see a test fail",
        run: mutate::run,
    },
    Chore {
        name: "deny",
        usage: "licences, sources, bans and advisories of the dependencies",
        run: deny::run,
    },
    Chore {
        name: "features",
        usage: "every crate with none of its features, each alone, all",
        run: features::run,
    },
    Chore {
        name: "bench",
        usage: "[--write] [name…]: the comparisons in bench/",
        run: bench::run,
    },
    Chore {
        name: "sim",
        usage: "[name] --seed N --minutes M: simulations over many seeds",
        run: sim::run,
    },
    Chore {
        name: "fuzz",
        usage: "[target] --seed N --minutes M: the fuzz targets",
        run: fuzz::run,
    },
    Chore {
        name: "kill",
        usage: "--seed N --minutes M: processes killed at random moments",
        run: kill::run,
    },
    Chore {
        name: "ci",
        usage: "all that must hold before a change is taken, within an hour",
        run: ci::run,
    },
];

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let Some(chore) = CHORES.iter().find(|chore| chore.name == name) else {
        for chore in CHORES {
            say(&format!("cargo xtask {:8} {}", chore.name, chore.usage));
        }
        return if name.is_empty() || name == "help" {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        };
    };
    match (chore.run)(&rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            say(&format!("xtask {name}: {}", failure.message));
            ExitCode::from(failure.code)
        }
    }
}
