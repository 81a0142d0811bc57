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
