//! What Rego means here, construct by construct and function by function.
//!
//! The cases are our own. Each names the folder of OPA's conformance cases that is about the same, and
//! says what OPA documents; where the product differs on purpose, the mark says so. The differences are
//! listed in the reference, chapter Rego.

#![allow(clippy::needless_raw_string_hashes, reason = "all lines of the lists have one form")]

mod functions;
#[path = "../kit/mod.rs"]
mod kit;
mod language;
mod texts;

use functions::FUNCTIONS;
use kit::{request, word};
use language::{BODIES, RULES};
use policy::{BUILTINS, Evaluator};
use serde_json::{Value, json};
use texts::TEXTS;

/// A folder of OPA's cases, and bodies about the same.
pub(crate) struct Folder(pub(crate) &'static str, pub(crate) &'static [&'static str]);

fn asked() -> policy::Request {
    let params = json!({
        "list": [1, 2, 3], "map": {"a": 1, "b": 2}, "keys": ["a"], "text": "hello", "n": 5,
        "nested": {"a": {"b": [10, 20, {"c": "deep"}]}}, "null": null, "t": true, "f": false,
    });
    request("tool.echo", &params)
}

fn data() -> Value {
    json!({"roles": {"op": ["driver", "cook"]}, "limits": {"a": 1, "b": 2}, "matrix": [[1, 2], [3, 4]]})
}

/// Rules that some of the bodies use.
const HELPERS: &str = "is_nine if data.limits.a == 9\nupper_b(_) := \"B\"\nnot_there := 1 if false";

fn decide(rules: &str) -> String {
    match kit::try_evaluator(rules, &data()) {
        Ok(both) => word(&both.evaluate(&asked())),
        Err(_) => "refused".to_owned(),
    }
}

/// Every body of the folders that does not do what its mark says.
fn wrong(folders: &[Folder]) -> Vec<String> {
    let mut res = Vec::new();
    for Folder(folder, lines) in folders {
        for line in *lines {
            let (mark, body) =
                line.split_once(' ').filter(|it| it.0.len() == 1).unwrap_or_default();
            let (want, body): (&[&str], _) = match mark {
                "!" => (&["no_rule_matched"], body),
                "?" => (&["evaluation_error"], body),
                "~" => (&["no_rule_matched", "evaluation_error"], body),
                _ => (&["allow"], *line),
            };
            let got = decide(&format!("{HELPERS}\nallow if {{ {body} }}"));
            if !want.contains(&got.as_str()) {
                res.push(format!("{folder}: {body}: {got}, not {want:?}"));
            }
        }
    }
    res
}

fn count(folders: &[Folder]) -> usize {
    folders.iter().map(|Folder(_, lines)| lines.len()).sum()
}

#[test]
fn functions_do_what_they_do_elsewhere() {
    let wrong: Vec<_> = [FUNCTIONS, TEXTS].into_iter().flat_map(wrong).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn bodies_hold_or_not_as_elsewhere() {
    let wrong = wrong(BODIES);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn rules_decide_as_elsewhere() {
    let wrong: Vec<_> = RULES
        .iter()
        .filter_map(|(folder, rules, want)| {
            let got = decide(rules);
            (got != *want).then(|| format!("{folder}: {rules}: {got}, not {want}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_that_a_policy_may_call_has_a_case() {
    let lines: Vec<_> = FUNCTIONS.iter().chain(TEXTS).flat_map(|Folder(_, lines)| *lines).collect();
    let missing: Vec<_> = BUILTINS
        .iter()
        .filter(|name| !lines.iter().any(|line| line.contains(&format!("{name}("))))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn there_are_as_many_cases_as_the_reference_says() {
    let found = count(FUNCTIONS) + count(TEXTS) + count(BODIES) + RULES.len();
    let page = include_str!("rego.md");
    assert!(found >= 300 && page.contains(&format!("{found} cases")), "{found}");
}

#[test]
fn every_difference_is_in_the_reference() {
    let page = include_str!("rego.md");
    let lines = FUNCTIONS.iter().chain(TEXTS).chain(BODIES).flat_map(|Folder(_, lines)| *lines);
    let differ: Vec<_> = lines.filter_map(|line| line.strip_prefix("~ ")).collect();
    let missing: Vec<_> =
        differ.iter().filter(|body| !page.contains(&format!("| `{body}` |"))).collect();
    assert!(differ.len() > 5 && missing.is_empty(), "{missing:#?}");
}
