//! The way of events to the control plane: once each, and never lost without a word.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod rig;

use otlp::{Encoding, PartialSuccess, Record, error_text};
use otlp_receiver::Loss;
use rig::{ControlPlane, Mood, Receiver, forwarding, record, request};
use serde_json::json;

#[tokio::test]
async fn events_arrive_in_the_form_of_the_control_plane() {
    let plane = ControlPlane::start().await;
    let receiver = Receiver::start(forwarding(plane.url.clone(), Loss::Never)).await;
    let records: Vec<_> = ["decision", "action", "lifecycle", "error", "robot.pose"]
        .into_iter()
        .zip(1..)
        .map(|(kind, seq)| record(seq, kind))
        .collect();
    let response = receiver.post(Encoding::Protobuf, request(Encoding::Protobuf, &records)).await;
    assert_eq!(response.status(), 200);
    let stored = plane.plane().stored.clone();
    let types: Vec<_> = stored.iter().map(|it| it["event_type"].clone()).collect();
    let want = [
        "ai.policy.decision",
        "ai.agent.action",
        "ai.agent.lifecycle",
        "ai.agent.error",
        "ai.telemetry.robot.pose",
    ];
    assert_eq!(types, want);
    let want = json!({
        "event_id": "edge-1:w:1",
        "event_type": "ai.policy.decision",
        "node_id": "edge-1",
        "timestamp": "2026-01-02T03:04:05.000006Z",
        "attrs": {"event.kind": "decision", "event.id": "edge-1:w:1", "wal.seq": 1, "n": 1},
        "body": "autonomy.decision",
    });
    assert_eq!(stored[0], want);
    receiver.stop().await;
}

#[tokio::test]
async fn what_is_not_forwarded_stays_with_the_sender_and_arrives_once() {
    let plane = ControlPlane::start().await;
    let receiver = Receiver::start(forwarding(plane.url.clone(), Loss::Never)).await;
    let body = request(Encoding::Json, &[record(1, "decision"), Record::default()]);
    for mood in [Mood::Unavailable, Mood::Mute, Mood::Unauthorized, Mood::ProxyRefuses] {
        plane.plane().mood = mood;
        let response = receiver.post(Encoding::Json, body.clone()).await;
        assert_eq!(response.status(), 503, "{mood:?}");
        assert_eq!(response.headers()["retry-after"], "1");
        let text = error_text(&response.bytes().await.unwrap(), "application/json");
        let start = format!("records could not be forwarded: {}: ", plane.url);
        assert!(text.starts_with(&start), "{text}");
    }
    assert_eq!(plane.ids(), [""; 0]);
    plane.plane().mood = Mood::Good;
    for _ in 0..2 {
        assert_eq!(receiver.post(Encoding::Json, body.clone()).await.status(), 200);
    }
    let ids = plane.ids();
    assert_eq!(ids.len(), 2, "sent again and stored once: {ids:?}");
    assert_eq!(ids[0], "edge-1:w:1");
    assert!(ids[1].starts_with("edge-1:otlp:"));
    receiver.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_is_not_there_is_named_with_the_cause() {
    let plane = ControlPlane::start().await;
    // A port that nobody listens on: bound, and freed again.
    let free = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}/v1/events", free.local_addr().unwrap());
    drop(free);
    let receiver = Receiver::start(forwarding(url.clone(), Loss::Never)).await;
    let response =
        receiver.post(Encoding::Json, request(Encoding::Json, &[record(1, "error")])).await;
    assert_eq!(response.status(), 503);
    let text = error_text(&response.bytes().await.unwrap(), "application/json").to_lowercase();
    assert!(text.contains(&url) && text.contains("connection refused"), "{text}");
    receiver.stop().await;

    let receiver = Receiver::start(forwarding(url, Loss::Accepted)).await;
    let response =
        receiver.post(Encoding::Json, request(Encoding::Json, &[record(1, "error")])).await;
    assert_eq!(response.status(), 200, "lossy: the sender is told that all is well");
    assert_eq!(plane.ids(), [""; 0]);
    receiver.stop().await;
}

