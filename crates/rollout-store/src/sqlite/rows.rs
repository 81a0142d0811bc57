//! Rows inside a transaction.

use rusqlite::{Connection, OptionalExtension as _, Row, named_params, params};
use serde::{Serialize, de::DeserializeOwned};

use super::failure::row_error;
use crate::{
    evidence::{Progress, Report},
    idempotency::Remembered,
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
    node::Node,
    release::Release,
    rollout::Rollout,
    store::{About, Noted, RowError, Rows},
};

/// The rows of a connection.
pub(super) struct SqliteRows<'c>(pub(super) &'c Connection);

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn failed(error: rusqlite::Error) -> RowError {
    row_error(&error)
}

fn encode<T: Serialize>(it: &T) -> Result<String, RowError> {
    serde_json::to_string(it).map_err(|error| RowError::Refused { detail: error.to_string() })
}

fn decode<T: DeserializeOwned>(what: &str, body: &str) -> Result<T, RowError> {
    let refused = |error: serde_json::Error| RowError::Refused {
        detail: format!("{what} cannot be read: {error}"),
    };
    serde_json::from_str(body).map_err(refused)
}

/// Reads the record of a plan; one that breaks its invariants is as unreadable as broken JSON.
pub(super) fn decode_rollout(id: &str, body: &str) -> Result<Rollout, String> {
    let rollout: Rollout = serde_json::from_str(body).map_err(|error| error.to_string())?;
    if rollout.id().as_str() != id {
        return Err(format!("it is the record of `{}`", rollout.id()));
    }
    if !rollout.is_sound() {
        return Err("it breaks its own invariants".to_owned());
    }
    Ok(rollout)
}

/// Reads a text that was checked before it was written.
fn name<T: TryFrom<String, Error = crate::NameError>>(text: String) -> rusqlite::Result<T> {
    T::try_from(text).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(0, rusqlite::types::Type::Text, Box::new(error))
    })
}

pub(super) fn read_node(row: &Row<'_>) -> rusqlite::Result<Node> {
    let release: Option<String> = row.get("release")?;
    Ok(Node {
        id: name(row.get("id")?)?,
        channel: name(row.get("channel")?)?,
        last_seen: row.get::<_, Option<i64>>("last_seen")?.map(Moment::from_unix_ms),
        release: release.map(name).transpose()?,
        plan: row.get::<_, Option<String>>("plan")?.map(name).transpose()?,
        lock_fingerprint: row.get("lock_fingerprint")?,
        version: row.get("version")?,
    })
}

pub(super) fn read_report(row: &Row<'_>) -> rusqlite::Result<Report> {
    let progress: String = row.get("progress")?;
    let unknown = || rusqlite::Error::InvalidColumnName(format!("progress `{progress}`"));
    Ok(Report {
        progress: Progress::parse(&progress).ok_or_else(unknown)?,
        attempt: row.get("attempt")?,
        at: Moment::from_unix_ms(row.get("at")?),
        detail: row.get("detail")?,
    })
}

pub(super) fn read_note(row: &Row<'_>) -> rusqlite::Result<Noted> {
    let about: String = row.get(3)?;
    // What it led to helps a reader; the text alone is what has to be told.
    let about = serde_json::from_str(&about).unwrap_or_default();
    let at = Moment::from_unix_ms(row.get(1)?);
    Ok(Noted { number: row.get::<_, i64>(0)?.unsigned_abs(), at, text: row.get(2)?, about })
}

pub(super) const NODE: &str =
    "SELECT id, channel, last_seen, release, plan, lock_fingerprint, version FROM nodes";

impl SqliteRows<'_> {
    fn body(&self, sql: &str, key: impl rusqlite::ToSql) -> Result<Option<String>, RowError> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.query_row([key], |row| row.get(0)).optional().map_err(failed)
    }

    fn put_rollout(&self, sql: &str, rollout: &Rollout) -> Result<usize, RowError> {
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let row = named_params! {
            ":id": rollout.id().as_str(),
            ":phase": rollout.phase().name(),
            ":channel": rollout.plan().channel.as_str(),
            ":live": rollout.phase().is_live(),
            ":quiet_since": rollout.quiet_since().unix_ms(),
            ":body": encode(rollout)?,
        };
        statement.execute(row).map_err(failed)
    }
}

