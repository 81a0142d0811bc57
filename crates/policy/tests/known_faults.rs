//! Faults by name: what could make a policy answer wrongly, or take the process down with it.

#![expect(clippy::panic, reason = "tests")]

mod kit;

use std::collections::BTreeSet;

use kit::{ask, denial, echo, evaluator, request, try_evaluator, word};
use policy::{BUILTINS, BundleError, DenyCode, Evaluator, ModuleError};
use serde_json::json;

/// The error of a policy of package `autonomy`.
#[track_caller]
fn refused(rules: &str) -> ModuleError {
    match try_evaluator(rules, &json!({})) {
        Err(BundleError::Module(error)) => error,
        other => panic!("{rules}: {other:?}"),
    }
}

/// Every way to get at a function.
fn ways(name: &str) -> Vec<String> {
    let (root, rest) = name.split_once('.').unwrap_or((name, ""));
    let bracket = if rest.is_empty() { name.to_owned() } else { format!("{root}[\"{rest}\"]") };
    let mut res = vec![
        format!("allow if {name}(\"a\")"),
        format!("allow if {bracket}(\"a\")"),
        format!("allow := true\nunused := {name}(\"a\")"),
        format!("allow if count([x | x := {name}(\"a\")]) == 1"),
        format!("allow if not {name}(\"a\")"),
        format!("allow if every x in [1] {{ {name}(x) }}"),
        format!("allow if f(1)\nf(x) if {name}(x)"),
        format!("allow if {name}(\"a\", 5, x)"),
        format!("default allow := false\nallow if {{ true }} else := false if {name}(1)"),
        format!("allow if {{ f(1) with f as {name} }}\nf(x) := true"),
        format!("allow if {{ count([1]) with count as {name} }}"),
        format!("deny contains {name}(\"a\")\nallow := true"),
        format!("allow := {{\"a\": [{name}(1)]}}"),
        format!("allow if input[{name}(1)]"),
    ];
    if !rest.is_empty() {
        res.push(format!("import data.other as {root}\nallow if {name}(\"a\")"));
        res.push(format!("allow if {{ {root} := {{}}; f(1) with f as {name} }}\nf(x) := true"));
        res.push(format!("allow if {{ {root} := {{\"{rest}\": 1}}; {name}(\"a\") }}"));
    }
    res
}

#[test]
fn functions_with_side_effects_or_ambient_state_are_refused_in_every_position() {
    for name in [
        "http.send",
        "opa.runtime",
        "time.now_ns",
        "rand.intn",
        "uuid.rfc4122",
        "net.lookup_ip_addr",
        "trace",
        "print",
        "rego.metadata.rule",
    ] {
        for rules in ways(name) {
            match refused(&rules) {
                ModuleError::Function { name: found, why, .. } => {
                    assert_eq!(found, name, "{rules}");
                    assert_ne!(why, "there is no such function", "{rules}");
                }
                // A name that is no variable is refused by the engine before it is a function.
                ModuleError::Compile { message, .. } => {
                    assert!(message.contains("undefined variable"), "{rules}: {message}");
                }
                ModuleError::Syntax { .. } if name.matches('.').count() > 1 => {}
                other => panic!("{rules}: {other:?}"),
            }
        }
    }
}

#[test]
fn the_engine_of_this_build_cannot_reach_outside() {
    let names: BTreeSet<_> = BUILTINS.into_iter().collect();
    for prefix in ["http.", "opa.", "rand.", "uuid.", "time.", "io.", "crypto.", "trace", "print"] {
        assert!(!names.iter().any(|it| it.starts_with(prefix)), "{prefix}");
    }
}

#[test]
fn unknown_functions_are_noticed_before_they_are_called() {
    let error = refused("allow := true\n\nunused if {\n  io.jwt.decode(\"x\")\n}");
    assert_eq!(error.code(), "rego_function_not_available");
    assert_eq!(
        error.to_string(),
        "policy.rego:6:3: `io.jwt.decode` is not available: there is no such function"
    );
    refused("allow if cuont([1]) == 1");
    refused("allow if data.other.f(1)");
}

#[test]
fn a_function_of_the_policy_may_have_any_name() {
    assert_eq!(ask("allow if trace(1)\ntrace(x) if x == 1", &echo()), "allow");
    assert_eq!(ask("allow if data.autonomy.print(1)\nprint(x) if x == 1", &echo()), "allow");
    // A rule is no function: the engine would call the built-in one.
    refused("allow if trace(\"a\")\ntrace := 1");
}

