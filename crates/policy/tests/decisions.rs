//! What policies decide, through the whole way: modules, bundle, evaluator, decision.

#![expect(clippy::unwrap_used, reason = "tests")]

mod kit;

use std::sync::Arc;

use kit::{ask, denial, echo, evaluator, request, word};
use policy::{
    Bundle, Decision, DenyAll, DenyCode, Evaluator, Recipe, RuntimeRequirement, build, demo,
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn demo() -> Bundle {
    let requirement = RuntimeRequirement::default();
    let recipe =
        Recipe { version: demo::VERSION, name: Some(demo::NAME), ..kit::recipe("", &requirement) };
    build(&kit::files(&demo::SOURCES), &recipe).unwrap().bundle
}

#[test]
fn the_demo_policy_allows_two_tools_and_never_the_shell() {
    let bundle = demo();
    let evaluator = bundle.evaluator().unwrap();
    assert_eq!((bundle.name(), evaluator.policy_ref()), (Some("demo"), "1.0.0"));
    assert_eq!(evaluator.policy_digest(), bundle.digest());
    for (kind, rule) in [("tool.echo", "echo_allow"), ("tool.http_get", "http_get_allow")] {
        let decision = evaluator.evaluate(&request(kind, &json!({"message": "hi"})));
        assert_eq!(decision, Decision::allow(Some(rule), vec![]));
    }
    let decision = evaluator.evaluate(&request("tool.shell", &json!({"command": "ls"})));
    assert_eq!(decision.rule(), Some("shell_deny"));
    assert_eq!(denial(&decision), (DenyCode::PolicyDenied, "shell is never allowed".to_owned()));
    for kind in ["tool.shellx", "tool.ECHO", "tool.echo ", "", "tool.*", "tool.echo\0"] {
        let decision = evaluator.evaluate(&request(kind, &json!({})));
        assert_eq!(decision.rule(), Some("default_deny"), "{kind}");
        assert_eq!(denial(&decision).1, "no rule allows this tool");
    }
}

#[test]
fn the_input_document_is_exactly_the_documented_one() {
    let echo_input =
        evaluator(r#"decision := {"allow": true, "obligations": [input]}"#, &json!({}));
    let see = |request| match echo_input.evaluate(&request) {
        Decision::Allow(allow) => allow.obligations()[0].clone(),
        Decision::Deny(deny) => panic!("{deny:?}"),
    };
    let params = json!({
        "message": "hi", "n": 3, "big": u64::MAX, "low": i64::MIN, "f": 0.25,
        "deep": [{"a": [null, true]}], "": {},
        "$serde_json::private::Number": "1e9",
    });
    let mut asked = request("tool.echo", &params);
    let context = json!({
        "node": "n1", "operator": "op", "time": "2026-03-01T09:30:00.000Z", "mode": "normal",
    });
    let want = json!({"kind": "tool.echo", "params": params, "context": context});
    assert_eq!(see(asked.clone()), want);

    asked.agent_context = Some(json!({"node": "n2", "model": "m"}).as_object().unwrap().clone());
    let mut context = context;
    context["agent"] = json!({"node": "n2", "model": "m"});
    let want = json!({"kind": "tool.echo", "params": params, "context": context});
    assert_eq!(see(asked), want);
}

#[test]
fn each_code_has_a_policy_that_gets_it() {
    let endless = "decision := {\"allow\": count([1 |
        some a in numbers.range(1, 3000)
        some b in numbers.range(1, 3000)
        a * b == 7
    ]) > 0}";
    let cases = [
        ("decision := {\"allow\": true}", "allow"),
        ("decision := {\"allow\": false}", "policy_denied"),
        ("allow := false", "policy_denied"),
        ("allow := true\ndeny contains \"x\"", "policy_denied"),
        ("decision := {\"allow\": true} if false", "no_rule_matched"),
        ("allow if input.kind == \"other\"", "no_rule_matched"),
        ("deny contains \"x\" if false", "no_rule_matched"),
        ("helper := 1", "no_rule_matched"),
        ("decision := \"allow\"", "bad_policy_result"),
        ("allow := \"true\"", "bad_policy_result"),
        ("allow := true\ndeny := true", "bad_policy_result"),
        ("allow := true\ndeny contains 7", "bad_policy_result"),
        ("allow if to_number(input.kind) > 1", "evaluation_error"),
        ("allow := true\nallow := false", "evaluation_error"),
        ("allow := nowhere", "evaluation_error"),
        (endless, "evaluation_timeout"),
        ("allow if sprintf(\"%\u{bd}d\", [1]) == \"\"", "evaluator_panicked"),
    ];
    for (rules, want) in cases {
        assert_eq!(ask(rules, &echo()), want, "{rules}");
    }
    let large = request("tool.echo", &json!({"x": "x".repeat(policy::REQUEST_LEN_MAX)}));
    assert_eq!(ask("allow := true", &large), "request_too_large");
    assert_eq!(word(&DenyAll::no_policy().evaluate(&echo())), "no_policy");
    assert_eq!(word(&DenyAll::strict_mode().evaluate(&echo())), "strict_mode");
}

