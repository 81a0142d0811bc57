//! What a file proves about a step.
//!
//! * **W1** Only what was read proves anything: a file that cannot be read, or is too long, is not known.
//! * **W2** That there is no such file is known, and is a value of its own.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use vfs::{OpenMode, Vfs};

/// What stands for a file that is not there (W2).
pub const ABSENT: &str = "absent";
/// Longest file that is hashed, in bytes.
pub const WATCHED_LEN_MAX: u64 = 1 << 30;
/// Bytes that are read at once.
const CHUNK_LEN: usize = 64 << 10;

/// A look at the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The hash of what is there (`sha256-` and 64 digits), or [`ABSENT`].
    Known(String),
    /// Nobody can say (W1).
    Unknown {
        /// Why.
        why: String,
    },
}

impl Seen {
    /// Returns the hash, when it is known.
    pub fn hash(&self) -> Option<&str> {
        match self {
            Self::Known(hash) => Some(hash),
            Self::Unknown { .. } => None,
        }
    }
}

/// Looks at a file.
pub fn look(vfs: &dyn Vfs, path: &Path) -> Seen {
    let unknown = |why: String| Seen::Unknown { why: format!("{}: {why}", path.display()) };
    match vfs.stat(path) {
        Ok(None) => Seen::Known(ABSENT.to_owned()),
        Ok(Some(stat)) if stat.is_dir => unknown("it is a directory".to_owned()),
        Ok(Some(stat)) if stat.len > WATCHED_LEN_MAX => {
            unknown(format!("{} bytes are more than {WATCHED_LEN_MAX}", stat.len))
        }
        Ok(Some(_)) => hash(vfs, path).map_or_else(|it| unknown(it.to_string()), Seen::Known),
        Err(error) => unknown(error.to_string()),
    }
}

fn hash(vfs: &dyn Vfs, path: &Path) -> std::io::Result<String> {
    let file = vfs.open(path, OpenMode::Read)?;
    let (mut digest, mut buffer, mut offset) = (Sha256::new(), vec![0; CHUNK_LEN], 0);
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            return Ok(format!("sha256-{}", hex::encode(digest.finalize())));
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        offset += read as u64;
        if offset > WATCHED_LEN_MAX {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use vfs::{MemVfs, replace};

    use super::*;

    #[test]
    fn a_file_has_the_hash_of_its_bytes_and_no_file_is_a_value_too() {
        let vfs = MemVfs::default();
        let path = Path::new("/it");
        assert_eq!(look(&vfs, path), Seen::Known(ABSENT.to_owned()));
        for content in [vec![], b"content\n".to_vec(), vec![7; CHUNK_LEN + 1]] {
            replace(&vfs, path, &content).unwrap();
            let want = wal_format::step::sha256(&content);
            assert_eq!(look(&vfs, path), Seen::Known(want));
        }
    }

    #[test]
    fn what_is_no_file_proves_nothing() {
        let vfs = MemVfs::default();
        vfs.create_dir_all(Path::new("/d")).unwrap();
        let seen = look(&vfs, Path::new("/d"));
        assert!(matches!(&seen, Seen::Unknown { why } if why == "/d: it is a directory"));
        assert_eq!(seen.hash(), None);
    }
}
