//! Pages by key, scans by index.
//!
//! Every index is named in its query, so that no statistics can choose a plan that reads more.

use std::collections::BTreeMap;

use rusqlite::{Connection, OptionalExtension as _, Params, Row, params};

use super::{
    SqliteReader,
    failure::read_error,
    rows::{NODE, SqliteRows, decode_rollout, read_node, read_note, read_report},
};
use crate::{
    evidence::Report,
    moment::Moment,
    name::{Channel, NodeId, PlanId, ReleaseId},
    node::{FleetSummary, Node, VERSIONS_MAX},
    release::Release,
    rollout::Rollout,
    store::{
        Cursor, Epoch, LIMIT_MAX, ListQuery, Noted, Page, Quiet, ReadError, RolloutReader,
        RowError, Rows as _, Unreadable,
    },
};

/// A page ends, with a cursor, at the plan with which its records reach so many bytes.
pub(super) const PAGE_LEN_MAX: usize = 4 << 20;
/// What every query of plans selects, in the order that [`plan_row`] reads.
const PLAN: &str = "SELECT position, id, quiet_since, body FROM rollouts";

/// A plan and its position.
type Placed = (i64, Quiet);

/// The queries of this module, for the test that looks at their plans.
pub(super) mod sql {
    pub(crate) const PAGE: &str = "NOT INDEXED WHERE position < ?1 ORDER BY position DESC LIMIT ?2";
    pub(crate) const PAGE_OF_PHASE: &str = "INDEXED BY rollouts_by_phase
        WHERE phase = ?3 AND position < ?1 ORDER BY position DESC LIMIT ?2";
    pub(crate) const QUIET: &str = "INDEXED BY rollouts_quiet
        WHERE live = 1 AND quiet_since <= ?1 ORDER BY quiet_since, position LIMIT ?2";
    pub(crate) const LIVE: &str = "INDEXED BY rollouts_live
        WHERE live = 1 AND position > ?1 ORDER BY position LIMIT ?2";
    pub(crate) const LIVE_OF: &str = "INDEXED BY rollouts_live_of
        WHERE live = 1 AND channel = ?1 ORDER BY position DESC LIMIT ?2";
}

/// The epoch in the file.
pub(super) fn epoch(conn: &Connection) -> Result<Epoch, rusqlite::Error> {
    let mut statement = conn.prepare_cached("SELECT epoch FROM epoch")?;
    statement.query_row([], |row| row.get::<_, i64>(0)).map(|it| Epoch(it.unsigned_abs()))
}

#[expect(clippy::needless_pass_by_value, reason = "what `map_err` hands over")]
fn failed(error: rusqlite::Error) -> ReadError {
    read_error(&error)
}

fn of_row(error: RowError) -> ReadError {
    match error {
        RowError::Unreadable { plan_id, why } => ReadError::Unreadable { plan_id, why },
        RowError::Busy => ReadError::Busy,
        RowError::Refused { detail } | RowError::Full { detail } | RowError::Broken { detail } => {
            ReadError::Failed { detail }
        }
    }
}

/// A plan and its position. A row whose id is no name cannot be shown at all and is `None`.
fn plan_row(row: &Row<'_>) -> rusqlite::Result<Option<(i64, Quiet)>> {
    let (position, id, quiet_since) = (row.get(0)?, row.get::<_, String>(1)?, row.get(2)?);
    let Ok(plan_id) = PlanId::new(&id) else { return Ok(None) };
    let quiet_since = Moment::from_unix_ms(quiet_since);
    let unreadable = |why| Unreadable { plan_id: plan_id.clone(), quiet_since, why };
    // A body that is no text is as unreadable as one that is no JSON.
    let rollout = match row.get_ref(3)?.as_str() {
        Ok(body) => decode_rollout(&id, body).map_err(unreadable),
        Err(error) => Err(unreadable(error.to_string())),
    };
    Ok(Some((position, rollout)))
}

