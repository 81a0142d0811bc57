//! What a daemon is doing, for whoever asks: a small file that is replaced as a whole.

use std::{
    io,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use vfs::{Vfs, read_whole, replace};

/// Where it is, below the directory of the step logs.
const NAME: &str = "run/heartbeat.json";
/// Longest heartbeat that is read, in bytes.
pub const HEARTBEAT_LEN_MAX: u64 = 64 << 10;

/// A heartbeat. That its process lives is said by the lock and not here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The process.
    pub pid: u32,
    /// When it was written.
    pub ts: Timestamp,
    /// When the last cycle ended.
    #[serde(default)]
    pub last_cycle_at: Option<Timestamp>,
    /// The mandate in work.
    #[serde(default)]
    pub active_mandate_id: Option<String>,
    /// Steps that are not done.
    #[serde(default)]
    pub queue_depth: u64,
    /// Records of the step log that were written by this process.
    #[serde(default)]
    pub tick_count: u64,
    /// `starting`, `running`, `draining` or `stopped`.
    pub state: String,
}

/// Returns the heartbeat of a directory.
pub fn heartbeat_path(dir: &Path) -> PathBuf {
    dir.join(NAME)
}

impl Heartbeat {
    /// Replaces the heartbeat of a directory.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    pub fn write(&self, vfs: &dyn Vfs, dir: &Path) -> io::Result<()> {
        let mut bytes = serde_json::to_vec(self)?;
        bytes.push(b'\n');
        replace(vfs, &heartbeat_path(dir), &bytes)
    }

    /// Reads the heartbeat of a directory; `None` when there is none, or what is there is none.
    ///
    /// # Errors
    ///
    /// What the file system reports.
    pub fn read(vfs: &dyn Vfs, dir: &Path) -> io::Result<Option<Self>> {
        let bytes = read_whole(vfs, &heartbeat_path(dir), HEARTBEAT_LEN_MAX)?;
        Ok(bytes.and_then(|it| serde_json::from_slice(&it).ok()))
    }
}

#[cfg(test)]
mod tests {
    use vfs::MemVfs;

    use super::*;

    #[test]
    fn a_heartbeat_reads_as_it_was_written() {
        let vfs = MemVfs::default();
        let dir = Path::new("/steps");
        assert_eq!(Heartbeat::read(&vfs, dir).unwrap(), None);
        vfs.create_dir_all(&dir.join("run")).unwrap();
        let beat = Heartbeat {
            pid: 7,
            ts: "2026-01-02T03:04:05Z".parse().unwrap(),
            last_cycle_at: None,
            active_mandate_id: Some("mnd_x".to_owned()),
            queue_depth: 2,
            tick_count: 9,
            state: "running".to_owned(),
        };
        beat.write(&vfs, dir).unwrap();
        assert_eq!(Heartbeat::read(&vfs, dir).unwrap(), Some(beat));
        replace(&vfs, &heartbeat_path(dir), b"{").unwrap();
        assert_eq!(Heartbeat::read(&vfs, dir).unwrap(), None);
    }
}