/// Whoever may send records is not told how the control plane is reached.
#[tokio::test]
async fn no_answer_and_no_error_holds_a_secret_of_the_forward_url() {
    let plane = ControlPlane::start().await;
    plane.plane().mood = Mood::Unavailable;
    let nobody = "http://me:SECRET@127.0.0.1:1/v1/events?key=SECRET".to_owned();
    let somebody = plane.url.replace("http://", "http://me:SECRET@") + "?key=SECRET";
    for url in [nobody, somebody] {
        let receiver = Receiver::start(forwarding(url, Loss::Never)).await;
        let body = request(Encoding::Json, &[record(1, "error")]);
        let response = receiver.post(Encoding::Json, body).await;
        assert_eq!(response.status(), 503);
        let text = error_text(&response.bytes().await.unwrap(), "application/json");
        assert!(text.contains("/v1/events?…: ") && !text.contains("SECRET"), "{text}");
        receiver.stop().await;
    }
    for url in ["ftp://me:SECRET@h", "http://me:SECRET@h:port", "me:SECRET@h"] {
        let listener = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let config = forwarding(url.to_owned(), Loss::Never);
        let error = otlp_receiver::serve(listener, config, async {}).await.unwrap_err();
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

#[tokio::test]
async fn refused_events_are_counted_and_the_others_arrive() {
    let plane = ControlPlane::start().await;
    plane.plane().poison = ["edge-1:w:3".to_owned(), "edge-1:w:8".to_owned()].into();
    let receiver = Receiver::start(forwarding(plane.url.clone(), Loss::Never)).await;
    let records: Vec<_> = (1..=10).map(|it| record(it, "action")).collect();
    for encoding in Encoding::ALL {
        let response = receiver.post(encoding, request(encoding, &records)).await;
        assert_eq!(response.status(), 200);
        let partial = otlp::decode_response(&response.bytes().await.unwrap(), encoding);
        let message = "event edge-1:w:3: INVALID_EVENTS events[0].event_id: bad; \
                       event edge-1:w:8: INVALID_EVENTS events[0].event_id: bad";
        assert_eq!(partial, Ok(Some(PartialSuccess { rejected: 2, message: message.to_owned() })));
    }
    assert_eq!(plane.ids().len(), 8);
    receiver.stop().await;
}

#[tokio::test]
async fn a_control_plane_that_refuses_everything_stops_the_sender() {
    let plane = ControlPlane::start().await;
    let records: Vec<_> = (1..=40).map(|it| record(it, "action")).collect();
    plane.plane().poison = (1..=40).map(|it| format!("edge-1:w:{it}")).collect();
    let receiver = Receiver::start(forwarding(plane.url.clone(), Loss::Never)).await;
    let response = receiver.post(Encoding::Json, request(Encoding::Json, &records)).await;
    assert_eq!(response.status(), 400);
    let text = error_text(&response.bytes().await.unwrap(), "application/json");
    assert!(
        text.starts_with(
            "the control plane refuses more than 16 events of this request: INVALID_EVENTS"
        ),
        "{text}"
    );
    receiver.stop().await;
}

#[tokio::test]
async fn large_requests_are_cut_to_what_the_control_plane_takes() {
    let plane = ControlPlane::start().await;
    plane.plane().events_max = 300;
    let receiver = Receiver::start(forwarding(plane.url.clone(), Loss::Never)).await;
    let records: Vec<_> = (1..=1_000).map(|it| record(it, "action")).collect();
    let response = receiver.post(Encoding::Protobuf, request(Encoding::Protobuf, &records)).await;
    assert_eq!(response.status(), 200);
    let want: Vec<_> = (1..=1_000).map(|it| format!("edge-1:w:{it}")).collect();
    assert_eq!(plane.ids(), want);
    assert_eq!(plane.plane().requests, 1 + 2 + 4, "halves and quarters");
    receiver.stop().await;
}

#[tokio::test]
async fn a_url_that_cannot_be_used_is_refused_at_the_start() {
    for url in ["", "127.0.0.1:8888", "ftp://x/v1/events"] {
        let listener = otlp_receiver::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let config = forwarding(url.to_owned(), Loss::Never);
        let error = otlp_receiver::serve(listener, config, async {}).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("forward URL `{url}` cannot be used: ")));
    }
}
