//! A line of the file `telemetry.deadletter.jsonl`: events that the collector refused for good, and
//! what became of them.
//!
//! One JSON object a line. A letter is self-contained: the log it is of can be archived and deleted.
//!
//! | line          | keys, in this order                                                             |
//! |---------------|---------------------------------------------------------------------------------|
//! | letter        | `schema` `event_id` `wal_id` `node` `seq` `class` `payload` `text` `refused_at` |
//! | refused again | `schema` `event_id` `attempts` `text` `refused_at`                              |
//! | delivered     | `schema` `event_id` `delivered_at`                                              |
//! | purged        | `schema` `event_id` `purged_at` `reason`                                        |
//! | damage purged | `schema` `purged_at` `reason` `damaged` `bytes`                                 |
//! | old letter    | `event_id` `seq` `class` `text` `refused_at`                                    |
//!
//! `payload` is the stored entry, byte for byte, as a string. Bytes that are no UTF-8 cannot be one;
//! they stand as hexadecimal digits in `payload_hex` instead. `damaged` is the BLAKE3 of a line of the file that
//! meant nothing and was given up, `bytes` its length.
//!
//! # Invariants
//!
//! * **F1** `parse(write(line))` gives `line` back.
//! * **F2** A line with the keys of two kinds, with half of the keys of one, or whose `event_id` is not
//!   that of its `node`, `wal_id` and `seq`, is no line: what it means is not guessed.
//! * **F3** Keys that are not known are ignored; a larger `schema` is reported as such.

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use wal_format::Seq;

use crate::{Class, delivery::Source};

/// Number in every line that we write.
const SCHEMA: u64 = 1;

/// An event that the collector refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The log it is of.
    pub source: Source,
    /// Its number in that log.
    pub seq: Seq,
    /// How urgent it was.
    pub class: Class,
    /// The entry as it is stored in the log; `None` in an old letter.
    pub payload: Option<Vec<u8>>,
    /// Why it was refused, in the words of the collector.
    pub text: String,
    /// When.
    pub refused_at: Timestamp,
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// An event was refused.
    Letter(DeadLetter),
    /// It was sent again and refused again.
    RefusedAgain {
        /// The event.
        event_id: String,
        /// How often it was refused by now.
        attempts: u32,
        /// Why, in the words of the collector.
        text: String,
        /// When.
        refused_at: Timestamp,
    },
    /// It was sent again and accepted.
    Delivered {
        /// The event.
        event_id: String,
        /// When.
        delivered_at: Timestamp,
    },
    /// An operator gave it up.
    Purged {
        /// The event.
        event_id: String,
        /// When.
        purged_at: Timestamp,
        /// Why, in the words of the operator.
        reason: String,
    },
    /// An operator gave up a line that meant nothing.
    DamagePurged {
        /// BLAKE3 of the line, without its line feed, in hexadecimal digits.
        damaged: String,
        /// Its length.
        bytes: u64,
        /// When.
        purged_at: Timestamp,
        /// Why, in the words of the operator.
        reason: String,
    },
}

/// Every key that a line may have, in the order in which they are written.
#[derive(Default, Serialize, Deserialize)]
#[serde(default)]
struct Keys<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<u64>,
    #[serde(skip_serializing_if = "str::is_empty")]
    event_id: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<Seq>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<Class>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_hex: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refused_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    delivered_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purged_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    damaged: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

impl DeadLetter {
    /// Returns the stable id of the event.
    pub fn event_id(&self) -> String {
        self.source.event_id(self.seq)
    }

    /// Appends the line to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let mut keys = Keys {
            event_id: self.event_id().into(),
            seq: Some(self.seq),
            class: Some(self.class),
            text: Some((&*self.text).into()),
            refused_at: Some(self.refused_at),
            ..Keys::default()
        };
        if let Some(payload) = &self.payload {
            keys.schema = Some(SCHEMA);
            keys.wal_id = Some(self.source.wal_id.to_string());
            keys.node = Some((&*self.source.node).into());
            match std::str::from_utf8(payload) {
                Ok(text) => keys.payload = Some(text.into()),
                Err(_) => keys.payload_hex = Some(hex::encode(payload)),
            }
        }
        keys.write(out);
    }
}

