//! One transaction for many requests.
//!
//! Requests that wait are committed together, because the sync costs the same for one as for many.
//! When such a transaction fails for a reason that can lie in one of them, each is committed alone,
//! so that only the guilty one is refused (O2).

use std::collections::BTreeMap;

use rollout_store::database::EVENTS_PER_BLOCK;
use rusqlite::{Connection, Error, TransactionBehavior, named_params, params};

use super::{
    NewEvent, Stored,
    failure::{Class, classify},
};

const INSERT_EVENT: &str = "
    INSERT INTO events (event_id, event_type, node_id, at_ns, body)
    VALUES (?1, ?2, ?3, ?4, ?5)
    ON CONFLICT (event_id) DO NOTHING";

const RAISE_BLOCK: &str = "
    INSERT INTO event_blocks (block, latest_ns) VALUES (:block, :latest_ns)
    ON CONFLICT (block) DO UPDATE SET latest_ns = max(latest_ns, excluded.latest_ns)";

/// What became of a group.
#[derive(Debug)]
pub(super) struct Group {
    /// Of each request, in their order. `Ok` is durable; `Err` left no trace.
    pub(super) outcomes: Vec<Result<Stored, Error>>,
    /// The largest id that was committed; `None` when nothing was inserted.
    pub(super) last: Option<i64>,
}

/// Commits `requests`, together or, when that fails for a reason that can lie in one, each alone.
pub(super) fn commit_group(conn: &mut Connection, requests: &[&[NewEvent]]) -> Group {
    match commit(conn, requests) {
        Ok((stored, last)) => Group { outcomes: stored.into_iter().map(Ok).collect(), last },
        Err(error) if requests.len() > 1 && may_be_one_request(&error) => {
            let mut last = None;
            let alone = |request: &&[NewEvent]| {
                let (stored, id) = commit_alone(conn, request)?;
                last = last.max(id);
                Ok(stored)
            };
            let outcomes = requests.iter().map(alone).collect();
            Group { outcomes, last }
        }
        Err(error) => Group { outcomes: same_for_all(&error, requests.len()), last: None },
    }
}

fn commit_alone(
    conn: &mut Connection,
    request: &[NewEvent],
) -> Result<(Stored, Option<i64>), Error> {
    let (stored, last) = commit(conn, &[request])?;
    let stored = stored.into_iter().next().ok_or(Error::QueryReturnedNoRows)?;
    Ok((stored, last))
}

/// A lock, damage or an IO error meets every request alike; trying again would only repeat it (S3).
fn may_be_one_request(error: &Error) -> bool {
    matches!(classify(error), Class::Full | Class::Other)
}

/// [`Error`] is not `Clone`; its code and message are all that is used.
fn same_for_all(error: &Error, count: usize) -> Vec<Result<Stored, Error>> {
    let code = error.sqlite_error().copied().unwrap_or_else(|| rusqlite::ffi::Error::new(1));
    (0..count).map(|_| Err(Error::SqliteFailure(code, Some(error.to_string())))).collect()
}

fn commit(
    conn: &mut Connection,
    requests: &[&[NewEvent]],
) -> Result<(Vec<Stored>, Option<i64>), Error> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut latest = BTreeMap::new();
    let mut last = None;
    let mut stored = Vec::with_capacity(requests.len());
    {
        let mut insert = transaction.prepare_cached(INSERT_EVENT)?;
        for request in requests {
            let (of_request, id) = insert_all(&transaction, &mut insert, request, &mut latest)?;
            stored.push(of_request);
            last = last.max(id);
        }
        let mut raise = transaction.prepare_cached(RAISE_BLOCK)?;
        for (block, latest_ns) in latest {
            raise.execute(named_params! { ":block": block, ":latest_ns": latest_ns })?;
        }
    }
    transaction.commit()?;
    Ok((stored, last))
}

fn insert_all(
    conn: &Connection,
    insert: &mut rusqlite::Statement<'_>,
    events: &[NewEvent],
    latest: &mut BTreeMap<i64, i64>,
) -> Result<(Stored, Option<i64>), Error> {
    let mut last = None;
    let mut stored = Stored::default();
    for event in events {
        let NewEvent { event_id, event_type, node_id, at_ns, body } = event;
        let rows = insert.execute(params![event_id, event_type, node_id, at_ns, body])?;
        if rows == 0 {
            stored.deduped += 1;
            continue;
        }
        stored.inserted += 1;
        let id = conn.last_insert_rowid();
        last = last.max(Some(id));
        let block = id / EVENTS_PER_BLOCK;
        let of_block = latest.entry(block).or_insert(event.at_ns);
        *of_block = event.at_ns.max(*of_block);
    }
    Ok((stored, last))
}
