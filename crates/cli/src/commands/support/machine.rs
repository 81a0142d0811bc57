//! What the machine and its runtime say, without a command in between.

use std::{
    fs::{Metadata, read_dir},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use api::env;
use jiff::Timestamp;
use nix::sys::statvfs::statvfs;
use serde_json::{Value, json};

use super::parts::Part;
use crate::{
    args::SupportGenerate, commands::status::RUNTIME_URL_DEFAULT, context::Context,
    control::ControlPlane, failure::Failure,
};

/// Most files of the log directory that are listed.
const FILES_MAX: usize = 10_000;
/// How deep below the log directory files are listed: its archive, and what was put aside.
const DEPTH_MAX: usize = 2;

/// Each may fail alone (S1).
pub(super) fn collect(args: &SupportGenerate, context: Context<'_>) -> Vec<Part> {
    let limit = Duration::from_secs(args.timeout.into());
    let log = args.wal_dir.clone().map_or_else(|| context.wal_dir(), Ok);
    let url = context.var(env::RUNTIME_URL).unwrap_or_else(|| RUNTIME_URL_DEFAULT.to_owned());
    let shown = api::url::without_secrets(&url);
    let asked =
        |path: &str| ControlPlane::of_runtime(&url).and_then(|it| it.within(limit).plain(path));
    let listed = log.as_ref().map_err(said).and_then(|it| listing(it));
    let spaces = spaces(&log, context);
    vec![
        part("host.json", "uname", Ok(host().to_string().into_bytes())),
        part("space.json", "statvfs", Ok(spaces.to_string().into_bytes())),
        needed("log-files.json", "the log directory", listed.map(|it| it.to_string().into_bytes())),
        part(
            "runtime-status.json",
            &format!("{shown}/v1/status"),
            asked("/v1/status").map_err(|it| said(&it)),
        ),
        part(
            "runtime-metrics.txt",
            &format!("{shown}/metrics"),
            asked("/metrics").map_err(|it| said(&it)),
        ),
    ]
}

/// A part that was read, or why it was not. That no runtime runs is an answer.
fn part(file: &str, source: &str, read: Result<Vec<u8>, String>) -> Part {
    let (bytes, problem) = match read {
        Ok(bytes) => (bytes, None),
        Err(why) => (Vec::new(), Some(why)),
    };
    Part { file: file.to_owned(), source: source.to_owned(), bytes, problem, failed: false }
}

/// A part that this machine has to give: without it, it was not collected at all.
fn needed(file: &str, source: &str, read: Result<Vec<u8>, String>) -> Part {
    let failed = read.is_err();
    Part { failed, ..part(file, source, read) }
}

fn said(failure: &Failure) -> String {
    format!("{} ({})", failure.message, failure.code)
}

fn host() -> Value {
    let uname = rustix::system::uname();
    let text = |it: &std::ffi::CStr| it.to_string_lossy().into_owned();
    json!({
        "host": text(uname.nodename()), "system": text(uname.sysname()), "kernel": text(uname.release()),
        "build": text(uname.version()), "machine": text(uname.machine()),
        "user": nix::unistd::geteuid().as_raw(), "at": format!("{:.3}", Timestamp::now()),
    })
}

/// Room under every directory that this program writes to.
fn spaces(log: &Result<PathBuf, Failure>, context: Context<'_>) -> Value {
    let own = [
        ("log", log.as_ref().map(PathBuf::to_owned).map_err(said)),
        ("policy", context.policy_dir().map_err(|it| said(&it))),
        ("audit", context.audit_dir().map_err(|it| said(&it))),
        ("control plane", context.data_dir().map_err(|it| said(&it))),
        ("steps", context.steps_dir().map_err(|it| said(&it))),
    ];
    own.into_iter()
        .map(|(name, dir)| match dir {
            Ok(dir) => space(name, &dir),
            Err(why) => json!({ "of": name, "problem": why }),
        })
        .collect()
}

fn space(name: &str, dir: &Path) -> Value {
    // One that is not there yet will be made on the file system of what is above it.
    let there = dir.ancestors().find(|it| it.is_dir()).unwrap_or_else(|| Path::new("."));
    match statvfs(there) {
        Err(error) => {
            json!({ "of": name, "dir": dir.display().to_string(), "problem": error.to_string() })
        }
        Ok(it) => json!({
            "of": name, "dir": dir.display().to_string(),
            "measured_at": there.display().to_string(),
            "bytes_free": it.blocks_available().saturating_mul(it.fragment_size()),
            "bytes_total": it.blocks().saturating_mul(it.fragment_size()),
            "files_free": it.files_available(), "files_total": it.files(),
        }),
    }
}

/// Names, sizes and times of the files of the log.
fn listing(dir: &Path) -> Result<Value, String> {
    let mut files = Vec::new();
    // A machine without a log is no failure.
    if std::fs::symlink_metadata(dir).is_err_and(|it| it.kind() == io::ErrorKind::NotFound) {
        return Ok(json!({ "dir": dir, "absent": true, "cut": false, "files": files }));
    }
    list(dir, Path::new(""), DEPTH_MAX, &mut files)
        .map_err(|it| format!("cannot list {}: {it}", dir.display()))?;
    Ok(json!({ "dir": dir.display().to_string(), "cut": files.len() >= FILES_MAX, "files": files }))
}

fn list(dir: &Path, below: &Path, depth: usize, files: &mut Vec<Value>) -> io::Result<()> {
    let mut entries = read_dir(dir)?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_unstable_by_key(std::fs::DirEntry::file_name);
    for entry in entries {
        if files.len() >= FILES_MAX {
            return Ok(());
        }
        let name = below.join(entry.file_name());
        // A name need not be text.
        let shown = name.to_string_lossy();
        let found = match entry.metadata() {
            Ok(found) => found,
            Err(error) => {
                files.push(json!({ "name": shown, "problem": error.to_string() }));
                continue;
            }
        };
        files.push(file(&shown, &found));
        if found.is_dir()
            && depth > 0
            && let Err(error) = list(&entry.path(), &name, depth - 1, files)
        {
            files.push(json!({ "name": shown, "problem": error.to_string() }));
        }
    }
    Ok(())
}

fn file(name: &str, found: &Metadata) -> Value {
    use std::os::unix::fs::MetadataExt as _;
    let kind = match found.file_type() {
        it if it.is_dir() => "directory",
        it if it.is_file() => "file",
        it if it.is_symlink() => "link",
        _ => "other",
    };
    let modified = found.modified().ok().and_then(|it| Timestamp::try_from(it).ok());
    json!({
        "name": name, "kind": kind, "bytes": found.len(), "mode": format!("{:o}", found.mode() & 0o7777),
        "uid": found.uid(), "gid": found.gid(), "modified": modified.map(|it| format!("{it:.3}")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_that_could_not_be_made_is_a_part_that_failed() {
        assert!(needed("log-files.json", "x", Err("no".to_owned())).failed);
        assert!(!needed("log-files.json", "x", Ok(Vec::new())).failed);
    }

    #[test]
    fn a_listing_has_sizes_and_times_and_says_when_there_is_no_directory() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("archive/x/y/z")).unwrap();
        std::fs::write(dir.path().join("telemetry.wal"), "12345").unwrap();
        let told = listing(dir.path()).unwrap();
        let files = told["files"].as_array().unwrap();
        let names: Vec<_> = files.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(names, ["archive", "archive/x", "archive/x/y", "telemetry.wal"]);
        assert_eq!(
            (files[3]["bytes"].as_u64(), files[3]["kind"].as_str()),
            (Some(5), Some("file"))
        );
        assert!(files[3]["modified"].as_str().unwrap().ends_with('Z'));
        assert_eq!(listing(&dir.path().join("none")).unwrap()["absent"], true);
        let no_directory = dir.path().join("telemetry.wal");
        assert!(listing(&no_directory).unwrap_err().contains("/telemetry.wal: "));
    }

    /// S1
    #[test]
    fn a_name_that_is_no_text_is_listed_like_any_other() {
        use std::os::unix::ffi::OsStrExt as _;

        let dir = tempfile::tempdir().unwrap();
        let name = std::ffi::OsStr::from_bytes(b"a\xffb");
        std::fs::write(dir.path().join(name), "1").unwrap();
        assert_eq!(listing(dir.path()).unwrap()["files"][0]["name"], "a\u{fffd}b");
        assert!(space("log", &dir.path().join(name))["dir"].is_string());
    }
}