impl Line {
    /// Reads a line; a line feed at its end is not part of it.
    ///
    /// # Errors
    ///
    /// [`LineError`] when it is none that we write (F2, F3).
    pub fn parse(line: &[u8]) -> Result<Self, LineError> {
        // An array of values without their keys would be taken for them, in their order.
        if line.trim_ascii_start().first() == Some(&b'[') {
            return Err(LineError::Unreadable { text: "an array, not an object".to_owned() });
        }
        let keys: Keys<'_> = serde_json::from_slice(line)
            .map_err(|error| LineError::Unreadable { text: error.to_string() })?;
        match keys.schema {
            None => keys.old_letter(),
            Some(SCHEMA) => keys.line(),
            Some(schema) => Err(LineError::Newer { schema }),
        }
    }

    /// Returns the id of the event that the line is about; empty when nobody knows which.
    pub fn event_id(&self) -> Cow<'_, str> {
        match self {
            Self::Letter(letter) => letter.event_id().into(),
            Self::RefusedAgain { event_id, .. }
            | Self::Delivered { event_id, .. }
            | Self::Purged { event_id, .. } => event_id.into(),
            Self::DamagePurged { .. } => Cow::Borrowed(""),
        }
    }

    /// Appends the line to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        let keys = |event_id: &'_ str| Keys {
            schema: Some(SCHEMA),
            event_id: event_id.to_owned().into(),
            ..Keys::default()
        };
        match self {
            Self::Letter(letter) => letter.write(out),
            Self::RefusedAgain { event_id, attempts, text, refused_at } => Keys {
                attempts: Some(*attempts),
                text: Some(text.into()),
                refused_at: Some(*refused_at),
                ..keys(event_id)
            }
            .write(out),
            Self::Delivered { event_id, delivered_at } => {
                Keys { delivered_at: Some(*delivered_at), ..keys(event_id) }.write(out);
            }
            Self::Purged { event_id, purged_at, reason } => {
                Keys { purged_at: Some(*purged_at), reason: Some(reason.into()), ..keys(event_id) }
                    .write(out);
            }
            Self::DamagePurged { damaged, bytes, purged_at, reason } => Keys {
                purged_at: Some(*purged_at),
                reason: Some(reason.into()),
                damaged: Some(damaged.into()),
                bytes: Some(*bytes),
                ..keys("")
            }
            .write(out),
        }
    }
}