impl SqliteReader {
    fn plans(&self, which: &str, params: impl Params) -> Result<Vec<Placed>, ReadError> {
        let mut statement = self.conn.prepare_cached(&format!("{PLAN} {which}")).map_err(failed)?;
        let rows = statement.query_map(params, plan_row).map_err(failed)?;
        rows.filter_map(Result::transpose).collect::<Result<_, _>>().map_err(failed)
    }

    /// The same up to [`PAGE_LEN_MAX`] bytes, and whether that bound ended it.
    fn plans_of_a_page(
        &self,
        which: &str,
        params: impl Params,
    ) -> Result<(Vec<Placed>, bool), ReadError> {
        let mut statement = self.conn.prepare_cached(&format!("{PLAN} {which}")).map_err(failed)?;
        let mut rows = statement.query(params).map_err(failed)?;
        let (mut found, mut len) = (Vec::new(), 0);
        while let Some(row) = rows.next().map_err(failed)? {
            if len >= PAGE_LEN_MAX {
                return Ok((found, true));
            }
            len += row
                .get_ref(3)
                .map_err(failed)?
                .as_bytes_or_null()
                .ok()
                .flatten()
                .map_or(0, <[u8]>::len);
            found.extend(plan_row(row).map_err(failed)?);
        }
        Ok((found, false))
    }

    fn list<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, ReadError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let rows = statement.query_map(params, read).map_err(failed)?;
        rows.collect::<Result<_, _>>().map_err(failed)
    }

    fn count(&self, sql: &str, params: impl Params) -> Result<u64, ReadError> {
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let count = statement.query_row(params, |row| row.get::<_, i64>(0)).map_err(failed)?;
        Ok(count.unsigned_abs())
    }
}

impl RolloutReader for SqliteReader {
    fn epoch(&self) -> Result<Epoch, ReadError> {
        epoch(&self.conn).map_err(failed)
    }

    fn commits(&self) -> Result<u64, ReadError> {
        self.count("SELECT commits FROM epoch", [])
    }

    fn store_id(&self) -> Result<String, ReadError> {
        let mut statement =
            self.conn.prepare_cached("SELECT store_id FROM epoch").map_err(failed)?;
        statement.query_row([], |row| row.get(0)).map_err(failed)
    }

    fn notes(&self, after: u64, limit: u32) -> Result<Vec<Noted>, ReadError> {
        let sql = "SELECT number, at, text, about FROM notes WHERE number > ?1
                   ORDER BY number LIMIT ?2";
        let after = i64::try_from(after).unwrap_or(i64::MAX);
        self.list(sql, params![after, limit], read_note)
    }

    fn rollout(&self, id: &PlanId) -> Result<Option<Rollout>, ReadError> {
        SqliteRows(&self.conn).rollout(id).map_err(of_row)
    }

    fn rollouts(&self, query: &ListQuery) -> Result<Page, ReadError> {
        let before = query.after.map_or(i64::MAX, Cursor::position);
        let limit = query.limit.clamp(1, LIMIT_MAX) as usize;
        // One more than asked for tells whether something follows.
        let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let counted = "SELECT coalesce(sum(n), 0) FROM counts WHERE name";
        let ((mut found, cut), total) = if let Some(phase) = query.phase {
            let found = self.plans_of_a_page(sql::PAGE_OF_PHASE, params![before, rows, phase])?;
            (found, self.count(&format!("{counted} = ?1"), [phase])?)
        } else {
            let found = self.plans_of_a_page(sql::PAGE, params![before, rows])?;
            (found, self.count(&format!("{counted} <> 'nodes'"), [])?)
        };
        let more = cut || found.len() > limit;
        found.truncate(limit);
        let last = found.last().filter(|_| more).and_then(|it| Cursor::new(it.0));
        let mut page = Page { next: last, total, ..Page::default() };
        for (_, it) in found {
            match it {
                Ok(rollout) => page.rollouts.push(rollout),
                Err(unreadable) => page.unreadable.push(unreadable),
            }
        }
        Ok(page)
    }

    fn quiet(&self, since: Moment, limit: u32) -> Result<Vec<Quiet>, ReadError> {
        let found = self.plans(sql::QUIET, params![since.unix_ms(), limit])?;
        Ok(found.into_iter().map(|it| it.1).collect())
    }

