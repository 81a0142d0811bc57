//! Counting what a body holds before anything is allocated for it.
//!
//! A repeated message of two bytes becomes a struct of a hundred and more, so a limit on the
//! length of a body does not bound the memory that decoding takes. This walk needs none: it goes
//! over the tags and lengths, and stops at the first limit.
//!
//! **N1** When the scan passes, decoding allocates at most
//! [`Limits::messages`](crate::Limits::messages_max) structs beside the strings, whose bytes
//! stand in the body.

use crate::{DecodeError, Limits};

/// Nested messages that protobuf libraries follow; `prost` stops there too.
const PROTOBUF_DEPTH_MAX: usize = 100;

/// A message of the logs schema that holds others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Schema {
    Request,
    ResourceLogs,
    Resource,
    ScopeLogs,
    Scope,
    LogRecord,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
    EntityRef,
    /// A repeated string: counted, not entered.
    Text,
}

impl Schema {
    /// Returns what the length-delimited field `number` of this message is, when it is counted.
    const fn field(self, number: usize) -> Option<Self> {
        match (self, number) {
            (Self::Request, 1) => Some(Self::ResourceLogs),
            (Self::ResourceLogs, 1) => Some(Self::Resource),
            (Self::ResourceLogs, 2) => Some(Self::ScopeLogs),
            (Self::Resource, 3) => Some(Self::EntityRef),
            (Self::EntityRef, 3 | 4) => Some(Self::Text),
            (Self::ScopeLogs, 1) => Some(Self::Scope),
            (Self::ScopeLogs, 2) => Some(Self::LogRecord),
            (Self::LogRecord, 5) | (Self::KeyValue, 2) | (Self::ArrayValue, 1) => {
                Some(Self::AnyValue)
            }
            (Self::AnyValue, 5) => Some(Self::ArrayValue),
            (Self::AnyValue, 6) => Some(Self::KeyValueList),
            (Self::Resource | Self::KeyValueList, 1) | (Self::Scope, 3) | (Self::LogRecord, 6) => {
                Some(Self::KeyValue)
            }
            _ => None,
        }
    }
}

/// A message that is being walked.
struct Open<'a> {
    schema: Schema,
    rest: &'a [u8],
    attributes: usize,
}

/// Checks a protobuf body against the limits (N1).
pub(crate) fn check_protobuf(body: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let (mut messages, mut records) = (0, 0);
    let mut stack = vec![Open { schema: Schema::Request, rest: body, attributes: 0 }];
    while let Some(open) = stack.last_mut() {
        let Some((number, field)) = next_field(&mut open.rest)? else {
            stack.pop();
            continue;
        };
        let (Some(field), Some(schema)) = (field, open.schema.field(number)) else { continue };
        messages += 1;
        if messages > limits.messages {
            return Err(DecodeError::TooManyMessages { limit: limits.messages });
        }
        if schema == Schema::LogRecord {
            records += 1;
            if records > limits.records {
                return Err(DecodeError::TooManyRecords { limit: limits.records });
            }
        }
        if open.schema == Schema::LogRecord && schema == Schema::KeyValue {
            open.attributes += 1;
            if open.attributes > limits.attributes_per_record {
                let limit = limits.attributes_per_record;
                return Err(DecodeError::TooManyAttributes { limit });
            }
        }
        if schema != Schema::Text {
            if stack.len() > PROTOBUF_DEPTH_MAX {
                return Err(DecodeError::TooDeep { limit: limits.value_depth });
            }
            stack.push(Open { schema, rest: field, attributes: 0 });
        }
    }
    Ok(())
}

/// A field: its number, and its bytes when it is length-delimited.
type Field<'a> = (usize, Option<&'a [u8]>);

/// Takes one field off `rest`; `Ok(None)` at its end.
fn next_field<'a>(rest: &mut &'a [u8]) -> Result<Option<Field<'a>>, DecodeError> {
    if rest.is_empty() {
        return Ok(None);
    }
    let key = varint(rest)?;
    let bytes = match key & 7 {
        0 => {
            varint(rest)?;
            None
        }
        1 => {
            take(rest, 8)?;
            None
        }
        2 => {
            let len = varint(rest)?;
            Some(take(rest, len)?)
        }
        5 => {
            take(rest, 4)?;
            None
        }
        other => return Err(malformed(&format!("wire type {other} is not used by OTLP"))),
    };
    Ok(Some((key >> 3, bytes)))
}

/// A length delimiter is a varint like any other.
fn varint(rest: &mut &[u8]) -> Result<usize, DecodeError> {
    prost::decode_length_delimiter(rest).map_err(|error| malformed(&error.to_string()))
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], DecodeError> {
    let (bytes, behind) = rest
        .split_at_checked(len)
        .ok_or_else(|| malformed("a field is longer than its message"))?;
    *rest = behind;
    Ok(bytes)
}

fn malformed(text: &str) -> DecodeError {
    DecodeError::Malformed { text: text.to_owned() }
}

/// Checks a JSON body against the limits: whatever becomes a struct begins with a brace (N1).
pub(crate) fn check_json(body: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let (mut objects, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_string, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_string = !in_string,
            (false, b'{') => objects += 1,
            _ => {}
        }
    }
    if objects > limits.messages {
        return Err(DecodeError::TooManyMessages { limit: limits.messages });
    }
    Ok(())
}
