//! The book against the code.
//!
//! | page                     | is compared with                                                   |
//! |--------------------------|--------------------------------------------------------------------|
//! | `reference/causes/*.md`  | the sets of codes in the crates that define them                      |
//! | `reference/codes.md`     | those sets, and every code that stands in the sources                |
//! | `reference/environment.md` | `api::env::ALL`                                                    |
//! | `reference/exit-codes.md`  | `api::exit::Exit::ALL`                                             |
//! | `reference/cli.md`       | `cli::command()`                                                     |
//! | `reference/services.md`  | what the other programs say about themselves                         |
//! | `SUMMARY.md`             | the files of the book                                                |
//! | every Markdown file      | the files and anchors that it links to                               |
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a failed unwrap is a failed test, and its text is the complaint"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use api::{env, exit::Exit};
use e2e::harness::{Bin, autonomy, run_to_end};

/// Sections of the page of a code, in their order.
const SECTIONS: [&str; 3] = ["Symptom", "Cause", "Recovery"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

fn book() -> PathBuf {
    root().join("docs/src")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page(name: &str) -> String {
    read(&book().join(name))
}

/// Markdown files below `dir`, build output and hidden directories left out.
fn markdown(dir: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        // What a crate has of the book is looked at in the book.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            found.extend(markdown(&path));
        } else if path.extension().is_some_and(|it| it == "md") {
            found.insert(path);
        }
    }
    found
}

/// Codes that have a page of their own.
fn codes() -> BTreeSet<&'static str> {
    let mut codes = BTreeSet::new();
    codes.extend(wal_recovery::codes::ALL);
    codes.extend(drain::ProgressError::CODES);
    codes.insert(runtime::CALLS_OPEN);
    codes.extend(runtime::CallCode::ALL.map(runtime::CallCode::as_str));
    codes.extend(runtime::ToolErrorCode::ALL.map(runtime::ToolErrorCode::as_str));
    codes.extend(policy::DenyCode::ALL.map(policy::DenyCode::as_str));
    codes.extend(supply_chain::VerifyError::CODES);
    codes
}

/// The text between each heading of this level and the next one, by heading.
fn sections<'a>(text: &'a str, mark: &str) -> Vec<(&'a str, String)> {
    let mut found: Vec<(&str, String)> = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        match line.strip_prefix(mark) {
            Some(title) if !fenced => found.push((title, String::new())),
            _ => {
                if let Some((_, body)) = found.last_mut() {
                    body.push_str(line);
                    body.push('\n');
                }
            }
        }
    }
    found
}

/// Rows of the tables in a text, as cells, heads and rulers left out.
fn rows(text: &str) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut in_table = false;
    for line in text.lines() {
        let Some(row) = line.strip_prefix('|').and_then(|it| it.strip_suffix('|')) else {
            in_table = false;
            continue;
        };
        let ruler = row.chars().all(|it| matches!(it, '-' | ':' | '|' | ' '));
        if in_table && !ruler {
            rows.push(row.split('|').map(|cell| cell.trim().to_owned()).collect());
        }
        in_table |= ruler;
    }
    rows
}

/// What is wrong with the page of a code.
fn flaws_of_code_page(code: &str, text: &str) -> Vec<String> {
    let mut flaws = Vec::new();
    if text.lines().next() != Some(&format!("# {code}")) {
        flaws.push(format!("{code}: the title is not the code"));
    }
    let sections = sections(text, "## ");
    let titles: Vec<_> = sections.iter().map(|it| it.0).collect();
    if titles != SECTIONS {
        flaws.push(format!("{code}: the sections are {titles:?}"));
    }
    let empty = sections.iter().filter(|it| it.1.trim().is_empty());
    flaws.extend(empty.map(|it| format!("{code}: {} is empty", it.0)));
    flaws
}

