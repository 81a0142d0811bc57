//! What is found is what is refused, and tests see what decides (V1, Y1).
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};

use policy::{Outcome, Severity, Sources, Suite, findings};
use proptest::prelude::*;

/// Lines of modules, right and wrong ones.
const LINES: [&str; 20] = [
    "allow if input.kind == \"a\"",
    "allow if helper(input.kind)",
    "helper(x) if x == \"a\"",
    "default allow := false",
    "default helper(_) := false",
    "deny contains \"x\" if other",
    "deny contains unknown",
    "other if data.autonomy.more.deep",
    "more.deep := 1 if allow",
    "p[x] := 1 if some x in [1, 2]",
    "q contains p[1]",
    "other if http.send({})",
    "other if { nope(1); time.now_ns() }",
    "other if {",
    "decision := {\"allow\": other}",
    "decision.allow := true",
    "loop if loop",
    "x := y",
    "y := 1",
    "\u{0}",
];

fn module() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&LINES[..]), 0..5)
        .prop_map(|lines| format!("package autonomy\n\n{}\n", lines.join("\n")))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn there_is_an_error_exactly_when_the_files_make_no_policy(
        modules in prop::collection::vec(module(), 0..4),
        data in prop::sample::select(&["", "{}", "[]", r#"{"autonomy":{"allow":1}}"#][..]),
    ) {
        let mut files: BTreeMap<_, _> = modules
            .iter()
            .zip(["a.rego", "b.rego", "sub/c.rego", "sub/d.rego"])
            .map(|(text, name)| (name.to_owned(), text.as_bytes().to_vec()))
            .collect();
        if !data.is_empty() {
            files.insert("data.json".to_owned(), data.as_bytes().to_vec());
        }
        let found = findings(&files);
        let errors = found.iter().filter(|it| it.severity == Severity::Error).count();
        let evaluator = Sources::new(files).map_err(|it| it.code());
        let evaluator = evaluator.and_then(|it| it.evaluator("x").map_err(|it| it.code()));
        match evaluator {
            Ok(_) => prop_assert_eq!(errors, 0, "{:?}", found),
            Err(code) => prop_assert!(errors > 0, "refused: {code}, found {found:?}"),
        }
    }
}

fn suite(files: &[(&str, &str)], coverage: bool) -> Suite {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    Suite::new(&Sources::new(files.collect()).unwrap(), coverage).unwrap()
}

#[test]
fn an_error_in_a_function_is_no_pass_and_does_not_reach_the_next_test() {
    let tests = "package t\n\ntest_a if not 1 / count([]) == 1\ntest_b := true\ntest_c := 1\n\
                 test_c2 contains 1\ntest_f(x) := x\n";
    let mut suite = suite(&[("t_test.rego", tests)], false);
    let names: Vec<_> = suite.tests().iter().map(|it| it.name.clone()).collect();
    assert_eq!(names, ["data.t.test_a", "data.t.test_b", "data.t.test_c", "data.t.test_c2"]);
    let tests = suite.tests().to_vec();
    let outcomes: Vec<_> = tests.iter().map(|it| suite.run(it)).collect();
    assert!(matches!(&outcomes[0], Outcome::Error(text) if text.starts_with("t_test.rego:3:")));
    assert_eq!(outcomes[1], Outcome::Passed);
    assert_eq!(outcomes[2], Outcome::Failed("1".to_owned()));
    assert!(matches!(&outcomes[3], Outcome::Failed(_)));
    assert!(suite.coverage().is_none());
}

#[test]
fn a_file_that_no_test_reaches_is_not_covered_and_lines_add_up() {
    let allow = "package autonomy\n\nallow if {\n\tinput.kind == \"a\"\n\tinput.params.x\n}\n";
    let other = "package other\n\nnobody := 1\n";
    let tests = "package t\n\ntest_one if not data.autonomy.allow with input as {\"kind\": \"b\"}\n\
                 test_two if data.autonomy.allow with input as {\"kind\": \"a\", \"params\": {\"x\": true}}\n";
    let files = [("a.rego", allow), ("o.rego", other), ("t_test.rego", tests)];
    let mut suite = suite(&files, true);
    let tests = suite.tests().to_vec();
    let lines = |suite: &Suite, file: &str| {
        let seen = &suite.coverage().unwrap()[file];
        (seen.covered.clone(), seen.not_covered.clone())
    };
    assert_eq!(suite.run(&tests[0]), Outcome::Passed);
    assert_eq!(lines(&suite, "a.rego"), (BTreeSet::from([4]), BTreeSet::from([5])));
    assert_eq!(suite.run(&tests[1]), Outcome::Passed);
    assert_eq!(lines(&suite, "a.rego"), (BTreeSet::from([4, 5]), BTreeSet::new()));
    assert_eq!(lines(&suite, "o.rego"), (BTreeSet::new(), BTreeSet::from([3])));
    assert!(!suite.coverage().unwrap().contains_key("t_test.rego"));
}
