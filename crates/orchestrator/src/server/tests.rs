use std::{path::Path, time::Duration};

use axum::{
    body::Body,
    http::{Request, StatusCode},
};
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::*;
use crate::config::Limits;

fn app(dir: &Path, limits: Limits) -> App {
    let config = Config::from_lookup(Some(dir.to_owned()), &|_| None).unwrap();
    let audit_dir = dir.join("audit");
    opened::open_all(&Config { limits, audit_dir, enforcement: false, ..config }).unwrap().app
}

async fn post(app: &App, event_id: &str, filler: usize) -> (StatusCode, Value) {
    let body = json!({ "events": [{
        "event_id": event_id,
        "event_type": "t",
        "node_id": "n",
        "timestamp": "2026-01-02T03:04:05Z",
        "filler": "x".repeat(filler),
    }]});
    let request = Request::post("/v1/events")
        .header("content-type", "application/json")
        .body(Body::from(body.to_string()))
        .unwrap();
    let response = TowerToHyperService::new(router(app, true)).call(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test]
async fn a_full_disk_is_507_and_the_service_goes_on_when_there_is_space() {
    let dir = tempfile::tempdir().unwrap();
    let app = app(dir.path(), Limits::STANDARD);
    app.store.with_writer(|conn| {
        let pages: u32 = conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
        conn.pragma_update_and_check(None, "max_page_count", pages + 4, |_| Ok(())).unwrap();
    });
    let (status, body) = post(&app, "large", 100_000).await;
    assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE);
    assert_eq!(body["code"], "STORE_FULL");
    let (status, body) = post(&app, "small", 10).await;
    assert_eq!((status, &body["inserted"]), (StatusCode::OK, &json!(1)), "{body}");
    app.store.with_writer(|conn| {
        conn.pragma_update_and_check(None, "max_page_count", 100_000, |_| Ok(())).unwrap();
    });
    let (status, body) = post(&app, "large", 100_000).await;
    assert_eq!((status, &body["inserted"]), (StatusCode::OK, &json!(1)), "{body}");
}

#[tokio::test]
async fn a_request_beyond_its_time_has_an_unknown_result_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Limits { request_timeout: Duration::from_millis(50), ..Limits::STANDARD };
    let app = app(dir.path(), limits);
    let (release, held) = std::sync::mpsc::channel::<()>();
    app.store.with_writer(move |_| _ = held.recv());
    let (status, body) = post(&app, "a", 1).await;
    assert_eq!(
        (status, &body["code"]),
        (StatusCode::SERVICE_UNAVAILABLE, &json!("REQUEST_TIMEOUT"))
    );
    let detail = body["detail"].as_str().unwrap();
    assert!(detail.contains("the result is unknown, sending again is safe"), "{detail}");
    release.send(()).unwrap();
    // It was stored after all; sending again is what the answer says it is.
    let patient = app.with_limits(Limits::STANDARD);
    let (status, body) = post(&patient, "a", 1).await;
    assert_eq!((status, &body["deduped"]), (StatusCode::OK, &json!(1)), "{body}");
}
