//! Signals for a governed command.
//!
//! * **S1** A signal that was ignored when we were started stays ignored, by us and by the command
//!   (`nohup`, jobs of a script).
//! * **S2** The command gets a signal once. A key like Ctrl-C makes the terminal signal every process
//!   of the group in the foreground; when the command is one of them, nothing is passed on.
//!
//! | controlling terminal | the command           | who sent it  | passed on          |
//! |----------------------|-----------------------|--------------|--------------------|
//! | there is one         | in our process group  | the terminal | no                 |
//! | there is one         | in our process group  | a process    | to the command     |
//! | none                 | in a group of its own | anybody      | to its whole group |

use std::{fs, io, thread};

use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2},
    iterator::{Handle, SignalsInfo, exfiltrator::origin::WithOrigin},
    low_level::siginfo::Cause,
};
use tokio::sync::mpsc;

/// The signals that are passed on.
const PASSED_ON: [i32; 6] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2];
/// Those of them that ask a program to end.
const ENDING: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// A signal that reached this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Got {
    pub(super) signal: i32,
    /// Whether the kernel sent it, as it does for a terminal.
    pub(super) by_kernel: bool,
}

/// The signals that reach this process from now on.
pub(in crate::commands) struct Signals {
    receiver: mpsc::UnboundedReceiver<Got>,
    handle: Handle,
}

impl Signals {
    /// Takes over all that were not ignored (S1).
    pub(in crate::commands) fn catch() -> io::Result<Self> {
        let ignored = ignored_now();
        let caught = PASSED_ON.into_iter().filter(|it| !ignored.contains(it));
        let mut infos = SignalsInfo::<WithOrigin>::new(caught)?;
        let handle = infos.handle();
        let (sender, receiver) = mpsc::unbounded_channel();
        let pass = move || {
            let got = infos.forever().map(|origin| Got {
                signal: origin.signal,
                by_kernel: matches!(origin.cause, Cause::Kernel),
            });
            // Until the handle closes, or nobody listens any more.
            got.map(|it| sender.send(it)).find(Result::is_err);
        };
        thread::Builder::new().name("signals".to_owned()).spawn(pass)?;
        Ok(Self { receiver, handle })
    }

    /// A signal that asked this process to end and was not passed on to anybody.
    pub(super) fn pending(&mut self) -> Option<i32> {
        while let Ok(got) = self.receiver.try_recv() {
            if ENDING.contains(&got.signal) {
                return Some(got.signal);
            }
        }
        None
    }

    /// The next one.
    pub(super) async fn next(&mut self) -> Got {
        match self.receiver.recv().await {
            Some(got) => got,
            // The thread is gone, and with it every further signal.
            None => std::future::pending().await,
        }
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        self.handle.close();
    }
}

/// Signals that this process ignores. Where the kernel does not say, none.
fn ignored_now() -> Vec<i32> {
    fs::read_to_string("/proc/self/status").map_or(Vec::new(), |status| ignored(&status))
}

/// Reads the line `SigIgn:` of a `/proc/*/status`: bit n - 1 stands for signal n.
fn ignored(status: &str) -> Vec<i32> {
    let mask = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or_default();
    PASSED_ON.into_iter().filter(|signal| mask & (1 << (signal - 1)) != 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_mask_of_the_kernel() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000000001\n"), [SIGHUP]);
        assert_eq!(ignored("SigIgn:\t0000000000001006\n"), [SIGINT, SIGQUIT]);
        assert_eq!(ignored("SigIgn:\t0000000000000000\n"), Vec::<i32>::new());
        assert_eq!(ignored("SigBlk:\t00000000000000ff\n"), Vec::<i32>::new());
    }
}