#[test]
fn recursion_is_refused_since_the_engine_would_run_out_of_stack() {
    for rules in [
        "f(x) := f(x)\nallow := f(1)",
        "f(x) := g(x)\ng(x) := f(x)\nallow := f(1)",
        "f(x) := y if { y := data.autonomy.f(x) }\nallow := f(1)",
        "a := b\nb := a\nallow := a",
        "allow := count(data.autonomy) > 0",
        "allow := count(data) > 0",
        "allow if { some k; data[k] }",
        "allow if { some k; data.autonomy[k] }",
        "allow if { x := \"allow\"; data.autonomy[x] }",
        "f(x) := x\ng(x) := y if { y := f(x) with f as g }\nallow := g(1)",
        "f(x) := [y | y := f(x)]\nallow := f(1)",
        "f(x) := 1 if { every y in [1] { f(y) } }\nallow := f(1)",
        "default f(x) := 1\nf(x) := f(x - 1) if x > 0\nallow := f(1)",
        "f(x) := 1 if false else := f(x)\nallow := f(1)",
        "p[x] := 1 if { x := count(p) }\nallow := count(p)",
        "count(x) := count(x)\nallow := count(1)",
    ] {
        let error = refused(rules);
        assert_eq!(error.code(), "rego_recursion", "{rules}: {error}");
    }
}

#[test]
fn variables_that_are_called_like_rules_are_no_recursion() {
    for rules in [
        "f(x) := y if { y := x + 1 }\ny := f(2)\nallow if y == 3",
        "f(y) := y + 1\ny := f(2)\nallow if y == 3",
        "ok if { every x in [1] { x > 0 } }\nx if ok\nallow if x",
    ] {
        assert_eq!(ask(rules, &echo()), "allow", "{rules}");
    }
}

/// Policies as deep as they may be, of every kind of depth. They must neither be refused nor
/// exhaust the stack, which would end this process.
#[test]
fn a_policy_at_the_depth_limit_is_evaluated() {
    type Make = fn(usize) -> String;
    let kinds: [(&str, Make); 8] = [
        ("rules", |n| chain(n, |i| format!("r{i} := r{}\n", i - 1), "r0 := true\n", "r")),
        ("functions", |n| chain(n, |i| format!("r{i}(x) := r{}(x)\n", i - 1), "r0(x) := x\n", "f")),
        ("nested", |n| {
            let step = |i: usize| format!("r{i}(x) := [[[[r{}(x)]]]][0][0][0][0]\n", i - 1);
            chain(n, step, "r0(x) := x\n", "f")
        }),
        ("comprehensions", |n| {
            let step = |i: usize| format!("r{i}(x) := [y | y := r{}(x)][0]\n", i - 1);
            chain(n, step, "r0(x) := x\n", "f")
        }),
        ("every", |n| {
            let step = |i: usize| format!("r{i}(x) if {{ every y in [x] {{ r{}(y) }} }}\n", i - 1);
            chain(n, step, "r0(x) := x\n", "f")
        }),
        ("loops", |n| {
            let loops: Vec<_> = (0..n).map(|i| format!("some x{i} in [1]")).collect();
            format!("allow if {{\n{}\n}}", loops.join("\n"))
        }),
        ("indices", |n| {
            let loops: Vec<_> = (0..n).map(|i| format!("x{i} := [1][_]")).collect();
            format!("allow if {{\n{}\n}}", loops.join("\n"))
        }),
        ("sum", |n| format!("allow if 1{} > 0", "\n+1".repeat(n))),
    ];
    for (kind, make) in kinds {
        let accepted = |n: usize| try_evaluator(&make(n), &json!({})).ok();
        let deepest = last(600, |n| accepted(n).is_some());
        let evaluator = accepted(deepest).unwrap();
        assert_eq!(word(&evaluator.evaluate(&echo())), "allow", "{kind} {deepest}");
        let error = refused(&make(deepest + 1));
        assert!(matches!(error.code(), "rego_too_deep" | "rego_too_nested"), "{kind}: {error}");
        assert!(deepest > 30, "{kind}: {deepest} is not much");
    }
}

/// The last number below a limit for which something holds that holds for every smaller one.
fn last(limit: usize, holds: impl Fn(usize) -> bool) -> usize {
    let (mut yes, mut no) = (0, limit);
    while yes + 1 < no {
        let middle = usize::midpoint(yes, no);
        if holds(middle) { yes = middle } else { no = middle }
    }
    yes
}

fn chain(n: usize, step: impl Fn(usize) -> String, first: &str, kind: &str) -> String {
    let steps: String = (1..=n).map(step).collect();
    let call = if kind == "f" { "(true)" } else { "" };
    format!("{first}{steps}allow := r{n}{call}")
}

#[test]
fn a_body_of_too_many_statements_is_refused() {
    let body = |n: usize| format!("allow if {{\n{}\n}}", "true\n".repeat(n));
    assert_eq!(refused(&body(policy::STATEMENTS_MAX + 1)).code(), "rego_too_many_statements");
    try_evaluator(&body(policy::STATEMENTS_MAX), &json!({})).unwrap();
}

