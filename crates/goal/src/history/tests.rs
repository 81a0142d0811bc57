use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::state::NewGoal;

fn raw(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

/// H3
#[test]
fn the_newest_entries_stay_as_far_as_they_are_short_and_some_however_long_they_are() {
    let half = HISTORY_KEPT_LEN / 2;
    for (lens, want) in [
        (vec![], 0),
        (vec![HISTORY_KEPT_LEN + 1], 1),
        (vec![1; 3 * HISTORY_KEPT_LEN], HISTORY_KEPT_LEN),
        (vec![HISTORY_KEPT_LEN; 100], HISTORY_KEPT_LEAST),
        (vec![half; HISTORY_KEPT_LEAST], HISTORY_KEPT_LEAST),
        ([vec![0; 20], vec![HISTORY_KEPT_LEN, 1, 1]].concat(), 21),
        ([vec![0; 20], vec![HISTORY_KEPT_LEN + 1, 0]].concat(), 20),
    ] {
        let count = lens.len();
        assert_eq!(staying(lens.into_iter()), want, "of {count}");
    }
}

/// H1
#[test]
fn a_split_keeps_each_entry_on_one_side_and_in_its_order() {
    let entries: Vec<Box<RawValue>> = (0..400)
        .map(|it| raw(&format!("{{\"n\": {it},\n\"t\": \"{}\"}}", "x y ".repeat(50))))
        .collect();
    let entries: Vec<&RawValue> = entries.iter().map(|it| &**it).collect();
    let leaving = split(&entries).unwrap().unwrap();
    let lines = String::from_utf8(leaving.lines).unwrap();
    let stays: Vec<&RawValue> = serde_json::from_str(leaving.stays.get()).unwrap();
    assert_eq!(lines.lines().count() as u64, leaving.entries);
    assert!(lines.starts_with("{\"n\":0,\"t\":\"x y x y") && lines.ends_with("\"}\n"), "{lines}");
    let both = lines.lines().chain(stays.iter().map(|it| it.get()));
    let numbers: Vec<u64> =
        both.map(|it| serde_json::from_str::<Value>(it).unwrap()["n"].as_u64().unwrap()).collect();
    assert_eq!(numbers, (0..400).collect::<Vec<_>>());
    let kept: usize = stays.iter().map(|it| it.get().len()).sum();
    assert!((HISTORY_KEPT_LEN - 300..=HISTORY_KEPT_LEN).contains(&kept), "{kept}");
    for (is, was) in stays.iter().rev().zip(entries.iter().rev()) {
        assert_eq!(is.get(), was.get(), "what stays is as it was written");
    }
    assert!(split(&entries[..HISTORY_KEPT_LEAST]).unwrap().is_none());
}

#[test]
fn white_space_goes_between_tokens_and_stays_inside_texts() {
    for (json, want) in [
        ("{ \"a b\" :\t[1.50 ,\r\n 2e3] }", "{\"a b\":[1.50,2e3]}"),
        (r#"["\" \\", " , "]"#, r#"["\" \\"," , "]"#),
        (r#"["\\\\\" x" , 1]"#, r#"["\\\\\" x",1]"#),
        (r#"{"k":1, "k":2}"#, r#"{"k":1,"k":2}"#),
        ("\n 3 \n", "3"),
    ] {
        let mut line = Vec::new();
        push_compact(json, &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), want);
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~\\n\\t\u{e9}\\\\\"]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map("[ a-z\\\\\"]{0,4}", inner, 0..5)
                .prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn a_line_is_the_entry_without_what_means_nothing(entry in any_json()) {
        let mut line = Vec::new();
        push_compact(&serde_json::to_string_pretty(&entry).unwrap(), &mut line);
        prop_assert_eq!(line, serde_json::to_vec(&entry).unwrap());
    }
}

/// H5
#[test]
fn only_what_an_interrupted_move_of_the_same_can_have_left_is_written_over() {
    let lines = b"{\"a\":1}\n{\"b\":2}\n";
    for left in [&b""[..], b"{\"a\"", b"{\"a\":1}\n", lines, b"\0\0\0\0", b"{\"a\":1}\n\0\0\0\0:2}"]
    {
        assert!(is_left_of(left, lines), "{left:?}");
    }
    for other in [&b"{\"b\""[..], b"{\"a\":1}\n{\"b\":2}\n\0", b"{\"a\":1}\n{\"b\":3}\n", b"\0x"] {
        assert!(!is_left_of(other, lines), "{other:?}");
    }
}

fn with_moved(moved: &Value) -> Result<Goal, serde_json::Error> {
    let text = Goal::new(NewGoal::default(), Timestamp::UNIX_EPOCH).to_text().unwrap();
    let mut goal: Value = serde_json::from_str(&text).unwrap();
    goal["history_moved"] = moved.clone();
    Goal::parse(goal.to_string().as_bytes())
}

#[test]
fn a_record_of_what_was_moved_is_one_that_this_program_writes_or_the_goal_is_refused() {
    let evals = |it: Value| json!({ "eval_history": it });
    let good = json!({"file": "goal-history-12.jsonl", "entries": 3, "bytes": 6});
    let goal = with_moved(&evals(good.clone())).unwrap();
    assert_eq!(goal.history_len(History::Evals).unwrap(), 3);
    assert_eq!(goal.history_len(History::Attempts).unwrap(), 0);
    let again: Value = serde_json::from_str(&goal.to_text().unwrap()).unwrap();
    assert_eq!(again["history_moved"], evals(good.clone()));
    assert!(with_moved(&json!({})).unwrap().to_text().unwrap().find("history_moved").is_none());

    let changed = |key: &str, value: Value| {
        let mut it = good.clone();
        it[key] = value;
        evals(it)
    };
    for bad in [
        Value::Null,
        json!([]),
        json!("x"),
        evals(Value::Null),
        evals(json!({"entries": 3, "bytes": 6})),
        json!({ "iterations": good }),
        json!({ "verify_loop_history": good }),
        changed("entries", json!(0)),
        changed("entries", json!(-1)),
        changed("entries", json!(4)),
        changed("entries", json!(u64::MAX)),
        changed("bytes", json!(5)),
        changed("bytes", json!("6")),
        changed("more", json!(1)),
        changed("file", json!("goal-history-0.jsonl")),
        changed("file", json!("goal-history-01.jsonl")),
        changed("file", json!("goal-history-+1.jsonl")),
        changed("file", json!("goal-history-.jsonl")),
        changed("file", json!("goal-history-99999999999.jsonl")),
        changed("file", json!("../goal-history-1.jsonl")),
        changed("file", json!("goal-verify-history-1.jsonl")),
        changed("file", json!("goal.json")),
    ] {
        assert!(with_moved(&bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_list_is_no_history() {
    let text = Goal::new(NewGoal::default(), Timestamp::UNIX_EPOCH).to_text().unwrap();
    let mut goal: Value = serde_json::from_str(&text).unwrap();
    goal["eval_history"] = json!("x".repeat(2 * HISTORY_KEPT_LEN_MAX));
    let refused = Goal::parse(goal.to_string().as_bytes()).unwrap_err();
    assert!(refused.to_string().contains("`eval_history` is no list"), "{refused}");
}
