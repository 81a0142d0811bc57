//! What happens to databases when they are written, locked, damaged or killed under `autonomy db`.
//!
//! The program is another process than the one that tells the story, and the locks are those of the kernel.

mod vacuum;

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicBool, AtomicI64, Ordering},
    thread,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rusqlite::{Connection, config::DbConfig};
use serde_json::Value;

use crate::{
    harness::{Finished, autonomy, eventually},
    stories::{
        Narrator,
        drill::{Drill, Fault, Needs},
    },
};

/// Every drill about databases.
pub(super) const DRILLS: &[Drill] = &[
    Drill {
        name: "DB-1",
        hypothesis: "a backup under a writer is sound and holds a prefix of the commits",
        fault: "another process commits in WAL mode, without a pause, while the backup is made",
        expected: "exit 0, with source, destination, size and schema version",
        needs: Needs::Nothing,
        lines: &[],
        play: backup_under_a_writer,
    },
    Drill {
        name: "DB-2",
        hypothesis: "a log that was left beside a damaged database is not played over the backup",
        fault: "the log of later commits lies beside the database",
        expected: "exit 0, with the names under which the old files are kept",
        needs: Needs::Nothing,
        lines: &[],
        play: restore_beside_a_log,
    },
    Drill {
        name: "DB-3",
        hypothesis: "a migration that was done is not done again",
        fault: "migrate is run a second time",
        expected: "Schema up to date, exit 0",
        needs: Needs::Nothing,
        lines: &[],
        play: migrate_twice,
    },
    Drill {
        name: "DB-4",
        hypothesis: "a migration that fails leaves the version before it, and nothing comes after it",
        fault: "the second of three migrations writes to a table that is not there",
        expected: "DB_MIGRATION_FAILED with the version that stays, exit 1",
        needs: Needs::Nothing,
        lines: &[],
        play: migration_fails,
    },
    Drill {
        name: "DB-5",
        hypothesis: "maintenance of a database that is in use does nothing and stays due",
        fault: "another process has a transaction open",
        expected: "status busy, exit 0; 75 with --strict-exit",
        needs: Needs::Nothing,
        lines: &[],
        play: maintain_while_locked,
    },
    Drill {
        name: "DB-6",
        hypothesis: "a database whose VACUUM was killed opens and has every row",
        fault: "SIGKILL while VACUUM writes, with and without WAL mode",
        expected: "nothing: the next command works",
        needs: Needs::Nothing,
        lines: &[],
        play: vacuum::killed,
    },
];

/// Rows that make a backup take its time.
const ROWS_BEFORE: i64 = 40_000;
/// Commits of the writer before the backup begins.
const COMMITS_BEFORE: i64 = 20;

/// Runs `autonomy db` with `--output json`.
fn db(words: &[&str]) -> Result<Finished> {
    autonomy(&[&["db"], words, &["--output", "json"]].concat())
}

/// The one document that it printed, and its exit code.
fn told(words: &[&str]) -> Result<(Option<i32>, Value)> {
    let ended = db(words)?;
    let value = serde_json::from_str(&ended.stdout).with_context(|| format!("{ended:?}"))?;
    Ok((ended.code(), value))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path in UTF-8")
}

/// A new database in WAL mode with `schema_version` and a table of numbers.
fn numbered(path: &Path, rows: i64) -> Result<Connection> {
    let conn = Connection::open(path)?;
    conn.busy_timeout(Duration::from_secs(30))?;
    conn.execute_batch(
        "PRAGMA journal_mode = WAL;
         CREATE TABLE schema_version (version INTEGER PRIMARY KEY, migrated_at TEXT, name TEXT);
         INSERT INTO schema_version VALUES (1, '2026-01-01T00:00:00Z', 'first');
         CREATE TABLE t (n INTEGER PRIMARY KEY, x BLOB);",
    )?;
    let sql =
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
               SELECT n, randomblob(200) FROM c WHERE ?1 > 0";
    conn.execute(sql, [rows])?;
    Ok(conn)
}

