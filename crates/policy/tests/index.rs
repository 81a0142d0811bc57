//! With and without index a policy decides the same (X1).

#![expect(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::{cell::Cell, fmt::Write as _};

use kit::{Both, request, try_bundle, word};
use policy::Evaluator;
use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, TestRunner},
};
use serde_json::{Value, json};

const KINDS: [&str; 6] = ["tool.a", "tool.b", "tool.c", "tool.d", "", "tool.\u{e4}"];

/// Heads of definitions, with a `%` for the number of the definition.
const HEADS: [&str; 9] = [
    "decision := {\"allow\": true, \"rule\": \"r%\"}",
    "decision := {\"allow\": true, \"rule\": \"r\"}",
    "decision := {\"allow\": false, \"reason\": \"because %\"}",
    "decision := {\"allow\": flag}",
    "allow",
    "allow",
    "allow := false",
    "deny contains \"d%\"",
    "deny contains input.params.text",
];

/// Heads of what the definitions above use.
const HELPERS: [&str; 8] = [
    "names := {\"v%\"}",
    "flag",
    "flag := %",
    "flag := false",
    "names contains \"n%\"",
    "names contains input.kind",
    "fields[\"f%\"] := input.params.n",
    "f(x) := x + %",
];

/// What stands first in a body.
const FIRST: [&str; 16] = [
    "input.kind == \"tool.a\"",
    "input.kind == \"tool.b\"",
    "input.kind == \"tool.c\"",
    "\"tool.d\" == input.kind",
    "input.kind == `tool.\u{e4}`",
    "input.kind in {\"tool.a\", \"tool.d\"}",
    "input.kind in [\"tool.b\", \"\"]",
    "input.context.mode == \"normal\"; input.kind == \"tool.a\"",
    "input.params.n != 3; input.kind == \"tool.c\"",
    "to_number(input.params.text) > 1; input.kind == \"tool.a\"",
    "x := to_number(input.params.text); input.kind == \"tool.b\"; x > 0",
    "input.kind != \"tool.a\"",
    "not input.kind == \"tool.a\"",
    "startswith(input.kind, \"tool\")",
    "some kind in [\"tool.a\", \"tool.b\"]; input.kind == kind",
    "true",
];

/// What may follow in a body; the first [`PLAIN`] use no other rule.
const THEN: [&str; 17] = [
    "true",
    "true",
    "input.params.n > 1",
    "input.params.text == \"7\"",
    "to_number(input.params.text) == 7",
    "not to_number(input.params.text) == 7",
    "flag",
    "flag == 3",
    "not flag",
    "count(names) > 0",
    "count(names) == 0",
    "not names[\"n1\"]",
    "some n in names; n != input.kind",
    "fields.f1 > 0",
    "f(1) > 2",
    "every n in names { n != \"\" }",
    "count(input) == 3",
];
const PLAIN: usize = 6;

/// What comes on top of a few definitions, most often nothing.
const EXTRA: [&str; 12] = [
    "",
    "",
    "",
    "",
    "default flag := true",
    "default decision := {\"allow\": false}",
    "default allow := false",
    "other if flag with input as {\"kind\": \"tool.a\", \"params\": {}}\nallow if other",
    "other if flag with input.kind as \"tool.b\"\nallow if other",
    "allow if data.library.ready",
    "deny contains \"all\" if count(data.library.all) > 9",
    "allow if every kind in [\"tool.a\", \"tool.b\"] { kind != input.kind }",
];

/// Modules beside package `autonomy`.
const BESIDE: [&str; 4] = [
    "package library\nready if data.autonomy.flag",
    "package library\nready if input.kind == \"tool.a\"\nready if input.kind == \"tool.b\"\nall := [1]",
    "package library\nready if count(data.autonomy) > 0",
    "package autonomy\nallow if input.kind == \"tool.a\"\nflag if input.kind == \"tool.c\"",
];

fn definition() -> impl Strategy<Value = String> {
    let of = |heads: &'static [&str], then: &'static [&str]| {
        let body =
            move || (select(&FIRST[..]), select(then)).prop_map(|(a, b)| format!("{{ {a}; {b} }}"));
        (select(heads), body(), prop::option::weighted(0.2, body()), 0..4_u8)
    };
    prop_oneof![of(&HEADS, &THEN), of(&HELPERS, &THEN[..PLAIN])].prop_map(
        |(head, body, other, n)| {
            let mut res = format!("{} if {body}", head.replace('%', &n.to_string()));
            if let Some(other) = other.filter(|_| head.contains(":=") && !head.starts_with("f(")) {
                let value = head.split_once(":=").map_or("true", |(_, value)| value);
                write!(res, " else := {} if {other}", value.replace('%', "9")).unwrap();
            }
            res
        },
    )
}

/// A module of package `autonomy`, and perhaps another one.
fn modules() -> impl Strategy<Value = (String, &'static str)> {
    let definitions = prop::collection::vec(definition(), 1..12);
    (definitions, select(&EXTRA[..]), select(&BESIDE[..]), any::<bool>()).prop_map(
        |(definitions, extra, beside, lines)| {
            let text = definitions.join(if lines { "\n" } else { "\n\n# \u{e4}\n" });
            let always = "flag if false\nnames contains \"never\" if false\nf(x) := x if false\n\
                fields[\"f\"] := 1 if false";
            (format!("package autonomy\n{text}\n{extra}\n{always}\n"), beside)
        },
    )
}