#[test]
fn every_code_has_a_page_with_symptom_cause_and_recovery_and_every_page_has_a_code() {
    let pages = markdown(&book().join("reference/causes"));
    let names: BTreeSet<_> =
        pages.iter().map(|it| it.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    assert_eq!(names, codes().into_iter().map(str::to_owned).collect());
    let folded: BTreeSet<_> = names.iter().map(|it| it.to_lowercase()).collect();
    assert_eq!(folded.len(), names.len(), "names that differ in case are one file on some disks");
    let flaws: Vec<_> = names
        .iter()
        .flat_map(|code| flaws_of_code_page(code, &page(&format!("reference/causes/{code}.md"))))
        .collect();
    assert_eq!(flaws, Vec::<String>::new());
}

#[test]
fn the_program_explains_every_code_of_the_index() {
    let index = page("reference/codes.md");
    let indexed: BTreeSet<_> =
        index.split("<a id=\"").skip(1).filter_map(|it| it.split('"').next()).collect();
    let embedded: BTreeSet<_> = cli::explained_codes().collect();
    assert_eq!(embedded, indexed);
    assert!(codes().is_subset(&indexed), "{:?}", codes().difference(&indexed));
    // A code without a page of its own: what its row says.
    let told = autonomy(&["explain", "unreachable"]).unwrap().stdout;
    assert_eq!(
        told,
        "UNREACHABLE\n===========\n\nexit: 7\n\nmeaning: no answer of the collector, after all attempts\n\nnext step: run the same command again when it is back\n"
    );
    for code in codes() {
        let told = autonomy(&["explain", code]).unwrap();
        assert_eq!(told.code(), Some(0), "{told:?}");
        let begun = format!("{code}\n{}\n\nSymptom\n-------\n", "=".repeat(code.len()));
        assert!(told.stdout.starts_with(&begun), "{told:?}");
        assert!(!told.stdout.contains(".md"), "no file of the book is there to open: {told:?}");
        // For programs the page is as it is in the book.
        let told = autonomy(&["explain", code, "--output", "json"]).unwrap().stdout;
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(told["text"], page(&format!("reference/causes/{code}.md")), "{code}");
    }
    let listed = autonomy(&["explain"]).unwrap().stdout;
    let listed: BTreeSet<_> = listed.lines().filter_map(|it| it.split(' ').next()).collect();
    assert_eq!(listed, indexed);
    let unknown = autonomy(&["explain", "SEQ_GPA"]).unwrap();
    assert_eq!(unknown.code(), Some(5), "{unknown:?}");
    assert!(unknown.stderr.contains("did you mean `SEQ_GAP`"), "{unknown:?}");
}

/// Codes that the index defines, in its order: one anchor each.
fn anchored(index: &str) -> Vec<String> {
    let ids = index.split("<a id=\"").skip(1);
    ids.filter_map(|it| it.split_once('"')).map(|it| it.0.to_owned()).collect()
}

#[test]
fn the_index_has_one_anchor_for_each_code_and_links_to_its_page() {
    let index = page("reference/codes.md");
    let anchors = anchored(&index);
    let set: BTreeSet<_> = anchors.iter().map(String::as_str).collect();
    assert_eq!(set.len(), anchors.len(), "an anchor stands twice: {anchors:?}");
    for code in codes() {
        assert!(set.contains(code), "{code} has no anchor");
        assert!(index.contains(&format!("(causes/{code}.md)")), "{code} is not linked");
    }
    // What services put into `type` of a problem is a line of this page.
    let problem = api::problem::Problem::new(404, "NOT_FOUND", "Not found", "");
    let (place, anchor) = problem.kind.split_once('#').unwrap();
    assert!(set.contains(anchor));
    assert!(root().join(place.replace("docs/", "docs/src/")).with_extension("md").exists());
}

/// Where codes are given out beside the sets above.
const SOURCES: [&str; 45] = [
    "crates/api/src/node.rs",
    "bins/otel-sink/src",
    "crates/api/src/token.rs",
    "crates/audit/src/error.rs",
    "crates/cli/src",
    "crates/daemon/src/codes.rs",
    "crates/drain/src/texts.rs",
    "crates/goal/src/criteria.rs",
    "crates/goal/src/eval/error.rs",
    "crates/goal/src/gate.rs",
    "crates/goal/src/lock.rs",
    "crates/goal/src/marker/read.rs",
    "crates/goal/src/ops/error.rs",
    "crates/goal/src/quota/pattern.rs",
    "crates/goal/src/resume.rs",
    "crates/goal/src/retry.rs",
    "crates/goal/src/store.rs",
    "crates/goal/src/tentacle.rs",
    "crates/orchestrator/src/auth",
    "crates/orchestrator/src/rollouts/ledger.rs",
    "crates/orchestrator/src/routes/ask.rs",
    "crates/orchestrator/src/server/error.rs",
    "crates/orchestrator/src/server/refusal.rs",
    "crates/otlp-receiver/src",
    "crates/policy/src/bundle/error.rs",
    "crates/policy/src/findings.rs",
    "crates/policy/src/rego/error.rs",
    "crates/policy/src/slots/pair.rs",
    "crates/policy/src/slots/slot.rs",
    "crates/rollout-store/src/database/error.rs",
    "crates/rollout-store/src/idempotency.rs",
    "crates/rollout-store/src/name.rs",
    "crates/rollout-store/src/phase.rs",
    "crates/rollout-store/src/plan/error.rs",
    "crates/rollout-store/src/plan/warning.rs",
    "crates/rollout-store/src/sqlite/open.rs",
    "crates/rollout-store/src/stage.rs",
    "crates/rollout-store/src/store/error.rs",
    "crates/runtime/src/exporter",
    "crates/runtime/src/on_record.rs",
    "crates/runtime/src/policies.rs",
    "crates/runtime/src/releases",
    "crates/runtime/src/releases.rs",
    "crates/runtime/src/server.rs",
    "crates/wal-recovery/src/steps",
];
/// Texts in them that look like a code and are none.
const NO_CODES: [&str; 21] = [
    "WARNING",
    "AUTONOMY_",
    "GIT_OPTIONAL_LOCKS",
    "HEAD",
    "BLOCKED",
    "DONE",
    "LOW",
    "MEDIUM",
    "BROKEN_PIPE",
    "CH",
    "FULL",
    "CARGO_PKG_VERSION",
    "ERROR",
    "FAIL",
    "FAILED",
    "VERIFIED",
    "GET",
    "OUT_DIR",
    "PASS",
    "PATH",
    "POST",
];
/// Modules whose texts are names of values on a command line, or tests.
const NO_SOURCES: [&str; 2] = ["args", "tests"];

/// Texts in a source that look like a code: upper case anywhere, lower case in `fn code`.
fn codes_in(source: &str) -> BTreeSet<String> {
    let code = source.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    let quoted = |text: &str| -> Vec<String> {
        let lines = text.lines().filter(|it| !it.trim_start().starts_with("//"));
        lines.flat_map(|it| it.split('"').skip(1).step_by(2)).map(str::to_owned).collect()
    };
    let word = |it: &String, letter: fn(&u8) -> bool| {
        it.len() > 1 && it.bytes().all(|it| letter(&it) || it == b'_')
    };
    let upper = quoted(code).into_iter().filter(|it| word(it, u8::is_ascii_uppercase));
    let bodies = code.split("fn code(").skip(1).filter_map(|it| it.split("\n    }\n").next());
    let lower = bodies.flat_map(quoted).filter(|it| word(it, u8::is_ascii_lowercase));
    upper.chain(lower).filter(|it| !NO_CODES.contains(&it.as_str())).collect()
}

fn rust_files(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    let entries = fs::read_dir(path).unwrap_or_else(|it| panic!("{}: {it}", path.display()));
    let paths = entries.map(|it| it.unwrap().path());
    let rust = paths.filter(|it| it.is_dir() || it.extension().is_some_and(|it| it == "rs"));
    rust.filter(|it| it.file_stem().is_some_and(|it| !NO_SOURCES.iter().any(|no| it == *no)))
        .flat_map(|it| rust_files(&it))
        .collect()
}

#[test]
fn every_code_in_the_sources_stands_in_the_index() {
    let index: BTreeSet<_> = anchored(&page("reference/codes.md")).into_iter().collect();
    let mut found = BTreeSet::new();
    for file in SOURCES.iter().flat_map(|it| rust_files(&root().join(it))) {
        found.extend(codes_in(&read(&file)));
    }
    let missing: Vec<_> = found.difference(&index).collect();
    assert!(missing.is_empty(), "not in reference/codes.md: {missing:?}");
    let own: BTreeSet<_> = codes().into_iter().map(str::to_owned).collect();
    let invented: Vec<_> =
        index.iter().filter(|it| !found.contains(*it) && !own.contains(*it)).collect();
    assert!(invented.is_empty(), "in reference/codes.md and nowhere else: {invented:?}");
}

#[test]
fn the_environment_page_lists_every_variable_with_its_documentation() {
    let rows = rows(&page("reference/environment.md"));
    let want: Vec<_> =
        env::ALL.iter().map(|it| vec![format!("`{}`", it.name), it.doc.to_owned()]).collect();
    assert_eq!(rows, want);
}

#[test]
fn the_exit_code_page_lists_every_code_with_its_meaning() {
    let rows = rows(&page("reference/exit-codes.md"));
    let want: Vec<_> =
        Exit::ALL.iter().map(|it| vec![it.code().to_string(), it.meaning().to_owned()]).collect();
    assert_eq!(rows, want);
}

/// The text without code: fenced blocks are dropped, code spans are emptied.
fn without_code(text: &str) -> String {
    let mut fenced = false;
    let mut kept = String::new();
    for line in text.lines() {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        if !fenced && !fence {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    // Spans of two backticks before those of one, which they may contain.
    let outside = |text: &str, mark: &str| text.split(mark).step_by(2).collect::<String>();
    outside(&outside(&kept, "``"), "`")
}

/// Targets of links and includes in a text.
fn links(text: &str) -> Vec<String> {
    let text = without_code(text);
    let until = |text: &str, start: &str, end: &str| -> Vec<String> {
        let parts = text.split(start).skip(1);
        parts.filter_map(|it| it.split_once(end)).map(|it| it.0.trim().to_owned()).collect()
    };
    let mut found = until(&text, "](", ")");
    found.extend(until(&text, "{{#include ", "}}"));
    found
}

/// Anchors of a page: `<a id>` and headings, the latter as mdBook names them.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<_> = anchored(text).into_iter().collect();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced && line.starts_with('#') {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|it| match it {
                ' ' => Some('-'),
                it if it.is_alphanumeric() || matches!(it, '-' | '_') => Some(it),
                _ => None,
            });
            found.insert(kept.collect());
        }
    }
    found
}

