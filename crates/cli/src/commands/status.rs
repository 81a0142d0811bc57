//! `autonomy status`: everything on one screen.
//!
//! * **U1** A part that fails, or a runtime that denies every call, says so and hides no other; then the exit code is 9. What nobody configured does not fail.
//! * **U2** A control plane that does not answer is asked once, not once a part.
//! * **U3** A runtime or a control plane that nobody named need not be there, and a trail that nobody wrote need not exist.

use std::io::{self, Write};

use api::{
    env,
    exit::Exit,
    fleet::{FleetSummary, STALE_SECONDS_DEFAULT},
    ha::{HaStatus, Ready},
    rollout::{LIMIT_MAX, RolloutList, STUCK_THRESHOLD_SECONDS_DEFAULT, StuckList},
};
use serde_json::{Map, Value, json};

use crate::{
    args::Status,
    commands::{
        audit::{directory, last_failures},
        doctor::decisions::unwell,
        fleet::summary_route,
        ha,
        rollout::stuck_route,
        tell, write_pairs,
    },
    context::Context,
    control::{ControlPlane, NO_CONTROL_PLANE, Route},
    counted::counted,
    failure::Failure,
};

/// Where a runtime is when nobody says.
pub(super) const RUNTIME_URL_DEFAULT: &str = "http://127.0.0.1:7777";
/// Channel whose release counts here.
const CHANNEL: &str = "stable";
/// The phase of a plan that failed.
const FAILED: &str = "failed";
/// How many failures of the audit trail are shown.
const FAILURES_MAX: usize = 3;

/// What a part found out.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    text: String,
    /// More of it, a line each.
    lines: Vec<String>,
    json: Value,
}

impl Found {
    fn new(text: String, json: Value) -> Self {
        Self { text, lines: Vec::new(), json }
    }
}

/// A part of the screen.
#[derive(Debug)]
struct Part {
    name: &'static str,
    found: Result<Found, Failure>,
}

pub(crate) fn run(args: &Status, context: Context<'_>) -> Result<Exit, Failure> {
    let mut parts = control_plane(args, context);
    parts.push(Part { name: "runtime", found: runtime(args, context) });
    parts.push(Part { name: "audit", found: audit(args, context) });
    tell(&json(&parts), args.control.format(), |_, out| text(&parts, out))?;
    Ok(if parts.iter().any(|it| it.found.is_err()) { Exit::Partial } else { Exit::Done })
}

/// The parts that the control plane answers (U2).
fn control_plane(args: &Status, context: Context<'_>) -> Vec<Part> {
    let name = "control_plane";
    let plane = match ControlPlane::new(&args.control, context) {
        Ok(plane) => plane,
        Err(failure) if failure.code == NO_CONTROL_PLANE => {
            let text = "none is configured: autonomy config set orchestrator_url URL".to_owned();
            let found = Found::new(text, json!({ "configured": false }));
            return vec![Part { name, found: Ok(found) }];
        }
        Err(failure) => return vec![Part { name, found: Err(failure) }],
    };
    let health = health(&plane);
    let is_there = !matches!(&health, Err(it) if is_unanswered(it));
    let mut parts = vec![Part { name, found: health }];
    if is_there {
        parts.extend([
            Part { name: "ha", found: leader(&plane) },
            Part { name: "stuck_plans", found: stuck(&plane) },
            Part { name: "failed_plans", found: failed(&plane) },
            Part { name: "fleet", found: fleet(&plane) },
        ]);
    }
    parts
}

/// Whether every other part would end the same way.
fn is_unanswered(failure: &Failure) -> bool {
    let tls = ["TLS_UNTRUSTED", "TLS_CLIENT_CERTIFICATE", "TLS_EXPECTED"];
    failure.exit == Exit::Unreachable || tls.contains(&failure.code.as_str())
}

fn health(plane: &ControlPlane) -> Result<Found, Failure> {
    let health = Route::new("health");
    let said = plane.itself()?;
    let status = said.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
    // What is not ready says so with 503, and that is an answer.
    let read: Ready = plane.get_also(&health.clone().at("read-ready"), 503)?;
    let write: Ready = plane.get_also(&health.at("write-ready"), 503)?;
    let ready = |what: &str, it: &Ready| match (it.ready, &it.reason) {
        (true, _) => format!(", {what}"),
        (false, None) => format!(", not {what}"),
        (false, Some(why)) => format!(", not {what} ({why})"),
    };
    let (read_text, write_text) = (ready("reads", &read), ready("writes", &write));
    let text = format!("{status}{read_text}{write_text} at {}", plane.shown());
    let json =
        json!({ "url": plane.shown(), "status": status, "read_ready": read, "write_ready": write });
    Ok(Found::new(text, json))
}

fn leader(plane: &ControlPlane) -> Result<Found, Failure> {
    let status: HaStatus = plane.get(&ha::route())?;
    let leader = match &status.leader {
        None => "nobody leads".to_owned(),
        Some(it) => format!("{} leads, epoch {}", it.holder_id, it.epoch),
    };
    let text = format!("{}, {}, {leader}", ha::mode(status.mode), ha::role(status.role));
    Ok(Found::new(text, json!(status)))
}

fn stuck(plane: &ControlPlane) -> Result<Found, Failure> {
    let list: StuckList = plane.get(&stuck_route(STUCK_THRESHOLD_SECONDS_DEFAULT, LIMIT_MAX))?;
    let more = if list.more { "at least " } else { "" };
    let next = if list.count > 0 { ": autonomy rollout stuck" } else { "" };
    let text = format!("{more}{}{next}", counted(list.count, "plan"));
    let json = json!({ "count": list.count, "more": list.more, "threshold_seconds": list.threshold_seconds });
    Ok(Found::new(text, json))
}