fn asked() -> Vec<policy::Request> {
    let params = [
        json!({}),
        json!({"text": "7", "n": 3}),
        json!({"text": "seven", "n": 1}),
        json!({"text": 7, "n": "3"}),
    ];
    KINDS.iter().flat_map(|kind| params.iter().map(|params| request(kind, params))).collect()
}

#[test]
fn random_policies_decide_the_same_with_an_index_and_without() {
    let (compiled, indexed, allowed, failed) =
        (Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32), Cell::new(0_u32));
    let requests = asked();
    let mut runner = TestRunner::new(Config::with_cases(250));
    let checked = runner.run(&modules(), |(text, beside)| {
        let Ok(bundle) = try_bundle(&[("a.rego", &text), ("b.rego", beside)]) else {
            return Ok(());
        };
        let both = Both::of(&bundle).unwrap();
        compiled.set(compiled.get() + 1);
        indexed.set(indexed.get() + u32::from(both.indexed.index_groups() > 0));
        for request in &requests {
            let (fast, slow) = (both.indexed.evaluate(request), both.whole.evaluate(request));
            allowed.set(allowed.get() + u32::from(slow.is_allow()));
            failed.set(failed.get() + u32::from(word(&slow) == "evaluation_error"));
            prop_assert_eq!(fast, slow, "{:?}\n{}\n{}", request.kind, text, beside);
        }
        Ok(())
    });
    checked.unwrap();
    // The comparison is worth something only when all of this happens often.
    assert!(compiled.get() > 80 && indexed.get() > 50, "{compiled:?} {indexed:?}");
    assert!(allowed.get() > 100 && failed.get() > 100, "{allowed:?} {failed:?}");
}

#[test]
fn conflicts_defaults_and_errors_are_those_of_the_whole_policy() {
    let many: String = (0..40).fold(String::new(), |mut text, n| {
        writeln!(
            text,
            "decision := {{\"allow\": true, \"rule\": \"k{n}\"}} if input.kind == \"k{n}\""
        )
        .unwrap();
        text
    });
    for (more, kind, want) in [
        ("", "k7", "allow"),
        ("", "other", "no_rule_matched"),
        ("default decision := {\"allow\": false}", "other", "policy_denied"),
        // Two complete definitions that disagree, both only for this kind.
        ("decision := {\"allow\": false} if input.kind == \"k7\"", "k7", "evaluation_error"),
        ("decision := {\"allow\": false} if input.kind == \"k7\"", "k8", "allow"),
        // A set stays a set when all of its definitions are about others.
        ("deny contains \"x\" if input.kind == \"k1\"\nallow if count(deny) == 0", "k2", "allow"),
        (
            "s := 1 if input.kind == \"k1\"\ns contains 1 if input.kind == \"k2\"\nallow if s == set()",
            "k3",
            "allow",
        ),
        (
            "deny contains \"x\" if input.kind == \"k1\"\nallow if count(deny) == 0",
            "k1",
            "policy_denied",
        ),
        // An error before the test of the kind is an error for every kind.
        ("allow if { to_number(input.kind) > 1; input.kind == \"k1\" }", "k2", "evaluation_error"),
        ("allow if { input.kind == \"k1\"; to_number(input.kind) > 1 }", "k2", "no_rule_matched"),
        ("allow if { input.kind == \"k1\"; to_number(input.kind) > 1 }", "k1", "evaluation_error"),
    ] {
        let rules = format!("{many}{more}");
        let both = kit::evaluator(&rules, &json!({}));
        assert!(both.indexed.index_groups() > 10, "{more}");
        assert_eq!(both.whole.index_groups(), 0);
        assert_eq!(word(&both.evaluate(&request(kind, &json!({})))), want, "{kind} {more}");
    }
}

#[test]
fn an_error_has_the_same_place_with_and_without_an_index() {
    let rules = "allow if input.kind == \"a\"\nallow if {\n  input.kind == \"b\"\n} \
        deny contains \"x\" if { input.kind == \"c\"; to_number(input.params.n) > 1 }";
    let both = kit::evaluator(rules, &json!({}));
    assert!(both.indexed.index_groups() > 0);
    let (_, reason) = kit::denial(&both.evaluate(&request("c", &json!({"n": "x"}))));
    assert!(reason.starts_with("policy.rego:6:"), "{reason}");
}

#[test]
fn a_policy_of_one_file_for_each_tool_has_an_index() {
    let files: Vec<_> = (0..300)
        .map(|n| {
            let text = format!(
                "package autonomy\ndecision := {{\"allow\": true, \"rule\": \"t{n}\"}} if input.kind == \"t{n}\""
            );
            (format!("tools/t{n}.rego"), text)
        })
        .collect();
    let names: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    let both = Both::of(&try_bundle(&names).unwrap()).unwrap();
    assert!(both.indexed.index_groups() > 100);
    for n in 0..300 {
        let decision =
            both.evaluate(&request(&format!("t{n}"), &Value::Object(serde_json::Map::new())));
        assert_eq!(decision.rule(), Some(format!("t{n}").as_str()));
    }
}
