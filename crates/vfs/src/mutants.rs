//! Operations that the memory file system only pretends to do, to see which test misses them.
//!
//! `AUTONOMY_MUTANT` names one as `<operation> <file name>`: `sync telemetry.wal`, `set_len
//! telemetry.wal`, `sync_dir wal`, `lock telemetry.lock`, `lock_file telemetry.wal`. A name that ends
//! in `*` stands for all that begin like it.

use std::{path::Path, sync::LazyLock};

use crate::Op;

/// Whether this operation is left out in this process.
pub(crate) fn left_out(op: &Op) -> bool {
    // Read once, by a build that exists only for tests of tests.
    static ASKED: LazyLock<Option<(String, String)>> = LazyLock::new(|| {
        let asked = std::env::var("AUTONOMY_MUTANT").ok()?;
        asked.split_once(' ').map(|(op, name)| (op.to_owned(), name.to_owned()))
    });
    let Some((asked, name)) = &*ASKED else { return false };
    let (word, path): (_, &Path) = match op {
        Op::Sync(path) => ("sync", path),
        Op::SetLen(path, _) => ("set_len", path),
        Op::SyncDir(path) => ("sync_dir", path),
        Op::Lock(path) => ("lock", path),
        Op::LockFile(path) => ("lock_file", path),
        Op::Remove(path) => ("remove", path),
        Op::Create(_) | Op::Write { .. } | Op::Rename(..) | Op::Link(..) => return false,
    };
    let found = path.file_name().and_then(|it| it.to_str()).unwrap_or_default();
    let named = match name.strip_suffix('*') {
        Some(start) => found.starts_with(start),
        None => found == name,
    };
    word == asked && named
}
