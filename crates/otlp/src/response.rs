//! The answer to an accepted request: `ExportLogsServiceResponse`.

use opentelemetry_proto::tonic::collector::logs::v1::{
    ExportLogsPartialSuccess, ExportLogsServiceResponse,
};
use prost::Message as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{
    Encoding,
    json::{Object, nullable, whole},
};

/// What a server says beside "accepted".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartialSuccess {
    /// Records that the server refused for good; 0 makes the message a warning.
    pub rejected: u64,
    /// Why, for people.
    pub message: String,
}

/// Encodes the answer; `None` says that every record was accepted.
pub fn encode_response(partial: Option<&PartialSuccess>, encoding: Encoding) -> Vec<u8> {
    match encoding {
        Encoding::Protobuf => {
            let partial_success = partial.map(|it| ExportLogsPartialSuccess {
                rejected_log_records: i64::try_from(it.rejected).unwrap_or(i64::MAX),
                error_message: it.message.clone(),
            });
            ExportLogsServiceResponse { partial_success }.encode_to_vec()
        }
        Encoding::Json => {
            let partial_success = partial.map(|it| WirePartialSuccess {
                rejected_log_records: it.rejected.to_string(),
                error_message: &it.message,
            });
            // Strings always serialize.
            serde_json::to_vec(&WireResponse { partial_success }).unwrap_or_default()
        }
    }
}

/// Decodes the answer; `None` when the server accepted every record without a word.
///
/// No bytes at all are the protobuf form of that, and servers that answer in JSON send it too.
///
/// # Errors
///
/// [`ResponseError`] when the bytes are no such answer, or say something impossible.
pub fn decode_response(
    body: &[u8],
    encoding: Encoding,
) -> Result<Option<PartialSuccess>, ResponseError> {
    if body.is_empty() {
        return Ok(None);
    }
    let (rejected, message) = match encoding {
        Encoding::Protobuf => {
            let response = ExportLogsServiceResponse::decode(body)
                .map_err(|error| ResponseError::Malformed { text: error.to_string() })?;
            let partial = response.partial_success.unwrap_or_default();
            (partial.rejected_log_records, partial.error_message)
        }
        Encoding::Json => {
            let malformed =
                |error: serde_json::Error| ResponseError::Malformed { text: error.to_string() };
            let mut members: Map<String, Value> =
                serde_json::from_slice(body).map_err(malformed)?;
            let partial = NAMES.iter().find_map(|name| members.remove(*name));
            // An error of a proxy in JSON must not look like "all accepted".
            if partial.is_none() && !members.is_empty() {
                let text = "an object without partialSuccess".to_owned();
                return Err(ResponseError::Malformed { text });
            }
            let partial: Option<Object<ReadPartialSuccess>> =
                partial.map_or(Ok(None), serde_json::from_value).map_err(malformed)?;
            let partial = partial.unwrap_or_default().0;
            (partial.rejected_log_records, partial.error_message)
        }
    };
    let rejected = u64::try_from(rejected).map_err(|_| ResponseError::Negative { rejected })?;
    let partial = PartialSuccess { rejected, message };
    Ok((partial != PartialSuccess::default()).then_some(partial))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WireResponse<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    partial_success: Option<WirePartialSuccess<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WirePartialSuccess<'a> {
    rejected_log_records: String,
    error_message: &'a str,
}

/// Both spellings of a name count, as for every reader of protobuf JSON.
const NAMES: [&str; 2] = ["partialSuccess", "partial_success"];

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ReadPartialSuccess {
    #[serde(deserialize_with = "whole", alias = "rejected_log_records")]
    rejected_log_records: i64,
    #[serde(deserialize_with = "nullable", alias = "error_message")]
    error_message: String,
}

/// Bytes that are no answer of an OTLP server.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ResponseError {
    /// The body is not what its content type says.
    #[error("not an OTLP logs response: {text}")]
    Malformed {
        /// What the parser found.
        text: String,
    },
    /// The count of refused records is below zero.
    #[error("{rejected} rejected log records is not a count")]
    Negative {
        /// The count found.
        rejected: i64,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_come_back_in_both_encodings() {
        for encoding in Encoding::ALL {
            for partial in [
                None,
                Some(PartialSuccess { rejected: 3, message: "no".to_owned() }),
                Some(PartialSuccess { rejected: 0, message: "deprecated".to_owned() }),
                Some(PartialSuccess { rejected: i64::MAX as u64, message: String::new() }),
            ] {
                let body = encode_response(partial.as_ref(), encoding);
                assert_eq!(decode_response(&body, encoding), Ok(partial));
            }
            assert_eq!(decode_response(b"", encoding), Ok(None));
        }
    }

    #[test]
    fn an_empty_partial_success_says_nothing() {
        for body in [&b"{}"[..], br#"{"partialSuccess":{}}"#, br#"{"partialSuccess":null,"x":[1]}"#]
        {
            assert_eq!(decode_response(body, Encoding::Json), Ok(None));
        }
        assert_eq!(decode_response(&[0x0a, 0], Encoding::Protobuf), Ok(None));
        for body in [&br#"{"error":"not logged in"}"#[..], b"[]", b"null", b"7"] {
            assert!(decode_response(body, Encoding::Json).is_err());
        }
    }

    #[test]
    fn counts_are_read_as_numbers_and_as_strings() {
        for count in ["3", "\"3\""] {
            let body = format!(r#"{{"partialSuccess":{{"rejectedLogRecords":{count}}}}}"#);
            let partial = decode_response(body.as_bytes(), Encoding::Json).unwrap().unwrap();
            assert_eq!(partial.rejected, 3);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for (body, encoding) in [
            (&b"<html>welcome</html>"[..], Encoding::Json),
            (b"ok", Encoding::Json),
            (b"[]", Encoding::Json),
            (b"<html>welcome</html>", Encoding::Protobuf),
            (b"ok", Encoding::Protobuf),
        ] {
            let got = decode_response(body, encoding);
            assert!(matches!(got, Err(ResponseError::Malformed { .. })), "{got:?}");
        }
        let negative = br#"{"partialSuccess":{"rejectedLogRecords":"-1"}}"#;
        let want = Err(ResponseError::Negative { rejected: -1 });
        assert_eq!(decode_response(negative, Encoding::Json), want);
    }
}