/// The largest number of a database that is sound and has every number up to it.
fn prefix(path: &Path) -> Result<i64> {
    let conn = Connection::open(path)?;
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(found == "ok", "{}: {found}", path.display());
    let (count, last): (i64, i64) =
        conn.query_row("SELECT count(*), coalesce(max(n), 0) FROM t", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
    ensure!(count == last, "{count} numbers up to {last}");
    Ok(last)
}

/// Commits one number after the other, and counts those that are committed.
fn write_until(conn: &mut Connection, committed: &AtomicI64, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::SeqCst) {
        let next = committed.load(Ordering::SeqCst) + 1;
        let transaction = conn.transaction()?;
        transaction.execute("INSERT INTO t VALUES (?1, randomblob(200))", [next])?;
        transaction.commit()?;
        committed.store(next, Ordering::SeqCst);
    }
    Ok(())
}

fn backup_under_a_writer(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let (source, copy) = (dir.join("a.db"), dir.join("copy.db"));
    let mut conn = numbered(&source, ROWS_BEFORE)?;
    let (committed, stop) = (AtomicI64::new(ROWS_BEFORE), AtomicBool::new(false));
    let (mut before, mut after, mut ended) = (0, 0, None);
    thread::scope(|scope| -> Result<()> {
        let write = || write_until(&mut conn, &committed, &stop);
        let writer = (fault == Fault::Injected).then(|| scope.spawn(write));
        if writer.is_some() {
            let begun = || committed.load(Ordering::SeqCst) >= ROWS_BEFORE + COMMITS_BEFORE;
            eventually("the writer commits", || begun().then_some(()))?;
        }
        before = committed.load(Ordering::SeqCst);
        ended = Some(told(&["backup", text(&source)?, "--backup-path", text(&copy)?]));
        after = committed.load(Ordering::SeqCst);
        stop.store(true, Ordering::SeqCst);
        writer.map_or(Ok(()), |it| it.join().map_err(|_| anyhow::anyhow!("the writer panicked"))?)
    })?;
    narrator.check("proof: commits returned while the backup was made", || {
        ensure!(after > before, "none did: {before} before, {after} after");
        Ok(())
    });
    narrator.check("the backup says what it copied, and where to", || {
        let (code, told) = ended.take().context("not run")??;
        ensure!(code == Some(0), "{told}");
        let made = &told["databases"][0];
        ensure!(made["source"] == text(&source)? && made["destination"] == text(&copy)?, "{told}");
        ensure!(
            made["schema_version"] == 1 && made["size"] == fs::metadata(&copy)?.len(),
            "{told}"
        );
        Ok(())
    });
    narrator.check("it is sound, and holds every commit up to one of those during it", || {
        let last = prefix(&copy)?;
        ensure!((before..=after).contains(&last), "{last} is not from {before} to {after}");
        Ok(())
    });
    narrator.check("the source has every commit, and no draft is left", || {
        ensure!(prefix(&source)? == committed.load(Ordering::SeqCst), "the source lost some");
        ensure!(!dir.join("copy.db.tmp").exists(), "a draft is left");
        Ok(())
    });
    Ok(())
}

/// Leaves a database as a kill does: what was committed last stands in its log only.
fn leave_log(conn: Connection, rows: i64) -> Result<()> {
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    for _ in 0..rows {
        conn.execute("INSERT INTO t VALUES (NULL, randomblob(200))", [])?;
    }
    conn.close().map_err(|(_, error)| error.into())
}