#[test]
fn a_request_that_nests_too_deep_is_too_large() {
    let mut deep = json!({});
    for _ in 0..policy::REQUEST_DEPTH_MAX {
        deep = json!({"x": deep});
    }
    assert_eq!(ask("allow := true", &request("tool.echo", &deep)), "request_too_large");
    assert_eq!(ask("allow := true", &request("tool.echo", &deep["x"])), "allow");
}

#[test]
fn every_declared_rule_must_say_yes() {
    let decisions = [
        ("", "-"),
        ("decision := {\"allow\": true} if false", "nothing"),
        ("decision := {\"allow\": true}", "yes"),
        ("decision := {\"allow\": false}", "no"),
        ("decision := true", "bad"),
    ];
    let allows = [
        ("", "-"),
        ("allow if false", "nothing"),
        ("allow := true", "yes"),
        ("allow := false", "no"),
        ("allow := 1", "bad"),
    ];
    let denies = [
        ("", "nothing"),
        ("deny contains \"x\" if false", "nothing"),
        ("deny contains \"x\"", "no"),
        ("deny := [\"x\"]", "bad"),
    ];
    let mut count = 0;
    for index in 0..decisions.len() * allows.len() * denies.len() {
        let (decision, d) = decisions[index % decisions.len()];
        let (allow, a) = allows[index / decisions.len() % allows.len()];
        let (deny, n) = denies[index / decisions.len() / allows.len()];
        count += 1;
        let want = match (d, a, n) {
            ("no", _, _) | (_, _, "no") => "policy_denied",
            ("bad", _, _) | (_, "bad", _) | (_, _, "bad") => "bad_policy_result",
            (_, "no", _) => "policy_denied",
            ("yes", "yes" | "-", _) | ("-", "yes", _) => "allow",
            _ => "no_rule_matched",
        };
        let rules = format!("{decision}\n{allow}\n{deny}\nhelper := 1");
        assert_eq!(ask(&rules, &echo()), want, "{rules}");
    }
    assert_eq!(count, 100);
}

#[test]
fn an_error_in_a_veto_is_a_deny_and_not_an_absent_veto() {
    let rules = "allow := true\ndeny contains \"x\" if not to_number(input.params.n) < 5";
    assert_eq!(ask(rules, &request("t", &json!({"n": "3"}))), "allow");
    assert_eq!(ask(rules, &request("t", &json!({"n": "7"}))), "policy_denied");
    assert_eq!(ask(rules, &request("t", &json!({"n": "many"}))), "evaluation_error");
}

#[test]
fn an_evaluation_error_names_the_place() {
    let evaluator = evaluator("allow if {\n  to_number(input.kind) > 1\n}", &json!({}));
    let (code, reason) = denial(&evaluator.evaluate(&echo()));
    assert_eq!(code, DenyCode::EvaluationError);
    assert!(reason.starts_with("policy.rego:4:") && !reason.contains('\n'), "{reason}");
}

/// Each line is true for `tool.echo` with these parameters and data.
const TRUE: [&str; 24] = [
    "input.kind in {\"tool.echo\", \"tool.ls\"}",
    "{1, 2} | {3} == {1, 2, 3}",
    "{1, 2, 3} & {2, 3, 4} == {2, 3}",
    "{1, 2, 3} - {2} == {1, 3}",
    "[y | some x in input.params.list; y := x * 2] == [2, 4, 6]",
    "{x | some x in input.params.list; x > 1} == {2, 3}",
    "{k: v | some k, v in input.params.map; v > 1} == {\"b\": 2}",
    "every x in input.params.list { x > 0 }",
    "not any_above(input.params.list, 3)",
    "some role in data.roles.op; role == \"driver\"",
    "data.roles[input.context.operator][_] == \"driver\"",
    "count(data.limits) == 2",
    "object.get(data.limits, \"none\", 7) == 7",
    "speed(2) == 20",
    "speed(99) == \"fast\"",
    "level == \"low\"",
    "startswith(input.kind, \"tool.\")",
    "regex.match(`^tool\\.[a-z]+$`, input.kind)",
    "glob.match(\"tool.*\", [\".\"], input.kind)",
    "net.cidr_contains(\"10.0.0.0/8\", input.params.ip)",
    "semver.compare(\"1.2.0\", \"1.10.0\") == -1",
    "input.context.time < \"2026-03-01T09:30:00.001Z\"",
    "substring(input.context.time, 11, 2) == \"09\"",
    "sum([x | some i; x := input.params.list[i]; i > 0]) == 5",
];

