//! How large the modules of a policy may be, at both sides of each limit; the reference, chapter Rego,
//! names these figures.

mod kit;

use kit::{ask, request, try_bundle};
use serde_json::json;

fn accepted(rules: &str) -> bool {
    try_bundle(&[("policy.rego", &format!("package autonomy\n\n{rules}\n"))]).is_ok()
}

#[track_caller]
fn edge(largest: usize, what: impl Fn(usize) -> String) {
    assert!(accepted(&what(largest)), "{largest} is refused");
    assert!(!accepted(&what(largest + 1)), "{} is accepted", largest + 1);
}

#[test]
fn a_line_has_at_most_1024_columns() {
    let rule = "allow := true";
    edge(1024, |columns| format!("{rule}{}#\nx := 1", " ".repeat(columns - rule.len() - 1)));
}

#[test]
fn a_module_has_at_most_20_000_lines() {
    // Two lines before the rules, and the empty one after the last newline.
    edge(20_000, |lines| format!("allow := true{}", "\n".repeat(lines - 4)));
}

#[test]
fn a_module_has_at_most_a_mebibyte() {
    edge(1 << 20, |bytes| {
        let line = format!("# {}\n", "x".repeat(500));
        let rest = bytes - "package autonomy\n\nallow := true\n".len();
        let filler = "#".repeat(rest % line.len());
        assert!(filler.len() < 1000);
        let mut text = line.repeat(rest / line.len());
        text.push_str(&filler);
        // The last line of the filler needs its own end.
        text.replace_range(
            text.len() - filler.len().max(1)..,
            &match filler.len() {
                0 => "\n".to_owned(),
                len => "#".repeat(len - 1) + "\n",
            },
        );
        text + "allow := true"
    });
}

#[test]
fn literals_nest_nineteen_deep_and_parentheses_thirty_one() {
    let nested = |open: &str, close: &str, n: usize| {
        format!("allow := {}1{}", open.repeat(n), close.repeat(n))
    };
    edge(19, |n| nested("[", "]", n));
    edge(31, |n| nested("(", ")", n));
}

#[test]
fn a_pattern_of_three_thousand_letters_is_compiled_and_a_far_longer_one_is_an_error() {
    let with = |pattern: String| {
        let params = json!({"pattern": pattern});
        let rule = "allow if not regex.match(input.params.pattern, \"b\")";
        ask(rule, &request("tool.echo", &params))
    };
    assert_eq!(with("a".repeat(3000)), "allow");
    assert_eq!(with("a".repeat(30_000)), "evaluation_error");
    assert_eq!(with("(a{30000})".to_owned()), "evaluation_error");
    // However short the text of it is.
    assert_eq!(with("((a{100}){100}){100}".to_owned()), "evaluation_error");
}

/// What an agent chooses must not cost more than the engine's clock can see.
#[test]
fn numbers_and_comparisons_that_an_agent_chooses_are_bounded() {
    #[track_caller]
    fn edge(rule: &str, largest: usize, params: impl Fn(usize) -> serde_json::Value) {
        let answer = |len| ask(rule, &request("tool.echo", &params(len)));
        assert_eq!(answer(largest), "allow", "{rule}");
        assert_eq!(answer(largest + 1), "evaluation_error", "{rule}");
    }
    let number = |len: usize| json!({ "x": format!("{}K", "9".repeat(len - 1)) });
    edge("allow if units.parse_bytes(input.params.x) > 1", 1024, number);
    edge("allow if units.parse(input.params.x) > 1", 1024, number);
    let texts = |len: usize| json!({ "a": "a".repeat(len), "b": "a".repeat(len) });
    for rule in
        ["trim(p.a, p.b) == \"\"", "trim_left(p.a, p.b) == \"\"", "trim_right(p.a, p.b) == \"\""]
    {
        let rule = rule.replace("p.", "input.params.");
        edge(&format!("allow if {rule}"), 3162, texts);
    }
    edge("allow if strings.count(input.params.a, input.params.b) == 1", 3162, texts);
    let lists = |len: usize| json!({ "a": vec![1; len], "b": vec![1; len] });
    edge("allow if object.subset(input.params.a, input.params.b)", 3162, lists);
}

#[test]
fn an_answer_that_comes_after_the_time_limit_is_no_allow() {
    // One comparison of lists that share their parts: quickly made, and nobody looks at the clock in it.
    let list = |name: &str| {
        format!(
            "{name}0 := [x | some x in numbers.range(1, 1000)]\n\
             {name}1 := [{name}0 | some _ in numbers.range(1, 1000)]\n\
             {name}2 := [{name}1 | some _ in numbers.range(1, 300)]\n"
        )
    };
    let rules = format!("{}{}allow if a2 == b2", list("a"), list("b"));
    assert_eq!(ask(&rules, &request("tool.echo", &json!({}))), "evaluation_timeout");
}
