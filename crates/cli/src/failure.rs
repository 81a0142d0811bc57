//! What went wrong, with code, place, next step, and exit code.

use std::{
    error::Error,
    io::{self, Write},
};

use api::{
    exit::Exit,
    problem::{CommandError, CommandErrorBody},
};
use wal_recovery::{ReadError, RecoverError, SurveyError};

use crate::{
    args::Output,
    commands::explain::knows,
    printable::printable_lines,
    rights::{mended, mended_reading},
};

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// The chain of causes, outermost first.
    pub(crate) cause: Vec<String>,
    /// What was found out nevertheless; stands beside the error in JSON.
    pub(crate) report: Option<Box<serde_json::Value>>,
    /// Whether what was asked for may have been done nevertheless.
    pub(crate) may_be_done: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        let (hint, cause, report) = (None, Vec::new(), None);
        Self { exit, code, message, hint, cause, report, may_be_done: false }
    }

    /// Takes the message and the chain of causes from an error.
    pub(crate) fn of(exit: Exit, code: &str, error: &dyn Error) -> Self {
        let mut failure = Self::new(exit, code, error.to_string());
        // Some errors quote their cause already.
        failure.cause = causes(error);
        failure.cause.retain(|it| !failure.message.contains(it.as_str()));
        failure
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the directory of a log in a hint that leaves it open.
    #[must_use]
    pub(crate) fn of_log(mut self, dir: &std::path::Path) -> Self {
        self.hint = self.hint.map(|it| with_dir(&it, dir));
        self
    }

    /// Something that every process needs and the operating system refused.
    pub(crate) fn process(error: &io::Error) -> Self {
        let mut failure = Self::new(Exit::Failed, "PROCESS", "cannot start the process");
        failure.cause = vec![error.to_string()];
        failure.hint("check the limits of the process (ulimit -a)")
    }

    /// A file that could not be read or written.
    pub(crate) fn file(action: &str, path: &std::path::Path, error: &io::Error) -> Self {
        let exit =
            if error.kind() == io::ErrorKind::NotFound { Exit::NotFound } else { Exit::Failed };
        let mut failure = Self::new(exit, "IO", format!("cannot {action} {}", path.display()));
        // A kind without an error of the system has words that say less.
        let cause = match (error.kind(), error.raw_os_error(), error.get_ref()) {
            (io::ErrorKind::NotFound, None, None) => "No such file or directory".to_owned(),
            _ => error.to_string(),
        };
        failure.cause = vec![cause];
        let reads = READING.iter().any(|it| action.starts_with(it));
        failure.hint = if reads { mended_reading(path, error) } else { mended(path, error) };
        failure
    }

    /// Says it: as text on stderr, or as one object on stdout.
    pub(crate) fn report(&self, output: Output) -> io::Result<()> {
        if output == Output::Json {
            let error = CommandErrorBody {
                code: self.code.clone(),
                message: self.message.clone(),
                hint: self.hint.clone(),
                cause: self.cause.clone(),
            };
            let text = serde_json::to_string(&CommandError {
                error,
                report: self.report.as_deref().cloned(),
            })?;
            return writeln!(io::stdout().lock(), "{text}");
        }
        let mut stderr = io::stderr().lock();
        let message = printable_lines(&self.message);
        // Messages that begin with the name of their command are interfaces and stand alone.
        if NAMED.iter().any(|it| self.message.starts_with(it)) {
            writeln!(stderr, "{message}")?;
        } else if self.message.contains(&self.code) {
            writeln!(stderr, "error: {message}")?;
        } else {
            writeln!(stderr, "error: {message} ({})", self.code)?;
        }
        for cause in &self.cause {
            writeln!(stderr, "  caused by: {}", printable_lines(cause))?;
        }
        if let Some(hint) = self.hint_in_text() {
            writeln!(stderr, "hint: {}", printable_lines(&hint))?;
        }
        Ok(())
    }

    /// The next step for people, with the page about the code when there is one.
    fn hint_in_text(&self) -> Option<String> {
        let page = knows(&self.code).then(|| format!("autonomy explain {}", self.code));
        match (&self.hint, page) {
            (Some(hint), Some(page)) => Some(format!("{hint} (more: {page})")),
            (None, Some(page)) => Some(page),
            (hint, None) => hint.clone(),
        }
    }
}

