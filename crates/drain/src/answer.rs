//! What the answer of a collector means.
//!
//! | status             | body                                            | verdict            |
//! |--------------------|-------------------------------------------------|--------------------|
//! | 2xx                | none, or readable without a refused record      | accepted           |
//! | 2xx                | `0 < refused <` records sent                    | some refused       |
//! | 2xx                | `refused =` records sent                        | all refused        |
//! | 2xx                | `refused >` records sent                        | unreadable (A2)    |
//! | 2xx                | anything else                                   | unreadable (A1)    |
//! | 429, 502, 503, 504 | any                                             | busy: try again    |
//! | 413                | any                                             | too large          |
//! | every other        | any                                             | refused: stop      |
//!
//! # Invariants
//!
//! * **A1** Success is what was seen, not what was not contradicted: a page of a proxy with status
//!   200 is no acceptance. The batch is sent again, under the same event ids.
//! * **A2** An answer that cannot be true is no answer.
//! * **A3** An empty body is the protobuf form of "all accepted", unless a content type says that a
//!   server of something else has answered.

use otlp::Encoding;

/// Largest body of an answer that is worth reading, in bytes.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

/// The answer of a collector to one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header `Retry-After`.
    pub retry_after: Option<String>,
    /// Header `Content-Type`.
    pub content_type: Option<String>,
    /// The body, as much of it as [`ANSWER_BYTES_MAX`].
    pub body: Vec<u8>,
}

/// What it means for the records that were sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Every record is accepted; the text is a warning.
    Accepted { warning: Option<String> },
    /// Some records are refused for good; which ones is not said.
    SomeRefused { text: String },
    /// Every record is refused for good.
    AllRefused { text: String },
    /// The request is too large.
    TooLarge { text: String },
    /// Try again.
    Busy { text: String },
    /// Not an answer of an OTLP server. Try again.
    Unreadable { text: String },
    /// Trying again would not help.
    Refused { text: String },
}

impl Answer {
    /// Decides the table of the module. `sent` is the number of records in the request, `encoding`
    /// its encoding.
    pub(crate) fn judge(&self, sent: usize, encoding: Encoding) -> Verdict {
        match self.status {
            200..=299 => self.judge_success(sent, encoding),
            429 | 502 | 503 | 504 => Verdict::Busy { text: self.text() },
            413 => Verdict::TooLarge { text: self.text() },
            _ => Verdict::Refused { text: self.text() },
        }
    }

    fn judge_success(&self, sent: usize, encoding: Encoding) -> Verdict {
        let unreadable =
            |why: &str| Verdict::Unreadable { text: format!("HTTP {} with {why}", self.status) };
        let encoding = match &self.content_type {
            None => encoding,
            Some(header) => match Encoding::from_content_type(header) {
                Some(encoding) => encoding,
                None => return unreadable(&format!("content type {}", one_line(header))),
            },
        };
        // A3: no bytes at all decode to "all accepted" in either encoding.
        match otlp::decode_response(&self.body, encoding) {
            Err(error) => unreadable(&one_line(&error.to_string())),
            Ok(None) => Verdict::Accepted { warning: None },
            Ok(Some(partial)) => {
                let text = one_line(&partial.message);
                match usize::try_from(partial.rejected) {
                    Ok(0) => Verdict::Accepted { warning: Some(text) },
                    Ok(refused) if refused < sent => Verdict::SomeRefused { text },
                    Ok(refused) if refused == sent => Verdict::AllRefused { text },
                    _ => unreadable(&format!("{} of {sent} records refused", partial.rejected)),
                }
            }
        }
    }

    /// `HTTP 503: the words of the server`.
    fn text(&self) -> String {
        let content_type = self.content_type.as_deref().unwrap_or_default();
        let text = otlp::error_text(&self.body, content_type);
        let separator = if text.is_empty() { "" } else { ": " };
        format!("HTTP {}{separator}{text}", self.status)
    }
}

