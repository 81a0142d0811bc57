//! Parameters of `GET /v1/events`.
//!
//! What is not understood is refused and named: a filter that is silently ignored would answer a
//! question that nobody asked.

use api::control::{EVENTS_LIMIT_DEFAULT, EVENTS_LIMIT_MAX};
use axum::{extract::Query, http::Uri};
use thiserror::Error;

use super::{
    cursor::{Cursor, CursorError},
    rfc3339::{Rfc3339Error, to_unix_ns},
};
use crate::store::PageQuery;

/// Which parameter is wrong, and how.
#[derive(Debug, PartialEq, Eq, Error)]
pub(super) enum QueryError {
    /// Not one of ours.
    #[error("{name}: unknown parameter; known are node_id, event_type, since, limit, cursor")]
    Unknown { name: String },
    /// More than once.
    #[error("{name}: given twice")]
    Twice { name: &'static str },
    /// Without a value.
    #[error("{name}: empty")]
    Empty { name: &'static str },
    /// Not a number that can be a limit.
    #[error(
        "limit: `{found}` is not a whole number from 1; more than {EVENTS_LIMIT_MAX} counts as {EVENTS_LIMIT_MAX}"
    )]
    Limit { found: String },
    /// Not a timestamp.
    #[error("since: `{found}`: {source}")]
    Since { found: String, source: Rfc3339Error },
    /// Not a cursor.
    #[error("cursor: `{found}`: {source}")]
    Cursor { found: String, source: CursorError },
    /// Not a query string.
    #[error("query string: {reason}")]
    Form { reason: String },
}

/// Reads the filters from the address of the request.
pub(super) fn parse(uri: &Uri) -> Result<PageQuery, QueryError> {
    let Query(pairs) = Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map_err(|error| QueryError::Form { reason: error.body_text() })?;
    let mut limit = None;
    let mut query = PageQuery::default();
    for (name, value) in pairs {
        match name.as_str() {
            "node_id" => put(&mut query.node_id, "node_id", value, Ok)?,
            "event_type" => put(&mut query.event_type, "event_type", value, Ok)?,
            "since" => put(&mut query.since_ns, "since", value, since)?,
            "limit" => put(&mut limit, "limit", value, parse_limit)?,
            "cursor" => put(&mut query.before, "cursor", value, cursor)?,
            _ => return Err(QueryError::Unknown { name }),
        }
    }
    query.limit = limit.unwrap_or(EVENTS_LIMIT_DEFAULT);
    Ok(query)
}

fn put<T>(
    slot: &mut Option<T>,
    name: &'static str,
    value: String,
    parse: impl FnOnce(String) -> Result<T, QueryError>,
) -> Result<(), QueryError> {
    if slot.is_some() {
        return Err(QueryError::Twice { name });
    }
    if value.is_empty() {
        return Err(QueryError::Empty { name });
    }
    *slot = Some(parse(value)?);
    Ok(())
}

fn since(found: String) -> Result<i64, QueryError> {
    to_unix_ns(&found).map_err(|source| QueryError::Since { found, source })
}

fn cursor(found: String) -> Result<i64, QueryError> {
    let cursor = found.parse::<Cursor>().map(|it| it.before);
    cursor.map_err(|source| QueryError::Cursor { found, source })
}

fn parse_limit(found: String) -> Result<u32, QueryError> {
    if !found.bytes().all(|it| it.is_ascii_digit()) || found.bytes().all(|it| it == b'0') {
        return Err(QueryError::Limit { found });
    }
    // Digits that do not fit are a large number.
    Ok(found.parse().unwrap_or(u32::MAX).min(EVENTS_LIMIT_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(query: &str) -> Result<PageQuery, String> {
        parse(&format!("/v1/events{query}").parse().unwrap()).map_err(|it| it.to_string())
    }

    #[test]
    fn every_parameter_is_read() {
        let all = PageQuery { limit: 100, ..PageQuery::default() };
        assert_eq!(parsed(""), Ok(all.clone()));
        assert_eq!(parsed("?"), Ok(all));
        let query = "?node_id=a%20b&event_type=ai.policy.decision&since=1970-01-01T01:00:00%2B01:00\
                     &limit=7&cursor=1000000000000002a";
        let want = PageQuery {
            node_id: Some("a b".to_owned()),
            event_type: Some("ai.policy.decision".to_owned()),
            since_ns: Some(0),
            before: Some(42),
            limit: 7,
        };
        assert_eq!(parsed(query), Ok(want));
    }

    #[test]
    fn a_large_limit_is_the_largest() {
        for (text, want) in [
            ("1", 1),
            ("999", 999),
            ("1000", 1000),
            ("1001", 1000),
            ("99999999999999999999999", 1000),
            ("007", 7),
        ] {
            assert_eq!(parsed(&format!("?limit={text}")).unwrap().limit, want, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (query, want) in [
            ("?limit=0", "limit: `0` is not"),
            ("?limit=000", "limit: `000` is not"),
            ("?limit=-1", "limit: `-1` is not"),
            ("?limit=%2B1", "limit: `+1` is not"),
            ("?limit=ten", "limit: `ten` is not"),
            ("?limit=1.5", "limit: `1.5` is not"),
            ("?limit=", "limit: empty"),
            ("?limit=1&limit=2", "limit: given twice"),
            ("?node_id=", "node_id: empty"),
            ("?node_id=a&node_id=a", "node_id: given twice"),
            ("?event_type", "event_type: empty"),
            ("?since=yesterday", "since: `yesterday`: not RFC 3339"),
            (
                "?since=2026-01-02T03:04:05+01:00",
                "since: `2026-01-02T03:04:05 01:00`: not RFC 3339; in a query the `+`",
            ),
            ("?since=2026-02-30T00:00:00Z", "since: `2026-02-30T00:00:00Z`: no such"),
            ("?cursor=abc", "cursor: `abc`: not a cursor"),
            ("?nodeid=a", "nodeid: unknown parameter; known are node_id,"),
            ("?offset=3", "offset: unknown"),
            ("?=3", ": unknown"),
        ] {
            let found = parsed(query).unwrap_err();
            assert!(found.starts_with(want), "{query}: {found}");
        }
    }
}
