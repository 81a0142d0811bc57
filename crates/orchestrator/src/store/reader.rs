//! Pages of events.
//!
//! A few read-only connections on blocking threads. A page is found by key (`id < :before`), never
//! by offset, and the rows are copied out before anything is sent, so a slow client holds no
//! snapshot. A query that takes too long is interrupted.

use std::{sync::Arc, time::Duration};

use rollout_store::database::EVENTS_PER_BLOCK;
use rusqlite::{Connection, OpenFlags, ToSql};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    Failure, OpenError, Page, PageQuery, Tail, TailQuery,
    failure::{Class, classify},
    open::Paths,
    pool::{Pool, PoolError},
};
use crate::config::Limits;

/// Connections for reading.
const READERS: usize = 4;

/// Why a page was not read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum PageError {
    /// Another process has the database locked.
    #[error("another process has the database locked")]
    Busy,
    /// It took longer than the limit.
    #[error("the query took longer than {} s; ask for less with `since` or `node_id`", .limit.as_secs_f64())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// The store is being closed.
    #[error("the store is being closed")]
    Stopped,
    /// The database could not be read.
    #[error("the database could not be read: {detail}")]
    Failed {
        /// What `SQLite` says.
        detail: String,
    },
}

/// The connections.
#[derive(Debug)]
pub(super) struct Readers {
    pool: Arc<Pool<Connection>>,
    page_len_max: usize,
    report: watch::Sender<Option<Failure>>,
}

impl Readers {
    pub(super) fn open(
        paths: &Paths,
        limits: &Limits,
        report: watch::Sender<Option<Failure>>,
    ) -> Result<Self, OpenError> {
        let mut idle = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let conn = Connection::open_with_flags(&paths.database, flags)
                .and_then(|conn| conn.busy_timeout(limits.busy_timeout).map(|()| conn))
                .map_err(|error| OpenError::sqlite(&paths.database, error))?;
            idle.push(conn);
        }
        let pool = Arc::new(Pool::new(idle, limits.query_timeout));
        Ok(Self { pool, page_len_max: limits.page_len_max, report })
    }

    pub(super) async fn page(&self, query: PageQuery) -> Result<Page, PageError> {
        let page_len_max = self.page_len_max;
        let found = self.pool.run(move |conn| read(conn, &query, page_len_max)).await;
        match found {
            Ok(page) => page.map_err(|error| self.refuse(&error)),
            Err(PoolError::TimedOut) => Err(self.timed_out()),
            Err(PoolError::Stopped) => Err(PageError::Stopped),
        }
    }

    pub(super) async fn tail(&self, query: TailQuery) -> Result<Tail, PageError> {
        let page_len_max = self.page_len_max;
        let found = self.pool.run(move |conn| read_tail(conn, &query, page_len_max)).await;
        match found {
            Ok(tail) => tail.map_err(|error| self.refuse(&error)),
            Err(PoolError::TimedOut) => Err(self.timed_out()),
            Err(PoolError::Stopped) => Err(PageError::Stopped),
        }
    }

    fn timed_out(&self) -> PageError {
        PageError::TimedOut { limit: self.pool.query_timeout() }
    }

    /// Damage stops the service; everything else is an answer.
    fn refuse(&self, error: &rusqlite::Error) -> PageError {
        if let Some(failure @ Failure::Corrupt { .. }) = Failure::of(error) {
            tracing::error!(error = %failure, "store stopped");
            self.report.send_replace(Some(failure));
        }
        match classify(error) {
            Class::Busy => PageError::Busy,
            Class::Interrupted => self.timed_out(),
            Class::Full | Class::Corrupt | Class::Io | Class::Other => {
                PageError::Failed { detail: error.to_string() }
            }
        }
    }

    /// Refuses what comes and closes the connections that are not in use.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

fn read(
    conn: &Connection,
    query: &PageQuery,
    page_len_max: usize,
) -> Result<Page, rusqlite::Error> {
    let before = query.before.unwrap_or(i64::MAX);
    // One more than asked for tells whether something follows.
    let limit = i64::from(query.limit) + 1;
    let mut params: Vec<(&str, &dyn ToSql)> = vec![(":before", &before), (":limit", &limit)];
    let optional: [(&str, Option<&dyn ToSql>); 3] = [
        (":node_id", query.node_id.as_ref().map(|it| it as &dyn ToSql)),
        (":event_type", query.event_type.as_ref().map(|it| it as &dyn ToSql)),
        (":since_ns", query.since_ns.as_ref().map(|it| it as &dyn ToSql)),
    ];
    params.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));

    let mut statement = conn.prepare_cached(&sql(query))?;
    let mut rows = statement.query(params.as_slice())?;
    let mut page = Page::default();
    let (mut last, mut len) = (None, 0);
    while let Some(row) = rows.next()? {
        if page.bodies.len() >= query.limit as usize || len >= page_len_max {
            page.next = last;
            break;
        }
        let id = row.get(0)?;
        last = Some(id);
        page.ids.push(id);
        let body: String = row.get(1)?;
        len += body.len();
        page.bodies.push(body);
    }
    Ok(page)
}