/// Links of a file that lead nowhere.
fn dead_links(file: &Path, text: &str) -> Vec<String> {
    let mut dead = Vec::new();
    for link in links(text) {
        if link.contains("://") || link.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
        let target = match path {
            "" => file.to_owned(),
            path => file.parent().unwrap().join(path),
        };
        let place = file.strip_prefix(root()).unwrap_or(file).display();
        if !target.exists() {
            dead.push(format!("{place}: {link} does not exist"));
        } else if !anchor.is_empty() {
            let text = if path.is_empty() { text.to_owned() } else { read(&target) };
            if !anchors(&text).contains(anchor) {
                dead.push(format!("{place}: {link} has no such anchor"));
            }
        }
    }
    dead
}

#[test]
fn every_relative_link_leads_to_a_file_and_an_anchor() {
    let files = markdown(root());
    assert!(files.len() > 50, "only {} files: where is the book?", files.len());
    let dead: Vec<_> = files.iter().flat_map(|it| dead_links(it, &read(it))).collect();
    assert_eq!(dead, Vec::<String>::new());
}

#[test]
fn the_summary_lists_every_page_once_and_nothing_else() {
    let summary = book().join("SUMMARY.md");
    let listed: Vec<_> = links(&read(&summary)).into_iter().map(|it| book().join(it)).collect();
    let set: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(set.len(), listed.len(), "a page is listed twice");
    let mut pages = markdown(&book());
    pages.remove(&summary);
    assert_eq!(set, pages);
}