impl Rows for SqliteRows<'_> {
    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, RowError> {
        let body = self.body("SELECT body FROM rollouts WHERE id = ?1", id.as_str())?;
        let unreadable = |why| RowError::Unreadable { plan_id: id.to_string(), why };
        body.map(|it| decode_rollout(id.as_str(), &it).map_err(unreadable)).transpose()
    }

    fn insert_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError> {
        let sql = "INSERT INTO rollouts (id, phase, channel, live, quiet_since, body)
                   VALUES (:id, :phase, :channel, :live, :quiet_since, :body)";
        self.put_rollout(sql, rollout).map(drop)
    }

    fn update_rollout(&mut self, rollout: &Rollout) -> Result<(), RowError> {
        let sql = "UPDATE rollouts SET phase = :phase, channel = :channel, live = :live,
                   quiet_since = :quiet_since, body = :body WHERE id = :id";
        match self.put_rollout(sql, rollout)? {
            1 => Ok(()),
            rows => Err(RowError::Refused { detail: format!("{rows} rows were changed") }),
        }
    }

    fn report(&self, plan: &PlanId, node: &NodeId) -> Result<Option<Report>, RowError> {
        let sql = "SELECT progress, attempt, at, detail FROM reports
                   WHERE plan_id = ?1 AND node_id = ?2";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.query_row([plan.as_str(), node.as_str()], read_report).optional().map_err(failed)
    }

    fn put_report(&mut self, plan: &PlanId, node: &NodeId, it: &Report) -> Result<(), RowError> {
        let sql = "INSERT OR REPLACE INTO reports VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let (progress, at) = (it.progress.name(), it.at.unix_ms());
        let row = params![plan.as_str(), node.as_str(), progress, it.attempt, at, it.detail];
        statement.execute(row).map(drop).map_err(failed)
    }

    fn node(&self, id: &NodeId) -> Result<Option<Node>, RowError> {
        let sql = format!("{NODE} WHERE id = ?1");
        let mut statement = self.0.prepare_cached(&sql).map_err(failed)?;
        statement.query_row([id.as_str()], read_node).optional().map_err(failed)
    }

    fn node_count(&self) -> Result<u64, RowError> {
        let sql = "SELECT n FROM counts WHERE name = 'nodes'";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let count = statement.query_row([], |row| row.get::<_, i64>(0)).optional();
        Ok(count.map_err(failed)?.map_or(0, i64::unsigned_abs))
    }

    fn put_node(&mut self, node: &Node) -> Result<(), RowError> {
        let sql =
            "INSERT INTO nodes (id, channel, last_seen, release, plan, lock_fingerprint, version)
            VALUES (:id, :channel, :last_seen, :release, :plan, :lock, :version)
            ON CONFLICT (id) DO UPDATE SET channel = :channel, last_seen = :last_seen,
            release = :release, plan = :plan, lock_fingerprint = :lock, version = :version";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let row = named_params! {
            ":id": node.id.as_str(),
            ":channel": node.channel.as_str(),
            ":last_seen": node.last_seen.map(Moment::unix_ms),
            ":release": node.release.as_ref().map(ReleaseId::as_str),
            ":plan": node.plan.as_ref().map(PlanId::as_str),
            ":lock": node.lock_fingerprint,
            ":version": node.version,
        };
        statement.execute(row).map(drop).map_err(failed)
    }

    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, RowError> {
        let body = self.body("SELECT body FROM releases WHERE id = ?1", id.as_str())?;
        body.map(|it| decode("the release", &it)).transpose()
    }

    fn latest_sequence(&self, channel: &Channel) -> Result<Option<u64>, RowError> {
        let sql = "SELECT max(sequence) FROM releases WHERE channel = ?1";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let latest = statement.query_row([channel.as_str()], |row| row.get::<_, Option<i64>>(0));
        Ok(latest.map_err(failed)?.map(i64::unsigned_abs))
    }

    fn insert_release(&mut self, release: &Release) -> Result<(), RowError> {
        let too_large = |_| RowError::Refused { detail: "sequence beyond 64 bits".to_owned() };
        let sequence = i64::try_from(release.sequence).map_err(too_large)?;
        let sql = "INSERT INTO releases VALUES (?1, ?2, ?3, ?4)";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let (id, channel) = (release.asked.id.as_str(), release.asked.channel.as_str());
        let row = params![id, channel, sequence, encode(release)?];
        statement.execute(row).map(drop).map_err(failed)
    }

    fn remembered(&self, key: &[u8; 32]) -> Result<Option<Remembered>, RowError> {
        let body = self.body("SELECT body FROM remembered WHERE key = ?1", key.as_slice())?;
        body.map(|it| decode("the record of the key", &it)).transpose()
    }

    fn remember(&mut self, key: &[u8; 32], it: &Remembered) -> Result<(), RowError> {
        let sql = "INSERT OR REPLACE INTO remembered VALUES (?1, ?2, ?3)";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let row = params![key.as_slice(), it.at.unix_ms(), encode(it)?];
        statement.execute(row).map(drop).map_err(failed)
    }

    fn put_note(&mut self, text: &str, about: &About, at: Moment) -> Result<u64, RowError> {
        let sql = "INSERT INTO notes (at, text, about) VALUES (?1, ?2, ?3)";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        let row = params![at.unix_ms(), text, encode(about)?];
        statement.insert(row).map(i64::unsigned_abs).map_err(failed)
    }

    fn drop_notes(&mut self, through: u64) -> Result<(), RowError> {
        let through = i64::try_from(through).unwrap_or(i64::MAX);
        let mut statement =
            self.0.prepare_cached("DELETE FROM notes WHERE number <= ?1").map_err(failed)?;
        statement.execute([through]).map(drop).map_err(failed)
    }

    fn forget(&mut self, before: Moment, limit: u32) -> Result<(), RowError> {
        let sql = "DELETE FROM remembered WHERE key IN
                   (SELECT key FROM remembered WHERE at < ?1 ORDER BY at LIMIT ?2)";
        let mut statement = self.0.prepare_cached(sql).map_err(failed)?;
        statement.execute(params![before.unix_ms(), limit]).map(drop).map_err(failed)
    }
}
