//! Calls that were allowed and never heard of again.
//!
//! A process that dies between the decision and the outcome leaves an open intent: the tool may
//! have run or not. At the next start each gets an outcome `unknown`; none is run again.

use std::{collections::BTreeMap, path::Path};

use serde_json::Value;
use vfs::Vfs;
use wal_format::{Entry, Kind};
use wal_recovery::{ReadError, Reader};

use api::tool::Verdict;

use crate::records::verdict_in;

/// An allowed call without an outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenIntent {
    /// The call.
    pub audit_id: String,
    /// Kind of the tool.
    pub kind: String,
    /// Number of its decision.
    pub seq: u64,
}

/// Code of a log that is not archived because of an open intent.
pub const CALLS_OPEN: &str = "CALLS_OPEN";

/// Finds the open intents of a log, oldest first. Memory grows with the open ones only.
///
/// # Errors
///
/// [`ReadError`] when the log cannot be read or trusted.
pub fn open_intents(vfs: &dyn Vfs, dir: &Path) -> Result<Vec<OpenIntent>, ReadError> {
    let mut reader = Reader::open(vfs, dir)?;
    let mut open = BTreeMap::new();
    while let Some(item) = reader.next_entry()? {
        // An entry that is not one of ours opens and closes nothing.
        let Ok(entry) = Entry::parse(item.payload) else { continue };
        let kind = entry.event.kind();
        if !matches!(kind, Kind::Decision | Kind::Action | Kind::Error) {
            continue;
        }
        let Ok(attrs) = entry.event.attrs() else { continue };
        let text = |key: &str| attrs.get(key).and_then(Value::as_str).map(str::to_owned);
        let Some(audit_id) = text("audit_id") else { continue };
        if kind != Kind::Decision {
            open.remove(&audit_id);
        } else if verdict_in(&attrs) == Some(Verdict::Allow) {
            let kind = text("kind").unwrap_or_default();
            let intent = OpenIntent { audit_id: audit_id.clone(), kind, seq: item.seq.get() };
            open.insert(audit_id, intent);
        }
    }
    let mut found: Vec<_> = open.into_values().collect();
    found.sort_by_key(|it| it.seq);
    Ok(found)
}
