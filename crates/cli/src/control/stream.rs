//! A stream of events that is followed.

use std::time::Duration;

use api::exit::Exit;
use reqwest::{Request, RequestBuilder, Response, header::ACCEPT};
use tokio::signal::unix::{SignalKind, signal};

use super::{
    answer::{AskError, Effect, Refused},
    exchange::{Broken, bounded},
    sse::{Parser, SseEvent},
};
use crate::failure::{Failure, causes};

/// Longest silence: the control plane gives a sign of life every 15 s.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// Longest wait for the first byte of the answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// What a stream of events says it is.
const EVENT_STREAM: &str = "text/event-stream";

/// Asks for a stream and gives its events to `take`; see `ControlPlane::follow_events`.
pub(super) async fn follow(
    request: RequestBuilder,
    name: String,
    take: &mut dyn FnMut(SseEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|it| Failure::process(&it))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|it| Failure::process(&it))?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
        failed = read(request, name, take) => failed,
    }
}

async fn read(
    request: RequestBuilder,
    name: String,
    take: &mut dyn FnMut(SseEvent) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut response = begin(request, name).await?;
    let mut parser = Parser::default();
    loop {
        let chunk = match tokio::time::timeout(SILENCE_MAX, response.chunk()).await {
            Err(_) => {
                let text = format!("no sign of life for {SILENCE_MAX:?}");
                return Err(interrupted(&text));
            }
            Ok(Ok(None)) => return Err(interrupted("the control plane ended it")),
            Ok(Err(error)) => {
                let error = error.without_url();
                let chain = causes(&error);
                let text = chain.last().cloned().unwrap_or_else(|| error.to_string());
                let mut failure = interrupted(&text);
                failure.cause = chain;
                failure.cause.retain(|it| !failure.message.contains(it.as_str()));
                return Err(failure);
            }
            Ok(Ok(Some(chunk))) => chunk,
        };
        for event in parser.take(&chunk).map_err(|_| interrupted("an event is too long"))? {
            take(event)?;
        }
    }
}

/// Waits for the head of the answer and makes sure that a stream follows.
async fn begin(request: RequestBuilder, name: String) -> Result<Response, Failure> {
    let (client, request) = request.header(ACCEPT, EVENT_STREAM).build_split();
    let request = request.map_err(|it| Failure::of(Exit::Usage, "HTTP_CLIENT", &it))?;
    let asked = Request::new(request.method().clone(), request.url().clone());
    let sent = tokio::time::timeout(ANSWER_WAIT, client.execute(request)).await;
    let Ok(sent) = sent else {
        let text = format!("no answer within {ANSWER_WAIT:?}");
        let chain = Vec::new();
        let unreachable =
            AskError::Unreachable { request: name, text, chain, effect: Effect::Nothing };
        return Err(unreachable.into());
    };
    let response = sent.map_err(|it| Broken::Http(it).told(&name, &asked, ANSWER_WAIT, false))?;
    let status = response.status();
    let kind = response.headers().get(reqwest::header::CONTENT_TYPE);
    let kind = kind.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    if status.is_success() && kind.starts_with(EVENT_STREAM) {
        return Ok(response);
    }
    if status.is_success() {
        let text = format!("it is `{kind}` and no stream of events");
        return Err(AskError::Unreadable { request: name, text, effect: Effect::Nothing }.into());
    }
    let body = tokio::time::timeout(ANSWER_WAIT, bounded(response)).await;
    let body = body.ok().and_then(Result::ok).unwrap_or_default();
    Err(AskError::Refused(Box::new(Refused::new(name, status.as_u16(), &body))).into())
}

fn interrupted(why: &str) -> Failure {
    let message = format!("event stream interrupted: {why}");
    Failure::new(Exit::Unreachable, "EVENT_STREAM_INTERRUPTED", message)
        .hint("re-run 'autonomy logs --follow' to reconnect")
}
