//! The governed command: started, signalled, waited for.

use std::{
    ffi::OsString, fs::File, future::Future, io, os::unix::process::ExitStatusExt as _, path::Path,
    process::ExitStatus, time::Duration,
};

use api::exit::Exit;
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use tokio::{process::Command, time::timeout};

use super::{
    say,
    signals::{Got, Signals},
};
use crate::failure::Failure;

/// How long a command that lost its runtime may take to end after SIGTERM.
const LAST_WORDS: Duration = Duration::from_secs(10);
/// Exit codes of a command that was not started, as shells have them.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;
/// What a shell adds to the number of a signal.
const BY_SIGNAL: u8 = 128;

/// A command that runs.
#[derive(Debug)]
pub(in crate::commands) struct Child {
    child: tokio::process::Child,
    /// Whether it has a process group of its own.
    grouped: bool,
}

impl Child {
    /// Starts it with our streams and environment, and these variables.
    pub(in crate::commands) fn start(
        words: &[OsString],
        vars: &[(&str, String)],
    ) -> io::Result<Self> {
        let Some((program, args)) = words.split_first() else {
            return Err(io::ErrorKind::NotFound.into());
        };
        let mut command = Command::new(program);
        command.args(args);
        for (name, value) in vars {
            command.env(name, value);
        }
        // With a terminal the command stays in our group, so that the keys and the job control of the
        // shell reach it as if we were not there.
        let grouped = !has_terminal();
        if grouped {
            command.process_group(0);
        }
        Ok(Self { child: command.spawn()?, grouped })
    }

    /// Passes signals on until it ends, and returns its code. When the runtime is lost first, it is
    /// ended: nobody governs it any more.
    pub(in crate::commands) async fn accompany(
        mut self,
        signals: &mut Signals,
        lost: impl Future<Output = Failure>,
    ) -> Result<u8, Failure> {
        let mut lost = std::pin::pin!(lost);
        loop {
            tokio::select! {
                ended = self.child.wait() => {
                    return ended.map(code_of).map_err(|it| Failure::process(&it));
                }
                got = signals.next() => self.pass_on(got),
                failure = &mut lost => {
                    say(&failure);
                    self.end().await;
                    let message = "the runtime ended while the command ran; the command was ended too";
                    return Err(Failure::new(Exit::Failed, "RUNTIME_LOST", message));
                }
            }
        }
    }

    /// See the table of `signals`.
    fn pass_on(&self, got: Got) {
        if !self.grouped && got.by_kernel {
            return;
        }
        if let Some(signal) = Signal::from_named_raw(got.signal) {
            self.signal(signal);
        }
    }

    fn signal(&self, signal: Signal) {
        // Without a number it was waited for and is gone, and the number may be somebody else's.
        let pid = self.child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        let Some(pid) = pid else { return };
        let sent =
            if self.grouped { kill_process_group(pid, signal) } else { kill_process(pid, signal) };
        if let Err(error) = sent {
            tracing::warn!(error = %error, "signal not passed on");
        }
    }

    async fn end(&mut self) {
        self.signal(Signal::TERM);
        if timeout(LAST_WORDS, self.child.wait()).await.is_err() {
            self.signal(Signal::KILL);
            // It cannot refuse.
            self.child.wait().await.ok();
        }
    }
}

/// Whether a terminal controls this process.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

fn code_of(status: ExitStatus) -> u8 {
    match (status.code(), status.signal()) {
        (Some(code), _) => u8::try_from(code).unwrap_or(u8::MAX),
        (None, Some(signal)) => code_of_signal(signal),
        (None, None) => u8::MAX,
    }
}

/// What a shell shows for a program that a signal ended.
pub(super) fn code_of_signal(signal: i32) -> u8 {
    u8::try_from(signal).ok().and_then(|it| it.checked_add(BY_SIGNAL)).unwrap_or(u8::MAX)
}

/// Why a command was not started, and the exit code that says so.
pub(super) fn not_started(words: &[OsString], error: &io::Error) -> (u8, Failure) {
    let program = Path::new(words.first().map_or("".as_ref(), OsString::as_os_str)).display();
    let (code, name, what) = if error.kind() == io::ErrorKind::NotFound {
        (NOT_FOUND, "COMMAND_NOT_FOUND", "there is no command")
    } else {
        (NOT_EXECUTABLE, "COMMAND_NOT_STARTED", "cannot start")
    };
    let mut failure = Failure::new(Exit::Failed, name, format!("{what} `{program}`"));
    failure.cause = vec![error.to_string()];
    (code, failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_kept_and_a_signal_becomes_one() {
        for code in [0, 1, 77, 255] {
            assert_eq!(i32::from(code_of(ExitStatus::from_raw(code << 8))), code);
        }
        for signal in [1, 2, 9, 15] {
            assert_eq!(i32::from(code_of(ExitStatus::from_raw(signal))), 128 + signal);
        }
    }

    #[tokio::test]
    async fn a_command_whose_runtime_is_lost_is_ended() {
        let words = ["sleep", "1000"].map(OsString::from);
        let child = Child::start(&words, &[]).unwrap();
        let pid = child.child.id().and_then(|it| i32::try_from(it).ok()).and_then(Pid::from_raw);
        let mut signals = Signals::catch().unwrap();
        let lost = std::future::ready(Failure::new(Exit::Failed, "RUNTIME_LOST", "gone"));
        let failure = child.accompany(&mut signals, lost).await.unwrap_err();
        assert_eq!(failure.code, "RUNTIME_LOST");
        assert!(rustix::process::test_kill_process(pid.unwrap()).is_err(), "it still runs");
    }

    #[tokio::test]
    async fn a_command_that_cannot_be_started_says_which_and_why() {
        let code = |word: &str| {
            let words = [OsString::from(word)];
            not_started(&words, &Child::start(&words, &[]).unwrap_err()).0
        };
        assert_eq!(code("no-such-program-here"), NOT_FOUND);
        assert_eq!(code("/etc/hostname"), NOT_EXECUTABLE);
    }
}
