//! Rules about files that no compiler checks.
//!
//! | rule                                                                    | why                      |
//! |-------------------------------------------------------------------------|--------------------------|
//! | every Rust file begins with a module header (`//!`)                       | a stranger reads it first |
//! | no file has more than [`LINES_MAX`] lines of code before its tests        | smaller rooms read better |
//! | no trailing space, no tab in Rust files                                   | quiet diffs               |
//! | no module named after nothing (`common`, `util`, `types`, …)              | names say what is inside  |
//! | `lints.workspace = true` and a level in every member                      | one wall for all          |
//! | dependencies come from `[workspace.dependencies]`                         | one version of each       |
//! | pure crates share one `clippy.toml`                                       | one boundary for all      |

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Most lines of a Rust file before `#[cfg(test)]`.
const LINES_MAX: usize = 420;
/// Names that say nothing.
const EMPTY_NAMES: [&str; 8] =
    ["common", "core", "util", "utils", "types", "helpers", "manager", "handler"];

/// Returns the files below `dir` with this extension, build output left out.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut todo = vec![dir.to_owned()];
    while let Some(dir) = todo.pop() {
        for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() && name != "target" && !name.starts_with('.') {
                todo.push(path);
            } else if path.extension().is_some_and(|it| it == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
    }

    /// One line per broken rule in a Rust file.
    fn broken(path: &Path, text: &str) -> Vec<String> {
        let mut broken = Vec::new();
        let place = path.display();
        // A file of tests beside its module is introduced by that module.
        let is_tests = path.file_stem().is_some_and(|it| it == "tests");
        if !is_tests && !text.starts_with("//!") {
            broken.push(format!("{place}: no module header"));
        }
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let is_test_file = path.components().any(|it| it.as_os_str() == "tests") || is_tests;
        let lines = code.lines().count();
        if lines > LINES_MAX && !is_test_file {
            broken.push(format!("{place}: {lines} lines of code (at most {LINES_MAX})"));
        }
        for (number, line) in text.lines().enumerate() {
            if line.ends_with(' ') || line.contains('\t') {
                broken.push(format!("{place}:{}: trailing space or tab", number + 1));
            }
        }
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if EMPTY_NAMES.contains(&stem.as_str()) {
            broken.push(format!("{place}: a module named `{stem}` says nothing"));
        }
        broken
    }

    #[test]
    fn rust_files_are_tidy() {
        let mut all = Vec::new();
        for path in files(root(), "rs") {
            all.extend(broken(&path, &fs::read_to_string(&path).unwrap()));
        }
        assert_eq!(all, Vec::<String>::new());
    }

    #[test]
    fn each_rule_finds_its_breach() {
        let long = format!("//! Header.\n{}", "x\n".repeat(LINES_MAX + 1));
        for (name, text, want) in [
            ("a.rs", "fn main() {}\n", "no module header"),
            ("a.rs", "//! Header. \n", "trailing space"),
            ("util.rs", "//! Header.\n", "says nothing"),
            ("a.rs", long.as_str(), "lines of code"),
        ] {
            let found = broken(Path::new(name), text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(want), "{found:?}");
        }
        assert!(broken(Path::new("a.rs"), "//! Header.\n").is_empty());
    }

    #[test]
    fn manifests_share_lints_and_versions() {
        for path in files(root(), "toml").into_iter().filter(|it| it.ends_with("Cargo.toml")) {
            let text = fs::read_to_string(&path).unwrap();
            // A workspace of its own, or no member of ours: it has our crates as packages.
            if text.contains("[workspace]") || path.ends_with("downstream/Cargo.toml") {
                continue;
            }
            let place = path.display();
            assert!(text.contains("[lints]\nworkspace = true"), "{place}: no workspace lints");
            assert!(text.contains("[package.metadata.layer]\nlevel = "), "{place}: no level");
            assert_eq!(own_versions(&text), Vec::<&str>::new(), "{place}");
        }
    }

    /// The dependencies of a manifest that do not come from the workspace.
    fn own_versions(manifest: &str) -> Vec<&str> {
        let mut in_dependencies = false;
        let lines = manifest.lines().filter(|line| {
            if line.starts_with('[') {
                in_dependencies = line.ends_with("dependencies]");
            }
            in_dependencies && line.contains('=') && !line.contains("workspace = true")
        });
        lines.collect()
    }

    #[test]
    fn a_dependency_with_a_version_of_its_own_is_found() {
        let manifest =
            "[package]\nversion = \"1\"\n[dev-dependencies]\na.workspace = true\nb = \"2\"\n";
        assert_eq!(own_versions(manifest), ["b = \"2\""]);
    }

    #[test]
    fn pure_crates_share_one_boundary() {
        let manifests = files(&root().join("crates"), "toml").into_iter();
        let pure = manifests.filter(|it| {
            it.ends_with("Cargo.toml") && fs::read_to_string(it).unwrap().contains("pure = true")
        });
        let boundary = |it: PathBuf| {
            let path = it.with_file_name("clippy.toml");
            let missing = |_| panic!("{} is pure and has no clippy.toml", it.display());
            fs::read_to_string(path).unwrap_or_else(missing)
        };
        let texts: Vec<String> = pure.map(boundary).collect();
        assert!(texts.len() >= 2);
        assert!(texts.windows(2).all(|it| it[0] == it[1]));
    }

    /// The repository speaks of the product only: no path of the machine that it was made on.
    #[test]
    fn no_file_names_a_machine() {
        let parent = root().parent().unwrap();
        // A directory that every machine has names none of them.
        let names = parent.components().count() > 2;
        let outside = parent.display().to_string();
        for extension in ["rs", "md", "toml", "sh", "rego"] {
            for path in files(root(), extension) {
                let text = fs::read_to_string(&path).unwrap();
                let hit = names && text.contains(&format!("{outside}/"));
                assert!(!hit, "{} contains {outside}/", path.display());
            }
        }
    }
}
