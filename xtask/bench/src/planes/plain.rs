//! `SQLite` without a service: a write-ahead log, `synchronous = FULL`, and whatever the library does by itself.

use std::path::Path;

use anyhow::Result;
use rusqlite::Connection;

use super::fill::{EVENT_AT_NS, EVENT_TYPE, Event};
use crate::{
    callers,
    sample::{Sample, Window},
};

/// Bytes of a plan as the service stores it; a run of ours checks it.
pub(crate) const PLAN_LEN: usize = 946;
/// Bytes that the service stores beside a plan: the note of what goes on record.
const NOTE_LEN: usize = 310;

fn open(dir: &Path, schema: &str) -> Result<Connection> {
    let conn = Connection::open(dir.join("plain.db"))?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.execute_batch(schema)?;
    Ok(conn)
}

const PLANS: &str = "
    CREATE TABLE plans (position INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, body TEXT NOT NULL)";

/// One plan a transaction, on one thread.
pub(crate) fn plans_each(dir: &Path, window: Window) -> Result<Sample> {
    plans_grouped(dir, window, 1)
}

/// So many plans a transaction, on one thread.
pub(crate) fn plans_grouped(dir: &Path, window: Window, count: u64) -> Result<Sample> {
    let mut conn = open(dir, PLANS)?;
    let body = "x".repeat(PLAN_LEN + NOTE_LEN);
    let mut number = 0;
    let sample = callers::one(window, || {
        let transaction = conn.transaction()?;
        {
            let sql = "INSERT INTO plans (id, body) VALUES (?1, ?2)";
            let mut insert = transaction.prepare_cached(sql)?;
            for _ in 0..count {
                number += 1;
                insert.execute((format!("b{number}"), &body))?;
            }
        }
        Ok(transaction.commit()?)
    })?;
    Ok(Sample { rate: sample.rate * count as f64, ..sample })
}

const EVENTS: &str = "
    CREATE TABLE events (id INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, event_type TEXT NOT NULL,
        node_id TEXT NOT NULL, at_ns INTEGER NOT NULL, body TEXT NOT NULL);";
const INDEXES: &str = "
    CREATE INDEX events_by_node ON events (node_id);
    CREATE INDEX events_by_type ON events (event_type);
    CREATE INDEX events_by_node_and_type ON events (node_id, event_type);";

/// So many events a transaction, on one thread, with the indexes of the service or without.
pub(crate) fn events(dir: &Path, window: Window, count: u64, indexed: bool) -> Result<Sample> {
    let mut conn = open(dir, EVENTS)?;
    if indexed {
        conn.execute_batch(INDEXES)?;
    }
    let mut number = 0;
    callers::one(window, || {
        let transaction = conn.transaction()?;
        {
            let sql = "INSERT INTO events (event_id, event_type, node_id, at_ns, body)
                       VALUES (?1, ?2, ?3, ?4, ?5)";
            let mut insert = transaction.prepare_cached(sql)?;
            for _ in 0..count {
                number += 1;
                let Event { id, node, body } = Event::of("b", number);
                insert.execute((id, EVENT_TYPE, node, EVENT_AT_NS, body))?;
            }
        }
        Ok(transaction.commit()?)
    })
}
