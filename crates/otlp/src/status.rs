//! The answer to a refused request: `google.rpc.Status`, and whatever else servers send.

use prost::Message;
use serde::Serialize;
use serde_json::Value;

use crate::{Encoding, json::any_from_slice};

/// Longest error text taken from a server, in characters.
pub const ERROR_TEXT_CHARS_MAX: usize = 500;

/// The class of an error, as gRPC numbers it. OTLP clients go by the HTTP status alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum StatusCode {
    /// The request is wrong.
    InvalidArgument = 3,
    /// The request is too large, or there are too many.
    ResourceExhausted = 8,
    /// The server does not do that.
    Unimplemented = 12,
    /// The server is broken.
    Internal = 13,
    /// Try again later.
    Unavailable = 14,
}

/// The message `google.rpc.Status` without its details.
#[derive(Clone, PartialEq, Message, Serialize)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// Encodes an error body.
pub fn encode_status(code: StatusCode, message: &str, encoding: Encoding) -> Vec<u8> {
    let status = Status { code: code as i32, message: message.to_owned() };
    match encoding {
        Encoding::Protobuf => status.encode_to_vec(),
        // A number and a string always serialize.
        Encoding::Json => serde_json::to_vec(&status).unwrap_or_default(),
    }
}

/// Finds the text for people in an error body: a status in protobuf or JSON, problem JSON, or
/// plain text. One line of at most [`ERROR_TEXT_CHARS_MAX`] printable characters; empty when there
/// is none.
///
/// The body comes from a peer that is not trusted and ends on a terminal.
pub fn error_text(body: &[u8], content_type: &str) -> String {
    let encoding = Encoding::from_content_type(content_type);
    let status = match encoding {
        Some(Encoding::Protobuf) => Status::decode(body).ok().map(|it| it.message),
        _ => None,
    };
    let text = status
        .or_else(|| any_from_slice(body).as_ref().and_then(text_of_json))
        .unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    one_line(&text)
}

/// `message` of a status, `detail` and `title` of RFC 9457, `error` of many others.
fn text_of_json(value: &Value) -> Option<String> {
    let text = |key: &str| value.get(key).and_then(Value::as_str).filter(|it| !it.is_empty());
    ["message", "detail", "title", "error"].into_iter().find_map(text).map(str::to_owned)
}

fn one_line(text: &str) -> String {
    let printable = |it: char| if it.is_control() || it.is_whitespace() { ' ' } else { it };
    let spaced: String = text.chars().take(4 * ERROR_TEXT_CHARS_MAX).map(printable).collect();
    let words: Vec<_> = spaced.split(' ').filter(|it| !it.is_empty()).collect();
    words.join(" ").chars().take(ERROR_TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_status_comes_back() {
        for encoding in Encoding::ALL {
            let body = encode_status(StatusCode::Unavailable, "control plane is down", encoding);
            assert_eq!(error_text(&body, encoding.content_type()), "control plane is down");
        }
    }

    #[test]
    fn text_is_found_in_what_other_servers_send() {
        for (body, content_type, want) in [
            (r#"{"code":14,"message":"busy"}"#, "application/json", "busy"),
            (r#"{"title":"Bad","detail":"field x"}"#, "application/problem+json", "field x"),
            ("no healthy upstream", "text/plain", "no healthy upstream"),
            ("<html>\n <b>502</b>\r\n</html>", "text/html", "<html> <b>502</b> </html>"),
            ("plain", "application/x-protobuf", "plain"),
            ("\u{1b}[2Jboo\u{7}", "text/plain", "[2Jboo"),
            (r#"{"x":1}"#, "application/json", r#"{"x":1}"#),
            ("", "", ""),
        ] {
            assert_eq!(error_text(body.as_bytes(), content_type), want, "{body}");
        }
    }

    #[test]
    fn a_long_text_is_cut() {
        let text = error_text("é ".repeat(100_000).as_bytes(), "text/plain");
        assert_eq!(text.chars().count(), ERROR_TEXT_CHARS_MAX);
    }
}
