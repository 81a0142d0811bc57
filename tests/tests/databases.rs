//! Databases under `autonomy db`: the drills, each with its fault and without, and what the commands say.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use e2e::{
    harness::{Bin, Ports, Stack, autonomy, program, run_to_end},
    stories::packs::{all_are_held, holds, named},
};
use rusqlite::Connection;
use serde_json::{Value, json};

#[test]
fn a_backup_under_a_writer_is_sound_and_a_prefix() {
    holds("DB-1").unwrap();
}

#[test]
fn a_restore_moves_stale_sidecars_and_is_the_backup() {
    holds("DB-2").unwrap();
}

#[test]
fn a_second_migration_says_that_the_schema_is_up_to_date() {
    holds("DB-3").unwrap();
}

#[test]
fn a_failed_migration_leaves_the_version_before_it() {
    holds("DB-4").unwrap();
}

#[test]
fn maintenance_of_a_locked_database_is_busy_and_stays_due() {
    holds("DB-5").unwrap();
}

#[test]
fn a_killed_vacuum_costs_nothing() {
    holds("DB-6").unwrap();
}

#[test]
fn every_drill_of_the_pack_is_a_test_here() {
    all_are_held(named("db"), include_str!("databases.rs")).unwrap();
}

/// A directory with one database in WAL mode and a backup of it.
struct Scene {
    dir: tempfile::TempDir,
}

impl Scene {
    fn new() -> Self {
        let this = Self { dir: tempfile::tempdir().unwrap() };
        this.sql(
            "a.db",
            "PRAGMA journal_mode = WAL; CREATE TABLE t (x); INSERT INTO t VALUES ('backup')",
        );
        assert_eq!(this.db(&["backup", "a.db", "--backup-path", "good.db"]).0, Some(0));
        this.sql("a.db", "INSERT INTO t VALUES ('later')");
        this
    }

    fn sql(&self, name: &str, sql: &str) {
        Connection::open(self.dir.path().join(name)).unwrap().execute_batch(sql).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = program(Bin::Autonomy).unwrap();
        command.current_dir(self.dir.path()).arg("db").args(words);
        command
    }

    fn db(&self, words: &[&str]) -> (Option<i32>, Value) {
        let ended = run_to_end(self.command(words).args(["--format", "json"])).unwrap();
        assert_eq!(ended.stdout.lines().count(), 1, "one document: {ended:?}");
        (ended.code(), serde_json::from_str(&ended.stdout).unwrap())
    }

    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.dir.path()).unwrap().map(|it| it.unwrap());
        let files = entries.filter(|it| it.path().is_file());
        files
            .map(|it| (it.file_name().into_string().unwrap(), fs::read(it.path()).unwrap()))
            .collect()
    }

    fn values(&self, name: &str) -> Vec<String> {
        let conn = Connection::open(self.dir.path().join(name)).unwrap();
        let mut rows = conn.prepare("SELECT x FROM t ORDER BY rowid").unwrap();
        rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
    }
}

#[test]
fn a_database_that_somebody_has_open_is_not_restored() {
    let scene = Scene::new();
    let path = scene.dir.path().join("a.db");
    let restore = ["restore", "a.db", "--from", "good.db"];
    for mode in ["wal", "delete"] {
        scene.sql("a.db", &format!("PRAGMA journal_mode = {mode}"));
        // Closing any handle of the file would end the locks of this process: nothing reads it until the end.
        let before = scene.files();
        let conn = Connection::open(&path).unwrap();
        // In WAL mode an open database is enough, otherwise a transaction.
        conn.execute_batch("BEGIN; SELECT * FROM t").unwrap();
        if mode == "wal" {
            conn.execute_batch("COMMIT").unwrap();
        }
        let (code, told) = scene.db(&restore);
        assert_eq!((code, &told["error"]["code"]), (Some(1), &json!("DB_BUSY")), "{mode} {told}");
        assert_eq!(scene.db(&[&restore[..], &["--strict-exit"]].concat()).0, Some(75));
        drop(conn);
        assert_eq!(scene.files(), before, "{mode}");
    }
    let (code, told) = scene.db(&restore);
    assert_eq!(code, Some(0), "{told}");
    assert_eq!(scene.values("a.db"), ["backup"]);
}