impl Keys<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        // Strings and numbers always serialize.
        out.extend_from_slice(&serde_json::to_vec(self).unwrap_or_default());
        out.push(b'\n');
    }

    /// Decides by the table of the module (F2).
    fn line(self) -> Result<Line, LineError> {
        let letter = self.class.is_some() || self.has_log_or_payload();
        let refusal = self.text.is_some() || self.refused_at.is_some();
        let reason = self.reason.is_some();
        let damage = self.damaged.is_some() || self.bytes.is_some();
        match (self.seq, self.attempts, self.delivered_at, self.purged_at) {
            (Some(_), None, None, None) if !reason && !damage => self.letter(),
            (None, Some(attempts), None, None) if !letter && !reason && !damage => {
                Ok(Line::RefusedAgain {
                    text: required(self.text, "text")?.into_owned(),
                    refused_at: required(self.refused_at, "refused_at")?,
                    event_id: not_empty(self.event_id)?,
                    attempts,
                })
            }
            (None, None, Some(delivered_at), None) if !(letter || refusal || reason || damage) => {
                Ok(Line::Delivered { event_id: not_empty(self.event_id)?, delivered_at })
            }
            (None, None, None, Some(purged_at)) if damage && !letter && !refusal => {
                if !self.event_id.is_empty() {
                    return Err(LineError::Ambiguous);
                }
                Ok(Line::DamagePurged {
                    damaged: required(self.damaged, "damaged")?.into_owned(),
                    bytes: required(self.bytes, "bytes")?,
                    reason: required(self.reason, "reason")?.into_owned(),
                    purged_at,
                })
            }
            (None, None, None, Some(purged_at)) if !letter && !refusal => Ok(Line::Purged {
                reason: required(self.reason, "reason")?.into_owned(),
                event_id: not_empty(self.event_id)?,
                purged_at,
            }),
            _ => Err(LineError::Ambiguous),
        }
    }

    /// Whether it has a key that stands in no other line than a letter of today.
    fn has_log_or_payload(&self) -> bool {
        self.wal_id.is_some()
            || self.node.is_some()
            || self.payload.is_some()
            || self.payload_hex.is_some()
    }

    fn letter(self) -> Result<Line, LineError> {
        let wal_id = required(self.wal_id.as_deref(), "wal_id")?;
        let wal_id = wal_id.parse().map_err(|_| LineError::Lacks { key: "wal_id" })?;
        let node = required(self.node.as_deref(), "node")?.to_owned();
        let payload = match (&self.payload, &self.payload_hex) {
            (Some(text), None) => text.as_bytes().to_vec(),
            (None, Some(digits)) => {
                hex::decode(digits).map_err(|_| LineError::Lacks { key: "payload_hex" })?
            }
            (None, None) => return Err(LineError::Lacks { key: "payload" }),
            (Some(_), Some(_)) => return Err(LineError::Ambiguous),
        };
        self.letter_of(Source { node, wal_id }, Some(payload))
    }

    /// An old letter names its log in the id of the event only.
    fn old_letter(self) -> Result<Line, LineError> {
        let parts = self.event_id.rsplit_once(':').and_then(|it| it.0.rsplit_once(':'));
        let (node, wal_id) = parts.ok_or(LineError::Lacks { key: "event_id" })?;
        let wal_id = wal_id.parse().map_err(|_| LineError::Lacks { key: "event_id" })?;
        let source = Source { node: node.to_owned(), wal_id };
        let others = self.has_log_or_payload()
            || self.attempts.is_some()
            || self.delivered_at.is_some()
            || self.purged_at.is_some()
            || self.reason.is_some();
        if others { Err(LineError::Ambiguous) } else { self.letter_of(source, None) }
    }

    fn letter_of(self, source: Source, payload: Option<Vec<u8>>) -> Result<Line, LineError> {
        let letter = DeadLetter {
            source,
            seq: required(self.seq, "seq")?,
            class: required(self.class, "class")?,
            payload,
            text: required(self.text, "text")?.into_owned(),
            refused_at: required(self.refused_at, "refused_at")?,
        };
        let expected = letter.event_id();
        if expected == self.event_id {
            Ok(Line::Letter(letter))
        } else {
            Err(LineError::OtherEvent { found: self.event_id.into_owned(), expected })
        }
    }
}

fn required<T>(value: Option<T>, key: &'static str) -> Result<T, LineError> {
    value.ok_or(LineError::Lacks { key })
}

fn not_empty(event_id: Cow<'_, str>) -> Result<String, LineError> {
    if event_id.is_empty() {
        return Err(LineError::Lacks { key: "event_id" });
    }
    Ok(event_id.into_owned())
}

impl LineError {
    /// Whether the line is torn or damaged. One of a newer version is neither: somebody can read it.
    pub const fn is_damage(&self) -> bool {
        !matches!(self, Self::Newer { .. })
    }
}

