//! What the file system refuses, and what mends it: rights, room and names.

use std::{
    fmt::Display,
    fs::metadata,
    io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use nix::unistd::{AccessFlags, Uid, User, access, geteuid};

/// What to do about a full disk under a log. Archiving needs a delivered log, and delivering writes small files, so neither is
/// the way out; see the runbook `disk-full`.
pub(crate) const FULL_DISK: &str = "make room outside the log directory (df -h), or copy the whole directory to a larger disk (cp -a) and go on there; delete nothing in it";

/// What the names of the files of a log begin with.
const OF_LOG: &[u8] = b"telemetry.";

/// What mends an error of the file system about a path; `None` when nobody knows.
pub(crate) fn mended(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(denied(path)),
        io::ErrorKind::ReadOnlyFilesystem => Some(read_only(path)),
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

/// The same for a command that only reads: it gives nobody else's files away.
pub(crate) fn mended_reading(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => Some(denied_to(path, Use::Reads)),
        _ => mended(path, error),
    }
}

/// What to do about a file system that is mounted for reading only.
pub(crate) fn read_only(path: &Path) -> String {
    format!(
        "the file system of {0} is mounted read-only: see why (dmesg, findmnt -T {0}), mount it for writing, or name another directory",
        path.display()
    )
}

/// What a command wants of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Reads,
    Writes,
}

/// Who owns what keeps this user away from a path that is written, and how that ends.
pub(crate) fn denied(path: &Path) -> String {
    denied_to(path, Use::Writes)
}

/// The directory of a log instead of one of its files: who may not write one may not write the next.
fn whole(barrier: PathBuf) -> PathBuf {
    let of_log = barrier.file_name().is_some_and(|it| it.as_encoded_bytes().starts_with(OF_LOG));
    let dir = barrier.parent().filter(|it| !it.as_os_str().is_empty());
    match dir {
        Some(dir) if of_log && !barrier.is_dir() => dir.to_owned(),
        None if of_log && !barrier.is_dir() => PathBuf::from("."),
        _ => barrier,
    }
}

fn denied_to(path: &Path, to: Use) -> String {
    let barrier = barrier(path);
    let barrier = if to == Use::Writes { whole(barrier) } else { barrier };
    let (me, shown) = (geteuid(), barrier.display());
    let Ok(found) = metadata(&barrier) else {
        return format!("permission denied to {}: run as the user that owns {shown}", name(me));
    };
    let (owner, mode) = (Uid::from_raw(found.uid()), found.mode() & 0o7777);
    if owner == me {
        let all = if barrier.is_dir() { "-R " } else { "" };
        return format!(
            "permission denied: {shown} is yours and has mode {mode:03o}: chmod {all}u+rwX {shown}"
        );
    }
    others(&shown, mode, &name(owner), &name(me), to)
}

/// What to do about something of somebody else.
fn others(shown: &dyn Display, mode: u32, owner: &str, me: &str, to: Use) -> String {
    let run = format!(
        "permission denied: {shown} belongs to {owner} (mode {mode:03o}) and this is {me}: run the same as {owner}: sudo -u {owner} autonomy …"
    );
    match to {
        Use::Reads => run,
        Use::Writes => format!("{run}, or give it away, whole: sudo chown -R {me} {shown}"),
    }
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
        let told = hint(io::ErrorKind::ReadOnlyFilesystem).unwrap();
        assert!(told.contains("mounted read-only") && !told.contains("chmod"), "{told}");
    }

    #[test]
    fn who_reads_is_never_told_to_take_a_log_away_from_its_service() {
        let told = others(&"/w", 0o700, "svc", "ada", Use::Reads);
        assert!(told.contains("sudo -u svc") && !told.contains("chown"), "{told}");
        let told = others(&"/w", 0o700, "svc", "ada", Use::Writes);
        assert!(told.ends_with("sudo chown -R ada /w"), "{told}");
    }

    #[test]
    fn who_writes_a_log_needs_its_directory_and_not_one_file_after_another() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("telemetry.safe_seq");
        std::fs::write(&file, "x").unwrap();
        assert_eq!(whole(file), dir.path());
        let other = dir.path().join("other");
        std::fs::write(&other, "x").unwrap();
        assert_eq!(whole(other.clone()), other);
    }
}
