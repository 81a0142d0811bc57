//! A process that serves, so that its threads, its memory and those of the callers are not the same.

use std::{path::Path, sync::Arc};

use anyhow::{Result, ensure};
use audit::{Category, Filter};
use orchestrator::Config;
use rollout_store::{ListQuery, RolloutReader as _, SqliteReader};
use rusqlite::Connection;
use tokio::net::TcpListener;
use vfs::{OsVfs, Vfs};

use super::{
    SERVER,
    client::{self, Ask},
    plain::PLAN_LEN,
};
use crate::calls::{Server, input_ended};

/// Directory of the audit trail, below that of the stores.
const AUDIT: &str = "audit";

/// Starts the service over a directory, and waits until its stores are open.
pub(crate) fn start(dir: &Path) -> Result<Server> {
    let server = Server::spawn(&[SERVER], dir)?;
    client::once(server.port(), &Ask::get("/v1/health"))?;
    Ok(server)
}

/// Serves `dir` until the input ends: permissions not enforced, everything on record.
pub(crate) fn serve(dir: &Path) -> Result<()> {
    let config = Config::from_lookup(Some(dir.to_owned()), &|_| None)?;
    let config = Config { enforcement: false, audit_dir: dir.join(AUDIT), ..config };
    let threads = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    threads.block_on(async {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        println!("{}", listener.local_addr()?.port());
        orchestrator::serve(config, listener, input_ended()).await?;
        Ok(())
    })
}

/// Every answered create is there and on record, and none besides.
pub(crate) fn check_creates(dir: &Path, want: u64) -> Result<()> {
    let path = dir.join(orchestrator::names::ROLLOUTS);
    let query = ListQuery { phase: None, after: None, limit: 1 };
    let found = SqliteReader::open(&path)?.rollouts(&query)?.total;
    ensure!(found == want, "{found} plans, not {want}");
    let vfs: Arc<dyn Vfs> = Arc::new(OsVfs);
    let filter = Filter { category: Some(Category::Rollout), ..Filter::default() };
    let mut told = 0;
    for record in audit::newest(&vfs, &dir.join(AUDIT), &filter)? {
        record?;
        told += 1;
    }
    ensure!(told == want, "{told} records of plans, not {want}");
    let sql = "SELECT avg(length(body)) FROM rollouts";
    let len: f64 = Connection::open(path)?.query_row(sql, [], |row| row.get(0))?;
    let plain = PLAN_LEN as f64;
    ensure!((len / plain - 1.0).abs() < 0.1, "a plan has {len} bytes, the plain one {plain}");
    Ok(())
}

/// Every answered event is there, and none besides.
pub(crate) fn check_events(dir: &Path, want: u64) -> Result<()> {
    let conn = Connection::open(dir.join(orchestrator::names::DATABASE))?;
    let found: i64 = conn.query_row("SELECT count(*) FROM events", [], |row| row.get(0))?;
    ensure!(found.unsigned_abs() == want, "{found} events, not {want}");
    Ok(())
}