/// Why a line is not known to mean anything.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LineError {
    /// It is no JSON object with values of the right kinds: torn or damaged.
    #[error("unreadable: {text}")]
    Unreadable {
        /// What the parser says.
        text: String,
    },
    /// A newer version wrote it.
    #[error("schema {schema} is newer than {SCHEMA}")]
    Newer {
        /// The number found.
        schema: u64,
    },
    /// A key is not there, or its value cannot be one of it.
    #[error("no valid `{key}`")]
    Lacks {
        /// The key.
        key: &'static str,
    },
    /// It has the keys of no kind of line, or of more than one.
    #[error("neither a letter nor a fact about one")]
    Ambiguous,
    /// The id is not that of the entry.
    #[error("event_id {found} is not that of its entry, {expected}")]
    OtherEvent {
        /// The id found.
        found: String,
        /// The id of the entry that the line describes.
        expected: String,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wal_format::WalId;

    use super::*;

    const ID: &str = "edge-1:07070707-0707-4707-8707-070707070707";
    const WAL_ID: &str = "07070707-0707-4707-8707-070707070707";

    fn letter(payload: Option<&[u8]>) -> DeadLetter {
        DeadLetter {
            source: Source { node: "edge-1".to_owned(), wal_id: WalId::from_random([7; 16]) },
            seq: Seq::new(7).unwrap(),
            class: Class::Decision,
            payload: payload.map(<[u8]>::to_vec),
            text: "bad\n\"field\"".to_owned(),
            refused_at: "2026-01-02T03:04:05.5Z".parse().unwrap(),
        }
    }

    fn line(line: &Line) -> String {
        let mut out = Vec::new();
        line.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_line_is_one_object_whatever_the_collector_says() {
        let text = r#""text":"bad\n\"field\"","refused_at":"2026-01-02T03:04:05.5Z"}"#;
        for (payload, want) in [
            (None, format!(r#"{{"event_id":"{ID}:7","seq":7,"class":"decision",{text}"#)),
            (
                Some(&br#"{"seq":7}"#[..]),
                format!(
                    r#"{{"schema":1,"event_id":"{ID}:7","wal_id":"{WAL_ID}","node":"edge-1","seq":7,"class":"decision","payload":"{{\"seq\":7}}",{text}"#
                ),
            ),
            (
                Some(&[0xff, 0x00][..]),
                format!(
                    r#"{{"schema":1,"event_id":"{ID}:7","wal_id":"{WAL_ID}","node":"edge-1","seq":7,"class":"decision","payload_hex":"ff00",{text}"#
                ),
            ),
        ] {
            let letter = Line::Letter(letter(payload));
            assert_eq!(line(&letter), format!("{want}\n"));
            assert_eq!(Line::parse(want.as_bytes()), Ok(letter));
        }
    }

    #[test]
    fn a_node_with_colons_in_its_name_is_found_in_an_old_letter() {
        let mut old = letter(None);
        old.source.node = "site:a:7".to_owned();
        assert_eq!(Line::parse(line(&Line::Letter(old.clone())).as_bytes()), Ok(Line::Letter(old)));
    }

    #[test]
    fn what_means_nothing_or_two_things_is_no_line() {
        let whole = line(&Line::Letter(letter(Some(b"{}"))));
        let lacks = |key| Err(LineError::Lacks { key });
        for (from, to, want) in [
            (r#""schema":1,"#, r#""schema":2,"#, Err(LineError::Newer { schema: 2 })),
            (r#""schema":1,"#, "", Err(LineError::Ambiguous)),
            (r#""seq":7,"#, "", Err(LineError::Ambiguous)),
            (r#""seq":7,"#, r#""seq":7,"attempts":2,"#, Err(LineError::Ambiguous)),
            (r#""payload""#, r#""payload_hex":"00","payload""#, Err(LineError::Ambiguous)),
            (r#""payload""#, r#""cargo""#, lacks("payload")),
            (r#""node""#, r#""n""#, lacks("node")),
            (r#""class""#, r#""c""#, lacks("class")),
            (r#""wal_id":"07"#, r#""wal_id":"zz"#, lacks("wal_id")),
        ] {
            assert!(whole.contains(from), "{from}");
            assert_eq!(Line::parse(whole.replace(from, to).as_bytes()), want, "{from} -> {to}");
        }
        let other = whole.replace(r#""seq":7,"#, r#""seq":8,"#);
        let error = Line::parse(other.as_bytes()).unwrap_err();
        let want = format!("event_id {ID}:7 is not that of its entry, {ID}:8");
        assert_eq!(error.to_string(), want);
        for torn in 0..whole.len() - 2 {
            assert!(Line::parse(&whole.as_bytes()[..torn]).is_err(), "{torn}");
        }
        let unknown = whole.replace(r#""seq":7"#, r#""later":[1],"seq":7"#);
        assert!(Line::parse(unknown.as_bytes()).is_ok(), "F3");
    }

    /// F2.
    #[test]
    fn a_line_with_a_key_of_another_kind_is_no_line() {
        let at = r#""2026-01-02T03:04:05Z""#;
        let head = format!(r#""schema":1,"event_id":"{ID}:7""#);
        let letter = format!(
            r#","wal_id":"{WAL_ID}","node":"edge-1","seq":7,"class":"decision","payload":"{{}}""#
        );
        let refusal = format!(r#","text":"bad","refused_at":{at}"#);
        let old = format!(r#""event_id":"{ID}:7","seq":7,"class":"decision"{refusal}"#);
        for (kind, body) in [
            ("letter", format!("{head}{letter}{refusal}")),
            ("refused again", format!(r#"{head},"attempts":2{refusal}"#)),
            ("delivered", format!(r#"{head},"delivered_at":{at}"#)),
            ("purged", format!(r#"{head},"purged_at":{at},"reason":"old""#)),
            ("old letter", old),
        ] {
            assert!(Line::parse(format!("{{{body}}}").as_bytes()).is_ok(), "{kind}");
            for key in [
                format!(r#""wal_id":"{WAL_ID}""#),
                r#""node":"edge-1""#.to_owned(),
                r#""seq":7"#.to_owned(),
                r#""class":"decision""#.to_owned(),
                r#""payload":"{}""#.to_owned(),
                r#""payload_hex":"7b7d""#.to_owned(),
                r#""attempts":2"#.to_owned(),
                r#""text":"bad""#.to_owned(),
                format!(r#""refused_at":{at}"#),
                format!(r#""delivered_at":{at}"#),
                format!(r#""purged_at":{at}"#),
                r#""reason":"old""#.to_owned(),
            ] {
                // A key that it has already would be there twice, which is an error as well.
                let both = format!("{{{body},{key}}}");
                assert!(Line::parse(both.as_bytes()).is_err(), "{kind} with {key}");
            }
        }
    }

    #[test]
    fn values_without_their_keys_are_no_line() {
        let keys = [r#"1,"a:b:7""#, &"null,".repeat(9), r#""2026-01-02T03:04:05Z""#];
        for line in [format!("[{},{}{}]", keys[0], keys[1], keys[2]), " []".to_owned()] {
            let error = Line::parse(line.as_bytes()).unwrap_err();
            assert_eq!(error.to_string(), "unreadable: an array, not an object");
        }
    }

    proptest! {
        /// F1.
        #[test]
        fn a_line_reads_as_it_was_written(
            node in any::<String>(), payload in prop::collection::vec(any::<u8>(), 0..60),
            (text, reason) in any::<(String, String)>(), attempts in any::<u32>(),
        ) {
            let mut letter = letter(Some(&payload));
            letter.source.node = node;
            letter.text.clone_from(&text);
            let at = letter.refused_at;
            let event_id = letter.event_id();
            for it in [
                Line::Letter(letter),
                Line::RefusedAgain { event_id: event_id.clone(), attempts, text, refused_at: at },
                Line::Delivered { event_id: event_id.clone(), delivered_at: at },
                Line::Purged { event_id, purged_at: at, reason: reason.clone() },
                Line::DamagePurged { damaged: "0f".repeat(32), bytes: 7, purged_at: at, reason },
            ] {
                let line = line(&it);
                prop_assert_eq!(line.matches('\n').count(), 1);
                prop_assert_eq!(Line::parse(line.as_bytes()), Ok(it));
            }
        }
    }
}
