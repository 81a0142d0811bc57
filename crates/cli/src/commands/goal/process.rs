//! Runs one command of a criterion: through the shell, in a process group of its own, for a bounded time.
//!
//! * **P1** When this process is asked to end, the group goes first, and this process ends as by the signal.
//! * **P2** After the time limit the whole group is killed.

use std::{
    io::Read,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Command, Stdio},
    sync::{
        atomic::{AtomicI32, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use goal::{EXIT_NONE, Run};
use rustix::process::{Pid, Signal, kill_process_group};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::failure::Failure;

/// Most bytes that are kept of each output. What comes behind is read and left out.
const OUTPUT_LEN_MAX: u64 = 1 << 20;
/// How long the outputs of a group that ended are waited for: something may have left the group.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// What a shell adds to the number of a signal.
const BY_SIGNAL: i32 = 128;

/// The group that runs now; 0 for none.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// Takes signals from now on (P1).
pub(super) fn heed_signals() -> Result<(), Failure> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| Failure::process(&error))?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            kill_group();
            std::process::exit(BY_SIGNAL + signal);
        }
    });
    Ok(())
}

fn kill_group() {
    if let Some(group) = Pid::from_raw(GROUP.load(Ordering::SeqCst)) {
        // A group that is gone needs no end.
        kill_process_group(group, Signal::KILL).ok();
    }
}

/// Runs a command and keeps what it says: standard output, then standard error.
pub(super) fn run(id: &str, command: &str, dir: &Path, limit: Duration) -> Run {
    let (exit_code, output) = ran(command, dir, limit);
    Run { id: id.to_owned(), exit_code, output }
}

fn ran(command: &str, dir: &Path, limit: Duration) -> (i32, String) {
    let spawned = Command::new("/bin/sh")
        .args(["-c", command])
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return (EXIT_NONE, format!("cannot start: {error}")),
    };
    GROUP.store(i32::try_from(child.id()).unwrap_or(0), Ordering::SeqCst);
    let outputs = [read(child.stdout.take()), read(child.stderr.take())];
    let (ended, end) = mpsc::channel();
    let waiter = thread::spawn(move || ended.send(child.wait()).ok());
    let status = end.recv_timeout(limit);
    // What the command left behind ends with it.
    kill_group();
    GROUP.store(0, Ordering::SeqCst);
    waiter.join().ok();
    let texts = outputs.map(|it| it.recv_timeout(LAST_OUTPUT).unwrap_or_default());
    let output: String = texts.iter().map(|it| String::from_utf8_lossy(it)).collect();
    match status {
        Ok(Ok(status)) => (status.code().unwrap_or(EXIT_NONE), output),
        Ok(Err(error)) => (EXIT_NONE, format!("{output}cannot be waited for: {error}")),
        Err(_) => (EXIT_NONE, format!("{output}timed out after {} s", limit.as_secs())),
    }
}

/// Reads an output to its end, beside the run.
fn read(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is not there.
            (&mut pipe).take(OUTPUT_LEN_MAX).read_to_end(&mut kept).ok();
            std::io::copy(&mut pipe, &mut std::io::sink()).ok();
        }
        sender.send(kept).ok()
    });
    receiver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(command: &str, limit: Duration) -> (i32, String) {
        ran(command, Path::new("/"), limit)
    }

    #[test]
    fn a_command_says_what_it_says_and_ends_when_it_has_to() {
        let long = Duration::from_mins(1);
        assert_eq!(ended("echo a; echo b >&2; exit 3", long), (3, "a\nb\n".to_owned()));
        assert_eq!(ended("kill -9 $$", long).0, EXIT_NONE);
        let (code, text) = ended("echo begun; sleep 600", Duration::from_millis(200));
        assert_eq!((code, text.as_str()), (EXIT_NONE, "begun\ntimed out after 0 s"));
        let (code, text) = ended("head -c 3000000 /dev/zero", long);
        assert_eq!((code, text.len()), (0, 1 << 20));
    }
}
