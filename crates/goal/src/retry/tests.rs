use jiff::SignedDuration;
use serde_json::json;

use super::*;

fn at(minute: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_mins(minute)
}

fn block(tentacle: &str, hint: Option<&str>) -> Block {
    Block {
        tentacle: tentacle.to_owned(),
        goal_id: "g-1".to_owned(),
        iteration: 2,
        reason: QuotaReason::RateLimit,
        retry_hint: hint.map(str::to_owned),
    }
}

fn names(entries: &[&RetryEntry]) -> Vec<String> {
    entries.iter().map(|it| it.tentacle.clone()).collect()
}

fn code(bytes: &[u8]) -> &'static str {
    RetryQueue::parse(Some(bytes)).unwrap_err().code()
}

#[test]
fn a_queue_looks_as_documented() {
    let mut queue = RetryQueue::default();
    queue.upsert(block("api", Some("2h")), at(0));
    let want = json!({"version": 1, "entries": [{
        "tentacle": "api", "goal_id": "g-1", "iteration": 2, "quota_reason": "rate_limit",
        "retry_hint": "2h", "not_before": "1970-01-01T02:00:00Z",
        "blocked_at": "1970-01-01T00:00:00Z", "attempts": 1,
    }]});
    assert_eq!(serde_json::to_value(&queue).unwrap(), want);
    let bytes = serde_json::to_vec(&queue).unwrap();
    assert_eq!(RetryQueue::parse(Some(&bytes)).unwrap(), Some(queue));
}

#[test]
fn a_second_block_is_no_second_entry() {
    let mut queue = RetryQueue::default();
    assert_eq!(queue.upsert(block("a", Some("1h")), at(0)), 1);
    queue.upsert(block("b", None), at(0));
    assert_eq!(queue.upsert(block("a", None), at(5)), 2);
    let found: Vec<_> =
        queue.entries.iter().map(|it| (it.tentacle.as_str(), it.attempts)).collect();
    assert_eq!(found, [("a", 2), ("b", 1)]);
    assert_eq!(queue.entries[0].not_before, at(6), "the last block counts");
}

#[test]
fn what_is_done_leaves_the_queue() {
    let mut queue = RetryQueue::default();
    queue.upsert(block("a", None), at(0));
    assert!(!queue.remove("b"));
    assert!(queue.remove("a"));
    assert_eq!(queue, RetryQueue::default());
}

#[test]
fn work_is_due_from_its_time_on() {
    let mut queue = RetryQueue::default();
    queue.upsert(block("late", Some("2h")), at(0));
    queue.upsert(block("soon", Some("1h")), at(0));
    assert_eq!(names(&queue.waiting(at(59))), ["soon", "late"]);
    assert_eq!(names(&queue.due(at(60))), ["soon"]);
    assert_eq!(names(&queue.waiting(at(60))), ["late"]);
    assert_eq!(names(&queue.due(at(120))), ["soon", "late"]);
}

#[test]
fn no_file_and_a_damaged_one_and_a_newer_one_are_three_things() {
    assert_eq!(RetryQueue::parse(None).unwrap(), None);
    let damaged: [&[u8]; 6] =
        [b"", b"{", b"[]", b"{}", b"{\"version\":1,\"entries\":3}", b"{\"version\":-1}"];
    for bytes in damaged {
        assert_eq!(code(bytes), "RETRY_QUEUE_CORRUPT");
    }
    assert_eq!(code(b"{\"version\":2,\"entries\":\"of another shape\"}"), "RETRY_QUEUE_NEWER");
    assert_eq!(code(&vec![b' '; RETRY_QUEUE_LEN_MAX + 1]), "RETRY_QUEUE_TOO_LONG");
    assert!(RetryQueue::parse(Some(b"{\"version\":1}")).unwrap().unwrap().entries.is_empty());
}

#[test]
fn unknown_keys_are_kept_also_by_a_second_block() {
    let text = json!({"version": 1, "owner": "x", "entries": [{
        "tentacle": "a", "quota_reason": "weekly", "not_before": at(0), "blocked_at": at(0), "n": 7,
    }]});
    let mut queue = RetryQueue::parse(Some(text.to_string().as_bytes())).unwrap().unwrap();
    assert_eq!(queue.entries[0].quota_reason, "weekly");
    assert_eq!(queue.upsert(block("a", None), at(1)), 1, "the file had counted none");
    let written = serde_json::to_value(&queue).unwrap();
    assert_eq!((&written["owner"], &written["entries"][0]["n"]), (&json!("x"), &json!(7)));
}

#[test]
fn the_file_is_right_and_the_mirror_is_read_without_one() {
    let mirror: Vec<MirrorEntry> = serde_json::from_value(json!([
        {"tentacle": "a", "quota_reason": "daily_quota", "retry_hint": null, "blocked_at": at(0)},
        {"tentacle": "b"},
    ]))
    .unwrap();
    let read = RetryQueue::merged(None, &mirror, "g-1", 3, at(9));
    let found: Vec<_> = read
        .entries
        .iter()
        .map(|it| (it.tentacle.as_str(), it.quota_reason.as_str(), it.blocked_at, it.iteration))
        .collect();
    assert_eq!(found, [("a", "daily_quota", at(0), 3), ("b", "quota_exceeded", at(9), 3)]);
    let file = RetryQueue::default();
    assert_eq!(RetryQueue::merged(Some(file.clone()), &mirror, "g-1", 3, at(9)), file);
}

#[test]
fn the_mirror_of_a_queue_is_read_back() {
    let mut queue = RetryQueue::default();
    queue.upsert(block("a", Some("1h")), at(0));
    assert_eq!(RetryQueue::merged(None, &queue.mirror(), "g-1", 2, at(9)), queue);
}