    fn live(
        &self,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<(Vec<Quiet>, Option<Cursor>), ReadError> {
        let after = after.map_or(0, Cursor::position);
        let found = self.plans(sql::LIVE, params![after, limit])?;
        let full = found.len() >= limit as usize;
        let last = found.last().filter(|_| full).and_then(|it| Cursor::new(it.0));
        Ok((found.into_iter().map(|it| it.1).collect(), last))
    }

    fn live_of(&self, channel: &Channel, limit: u32) -> Result<Vec<Rollout>, ReadError> {
        let found = self.plans(sql::LIVE_OF, params![channel.as_str(), limit])?;
        Ok(found.into_iter().filter_map(|it| it.1.ok()).collect())
    }

    fn reports(&self, plan: &PlanId) -> Result<BTreeMap<NodeId, Report>, ReadError> {
        let sql = "SELECT node_id, progress, attempt, at, detail FROM reports WHERE plan_id = ?1";
        let read = |row: &Row<'_>| Ok((row.get::<_, String>(0)?, read_report(row)?));
        let found = self.list(sql, [plan.as_str()], read)?;
        let named = found.into_iter().filter_map(|(node, it)| Some((NodeId::new(&node).ok()?, it)));
        Ok(named.collect())
    }

    fn fleet_of(&self, channel: &Channel) -> Result<Vec<NodeId>, ReadError> {
        let sql = "SELECT id FROM nodes INDEXED BY nodes_of
                   WHERE channel = ?1 AND last_seen IS NOT NULL ORDER BY id";
        let found = self.list(sql, [channel.as_str()], |row| row.get::<_, String>(0))?;
        Ok(found.iter().filter_map(|it| NodeId::new(it).ok()).collect())
    }

    fn node(&self, id: &NodeId) -> Result<Option<Node>, ReadError> {
        SqliteRows(&self.conn).node(id).map_err(of_row)
    }

    fn fleet(&self, after: Option<&NodeId>, limit: u32) -> Result<Vec<Node>, ReadError> {
        let sql = format!("{NODE} WHERE id > ?1 ORDER BY id LIMIT ?2");
        let after = after.map_or("", NodeId::as_str);
        self.list(&sql, params![after, limit.clamp(1, LIMIT_MAX)], read_node)
    }

    fn fleet_summary(&self, now: Moment, stale_seconds: u64) -> Result<FleetSummary, ReadError> {
        // Whole seconds count, as in `NodeState::of`.
        let since = now.minus_seconds(stale_seconds.saturating_add(1)).unix_ms();
        let up = self.count("SELECT count(*) FROM nodes WHERE last_seen > ?1", [since])?;
        let unknown = self.count("SELECT count(*) FROM nodes WHERE last_seen IS NULL", [])?;
        let all = SqliteRows(&self.conn).node_count().map_err(of_row)?;
        let sql = "SELECT release, count(*) FROM nodes INDEXED BY nodes_by_release
                   WHERE release IS NOT NULL GROUP BY release ORDER BY release LIMIT ?1";
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get::<_, i64>(1)?.unsigned_abs()));
        let limit = i64::try_from(VERSIONS_MAX).unwrap_or(i64::MAX);
        let releases = self.list(sql, [limit], read)?.into_iter().collect();
        let stale = all.saturating_sub(up).saturating_sub(unknown);
        Ok(FleetSummary { up, stale, unknown, releases })
    }

    fn release(&self, id: &ReleaseId) -> Result<Option<Release>, ReadError> {
        SqliteRows(&self.conn).release(id).map_err(of_row)
    }

    fn latest_release(&self, channel: &Channel) -> Result<Option<Release>, ReadError> {
        let sql = "SELECT id FROM releases WHERE channel = ?1 ORDER BY sequence DESC LIMIT 1";
        let mut statement = self.conn.prepare_cached(sql).map_err(failed)?;
        let id = statement.query_row([channel.as_str()], |row| row.get::<_, String>(0));
        match id.optional().map_err(failed)?.map(|it| ReleaseId::new(&it)) {
            Some(Ok(id)) => self.release(&id),
            _ => Ok(None),
        }
    }
}
