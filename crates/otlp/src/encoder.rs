//! Requests from records that are encoded once, whatever the requests are that carry them.
//!
//! A record takes the same bytes in whichever request it stands, so a run of records is a slice of what
//! is encoded already, between the beginning and the end of a request.

use std::ops::Range;

use crate::{Encoding, Pairs, RecordRef, Resource, json, protobuf};

/// Encoded records of one resource.
///
/// # Examples
///
/// ```
/// use otlp::{Encoder, Encoding, Limits, Record, Resource};
///
/// let mut encoder = Encoder::new(Encoding::Protobuf, &Resource::default());
/// for text in ["one", "two", "three"] {
///     encoder.push(&(&Record { body: text.into(), ..Record::default() }).into());
/// }
/// let body = encoder.request(1..3);
/// let groups = otlp::decode(&body, Encoding::Protobuf, &Limits::STANDARD)?;
/// assert_eq!(groups[0].records.len(), 2);
/// assert_eq!(groups[0].records[0].body, "two");
/// # Ok::<(), otlp::DecodeError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoder {
    encoding: Encoding,
    resource: Vec<u8>,
    records: Vec<u8>,
    /// Where each record ends.
    ends: Vec<usize>,
}

impl Encoder {
    /// Makes an encoder without records.
    pub fn new(encoding: Encoding, resource: &Resource) -> Self {
        let attributes = Pairs::from(&resource.attributes);
        let mut encoded = Vec::new();
        match encoding {
            Encoding::Protobuf => protobuf::resource(attributes.as_slice(), &mut encoded),
            Encoding::Json => json::resource(&attributes, &mut encoded),
        }
        Self { encoding, resource: encoded, records: Vec::new(), ends: Vec::new() }
    }

    /// Makes room for records that are about to come.
    pub fn reserve(&mut self, records: usize, bytes: usize) {
        self.ends.reserve(records);
        self.records.reserve(bytes);
    }

    /// Encodes a record behind the others.
    pub fn push(&mut self, record: &RecordRef<'_>) {
        match self.encoding {
            Encoding::Protobuf => protobuf::log_record(record, &mut self.records),
            Encoding::Json => {
                if !self.ends.is_empty() {
                    self.records.push(json::COMMA);
                }
                json::log_record(record, &mut self.records);
            }
        }
        self.ends.push(self.records.len());
    }

    /// Returns how many records there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Returns the body of a request with some of the records, counted from 0. Numbers beyond the last
    /// record stand for nothing.
    pub fn request(&self, records: Range<usize>) -> Vec<u8> {
        let end_of = |record: usize| self.ends.get(record).copied().unwrap_or(self.records.len());
        let start = records.start.checked_sub(1).map_or(0, end_of);
        let end = records.end.checked_sub(1).map_or(0, end_of);
        let found = self.records.get(start..end).unwrap_or_default();
        let mut out = Vec::new();
        match self.encoding {
            Encoding::Protobuf => protobuf::request(&self.resource, found, &mut out),
            Encoding::Json => {
                let found = found.strip_prefix(&[json::COMMA]).unwrap_or(found);
                json::request(&self.resource, found, &mut out);
            }
        }
        out
    }
}
