//! Whether the runtime can allow anything at all.
//!
//! | what `/v1/status` says                 | code            | level    |
//! |----------------------------------------|-----------------|----------|
//! | `mode` is `quarantine`                 | `wal.health`    | `failed` |
//! | `wal.health` is not `ok`               | `wal.health`    | `failed` |
//! | no policy in force, and no strict mode | `no_policy`     | `failed` |
//! | anything else                          | –               | `ok`     |
//!
//! * **DD1** A runtime that answers and denies every call is not well, whoever asks: `doctor` and `status` go by this table.

use api::{env, exit::Exit};
use serde_json::{Map, Value};

use super::Finding;
use crate::{
    args::Doctor,
    commands::{explain::knows, status::RUNTIME_URL_DEFAULT},
    context::Context,
    control::{ControlPlane, Route},
    failure::{Failure, with_dir},
    rights::FULL_DISK,
};

/// Code of a runtime without a policy: what it answers to calls.
const NO_POLICY: &str = "no_policy";
/// Health of a log that can be written.
const WELL: &str = "ok";

/// The row of `doctor`. Who does not answer is the business of another check.
pub(super) fn decisions(args: &Doctor, context: Context<'_>) -> Finding {
    let check = "decisions";
    let named = args.runtime_url.clone().or_else(|| context.var(env::RUNTIME_URL));
    let url = named.as_deref().unwrap_or(RUNTIME_URL_DEFAULT);
    let asked = ControlPlane::of_runtime(url)
        .and_then(|it| it.get::<Map<String, Value>>(&Route::new("status")));
    match asked {
        Err(_) => Finding::skipped(check, "no runtime says how it decides"),
        Ok(said) => match unwell(&said) {
            Some(failure) => Finding::of(check, &failure),
            None => Finding::ok(check, "the runtime decides by its policy and records it"),
        },
    }
}

/// Why a runtime that says this about itself denies every call (DD1).
pub(in crate::commands) fn unwell(said: &Map<String, Value>) -> Option<Failure> {
    let text = |it: Option<&Value>| it.and_then(Value::as_str).unwrap_or_default().to_owned();
    let log = said.get("wal");
    let of_log = |key: &str| text(log.and_then(|it| it.get(key)));
    let (mode, health) = (text(said.get("mode")), of_log("health"));
    if mode == "quarantine" {
        let message = format!("every call is denied: the log was refused ({health})");
        let code = if health.is_empty() { "WAL_QUARANTINE" } else { &health };
        let hint = with_dir(
            "stop the runtime, see autonomy wal repair --dir DIR --dry-run, mend the log, start again",
            of_log("dir").as_ref(),
        );
        return Some(paged(code, message, &hint));
    }
    if !health.is_empty() && health != WELL {
        let hint = match health.as_str() {
            "WAL_DISK_FULL" => FULL_DISK,
            _ => "look at the disk (dmesg), then restart the runtime: it reads the log again",
        };
        let message = "every call is denied: the log cannot be written".to_owned();
        return Some(paged(&health, message, hint));
    }
    let has_policy =
        ["policy_ref", "policy_digest"].iter().any(|it| !text(said.get(*it)).is_empty());
    // In strict mode everything is denied on purpose, and another check says so.
    if mode == "normal" && !has_policy {
        let message = "every call is denied: no policy is in force".to_owned();
        let hint = "autonomy policy load --bundle FILE --policy-dir DIR, with the --policy-dir of the runtime, then send it SIGHUP";
        return Some(paged(NO_POLICY, message, hint));
    }
    None
}

/// A failure whose next step names the page of its code.
fn paged(code: &str, message: String, hint: &str) -> Failure {
    let page =
        if knows(code) { format!(" (more: autonomy explain {code})") } else { String::new() };
    Failure::new(Exit::Failed, code, message).hint(format!("{hint}{page}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_runtime_that_denies_every_call_is_not_well() {
        let code = |mode: &str, policy: &str, health: &str| {
            let said = json!({
                "mode": mode, "policy_ref": policy, "policy_digest": "",
                "wal": { "health": health, "dir": "/w" },
            });
            let failure = unwell(said.as_object().unwrap())?;
            let hint = failure.hint.unwrap();
            assert!(hint.contains(&format!("autonomy explain {}", failure.code)), "DD1 {hint}");
            Some(failure.code)
        };
        assert_eq!(code("normal", "1.0.0", "ok"), None);
        assert_eq!(code("strict", "", "ok"), None);
        assert_eq!(code("normal", "", "ok").as_deref(), Some("no_policy"));
        for health in ["WAL_DISK_FULL", "WAL_POISONED", "WAL_FILE_REPLACED"] {
            assert_eq!(code("normal", "1.0.0", health).as_deref(), Some(health));
        }
        assert_eq!(code("quarantine", "", "SEQ_GAP").as_deref(), Some("SEQ_GAP"));
    }
}
