//! Records to protobuf, written straight into the buffer.
//!
//! | message       | field: number                                                                |
//! |---------------|------------------------------------------------------------------------------|
//! | request       | resource logs: 1                                                             |
//! | resource logs | resource: 1, scope logs: 2                                                   |
//! | resource      | attributes: 1                                                                |
//! | scope logs    | log records: 2                                                               |
//! | log record    | time: 1, severity: 2, its text: 3, body: 5, attributes: 6, dropped: 7,       |
//! |               | flags: 8, trace id: 9, span id: 10, observed time: 11, event name: 12        |
//! | key and value | key: 1, value: 2                                                             |
//! | value         | string: 1, bool: 2, int: 3, double: 4, array: 5, key list: 6                 |
//! | array, list   | values: 1                                                                    |
//!
//! * **W1** The bytes are those that generated code writes: fields by number, what equals its default
//!   left out, lengths in their shortest form.

use prost::encoding::{WireType, encode_varint, encoded_len_varint};

use crate::{
    RecordRef,
    value::{Wire, to_wire},
    view::{Pair, ValueRef},
};

/// Appends a request: one resource, and log records that are already fields of their message.
pub(crate) fn request(resource: &[u8], log_records: &[u8], out: &mut Vec<u8>) {
    let field_len = |len: usize| 1 + encoded_len_varint(len as u64) + len;
    let resource_logs_len = field_len(resource.len()) + field_len(log_records.len());
    out.reserve(field_len(resource_logs_len));
    length_delimited(1, resource_logs_len, out);
    bytes(1, resource, out);
    bytes(2, log_records, out);
}

/// Appends the attributes of a resource.
pub(crate) fn resource(attributes: &[Pair<'_>], out: &mut Vec<u8>) {
    pairs(1, attributes, 0, out);
}

/// Appends a log record as a field of its scope.
pub(crate) fn log_record(record: &RecordRef<'_>, out: &mut Vec<u8>) {
    message(2, out, |out| {
        fixed64(1, record.time_unix_nano, out);
        if record.severity.0 != 0 {
            key(2, WireType::Varint, out);
            // Negative numbers are extended to 64 bits, as protobuf wants it.
            varint(i64::from(record.severity.0).cast_unsigned(), out);
        }
        text(3, record.severity_text, out);
        if record.body != ValueRef::Null {
            message(5, out, |out| value(&record.body, 0, out));
        }
        pairs(6, record.attributes.as_slice(), 0, out);
        if record.dropped_attributes_count != 0 {
            key(7, WireType::Varint, out);
            varint(record.dropped_attributes_count.into(), out);
        }
        if record.flags != 0 {
            key(8, WireType::ThirtyTwoBit, out);
            out.extend_from_slice(&record.flags.to_le_bytes());
        }
        if let Some(id) = &record.trace_id {
            bytes(9, id.as_bytes(), out);
        }
        if let Some(id) = &record.span_id {
            bytes(10, id.as_bytes(), out);
        }
        fixed64(11, record.observed_time_unix_nano, out);
        text(12, record.event_name, out);
    });
}

fn pairs(number: u32, pairs: &[Pair<'_>], depth: usize, out: &mut Vec<u8>) {
    for (key, member) in pairs {
        message(number, out, |out| {
            text(1, key, out);
            message(2, out, |out| value(member, depth, out));
        });
    }
}

/// The one field of a value; it is written whatever it holds.
fn value(held: &ValueRef<'_>, depth: usize, out: &mut Vec<u8>) {
    match to_wire(held, depth) {
        Wire::Empty => {}
        Wire::Bool(it) => {
            key(2, WireType::Varint, out);
            out.push(it.into());
        }
        Wire::Int(it) => {
            key(3, WireType::Varint, out);
            varint(it.cast_unsigned(), out);
        }
        Wire::Double(it) => {
            key(4, WireType::SixtyFourBit, out);
            out.extend_from_slice(&it.to_le_bytes());
        }
        Wire::Text(it) => bytes(1, it.as_bytes(), out),
        Wire::Spelled(it) => bytes(1, it.as_bytes(), out),
        Wire::List(items) => message(5, out, |out| {
            for item in items {
                message(1, out, |out| value(item, depth + 1, out));
            }
        }),
        Wire::Map(members) => message(6, out, |out| pairs(1, members.as_slice(), depth + 1, out)),
    }
}

fn text(number: u32, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        bytes(number, text.as_bytes(), out);
    }
}

fn fixed64(number: u32, value: u64, out: &mut Vec<u8>) {
    if value != 0 {
        key(number, WireType::SixtyFourBit, out);
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn bytes(number: u32, bytes: &[u8], out: &mut Vec<u8>) {
    length_delimited(number, bytes.len(), out);
    out.extend_from_slice(bytes);
}

fn length_delimited(number: u32, len: usize, out: &mut Vec<u8>) {
    key(number, WireType::LengthDelimited, out);
    varint(len as u64, out);
}

/// Most keys, lengths and numbers take one byte.
#[inline]
fn varint(number: u64, out: &mut Vec<u8>) {
    match u8::try_from(number) {
        Ok(byte @ ..0x80) => out.push(byte),
        _ => encode_varint(number, out),
    }
}

#[inline]
fn key(number: u32, wire_type: WireType, out: &mut Vec<u8>) {
    varint(u64::from(number << 3 | wire_type as u32), out);
}

/// Writes a message behind a length that is known only afterwards. Most are shorter than 128 bytes,
/// whose length takes the one byte left for it; a longer one moves, at most once a level of nesting.
fn message(number: u32, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
    key(number, WireType::LengthDelimited, out);
    let place = out.len();
    out.push(0);
    let start = out.len();
    body(out);
    let end = out.len();
    let len = (end - start) as u64;
    let more = encoded_len_varint(len) - 1;
    if more > 0 {
        out.resize(end + more, 0);
        out.copy_within(start..end, start + more);
    }
    if let Some(mut prefix) = out.get_mut(place..=place + more) {
        encode_varint(len, &mut prefix);
    }
}
