//! The trail as the commands show it.

use clap::Parser as _;

use super::*;
use crate::args::{Cli, Command};

fn trail(dir: &Path, events: &[(&str, audit::Outcome)]) {
    let mut trail = open_trail(dir).unwrap();
    for (event, outcome) in events {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
        let record = NewRecord::new(
            event,
            (audit::Category::Rollback, "execute"),
            *outcome,
            Source::Cli,
            now,
        );
        append(&mut trail, record.by("ann").on("rollout_plan", "p"), now).unwrap();
    }
}

fn command(line: &str) -> Audit {
    let Command::Audit(command) = Cli::try_parse_from(line.split_whitespace()).unwrap().command
    else {
        panic!("{line}")
    };
    command
}

fn ran(line: &str) -> Result<Exit, Failure> {
    run(&command(line), Context::new(&|_| None, false))
}

#[test]
fn a_record_is_a_line_with_the_seven_columns() {
    let dir = tempfile::tempdir().unwrap();
    trail(dir.path(), &[("rollback.executed", audit::Outcome::Success)]);
    let found = query(&disk(), dir.path(), &Filter::default(), 100).unwrap();
    let mut out = Vec::new();
    text(&found, &mut out).unwrap();
    let want = "\
TIMESTAMP             EVENT              ACTOR  RESOURCE        OUTCOME  SOURCE  DETAIL
2026-01-02T03:04:05Z  rollback.executed  ann    rollout_plan/p  success  cli     -
";
    assert_eq!(String::from_utf8(out).unwrap(), want);
}

#[test]
fn a_detail_has_the_telling_fields_and_is_cut() {
    let now: Timestamp = "2026-01-02T03:04:05Z".parse().unwrap();
    let said = (audit::Category::Rollback, "execute");
    let record = NewRecord::new("a.b", said, audit::Outcome::Success, Source::Cli, now);
    let record = record.with("error", "long").with("reason", "why").with("strategy", "retry");
    assert_eq!(detail(&record), "strategy=retry reason=why");
    let long = detail(&record.with("reason", "ü".repeat(100).as_str()));
    assert_eq!(long.chars().count(), 60);
    assert!(long.starts_with("strategy=retry reason=üü") && long.ends_with("ü…"), "{long}");
}

#[test]
fn an_export_is_whole_replaces_nothing_and_goes_beside_no_trail() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, out) = (dir.path().join("audit"), dir.path().join("out.csv"));
    trail(&audit, &[("a.b", audit::Outcome::Success), ("a.c", audit::Outcome::Failure)]);
    let line = |format: &str, out: &Path, rest: &str| {
        let (audit, out) = (audit.display(), out.display());
        format!("autonomy audit export --format {format} --output {out} --audit-dir {audit} {rest}")
    };
    assert_eq!(ran(&line("csv", &out, "")).unwrap(), Exit::Done);
    let csv = std::fs::read_to_string(&out).unwrap();
    let head = "timestamp,event_name,category,action,outcome,actor,resource_type,resource,source,fields_json";
    assert_eq!(csv.lines().next(), Some(head));
    assert_eq!(csv.lines().count(), 3);
    let refused = ran(&line("json", &out, "")).unwrap_err();
    assert_eq!((refused.exit, refused.code.as_str()), (Exit::Conflict, "OUTPUT_EXISTS"));
    assert_eq!(std::fs::read_to_string(&out).unwrap(), csv);
    ran(&line("json", &out, "--force --event-type a.c")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(json[0]["event_name"], "a.c");
    let beside = ran(&line("csv", &audit.join(audit::OPEN), "--force")).unwrap_err();
    assert_eq!(beside.code, "OUTPUT_IN_AUDIT_DIR");
    let symbolic = dir.path().join("link.csv");
    std::os::unix::fs::symlink(audit.join(audit::OPEN), &symbolic).unwrap();
    assert_eq!(ran(&line("csv", &symbolic, "--force")).unwrap_err().code, "OUTPUT_IN_AUDIT_DIR");
    assert_eq!(
        ran(&format!("autonomy audit verify --audit-dir {}", audit.display())).unwrap(),
        Exit::Done
    );
}

#[test]
fn a_changed_trail_is_named_with_file_offset_and_kind() {
    let dir = tempfile::tempdir().unwrap();
    trail(dir.path(), &[("a.b", audit::Outcome::Success), ("a.c", audit::Outcome::Success)]);
    let open = dir.path().join(audit::OPEN);
    let text = std::fs::read_to_string(&open).unwrap();
    std::fs::write(&open, text.replacen("\"ann\"", "\"eve\"", 1)).unwrap();
    let failure = ran(&format!("autonomy audit verify --audit-dir {}", dir.path().display()));
    let failure = failure.unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Integrity, "AUDIT_CORRUPT"));
    let report = failure.report.unwrap();
    assert_eq!((&report["file"], &report["kind"]), (&json!("audit.jsonl"), &json!("edited")));
    assert!(report["offset"].is_u64() && report["seq"].is_u64());
    assert!(failure.message.contains("audit.jsonl") && failure.message.contains("edited"));
}

#[test]
fn a_trail_that_is_not_there_is_not_found_and_not_made() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none");
    for verb in ["query", "verify", "prune --older-than 90d"] {
        let failure = ran(&format!("autonomy audit {verb} --audit-dir {}", missing.display()));
        assert_eq!(failure.unwrap_err().exit, Exit::NotFound, "{verb}");
    }
    assert!(!missing.exists());
    assert_eq!(last_failures(&missing, 3).unwrap(), None);
}

#[test]
fn the_last_failures_are_those_that_failed() {
    let dir = tempfile::tempdir().unwrap();
    trail(dir.path(), &[("a.b", audit::Outcome::Success), ("a.c", audit::Outcome::Failure)]);
    let lines = last_failures(dir.path(), 3).unwrap().unwrap();
    assert_eq!(lines, ["2026-01-02T03:04:05Z a.c rollout_plan/p ann"]);
}

#[test]
fn the_option_wins_over_the_variable_and_that_over_the_default() {
    let vars = |name: &str| match name {
        "AUTONOMY_AUDIT_DIR" => Some("/b".to_owned()),
        "XDG_STATE_HOME" => Some("/s".to_owned()),
        _ => None,
    };
    let context = Context::new(&vars, false);
    assert_eq!(directory(Some(Path::new("/a")), context).unwrap(), Path::new("/a"));
    assert_eq!(directory(None, context).unwrap(), Path::new("/b"));
    let default = |name: &str| (name == "XDG_STATE_HOME").then(|| "/s".to_owned());
    let context = Context::new(&default, false);
    assert_eq!(directory(None, context).unwrap(), Path::new("/s/autonomyops/audit"));
}
