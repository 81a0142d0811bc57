//! A child process whose output is captured and which never outlives its owner.

use std::{
    fs::File,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{SOON, eventually};

/// How long the output of a process that has ended may stay in the pipe.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A running program.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Output>,
}

#[derive(Debug, Default)]
struct Output {
    lines: Mutex<Vec<String>>,
    grown: Condvar,
    /// Where every line goes, too.
    copy: Option<File>,
}

/// A program that has ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Finished {
    /// Exit code; `None` after a signal.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }
}

/// Runs a program to its end.
///
/// # Errors
///
/// When it cannot be started.
pub fn run_to_end(command: &mut Command) -> Result<Finished> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    Ok(Finished {
        status: output.status,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

impl Process {
    /// Starts a program and collects its output.
    ///
    /// # Errors
    ///
    /// When it cannot be started.
    pub fn start(name: &str, command: &mut Command) -> Result<Self> {
        Self::start_with(name, command, Output::default())
    }

    /// Starts a program, collects its output, and appends it to a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened or the program not be started.
    pub fn start_copied(name: &str, command: &mut Command, file: &Path) -> Result<Self> {
        let copy = File::options().append(true).create(true).open(file)?;
        Self::start_with(name, command, Output { copy: Some(copy), ..Output::default() })
    }

    fn start_with(name: &str, command: &mut Command, output: Output) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let output = Arc::new(output);
        if let Some(stdout) = child.stdout.take() {
            collect(stdout, &output);
        }
        if let Some(stderr) = child.stderr.take() {
            collect(stderr, &output);
        }
        Ok(Self { name: name.to_owned(), child, output })
    }

    /// Waits for a line of output that contains `text`.
    ///
    /// # Errors
    ///
    /// When the process ends or [`SOON`] passes without it; the error shows the output.
    pub fn wait_for(&mut self, text: &str) -> Result<String> {
        let deadline = Instant::now() + SOON;
        loop {
            if let Some(line) = self.find(text) {
                return Ok(line);
            }
            if let Some(status) = self.child.try_wait()? {
                return self.last_words(text, status);
            }
            if Instant::now() > deadline {
                bail!("{} did not say `{text}`:\n{}", self.name, self.output());
            }
            let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
            drop(self.output.grown.wait_timeout(lines, Duration::from_millis(50)));
        }
    }

    /// The last lines may still be in the pipe when the process is gone.
    fn last_words(&self, text: &str, status: ExitStatus) -> Result<String> {
        let deadline = Instant::now() + LAST_WORDS;
        while Instant::now() < deadline {
            if let Some(line) = self.find(text) {
                return Ok(line);
            }
            thread::park_timeout(Duration::from_millis(10));
        }
        bail!("{} ended ({status}) without `{text}`:\n{}", self.name, self.output())
    }

    fn find(&self, text: &str) -> Option<String> {
        let lines = self.output.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().find(|it| it.contains(text)).cloned()
    }

    /// Everything it has said so far, both streams in order of arrival.
    pub fn output(&self) -> String {
        self.output.lines.lock().unwrap_or_else(PoisonError::into_inner).join("\n")
    }

    /// Process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    ///
    /// # Errors
    ///
    /// When the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Kills it without a chance to clean up, and waits until it is gone.
    ///
    /// # Errors
    ///
    /// When it cannot be waited for.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    ///
    /// When it does not end, or not with exit code 0.
    pub fn stop(mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let status = self.wait()?;
        if status.code() == Some(0) {
            return Ok(());
        }
        bail!("{} ended with {status} after SIGTERM:\n{}", self.name, self.output())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    ///
    /// When it has not within [`SOON`].
    pub fn wait(&mut self) -> Result<ExitStatus> {
        let name = self.name.clone();
        eventually(&format!("{name} ends"), || self.child.try_wait().ok().flatten())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may be gone already; either way nothing is left behind.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn collect(stream: impl Read + Send + 'static, output: &Arc<Output>) {
    let output = Arc::clone(output);
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if let Some(mut copy) = output.copy.as_ref() {
                // One write a line, so that the streams do not mix. What cannot be copied is still collected.
                copy.write_all(format!("{line}\n").as_bytes()).ok();
            }
            output.lines.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            output.grown.notify_all();
        }
    });
}
