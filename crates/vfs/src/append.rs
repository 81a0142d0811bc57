//! Appending lines to a file that others read.
//!
//! * **A1** After [`append_lines`] returned `Ok` the lines are durable, and so is the name.
//! * **A2** A line that a crash has torn is ended before the next one begins, so that it spoils no
//!   other.

use std::{io, path::Path};

use crate::{OpenMode, Vfs, write_all_at};

/// Appends `lines`, each of which ends with a line feed, and syncs them (A1, A2). One writer at a
/// time.
///
/// # Errors
///
/// The first error of any step. What is at the end of the file is then unknown.
pub fn append_lines(vfs: &dyn Vfs, path: &Path, lines: &[u8]) -> io::Result<()> {
    let new = vfs.stat(path)?.is_none();
    let file = vfs.open(path, OpenMode::Create)?;
    let mut end = file.stat()?.len;
    let mut last = [b'\n'];
    if end > 0 {
        file.read_at(&mut last, end - 1)?;
    }
    if last != [b'\n'] {
        write_all_at(&*file, b"\n", end)?;
        end += 1;
    }
    write_all_at(&*file, lines, end)?;
    file.sync_data()?;
    match path.parent() {
        Some(dir) if new && !dir.as_os_str().is_empty() => vfs.sync_dir(dir),
        _ if new => vfs.sync_dir(Path::new(".")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OsVfs;

    #[test]
    fn a_torn_line_spoils_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.jsonl");
        append_lines(&OsVfs, &path, b"{\"a\":1}\n").unwrap();
        append_lines(&OsVfs, &path, b"{\"b\":").unwrap();
        append_lines(&OsVfs, &path, b"{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"{\"a\":1}\n{\"b\":\n{\"c\":3}\n");
    }
}
