//! Rollbacks that are refused, done, not done, and not on record.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    sync::Arc,
    thread,
};

use clap::Parser as _;

use super::*;
use crate::args::{Cli, Command, Rollback};

fn checked(options: &str) -> Option<String> {
    let line = format!("autonomy rollback execute --reason because {options}");
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Rollback(Rollback::Execute(args)) = cli.command else { panic!("{line}") };
    let failure = check(args.target.into(), &args).err()?;
    assert_eq!(failure.exit, Exit::Usage);
    assert!(failure.hint.is_some());
    Some(failure.code)
}

/// The table of targets.
#[test]
fn a_strategy_of_another_target_is_refused_before_anybody_is_asked() {
    for (target, resource, allowed) in [
        ("rollout_plan", "p", &["retry", "rollback"][..]),
        ("rollout_stage", "p", &["skip_failed"][..]),
        ("ha_leader_resign", "current", &[""][..]),
    ] {
        for strategy in ["", "retry", "rollback", "skip_failed"] {
            let option = match strategy {
                "" => String::new(),
                it => format!("--strategy {it}"),
            };
            let got = checked(&format!("--target {target} --resource {resource} {option}"));
            let want = (!allowed.contains(&strategy)).then(|| "BAD_STRATEGY".to_owned());
            assert_eq!(got, want, "{target} {strategy}");
        }
    }
    let got = checked("--target relay_deadletter --resource x");
    assert_eq!(got.as_deref(), Some("NOT_ORCHESTRATED"));
    let got = checked("--target ha_leader_resign --resource node-2");
    assert_eq!(got.as_deref(), Some("BAD_NAME"));
}

#[test]
fn an_outcome_that_is_not_on_record_says_what_it_was() {
    let full = Failure::new(Exit::Failed, "AUDIT_DISK_FULL", "no room");
    let done = Ok(Answer::Resigned(Map::new()));
    let failure = unrecorded(&full, &done);
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Failed, "AUDIT_NOT_RECORDED"));
    assert!(failure.message.starts_with("it was done, and that is not on record: no room"));
    let refused = Err(Failure::new(Exit::Conflict, "SOME_CODE", "the plan has ended"));
    let message = unrecorded(&full, &refused).message;
    assert!(
        message.contains("it was not done") && message.contains("the plan has ended (SOME_CODE)")
    );
}

/// A control plane that takes one request.
fn served(body: &'static str) -> String {
    served_after(body, || {})
}

/// The same; something happens before it answers.
fn served_after(body: &'static str, happens: impl FnOnce() + Send + 'static) -> String {
    serve("200 OK", body, happens)
}

/// The same with another status.
fn answered(status: &'static str, body: &'static str) -> String {
    serve(status, body, || {})
}

/// A control plane that reads one request and is gone.
fn read_and_gone() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // Nobody listens any more when the connection closes.
        drop(listener);
        assert!(stream.read(&mut [0; 8192]).unwrap() > 0);
    });
    url
}

fn serve(
    status: &'static str,
    body: &'static str,
    happens: impl FnOnce() + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut piece = [0; 8192];
        assert!(stream.read(&mut piece).unwrap() > 0);
        happens();
        let len = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n\r\n");
        stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
    });
    url
}

const ROLLOUT: &str = r#"{"plan":{"metadata":{"id":"p"},"artifact_ref":"r","target_lock_fingerprint":"b",
    "rollout_kind":"behavior","channel":"stable","stages":[]},"plan_digest":"blake3:0","phase":"active",
    "stages":[],"attempt":2,"generation":7,"created_at":"t","created_by":"ann","updated_at":"t",
    "updated_by":"ann","warnings":[]}"#;

fn executed(url: &str, audit_dir: &Path) -> Result<Exit, Failure> {
    let audit_dir = audit_dir.to_str().unwrap();
    let line = "autonomy rollback execute --target rollout_plan --resource p --strategy retry \
                --reason because --output json";
    let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
    let Command::Rollback(Rollback::Execute(args)) = cli.command else { panic!("{line}") };
    let vars = [
        ("AUTONOMY_ORCHESTRATOR_URL", url),
        ("AUTONOMY_AUDIT_DIR", audit_dir),
        ("AUTONOMY_OPERATOR", "val11-chaos-op"),
    ];
    let lookup = |name: &str| vars.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    run(&args, Context::new(&lookup, false))
}