fn read_tail(
    conn: &Connection,
    query: &TailQuery,
    len_max: usize,
) -> Result<Tail, rusqlite::Error> {
    let (index, by_key) = index_of(query.node_id.as_ref(), query.event_type.as_ref());
    let sql = format!(
        "SELECT e.id, e.body FROM events AS e {index}
         WHERE e.id > :after {by_key} ORDER BY e.id LIMIT :limit"
    );
    let mut params: Vec<(&str, &dyn ToSql)> =
        vec![(":after", &query.after), (":limit", &query.limit)];
    let optional =
        [(":node_id", query.node_id.as_ref()), (":event_type", query.event_type.as_ref())];
    for (name, value) in &optional {
        params.extend(value.map(|it| (*name, it as &dyn ToSql)));
    }
    let mut statement = conn.prepare_cached(&sql)?;
    let mut rows = statement.query(params.as_slice())?;
    let mut tail = Tail { events: Vec::new(), seen: query.after };
    let mut len = 0;
    while let Some(row) = rows.next()? {
        let (id, body): (i64, String) = (row.get(0)?, row.get(1)?);
        len += body.len();
        tail.seen = id;
        tail.events.push((id, body));
        if len >= len_max {
            break;
        }
    }
    Ok(tail)
}

/// The index for these filters, and the condition that uses it.
fn index_of(node_id: Option<&String>, event_type: Option<&String>) -> (&'static str, &'static str) {
    match (node_id, event_type) {
        (None, None) => ("NOT INDEXED", ""),
        (Some(_), None) => ("INDEXED BY events_by_node", "AND e.node_id = :node_id"),
        (None, Some(_)) => ("INDEXED BY events_by_type", "AND e.event_type = :event_type"),
        (Some(_), Some(_)) => (
            "INDEXED BY events_by_node_and_type",
            "AND e.node_id = :node_id AND e.event_type = :event_type",
        ),
    }
}

/// Returns the statement for this combination of filters. The index is named, so that no
/// statistics can ever choose a plan that reads the whole table.
fn sql(query: &PageQuery) -> String {
    let (index, by_key) = index_of(query.node_id.as_ref(), query.event_type.as_ref());
    if query.since_ns.is_none() {
        return format!(
            "SELECT e.id, e.body FROM events AS e {index}
             WHERE e.id < :before {by_key} ORDER BY e.id DESC LIMIT :limit"
        );
    }
    format!(
        "SELECT e.id, e.body FROM event_blocks AS b CROSS JOIN events AS e {index}
         ON e.id BETWEEN b.block * {EVENTS_PER_BLOCK}
                     AND b.block * {EVENTS_PER_BLOCK} + {EVENTS_PER_BLOCK} - 1
         WHERE b.block <= :before / {EVENTS_PER_BLOCK} AND b.latest_ns >= :since_ns
           AND e.id < :before AND e.at_ns >= :since_ns {by_key}
         ORDER BY b.block DESC, e.id DESC LIMIT :limit"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use rollout_store::database::{EVENTS, migrate};

    fn plan(query: &PageQuery) -> Vec<String> {
        let mut conn = Connection::open_in_memory().unwrap();
        migrate(&mut conn, 0, EVENTS.steps).unwrap();
        let mut statement = conn.prepare(&format!("EXPLAIN QUERY PLAN {}", sql(query))).unwrap();
        let params = rusqlite::params_from_iter(vec![1; statement.parameter_count()]);
        statement.query_map(params, |row| row.get(3)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn no_combination_of_filters_reads_the_whole_table_or_sorts() {
        for bits in 0..8 {
            let query = PageQuery {
                node_id: (bits & 1 > 0).then(|| "n".to_owned()),
                event_type: (bits & 2 > 0).then(|| "t".to_owned()),
                since_ns: (bits & 4 > 0).then_some(1),
                before: None,
                limit: 1,
            };
            let plan = plan(&query);
            let want = match bits & 3 {
                0 => "SEARCH e USING INTEGER PRIMARY KEY (",
                1 => "SEARCH e USING INDEX events_by_node (node_id=? AND rowid",
                2 => "SEARCH e USING INDEX events_by_type (event_type=? AND rowid",
                _ => {
                    "SEARCH e USING INDEX events_by_node_and_type (node_id=? AND event_type=? AND rowid"
                }
            };
            assert!(plan.last().unwrap().starts_with(want), "{bits}: {plan:?}");
            let blocks = "SEARCH b USING INTEGER PRIMARY KEY (rowid<?)";
            assert_eq!(plan.len(), if bits & 4 > 0 { 2 } else { 1 }, "{bits}: {plan:?}");
            assert!(bits & 4 == 0 || plan[0] == blocks, "{bits}: {plan:?}");
        }
    }
}
