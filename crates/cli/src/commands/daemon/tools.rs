//! Calls of steps over HTTP.
//!
//! | answer                                              | what came of the call                             |
//! |-----------------------------------------------------|---------------------------------------------------|
//! | allow, 2xx, with an output                          | done                                              |
//! | allow, 2xx, output `null`                           | failed, `no_executor`: nobody was there to run it   |
//! | allow, a code or an error, whatever the status      | failed, with its code                             |
//! | allow, `OUTCOME_NOT_RECORDED`                       | lost: the log of the runtime does not know either   |
//! | deny, not 2xx, no output                            | denied, with its code: nothing ran                 |
//! | deny with 2xx or with an output; allow, not 2xx, and neither code nor error | lost: it contradicts itself |
//! | none, not whole, or no answer to a call             | lost                                              |
//!
//! What a program did is read from the output of `tool.shell` too:
//!
//! | output                               | answered as done | answered as failed |
//! |--------------------------------------|------------------|--------------------|
//! | `exit_code` 0, `timed_out` not true  | done             | lost               |
//! | `exit_code` another whole number     | failed           | failed             |
//! | anything else                        | lost             | failed             |
//!
//! * **H1** A call is sent once. No connection is used twice, so that none is found closed after it was sent.
//! * **H2** Done is only what the whole answer says is done: its status, its decision, its codes and its output.

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

use crate::{
    control::BAD_RUNTIME_URL,
    failure::{Failure, causes},
};

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
/// The tool that runs programs.
pub(in crate::commands) const SHELL: &str = "tool.shell";
/// Class of a failure that has a text and no class.
const TOOL_FAILED: &str = runtime::ToolErrorCode::Failed.as_str();
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
            Failure::new(Exit::Usage, BAD_RUNTIME_URL, format!("`{shown}` is no http or https URL"))
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
            Ok((status, body)) => called(call.tool, status, &body),
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

/// Reads an answer by the tables (H2).
fn called(tool: &str, status: StatusCode, body: &[u8]) -> Called {
    let answer: ToolResponse = match serde_json::from_slice(body) {
        Ok(answer) => answer,
        Err(error) => {
            return Called::Lost { why: format!("HTTP {status}, no answer to a call: {error}") };
        }
    };
    let called = match answer.decision {
        Verdict::Deny => denied(status, answer),
        Verdict::Allow => allowed(status, answer),
    };
    if tool == SHELL { ran(called) } else { called }
}

fn denied(status: StatusCode, answer: ToolResponse) -> Called {
    if status.is_success() || answer.output.is_some_and(|it| !it.is_null()) {
        return contradiction(&format!("HTTP {status}, a denial, and what comes of a call"));
    }
    Called::Denied {
        code: answer.code.unwrap_or_else(|| "denied".to_owned()),
        reason: answer.reason.unwrap_or_default(),
    }
}

fn allowed(status: StatusCode, answer: ToolResponse) -> Called {
    let ToolResponse { code, output, error, .. } = answer;
    match (code, error, output) {
        (Some(code), error, _) if code == NOT_RECORDED => {
            Called::Lost { why: error.unwrap_or(code) }
        }
        (None, None, Some(Value::Null)) if status.is_success() => Called::Failed {
            code: NO_EXECUTOR.to_owned(),
            message: "it is allowed, and this runtime has no such tool".to_owned(),
            output: None,
        },
        (None, None, Some(output)) if status.is_success() => Called::Done { output },
        (None, None, None) if status.is_success() => {
            Called::Lost { why: format!("HTTP {status}, and neither an output nor a code") }
        }
        (None, None, _) => contradiction(&format!("HTTP {status}, and no code of what went wrong")),
        (code, error, output) => Called::Failed {
            code: code.unwrap_or_else(|| TOOL_FAILED.to_owned()),
            message: error.unwrap_or_default(),
            output,
        },
    }
}

/// What came of a program, by the second table.
fn ran(called: Called) -> Called {
    match called {
        Called::Done { output } => match ended_with(&output) {
            Some(0) => Called::Done { output },
            Some(exit) => Called::Failed {
                code: TOOL_FAILED.to_owned(),
                message: format!("the program ended with {exit}"),
                output: Some(output),
            },
            None => Called::Lost {
                why: "the answer is not understood: it does not say how the program ended"
                    .to_owned(),
            },
        },
        Called::Failed { output: Some(output), code, .. } if ended_with(&output) == Some(0) => {
            contradiction(&format!("{code}, and a program that ended with 0"))
        }
        other => other,
    }
}