#[test]
fn shape_faults_are_found_before_the_parser_sees_them() {
    let deep = format!("allow := {}1{}", "[".repeat(40), "]".repeat(40));
    assert_eq!(refused(&deep).code(), "rego_too_entangled");
    let long = format!("allow := 1{}", "\n+1".repeat(policy::NESTING_MAX as usize));
    assert_eq!(refused(&long).code(), "rego_too_nested");
    let error = refused("allow := true\n\0deny contains \"x\"");
    assert_eq!(error.code(), "rego_nul");
}

#[test]
fn an_agent_cannot_make_a_function_run_away() {
    let big = "x".repeat(500_000);
    let cases = [
        ("count(numbers.range(1, input.params.n)) > 0", json!({"n": 1_000_000_000_000_u64})),
        ("count(numbers.range(1, input.params.n)) > 0", json!({"n": i64::MIN})),
        ("count(numbers.range_step(1, input.params.n, 2)) > 0", json!({"n": 1_000_000_000})),
        ("count(numbers.range_step(1, 9, input.params.n)) > 0", json!({"n": 0})),
        ("count(net.cidr_expand(input.params.n)) > 0", json!({"n": "0.0.0.0/0"})),
        ("count(net.cidr_expand(input.params.n)) > 0", json!({"n": "::/0"})),
        ("bits.lsh(1, input.params.n) > 0", json!({"n": 4_000_000_000_u64})),
        ("to_number(input.params.n) > 0", json!({"n": "1e2000000000"})),
        (
            "to_number(input.params.n) > 0",
            json!({"n": "{\"$serde_json::private::Number\":\"1e2000000000\"}"}),
        ),
        (
            "is_number(json.unmarshal(input.params.n))",
            json!({"n": "{\"$serde_json::private::Number\":\"1e2000000000\"}"}),
        ),
        ("units.parse(input.params.n) > 0", json!({"n": "1e2000000000"})),
        ("units.parse_bytes(input.params.n) > 0", json!({"n": "1e2000000000MiB"})),
        ("count(sprintf(input.params.n, [1])) > 0", json!({"n": "%4000000000d"})),
        ("count(sprintf(input.params.n, [1.5])) > 0", json!({"n": "%.4000000000f"})),
        ("count(replace(input.params.a, \"x\", input.params.a)) > 0", json!({"a": big})),
        ("count(replace(input.params.a, \"\", input.params.a)) > 0", json!({"a": big})),
        (
            "count(strings.replace_n({\"x\": input.params.a}, input.params.a)) > 0",
            json!({"a": big}),
        ),
        ("count(regex.replace(input.params.a, \"x\", input.params.a)) > 0", json!({"a": big})),
        (
            "count(concat(input.params.a, split(input.params.b, \"\"))) > 0",
            json!({"a": "x".repeat(100_000), "b": "x".repeat(100_000)}),
        ),
    ];
    for (line, params) in cases {
        let got = ask(&format!("allow if {line}"), &request("t", &params));
        assert!(["evaluation_error", "no_rule_matched"].contains(&got.as_str()), "{line}: {got}");
    }
}

#[test]
fn bounded_functions_give_what_the_engine_gives() {
    for line in [
        "numbers.range(1, 4) == [1, 2, 3, 4]",
        "numbers.range(4, 1) == [4, 3, 2, 1]",
        "numbers.range_step(0, 9, 3) == [0, 3, 6, 9]",
        "count(numbers.range(1, 100000)) == 100000",
        "net.cidr_expand(\"10.0.0.0/30\") == [\"10.0.0.0\", \"10.0.0.1\", \"10.0.0.2\", \"10.0.0.3\"]",
        "bits.lsh(1, 10) == 1024",
        "to_number(\"-1.5e2\") == -150",
        "to_number(\"18446744073709551615\") == 18446744073709551615",
        "to_number(true) == 1",
        "json.unmarshal(\"{\\\"a\\\": [1, null]}\") == {\"a\": [1, null]}",
        "json.is_valid(\"[1]\")",
        "not json.is_valid(\"[1\")",
        "units.parse(\"1.5G\") == 1500000000",
        "units.parse(\"1E\") == 1000000000000000000",
        "units.parse_bytes(\"2MiB\") == 2097152",
        "sprintf(\"%s has %05d of %.2f\", [\"a\", 7, 1.5]) == \"a has 00007 of 1.50\"",
        "concat(\", \", [\"a\", \"b\"]) == \"a, b\"",
        "concat(\"\", {\"b\", \"a\"}) == \"ab\"",
        "replace(\"aXbX\", \"X\", \"--\") == \"a--b--\"",
        "strings.replace_n({\"<\": \"&lt;\", \">\": \"&gt;\"}, \"<b>\") == \"&lt;b&gt;\"",
        "regex.replace(\"a1b22\", `[0-9]+`, \"<$0>\") == \"a<1>b<22>\"",
        "replace(\"a\", \"a\", \"b\") == \"b\" with input as {}",
    ] {
        assert_eq!(ask(&format!("allow if {line}"), &echo()), "allow", "{line}");
    }
}