/// Name, outcome, code of every record.
fn on_record(dir: &Path) -> Vec<(String, String, Value)> {
    let disk: Arc<dyn vfs::Vfs> = Arc::new(vfs::OsVfs);
    let records = audit::query(&disk, dir, &audit::Filter::default(), 0).unwrap();
    let told = records.into_iter().map(|it| {
        let event = it.event;
        assert_eq!(event.actor.as_deref(), Some("val11-chaos-op"));
        assert_eq!((event.category, event.source), (audit::Category::Rollback, audit::Source::Cli));
        assert_eq!(event.resource_type.as_deref(), Some("rollout_plan"));
        assert_eq!(event.resource.as_deref(), Some("p"));
        assert_eq!(
            (&event.fields["strategy"], &event.fields["reason"]),
            (&json!("retry"), &json!("because"))
        );
        let code = event.fields.get("code").cloned().unwrap_or_default();
        (event.event_name, event.outcome.to_string(), code)
    });
    told.collect()
}

fn record(name: &str, outcome: &str, code: Value) -> (String, String, Value) {
    (name.to_owned(), outcome.to_owned(), code)
}

#[test]
fn what_was_done_is_on_record_with_its_outcome() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(executed(&served(ROLLOUT), dir.path()).unwrap(), Exit::Done);
    let want = [
        record("rollback.requested", "pending", Value::Null),
        record("rollback.executed", "success", Value::Null),
    ];
    assert_eq!(on_record(dir.path()), want);
}

#[test]
fn what_was_not_done_is_on_record_too_and_is_no_success() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let dead = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let failure = executed(&dead, dir.path()).unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.message.contains("connection refused"), "{}", failure.message);
    assert_eq!(failure.report.unwrap()["outcome"], "failure");
    let refused = r#"{"type":"t","title":"t","status":409,"detail":"it ended","code":"X_Y"}"#;
    let failure = executed(&answered("409 Conflict", refused), dir.path()).unwrap_err();
    assert_eq!((failure.code.as_str(), failure.may_be_done), ("X_Y", false));
    let want = [
        record("rollback.requested", "pending", Value::Null),
        record("rollback.executed", "failure", json!("CONTROL_PLANE_UNREACHABLE")),
        record("rollback.requested", "pending", Value::Null),
        record("rollback.executed", "failure", json!("X_Y")),
    ];
    assert_eq!(on_record(dir.path()), want);
}

/// B3.
#[test]
fn what_may_have_been_done_is_no_failure_on_record() {
    let dir = tempfile::tempdir().unwrap();
    // A success that cannot be read, somebody on the way who waited in vain, a server that read the
    // request and is gone at the second attempt.
    for (url, code) in [
        (served("{}"), "CONTROL_PLANE_UNREADABLE"),
        (answered("504 Gateway Timeout", ""), "CONTROL_PLANE_REFUSED"),
        (read_and_gone(), "CONTROL_PLANE_UNREACHABLE"),
    ] {
        let failure = executed(&url, dir.path()).unwrap_err();
        assert_eq!(failure.code, code);
        let hint = failure.hint.unwrap();
        assert!(hint.contains("it may have been done") && hint.contains("`pending`"), "{hint}");
        let report = failure.report.unwrap();
        assert_eq!((&report["outcome"], &report["result"]), (&json!("pending"), &json!("unknown")));
        let last = on_record(dir.path()).pop().unwrap();
        assert_eq!(last, record("rollback.executed", "pending", json!(code)));
    }
    assert_eq!(on_record(dir.path()).len(), 6);
}

/// B1.
#[test]
fn what_cannot_be_put_on_record_is_not_begun() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "no directory").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let failure = executed(&url, &file.join("audit")).unwrap_err();
    assert_eq!(failure.code, "AUDIT_UNAVAILABLE");
    assert!(failure.message.starts_with("nothing was begun: "), "{}", failure.message);
    assert_eq!(listener.accept().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
}

/// B2.
#[test]
fn what_was_done_and_could_not_be_put_on_record_is_a_failure_that_says_both() {
    let dir = tempfile::tempdir().unwrap();
    let head = dir.path().join(audit::HEAD);
    let url = served_after(ROLLOUT, move || std::fs::remove_file(head).unwrap());
    let failure = executed(&url, dir.path()).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Failed, "AUDIT_NOT_RECORDED"));
    assert!(failure.message.starts_with("it was done, and that is not on record: "));
    assert!(failure.message.ends_with("the control plane said: phase=active generation=7"));
    assert_eq!(failure.report.unwrap()["audit_code"], "AUDIT_CORRUPT");
}
