//! The payload of a frame: a numbered, dated, chained event.
//!
//! # Layout
//!
//! ```text
//! {"seq":7,"written_at":"2026-01-02T03:04:05.000006Z","event":{…},"chain":"<64 hex digits>"}
//! └──────────────────────── body ────────────────────────────────┘└──────── 76 bytes ───────┘
//! ```
//!
//! | key          | value                                                                  |
//! |--------------|------------------------------------------------------------------------|
//! | `seq`        | number from 1, contiguous; always the first key in what we write         |
//! | `written_at` | RFC 3339, UTC, microseconds                                              |
//! | `event`      | [`Event`](crate::Event)                                                  |
//! | `chain`      | [`Chain`] over the body; always the last key; absent in foreign logs     |
//!
//! # Invariants
//!
//! * **E1** The chain suffix is found without parsing: in valid JSON an unescaped `,"chain":"`
//!   that ends 66 bytes before the end can only be a key of the outermost object.
//! * **E2** Unknown keys are not looked at here and never rewritten: whoever exports an entry
//!   exports the stored bytes.

use std::{borrow::Cow, fmt, io::Write as _};

use jiff::Timestamp;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::{
    Chain, EventRef, FrameError, Seq,
    frame::{HEADER_LEN, Header},
};

const CHAIN_KEY: &[u8] = br#","chain":""#;
const CHAIN_END: &[u8] = br#""}"#;
/// Bytes from the end of the body to the end of a chained payload.
pub const CHAIN_SUFFIX_LEN: usize = CHAIN_KEY.len() + Chain::HEX_LEN + CHAIN_END.len();

const _: () = assert!(CHAIN_SUFFIX_LEN == 76, "the suffix is part of the on-disk format");

/// A parsed payload, borrowed from its bytes.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry<'a> {
    /// Place in the log.
    pub seq: Seq,
    /// When the entry was submitted, as stored.
    #[serde(borrow, default)]
    pub written_at: Cow<'a, str>,
    /// What happened.
    #[serde(borrow, deserialize_with = "event_object")]
    pub event: EventRef<'a>,
}

impl<'a> Entry<'a> {
    /// Parses the payload of a frame. The chain is not checked here.
    ///
    /// # Errors
    ///
    /// [`EntryError`] when the payload is not a JSON object with a `seq` of at least 1 and an
    /// `event` object. Whatever parses here has the same number for [`read_seq`].
    pub fn parse(payload: &'a [u8]) -> Result<Self, EntryError> {
        let text = object_text(payload)?;
        serde_json::from_str(text).map_err(|error| EntryError::new(&error))
    }

    /// Returns `written_at` as a time, or `None` when it is missing or not RFC 3339.
    pub fn time(&self) -> Option<Timestamp> {
        self.written_at.parse().ok()
    }
}

