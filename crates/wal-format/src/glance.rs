//! What an entry of ours is about, without parsing it.
//!
//! Whoever sorts a million entries by kind and time wants two short texts of each, and [`encode_entry`]
//! writes both in front of everything else:
//!
//! ```text
//! {"seq":7,"written_at":"2026-01-02T03:04:05.000006Z","event":{"kind":"autonomy.decision",…},"chain":"…"}
//! ```
//!
//! # Invariants
//!
//! * **G1** Of what [`encode_entry`] made of an event, a glance says what [`Entry::parse`](crate::Entry::parse)
//!   says, or nothing.
//! * **G2** Of any other payload it can say what a parser would not: only a chain value that holds proves that
//!   a payload is ours.
//!
//! [`encode_entry`]: crate::encode_entry

use crate::{Seq, entry, skim::behind_plain_text};

/// What the first bytes of an entry say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Glance<'a> {
    /// Place in the log.
    pub seq: Seq,
    /// When the entry was submitted, as stored.
    pub written_at: &'a str,
    /// Text of the kind of its event.
    pub kind: &'a str,
    /// What stands behind the kind, up to and including the end of the event.
    pub rest: &'a [u8],
}

impl<'a> Glance<'a> {
    /// Looks at a payload whose chain value holds (G2); `None` says nothing about it.
    pub fn at(payload: &'a [u8]) -> Option<Self> {
        let (body, digits) = entry::split_digits(payload)?;
        let (seq, rest) = entry::split_seq(body)?;
        let (written_at, rest) = text(rest.strip_prefix(br#","written_at":""#)?)?;
        let (kind, rest) = text(rest.strip_prefix(br#","event":{"kind":""#)?)?;
        let whole = matches!(rest.first(), Some(b',' | b'}')) && rest.ends_with(b"}");
        // Without an early exit the compiler compares many digits at once.
        let ours = digits.iter().fold(whole, |ours, it| ours & it.is_ascii_hexdigit());
        ours.then_some(Self { seq, written_at, kind, rest })
    }
}

/// Splits off a text without escapes, and its closing quote.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let behind = behind_plain_text(bytes);
    let text = bytes.get(..bytes.len() - behind.len())?;
    Some((std::str::from_utf8(text).ok()?, behind.strip_prefix(b"\"")?))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::{Chain, Entry, Event, HEADER_LEN, Kind, encode_entry};

    fn payload(seq: u64, at: i64, event: &Event) -> Vec<u8> {
        let (mut out, at) = (Vec::new(), Timestamp::from_microsecond(at).unwrap());
        let (seq, before) = (Seq::new(seq).unwrap(), Chain::before(b""));
        encode_entry(seq, at, &event.to_json(), before, &mut out).unwrap();
        out.split_off(HEADER_LEN)
    }

    #[test]
    fn the_kinds_of_this_system_are_seen() {
        for kind in [Kind::Decision, Kind::Action, Kind::Lifecycle, Kind::Error] {
            let event = Event::new(kind.clone()).with("kind", "other");
            let payload = payload(7, 1_000_002, &event);
            let found = Glance::at(&payload).unwrap();
            assert_eq!((found.seq.get(), found.kind), (7, kind.as_str()));
            assert_eq!(found.written_at, "1970-01-01T00:00:01.000002Z");
        }
    }

    #[test]
    fn what_is_not_written_as_ours_is_left_alone() {
        let good = payload(7, 0, &Event::new(Kind::Error));
        let good = std::str::from_utf8(&good).unwrap();
        for (from, to) in [
            (r#"{"seq":7,"#, r#"{"seq": 7,"#),
            ("written_at", "at"),
            (r#""event":{"#, r#""event":{"x":1,"#),
            ("error", r"err\u006fr"),
            (r#"error","#, r#"error" ,"#),
            (r#","chain":""#, r#", "chain":""#),
            (r#"","attrs"#, "\n\",\"attrs"),
            (r#"","attrs"#, r#"":1,"attrs"#),
        ] {
            let bad = good.replacen(from, to, 1);
            assert_ne!(bad, good);
            assert_eq!(Glance::at(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(Glance::at(b""), None);
    }

    proptest! {
        /// G1.
        #[test]
        fn a_glance_says_what_the_parser_says(
            kind in "(autonomy\\.)?.{0,12}",
            attr in ".{0,20}",
            seq in 1..u64::MAX,
            at in 0..4_000_000_000_000_000_i64,
        ) {
            let event = Event::new(Kind::parse(&kind)).with(&attr, kind.clone()).with("kind", attr);
            let payload = payload(seq, at, &event);
            let entry = Entry::parse(&payload).unwrap();
            if let Some(found) = Glance::at(&payload) {
                prop_assert_eq!(found.seq, entry.seq);
                prop_assert_eq!(found.written_at, entry.written_at);
                prop_assert_eq!(found.kind, entry.event.kind);
                let rest = std::str::from_utf8(found.rest).unwrap();
                let attrs = rest.strip_prefix(",\"attrs\":").unwrap().strip_suffix('}').unwrap();
                prop_assert_eq!(attrs, entry.event.attrs.unwrap().get());
            } else {
                prop_assert!(serde_json::to_string(&kind).unwrap().contains('\\'), "{}", kind);
            }
        }
    }
}
