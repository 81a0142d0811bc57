//! Packs every crate as a stranger would get it, and uses it from there.
//!
//! | step      | what is seen                                                                        |
//! |-----------|-------------------------------------------------------------------------------------|
//! | pack      | `cargo package` makes `target/packages/package/NAME-VERSION.crate` of every crate    |
//! | unpack    | into `target/packages/unpacked`, a workspace that knows nothing of this repository   |
//! | alone     | each crate is checked by itself: default features, none, all; then all with tests and examples |
//! | use       | the tests of `tests/downstream`, a program that names every crate by its version     |
//!
//! * **K1** What is built is what was packed: the directory is made anew, and a crate finds the others only there.
//! * **K2** Nothing else changes: packages from outside have the versions of `Cargo.lock`, profiles are the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{Metadata, MetadataCommand, Package};
use flate2::read::GzDecoder;

use crate::{command, root, run};

/// The program that uses every crate.
const DOWNSTREAM: &str = "downstream";

type Failed = Box<dyn std::error::Error>;

/// Packs, unpacks, checks and uses. Says what is wrong and returns `false` when anything is.
///
/// With `tests` the tests of each crate are run, not only compiled.
pub(crate) fn packages(tests: bool) -> bool {
    match unpacked() {
        Ok(all) => alone(&all, tests) && used(&all),
        Err(error) => {
            eprintln!("packages: {error}");
            false
        }
    }
}

/// The crates, unpacked, and how cargo is started on them.
struct Unpacked {
    dir: PathBuf,
    target: PathBuf,
    crates: Vec<Package>,
}

impl Unpacked {
    fn cargo(&self, args: &[&str]) -> bool {
        let mut command = Command::new(env!("CARGO"));
        run(command.args(args).current_dir(&self.dir).env("CARGO_TARGET_DIR", &self.target))
    }
}

fn unpacked() -> Result<Unpacked, Failed> {
    let metadata = MetadataCommand::new().current_dir(root()).no_deps().exec()?;
    let target = metadata.target_directory.as_std_path().to_owned();
    let packed = target.join("packages");
    let crates = crates(&metadata);
    pack(&crates, &packed)?;

    let dir = packed.join("unpacked");
    match fs::remove_dir_all(&dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&dir)?,
    }
    for krate in &crates {
        let stem = stem(krate);
        let file = fs::File::open(packed.join("package").join(format!("{stem}.crate")))?;
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        // Files of a package are all of one old time: cargo would take what it built of an earlier one for this (K1).
        archive.set_preserve_mtime(false);
        archive.unpack(&dir)?;
        if !dir.join(&stem).join("README.md").is_file() {
            return Err(format!("{stem} has no README.md").into());
        }
    }
    copy(&root().join("tests").join(DOWNSTREAM), &dir.join(DOWNSTREAM))?;
    fs::write(dir.join("Cargo.toml"), manifest(&crates)?)?;
    fs::copy(root().join("Cargo.lock"), dir.join("Cargo.lock"))?;
    Ok(Unpacked { dir, target, crates })
}

/// The members in `crates/`: what others may take.
pub(crate) fn crates(metadata: &Metadata) -> Vec<Package> {
    let home = root().join("crates");
    let ours =
        metadata.packages.iter().filter(|it| it.manifest_path.as_std_path().starts_with(&home));
    ours.cloned().collect()
}

fn stem(krate: &Package) -> String {
    format!("{}-{}", krate.name, krate.version)
}

/// Makes the archives. A lock file belongs to programs: these are libraries.
fn pack(crates: &[Package], into: &Path) -> Result<(), Failed> {
    let mut pack = command(&["package", "--quiet", "--no-verify", "--allow-dirty"]);
    pack.args(["--exclude-lockfile", "--no-metadata", "--target-dir"]).arg(into);
    pack.args(crates.iter().flat_map(|it| ["--package", it.name.as_str()]));
    if run(&mut pack) { Ok(()) } else { Err("cargo package failed".into()) }
}

/// A workspace of what was unpacked, in which the names of our crates lead to it.
fn manifest(crates: &[Package]) -> Result<String, Failed> {
    let ours = fs::read_to_string(root().join("Cargo.toml"))?;
    let (_, profiles) = ours.split_once("\n[profile.").ok_or("Cargo.toml has no profiles")?;
    let mut text =
        format!("[workspace]\nresolver = \"3\"\nmembers = [\"*\"]\n\n[patch.{}]\n", "crates-io");
    for krate in crates {
        text.push_str(&krate.name);
        text.push_str(" = { path = \"");
        text.push_str(&stem(krate));
        text.push_str("\" }\n");
    }
    text.push_str("\n[profile.");
    text.push_str(profiles);
    Ok(text)
}

/// Each by itself: no other member lends it a feature. With `tests` its tests are built and run so, too; else those of all are
/// compiled at once.
fn alone(all: &Unpacked, tests: bool) -> bool {
    let todo = if tests { "test" } else { "check" };
    let each = all.crates.iter().all(|krate| {
        ways(krate).iter().all(|way| {
            let args = [&[todo, "--quiet", "--package", krate.name.as_str()], way.as_slice()];
            all.cargo(&args.concat())
        })
    });
    let all_targets = ["check", "--quiet", "--workspace", "--all-targets", "--exclude", DOWNSTREAM];
    each && (tests || all.cargo(&all_targets))
}

/// The sets of features that differ.
fn ways(krate: &Package) -> Vec<Vec<&'static str>> {
    let default = krate.features.get("default").is_some_and(|it| !it.is_empty());
    let other = krate.features.keys().any(|it| it != "default");
    let mut ways = vec![Vec::new()];
    if default {
        ways.push(vec!["--no-default-features"]);
    }
    if other {
        ways.push(vec!["--all-features"]);
    }
    ways
}

/// The program of somebody else: all of its tests, and that it really names every crate.
fn used(all: &Unpacked) -> bool {
    let manifest =
        fs::read_to_string(all.dir.join(DOWNSTREAM).join("Cargo.toml")).unwrap_or_default();
    for krate in &all.crates {
        if !manifest.lines().any(|line| line.starts_with(&format!("{} = ", krate.name))) {
            eprintln!("packages: {DOWNSTREAM} does not use {}", krate.name);
            return false;
        }
    }
    all.cargo(&["test", "--quiet", "--package", DOWNSTREAM])
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