/// How many plans have failed: a fact, and no failure of this command.
fn failed(plane: &ControlPlane) -> Result<Found, Failure> {
    let route = Route::new("rollouts").with("phase", FAILED).with("limit", 1);
    let RolloutList { total, .. } = plane.get(&route)?;
    let next = match total {
        0 => String::new(),
        _ => format!(": autonomy rollout plan list --phase {FAILED}"),
    };
    let text = format!("{}{next}", counted(total, "plan"));
    Ok(Found::new(text, json!({ "count": total })))
}

fn fleet(plane: &ControlPlane) -> Result<Found, Failure> {
    let it: FleetSummary = plane.get(&summary_route(CHANNEL, STALE_SECONDS_DEFAULT))?;
    let FleetSummary { total, up, stale, unknown, .. } = it;
    let nodes = counted(total, "node");
    let text = format!("{nodes}: {up} up, {stale} stale, {unknown} unknown");
    let json = json!({ "total": total, "up": up, "stale": stale, "unknown": unknown });
    Ok(Found::new(text, json))
}

/// The runtime of this machine (U3).
fn runtime(args: &Status, context: Context<'_>) -> Result<Found, Failure> {
    let named = args.runtime_url.clone().or_else(|| context.var(env::RUNTIME_URL));
    let url = named.as_deref().unwrap_or(RUNTIME_URL_DEFAULT);
    let plane = ControlPlane::of_runtime(url)?;
    let status = match plane.itself() {
        Ok(status) => status,
        Err(failure) if failure.exit == Exit::Unreachable && named.is_none() => {
            let text = format!("none runs at {url}");
            return Ok(Found::new(text, json!({ "url": url, "running": false })));
        }
        Err(failure) => return Err(failure),
    };
    let word = |value: Option<&Value>| value.and_then(Value::as_str).unwrap_or("?").to_owned();
    let (node, mode) = (word(status.get("node")), word(status.get("mode")));
    let wal = word(status.get("wal").and_then(|it| it.get("health")));
    let text = format!("{node}, mode {mode}, log {wal} at {url}");
    let json = json!({ "url": url, "running": true, "node": node, "mode": mode, "wal": wal });
    // DD1 of `doctor::decisions`: it answers, and allows nothing.
    match unwell(&status) {
        None => Ok(Found::new(text, json)),
        Some(failure) => {
            let message = format!("{}: {text}", failure.message);
            Err(Failure { message, report: Some(Box::new(json)), ..failure })
        }
    }
}

/// The last failures on record here (U3).
fn audit(args: &Status, context: Context<'_>) -> Result<Found, Failure> {
    let dir = directory(args.audit.audit_dir.as_deref(), context)?;
    let shown = dir.display().to_string();
    let Some(failures) = last_failures(&dir, FAILURES_MAX)? else {
        let text = format!("no trail in {shown}");
        return Ok(Found::new(text, json!({ "dir": shown, "failures": [] })));
    };
    let text = match failures.len() {
        0 => format!("no failure on record in {shown}"),
        _ => format!("the newest failures on record in {shown}"),
    };
    let lines = failures.iter().map(|it| format!("failed: {it}")).collect();
    Ok(Found { text, lines, json: json!({ "dir": shown, "failures": failures }) })
}

fn json(parts: &[Part]) -> Value {
    let mut members = Map::new();
    for part in parts {
        let value = match &part.found {
            Ok(found) => found.json.clone(),
            Err(failure) => {
                let Failure { code, message, hint, report, .. } = failure;
                let mut value = report.as_deref().cloned().unwrap_or_else(|| json!({}));
                if let Value::Object(members) = &mut value {
                    let error = json!({ "code": code, "message": message, "hint": hint });
                    members.insert("error".to_owned(), error);
                }
                value
            }
        };
        members.insert(part.name.to_owned(), value);
    }
    let failed: Vec<_> = parts.iter().filter(|it| it.found.is_err()).map(|it| it.name).collect();
    members.insert("failed".to_owned(), json!(failed));
    Value::Object(members)
}

fn text(parts: &[Part], out: &mut dyn Write) -> io::Result<()> {
    let mut pairs = Vec::new();
    for part in parts {
        match &part.found {
            Ok(found) => {
                pairs.push((part.name, found.text.clone()));
                pairs.extend(found.lines.iter().map(|it| ("", it.clone())));
            }
            Err(failure) => {
                let Failure { message, code, hint, .. } = failure;
                let hint = hint.as_ref().map_or_else(String::new, |it| format!("; {it}"));
                pairs.push((part.name, format!("failed: {message} ({code}){hint}")));
            }
        }
    }
    write_pairs(out, &pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_fails_hides_no_other() {
        let mut good = Found::new("ok".to_owned(), json!({ "status": "ok" }));
        good.lines = vec!["failed: x".to_owned()];
        let bad = Failure::new(Exit::Denied, "SOME_CODE", "not for you").hint("ask");
        let parts = [Part { name: "a", found: Ok(good) }, Part { name: "fleet", found: Err(bad) }];
        let mut out = Vec::new();
        text(&parts, &mut out).unwrap();
        let want = "a      ok\n       failed: x\nfleet  failed: not for you (SOME_CODE); ask\n";
        assert_eq!(String::from_utf8(out).unwrap(), want);
        assert_eq!(json(&parts)["failed"], json!(["fleet"]));
        assert_eq!(json(&parts)["fleet"]["error"]["code"], "SOME_CODE");
    }
}
