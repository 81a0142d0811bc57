//! The contract of the HTTP interface, over real connections.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use api::control::{EventPage, Ingested};
use axum::body::Bytes;
use hyper::Method;
use orchestrator::Limits;
use serde_json::{Value, json};
use support::{Service, batch, event, numbers, post, send};
use tokio::task::JoinSet;

#[tokio::test]
async fn health_says_ok_and_nothing_more() {
    let service = Service::start().await;
    assert_eq!(service.get("/v1/health").await.ok().to_string(), r#"{"status":"ok"}"#);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn events_are_counted_deduplicated_and_read_back_newest_first() {
    let service = Service::start().await;
    let answer: Ingested = serde_json::from_value(service.post(&batch(0..3)).await.ok()).unwrap();
    assert_eq!(answer, Ingested { received: 3, inserted: 3, deduped: 0 });
    // 2 is known, 3 stands in the request twice.
    let answer = service.post(&batch([2, 3, 4, 3])).await.ok();
    assert_eq!(answer.to_string(), r#"{"deduped":2,"inserted":2,"received":4}"#);
    assert_eq!(service.post(&batch([])).await.ok(), json!({"received":0,"inserted":0,"deduped":0}));

    let page = service.get("/v1/events").await.ok();
    assert_eq!(numbers(&page), [4, 3, 2, 1, 0]);
    assert_eq!(page["events"][0], event(4));
    assert!(page.get("next_cursor").is_none());
    let page: EventPage = serde_json::from_value(page).unwrap();
    assert_eq!((page.count, page.events.len()), (5, 5));
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_known_id_keeps_its_first_content() {
    let service = Service::start().await;
    service.post(&batch([1])).await.ok();
    let mut changed = event(1);
    changed["number"] = 99.into();
    let answer = service.post(&json!({ "events": [changed] })).await.ok();
    assert_eq!(answer, json!({"received":1,"inserted":0,"deduped":1}));
    assert_eq!(numbers(&service.get("/v1/events").await.ok()), [1]);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn filters_limit_and_since_choose_what_they_say() {
    let service = Service::start().await;
    service.post(&batch(0..30)).await.ok();
    let get = async |query: &str| numbers(&service.get(&format!("/v1/events?{query}")).await.ok());
    assert_eq!(get("node_id=edge-2").await, [27, 22, 17, 12, 7, 2]);
    assert_eq!(get("event_type=ai.agent.error&limit=3").await, [29, 26, 23]);
    assert_eq!(get("node_id=edge-2&event_type=ai.agent.error").await, [17, 2]);
    assert_eq!(get("since=2026-01-02T00:00:27Z").await, [29, 28, 27]);
    assert_eq!(get("since=2026-01-02T01:00:27.5%2B01:00").await, [29, 28]);
    assert_eq!(get("since=2026-01-02T00:00:20Z&node_id=edge-2").await, [27, 22]);
    assert_eq!(get("since=2026-01-02T00:00:20Z&event_type=ai.agent.error&limit=2").await, [29, 26]);
    assert_eq!(
        get("since=2026-01-02T00:00:16Z&node_id=edge-2&event_type=ai.agent.error").await,
        [17]
    );
    assert_eq!(get("since=2027-01-01T00:00:00Z").await, [0_u64; 0]);
    assert_eq!(get("node_id=edge-9").await, [0_u64; 0]);
    assert_eq!(get("limit=1").await, [29]);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn order_is_insertion_and_since_is_time() {
    let service = Service::start().await;
    let at = |number: u64, timestamp: &str| {
        let mut event = event(0);
        event["event_id"] = number.to_string().into();
        event["timestamp"] = timestamp.into();
        event["number"] = number.into();
        event
    };
    let events = [
        at(1, "2026-01-02T12:00:00+02:00"), // 10:00 UTC
        at(2, "2026-01-02T09:59:59.999999999Z"),
        at(3, "2026-01-02T05:00:00-05:00"), // 10:00 UTC
        at(4, "0001-01-01T00:00:00Z"),
    ];
    service.post(&json!({ "events": events })).await.ok();
    let all = service.get("/v1/events").await.ok();
    assert_eq!(numbers(&all), [4, 3, 2, 1]);
    let since = service.get("/v1/events?since=2026-01-02T10:00:00Z").await.ok();
    assert_eq!(numbers(&since), [3, 1]);
    let since = service.get("/v1/events?since=2026-01-02T09:59:59.999999999Z").await.ok();
    assert_eq!(numbers(&since), [3, 2, 1]);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn one_wrong_event_refuses_the_whole_request_and_is_named() {
    let service = Service::start().await;
    let mut events = batch(0..5);
    events["events"][3]["timestamp"] = "soon".into();
    let detail = service.post(&events).await.problem(400, "INVALID_EVENTS");
    assert_eq!(
        detail,
        "events[3].timestamp: `soon`: not RFC 3339; an example: 2026-01-02T03:04:05.678Z"
    );
    events["events"][3].as_object_mut().unwrap().remove("timestamp");
    let detail = service.post(&events).await.problem(400, "INVALID_EVENTS");
    assert_eq!(detail, "events[3].timestamp: missing");
    let detail = service.post(&json!({ "event": [] })).await.problem(400, "INVALID_EVENTS");
    assert_eq!(detail, "events: missing");
    let detail = service.post(&json!([])).await.problem(400, "INVALID_JSON");
    assert_eq!(detail, "body: not a JSON object");
    assert_eq!(numbers(&service.get("/v1/events").await.ok()), [0_u64; 0]);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_wrong_parameter_is_named() {
    let service = Service::start().await;
    for (query, want) in [
        ("limit=0", "limit: `0` is not a whole number"),
        ("limit=-5", "limit: `-5` is not"),
        ("limit=many", "limit: `many` is not"),
        ("offset=10", "offset: unknown parameter"),
        ("since=today", "since: `today`: not RFC 3339"),
        ("cursor=zzz", "cursor: `zzz`: not a cursor"),
        ("node_id=", "node_id: empty"),
    ] {
        let answer = service.get(&format!("/v1/events?{query}")).await;
        let detail = answer.problem(400, "INVALID_QUERY");
        assert!(detail.starts_with(want), "{query}: {detail}");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn other_routes_methods_and_types_are_refused() {
    let service = Service::start().await;
    let answer = send(service.addr, Method::DELETE, "/v1/events", &[], Bytes::new()).await;
    assert_eq!(answer.problem(405, "METHOD_NOT_ALLOWED"), "DELETE is not a method of /v1/events");
    let allow: BTreeSet<_> = answer.headers["allow"].to_str().unwrap().split(',').collect();
    assert_eq!(allow, BTreeSet::from(["GET", "HEAD", "POST"]));
    send(service.addr, Method::POST, "/v1/health", &[], Bytes::new())
        .await
        .problem(405, "METHOD_NOT_ALLOWED");
    for path in ["/", "/v1", "/v1/events/", "/v1/event", "/v1/rollout", "/v2/events"] {
        let detail = service.get(path).await.problem(404, "NOT_FOUND");
        assert_eq!(detail, format!("no route {path}"));
    }
    for headers in [
        &[][..],
        &[("content-type", "text/plain")],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "application/json"), ("content-encoding", "gzip")],
    ] {
        let body = Bytes::from(batch([1]).to_string());
        let answer = send(service.addr, Method::POST, "/v1/events", headers, body).await;
        answer.problem(415, "UNSUPPORTED_MEDIA_TYPE");
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_the_limit_itself_is_not() {
    let limits = Limits { body_len_max: 4096, ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    let padded = |len: usize| {
        let body = batch([1]).to_string();
        Bytes::from(format!("{body}{}", " ".repeat(len - body.len())))
    };
    let json = [("content-type", "application/json")];
    let answer = send(service.addr, Method::POST, "/v1/events", &json, padded(4096)).await;
    assert_eq!(answer.ok()["inserted"], 1);
    for len in [4097, 1 << 20, 8 << 20] {
        let answer = send(service.addr, Method::POST, "/v1/events", &json, padded(len)).await;
        let detail = answer.problem(413, "BODY_TOO_LARGE");
        assert!(detail.starts_with("the body is longer than 4096 bytes"), "{detail}");
    }
    // Whoever asks before sending learns it before sending.
    let asks = [json[0], ("expect", "100-continue")];
    let answer = send(service.addr, Method::POST, "/v1/events", &asks, padded(4097)).await;
    answer.problem(413, "BODY_TOO_LARGE");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_page_of_large_events_ends_early_with_a_cursor() {
    let limits = Limits { page_len_max: 10_000, ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    for number in 0..10 {
        let mut event = event(number);
        event["filler"] = "x".repeat(4000).into();
        service.post(&json!({ "events": [event] })).await.ok();
    }
    let (found, pages) = walk(&service, "", async |_| {}).await;
    assert_eq!(found, (0..10).rev().collect::<Vec<u64>>());
    assert_eq!(pages, 4);
    service.stop().await.unwrap();
}

/// Says of an event, by its number, whether a filter lets it through.
type Fits = fn(usize) -> bool;

#[tokio::test]
async fn pages_walk_everything_once_while_events_arrive() {
    const BEFORE: usize = 2500;
    let service = Service::start().await;
    for start in (0..BEFORE).step_by(500) {
        service.post(&batch(start..start + 500)).await.ok();
    }
    let filters: [(&str, Fits); 5] = [
        ("", |_| true),
        ("&node_id=edge-3", |it| it % 5 == 3),
        ("&event_type=ai.agent.action", |it| it % 3 == 1),
        ("&node_id=edge-3&event_type=ai.agent.action", |it| it % 15 == 13),
        ("&since=2026-01-02T00:20:00Z&event_type=ai.agent.action", |it| it % 3 == 1 && it >= 1200),
    ];
    let mut next = BEFORE;
    for (filter, fits) in filters {
        let there = next;
        let (found, pages) = walk(&service, &format!("limit=97{filter}"), async |_| {
            service.post(&batch(next..next + 7)).await.ok();
            next += 7;
        })
        .await;
        let want: Vec<_> = (0..there).rev().filter(|it| fits(*it)).map(|it| it as u64).collect();
        assert_eq!(found, want, "{filter}");
        assert_eq!(pages, want.len().div_ceil(97), "{filter}");
    }
    service.stop().await.unwrap();
}

/// Follows the cursors to the end; `between` runs after each page.
async fn walk(
    service: &Service,
    query: &str,
    mut between: impl AsyncFnMut(usize),
) -> (Vec<u64>, usize) {
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = service.get(&format!("/v1/events?{query}{cursor}")).await.ok();
        found.extend(numbers(&page));
        pages += 1;
        between(pages).await;
        match page.get("next_cursor") {
            Some(Value::String(next)) if query.is_empty() => cursor = format!("cursor={next}"),
            Some(Value::String(next)) => cursor = format!("&cursor={next}"),
            _ => return (found, pages),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_concurrent_posts_are_all_there_after_a_restart() {
    let temp = tempfile::tempdir().unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    let addr = service.addr;
    let mut posts = JoinSet::new();
    for poster in 0..64 {
        // Each shares its last event with its neighbour.
        let range = poster * 10..poster * 10 + 11;
        posts.spawn(async move { post(addr, &batch(range)).await.ok() });
    }
    let answers = posts.join_all().await;
    let total = |name: &str| answers.iter().map(|it| it[name].as_u64().unwrap()).sum::<u64>();
    assert_eq!((total("received"), total("inserted"), total("deduped")), (704, 641, 63));
    service.stop().await.unwrap();

    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    let page = service.get("/v1/events?limit=1000").await.ok();
    let found: BTreeSet<_> = numbers(&page).into_iter().collect();
    assert_eq!(found, (0..641).collect());
    assert_eq!(page["count"], 641);
    service.stop().await.unwrap();
}