#[test]
fn a_restore_that_is_killed_at_any_time_loses_nothing_and_is_done_by_the_next() {
    let scene = Scene::new();
    let mut killed = 0;
    for round in 0..40_u64 {
        scene.sql("a.db", &format!("PRAGMA journal_mode = DELETE; DELETE FROM t; INSERT INTO t VALUES ('round {round}')"));
        let old = scene.files()["a.db"].clone();
        let new = scene.files()["good.db"].clone();
        let mut child = scene.command(&["restore", "a.db", "--from", "good.db"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_micros(round * 500);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        let found = scene.files();
        let names = found.iter().filter(|it| it.0.starts_with("a.db"));
        assert!(names.clone().any(|it| *it.1 == old), "round {round}: the old file is gone");
        assert_eq!(found["good.db"], new);
        let (code, told) = scene.db(&["restore", "a.db", "--from", "good.db"]);
        assert_eq!(code, Some(0), "round {round}: {told}");
        assert_eq!(scene.values("a.db"), ["backup"], "round {round}");
    }
    assert!(killed >= 5, "only {killed} were killed before they were done");
}

#[test]
fn a_backup_that_is_killed_leaves_no_half_of_one_under_its_name() {
    let scene = Scene::new();
    scene.sql("a.db", "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 20000)
                       SELECT hex(randomblob(100)) FROM c");
    let mut killed = 0;
    for round in 0..20_u64 {
        let mut child = scene.command(&["backup", "a.db", "--backup-path", "copy.db", "--force"]);
        let mut child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let until = Instant::now() + Duration::from_millis(round * 5);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::hint::spin_loop();
        }
        child.kill().unwrap();
        killed += u32::from(child.wait().unwrap().code().is_none());
        if scene.dir.path().join("copy.db").exists() {
            assert_eq!(scene.values("copy.db").len(), 20_002, "round {round}");
        }
    }
    assert!(killed >= 3, "only {killed} were killed before they were done");
    assert_eq!(scene.db(&["backup", "a.db", "--backup-path", "copy.db", "--force"]).0, Some(0));
    assert!(!scene.dir.path().join("copy.db.tmp").exists());
}

#[test]
fn each_refusal_has_its_code_and_changes_nothing() {
    let scene = Scene::new();
    let at = |name: &str| scene.dir.path().join(name);
    fs::write(at("text"), "this is no database, although it is long enough").unwrap();
    fs::create_dir(at("sub")).unwrap();
    std::os::unix::fs::symlink("a.db", at("link")).unwrap();
    scene.sql("foreign", "PRAGMA application_id = 77; CREATE TABLE t (x)");
    scene.sql(
        "newer",
        "PRAGMA application_id = 1095921516; PRAGMA user_version = 99; CREATE TABLE t (x)",
    );
    fs::write(at("sub/first.sql"), "").unwrap();
    let before = scene.files();
    for (words, exit, code) in [
        (&["backup", "none"][..], 5, "DB_NOT_FOUND"),
        (&["status", "sub"], 1, "DB_NOT_A_FILE"),
        (&["status", "link"], 1, "DB_NOT_A_FILE"),
        (&["backup", "a.db", "--backup-path", "link", "--force"], 1, "DB_NOT_A_FILE"),
        (&["status", "text"], 8, "DB_NOT_A_DATABASE"),
        (&["backup", "a.db", "--backup-path", "a.db", "--force"], 2, "DB_SAME_FILE"),
        (&["backup", "a.db", "--backup-path", "a.db-wal", "--force"], 2, "DB_SAME_FILE"),
        (&["backup", "a.db", "--backup-path", "good.db"], 1, "DB_EXISTS"),
        (&["restore", "a.db", "--from", "a.db"], 2, "DB_SAME_FILE"),
        (&["restore", "a.db", "--from", "foreign"], 1, "DB_MISMATCH"),
        (&["restore", "--from", "good.db"], 2, "DB_AMBIGUOUS"),
        (&["migrate", "a.db"], 1, "DB_UNVERSIONED"),
        (&["migrate", "foreign"], 1, "DB_FOREIGN"),
        (&["migrate", "newer"], 1, "DB_NEWER"),
        (&["migrate", "a.db", "--migrations", "sub"], 2, "DB_MIGRATIONS_INVALID"),
        (&["maintain", "foreign"], 1, "DB_FOREIGN"),
        (&["status", "--data-dir", "sub"], 5, "DB_NOT_FOUND"),
    ] {
        let (found, told) = scene.db(words);
        assert_eq!((found, &told["error"]["code"]), (Some(exit), &json!(code)), "{words:?} {told}");
        assert_eq!(scene.files(), before, "{words:?}");
    }
}

#[test]
fn a_migration_may_make_its_backup_first_and_backup_only_applies_nothing() {
    let scene = Scene::new();
    fs::create_dir(scene.dir.path().join("m")).unwrap();
    let write =
        |name: &str, sql: &str| fs::write(scene.dir.path().join("m").join(name), sql).unwrap();
    write("0001_t.sql", "CREATE TABLE t (x); INSERT INTO t VALUES ('one');");
    assert_eq!(scene.db(&["migrate", "m.db", "--migrations", "m"]).0, Some(0));
    write("0002_more.sql", "INSERT INTO t VALUES ('two');");
    let words = ["migrate", "m.db", "--backup-only", "--backup-path", "only.db"];
    let (code, told) = scene.db(&words);
    assert_eq!((code, &told["databases"][0]["schema_version"]), (Some(0), &json!(1)), "{told}");
    assert_eq!(scene.values("m.db"), ["one"]);
    let (code, told) =
        scene.db(&["migrate", "m.db", "--migrations", "m", "--backup-path", "before.db"]);
    let done = &told["databases"][0];
    assert_eq!((code, &done["backup"]["schema_version"]), (Some(0), &json!(1)), "{told}");
    assert_eq!(done["applied"], json!([{ "version": 2, "name": "more" }]));
    assert_eq!(
        (scene.values("before.db"), scene.values("m.db")),
        (vec!["one".to_owned()], vec!["one".to_owned(), "two".to_owned()])
    );
    // A backup that is refused is a migration that does not begin.
    write("0003_last.sql", "INSERT INTO t VALUES ('three');");
    let (code, told) =
        scene.db(&["migrate", "m.db", "--migrations", "m", "--backup-path", "before.db"]);
    assert_eq!((code, &told["error"]["code"]), (Some(1), &json!("DB_EXISTS")));
    assert_eq!(scene.values("m.db").len(), 2);
    // A version that was skipped is said.
    scene.sql("m.db", "DELETE FROM schema_version WHERE version = 1");
    let (_, told) = scene.db(&["status", "m.db"]);
    assert_eq!(told["databases"][0]["missing_versions"], json!([1]));
    let (code, told) = scene.db(&["migrate", "m.db", "--migrations", "m"]);
    assert_eq!((code, &told["error"]["code"]), (Some(1), &json!("DB_SCHEMA_GAP")));
    assert_eq!(told["report"], json!({ "schema_version": 2, "missing_version": 1 }));
}

fn told(words: &[&str]) -> (Option<i32>, Value) {
    let ended = autonomy(&[&["db"], words, &["--output", "json"]].concat()).unwrap();
    (ended.code(), serde_json::from_str(&ended.stdout).unwrap())
}

/// How many plans the control plane lists.
fn plans(stack: &Stack) -> usize {
    let url = stack.orchestrator_url();
    let words = ["rollout", "plan", "list", "--orchestrator-url", &url, "--output", "json"];
    let listed: Value = serde_json::from_str(&autonomy(&words).unwrap().stdout).unwrap();
    listed["rollouts"].as_array().unwrap().len()
}

fn create(stack: &Stack, dir: &Path, id: &str) {
    let path = dir.join("plan.json");
    let plan = json!({
        "metadata": { "id": id },
        "artifact_ref": format!("oci://registry.example/arm@sha256:{}", "1".repeat(64)),
        "target_lock_fingerprint": format!("blake3:{}", "2".repeat(64)),
    });
    fs::write(&path, plan.to_string()).unwrap();
    let (path, url) = (path.to_str().unwrap(), stack.orchestrator_url());
    let made = autonomy(&["rollout", "plan", "create", path, "--orchestrator-url", &url]).unwrap();
    assert_eq!(made.code(), Some(0), "{made:?}");
}

#[test]
fn the_databases_of_a_control_plane_are_backed_up_while_it_serves_and_restored_when_it_does_not() {
    let dir = tempfile::tempdir().unwrap();
    let stack = Stack::new(dir.path(), Ports::free().unwrap());
    let data = dir.path().join("orchestrator");
    let data_dir = ["--data-dir", data.to_str().unwrap()];
    let with = |words: &[&str]| told(&[words, &data_dir].concat());
    let control_plane = stack.orchestrator().unwrap();
    create(&stack, dir.path(), "first");
    let (code, made) = with(&["backup"]);
    assert_eq!(code, Some(0), "{made}");
    let made = made["databases"].as_array().unwrap();
    let backups: Vec<_> = made.iter().map(|it| it["destination"].as_str().unwrap()).collect();
    assert_eq!(
        made.iter().map(|it| &it["application"]).collect::<Vec<_>>(),
        ["events", "rollouts"]
    );
    create(&stack, dir.path(), "second");
    assert_eq!(plans(&stack), 2);

    // What is served is neither restored nor migrated, and maintenance waits.
    let (code, told) = with(&["restore", "--from", backups[1]]);
    assert_eq!((code, &told["error"]["code"]), (Some(1), &json!("DB_BUSY")), "{told}");
    assert_eq!(with(&["migrate", "--strict-exit"]).0, Some(75));
    let (code, told) = with(&["maintain"]);
    assert_eq!((code, &told["databases"][1]["status"]), (Some(0), &json!("busy")), "{told}");
    assert!(
        told["databases"][1]["used_by"].as_str().unwrap().starts_with("the control plane (pid ")
    );
    create(&stack, dir.path(), "third");
    control_plane.stop().unwrap();

    let (code, told) = with(&["restore", "--from", backups[1]]);
    assert_eq!(code, Some(0), "{told}");
    let kept = told["kept"].to_string();
    assert!(
        kept.contains("rollouts.db.corrupt-") && kept.contains("rollouts.used.corrupt-"),
        "{kept}"
    );
    for _ in 0..2 {
        let (code, told) = with(&["migrate"]);
        assert_eq!(code, Some(0), "{told}");
        assert_eq!(told["databases"][1]["message"], "Schema up to date (version 2)");
    }
    let (code, told) = with(&["maintain"]);
    assert_eq!((code, &told["databases"][1]["status"]), (Some(0), &json!("done")), "{told}");
    let (code, told) = with(&["status", "--check", "full"]);
    assert_eq!((code, &told["databases"][1]["integrity"]), (Some(0), &json!("ok")), "{told}");
    assert_eq!(told["databases"][1]["schema_version"], told["databases"][1]["latest_version"]);

    let control_plane = stack.orchestrator().unwrap();
    assert_eq!(plans(&stack), 1, "what the backup had");
    create(&stack, dir.path(), "fourth");
    control_plane.stop().unwrap();
}
