//! Runs one command: through the shell, in a process group of its own, for a bounded time.
//!
//! * **P1** When this process is asked to end, the groups go first, and this process ends as by the signal.
//! * **P2** After the time limit the whole group is killed.
//! * **P3** The command begins when its caller has said so: one whose caller is killed before never does.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError, mpsc},
    thread,
    time::Duration,
};

use goal::{EXIT_NONE, Run};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{commands::drained::drained, failure::Failure};

/// Most bytes that are kept of each output. What comes behind is read and left out.
const OUTPUT_LEN_MAX: u64 = 1 << 20;
/// How long the outputs of a group that ended are waited for: something may have left the group.
const LAST_OUTPUT: Duration = Duration::from_secs(2);
/// What a shell adds to the number of a signal.
const BY_SIGNAL: i32 = 128;
/// Waits for the word of the caller, then is the command (P3).
const GATE: &str = "IFS= read -r go || exit 125; exec /bin/sh -c \"$0\" < /dev/null";

/// The groups that run now.
static GROUPS: Mutex<Vec<i32>> = Mutex::new(Vec::new());

/// Takes signals from now on (P1).
pub(super) fn heed_signals() -> Result<(), Failure> {
    let mut signals =
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(|error| Failure::process(&error))?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            for group in GROUPS.lock().unwrap_or_else(PoisonError::into_inner).iter() {
                kill_group(*group);
            }
            std::process::exit(BY_SIGNAL + signal);
        }
    });
    Ok(())
}

fn kill_group(group: i32) {
    if let Some(group) = Pid::from_raw(group) {
        // A group that is gone needs no end.
        kill_process_group(group, Signal::KILL).ok();
    }
}

fn kill_one(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // One that is gone needs no end.
        kill_process(pid, Signal::KILL).ok();
    }
}

/// A command to run.
pub(super) struct Order<'a> {
    pub(super) command: &'a str,
    pub(super) dir: &'a Path,
    pub(super) vars: &'a [(&'a str, String)],
    pub(super) limit: Duration,
}

/// How a command ended.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// Exit code; [`EXIT_NONE`] when it did not end by itself.
    pub(super) code: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    /// What this process has to say about it.
    pub(super) note: String,
}

impl Ended {
    /// What it says about a criterion: standard output, then standard error.
    pub(super) fn into_run(self, id: &str, command: &str) -> Run {
        let (out, err) =
            (String::from_utf8_lossy(&self.stdout), String::from_utf8_lossy(&self.stderr));
        let output = format!("{out}{err}{}", self.note);
        let (id, command) = (id.to_owned(), Some(command.to_owned()));
        Run { id, command, exit_code: self.code, output }
    }
}

/// Runs a command; it begins when `begun`, which is told its number, says so (P3).
pub(super) fn run_order(order: &Order<'_>, begun: impl FnOnce(u32) -> Result<(), String>) -> Ended {
    let spawned = Command::new("/bin/sh")
        .args(["-c", GATE, order.command])
        .current_dir(order.dir)
        .envs(order.vars.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    match spawned {
        Ok(child) => accompany(child, order.limit, begun),
        Err(error) => failed(format!("cannot be started: {error}")),
    }
}

fn failed(note: String) -> Ended {
    Ended { code: EXIT_NONE, note, ..Ended::default() }
}

fn accompany(
    mut child: Child,
    limit: Duration,
    begun: impl FnOnce(u32) -> Result<(), String>,
) -> Ended {
    let group = i32::try_from(child.id()).unwrap_or(0);
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).push(group);
    let outputs = [
        drained(child.stdout.take(), OUTPUT_LEN_MAX),
        drained(child.stderr.take(), OUTPUT_LEN_MAX),
    ];
    let said = begun(child.id());
    let mut word = child.stdin.take();
    if let (Ok(()), Some(word)) = (&said, &mut word) {
        // A command that is gone already cannot be told; how it ended is seen below.
        word.write_all(b"go\n").ok();
    }
    drop(word);
    let (sender, end) = mpsc::channel();
    let waiter = thread::spawn(move || sender.send(child.wait()).ok());
    let status = end.recv_timeout(limit);
    // What the command left behind ends with it, and it itself where it left its group: nobody has waited for it then,
    // so the number is its own.
    kill_group(group);
    if status.is_err() {
        kill_one(group);
    }
    waiter.join().ok();
    GROUPS.lock().unwrap_or_else(PoisonError::into_inner).retain(|it| *it != group);
    let [stdout, stderr] = outputs.map(|it| it.recv_timeout(LAST_OUTPUT).unwrap_or_default());
    let (code, note) = match (said, status) {
        (Err(why), _) => (EXIT_NONE, why),
        (Ok(()), Ok(Ok(status))) => (status.code().unwrap_or(EXIT_NONE), String::new()),
        (Ok(()), Ok(Err(error))) => (EXIT_NONE, format!("cannot be waited for: {error}")),
        (Ok(()), Err(_)) => (EXIT_NONE, format!("timed out after {} s", limit.as_secs())),
    };
    Ended { code, stdout, stderr, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(command: &str, limit: Duration) -> (i32, String) {
        let order = Order { command, dir: Path::new("/"), vars: &[], limit };
        let run = run_order(&order, |_| Ok(())).into_run("x", command);
        (run.exit_code, run.output)
    }

    #[test]
    fn a_command_says_what_it_says_and_ends_when_it_has_to() {
        let long = Duration::from_mins(1);
        assert_eq!(ended("echo a; echo b >&2; exit 3", long), (3, "a\nb\n".to_owned()));
        assert_eq!(ended("kill -9 $$", long).0, EXIT_NONE);
        let (code, text) = ended("echo begun; sleep 600", Duration::from_millis(300));
        assert_eq!((code, text.as_str()), (EXIT_NONE, "begun\ntimed out after 0 s"));
        let left = "exec python3 -c 'import os,time; os.setpgid(0, os.getpgid(os.getppid())); time.sleep(600)'";
        assert_eq!(
            ended(left, Duration::from_secs(2)).0,
            EXIT_NONE,
            "one that left its group, too"
        );
        let (code, text) = ended("head -c 3000000 /dev/zero", long);
        assert_eq!((code, text.len()), (0, 1 << 20));
        assert_eq!(ended("cat; echo \"$0\"", long), (0, "/bin/sh\n".to_owned()), "no input");
    }

    /// P3
    #[test]
    fn a_command_that_is_not_let_begin_does_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let limit = Duration::from_mins(1);
        let order = Order { command: "touch done", dir: dir.path(), vars: &[], limit };
        let ended = run_order(&order, |_| Err("no".to_owned()));
        assert_eq!((ended.code, ended.note.as_str()), (EXIT_NONE, "no"));
        assert!(!dir.path().join("done").exists());
        assert_eq!(run_order(&order, |_| Ok(())).code, 0);
        assert!(dir.path().join("done").exists());
    }
}