/// Appends one chained frame to `out` and returns its chain value.
///
/// `event` is the JSON object made by [`Event::to_json`](crate::Event::to_json); it is copied once.
///
/// # Errors
///
/// [`FrameError::TooLong`] when the payload does not fit a frame; `out` is then unchanged.
pub fn encode_entry(
    seq: Seq,
    written_at: Timestamp,
    event: &[u8],
    previous: Chain,
    out: &mut Vec<u8>,
) -> Result<Chain, FrameError> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_LEN]);
    // Writing to a vector cannot fail.
    let written = write!(out, r#"{{"seq":{seq},"written_at":"{written_at:.6}","event":"#);
    debug_assert!(written.is_ok(), "a vector takes every write");
    out.extend_from_slice(event);
    let chain = previous.link(out.get(start + HEADER_LEN..).unwrap_or_default());
    out.extend_from_slice(CHAIN_KEY);
    out.extend_from_slice(&chain.to_hex());
    out.extend_from_slice(CHAIN_END);

    let payload_len = u32::try_from(out.len() - start - HEADER_LEN).unwrap_or(u32::MAX);
    match Header::new(payload_len) {
        Ok(header) => {
            if let Some(place) = out.get_mut(start..start + HEADER_LEN) {
                place.copy_from_slice(&header.to_bytes());
            }
            Ok(chain)
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}

/// Splits a chained payload into its body and its chain value (E1).
///
/// Returns `None` for a payload without a chain.
pub fn split_chain(payload: &[u8]) -> Option<(&[u8], Chain)> {
    let (body, digits) = split_digits(payload)?;
    Some((body, Chain::from_hex(digits.try_into().ok()?)?))
}

/// Returns the chain value of a payload when it has one and it follows from `previous`.
///
/// The same as [`split_chain`] and [`Chain::link`], without reading the digits.
pub fn linked(payload: &[u8], previous: Chain) -> Option<Chain> {
    let (body, digits) = split_digits(payload)?;
    let chain = previous.link(body);
    (chain.to_hex() == digits).then_some(chain)
}

/// Splits a payload of ours into its body and the digits of its chain value.
pub(crate) fn split_digits(payload: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = payload.len().checked_sub(CHAIN_SUFFIX_LEN)?;
    let (body, suffix) = payload.split_at_checked(at)?;
    Some((body, suffix.strip_prefix(CHAIN_KEY)?.strip_suffix(CHAIN_END)?))
}

/// Returns the `seq` that a payload of ours starts with, without looking at the rest.
///
/// Returns `None` when the payload does not start as ours do; [`read_seq`] then tells more. Only a
/// chain value that holds makes the rest of the payload trustworthy.
pub fn leading_seq(payload: &[u8]) -> Option<Seq> {
    split_seq(payload).map(|(seq, _)| seq)
}

/// Returns the `seq` that a payload of ours starts with, and the rest, which begins with a comma.
pub(crate) fn split_seq(payload: &[u8]) -> Option<(Seq, &[u8])> {
    let mut rest = payload.strip_prefix(br#"{"seq":"#)?;
    if rest.first() == Some(&b'0') {
        return None;
    }
    let mut seq = 0_u64;
    while let Some((digit @ b'0'..=b'9', behind)) = rest.split_first() {
        seq = seq.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        rest = behind;
    }
    if rest.first() == Some(&b',') { Some((Seq::new(seq)?, rest)) } else { None }
}

/// Checks that `payload` is one JSON object and returns its `seq` as stored; 0 when it has none.
///
/// # Errors
///
/// [`EntryError`] when it is not JSON, not an object, or `seq` is not a whole number.
pub fn read_seq(payload: &[u8]) -> Result<u64, EntryError> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        seq: u64,
    }
    let text = object_text(payload)?;
    let head: Head = serde_json::from_str(text).map_err(|error| EntryError::new(&error))?;
    Ok(head.seq)
}

/// Returns a payload as text that begins as an object does.
fn object_text(payload: &[u8]) -> Result<&str, EntryError> {
    // An array would fill a struct by position; only an object is an entry.
    if payload.iter().find(|it| !it.is_ascii_whitespace()) != Some(&b'{') {
        return Err(EntryError { line: 1, column: 0, text: "expected an object".to_owned() });
    }
    // The parser skips over strings it does not need without looking whether they are text.
    std::str::from_utf8(payload).map_err(|error| EntryError {
        line: 1,
        column: error.valid_up_to() + 1,
        text: "not UTF-8".to_owned(),
    })
}

/// Reads an event that is an object; an array would fill the struct by position.
fn event_object<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventRef<'de>, D::Error> {
    struct Members;

    impl<'de> Visitor<'de> for Members {
        type Value = EventRef<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<EventRef<'de>, A::Error> {
            EventRef::deserialize(MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Members)
}

/// Returns the number and the length of the entry that `bytes` begin with, whatever follows it.
///
/// With this a payload is found whose length prefix was damaged. Returns `None` when the bytes do
/// not begin with a whole JSON object that has a `seq`.
pub fn leading_entry(bytes: &[u8]) -> Option<(Seq, usize)> {
    let mut values = serde_json::Deserializer::from_slice(bytes).into_iter::<&RawValue>();
    let object = values.next()?.ok()?;
    Some((Seq::new(read_seq(object.get().as_bytes()).ok()?)?, values.byte_offset()))
}

/// A payload that is not an entry.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{text} at byte {column}")]
pub struct EntryError {
    /// Line inside the payload, from 1.
    pub line: usize,
    /// Column inside that line, in bytes.
    pub column: usize,
    /// What the parser expected.
    pub text: String,
}

impl EntryError {
    fn new(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text).to_owned();
        Self { line: error.line(), column: error.column(), text }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Decoded, Event, Frame, Kind};

    const AT: &str = "2026-01-02T03:04:05.000006Z";

    fn encoded(event: &Event) -> (Vec<u8>, Chain) {
        let mut out = Vec::new();
        let event = event.to_json();
        let chain =
            encode_entry(Seq::FIRST, AT.parse().unwrap(), &event, Chain::before(b""), &mut out);
        (out, chain.unwrap())
    }

    fn payload(frame: &[u8]) -> &[u8] {
        match Frame::decode(frame).unwrap() {
            Decoded::Whole(frame, []) => frame.payload(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_bytes_of_an_entry_are_pinned() {
        let event = Event::new(Kind::Decision).with("decision", "allow").with("kind", "tool.echo");
        let (frame, chain) = encoded(&event);
        let want = format!(
            r#"{{"seq":1,"written_at":"{AT}","event":{{"kind":"autonomy.decision","attrs":{{"decision":"allow","kind":"tool.echo"}}}},"chain":"{chain}"}}"#
        );
        assert_eq!(std::str::from_utf8(payload(&frame)).unwrap(), want);
        let body = want.split(r#","chain""#).next().unwrap();
        assert_eq!(Chain::before(b"").link(body.as_bytes()), chain);
    }

    #[test]
    fn the_chain_is_split_off_and_covers_the_body() {
        let (frame, chain) = encoded(&Event::new(Kind::Lifecycle));
        let (body, found) = split_chain(payload(&frame)).unwrap();
        assert_eq!(found, chain);
        assert_eq!(Chain::before(b"").link(body), chain);
        assert_eq!(linked(payload(&frame), Chain::before(b"")), Some(chain));
        assert_eq!(linked(payload(&frame), chain), None);
        assert_eq!(linked(br#"{"seq":1,"event":{}}"#, chain), None);
        let mut upper = payload(&frame).to_vec();
        let digits = upper.len() - 66..;
        upper[digits].make_ascii_uppercase();
        assert_eq!(linked(&upper, Chain::before(b"")), None, "one value has one spelling");
    }

    #[test]
    fn an_entry_is_found_without_its_length() {
        let (mut frame, _) = encoded(&Event::new(Kind::Lifecycle));
        let len = payload(&frame).len();
        assert_eq!(leading_entry(&frame[4..]), Some((Seq::FIRST, len)));
        frame.extend_from_slice(b"\0\0\0\x09more");
        assert_eq!(leading_entry(&frame[4..]), Some((Seq::FIRST, len)));
        assert_eq!(leading_entry(&frame[4..frame.len() - 20]), None, "the object is cut");
        for other in [&b"{}"[..], b"[1]", b"", b"4", b"\0\0"] {
            assert_eq!(leading_entry(other), None, "{other:?}");
        }
    }

    #[test]
    fn a_chain_inside_the_event_is_not_the_chain_of_the_entry() {
        let nested = format!(r#"{{"seq":1,"event":{{"x":1,"chain":"{}"}}}}"#, Chain::before(b""));
        assert_eq!(split_chain(nested.as_bytes()), None);
        let quoted =
            Event::new(Kind::Lifecycle).with("x", format!(r#","chain":"{}"#, "0".repeat(64)));
        assert_eq!(split_chain(&quoted.to_json()), None);
    }

    #[test]
    fn the_sequence_number_is_read_from_any_object() {
        assert_eq!(read_seq(br#"{"seq":4,"event":{}}"#), Ok(4));
        assert_eq!(read_seq(br#"{"event":{"seq":9},"seq":4}"#), Ok(4));
        assert_eq!(read_seq(br#"{"event":{}}"#), Ok(0));
        for bad in [
            &b"[4]"[..],
            b"4",
            b"",
            b"{",
            br#"{"seq":"4"}"#,
            br#"{"seq":-1}"#,
            b"{}x",
            b"\xff",
            b"{\"x\":\"\xff\"}",
        ] {
            assert!(read_seq(bad).is_err(), "{bad:?}");
        }
        let error = read_seq(br#"{"seq":4,"event":tru}"#).unwrap_err();
        assert_eq!(error.to_string(), "expected ident at byte 21");
    }

    #[test]
    fn an_entry_is_an_object_of_text_and_so_is_its_event() {
        for bad in [
            &b"[1,\"\",{}]"[..],
            br#"{"seq":1,"event":["autonomy.error",{}]}"#,
            br#"{"seq":1,"event":null}"#,
            br#"{"seq":0,"event":{}}"#,
            b"{\"seq\":1,\"event\":{},\"x\":\"\xff\"}",
        ] {
            assert!(Entry::parse(bad).is_err(), "{bad:?}");
        }
        let attrs = br#"{"seq":1,"event":{"kind":"x","attrs":{"a":1}}}"#;
        assert_eq!(Entry::parse(attrs).unwrap().event.attrs().unwrap()["a"], 1);
    }

    #[test]
    fn only_a_payload_that_starts_as_ours_is_read_from_its_start() {
        assert_eq!(leading_seq(br#"{"seq":40,"x"#).map(Seq::get), Some(40));
        for other in [
            r#"{"seq":0,"#,
            r#"{"seq":04,"#,
            r#"{"seq":4"#,
            r#"{"seq":-4,"#,
            r#"{"seq":4.0,"#,
            r#"{"seq":,"#,
            r#"{ "seq":4,"#,
            r#"{"seq":18446744073709551616,"#,
            "",
        ] {
            assert_eq!(leading_seq(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn a_payload_that_does_not_fit_leaves_the_buffer_alone() {
        let event = Event::new(Kind::Action).with("x", "y".repeat(17 << 20)).to_json();
        let mut out = b"before".to_vec();
        let at = AT.parse().unwrap();
        let got = encode_entry(Seq::FIRST, at, &event, Chain::before(b""), &mut out);
        assert!(matches!(got, Err(FrameError::TooLong { .. })));
        assert_eq!(out, b"before");
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_parsed_back(key in "\\PC*", text in any::<String>(), micros in 0..4_000_000_000_000_000_i64) {
            let event = Event::new(Kind::parse("x.y")).with(&key, text.clone());
            let at = Timestamp::from_microsecond(micros).unwrap();
            let mut out = Vec::new();
            encode_entry(Seq::FIRST, at, &event.to_json(), Chain::before(b""), &mut out).unwrap();
            let entry = Entry::parse(payload(&out)).unwrap();
            prop_assert_eq!(entry.seq, Seq::FIRST);
            prop_assert_eq!(entry.time(), Some(at));
            prop_assert_eq!(entry.event.to_owned().unwrap(), event);
        }

        #[test]
        fn no_payload_makes_a_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let parsed = Entry::parse(&bytes);
            if read_seq(&bytes).is_err() {
                prop_assert!(parsed.is_err());
            }
            split_chain(&bytes);
        }
    }
}
