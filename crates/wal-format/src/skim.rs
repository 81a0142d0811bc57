//! Entries without a chain, checked in one pass.
//!
//! [`read_seq`](crate::read_seq) decides what is an entry, and it takes its time: a pass for the text, one
//! for the values, and a search for the words of a birth. Nearly every payload is written in the
//! plainest way there is, and then one look at each byte tells as much.
//!
//! | accepted                                       | left to [`read_seq`](crate::read_seq)               |
//! |------------------------------------------------|-----------------------------------------------------|
//! | `seq` as the first key, `,` behind its number  | every other place and spelling                      |
//! | no space between values                        | spaces, tabs, line ends                             |
//! | keys without escapes                           | keys with escapes; a second `seq` of the entry      |
//! | objects and arrays up to [`DEPTH_MAX`] deep    | deeper ones                                         |
//! | any string as a value                          | those that begin as the name of a birth does        |
//!
//! # Invariants
//!
//! * **S1** What is accepted is accepted by [`read_seq`](crate::read_seq) too, with the same number.
//! * **S2** What is accepted does not contain [`Birth::MARK`](crate::Birth::MARK).
//! * **S3** A refusal says nothing about the payload.

use crate::{Seq, entry::split_seq};

/// Most objects and arrays inside each other: one bit of a word for each, and one for the outside.
const DEPTH_MAX: u32 = u64::BITS - 1;

/// What the strings begin with that a birth can be known by.
const BIRTH_NAME: &[u8] = b"wal.";

/// Returns the number of an entry that is written in the plainest way; `None` says nothing (S3).
pub fn skim(payload: &[u8]) -> Option<Seq> {
    let (seq, rest) = split_seq(payload)?;
    std::str::from_utf8(payload).ok()?;
    Skimmer { rest, open: Open::default().push(true)? }.entry()?;
    Some(seq)
}

/// The objects and arrays around a place, the innermost in the lowest bit: 1 for an object.
#[derive(Clone, Copy)]
struct Open(u64);

impl Default for Open {
    /// The outside: a bit in front of all others.
    fn default() -> Self {
        Self(1)
    }
}

impl Open {
    fn push(self, object: bool) -> Option<Self> {
        let depth = self.0.ilog2();
        (depth < DEPTH_MAX).then_some(Self(self.0 << 1 | u64::from(object)))
    }

    fn pop(self) -> Self {
        Self(self.0 >> 1)
    }

    fn in_object(self) -> bool {
        self.0 & 1 == 1
    }

    fn is_outside(self) -> bool {
        self.0 == 1
    }

    /// Inside the entry, and inside nothing else.
    fn in_entry(self) -> bool {
        self.0 == 0b11
    }
}

struct Skimmer<'a> {
    rest: &'a [u8],
    open: Open,
}

impl Skimmer<'_> {
    /// Checks what stands behind the first value of the entry, to its end.
    fn entry(mut self) -> Option<()> {
        loop {
            match self.next()? {
                b',' => self.member()?,
                b'}' if self.open.in_object() => self.open = self.open.pop(),
                b']' if !self.open.in_object() => self.open = self.open.pop(),
                _ => return None,
            }
            if self.open.is_outside() {
                return self.rest.is_empty().then_some(());
            }
        }
    }

    /// Checks a key, if there has to be one, and a value, or the beginning of one up to the end of
    /// the first value inside it that has none inside.
    fn member(&mut self) -> Option<()> {
        loop {
            if self.open.in_object() {
                self.key()?;
            }
            let (object, end) = match self.next()? {
                b'"' => return self.text(),
                b'{' => (true, b'}'),
                b'[' => (false, b']'),
                b't' => return self.word(b"rue"),
                b'f' => return self.word(b"alse"),
                b'n' => return self.word(b"ull"),
                b'-' => {
                    let first = self.next()?;
                    return self.number(first);
                }
                first => return self.number(first),
            };
            if self.rest.first() == Some(&end) {
                return self.next().map(drop);
            }
            self.open = self.open.push(object)?;
        }
    }

    fn next(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn key(&mut self) -> Option<()> {
        self.word(b"\"")?;
        let from = self.rest;
        self.plain_text();
        let key = from.split_at_checked(from.len() - self.rest.len())?.0;
        // An entry with two numbers has none.
        if self.open.in_entry() && key == b"seq" {
            return None;
        }
        self.word(b"\":")
    }

    /// Checks a string whose opening quote is taken.
    fn text(&mut self) -> Option<()> {
        if self.rest.starts_with(BIRTH_NAME) {
            return None;
        }
        loop {
            self.plain_text();
            match self.next()? {
                b'"' => return Some(()),
                b'\\' => self.escape()?,
                _ => return None,
            }
        }
    }

    fn escape(&mut self) -> Option<()> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                let (digits, rest) = self.rest.split_first_chunk::<4>()?;
                self.rest = rest;
                digits.iter().all(u8::is_ascii_hexdigit).then_some(())
            }
            _ => None,
        }
    }

    /// Passes what needs no closer look inside a string.
    fn plain_text(&mut self) {
        self.rest = behind_plain_text(self.rest);
    }

    /// Checks a number whose sign and first digit are taken.
    fn number(&mut self, first: u8) -> Option<()> {
        match first {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return None,
        }
        if self.rest.first() == Some(&b'.') {
            self.next()?;
            self.some_digits()?;
        }
        if let Some(b'e' | b'E') = self.rest.first() {
            self.next()?;
            if let Some(b'+' | b'-') = self.rest.first() {
                self.next()?;
            }
            self.some_digits()?;
        }
        Some(())
    }

    fn some_digits(&mut self) -> Option<()> {
        let first = self.next()?;
        self.digits();
        first.is_ascii_digit().then_some(())
    }

    fn digits(&mut self) {
        while let Some((b'0'..=b'9', behind)) = self.rest.split_first() {
            self.rest = behind;
        }
    }
}

