//! Calls of steps over HTTP.
//!
//! | answer                                    | what came of the call                             |
//! |-------------------------------------------|---------------------------------------------------|
//! | allow, with an output                     | done                                              |
//! | allow, output `null`                      | failed, `no_executor`: nobody was there to run it   |
//! | allow, and an error of the tool           | failed, with its code                             |
//! | allow, `OUTCOME_NOT_RECORDED`             | lost: the log of the runtime does not know either   |
//! | deny                                      | denied, with its code: nothing ran                 |
//! | none, not whole, or no answer to a call   | lost                                              |
//!
//! * **H1** A call is sent once. No connection is used twice, so that none is found closed after it was sent.

use std::time::Duration;

use api::{
    exit::Exit,
    health::RuntimeStatus,
    tool::{ToolRequest, ToolResponse, Verdict},
};
use daemon::{Call, Called, Tools, Unreachable};
use jiff::{SignedDuration, Timestamp};
use reqwest::{Client, Method, StatusCode, Url, redirect::Policy};
use serde_json::{Value, json};

use crate::failure::{Failure, causes};

/// Time to reach the runtime.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for a question that is no call.
const ASK_TIMEOUT: Duration = Duration::from_secs(10);
/// Most bytes of an answer.
const ANSWER_LEN_MAX: usize = 64 << 20;
/// How long a call may be in work before it counts as an open intent: parsing, policy, one append.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(10);
/// Code of an outcome that is not in the log of the runtime.
const NOT_RECORDED: &str = runtime::CallCode::OutcomeNotRecorded.as_str();
/// Class of a step that nobody was there to run.
const NO_EXECUTOR: &str = "no_executor";

/// A runtime that is reached over HTTP.
pub(in crate::commands) struct HttpTools {
    executor: tokio::runtime::Runtime,
    client: Client,
    base: Url,
    timeout: Duration,
}

impl HttpTools {
    /// Prepares calls. Nothing is sent yet.
    pub(in crate::commands) fn new(url: &str, timeout: Duration) -> Result<Self, Failure> {
        let base = Url::parse(url).ok().filter(|it| {
            matches!(it.scheme(), "http" | "https") && it.has_host() && it.query().is_none()
        });
        let base = base.ok_or_else(|| {
            let shown = api::url::without_secrets(url);
            Failure::new(
                Exit::Usage,
                "BAD_RUNTIME_URL",
                format!("`{shown}` is no http or https URL"),
            )
            .hint("pass --runtime-url http://HOST:PORT and nothing more")
        })?;
        let client = Client::builder()
            .tls_backend_preconfigured(tls::client_config().config)
            .no_proxy()
            .redirect(Policy::none())
            .retry(reqwest::retry::never())
            .pool_max_idle_per_host(0)
            .connect_timeout(CONNECT_TIMEOUT)
            .build()
            .map_err(|error| Failure::of(Exit::Usage, "HTTP_CLIENT", &error))?;
        let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let executor = executor.map_err(|it| Failure::process(&it))?;
        Ok(Self { executor, client, base, timeout })
    }

    fn url(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // A URL with a host has segments.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// One exchange (H1).
    fn exchange(
        &self,
        request: reqwest::RequestBuilder,
        timeout: Duration,
    ) -> Result<(StatusCode, Vec<u8>), String> {
        self.executor.block_on(async {
            let mut response = request.timeout(timeout).send().await.map_err(told)?;
            let body = whole(&mut response).await?;
            Ok((response.status(), body))
        })
    }

    fn ask(&self, path: &[&str]) -> Result<Vec<u8>, Unreachable> {
        let request = self.client.request(Method::GET, self.url(path));
        let unreachable =
            |why: String| Unreachable { why: format!("{}: {why}", shown(&self.base)) };
        match self.exchange(request, ASK_TIMEOUT).map_err(unreachable)? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(unreachable(format!("HTTP {status}"))),
        }
    }
}

/// What happened, without the URL: it may hold a secret.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    causes(&error).pop().unwrap_or_else(|| error.to_string())
}

