//! DB-6: `VACUUM` is killed while it writes.
//!
//! Where it is, is seen from outside: in WAL mode the new pages go to the log, otherwise the old ones go to the journal. A kill counts
//! when that file had grown to where it was asked for and the program was still there to be killed.

use std::{
    fs,
    os::unix::process::ExitStatusExt as _,
    path::Path,
    process::Stdio,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use rusqlite::Connection;

use super::{text, told};
use crate::{
    harness::{Bin, SOON, program},
    stories::{Narrator, drill::Fault},
};

/// Kills in each mode.
const KILLS: u64 = 10;
/// Rows of the database; every second one is removed again.
const ROWS: i64 = 40_000;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_micros(200);

/// A journal mode, and the file that grows while `VACUUM` writes.
const MODES: [(&str, &str); 2] = [("wal", "-wal"), ("delete", "-journal")];

/// What a database holds, in a few numbers.
type Content = (i64, i64, i64, String);

pub(super) fn killed(dir: &Path, fault: Fault, narrator: &mut Narrator) -> Result<()> {
    for (mode, suffix) in MODES {
        let database = dir.join(format!("{mode}.db"));
        let content = grown(&database, mode)?;
        let growing = dir.join(format!("{mode}.db{suffix}"));
        let mut whole = true;
        let asked = format!("proof: {KILLS} times VACUUM was killed while it wrote ({mode})");
        narrator.check(&asked, || {
            for round in 0..KILLS {
                // Early, late, and between; the whole file is about 5 MiB.
                kill_in_the_middle(&database, &growing, round * (400 << 10), fault)?;
                whole &= content_of(&database).is_ok_and(|it| it == content);
                spoil(&database)?;
            }
            Ok(())
        });
        narrator.check(
            &format!("after each kill it opens, is sound and has every row ({mode})"),
            || {
                ensure!(whole, "it is not what it was");
                Ok(())
            },
        );
        narrator.check(&format!("it was never said to be maintained ({mode})"), || {
            ensure!(!dir.join(format!("{mode}.db.maintenance.json")).exists(), "it was");
            Ok(())
        });
        narrator.check(&format!("left alone, the next run does it ({mode})"), || {
            let before = fs::metadata(&database)?.len();
            let (code, told) = told(&["maintain", text(&database)?])?;
            ensure!(code == Some(0) && told["databases"][0]["status"] == "done", "{told}");
            ensure!(content_of(&database)? == content, "it is not what it was");
            ensure!(fs::metadata(&database)?.len() < before, "it did not become smaller");
            Ok(())
        });
    }
    Ok(())
}

/// A database of which half is unused.
fn grown(path: &Path, mode: &str) -> Result<Content> {
    let conn = Connection::open(path)?;
    conn.query_row(&format!("PRAGMA journal_mode = {mode}"), [], |_| Ok(()))?;
    conn.execute_batch("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT); CREATE INDEX i ON t (x);")?;
    conn.execute(
        "INSERT INTO t WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < ?1)
         SELECT n, hex(randomblob(50)) FROM c",
        [ROWS],
    )?;
    conn.execute_batch("DELETE FROM t WHERE n % 2 = 0")?;
    drop(conn);
    content_of(path)
}

/// Makes pages unused again, so that the next `VACUUM` has as much to do.
fn spoil(path: &Path) -> Result<()> {
    let conn = Connection::open(path)?;
    conn.execute_batch(
        "CREATE TABLE waste (x); INSERT INTO waste WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 2000)
         SELECT randomblob(500) FROM c; DROP TABLE waste;",
    )?;
    Ok(())
}

/// What a sound database holds.
fn content_of(path: &Path) -> Result<Content> {
    let conn = Connection::open(path)?;
    let found: String = conn.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    ensure!(found == "ok", "{found}");
    let sql = "SELECT count(*), sum(n), sum(length(x)), max(x) FROM t";
    Ok(conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))?)
}

/// Starts maintenance and kills it once more than `len` bytes are in the file that grows.
fn kill_in_the_middle(database: &Path, growing: &Path, len: u64, fault: Fault) -> Result<()> {
    let mut command = program(Bin::Autonomy)?;
    command.args(["db", "maintain", text(database)?]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    let deadline = Instant::now() + SOON;
    loop {
        if fs::metadata(growing).is_ok_and(|it| it.len() > len) {
            break;
        }
        if let Some(status) = child.try_wait()? {
            bail!("it ended by itself ({status}) before {} had {len} bytes", growing.display());
        }
        ensure!(Instant::now() < deadline, "it wrote nothing");
        thread::park_timeout(LOOK_AGAIN);
    }
    if fault == Fault::Injected {
        child.kill()?;
    }
    let status = child.wait().context("it cannot be waited for")?;
    ensure!(status.signal() == Some(9), "it ended by itself: {status}");
    Ok(())
}