/// How a program ended by itself, if that is what an output of `tool.shell` says.
pub(in crate::commands) fn ended_with(output: &Value) -> Option<i32> {
    let in_time = output.get("timed_out").is_none_or(|it| it == &Value::Bool(false));
    let exit = output.get("exit_code")?.as_i64().filter(|_| in_time)?;
    i32::try_from(exit).ok()
}

fn contradiction(what: &str) -> Called {
    Called::Lost { why: format!("the answer contradicts itself: {what}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(status: u16, body: &str, want: &str) {
        check_tool("tool.echo", status, body, want);
    }

    #[track_caller]
    fn check_tool(tool: &str, status: u16, body: &str, want: &str) {
        let called = called(tool, StatusCode::from_u16(status).unwrap(), body.as_bytes());
        assert!(format!("{called:?}").starts_with(want), "{called:?}");
    }

    fn answer(rest: &str) -> String {
        format!(r#"{{"decision":"allow","policy_ref":"1","audit_id":"a","seq":1{rest}}}"#)
    }

    /// H2, and each row of the first table
    #[test]
    fn done_is_only_what_status_decision_and_code_say_together() {
        check(200, &answer(r#","output":{"x":1}"#), "Done");
        check(200, &answer(r#","output":null"#), r#"Failed { code: "no_executor""#);
        let failed = answer(r#","code":"tool_failed","error":"no","output":{"exit_code":1}"#);
        for status in [200, 400, 500] {
            check(status, &failed, r#"Failed { code: "tool_failed", message: "no""#);
        }
        check(200, &answer(r#","code":"x","output":null"#), r#"Failed { code: "x""#);
        let text = answer(r#","error":"no","output":{}"#);
        check(200, &text, r#"Failed { code: "tool_failed", message: "no""#);
        let lost = answer(r#","code":"OUTCOME_NOT_RECORDED","error":"disk","output":{}"#);
        check(500, &lost, r#"Lost { why: "disk""#);
        let contradicts = r#"Lost { why: "the answer contradicts itself"#;
        let deny = answer(r#","code":"policy_denied""#).replace("allow", "deny");
        for status in [400, 403, 503] {
            check(status, &deny, r#"Denied { code: "policy_denied""#);
        }
        check(200, &deny, contradicts);
        check(403, &answer(r#","output":{"x":1}"#).replace("allow", "deny"), contradicts);
        check(200, "<html>", "Lost");
        check(200, &answer(""), "Lost");
        for status in [302, 400, 502] {
            check(status, &answer(r#","output":{"exit_code":0}"#), contradicts);
        }
    }

    /// H2, and each row of the second table
    #[test]
    fn a_program_is_done_when_it_ended_with_0_and_nothing_says_otherwise() {
        let shell = |status, rest: &str, want: &str| {
            check_tool(SHELL, status, &answer(rest), want);
        };
        shell(200, r#","output":{"exit_code":0,"stdout":""}"#, "Done");
        shell(200, r#","output":{"exit_code":0,"timed_out":false}"#, "Done");
        shell(200, r#","output":{"exit_code":1}"#, r#"Failed { code: "tool_failed""#);
        for odd in [
            "{}",
            r#""done""#,
            r#"{"exit_code":null,"timed_out":true}"#,
            r#"{"exit_code":0,"timed_out":true}"#,
            r#"{"exit_code":0,"timed_out":"no"}"#,
            r#"{"exit_code":"0"}"#,
            r#"{"exit_code":0.0}"#,
            r#"{"exit_code":4294967296}"#,
            "[0]",
            "false",
        ] {
            let want = r#"Lost { why: "the answer is not understood"#;
            shell(200, &format!(r#","output":{odd}"#), want);
        }
        let failed =
            |output: &str| format!(r#","code":"tool_failed","error":"no","output":{output}"#);
        let contradicts = r#"Lost { why: "the answer contradicts itself"#;
        shell(400, &failed(r#"{"exit_code":0}"#), contradicts);
        shell(200, &failed(r#"{"exit_code":0}"#), contradicts);
        shell(400, &failed(r#"{"exit_code":3}"#), r#"Failed { code: "tool_failed", message: "no""#);
        shell(400, &failed(r#"{"exit_code":null}"#), r#"Failed { code: "tool_failed""#);
        shell(200, r#","output":null"#, r#"Failed { code: "no_executor""#);
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
