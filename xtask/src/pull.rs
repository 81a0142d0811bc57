//! What a crate pulls in, and where it stands: two blocks of the book that are written from `cargo metadata` and
//! `cargo tree`.
//!
//! | block    | page                             | what it says                                              |
//! |----------|----------------------------------|-----------------------------------------------------------|
//! | `levels` | `docs/src/architecture/index.md` and `ARCHITECTURE.md` | members by level, highest first       |
//! | `crates` | `docs/src/architecture/crates.md`| what each crate uses, how many packages, seconds of a build |
//!
//! * **U1** A block is between `<!-- NAME: cargo xtask crates -->` and `<!-- /NAME -->`; a test compares both with what would be
//!   written, seconds aside.
//! * **U2** Seconds come from builds of this run into an empty directory, or stay as they are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    time::Instant,
};

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::{command, packages, root, run};

type Failed = Box<dyn std::error::Error>;

const LEVELS: [(&str, &str); 2] =
    [("levels", "docs/src/architecture/index.md"), ("levels", "ARCHITECTURE.md")];
const CRATES: (&str, &str) = ("crates", "docs/src/architecture/crates.md");
/// Where no seconds are known yet.
const UNKNOWN: &str = "–";

/// Writes both blocks; with `cold` the seconds are measured.
pub(crate) fn write(cold: bool) -> bool {
    let written = metadata().map_err(Failed::from).and_then(|metadata| {
        let seconds = if cold { measured(&metadata)? } else { known()? };
        LEVELS.iter().try_for_each(|page| put(*page, &levels(&metadata)))?;
        put(CRATES, &table(&metadata, &seconds)?)
    });
    written.inspect_err(|error| eprintln!("crates: {error}")).is_ok()
}

fn metadata() -> Result<Metadata, cargo_metadata::Error> {
    MetadataCommand::new().current_dir(root()).no_deps().exec()
}

fn level(krate: &Package) -> u64 {
    krate.metadata.get("layer").and_then(|it| it.get("level")?.as_u64()).unwrap_or_default()
}

fn levels(metadata: &Metadata) -> String {
    let mut rows = BTreeMap::<u64, Vec<&str>>::new();
    for krate in &metadata.packages {
        rows.entry(level(krate)).or_default().push(&krate.name);
    }
    let rows = rows.iter_mut().rev().map(|(level, names)| {
        names.sort_unstable();
        format!("level {level}   {}\n", names.join("   "))
    });
    format!("```text\n{}```\n", rows.collect::<Vec<_>>().join("             |\n"))
}

fn table(metadata: &Metadata, seconds: &BTreeMap<String, String>) -> Result<String, Failed> {
    let mut text =
        "| crate | level | of ours it uses | direct | total | cold build, s |\n".to_owned();
    text.push_str("|---|---:|---|---:|---:|---:|\n");
    for krate in sorted(metadata) {
        let name = krate.name.as_str();
        let (direct, total) = (pulled(name, Some("1"))?, pulled(name, None)?);
        let ours =
            direct.iter().filter(|it| metadata.packages.iter().any(|own| own.name == it.as_str()));
        let ours: Vec<_> = ours.map(|it| format!("`{it}`")).collect();
        let seconds = seconds.get(name).map_or(UNKNOWN, String::as_str);
        let (level, direct, total) = (level(&krate), direct.len(), total.len());
        let ours = ours.join(", ");
        writeln!(text, "| `{name}` | {level} | {ours} | {direct} | {total} | {seconds} |")?;
    }
    Ok(text)
}

/// The crates, lowest first.
fn sorted(metadata: &Metadata) -> Vec<Package> {
    let mut crates = packages::crates(metadata);
    crates.sort_by_key(|it| (level(it), it.name.to_string()));
    crates
}

