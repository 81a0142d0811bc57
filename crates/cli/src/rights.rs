//! What the file system refuses, and what mends it: rights, room and names.

use std::{
    fs::metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, Uid, User, access, geteuid};

/// What to do about a full disk under a log. Archiving needs a delivered log, and delivering writes small files, so neither is
/// the way out; see the runbook `disk-full`.
pub(crate) const FULL_DISK: &str = "make room outside the log directory (df -h), or copy the whole directory to a larger disk (cp -a) and go on there; delete nothing in it";

/// What mends an error of the file system about a path; `None` when nobody knows.
pub(crate) fn mended(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(denied(path)),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(FULL_DISK.to_owned()),
        io::ErrorKind::NotFound => {
            let there = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let there = there.ancestors().find(|it| it.is_dir())?.to_owned();
            Some(format!(
                "check the name; the nearest directory that is there: {}",
                there.display()
            ))
        }
        io::ErrorKind::IsADirectory => Some("name a file, not a directory".to_owned()),
        io::ErrorKind::NotADirectory => Some("name a directory, not a file".to_owned()),
        _ => None,
    }
}

/// Who owns what keeps this user away from a path, and how that ends.
pub(crate) fn denied(path: &Path) -> String {
    let barrier = barrier(path);
    let (me, shown) = (geteuid(), barrier.display());
    let Ok(found) = metadata(&barrier) else {
        return format!("permission denied to {}: run as the user that owns {shown}", name(me));
    };
    let (owner, mode) = (Uid::from_raw(found.uid()), found.mode() & 0o7777);
    if owner == me {
        return format!(
            "permission denied: {shown} is yours and has mode {mode:03o}: chmod u+rwX {shown}"
        );
    }
    let (owner, me) = (name(owner), name(me));
    format!(
        "permission denied: {shown} belongs to {owner} (mode {mode:03o}) and this is {me}: run as {owner}, or: sudo chown -R {me} {shown}"
    )
}

/// The directory on the way that cannot be passed, else the path itself, else the nearest one above it that is there.
fn barrier(path: &Path) -> PathBuf {
    let above: Vec<&Path> = path.ancestors().filter(|it| !it.as_os_str().is_empty()).collect();
    let closed = |it: &&&Path| it.is_dir() && access(**it, AccessFlags::X_OK).is_err();
    if let Some(found) = above.iter().rev().find(closed) {
        return (**found).to_owned();
    }
    let there = above.iter().find(|it| it.exists());
    there.map_or_else(|| PathBuf::from("."), |it| (**it).to_owned())
}

fn name(uid: Uid) -> String {
    let user = User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |it| it.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_and_room_have_their_own_words_and_other_errors_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        let hint = |kind: io::ErrorKind| mended(&path, &kind.into());
        let told = hint(io::ErrorKind::PermissionDenied).unwrap();
        assert!(told.starts_with("permission denied"), "{told}");
        assert!(told.contains(dir.path().to_str().unwrap()), "the nearest that is there: {told}");
        for full in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            assert_eq!(hint(full).as_deref(), Some(FULL_DISK));
        }
        let told = hint(io::ErrorKind::NotFound).unwrap();
        assert!(told.ends_with(dir.path().to_str().unwrap()), "{told}");
        assert!(hint(io::ErrorKind::IsADirectory).unwrap().contains("not a directory"));
        assert_eq!(hint(io::ErrorKind::Interrupted), None);
    }
}
