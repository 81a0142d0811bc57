//! The seeds of the fuzz targets over this crate, as ordinary tests; and random requests to the same
//! policies.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "the checks are those of the fuzz targets; seeds are files"
)]

#[path = "../../../tests/fuzz/src/bundles.rs"]
mod bundles;
#[path = "../../../tests/fuzz/src/modules.rs"]
mod modules;
#[path = "../../../tests/fuzz/src/plain_policy.rs"]
mod plain_policy;
#[path = "../../../tests/fuzz/src/replay.rs"]
mod replay;
#[path = "../../../tests/fuzz/src/requests.rs"]
mod requests;

use std::cell::Cell;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::{Map, Value, json};

#[test]
fn every_seed_of_bundle_holds() {
    replay::replay("bundle", bundles::check);
}

#[test]
fn every_seed_of_module_holds() {
    replay::replay("module", modules::check);
}

#[test]
fn every_seed_of_request_holds() {
    replay::replay("request", requests::check);
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{0,10}",
        ".{0,12}",
        prop::sample::select(
            &["", "a", "7", "1e3", "-0", "NaN", "0x1", "\u{0}", "\u{202e}a", "\u{1f600}", "%d"][..]
        )
        .prop_map(str::to_owned),
        Just("a".repeat(70_000)),
    ]
}

fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        prop::num::f64::ANY.prop_map(Value::from),
        prop::sample::select(&[0, 1, 2, 3, 10, -1][..]).prop_map(Value::from),
        prop::sample::select(&[-0.0, 0.5, 1.5, 1e308, 5e-324, 9_007_199_254_740_993.0][..])
            .prop_map(Value::from),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number(),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 60, 8, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
            prop::collection::btree_map(text(), inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

/// Parameters with the names that the policies look at, and others.
fn params() -> impl Strategy<Value = Map<String, Value>> {
    let known = (
        prop::option::of(prop_oneof![number(), text().prop_map(Value::from), value()]),
        prop::option::of(prop_oneof![text().prop_map(Value::from), value()]),
        prop::option::of(prop_oneof![
            prop::collection::vec(number(), 0..6).prop_map(Value::from),
            value()
        ]),
        prop::option::of(prop_oneof![any::<bool>().prop_map(Value::from), value()]),
        prop::collection::btree_map(text(), value(), 0..4),
    );
    known.prop_map(|(n, text, list, allow, more)| {
        let named = [("n", n), ("text", text), ("list", list), ("allow", allow)];
        let named = named.into_iter().filter_map(|(name, it)| Some((name.to_owned(), it?)));
        named.chain(more).collect()
    })
}

#[test]
fn no_request_makes_an_error_of_a_policy_into_an_allow() {
    let kind = prop_oneof![Just("tool.echo".to_owned()), Just("tool.shell".to_owned()), text()];
    let (allowed, asked) = (Cell::new(0), Cell::new(0));
    let mut runner = TestRunner::new(Config::with_cases(250));
    let agent = prop::option::of(params());
    let held = runner.run(&(kind, params(), agent), |(kind, params, agent)| {
        asked.set(asked.get() + requests::POLICIES.len());
        allowed.set(allowed.get() + requests::decide(&kind, &params, agent.as_ref()));
        Ok(())
    });
    held.unwrap();
    let (allowed, asked) = (allowed.get(), asked.get());
    assert!(allowed > asked / 50 && allowed < asked / 2, "{allowed} of {asked}");
}

#[test]
fn a_request_that_is_deep_or_huge_is_never_allowed_by_a_policy_that_cannot_see_it() {
    let mut deep = json!({"n": 4, "text": "abc"});
    for _ in 0..300 {
        deep = json!({"n": 4, "text": "abc", "list": [deep]});
    }
    assert_eq!(requests::decide("tool.echo", deep.as_object().unwrap(), None), 0);
    let huge = json!({"n": 4, "text": "a".repeat(policy::REQUEST_LEN_MAX)});
    assert_eq!(requests::decide("tool.echo", huge.as_object().unwrap(), None), 0);
    let small = json!({"n": 4, "text": "abc", "list": [2], "allow": true});
    assert!(requests::decide("tool.echo", small.as_object().unwrap(), None) > 5);
}
