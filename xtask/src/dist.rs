//! Builds what is released: an archive, a list of what is in it, and sums.
//!
//! | file in `target/dist`              | what it is                                                     |
//! |------------------------------------|----------------------------------------------------------------|
//! | `autonomy-VERSION-TARGET.tar.gz`   | the programs, manual pages, completions, units, licences         |
//! | `autonomy-VERSION.cdx.json`        | every package that is in the programs (`CycloneDX` 1.5)          |
//! | `SHA256SUMS`                       | the sums of both, for `sha256sum --check`                        |
//!
//! * **D1** Programs are built with `--locked`, and each says its version before it is packed.
//! * **D2** The same files make the same archive: names in order, no owner, one time (`SOURCE_DATE_EPOCH`, else 0).
//! * **D3** The archive and the sums are read back and compared before success is said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{Metadata, MetadataCommand};
use flate2::{Compression, GzBuilder, read::GzDecoder};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::{cargo, root};

/// The programs.
const PROGRAMS: [&str; 3] = ["autonomy", "autonomy-orchestrator", "otel-sink"];
/// Files of the repository that go with them.
const FILES: [&str; 5] =
    ["README.md", "CHANGELOG.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"];
/// Shells, and the names under which they look for completions.
const SHELLS: [(&str, &str); 3] =
    [("bash", "autonomy.bash"), ("zsh", "_autonomy"), ("fish", "autonomy.fish")];
const PROGRAM_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

type Failed = Box<dyn std::error::Error>;

/// A file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Packed {
    mode: u32,
    bytes: Vec<u8>,
}

/// Files by name.
type Files = BTreeMap<String, Packed>;

/// Builds everything. Says what is wrong and returns `false` when anything is.
pub(crate) fn dist() -> bool {
    let mut args = vec!["build", "--release", "--locked"];
    args.extend(PROGRAMS.iter().flat_map(|it| ["--package", it]));
    if !cargo(&args) {
        return false;
    }
    match made() {
        Ok(all) => {
            for path in all {
                eprintln!("{}", path.display());
            }
            true
        }
        Err(error) => {
            eprintln!("dist: {error}");
            false
        }
    }
}

fn made() -> Result<Vec<PathBuf>, Failed> {
    let metadata = MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .other_options(["--locked".to_owned()])
        .exec()?;
    let target = metadata.target_directory.as_std_path().to_owned();
    let version = version_of(&metadata)?;
    let stem = format!("autonomy-{version}-{}", host()?);
    let files = collected(&target, &version)?;
    let dir = target.join("dist");
    fs::create_dir_all(&dir)?;
    let archive = dir.join(format!("{stem}.tar.gz"));
    fs::write(&archive, packed(&stem, &files, epoch()?)?)?;
    compare(&stem, &files, &fs::read(&archive)?)?;
    let parts = dir.join(format!("autonomy-{version}.cdx.json"));
    fs::write(&parts, serde_json::to_vec_pretty(&bill(&linked()?, &version))?)?;
    let sums = dir.join("SHA256SUMS");
    fs::write(&sums, sums_of(&[&archive, &parts])?)?;
    check_sums(&sums)?;
    Ok(vec![archive, parts, sums])
}

fn version_of(metadata: &Metadata) -> Result<String, Failed> {
    let ours = metadata.packages.iter().find(|it| it.name.as_str() == "autonomy");
    Ok(ours.ok_or("there is no package autonomy")?.version.to_string())
}

/// The triple of this machine.
fn host() -> Result<String, Failed> {
    let said = output(Command::new("rustc").arg("-vV"))?;
    let said = String::from_utf8(said)?;
    let line = said.lines().find_map(|it| it.strip_prefix("host: "));
    Ok(line.ok_or("rustc names no host")?.to_owned())
}

/// D2
fn epoch() -> Result<u64, Failed> {
    match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => Ok(text.parse().map_err(|_| "SOURCE_DATE_EPOCH is no number of seconds")?),
        Err(_) => Ok(0),
    }
}

fn output(command: &mut Command) -> Result<Vec<u8>, Failed> {
    let done = command.output()?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        return Err(format!("{command:?}: {}: {}", done.status, said.trim()).into());
    }
    Ok(done.stdout)
}

