//! The files of a policy on disk.
//!
//! Directories are read with everything below them. A link, or what is neither a file nor a directory, is
//! refused: a rule behind it would be left out, or could become another one after it was looked at. Files that
//! are no part of a policy are counted.

use std::{
    collections::BTreeMap,
    fs::{self, DirEntry, FileType},
    io,
    path::{Path, PathBuf},
};

use api::exit::Exit;
use policy::{ENTRIES_MAX, ENTRY_LEN_MAX, TEST_FILE};
use vfs::{OsVfs, read_whole};

use crate::failure::Failure;

/// Most entries of directories that are looked at.
const LOOKED_AT_MAX: usize = 65_536;

/// Files by their names in the policy.
#[derive(Debug, Default)]
pub(in crate::commands) struct Found {
    pub(in crate::commands) files: BTreeMap<String, Vec<u8>>,
    /// Where each of them is.
    pub(super) paths: BTreeMap<String, PathBuf>,
    /// How many files are no part of a policy.
    pub(super) others: usize,
    looked_at: usize,
}

impl Found {
    /// Reads directories and files as one policy.
    pub(in crate::commands) fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut found = Self::default();
        for path in paths {
            // What the user names may be a link; what is found below it may not.
            let meta = fs::metadata(path).map_err(|it| Failure::file("read", path, &it))?;
            if meta.is_dir() {
                found.directory(path)?;
            } else if !may_be_text(path).map_err(|it| Failure::file("read", path, &it))? {
                return Err(bundle_instead(path));
            } else {
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                found.file(name, path)?;
            }
        }
        Ok(found)
    }

    /// Takes the files out that have tests and nothing else, and returns how many they were.
    pub(in crate::commands) fn without_tests(&mut self) -> usize {
        let before = self.files.len();
        self.files.retain(|name, _| !name.ends_with(TEST_FILE));
        before - self.files.len()
    }

    fn directory(&mut self, root: &Path) -> Result<(), Failure> {
        let mut open = vec![(String::new(), root.to_owned())];
        while let Some((prefix, dir)) = open.pop() {
            let at = |error: io::Error| Failure::file("read", &dir, &error);
            for entry in fs::read_dir(&dir).map_err(at)? {
                let entry = entry.map_err(at)?;
                let kind = entry.file_type().map_err(at)?;
                open.extend(self.entry(&prefix, &entry, kind)?);
            }
        }
        Ok(())
    }

    /// Takes one entry of a directory; one that is a directory itself comes back, to be looked into.
    fn entry(
        &mut self,
        prefix: &str,
        entry: &DirEntry,
        kind: FileType,
    ) -> Result<Option<(String, PathBuf)>, Failure> {
        let path = entry.path();
        self.looked_at += 1;
        if self.looked_at > LOOKED_AT_MAX {
            return Err(too_many(format!("there are more than {LOOKED_AT_MAX} files")));
        }
        let name = entry.file_name().into_string();
        let name = name.map_err(|_| odd(&path, "has a name that is not UTF-8"))?;
        let name = format!("{prefix}{name}");
        if kind.is_dir() {
            return Ok(Some((format!("{name}/"), path)));
        }
        if kind.is_symlink() {
            return Err(odd(&path, "is a symbolic link"));
        }
        if !kind.is_file() {
            return Err(odd(&path, "is neither a file nor a directory"));
        }
        if is_part(&name) {
            self.file(name, &path)?;
        } else {
            self.others += 1;
        }
        Ok(None)
    }

    fn file(&mut self, name: String, path: &Path) -> Result<(), Failure> {
        if self.files.len() == ENTRIES_MAX {
            return Err(too_many(format!("the policy has more than {ENTRIES_MAX} files")));
        }
        if let Some(first) = self.paths.get(&name) {
            let (first, second) = (first.display(), path.display());
            let message = format!("{first} and {second} have the same name in the policy");
            return Err(Failure::new(Exit::Usage, "SAME_NAME", message)
                .hint("name the directory that they are in"));
        }
        let bytes = read_whole(&OsVfs, path, ENTRY_LEN_MAX)
            .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|error| Failure::file("read", path, &error))?;
        self.paths.insert(name.clone(), path.to_owned());
        self.files.insert(name, bytes);
        Ok(())
    }
}

/// Whether a file is meant for a policy. One whose name is nearly right is, so that it is refused by name and
/// not overlooked.
fn is_part(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    file == "data.json" || Path::new(&file).extension().is_some_and(|it| it == "rego")
}

/// What every gzip file begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Whether a file is none that is compressed.
fn may_be_text(path: &Path) -> io::Result<bool> {
    let mut start = [0; GZIP.len()];
    // A pipe must not be emptied, nor waited for; whoever reads it refuses it.
    if !fs::metadata(path)?.is_file() {
        return Ok(true);
    }
    let mut file = fs::File::open(path)?;
    Ok(io::Read::read_exact(&mut file, &mut start).is_err() || start != GZIP)
}

/// A bundle where the files of a policy are meant.
fn bundle_instead(path: &Path) -> Failure {
    let shown = path.display();
    Failure::new(Exit::Usage, "BUNDLE_GIVEN", format!("{shown} is a bundle, not a *.rego file or a directory"))
        .hint(format!(
            "policy load checks a bundle as a whole; policy test --bundle {shown} runs its tests, \
             policy diff {shown} DIR compares it; policy check takes the directory it was built from"
        ))
}

fn odd(path: &Path, what: &str) -> Failure {
    Failure::new(Exit::Failed, "ODD_FILE", format!("{} {what}", path.display())).hint(
        "a policy is made of files and directories; put the file itself there, or move it out",
    )
}

fn too_many(message: String) -> Failure {
    Failure::new(Exit::Failed, "BUNDLE_TOO_MANY_ENTRIES", message)
        .hint("is it the right directory?")
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn subdirectories_are_read_and_what_is_no_part_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        fs::create_dir_all(at("deny/night")).unwrap();
        for name in [
            "a.rego",
            "a_test.rego",
            "deny/x.rego",
            "deny/night/y.rego",
            "data.json",
            "deny/README.md",
            "deny/z.REGO",
            "deny/data.json",
        ] {
            fs::write(at(name), name).unwrap();
        }
        let mut found = Found::read(&[dir.path().to_owned()]).unwrap();
        let names: Vec<_> = found.files.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "a.rego",
                "a_test.rego",
                "data.json",
                "deny/data.json",
                "deny/night/y.rego",
                "deny/x.rego",
                "deny/z.REGO"
            ]
        );
        assert_eq!(found.files["deny/x.rego"], b"deny/x.rego");
        assert_eq!((found.others, found.without_tests()), (1, 1));
        assert!(!found.files.contains_key("a_test.rego"));
    }

    #[test]
    fn links_pipes_and_equal_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        fs::write(dir.path().join("a.rego"), "package a").unwrap();
        let link = dir.path().join("sub/b.rego");
        let code = |paths: &[PathBuf]| Found::read(paths).unwrap_err().code;
        for target in ["../a.rego", "..", "nowhere"] {
            symlink(target, &link).unwrap();
            assert_eq!(code(&[dir.path().to_owned()]), "ODD_FILE", "{target}");
            fs::remove_file(&link).unwrap();
        }
        let socket = std::os::unix::net::UnixListener::bind(dir.path().join("sub/s")).unwrap();
        assert_eq!(code(&[dir.path().to_owned()]), "ODD_FILE");
        drop(socket);
        let file = dir.path().join("a.rego");
        assert_eq!(code(&[file.clone(), file]), "SAME_NAME");
        assert_eq!(code(&[dir.path().join("absent")]), "IO");
    }
}
