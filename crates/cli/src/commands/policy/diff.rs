//! `autonomy policy diff`: how two policies differ.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write as _},
};

use api::exit::Exit;
use serde::Serialize;
use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use super::subject::Subject;
use crate::{
    args::{Output, PolicyDiff},
    commands::print_json,
    context::Context,
    failure::Failure,
    printable::{printable, printable_lines},
};

/// Lines around a changed one.
const CONTEXT_LINES: usize = 3;

#[derive(Debug, PartialEq, Serialize)]
struct Diff {
    same: bool,
    manifest: Vec<Claim>,
    files: Vec<Altered>,
    data: Vec<Datum>,
}

/// Something that a bundle says about itself; `null` when one of the two says nothing.
#[derive(Debug, PartialEq, Serialize)]
struct Claim {
    field: &'static str,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
struct Altered {
    file: String,
    change: &'static str,
    lines_added: usize,
    lines_removed: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    unified: String,
}

/// A value at a path below `data`.
#[derive(Debug, PartialEq, Serialize)]
struct Datum {
    path: String,
    change: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<Value>,
}

pub(super) fn diff(args: &PolicyDiff, context: Context<'_>) -> Result<Exit, Failure> {
    let open = |named| Subject::open(named, args.policy_dir.as_deref(), context);
    let diff = compare(&open(&args.from)?, &open(&args.to)?);
    match args.output.output {
        Output::Json => print_json(&diff)?,
        Output::Text => print(&diff)?,
    }
    // That they differ is what was asked, and no failure.
    Ok(if diff.same { Exit::Done } else { Exit::Conflict })
}

fn compare(from: &Subject, to: &Subject) -> Diff {
    let manifest = match (&from.bundle, &to.bundle) {
        (Some(_), Some(_)) => fields(&said(from), &said(to)),
        // A directory says nothing about itself.
        _ => Vec::new(),
    };
    let files = files(&from.sources.modules().collect(), &to.sources.modules().collect());
    let mut data = Vec::new();
    walk("", from.sources.data(), to.sources.data(), &mut data);
    let same = manifest.is_empty() && files.is_empty() && data.is_empty();
    Diff { same, manifest, files, data }
}

fn said(subject: &Subject) -> Vec<(&'static str, Option<String>)> {
    let Some(bundle) = &subject.bundle else { return Vec::new() };
    vec![
        ("version", Some(bundle.version().to_owned())),
        ("name", bundle.name().map(str::to_owned)),
        ("required_runtime_version", Some(bundle.requirement().to_string())),
        ("created_at", bundle.created_at().map(|it| it.to_string())),
        ("bundle_hash", Some(bundle.hash().to_owned())),
        ("digest", Some(bundle.digest().to_owned())),
    ]
}

fn fields(
    from: &[(&'static str, Option<String>)],
    to: &[(&'static str, Option<String>)],
) -> Vec<Claim> {
    let both = from.iter().zip(to).filter(|((_, from), (_, to))| from != to);
    both.map(|((field, from), (_, to))| Claim { field, from: from.clone(), to: to.clone() })
        .collect()
}

fn files(from: &BTreeMap<&str, &str>, to: &BTreeMap<&str, &str>) -> Vec<Altered> {
    let names: BTreeSet<_> = from.keys().chain(to.keys()).collect();
    let changed = names.into_iter().filter_map(|name| {
        let (from, to) = (from.get(name), to.get(name));
        let change = match (from, to) {
            (None, _) => "added",
            (_, None) => "removed",
            (from, to) if from == to => return None,
            _ => "changed",
        };
        let (from, to) = (from.copied().unwrap_or_default(), to.copied().unwrap_or_default());
        let diff = TextDiff::from_lines(from, to);
        let count = |tag| diff.iter_all_changes().filter(|it| it.tag() == tag).count();
        let mut unified = diff.unified_diff();
        let unified = unified.context_radius(CONTEXT_LINES).header(name, name);
        Some(Altered {
            file: (*name).to_owned(),
            change,
            lines_added: count(ChangeTag::Insert),
            lines_removed: count(ChangeTag::Delete),
            unified: if change == "changed" { unified.to_string() } else { String::new() },
        })
    });
    changed.collect()
}

/// Notes every value that differs, as deep inside objects as it goes; an array is one value.
fn walk(path: &str, from: &Value, to: &Value, found: &mut Vec<Datum>) {
    let (Value::Object(old), Value::Object(new)) = (from, to) else {
        if from != to {
            let (from, to) = (Some(from.clone()), Some(to.clone()));
            found.push(Datum { path: path.to_owned(), change: "changed", from, to });
        }
        return;
    };
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(from), Some(to)) => walk(&path, from, to, found),
            (from, to) => {
                let change = if from.is_none() { "added" } else { "removed" };
                found.push(Datum { path, change, from: from.cloned(), to: to.cloned() });
            }
        }
    }
}

fn print(diff: &Diff) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if diff.same {
        return writeln!(out, "no difference");
    }
    for Claim { field, from, to } in &diff.manifest {
        let shown = |it: &Option<String>| printable(it.as_deref().unwrap_or("-")).into_owned();
        writeln!(out, "{field}: {} -> {}", shown(from), shown(to))?;
    }
    for Altered { file, change, lines_added, lines_removed, .. } in &diff.files {
        writeln!(out, "{change:7}  {}  +{lines_added} -{lines_removed}", printable(file))?;
    }
    for Datum { path, change, from, to } in &diff.data {
        let shown = |it: &Option<Value>| it.as_ref().map_or_else(String::new, Value::to_string);
        let (from, to) = (shown(from), shown(to));
        let values =
            if from.is_empty() || to.is_empty() { from + &to } else { format!("{from} -> {to}") };
        writeln!(out, "{change:7}  data.{}: {}", printable(path), printable(&values))?;
    }
    for file in diff.files.iter().filter(|it| !it.unified.is_empty()) {
        write!(out, "\n{}", printable_lines(&file.unified.replace('\t', "    ")))?;
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn files_are_added_removed_and_changed_by_lines() {
        let from = BTreeMap::from([("a", "1\n2\n3\n"), ("b", "x\n"), ("same", "s")]);
        let to = BTreeMap::from([("a", "1\nzwei\n3\n4\n"), ("c", "y\nz\n"), ("same", "s")]);
        let got = files(&from, &to);
        let short: Vec<_> =
            got.iter().map(|it| (&*it.file, it.change, it.lines_added, it.lines_removed)).collect();
        assert_eq!(short, [("a", "changed", 2, 1), ("b", "removed", 0, 1), ("c", "added", 2, 0)]);
        assert!(got[0].unified.contains("-2\n+zwei\n 3\n+4\n"), "{}", got[0].unified);
        assert!(files(&from, &from).is_empty());
    }

    #[test]
    fn data_differs_by_path() {
        let from = json!({"a": {"x": 1, "y": [1]}, "b": 2, "same": {}});
        let to = json!({"a": {"x": 1, "y": [2]}, "c": {"d": null}, "same": {}});
        let mut found = Vec::new();
        walk("", &from, &to, &mut found);
        let short: Vec<_> = found.iter().map(|it| (&*it.path, it.change)).collect();
        assert_eq!(short, [("a.y", "changed"), ("b", "removed"), ("c", "added")]);
        assert_eq!((&found[0].from, &found[0].to), (&Some(json!([1])), &Some(json!([2]))));
        found.clear();
        walk("", &to, &to, &mut found);
        assert_eq!(found, []);
    }
}