/// Text of a peer, fit for a terminal and a line of a file.
fn one_line(text: &str) -> String {
    otlp::error_text(text.as_bytes(), "text/plain")
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Silence {
    /// Nobody listens there.
    ConnectionRefused,
    /// The connection ended before the answer.
    ConnectionReset,
    /// There was no answer in time.
    TimedOut,
    /// Anything else: names, routes, certificates.
    Other(String),
}

impl Silence {
    pub(crate) fn text(&self) -> String {
        match self {
            Self::ConnectionRefused => "connection refused".to_owned(),
            Self::ConnectionReset => "connection reset".to_owned(),
            Self::TimedOut => "timed out".to_owned(),
            Self::Other(text) => one_line(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use otlp::{PartialSuccess, StatusCode, encode_response, encode_status};

    use super::*;

    const SENT: usize = 4;

    fn judge(status: u16, content_type: Option<&str>, body: &[u8]) -> Verdict {
        let content_type = content_type.map(str::to_owned);
        let answer = Answer { status, retry_after: None, content_type, body: body.to_vec() };
        answer.judge(SENT, Encoding::Protobuf)
    }

    fn partial(rejected: u64, message: &str) -> Verdict {
        let partial = PartialSuccess { rejected, message: message.to_owned() };
        let body = encode_response(Some(&partial), Encoding::Json);
        judge(200, Some("application/json"), &body)
    }

    #[test]
    fn success_without_a_word_is_acceptance() {
        let accepted = Verdict::Accepted { warning: None };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(judge(status, None, b""), accepted, "{status}");
        }
        assert_eq!(judge(200, Some("application/json"), b""), accepted, "A3");
        assert_eq!(judge(200, Some("application/json"), b"{}"), accepted);
        assert_eq!(judge(200, Some("application/json; charset=utf-8"), b"{}"), accepted);
        assert_eq!(judge(200, None, &[0x0a, 0]), accepted, "in the encoding of the request");
        assert_eq!(partial(0, ""), accepted);
    }

    #[test]
    fn a_partial_success_is_judged_by_its_count() {
        let text = || "why".to_owned();
        assert_eq!(partial(0, "why"), Verdict::Accepted { warning: Some(text()) });
        for refused in [1, 3] {
            assert_eq!(partial(refused, "why"), Verdict::SomeRefused { text: text() });
        }
        assert_eq!(partial(4, "why"), Verdict::AllRefused { text: text() });
        for refused in [5, u64::MAX >> 1] {
            let text = format!("HTTP 200 with {refused} of 4 records refused");
            assert_eq!(partial(refused, "why"), Verdict::Unreadable { text });
        }
        let snake = br#"{"partial_success":{"rejected_log_records":"3","error_message":"why"}}"#;
        let got = judge(200, Some("application/json"), snake);
        assert_eq!(got, Verdict::SomeRefused { text: text() });
        let colours = Verdict::SomeRefused { text: "[31mred line".to_owned() };
        assert_eq!(partial(1, "\u{1b}[31mred\nline"), colours);
    }

    #[test]
    fn a_success_that_cannot_be_read_is_no_success() {
        for (content_type, body) in [
            (Some("text/html"), "<html>log in first</html>"),
            (Some("text/plain"), "ok"),
            (Some("text/html"), ""),
            (Some("application/json"), "ok"),
            (Some("application/json"), r#"{"error":"not logged in","status":401}"#),
            (Some("application/json"), r#"{"partialSuccess":{"rejectedLogRecords":-1}}"#),
            (Some("application/x-protobuf"), "{}"),
            (None, "ok"),
        ] {
            let got = judge(200, content_type, body.as_bytes());
            assert!(matches!(got, Verdict::Unreadable { .. }), "{content_type:?} {body}: {got:?}");
        }
    }

    #[test]
    fn every_other_status_has_its_verdict() {
        for status in 100..600 {
            let got = judge(status, Some("text/plain"), b"words");
            let text = format!("HTTP {status}: words");
            match status {
                200..=299 => assert!(matches!(got, Verdict::Unreadable { .. })),
                429 | 502 | 503 | 504 => assert_eq!(got, Verdict::Busy { text }),
                413 => assert_eq!(got, Verdict::TooLarge { text }),
                _ => assert_eq!(got, Verdict::Refused { text }),
            }
        }
        assert_eq!(judge(401, None, b""), Verdict::Refused { text: "HTTP 401".to_owned() });
        let body = encode_status(StatusCode::Unavailable, "later", Encoding::Protobuf);
        let got = judge(503, Some("application/x-protobuf"), &body);
        assert_eq!(got, Verdict::Busy { text: "HTTP 503: later".to_owned() });
    }
}
