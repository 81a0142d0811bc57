//! The JSON mapping of OTLP: lowerCamelCase keys, ids in hex, 64-bit numbers as strings, enums as
//! numbers, bytes in base64. A reader takes 64-bit numbers as strings or numbers, `null` for
//! whatever is left out, and ignores keys it does not know.

use serde_json::Value;

use crate::{Group, Record, Resource};

mod read;
mod write;

/// Encodes a request.
pub(crate) fn request_to_vec(resource: &Resource, records: &[Record]) -> Vec<u8> {
    // Strings, numbers and structs always serialize.
    serde_json::to_vec(&write::Request::new(resource, records)).unwrap_or_default()
}

/// Decodes a request.
pub(crate) fn request_from_slice(body: &[u8]) -> serde_json::Result<Vec<Group>> {
    read::request(body)
}

pub(crate) use read::{Object, nullable, whole};

/// Decodes any value, for peers whose answers follow no schema.
pub(crate) fn any_from_slice(body: &[u8]) -> Option<Value> {
    serde_json::from_slice(body).ok()
}
