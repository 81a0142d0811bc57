//! What the README of a crate, and the table of crates in that of the workspace, say to a stranger who wants one crate.
//!
//! | in the README of a crate                     | is compared with                              |
//! |----------------------------------------------|-----------------------------------------------|
//! | a Rust block                                 | the doctest that includes the README in `lib.rs` |
//! | `## Invariants…`                             | –, it has to be there                          |
//! | `cargo run … -p CRATE … --example NAME`      | the files in `examples`                        |
//! | the names of features, or "No features."     | `[features]` of the manifest                   |
//! | the paragraph "Depends on …"                 | `[dependencies]` on crates of the workspace     |
//!
//! In the table each crate has a row, with a line of code that stands in its README or in one of its examples, and with
//! an example.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A crate, as far as its README speaks of it.
#[derive(Clone, Debug, Default)]
struct Crate {
    readme: String,
    lib: String,
    /// Names and texts.
    examples: BTreeMap<String, String>,
    features: BTreeSet<String>,
    /// Crates of the workspace.
    uses: BTreeSet<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Keys of a table of a manifest.
fn keys(manifest: &str, table: &str) -> BTreeSet<String> {
    let lines = manifest.lines().skip_while(|it| *it != table).skip(1);
    let lines = lines.take_while(|it| !it.starts_with('['));
    let keys = lines.filter_map(|it| it.split(['.', ' ', '=']).next());
    keys.filter(|it| !it.is_empty() && !it.starts_with('#')).map(str::to_owned).collect()
}

fn crates() -> BTreeMap<String, Crate> {
    let dirs = fs::read_dir(root().join("crates")).unwrap().map(|it| it.unwrap().path());
    let name = |dir: &Path| dir.file_name().unwrap().to_str().unwrap().to_owned();
    let dirs: BTreeMap<_, _> = dirs.map(|it| (name(&it), it)).collect();
    let load = |dir: &Path| {
        let manifest = read(&dir.join("Cargo.toml"));
        let mut uses = keys(&manifest, "[dependencies]");
        uses.retain(|it| dirs.contains_key(it));
        let examples = fs::read_dir(dir.join("examples")).into_iter().flatten();
        let examples = examples.map(|it| it.unwrap().path());
        let stem = |it: &Path| it.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut features = keys(&manifest, "[features]");
        features.remove("default");
        Crate {
            readme: read(&dir.join("README.md")),
            lib: read(&dir.join("src/lib.rs")),
            examples: examples.map(|it| (stem(&it), read(&it))).collect(),
            features,
            uses,
        }
    };
    dirs.iter().map(|(name, dir)| (name.clone(), load(dir))).collect()
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// What is wrong with the README of a crate.
fn flaws(name: &str, it: &Crate, all: &BTreeSet<String>) -> Vec<String> {
    let mut flaws = Vec::new();
    let mut want = |holds: bool, what: &str| {
        if !holds {
            flaws.push(format!("{name}: {what}"));
        }
    };
    let lines = || it.readme.lines();
    want(lines().next() == Some(&format!("# {name}")), "its first line is not its name");
    want(lines().any(|it| it.starts_with("```rust")), "no Rust in it");
    let tested = "#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;";
    want(it.lib.contains(tested), "lib.rs does not run it as a test");
    want(lines().any(|it| it.starts_with("## Invariants")), "no invariants");
    // Commands may be broken over lines.
    let words = it.readme.split_whitespace().collect::<Vec<_>>().join(" ");
    for example in it.examples.keys() {
        let command = format!("--example {example}");
        let named = words.split('`').any(|code| {
            let ends = code.ends_with(&command) || code.contains(&format!("{command} "));
            code.starts_with("cargo run ") && code.contains(&format!("-p {name} ")) && ends
        });
        want(named, &format!("no command for the example {example}"));
    }
    let spoken = quoted(&it.readme);
    for feature in &it.features {
        want(spoken.contains(feature), &format!("the feature {feature} is not mentioned"));
    }
    want(
        it.features.is_empty() == it.readme.contains("No features."),
        "not whether it has features",
    );
    let depends = it.readme.split("\n\n").find(|it| it.contains("Depends on "));
    let depends = depends.and_then(|it| it.split_once("Depends on ")).map(|it| quoted(it.1));
    let known = depends.map(|found| found.intersection(all).cloned().collect::<BTreeSet<_>>());
    want(known.as_ref() == Some(&it.uses), &format!("depends on {:?}, says {known:?}", it.uses));
    flaws
}

#[test]
fn the_readme_of_a_crate_says_what_a_stranger_needs() {
    let crates = crates();
    let all: BTreeSet<_> = crates.keys().cloned().collect();
    let flaws: Vec<_> = crates.iter().flat_map(|(name, it)| flaws(name, it, &all)).collect();
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

/// What is wrong with the table of crates.
fn flaws_of_table(readme: &str, crates: &BTreeMap<String, Crate>) -> Vec<String> {
    let section = readme.split("\n## Crates\n").nth(1).unwrap_or_default();
    let rows = section.lines().filter_map(|it| it.strip_prefix("| [`")?.split_once("`]"));
    let rows: BTreeMap<_, _> = rows.collect();
    let mut flaws = Vec::new();
    for (name, it) in crates {
        let Some(row) = rows.get(name.as_str()) else {
            flaws.push(format!("{name} has no row"));
            continue;
        };
        let cells: Vec<_> = row.split(" | ").map(|it| it.trim_end_matches(" |")).collect();
        let [.., line, example] = cells.as_slice() else {
            flaws.push(format!("{name}: {} cells", cells.len()));
            continue;
        };
        let line = line.trim_matches('`');
        let blocks = it.readme.split("```").skip(1).step_by(2);
        let mut code = blocks.chain(it.examples.values().map(String::as_str));
        if line.is_empty() || !code.any(|it| it.contains(line)) {
            flaws.push(format!("{name}: `{line}` stands neither in its README nor in an example"));
        }
        let target = |it: &String| format!("[`{it}`](crates/{name}/examples/{it}.rs)");
        if !it.examples.keys().any(|it| target(it) == *example) {
            flaws.push(format!("{name}: {example} is no example of it"));
        }
    }
    let invented = rows.keys().filter(|it| !crates.contains_key(**it));
    flaws.extend(invented.map(|it| format!("there is no crate {it}")));
    flaws
}

#[test]
fn the_table_of_crates_has_a_line_of_code_and_an_example_of_each() {
    let flaws = flaws_of_table(&read(&root().join("README.md")), &crates());
    assert!(flaws.is_empty(), "{}", flaws.join("\n"));
}

#[test]
fn each_check_finds_its_breach() {
    let readme = "# x\n\n```rust\nx::go(1)?;\n```\n\n`cargo run -p x\n--example go`\n\n## Invariants\n\n\
                  - a\n\nNo features. Depends on `y`; on `serde`.\n";
    let good = Crate {
        readme: readme.to_owned(),
        lib: "#[cfg(doctest)]\n#[doc = include_str!(\"../README.md\")]\nstruct Readme;\n"
            .to_owned(),
        examples: BTreeMap::from([("go".to_owned(), "fn main() { other(2) }".to_owned())]),
        features: BTreeSet::new(),
        uses: BTreeSet::from(["y".to_owned()]),
    };
    let all = BTreeSet::from(["x".to_owned(), "y".to_owned(), "z".to_owned()]);
    assert_eq!(flaws("x", &good, &all), Vec::<String>::new());
    let with = |from: &str, to: &str| Crate { readme: readme.replace(from, to), ..good.clone() };
    for bad in [
        with("# x", "# X"),
        with("```rust", "```text"),
        with("--example go", "--example went"),
        with("-p x", "-p y"),
        with("## Invariants", "## Truths"),
        with("No features. ", ""),
        with("`y`; on", "`y`, `z`; on"),
        with("`y`; on", "on"),
        Crate { lib: String::new(), ..good.clone() },
        Crate { uses: all.clone(), ..good.clone() },
    ] {
        assert_eq!(flaws("x", &bad, &all).len(), 1, "{bad:?}: {:?}", flaws("x", &bad, &all));
    }
    let featured = Crate { features: BTreeSet::from(["fast".to_owned()]), ..good.clone() };
    assert_eq!(flaws("x", &featured, &all).len(), 2, "not named, and said to have none");

    let crates = BTreeMap::from([("x".to_owned(), good)]);
    let row = "| [`x`](crates/x) | 0 | an x | `x::go(1)?` | [`go`](crates/x/examples/go.rs) |";
    let table = |row: &str| flaws_of_table(&format!("# a\n\n## Crates\n\n{row}\n"), &crates).len();
    assert_eq!(table(row), 0);
    assert_eq!(table(&row.replace("x::go(1)?", "other(2)")), 0, "a line of an example");
    assert_eq!(table(&row.replace("x::go(1)?", "x::go(2)?")), 1);
    assert_eq!(table(&row.replace("go.rs", "gone.rs")), 1);
    assert_eq!(table(&row.replace("| [`x`]", "| [`q`]")), 2, "one without a row, and one too many");
}