/// Everything that goes into the archive (D1).
fn collected(target: &Path, version: &str) -> Result<Files, Failed> {
    let mut files = Files::new();
    let mut put = |name: String, mode: u32, bytes: Vec<u8>| {
        files.insert(name, Packed { mode, bytes });
    };
    for program in PROGRAMS {
        let path = target.join("release").join(program);
        let said = String::from_utf8(output(Command::new(&path).arg("--version"))?)?;
        let want = format!("{program} {version}");
        if said.trim() != want {
            return Err(format!("{program} says `{}`, not `{want}`", said.trim()).into());
        }
        put(format!("bin/{program}"), PROGRAM_MODE, fs::read(&path)?);
    }
    let autonomy = target.join("release/autonomy");
    for (shell, name) in SHELLS {
        let script = output(Command::new(&autonomy).args(["completions", shell]))?;
        put(format!("completions/{name}"), FILE_MODE, script);
    }
    let pages = target.join("dist/man1");
    fs::remove_dir_all(&pages).or_else(absent_is_good)?;
    output(Command::new(&autonomy).args(["man", "--dir"]).arg(&pages))?;
    for (name, bytes) in directory(&pages)? {
        put(format!("man/man1/{name}"), FILE_MODE, bytes);
    }
    fs::remove_dir_all(&pages)?;
    for (name, bytes) in directory(&root().join("deploy/systemd"))? {
        put(format!("systemd/{name}"), FILE_MODE, bytes);
    }
    for name in FILES {
        put(name.to_owned(), FILE_MODE, fs::read(root().join(name))?);
    }
    Ok(files)
}

fn absent_is_good(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// Files of a directory by name.
fn directory(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failed> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|it| it.to_str()).ok_or("a name that is no text")?;
        found.insert(name.to_owned(), fs::read(&path)?);
    }
    if found.is_empty() {
        return Err(format!("nothing is in {}", dir.display()).into());
    }
    Ok(found)
}

/// The archive (D2).
fn packed(stem: &str, files: &Files, mtime: u64) -> io::Result<Vec<u8>> {
    let time = u32::try_from(mtime).unwrap_or(u32::MAX);
    let gzip = GzBuilder::new().mtime(time).write(Vec::new(), Compression::best());
    let mut tar = tar::Builder::new(gzip);
    for (name, file) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.bytes.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(mtime);
        header.set_uid(0);
        header.set_gid(0);
        tar.append_data(&mut header, format!("{stem}/{name}"), &*file.bytes)?;
    }
    tar.into_inner()?.finish()
}

/// Reads an archive back (D3).
fn compare(stem: &str, files: &Files, archive: &[u8]) -> Result<(), Failed> {
    let mut found = Files::new();
    for entry in tar::Archive::new(GzDecoder::new(archive)).entries()? {
        let mut entry = entry?;
        let name = entry.path()?.to_str().ok_or("a name that is no text")?.to_owned();
        let name = name.strip_prefix(&format!("{stem}/")).ok_or("a name beside the directory")?;
        let (name, mode) = (name.to_owned(), entry.header().mode()?);
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes)?;
        found.insert(name, Packed { mode, bytes });
    }
    if found != *files {
        return Err("the archive does not hold what was put into it".into());
    }
    Ok(())
}

fn sum(path: &Path) -> io::Result<String> {
    Ok(hex::encode(Sha256::digest(fs::read(path)?)))
}

fn sums_of(paths: &[&PathBuf]) -> Result<String, Failed> {
    let line = |path: &&PathBuf| -> Result<String, Failed> {
        let name = path.file_name().and_then(|it| it.to_str()).ok_or("a name that is no text")?;
        Ok(format!("{}  {name}\n", sum(path)?))
    };
    paths.iter().map(line).collect()
}

/// D3
fn check_sums(sums: &Path) -> Result<(), Failed> {
    let dir = sums.parent().ok_or("no directory")?;
    for line in fs::read_to_string(sums)?.lines() {
        let (want, name) = line.split_once("  ").ok_or("a line without a name")?;
        if sum(&dir.join(name))? != want {
            return Err(format!("{name} is not what its sum says").into());
        }
    }
    Ok(())
}

/// A package: name, version, and the licence that it names.
type Package = (String, String, String);

