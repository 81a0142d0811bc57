//! The page about what a collector receives says what the code does.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{fs, path::Path};

use otlp::Encoding;
use serde_json::Value;
use wal_format::{Entry, WalId, event_id};

/// The node and the log of the example.
const NODE: &str = "edge-1";
const WAL_ID: &str = "cdcc2c7d-ff9e-4985-b3f1-43694889fafe";

fn page() -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join("docs/src/concepts/what-the-collector-receives.md")).unwrap()
}

/// The JSON blocks of a page, in order.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```json\n").skip(1).map(|it| it.split("\n```").next().unwrap()).collect()
}

#[test]
fn the_example_on_the_page_is_what_is_sent_for_its_entry() {
    let page = page();
    let [stored, sent] = blocks(&page)[..] else { panic!("the page has two blocks") };
    let wal_id: WalId = WAL_ID.parse().unwrap();
    let seq = Entry::parse(stored.as_bytes()).unwrap().seq;
    let record = drain::record(NODE, wal_id, seq, stored.as_bytes());
    let body = otlp::encode(Encoding::Json, &drain::resource(NODE, wal_id), &[record]);
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(serde_json::from_str::<Value>(sent).unwrap(), body);
    assert!(sent.contains(&event_id(NODE, wal_id, seq)), "{sent}");
}

#[test]
fn every_attribute_that_is_ours_stands_in_the_tables() {
    let page = page();
    let wal_id: WalId = WAL_ID.parse().unwrap();
    let mut names: Vec<String> =
        drain::resource(NODE, wal_id).attributes.into_iter().map(|it| it.0).collect();
    // An entry that is none, one with attributes that are none, and one with ids that are none.
    for payload in [
        "{}",
        r#"{"seq":7,"event":{"kind":"x","attrs":[1]}}"#,
        r#"{"seq":7,"written_at":"x","event":{"kind":"x","trace_id":"x","span_id":"x"}}"#,
    ] {
        let record = drain::record(NODE, wal_id, wal_format::Seq::FIRST, payload.as_bytes());
        names.extend(record.attributes.into_iter().map(|it| it.0));
    }
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not on the page");
    }
}