#[test]
fn rego_means_what_it_means_elsewhere() {
    let helpers = r#"
        any_above(list, n) if { some x in list; x > n }
        speed(x) := x * 10 if x < 50
        speed(x) := "fast" if x >= 50
        default level := "low"
        level := "high" if input.params.n > 100
    "#;
    let params = json!({"list": [1, 2, 3], "map": {"a": 1, "b": 2}, "ip": "10.1.2.3", "n": 5});
    let data = json!({"roles": {"op": ["driver", "cook"]}, "limits": {"a": 1, "b": 2}});
    let asked = request("tool.echo", &params);
    for line in TRUE {
        let rules = format!("{helpers}\nallow if {{ {line} }}");
        assert_eq!(word(&evaluator(&rules, &data).evaluate(&asked)), "allow", "{line}");
        let rules = format!("{helpers}\nallow if {{ not holds }}\nholds if {{ {line} }}");
        assert_eq!(word(&evaluator(&rules, &data).evaluate(&asked)), "no_rule_matched", "{line}");
    }
}

#[test]
fn modules_of_several_files_make_one_policy() {
    let bundle = kit::try_bundle(&[
        ("a/allow.rego", "package autonomy\nimport data.site.zones\nallow if input.params.zone in zones.open"),
        ("b/deny.rego", "package autonomy\ndeny contains r if { input.context.mode != \"normal\"; r := \"not now\" }"),
        ("site.rego", "package site.zones\nopen contains z if some z in data.site.list"),
        ("data.json", r#"{"site": {"list": ["dock", "hall"]}}"#),
    ])
    .unwrap();
    let evaluator = bundle.evaluator().unwrap();
    let mut asked = request("tool.move", &json!({"zone": "dock"}));
    assert_eq!(word(&evaluator.evaluate(&asked)), "allow");
    asked.context.mode = "service".to_owned();
    assert_eq!(denial(&evaluator.evaluate(&asked)).1, "not now");
    asked.params["zone"] = Value::from("street");
    assert_eq!(denial(&evaluator.evaluate(&asked)).0, DenyCode::PolicyDenied);
}

#[test]
fn nothing_of_one_request_reaches_the_next() {
    let evaluator = evaluator(
        "allow if input.params.n == 1\ndeny contains \"bad\" if input.params.n == \"x\"\n\
         deny contains sprintf(\"%d\", [to_number(input.params.t)])",
        &json!({}),
    );
    let good = request("t", &json!({"n": 1}));
    let bad = request("t", &json!({"n": "x"}));
    let failing = request("t", &json!({"n": 1, "t": "no number"}));
    for _ in 0..50 {
        assert_eq!(word(&evaluator.evaluate(&good)), "allow");
        assert_eq!(word(&evaluator.evaluate(&failing)), "evaluation_error");
        assert_eq!(word(&evaluator.evaluate(&good)), "allow");
        assert_eq!(word(&evaluator.evaluate(&bad)), "policy_denied");
    }
}

#[test]
fn eight_threads_ask_one_evaluator_and_each_gets_its_own_answer() {
    let evaluator: Arc<dyn Evaluator> = Arc::new(evaluator(
        "allow if { some x in numbers.range(0, 50); x == input.params.n }\n\
         deny contains sprintf(\"%d is odd\", [input.params.n]) if input.params.n % 2 == 1",
        &json!({}),
    ));
    let check = |n: u64| {
        let decision = evaluator.evaluate(&request("t", &json!({"n": n})));
        match (n % 2 == 1, n <= 50) {
            (true, _) => assert_eq!(denial(&decision).1, format!("{n} is odd")),
            (false, true) => assert_eq!(word(&decision), "allow"),
            (false, false) => assert_eq!(word(&decision), "no_rule_matched"),
        }
    };
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let check = &check;
            scope.spawn(move || (thread..100).chain(0..thread).for_each(check));
        }
    });
}

/// Policies with everything that leaves traces in an engine while it evaluates.
const BUSY: [&str; 4] = [
    "allow if { some x in input.params.list; x > 2; every y in input.params.list { y < x + 3 } }\n\
     deny contains sprintf(\"%v\", [x]) if { some i; x := input.params.list[i]; x == 0 }",
    "allow if size(input.params.list) > 1\n\
     deny contains \"like the other\" if { size([1]) == 3 with input as {\"params\": {}} }\n\
     size(l) := n if { n := count(l); n < 4 } else := 3",
    "allow if other == 3\nother := v if { v := base with input.params.list as [1, 2, 3] }\n\
     base := count(input.params.list)\ndeny contains \"short\" if base < 2",
    "allow if walk_in(input.params.list)\nwalk_in(l) if { c := [x | some x in l; not x in {0}]; c == l }\n\
     deny contains \"none\" if { m := {k: v | some k, v in input.params.list}; m == {} }\n\
     deny contains \"error\" if { to_number(input.kind) > 3 }",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]

    #[test]
    fn an_engine_that_is_used_again_answers_like_a_new_one(
        rules in prop::sample::select(&BUSY[..]),
        asked in prop::collection::vec(
            (prop::collection::vec(0..5_u8, 0..5), prop::sample::select(&["1", "7", "x"][..])), 1..12,
        ),
    ) {
        let old = evaluator(rules, &json!({}));
        for (list, kind) in asked {
            let asked = request(kind, &json!({"list": list}));
            let new = evaluator(rules, &json!({}));
            prop_assert_eq!(old.evaluate(&asked), new.evaluate(&asked));
        }
    }
}