/// A package of the workspace, as far as the pages about crates speak of it.
struct Package {
    level: String,
    uses: BTreeSet<String>,
}

/// Every package, by name. A manifest here has one `name = "…"` and lists what it uses as
/// `other.workspace = true`.
fn packages() -> BTreeMap<String, Package> {
    let dirs = ["crates", "bins"].map(|it| fs::read_dir(root().join(it)).unwrap());
    let dirs = dirs.into_iter().flatten().map(|it| it.unwrap().path());
    let dirs = dirs.chain([root().join("tests"), root().join("xtask")]);
    let manifests: Vec<_> = dirs.map(|it| read(&it.join("Cargo.toml"))).collect();
    let value = |text: &str, key: &str| {
        let lines = text.lines().find_map(|it| it.strip_prefix(key).map(str::to_owned));
        lines.map(|it| it.trim_matches('"').to_owned())
    };
    let names: BTreeSet<_> = manifests.iter().filter_map(|it| value(it, "name = ")).collect();
    let package = |text: &String| {
        let pure = if text.contains("\npure = true") { ", pure" } else { "" };
        let level = format!("{}{pure}", value(text, "level = ").unwrap());
        let uses = sections(text, "[").into_iter().find(|it| it.0 == "dependencies]");
        let uses = uses.map(|it| it.1).unwrap_or_default();
        let uses = uses.lines().filter_map(|it| it.split(['.', ' ']).next());
        let uses = uses.filter(|it| names.contains(*it)).map(str::to_owned).collect();
        (value(text, "name = ").unwrap(), Package { level, uses })
    };
    manifests.iter().map(package).collect()
}