/// The packages that building `name` by itself builds too.
fn pulled(name: &str, depth: Option<&str>) -> Result<BTreeSet<String>, Failed> {
    let mut tree = command(&["tree", "--quiet", "--package", name, "--edges", "normal"]);
    tree.args(["--prefix", "none", "--format", "{p}"]);
    tree.args(depth.iter().flat_map(|it| ["--depth", it]));
    let output = tree.output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into());
    }
    // `NAME vVERSION (place or mark)`: one package has one version here, or counts twice.
    let text = String::from_utf8(output.stdout)?;
    let packages = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?, words.next()?))
    });
    let (own, others): (BTreeSet<_>, BTreeSet<_>) = packages.partition(|(it, _)| *it == name);
    drop(own);
    let mut names = BTreeSet::new();
    for (it, version) in others {
        if !names.insert(it.to_owned()) {
            names.insert(format!("{it} {version}"));
        }
    }
    Ok(names)
}

/// Builds each crate by itself into an empty directory.
fn measured(metadata: &Metadata) -> Result<BTreeMap<String, String>, Failed> {
    let dir = metadata.target_directory.as_std_path().join("cold");
    let mut seconds = BTreeMap::new();
    for krate in sorted(metadata) {
        emptied(&dir)?;
        let mut build = command(&["build", "--quiet", "--locked", "--package", &krate.name]);
        let begun = Instant::now();
        if !run(build.arg("--target-dir").arg(&dir).env("CARGO_INCREMENTAL", "0")) {
            return Err(format!("{} does not build", krate.name).into());
        }
        seconds.insert(krate.name.to_string(), format!("{:.0}", begun.elapsed().as_secs_f64()));
    }
    emptied(&dir)?;
    Ok(seconds)
}

fn emptied(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The seconds that the page has.
fn known() -> Result<BTreeMap<String, String>, Failed> {
    let page = fs::read_to_string(root().join(CRATES.1))?;
    let rows = page.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        Some((cells.first()?.trim_matches('`').to_owned(), (*cells.get(5)?).to_owned()))
    });
    Ok(rows.collect())
}

/// The page with its block replaced.
fn replaced(name: &str, page: &str, block: &str) -> Option<String> {
    let (begin, end) =
        (format!("<!-- {name}: cargo xtask crates -->\n"), format!("<!-- /{name} -->"));
    let (before, rest) = page.split_once(&begin)?;
    let (_, after) = rest.split_once(&end)?;
    Some([before, &begin, block, &end, after].concat())
}

fn put((name, page): (&str, &str), block: &str) -> Result<(), Failed> {
    let path: PathBuf = root().join(page);
    let text = fs::read_to_string(&path)?;
    let text = replaced(name, &text, block).ok_or_else(|| format!("{page} has no block {name}"))?;
    Ok(fs::write(path, text)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the page is what would be written.
    fn is_current((name, page): (&str, &str), block: &str) -> bool {
        let text = fs::read_to_string(root().join(page)).unwrap();
        replaced(name, &text, block).unwrap() == text
    }

    #[test]
    fn the_levels_of_the_book_are_those_of_the_members() {
        let block = levels(&metadata().unwrap());
        assert!(LEVELS.iter().all(|page| is_current(*page, &block)), "cargo xtask crates");
    }

    #[test]
    fn the_counts_of_the_book_are_those_of_cargo() {
        let block = table(&metadata().unwrap(), &known().unwrap()).unwrap();
        assert!(!block.contains(UNKNOWN), "cargo xtask crates --cold");
        assert!(is_current(CRATES, &block), "cargo xtask crates");
    }

    #[test]
    fn the_formats_and_the_drain_pull_in_no_runtime_no_http_and_no_database() {
        for name in ["wal-format", "drain", "otlp", "vfs"] {
            let all = pulled(name, None).unwrap();
            for heavy in ["tokio", "hyper", "axum", "reqwest", "rusqlite"] {
                assert!(!all.contains(heavy), "{name} pulls in {heavy}");
            }
        }
    }
}
