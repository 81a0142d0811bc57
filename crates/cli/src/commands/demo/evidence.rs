//! What a log says about each call.

use std::{collections::BTreeMap, path::Path};

use vfs::OsVfs;
use wal_recovery::verify;

use crate::{
    commands::own_runtime::{Recorded, read},
    failure::Failure,
};

/// The entries of one call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Evidence {
    pub(super) decisions: Vec<Entry>,
    pub(super) outcomes: Vec<Entry>,
}

/// An entry about a call: what it says, and the code that goes with it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) seq: u64,
    pub(super) kind: String,
    pub(super) says: String,
    pub(super) code: Option<String>,
}

/// The calls of a log, by audit id.
#[derive(Clone, Debug, Default)]
pub(super) struct Record {
    pub(super) calls: BTreeMap<String, Evidence>,
    pub(super) entries: u64,
}

impl Record {
    /// Reads a log of which every byte was verified.
    pub(super) fn of(dir: &Path) -> Result<Self, Failure> {
        verify(&OsVfs, dir, None).map_err(|error| {
            Failure::of(api::exit::Exit::Integrity, error.code(), &error).hint(error.hint())
        })?;
        let mut record = Self::default();
        read(dir, |entry| record.add(&entry))?;
        Ok(record)
    }

    fn add(&mut self, recorded: &Recorded) {
        self.entries += 1;
        let Some(audit_id) = recorded.text("audit_id") else { return };
        let call = self.calls.entry(audit_id.to_owned()).or_default();
        let says = |key| recorded.text(key).unwrap_or_default().to_owned();
        let entry = |key| Entry {
            seq: recorded.seq,
            kind: says("kind"),
            says: says(key),
            code: recorded.text("code").map(str::to_owned),
        };
        if recorded.kind == "autonomy.decision" {
            call.decisions.push(entry("decision"));
        } else {
            call.outcomes.push(entry("outcome"));
        }
    }
}