#[test]
fn the_page_of_a_crate_names_its_level_what_it_uses_and_who_uses_it() {
    let packages = packages();
    let quoted = |cell: &str| -> BTreeSet<String> {
        cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
    };
    for entry in fs::read_dir(root().join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let page = page(&format!("crates/{name}.md"));
        let section = sections(&page, "## ").into_iter().find(|it| it.0 == "In the workspace");
        let row = rows(&section.unwrap().1).into_iter().next().unwrap();
        let users = packages.iter().filter(|it| it.1.uses.contains(&name));
        let users: BTreeSet<_> = users.map(|it| it.0.clone()).collect();
        assert_eq!(row.first(), Some(&packages[&name].level), "{name}");
        assert_eq!(row.get(1).map(|it| quoted(it)), Some(packages[&name].uses.clone()), "{name}");
        assert_eq!(row.get(2).map(|it| quoted(it)), Some(users), "{name}");
    }
}

/// Long options that a text mentions.
fn options_in(text: &str) -> BTreeSet<String> {
    let letters = |it: char| it.is_ascii_lowercase() || it == '-';
    let words = text.split(|it: char| !letters(it));
    words
        .filter_map(|it| it.strip_prefix("--"))
        .filter(|it| it.starts_with(|it: char| it.is_ascii_lowercase()))
        .map(|it| it.trim_end_matches('-').to_owned())
        .collect()
}

/// Long options that have a row of their own.
fn options_with_a_row(text: &str) -> BTreeSet<String> {
    rows(text).iter().filter_map(|it| it.first()).flat_map(|it| options_in(it)).collect()
}

/// Every command that does something, by its full name.
fn leaves(command: &clap::Command, path: &str, found: &mut BTreeMap<String, clap::Command>) {
    let name = format!("{path} {}", command.get_name()).trim().to_owned();
    if command.has_subcommands() {
        command.get_subcommands().for_each(|it| leaves(it, &name, found));
    } else {
        found.insert(name, command.clone());
    }
}

/// What is wrong with the section about a command.
fn flaws_of_command(name: &str, command: &clap::Command, text: &str) -> Vec<String> {
    let long = |it: &clap::Arg| it.get_long().map(str::to_owned);
    let options: BTreeSet<_> = command.get_arguments().filter_map(long).collect();
    let mut flaws = Vec::new();
    for missing in options.difference(&options_with_a_row(text)) {
        flaws.push(format!("{name}: --{missing} has no row"));
    }
    let aliases = command.get_arguments().filter_map(clap::Arg::get_all_aliases).flatten();
    let known: BTreeSet<_> = options.into_iter().chain(aliases.map(str::to_owned)).collect();
    for invented in options_in(text).difference(&known) {
        flaws.push(format!("{name}: there is no --{invented}"));
    }
    for alias in command.get_visible_aliases().filter(|it| !text.contains(*it)) {
        flaws.push(format!("{name}: the alias {alias} is not mentioned"));
    }
    flaws
}