/// Reads a body, up to the limit.
async fn whole(response: &mut reqwest::Response) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(told)? {
        if body.len() + chunk.len() > ANSWER_LEN_MAX {
            return Err(format!("the answer is longer than {ANSWER_LEN_MAX} bytes"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn shown(url: &Url) -> String {
    api::url::without_secrets(url.as_str()).trim_end_matches('/').to_owned()
}

impl Tools for HttpTools {
    fn ready(&self) -> Result<(), Unreachable> {
        self.ask(&["health"]).map(drop)
    }

    fn at_rest(&self, since: Timestamp) -> Result<bool, Unreachable> {
        let body = self.ask(&["v1", "status"])?;
        let status: RuntimeStatus = serde_json::from_slice(&body).map_err(|error| Unreachable {
            why: format!("{}: not the status of a runtime: {error}", shown(&self.base)),
        })?;
        Ok(rests(&status, Timestamp::now().duration_since(since)))
    }

    fn call(&self, call: &Call<'_>) -> Called {
        let context = json!({
            "idem_key": call.idem_key,
            "mandate_id": call.mandate_id,
            "step_id": call.step_id,
        });
        let Value::Object(context) = context else {
            return Called::Lost { why: "no context".to_owned() };
        };
        let body = ToolRequest { kind: call.tool.to_owned(), params: call.params.clone(), context };
        let request = self.client.request(Method::POST, self.url(&["v1", "tool"]));
        let request = request.header("idempotency-key", call.idem_key).json(&body);
        match self.exchange(request, self.timeout) {
            Ok((status, body)) => called(status, &body),
            Err(why) => Called::Lost { why },
        }
    }
}

/// Whether no call can be running that is as old as `age` (D3 of `daemon`).
fn rests(status: &RuntimeStatus, age: SignedDuration) -> bool {
    let Some(calls) = &status.calls else { return false };
    if calls.tools_still_running > 0 {
        return false;
    }
    if calls.in_flight == 0 {
        return true;
    }
    // Others may call all the time. Those that are older than us would be open intents by now.
    let younger = |seconds: u64| {
        i64::try_from(seconds).is_ok_and(|it| SignedDuration::from_secs(it.saturating_add(1)) < age)
    };
    age > SETTLED_AFTER
        && calls.oldest_open_intent.as_ref().is_none_or(|it| younger(it.age_seconds))
}

/// Reads an answer by the table.
fn called(status: StatusCode, body: &[u8]) -> Called {
    let answer: ToolResponse = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            return Called::Lost { why: format!("HTTP {status}, no answer to a call: {error}") };
        }
    };
    let ToolResponse { decision, reason, code, output, error, .. } = answer;
    match (decision, code, output) {
        (Verdict::Deny, code, _) => Called::Denied {
            code: code.unwrap_or_else(|| "denied".to_owned()),
            reason: reason.unwrap_or_default(),
        },
        (Verdict::Allow, Some(code), _) if code == NOT_RECORDED => {
            Called::Lost { why: error.unwrap_or(code) }
        }
        (Verdict::Allow, Some(code), output) if !status.is_success() => {
            Called::Failed { code, message: error.unwrap_or_default(), output }
        }
        (Verdict::Allow, _, Some(Value::Null)) if status.is_success() => Called::Failed {
            code: NO_EXECUTOR.to_owned(),
            message: "it is allowed, and this runtime has no such tool".to_owned(),
            output: None,
        },
        (Verdict::Allow, _, Some(output)) if status.is_success() => Called::Done { output },
        (Verdict::Allow, _, _) => {
            Called::Lost { why: format!("HTTP {status}, and neither an output nor a code") }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, want: &str) {
        let called = called(StatusCode::from_u16(status).unwrap(), body.as_bytes());
        assert!(format!("{called:?}").starts_with(want), "{called:?}");
    }

    #[test]
    fn every_row_of_the_table_holds() {
        let answer = |rest: &str| {
            format!(r#"{{"decision":"allow","policy_ref":"1","audit_id":"a","seq":1{rest}}}"#)
        };
        check(200, &answer(r#","output":{"x":1}"#), "Done");
        check(200, &answer(r#","output":null"#), r#"Failed { code: "no_executor""#);
        let failed = answer(r#","code":"tool_failed","error":"no","output":{"exit_code":1}"#);
        check(400, &failed, r#"Failed { code: "tool_failed", message: "no""#);
        let lost = answer(r#","code":"OUTCOME_NOT_RECORDED","error":"disk","output":{}"#);
        check(500, &lost, r#"Lost { why: "disk""#);
        for status in [400, 403, 503] {
            let deny = answer(r#","code":"policy_denied""#).replace("allow", "deny");
            check(status, &deny, r#"Denied { code: "policy_denied""#);
        }
        check(200, "<html>", "Lost");
        check(200, &answer(""), "Lost");
        check(502, &answer(r#","output":{}"#), "Lost");
    }

    fn status(in_flight: u64, oldest: Option<u64>, still: u64) -> RuntimeStatus {
        let oldest = oldest.map(|it| json!({"audit_id": "a", "age_seconds": it}));
        serde_json::from_value(json!({
            "node": "n", "mode": "normal", "policy_ref": "", "policy_digest": "",
            "wal": {"wal_id": "w", "last_seq": 1, "bytes": 1, "health": "ok"},
            "calls": {
                "in_flight": in_flight, "calls_max": 1, "connections_max": 1,
                "open_intents": u64::from(oldest.is_some()), "oldest_open_intent": oldest,
                "tools_still_running": still
            },
            "uptime_seconds": 1
        }))
        .unwrap()
    }

    #[test]
    fn a_runtime_rests_when_no_call_can_be_older_than_we_are() {
        let rests = |it: &RuntimeStatus, age| rests(it, SignedDuration::from_secs(age));
        assert!(rests(&status(0, None, 0), 0));
        assert!(!rests(&status(0, None, 1), 1000), "a tool that does not end may be ours");
        assert!(!rests(&status(1, None, 0), 10), "it may not be an intent yet");
        assert!(rests(&status(1, None, 0), 11));
        assert!(!rests(&status(2, Some(20), 0), 15), "it is older than we are");
        assert!(!rests(&status(2, Some(20), 0), 21), "seconds are cut");
        assert!(rests(&status(2, Some(20), 0), 22));
        let mut old = status(0, None, 0);
        old.calls = None;
        assert!(!rests(&old, 1000), "it does not say");
    }
}