fn restore_beside_a_log(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let (database, good, trial) = (dir.join("a.db"), dir.join("good.db"), dir.join("trial.db"));
    let conn = numbered(&database, 500)?;
    conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")?;
    let (code, made) = told(&["backup", text(&database)?, "--backup-path", text(&good)?])?;
    ensure!(code == Some(0), "{made}");
    if fault == Fault::Injected {
        leave_log(conn, 300)?;
    } else {
        drop(conn);
    }
    let log = dir.join("a.db-wal");
    narrator.check("proof: copied beside that log, the backup would not be the backup", || {
        ensure!(log.exists(), "there is no log");
        fs::copy(&good, &trial)?;
        fs::copy(&log, dir.join("trial.db-wal"))?;
        let played = prefix(&trial).map_or(-1, |it| it);
        ensure!(played != 500, "it is the same: the log is harmless");
        Ok(())
    });
    // The damage: a page of the database is gone.
    let mut bytes = fs::read(&database)?;
    bytes.get_mut(4096..8192).context("two pages")?.fill(0xa5);
    fs::write(&database, &bytes)?;
    let old = [("a.db", bytes), ("a.db-wal", fs::read(&log).unwrap_or_default())];
    let mut kept = Vec::new();
    narrator.check("the restore says where the old files are", || {
        let (code, told) = told(&["restore", text(&database)?, "--from", text(&good)?])?;
        ensure!(code == Some(0), "{told}");
        let named = told["kept"].as_array().context("no list")?.iter();
        kept = named.filter_map(|it| it.as_str().map(str::to_owned)).collect();
        ensure!(kept.iter().all(|it| it.contains(".corrupt-")), "{told}");
        Ok(())
    });
    narrator.check("they are there, byte for byte", || {
        for (name, content) in &old {
            let found = kept
                .iter()
                .find(|it| it.ends_with("-wal") == name.ends_with("-wal") && !it.ends_with("-shm"));
            let found = fs::read(found.with_context(|| format!("{name} is not in {kept:?}"))?)?;
            ensure!(found == *content, "{name} has changed");
        }
        Ok(())
    });
    narrator.check(
        "nothing lies beside the database, and its content is that of the backup",
        || {
            ensure!(!log.exists(), "a log is left");
            ensure!(prefix(&database)? == 500, "another number of rows");
            let conn = Connection::open(&database)?;
            conn.execute("ATTACH ?1 AS good", [text(&good)?])?;
            let sql = "SELECT count(*) FROM (SELECT * FROM main.t EXCEPT SELECT * FROM good.t)";
            let other: i64 = conn.query_row(sql, [], |row| row.get(0))?;
            ensure!(other == 0, "{other} rows differ");
            Ok(())
        },
    );
    Ok(())
}

/// Writes a directory of migrations.
fn migrations(dir: &Path, files: &[(&str, &str)]) -> Result<String> {
    let path = dir.join("migrations");
    fs::create_dir_all(&path)?;
    for (name, sql) in files {
        fs::write(path.join(name), sql)?;
    }
    Ok(text(&path)?.to_owned())
}

fn migrate_twice(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let database = dir.join("a.db");
    let files = [
        ("0001_first.sql", "CREATE TABLE t (x);"),
        ("0002_more.sql", "ALTER TABLE t ADD COLUMN y;"),
    ];
    let migrations = migrations(dir, &files)?;
    let migrate = || autonomy(&["db", "migrate", text(&database)?, "--migrations", &migrations]);
    narrator.check("the first run applies both migrations", || {
        let ended = migrate()?;
        ensure!(ended.code() == Some(0), "{ended:?}");
        ensure!(ended.stdout.contains("2 migrations applied: version 0 to 2"), "{ended:?}");
        Ok(())
    });
    let after_first = fs::read(&database)?;
    let second = (fault == Fault::Injected).then(migrate).transpose()?;
    let second =
        narrator.check("proof: migrate was run a second time", || second.context("it was not"));
    narrator.check("the second run says that the schema is up to date, with the version", || {
        let ended = second.as_ref().context("not run")?;
        ensure!(ended.code() == Some(0), "{ended:?}");
        ensure!(ended.stdout.contains("Schema up to date (version 2)"), "{ended:?}");
        Ok(())
    });
    narrator.check("and changes no byte", || {
        ensure!(fs::read(&database)? == after_first, "it did");
        Ok(())
    });
    Ok(())
}

