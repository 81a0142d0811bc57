//! A program, everything it started, and what it wrote.
//!
//! * **G3** The group is killed only while its leader is not reaped. Its id belongs to nobody else until
//!   then: the end of the leader is seen without reaping it (`WNOWAIT`), the group is killed, and only
//!   then the leader is reaped.
//! * **G4** The end of the leader is the end of the program. Whatever it left in its group is killed,
//!   and what is in the pipes is kept; a process that left the group and holds a pipe keeps nobody
//!   waiting.

use std::{
    future::pending,
    io,
    os::fd::AsFd,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use rustix::{
    io::Errno,
    process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    process::{Child, ChildStdin, Command},
    signal::unix::{self, SignalKind},
    time::sleep,
};

/// Bytes read at once.
const READ_LEN: usize = 8 << 10;

/// How a program ended and what it wrote.
#[derive(Debug)]
pub(super) struct Ran {
    /// `None` when it was killed at its time limit.
    pub(super) status: Option<ExitStatus>,
    pub(super) stdout: Text,
    pub(super) stderr: Text,
}

/// What is kept of one stream.
#[derive(Debug)]
pub(super) struct Text {
    pub(super) text: String,
    /// Whether there was more.
    pub(super) cut: bool,
}

/// Runs a command to the end of its leader, at most for `limit`, and keeps the first `kept_max` bytes
/// of each stream.
///
/// # Errors
///
/// When it cannot be started, watched, or read.
pub(super) async fn run(
    command: &mut Command,
    limit: Duration,
    kept_max: usize,
) -> io::Result<Ran> {
    // Before the start: the signal of a program that ends at once must not be missed.
    let mut signals = unix::signal(SignalKind::child())?;
    let mut group = Group::start(command)?;
    let mut stdout = Stream::new(group.child.stdout.take(), kept_max);
    let mut stderr = Stream::new(group.child.stderr.take(), kept_max);
    let ended = {
        let read = async {
            let (stdout, stderr) = tokio::join!(stdout.read(), stderr.read());
            // Closing its streams does not end a program.
            if stdout.is_ok() && stderr.is_ok() { pending().await } else { stdout.and(stderr) }
        };
        tokio::select! {
            ended = group.ended(&mut signals) => ended.map(|()| true),
            failed = read => failed.map(|()| true),
            () = sleep(limit) => Ok(false),
        }
    };
    group.kill();
    let ended = ended?;
    stdout.read_rest()?;
    stderr.read_rest()?;
    // After the time limit nobody waits: the executor reaps it when it is gone.
    let status = if ended { Some(group.child.wait().await?) } else { None };
    Ok(Ran { status, stdout: stdout.text(), stderr: stderr.text() })
}

/// A running group. It is killed when this value goes, whoever drops it.
struct Group {
    id: Pid,
    child: Child,
    /// Its end tells the guard that the runtime is gone. Nothing is ever written to it.
    _alive: Option<ChildStdin>,
}

impl Group {
    fn start(command: &mut Command) -> io::Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let alive = child.stdin.take();
        let id = child.id().and_then(|it| Pid::from_raw(it.cast_signed()));
        let id = id.ok_or_else(|| io::Error::other("the program has no id"))?;
        Ok(Self { id, child, _alive: alive })
    }

    /// Waits until the leader has ended, and leaves it to be reaped (G3).
    async fn ended(&self, signals: &mut unix::Signal) -> io::Result<()> {
        let how = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT | WaitIdOptions::NOHANG;
        loop {
            match waitid(WaitId::Pid(self.id), how) {
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            }
            // Signals of several children are one; the next look sees whose it was.
            if signals.recv().await.is_none() {
                return Err(io::Error::other("signals of children are not delivered"));
            }
        }
    }

    /// Kills every member. Sound while `child` is not reaped (G3).
    fn kill(&self) {
        // `id` is gone once the executor has reaped the leader.
        if self.child.id().is_some() {
            // An empty group is what we want; there is nobody to tell about any other error.
            kill_process_group(self.id, Signal::KILL).ok();
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill();
    }
}

/// One output of a program. All of it is read, so that a chatty program is not blocked by a full
/// pipe; its beginning is kept.
struct Stream<R> {
    from: Option<R>,
    kept: Vec<u8>,
    kept_max: usize,
    cut: bool,
}

impl<R: AsyncRead + AsFd + Unpin> Stream<R> {
    fn new(from: Option<R>, kept_max: usize) -> Self {
        Self { from, kept: Vec::new(), kept_max, cut: false }
    }

    /// Reads to the end. May be abandoned at any time.
    async fn read(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_LEN];
        while let Some(from) = &mut self.from {
            let len = from.read(&mut buffer).await?;
            if len == 0 {
                break;
            }
            self.keep(buffer.get(..len).unwrap_or_default());
        }
        Ok(())
    }

    /// Reads what is there now: everything that a program wrote that has ended. Ends when enough is kept,
    /// so that a process outside the group which goes on writing is not read for ever (G4).
    fn read_rest(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_LEN];
        while let (Some(from), false) = (&self.from, self.cut) {
            match rustix::io::read(from, &mut buffer) {
                Ok(0) | Err(Errno::AGAIN) => break,
                Ok(len) => self.keep(buffer.get(..len).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = self.kept_max.saturating_sub(self.kept.len());
        self.kept.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
        self.cut |= bytes.len() > room;
    }

    fn text(self) -> Text {
        Text { text: String::from_utf8_lossy(&self.kept).into_owned(), cut: self.cut }
    }
}