#[test]
fn the_cli_page_has_every_command_with_exactly_its_options() {
    let page = page("reference/cli.md");
    let sections: BTreeMap<_, _> = sections(&page, "## ").into_iter().collect();
    let mut commands = BTreeMap::new();
    leaves(&cli::command(), "", &mut commands);
    let names: Vec<_> = commands.keys().map(String::as_str).collect();
    assert_eq!(sections.keys().copied().collect::<Vec<_>>(), names);
    let flaws: Vec<_> = commands
        .iter()
        .flat_map(|(name, command)| flaws_of_command(name, command, &sections[name.as_str()]))
        .collect();
    assert_eq!(flaws, Vec::<String>::new());
}

#[test]
fn the_services_page_has_exactly_the_options_of_the_other_programs() {
    let page = page("reference/services.md");
    let sections: BTreeMap<_, _> = sections(&page, "## ").into_iter().collect();
    let programs = [("autonomy-orchestrator serve", Bin::Orchestrator), ("otel-sink", Bin::Sink)];
    for (name, bin) in programs {
        let mut command = Command::new(bin.path().unwrap());
        let help = run_to_end(command.args(name.split(' ').skip(1)).arg("--help")).unwrap();
        assert_eq!(help.code(), Some(0), "{help:?}");
        let defined = help.stdout.lines().map(str::trim_start).filter(|it| it.starts_with('-'));
        let mut options: BTreeSet<_> = defined
            .filter_map(|it| it.split(' ').find_map(|it| it.strip_prefix("--")))
            .map(str::to_owned)
            .collect();
        options.remove("help");
        options.remove("version");
        assert_eq!(options_with_a_row(&sections[name]), options, "{name}");
    }
}

#[test]
fn each_check_finds_its_breach() {
    let good = "# X\n\n## Symptom\n\na\n\n## Cause\n\nb\n\n## Recovery\n\nc\n";
    assert_eq!(flaws_of_code_page("X", good), Vec::<String>::new());
    for bad in [
        good.replace("# X", "# Y"),
        good.replace("## Cause", "### Cause"),
        good.replace("\nc\n", ""),
        good.replace("## Recovery", "## Repair"),
    ] {
        assert_eq!(flaws_of_code_page("X", &bad).len(), 1, "{bad}");
    }

    let file = book().join("introduction.md");
    let dead = |text: &str| dead_links(&file, text).len();
    assert_eq!(dead("[a](reference/codes.md#WAL_IO) [b](https://example.org/x) [c](#d)\n# D"), 0);
    assert_eq!(dead("[a](no.md) and [b](reference/codes.md#NO) and [c](#no)"), 3);
    assert_eq!(dead("`[a](no.md)`\n```\n[b](no.md)\n```\n"), 0, "code is no link");
    assert_eq!(dead("{{#include no.md}}"), 1);

    let source = "const A: &str = \"SOME_CODE\"; // \"x\"\nfn code(&self) { \"low_code\"\n    }\n";
    let found: Vec<_> = codes_in(source).into_iter().collect();
    assert_eq!(found, ["SOME_CODE", "low_code"]);

    let mut commands = BTreeMap::new();
    leaves(&cli::command(), "", &mut commands);
    let drain = &commands["autonomy telemetry drain"];
    let flaws =
        flaws_of_command("drain", drain, "| a |\n|---|\n| `--dir` |\n\n`--for-ever`, flush");
    assert!(flaws.contains(&"drain: --endpoint has no row".to_owned()), "{flaws:?}");
    assert!(flaws.contains(&"drain: there is no --for-ever".to_owned()), "{flaws:?}");
    assert!(!flaws.iter().any(|it| it.contains("--dir")), "{flaws:?}");
}
