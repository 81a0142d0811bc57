//! Texts of the programs beside files that hold them.
//!
//! * **N1** A text that differs from its file is a failure that shows both; so is a file without a text, and a text without a file.
//! * **N2** Files are written only where [`BLESS`] asks for that.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail};

use super::workspace;

/// Set to `1` to write the files anew (N2).
pub const BLESS: &str = "AUTONOMY_TEST_BLESS";
/// How their names end.
const ENDING: &str = "txt";

/// Texts by name, beside the files `tests/snapshots/<set>/<name>.txt`.
///
/// # Errors
///
/// What differs, with what to do (N1), or a directory that cannot be read or written.
pub fn same_as_files(set: &str, texts: &BTreeMap<String, String>) -> Result<()> {
    let dir = workspace::root().join("tests/snapshots").join(set);
    let bless = std::env::var(BLESS).is_ok_and(|it| it == "1");
    let differences = compare(&dir, texts, bless)?;
    if differences.is_empty() {
        return Ok(());
    }
    let told = differences.join("\n");
    bail!(
        "{told}\nIf that is what users should read, run this test with {BLESS}=1, and read the diff"
    )
}

fn compare(dir: &Path, texts: &BTreeMap<String, String>, bless: bool) -> Result<Vec<String>> {
    let mut differences = Vec::new();
    for (name, text) in texts {
        let path = dir.join(name).with_extension(ENDING);
        let known = fs::read_to_string(&path).unwrap_or_default();
        if known == *text {
            continue;
        }
        if bless {
            fs::create_dir_all(dir)?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
        } else {
            differences.push(format!("{}:\n{}", path.display(), lines(&known, text)));
        }
    }
    for path in files(dir)? {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if texts.contains_key(&name) {
            continue;
        }
        if bless {
            fs::remove_file(&path)?;
        } else {
            differences.push(format!("{}: nothing says this any more", path.display()));
        }
    }
    Ok(differences)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    if !dir.exists() {
        return Ok(Vec::new());
    }
    let read = fs::read_dir(dir)?.map(|it| Ok(it?.path()));
    read.collect()
}

/// What only one of the two has, with the lines both begin with left out.
fn lines(known: &str, text: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (known.lines().collect(), text.lines().collect());
    let same = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = |all: &[&str]| all.iter().rev().copied().map(str::to_owned).collect::<Vec<_>>();
    let (old_back, new_back) = (rest(&old), rest(&new));
    let longest = old.len().min(new.len()) - same;
    let tail = old_back.iter().zip(&new_back).take(longest).take_while(|(a, b)| a == b).count();
    let middle = |all: &[&str], sign: &str| {
        let part = all.iter().take(all.len() - tail).skip(same);
        part.flat_map(|it| [sign, " ", it, "\n"]).collect::<String>()
    };
    format!("  from line {}\n{}{}", same + 1, middle(&old, "-"), middle(&new, "+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_told_and_only_a_blessing_writes() {
        let dir = tempfile::tempdir().unwrap();
        let texts = |it: &[(&str, &str)]| {
            it.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
        };
        let one: BTreeMap<_, _> = texts(&[("a", "x\ny\nz\n")]);
        assert_eq!(compare(dir.path(), &one, false).unwrap().len(), 1, "a text without a file");
        assert_eq!(compare(dir.path(), &one, true).unwrap().len(), 0);
        assert_eq!(compare(dir.path(), &one, false).unwrap().len(), 0);
        let other = compare(dir.path(), &texts(&[("a", "x\nw\nz\n")]), false).unwrap();
        assert!(other[0].ends_with("from line 2\n- y\n+ w\n"), "{other:?}");
        let gone = compare(dir.path(), &BTreeMap::new(), false).unwrap();
        assert!(gone[0].contains("nothing says this any more"), "{gone:?}");
        compare(dir.path(), &BTreeMap::new(), true).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