/// Returns what stands behind the plain text that `rest` begins with: anything but a quote, a backslash and a
/// control character.
pub(crate) fn behind_plain_text(mut rest: &[u8]) -> &[u8] {
    while let Some((word, behind)) = rest.split_first_chunk::<8>() {
        let marked = marks(u64::from_le_bytes(*word));
        if marked != 0 {
            let plain = marked.trailing_zeros() / u8::BITS;
            return rest.get(plain as usize..).unwrap_or_default();
        }
        rest = behind;
    }
    while let Some((first, behind)) = rest.split_first()
        && !matches!(first, b'"' | b'\\' | ..0x20)
    {
        rest = behind;
    }
    rest
}

/// Marks the bytes of a word that are a quote, a backslash or a control character with their highest
/// bit. The lowest mark is right; those above it may be wrong.
const fn marks(word: u64) -> u64 {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGHEST: u64 = EACH << 7;
    const QUOTES: u64 = EACH * b'"' as u64;
    const BACKSLASHES: u64 = EACH * b'\\' as u64;

    let (quote, backslash) = (word ^ QUOTES, word ^ BACKSLASHES);
    let quote = quote.wrapping_sub(EACH) & !quote;
    let backslash = backslash.wrapping_sub(EACH) & !backslash;
    let control = word.wrapping_sub(EACH * 0x20) & !word;
    (quote | backslash | control) & HIGHEST
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Birth, Event, Kind, Origin, WalId, read_seq};

    fn skimmed(payload: &str) -> Option<u64> {
        skim(payload.as_bytes()).map(Seq::get)
    }

    #[test]
    fn what_is_written_in_the_plainest_way_is_accepted() {
        for it in [
            r#"{"seq":7,"event":{}}"#,
            r#"{"seq":7,"written_at":"2026-01-02T03:04:05Z","event":{"kind":"x","attrs":{"a":[]}}}"#,
            r#"{"seq":7,"a":[1,-2,0,0.5,1e9,-1.25E-7,true,false,null,"x",[],{},[{"b":[1]}]],"c":"d"}"#,
            r#"{"seq":7,"a":"\"\\\/\b\f\n\r\t\u00e4\uD800","größer":"ä €\u0000 𝄞"}"#,
            r#"{"seq":7,"event":{"seq":9,"seq":10,"wal.":"wax.","x":" wal."}}"#,
        ] {
            assert_eq!(skimmed(it), Some(7), "{it}");
            assert_eq!(read_seq(it.as_bytes()), Ok(7), "{it}");
        }
    }

    #[test]
    fn what_is_no_entry_is_refused_wherever_the_fault_is() {
        let bad =
            ["", "{", "{}", "[7]", r#""x""#, r#"{"seq":7}"#, r#"{"seq":7,}"#, r#"{"seq":7,"a"}"#];
        let values = [
            "",
            "01",
            "-",
            "-x",
            "+1",
            ".5",
            "1.",
            "1.x",
            "1e",
            "1e+",
            "0x1",
            "tru",
            "nul",
            "falsee",
            "NaN",
            "\"",
            "\"\\",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\\u12\"",
            "\"\n\"",
            "\"\u{1f}\"",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "[1}",
            "{]",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{,}",
            "{1:2}",
            "1 2",
            "1,2",
            "{}{}",
            "[]]",
            "{}}",
        ];
        let values = values.map(|it| format!(r#"{{"seq":7,"a":{it}}}"#));
        for it in values.iter().map(String::as_str).chain(bad) {
            assert_eq!(skimmed(it), None, "{it}");
        }
        assert_eq!(skim(b"{\"seq\":7,\"a\":\"\xff\"}"), None);
        assert_eq!(skimmed(r#"{"seq":7,"a":1}x"#), None);
    }

    #[test]
    fn an_entry_with_two_numbers_is_refused_however_the_second_is_spelled() {
        for second in ["seq", "s\\u0065q"] {
            let it = format!(r#"{{"seq":7,"event":{{}},"{second}":7}}"#);
            assert_eq!(skimmed(&it), None, "{it}");
            assert!(read_seq(it.as_bytes()).is_err(), "{it}");
        }
    }

    #[test]
    fn depth_is_counted_to_its_end_and_not_beyond() {
        for (depth, want) in [(DEPTH_MAX as usize - 1, Some(7)), (DEPTH_MAX as usize, None)] {
            let it = format!(r#"{{"seq":7,"a":{}1{}}}"#, "[".repeat(depth), "]".repeat(depth));
            assert_eq!(skimmed(&it), want, "{depth}");
        }
    }

    #[test]
    fn a_birth_without_its_chain_is_never_accepted() {
        let wal_id = WalId::from_random([3; 16]);
        for origin in [Origin::FirstRun, Origin::Adopted] {
            let birth = Birth { wal_id, node: "n".to_owned(), origin, previous: None };
            let event = String::from_utf8(birth.to_event().to_json()).unwrap();
            assert_eq!(skimmed(&format!(r#"{{"seq":1,"event":{event}}}"#)), None);
        }
    }

    #[test]
    fn the_first_byte_that_ends_plain_text_is_found_at_every_place() {
        for at in 0..20 {
            for byte in 0..=u8::MAX {
                let mut text = [0xc3, b'x'].repeat(12);
                text[at] = byte;
                text[at + 1..].fill(b'"');
                let mut skimmer = Skimmer { rest: &text, open: Open::default() };
                skimmer.plain_text();
                let ends = byte == b'"' || byte == b'\\' || byte < 0x20;
                assert_eq!(
                    text.len() - skimmer.rest.len(),
                    at + usize::from(!ends),
                    "{byte} at {at}"
                );
            }
        }
    }

    fn value() -> impl Strategy<Value = String> {
        let string = prop_oneof!["[a-z.]{0,9}", "wal.{0,3}", "\\PC{0,20}", any::<String>()]
            .prop_map(|it| serde_json::to_string(&it).unwrap());
        let number = prop_oneof![
            any::<i64>().prop_map(|it| it.to_string()),
            any::<f64>().prop_map(|it| serde_json::to_string(&it).unwrap()),
        ];
        let word = prop_oneof![Just("true"), Just("false"), Just("null")].prop_map(str::to_owned);
        let leaf = prop_oneof![string.clone(), number, word];
        leaf.prop_recursive(4, 30, 5, move |inner| {
            let member =
                (string.clone(), inner.clone()).prop_map(|(key, it)| format!("{key}:{it}"));
            prop_oneof![
                prop::collection::vec(inner, 0..5).prop_map(|it| format!("[{}]", it.join(","))),
                prop::collection::vec(member, 0..5).prop_map(|it| format!("{{{}}}", it.join(","))),
            ]
        })
    }

    /// S1 and S2.
    fn check(payload: &[u8]) -> Result<(), TestCaseError> {
        if let Some(seq) = skim(payload) {
            prop_assert_eq!(read_seq(payload), Ok(seq.get()));
            let text = std::str::from_utf8(payload).unwrap();
            prop_assert!(!text.contains(Birth::MARK));
        }
        Ok(())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn what_is_accepted_is_an_entry_and_no_birth(
            key in prop_oneof![Just("event".to_owned()), "[a-z]{0,4}", Just("seq".to_owned())],
            value in value(),
            flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut payload = format!(r#"{{"seq":12,"{key}":{value}}}"#).into_bytes();
            check(&payload)?;
            for (at, bit) in flips {
                let at = at.index(payload.len());
                payload[at] ^= 1 << bit;
                check(&payload)?;
            }
            if let Some(cut) = cut {
                payload.remove(cut.index(payload.len()));
                check(&payload)?;
            }
        }

        #[test]
        fn what_we_write_is_accepted_without_its_chain(key in "[a-zA-Z_.]{1,20}", text in any::<String>()) {
            let event = Event::new(Kind::Decision).with(&key, format!("x{text}")).to_json();
            let event = String::from_utf8(event).unwrap();
            prop_assert_eq!(skimmed(&format!(r#"{{"seq":3,"event":{event}}}"#)), Some(3));
        }
    }
}
