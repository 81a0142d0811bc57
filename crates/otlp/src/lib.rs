//! OTLP logs on the wire: bytes in, records out, and back; protobuf and JSON; no I/O.
//!
//! | module     | what it defines                                                    |
//! |------------|--------------------------------------------------------------------|
//! | `record`   | log records, resources, severities, trace and span ids             |
//! | `encoding` | the two encodings and their content types                          |
//! | `limits`   | what a decoder accepts                                             |
//! | `view`     | records and values that borrow what they were made from            |
//! | `encode`   | records to the body of `POST /v1/logs`                             |
//! | `encoder`  | the same, each record once, for requests with some of them         |
//! | `protobuf` | records to protobuf, written straight into the buffer              |
//! | `decode`   | the body of `POST /v1/logs` to records                             |
//! | `scan`     | counting what a body holds before anything is allocated for it     |
//! | `value`    | JSON values to OTLP values and back                                |
//! | `json`     | the JSON mapping of OTLP                                           |
//! | `response` | the answer to an accepted request                                  |
//! | `status`   | the answer to a refused request                                    |
//!
//! Both ends of the wire use this crate: what one encodes the other decodes to the same records
//! (see `encode` for the two values that OTLP cannot carry as they are).

mod decode;
mod encode;
mod encoder;
mod encoding;
mod json;
mod limits;
mod protobuf;
mod record;
mod response;
mod scan;
mod status;
mod value;
mod view;

pub use decode::{DecodeError, decode};
pub use encode::{encode, encode_json, encode_protobuf};
pub use encoder::Encoder;
pub use encoding::Encoding;
pub use limits::Limits;
pub use record::{
    Group, Id, Record, Resource, SPAN_ID_INVALID, Scope, Severity, SpanId, TRACE_ID_INVALID,
    TraceId,
};
pub use response::{PartialSuccess, ResponseError, decode_response, encode_response};
pub use status::{ERROR_TEXT_CHARS_MAX, StatusCode, encode_status, error_text};
pub use value::VALUE_DEPTH_MAX;
pub use view::{Pair, Pairs, RecordRef, ValueRef};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
