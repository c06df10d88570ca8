//! [`Fault`]: whatever went wrong, with what the process ends with because of it.

use std::process::ExitCode;

use larder::outbox::TransactionError;

/// Whatever goes wrong within a command.
pub(crate) type Fault = Box<dyn std::error::Error + Send + Sync>;

/// With what a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was done, and nothing wrong was found.
    Done,
    /// It ran, and found something wrong.
    Found,
    /// It was asked in a way that it does not know.
    Usage,
    /// It could not run.
    CouldNotRun,
    /// What was named is not there.
    NoSuchThing,
    /// What is there is in the way.
    Conflict,
    /// A fault of this program.
    Internal,
    /// It was interrupted.
    Interrupted,
}

impl Exit {
    pub(crate) fn number(self) -> u8 {
        match self {
            Exit::Done => 0,
            Exit::Found => 1,
            Exit::Usage => 2,
            Exit::CouldNotRun => 3,
            Exit::NoSuchThing => 5,
            Exit::Conflict => 6,
            Exit::Internal => 70,
            Exit::Interrupted => 130,
        }
    }

    /// What a fault of this kind is called: by programs, and by people.
    pub(crate) fn named(self) -> (&'static str, &'static str) {
        match self {
            Exit::Done => ("done", "done"),
            Exit::Found => ("found", "something wrong was found"),
            Exit::Usage => ("bad_request", "it was asked in a way that is not known"),
            Exit::CouldNotRun => ("could_not_run", "it could not run"),
            Exit::NoSuchThing => ("not_found", "no such thing"),
            Exit::Conflict => ("conflict", "something is in the way"),
            Exit::Internal => ("internal", "a fault of this program"),
            Exit::Interrupted => ("interrupted", "it was interrupted"),
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.number())
    }
}

/// A fault that says with what the process ends.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(crate) struct Ended {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Ended {
    pub(crate) fn fault(exit: Exit, text: impl Into<String>) -> Fault {
        Box::new(Ended {
            exit,
            text: text.into(),
        })
    }
}

/// An error with all its causes; one that is told already is not told again.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let more = next.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = next.source();
    }
    text
}

/// A transaction that failed, with all its causes.
pub(crate) fn of_transaction(error: TransactionError<Fault>) -> Fault {
    match error {
        TransactionError::Body(fault) => fault,
        TransactionError::Begin(error) => error.into(),
        TransactionError::NotCommitted(error) => format!("the transaction was rolled back: {error}").into(),
        TransactionError::Unknown { source, .. } => {
            format!("it is not known whether the transaction was committed: {source}").into()
        }
        other => other.to_string().into(),
    }
}
