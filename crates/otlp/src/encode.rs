//! Records to the body of `POST /v1/logs`.
//!
//! A request holds one resource and one scope. Two values cannot be carried as they are and are
//! sent as text: whole numbers beyond 63 bits, and what is nested deeper than
//! [`VALUE_DEPTH_MAX`](crate::VALUE_DEPTH_MAX).

use crate::{Encoder, Encoding, Record, Resource};

/// Encodes one request in the given encoding.
///
/// # Examples
///
/// ```
/// use otlp::{Encoding, Limits, Record, Resource, Severity};
///
/// let record = Record {
///     time_unix_nano: 1_767_323_045_000_000_000,
///     severity: Severity::INFO,
///     body: "decision".into(),
///     ..Record::default()
/// };
/// for encoding in Encoding::ALL {
///     let body = otlp::encode(encoding, &Resource::default(), std::slice::from_ref(&record));
///     let groups = otlp::decode(&body, encoding, &Limits::STANDARD)?;
///     assert_eq!(groups[0].records, [record.clone()]);
/// }
/// # Ok::<(), otlp::DecodeError>(())
/// ```
pub fn encode(encoding: Encoding, resource: &Resource, records: &[Record]) -> Vec<u8> {
    let mut encoder = Encoder::new(encoding, resource);
    for record in records {
        encoder.push(&record.into());
    }
    encoder.request(0..records.len())
}

/// Encodes one request as protobuf.
pub fn encode_protobuf(resource: &Resource, records: &[Record]) -> Vec<u8> {
    encode(Encoding::Protobuf, resource, records)
}

/// Encodes one request in the JSON mapping of OTLP.
pub fn encode_json(resource: &Resource, records: &[Record]) -> Vec<u8> {
    encode(Encoding::Json, resource, records)
}