/// Packages that the programs are made of, as cargo resolves them for a build, the programs themselves left out.
fn linked() -> Result<BTreeSet<Package>, Failed> {
    let mut tree = Command::new("cargo");
    tree.args([
        "tree", "--locked", "--edges", "normal", "--prefix", "none", "--format", "{p}\t{l}",
    ]);
    tree.args(PROGRAMS.iter().flat_map(|it| ["--package", it])).current_dir(root());
    let text = String::from_utf8(output(&mut tree)?)?;
    let packages: Result<BTreeSet<Package>, Failed> = text
        .lines()
        .filter(|it| !it.trim().is_empty())
        .map(|line| {
            let odd = || format!("cargo tree says `{line}`");
            let (package, licence) = line.split_once('\t').ok_or_else(odd)?;
            let mut words = package.split(' ');
            let name = words.next().ok_or_else(odd)?;
            let version = words.next().and_then(|it| it.strip_prefix('v')).ok_or_else(odd)?;
            // What was listed before is marked.
            let licence = licence.trim_end_matches(" (*)");
            Ok((name.to_owned(), version.to_owned(), licence.to_owned()))
        })
        .collect();
    let mut packages = packages?;
    packages.retain(|it| !PROGRAMS.contains(&it.0.as_str()));
    Ok(packages)
}

/// The list of what is in the programs.
fn bill(packages: &BTreeSet<Package>, version: &str) -> Value {
    let component = |(name, version, licence): &Package| {
        let purl = format!("pkg:cargo/{name}@{version}");
        json!({
            "type": "library",
            "bom-ref": purl,
            "name": name,
            "version": version,
            "purl": purl,
            "licenses": [{ "expression": licence }],
        })
    };
    let components: Vec<Value> = packages.iter().map(component).collect();
    json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application",
                "bom-ref": format!("pkg:cargo/autonomy@{version}"),
                "name": "autonomy",
                "version": version,
            },
        },
        "components": components,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        let file = |mode, text: &str| Packed { mode, bytes: text.as_bytes().to_vec() };
        Files::from([
            ("bin/a".to_owned(), file(PROGRAM_MODE, "program")),
            ("README.md".to_owned(), file(FILE_MODE, "text")),
        ])
    }

    /// D2, D3
    #[test]
    fn the_same_files_make_the_same_archive_and_another_content_is_noticed() {
        let one = packed("x-1", &files(), 7).unwrap();
        assert_eq!(one, packed("x-1", &files(), 7).unwrap());
        assert_ne!(one, packed("x-1", &files(), 8).unwrap());
        compare("x-1", &files(), &one).unwrap();
        let mut other = files();
        other.get_mut("bin/a").unwrap().bytes.push(b'!');
        assert!(compare("x-1", &other, &one).is_err());
        other = files();
        other.get_mut("bin/a").unwrap().mode = FILE_MODE;
        assert!(compare("x-1", &other, &one).is_err());
        assert!(compare("x-1", &files(), &one[..one.len() / 2]).is_err());
    }

    /// D3
    #[test]
    fn sums_are_those_of_the_files_and_a_changed_file_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let (file, sums) = (dir.path().join("a"), dir.path().join("SHA256SUMS"));
        fs::write(&file, "x").unwrap();
        fs::write(&sums, sums_of(&[&file]).unwrap()).unwrap();
        check_sums(&sums).unwrap();
        let checked = Command::new("sha256sum")
            .args(["--check", "SHA256SUMS"])
            .current_dir(dir.path())
            .output();
        assert!(checked.unwrap().status.success());
        fs::write(&file, "y").unwrap();
        assert!(check_sums(&sums).is_err());
    }

    #[test]
    fn the_list_has_what_is_linked_and_nothing_that_only_tests_need() {
        let bill = bill(&linked().unwrap(), "1.2.3");
        let names: Vec<&str> = bill["components"]
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["name"].as_str().unwrap())
            .collect();
        for name in ["cli", "wal-format", "serde", "rusqlite", "ed25519-dalek"] {
            assert!(names.contains(&name), "{name}");
        }
        for name in ["autonomy", "xtask", "e2e", "proptest", "cargo_metadata"] {
            assert!(!names.contains(&name), "{name}");
        }
        let licensed =
            |it: &Value| it["licenses"][0]["expression"].as_str().is_some_and(|it| !it.is_empty());
        assert!(bill["components"].as_array().unwrap().iter().all(licensed));
    }
}
