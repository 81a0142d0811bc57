//! A control plane for tests: says what it is told to say, counts polls, keeps acknowledgements.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Body,
    extract::{Path as Segments, State},
    http::{
        HeaderMap, StatusCode,
        header::{AUTHORIZATION, LOCATION},
    },
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::Value;
use tokio::{net::TcpListener, sync::watch};

/// How the control plane answers a question.
#[derive(Clone, Debug)]
pub(crate) enum Says {
    Body(Value),
    Text(&'static str),
    Status(u16),
    Problem(u16, &'static str),
    Redirect,
    Endless,
    Resets,
}

#[derive(Clone)]
pub(crate) struct Plane {
    pub(crate) says: Arc<watch::Sender<Says>>,
    pub(crate) polls: Arc<watch::Sender<u32>>,
    pub(crate) acks: Arc<watch::Sender<Vec<Value>>>,
    /// What the last question showed.
    pub(crate) shown: Arc<watch::Sender<Option<String>>>,
    /// How an acknowledgement is answered; a problem with this code when it is no 2xx.
    pub(crate) answer: Arc<watch::Sender<(u16, &'static str)>>,
}

impl Plane {
    /// Starts it, and returns its URL.
    pub(crate) async fn start(says: Says) -> (Self, String) {
        let plane = Self {
            says: Arc::new(watch::Sender::new(says)),
            polls: Arc::default(),
            acks: Arc::default(),
            shown: Arc::default(),
            answer: Arc::new(watch::Sender::new((204, ""))),
        };
        let app = Router::new()
            .route("/v1/nodes/{id}/desired", get(desired))
            .route("/v1/nodes/{id}/ack", post(ack))
            .with_state(plane.clone());
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        (plane, url)
    }

    /// Returns when the answers to as many more questions were seen: whoever asks again has.
    pub(crate) async fn rounds(&self, more: u32) {
        let mut polls = self.polls.subscribe();
        let until = *polls.borrow_and_update() + more + 1;
        polls.wait_for(|it| *it >= until).await.unwrap();
    }
}

async fn desired(
    State(plane): State<Plane>,
    Segments(node): Segments<String>,
    headers: HeaderMap,
) -> Response {
    assert_eq!(node, "edge-1");
    let shown = headers.get(AUTHORIZATION).map(|it| it.to_str().unwrap().to_owned());
    plane.shown.send_replace(shown);
    plane.polls.send_modify(|it| *it += 1);
    let says = plane.says.borrow().clone();
    match says {
        Says::Body(body) => Json(body).into_response(),
        Says::Text(text) => text.into_response(),
        Says::Status(status) => StatusCode::from_u16(status).unwrap().into_response(),
        Says::Problem(status, code) => problem(status, code),
        Says::Redirect => {
            (StatusCode::FOUND, [(LOCATION, "/v1/nodes/edge-2/desired")]).into_response()
        }
        Says::Endless => {
            let spaces = futures_of(vec![b' '; 8 << 10]);
            Body::from_stream(spaces).into_response()
        }
        Says::Resets => {
            let broken =
                futures_util::stream::iter([Err::<Vec<u8>, _>(std::io::Error::other("x"))]);
            Body::from_stream(broken).into_response()
        }
    }
}

/// The same piece for ever.
fn futures_of(piece: Vec<u8>) -> impl futures_util::Stream<Item = Result<Vec<u8>, std::io::Error>> {
    futures_util::stream::repeat_with(move || Ok(piece.clone()))
}

async fn ack(State(plane): State<Plane>, Json(ack): Json<Value>) -> Response {
    plane.acks.send_modify(|it| it.push(ack));
    match *plane.answer.borrow() {
        (204, _) => StatusCode::NO_CONTENT.into_response(),
        (status, code) => problem(status, code),
    }
}

fn problem(status: u16, code: &str) -> Response {
    let problem = api::problem::Problem::new(status, code, "No", "no");
    (StatusCode::from_u16(status).unwrap(), Json(problem)).into_response()
}