#[test]
fn a_bounded_function_can_still_be_replaced_and_reached_from_everywhere() {
    let rules = "allow if { n([1]) == [1, 2] with numbers.range as two }\n\
                 n(x) := numbers.range(1, count(x))\ntwo(a, b) := [1, 2]";
    assert_eq!(ask(rules, &echo()), "allow");
    // The engine takes no built-in function for a stand-in.
    let rules = "allow if { f(1, 2) == [1, 2] with f as numbers.range }\nf(a, b) := []";
    assert_eq!(refused(rules).code(), "rego_compile");
}

#[test]
fn an_object_that_pretends_to_be_a_number_is_an_object_and_no_data() {
    let params = json!({"x": {"$serde_json::private::Number": "1e2000000000"}});
    assert_eq!(ask("allow if is_object(input.params.x)", &request("t", &params)), "allow");
    // In a file the JSON library itself would obey such keys, of which this is one.
    let error = try_evaluator("allow if is_object(data.x)", &params).unwrap_err();
    assert_eq!(error.code(), "bundle_bad_data");
}

#[test]
fn data_cannot_stand_in_for_a_rule() {
    let data = json!({"autonomy": {"allow": true, "decision": {"allow": true}}});
    let evaluator = evaluator("helper := 1", &data);
    assert_eq!(word(&evaluator.evaluate(&echo())), "no_rule_matched");
    for (rules, data, path) in [
        ("allow := false", json!({"autonomy": {"allow": true}}), "autonomy.allow"),
        ("allow := false", json!({"autonomy": {"allow": {}}}), "autonomy.allow"),
        ("allow := false", json!({"autonomy": 1}), "autonomy"),
        ("limits.speed := 1\nallow := true", json!({"autonomy": {"limits": 7}}), "autonomy.limits"),
    ] {
        match try_evaluator(rules, &data) {
            Err(BundleError::Module(ModuleError::DataConflict { path: found })) => {
                assert_eq!(found, path);
            }
            other => panic!("{rules} {data}: {other:?}"),
        }
    }
    let beside = json!({"autonomy": {"limits": {"load": 3}}});
    let evaluator = kit::evaluator("allow if data.autonomy.limits.load == 3", &beside);
    assert_eq!(word(&evaluator.evaluate(&echo())), "allow");
}

#[test]
fn an_answer_that_is_put_together_part_by_part_is_refused() {
    for rules in ["decision.allow := true", "decision[\"allow\"] := true", "allow.x := true"] {
        assert_eq!(refused(rules).code(), "rego_split_answer", "{rules}");
    }
    let bundle = kit::try_bundle(&[("x.rego", "package autonomy.decision\nallow := true")]);
    assert!(matches!(bundle, Err(BundleError::Module(ModuleError::SplitAnswer { .. }))));
}

#[test]
fn time_runs_out_inside_functions_too() {
    let rules = "slow(n) := count([1 | some a in numbers.range(1, n); some b in numbers.range(1, n); a * b == 0])\n\
                 allow if slow(5000) == 0";
    let evaluator = evaluator(rules, &json!({}));
    let (code, reason) = denial(&evaluator.evaluate(&echo()));
    assert_eq!((code, reason.as_str()), (DenyCode::EvaluationTimeout, "the policy took too long"));
}

#[test]
fn a_syntax_error_names_file_line_and_column() {
    let modules = [
        ("good.rego", "package autonomy\nallow := true\n"),
        ("lib/bad.rego", "package autonomy\n\nallow if {\n\tinput.kind ==\n}\n"),
    ];
    let Err(BundleError::Module(error)) = kit::try_bundle(&modules) else {
        panic!("it is refused");
    };
    let place = error.place().unwrap();
    assert_eq!((place.file.as_str(), place.line), ("lib/bad.rego", 5));
    assert!(error.to_string().starts_with("lib/bad.rego:5:1: "), "{error}");
    assert_eq!(error.code(), "rego_syntax");
}

#[test]
fn modules_of_the_old_language_are_refused() {
    for rules in ["allow { true }", "deny[x] { x := \"a\" }", "allow = true { input.x }"] {
        assert_eq!(refused(rules).code(), "rego_syntax", "{rules}");
    }
}