fn migration_fails(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let database = dir.join("a.db");
    let second = match fault {
        Fault::Injected => "CREATE TABLE b (x); INSERT INTO nowhere VALUES (1);",
        Fault::LeftOut => "CREATE TABLE b (x);",
    };
    let first = ("0001_a.sql", "CREATE TABLE a (x);");
    let migrations =
        migrations(dir, &[first, ("0002_b.sql", second), ("0003_c.sql", "CREATE TABLE c (x);")])?;
    let words = ["migrate", text(&database)?, "--migrations", &migrations];
    let (code, told) = told(&words)?;
    narrator.check("proof: the second migration cannot be applied", || {
        ensure!(told["error"]["code"] == "DB_MIGRATION_FAILED", "{told}");
        Ok(())
    });
    narrator.check("the command fails, and says which version failed and which stays", || {
        ensure!(code == Some(1), "exit code {code:?}");
        let report = &told["report"];
        ensure!(report["failed_version"] == 2 && report["schema_version"] == 1, "{told}");
        Ok(())
    });
    let tables = || -> Result<Vec<String>> {
        let conn = Connection::open(&database)?;
        let mut names = conn.prepare("SELECT name FROM sqlite_schema ORDER BY name")?;
        let names = names.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok(names)
    };
    narrator.check("nothing of it and nothing behind it is in the database", || {
        let found = tables()?;
        ensure!(found == ["a", "schema_version"], "{found:?}");
        Ok(())
    });
    narrator.check("run again it fails alike, and mended it goes on from there", || {
        let (code, again) = self::told(&words)?;
        ensure!(code == Some(1) && again["report"] == told["report"], "{again}");
        fs::write(dir.join("migrations/0002_b.sql"), "CREATE TABLE b (x);")?;
        let (code, mended) = self::told(&words)?;
        let done = &mended["databases"][0];
        ensure!(code == Some(0) && done["from_version"] == 1, "{mended}");
        ensure!(tables()? == ["a", "b", "c", "schema_version"], "{mended}");
        Ok(())
    });
    Ok(())
}

fn maintain_while_locked(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    let database = dir.join("a.db");
    drop(numbered(&database, 200)?);
    let words = ["maintain", text(&database)?, "--wait", "50ms"];
    let mut last = Value::Null;
    narrator.check("a database that nobody uses is maintained", || {
        let (code, told) = told(&words)?;
        let done = &told["databases"][0];
        ensure!(code == Some(0) && done["status"] == "done", "{told}");
        last = done["last_run_at"].clone();
        ensure!(last.is_string(), "{told}");
        Ok(())
    });
    let holder = Connection::open(&database)?;
    if fault == Fault::Injected {
        holder.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (NULL, 'x');")?;
    }
    narrator.check("proof: nobody else can begin to write", || {
        let other = Connection::open(&database)?;
        other.busy_timeout(Duration::ZERO)?;
        ensure!(other.execute_batch("BEGIN IMMEDIATE").is_err(), "somebody can");
        Ok(())
    });
    narrator.check("it says busy, ends with 0, and the last run stays", || {
        let (code, told) = told(&words)?;
        let done = &told["databases"][0];
        ensure!(code == Some(0) && done["status"] == "busy", "{told}");
        ensure!(done["last_run_at"] == last, "{told}");
        Ok(())
    });
    narrator.check("asked for it, it ends with 75", || {
        let (code, told) = told(&[&words[..], &["--strict-exit"]].concat())?;
        ensure!(code == Some(75) && told["databases"][0]["status"] == "busy", "{told}");
        Ok(())
    });
    narrator.check("once the other is done, it is done, and the last run advances", || {
        holder.execute_batch("COMMIT")?;
        let (code, told) = told(&words)?;
        let done = &told["databases"][0];
        ensure!(code == Some(0) && done["status"] == "done", "{told}");
        ensure!(done["last_run_at"].as_str() > last.as_str(), "{told}");
        Ok(())
    });
    Ok(())
}