/// Returns the texts of the errors behind an error.
pub(crate) fn causes(error: &dyn Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut source = error.source();
    while let Some(error) = source {
        causes.push(error.to_string());
        source = error.source();
    }
    causes
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let exit = match &error {
            ReadError::NotFound { .. } => Exit::NotFound,
            ReadError::Violation(_) => Exit::Integrity,
            ReadError::Io { .. } => Exit::Failed,
        };
        let mut failure = Self::of(exit, error.code(), &error).hint(error.hint());
        if let ReadError::Io { path, source } = &error {
            failure.hint = mended_reading(path, source).or(failure.hint);
        }
        if let ReadError::Violation(violation) = &error {
            failure.cause.extend(place(violation));
        }
        failure
    }
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        let exit = match &error {
            RecoverError::Violation { .. } => Exit::Integrity,
            RecoverError::Locked { .. } => Exit::Busy,
            RecoverError::Io { .. } | RecoverError::FirstEntry(_) => Exit::Failed,
        };
        let mut failure = Self::of(exit, error.code(), &error).hint(error.hint());
        if let RecoverError::Io { path, source, .. } = &error {
            failure.hint = mended(path, source).or(failure.hint);
        }
        if let RecoverError::Violation { violation, dir } = &error {
            failure.cause.extend(place(violation));
            return failure.of_log(dir);
        }
        failure
    }
}

impl From<SurveyError> for Failure {
    fn from(error: SurveyError) -> Self {
        match &error {
            SurveyError::Violation(violation) => {
                let mut failure = Self::of(Exit::Integrity, error.code(), &error);
                failure.cause.extend(place(violation));
                failure.hint(violation.hint())
            }
            SurveyError::Io { path, source } => {
                let mut failure = Self::of(Exit::Failed, error.code(), &error);
                failure.hint = mended_reading(path, source);
                failure
            }
        }
    }
}

/// A closed pipe is the reader's wish, not a failure; see `run`.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::of(Exit::Failed, BROKEN_PIPE, &error);
        }
        let mut failure = Self::new(Exit::Failed, "OUTPUT", "cannot write the result");
        failure.cause = vec![error.to_string()];
        failure.hint("check where stdout goes; what the command did before stands")
    }
}

/// Beginnings of what a command does to a file that it leaves as it is.
const READING: [&str; 4] = ["open", "read", "list", "look"];
/// Beginnings of messages that say which command failed.
const NAMED: [&str; 5] =
    ["drain failed:", "retry failed:", "purge failed:", "policy load:", "demo gazebo:"];
/// Code of a failure that is none.
pub(crate) const BROKEN_PIPE: &str = "BROKEN_PIPE";

/// What stands in hints for the directory of a log.
const DIR_OPEN: &str = "--dir DIR";

/// Puts the directory of a log into a hint that leaves it open, fit to be pasted into a shell.
pub(crate) fn with_dir(hint: &str, dir: &std::path::Path) -> String {
    let dir = dir.display().to_string();
    let plain = |it: char| it.is_alphanumeric() || "/._-+=:@%,".contains(it);
    let dir =
        if dir.chars().all(plain) { dir } else { format!("'{}'", dir.replace('\'', "'\\''")) };
    hint.replace(DIR_OPEN, &format!("--dir {dir}"))
}

/// Where in a log a violation is, as one line.
pub(crate) fn place(violation: &wal_recovery::Violation) -> Option<String> {
    violation.place().map(|(seq, offset)| format!("at seq {seq}, byte {offset} of telemetry.wal"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_a_hint_can_be_pasted() {
        let at = |dir: &str| with_dir("`autonomy wal repair --dir DIR --dry-run`", dir.as_ref());
        assert_eq!(at("/var/lib/a-1"), "`autonomy wal repair --dir /var/lib/a-1 --dry-run`");
        assert_eq!(at("my log's"), "`autonomy wal repair --dir 'my log'\\''s' --dry-run`");
    }

    #[test]
    fn a_hint_for_people_names_the_page_of_the_code_and_no_page_that_is_not_there() {
        let text = |code: &str, hint: Option<&str>| {
            let mut failure = Failure::new(Exit::Failed, code, "x");
            failure.hint = hint.map(str::to_owned);
            failure.hint_in_text()
        };
        let page = "autonomy explain SEQ_GAP";
        assert_eq!(text("SEQ_GAP", Some("do it")), Some(format!("do it (more: {page})")));
        assert_eq!(text("SEQ_GAP", None), Some(page.to_owned()));
        assert_eq!(text("LISTEN_FAILED", Some("do it")), Some("do it".to_owned()));
        assert_eq!(text("LISTEN_FAILED", None), None);
    }
}
