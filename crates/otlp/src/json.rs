//! The JSON mapping of OTLP: lowerCamelCase keys, ids in hex, 64-bit numbers as strings, enums as
//! numbers, bytes in base64. A reader takes 64-bit numbers as strings or numbers, `null` for
//! whatever is left out, and ignores keys it does not know.

use serde_json::Value;

use crate::Group;

mod read;
mod write;

/// Decodes a request.
pub(crate) fn request_from_slice(body: &[u8]) -> serde_json::Result<Vec<Group>> {
    read::request(body)
}

pub(crate) use read::{Object, nullable, whole};
pub(crate) use write::{COMMA, log_record, request, resource};

/// Decodes any value, for peers whose answers follow no schema.
pub(crate) fn any_from_slice(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}
