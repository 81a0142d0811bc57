//! From payloads to a request: the part of a drain that takes a processor, and nothing else.
//!
//! It depends on nothing but its arguments, so it can be done on any thread and before its turn, while the
//! request before it is on its way.
//!
//! * **A1** What is prepared says which entries it is of and who prepared it; it is sent for exactly these
//!   and in this name, or not at all.
//! * **A2** It makes no difference to the bytes when and where they are prepared.

use bytes::Bytes;
use otlp::{Encoder, Encoding, Resource};

use crate::{EntryRef, Source, encode};

/// By how much an encoded record is longer than its payload, about: what is reserved for it.
const RECORD_MORE: usize = 128;

/// Makes requests of the entries of one log.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparer {
    source: Source,
    resource: Resource,
    encoding: Encoding,
}

impl Preparer {
    /// Makes one for a log.
    pub(crate) fn new(source: Source, encoding: Encoding) -> Self {
        let resource = encode::resource(&source.node, source.wal_id);
        Self { source, resource, encoding }
    }

    /// The log.
    pub(crate) const fn source(&self) -> &Source {
        &self.source
    }

    /// Encodes the payloads of entries, in their order.
    pub fn prepare(&self, entries: Vec<EntryRef>, payloads: Vec<Vec<u8>>) -> Prepared {
        let recorder = encode::Recorder::new(&self.source.node, self.source.wal_id);
        let mut records = Encoder::new(self.encoding, &self.resource);
        records.reserve(payloads.len(), payloads.iter().map(|it| it.len() + RECORD_MORE).sum());
        for (entry, payload) in entries.iter().zip(&payloads) {
            records.push(&recorder.record(entry.seq, payload));
        }
        let whole = records.request(0..records.len()).into();
        let (source, encoding) = (self.source.clone(), self.encoding);
        Prepared { source, encoding, entries, payloads, records, whole }
    }
}

/// A batch that is ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prepared {
    source: Source,
    encoding: Encoding,
    entries: Vec<EntryRef>,
    pub(crate) payloads: Vec<Vec<u8>>,
    pub(crate) records: Encoder,
    /// The request with all of it.
    pub(crate) whole: Bytes,
}

impl Prepared {
    /// Whether it is of these entries, all of which were there, and prepared by this one (A1).
    pub(crate) fn is_of(&self, entries: &[EntryRef], by: &Preparer) -> bool {
        self.entries == entries
            && self.payloads.len() == entries.len()
            && self.source == by.source
            && self.encoding == by.encoding
    }
}
