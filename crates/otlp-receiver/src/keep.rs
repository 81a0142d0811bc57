//! Where records are kept: a file of JSON lines, stdout, or nowhere.

use std::{
    io::{self, Write as _},
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use api::control::ControlEvent;
use vfs::{OsVfs, append_lines};

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nowhere; they are forwarded only.
    Nowhere,
    /// On stdout.
    Stdout,
    /// In a file, appended and synced.
    File(PathBuf),
}

/// Writes events, one request at a time.
#[derive(Debug)]
pub(crate) struct Keeper {
    keep: Keep,
    /// Why nothing is written any more: after a failed write or sync the end of the file is
    /// unknown (rule L5).
    failed: Mutex<Option<String>>,
}

impl Keeper {
    pub(crate) fn new(keep: Keep) -> Self {
        Self { keep, failed: Mutex::new(None) }
    }

    /// Writes the events of one request. Waits for the disk.
    pub(crate) fn write(&self, events: &[ControlEvent]) -> Result<(), String> {
        if self.keep == Keep::Nowhere {
            return Ok(());
        }
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = &*failed {
            return Err(failed.clone());
        }
        let written = lines(events).and_then(|lines| match &self.keep {
            Keep::Nowhere => Ok(()),
            Keep::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(&lines).and_then(|()| stdout.flush())
            }
            Keep::File(path) => append_lines(&OsVfs, path, &lines),
        });
        written.map_err(|error| {
            let text = match &self.keep {
                Keep::File(path) => format!("cannot write {}: {error}", path.display()),
                Keep::Nowhere | Keep::Stdout => format!("cannot write to stdout: {error}"),
            };
            *failed = Some(text.clone());
            text
        })
    }
}

fn lines(events: &[ControlEvent]) -> io::Result<Vec<u8>> {
    let mut lines = Vec::new();
    for event in events {
        serde_json::to_writer(&mut lines, event)?;
        lines.push(b'\n');
    }
    Ok(lines)
}
