//! The small files and the texts inside entries: exactly one spelling each, or refused.

use serde_json::{Map, Value};
use wal_format::{Birth, Chain, Kind, Position, SafePoint, Seq, WalId};

/// Reads `bytes` as each of them.
pub fn check(bytes: &[u8]) {
    eight_bytes(bytes);
    if let Ok(text) = std::str::from_utf8(bytes) {
        texts(text);
    }
    if let Ok(attrs) = serde_json::from_slice::<Map<String, Value>>(bytes) {
        birth(&attrs);
    }
    let id = WalId::of_foreign_log(bytes);
    assert_eq!(id.to_string().parse(), Ok(id));
}

fn eight_bytes(bytes: &[u8]) {
    let number = <[u8; 8]>::try_from(bytes).ok().map(u64::from_le_bytes);
    match SafePoint::from_bytes(bytes) {
        Ok(point) => {
            assert_eq!((number, &point.to_bytes()[..]), (Some(point.get()), bytes));
            assert_eq!(SafePoint::at(point.last()), point);
            assert_eq!(point.last(), Seq::new(point.get()));
        }
        Err(error) => assert_eq!((number, error.len), (None, bytes.len())),
    }
    match Position::from_bytes(bytes) {
        Ok(position) => {
            assert_eq!((number, &position.to_bytes()[..]), (Some(position.get()), bytes));
            assert_eq!(Position::at(position.last()), position);
        }
        Err(error) => assert_eq!((number, error.len), (None, bytes.len())),
    }
}

fn texts(text: &str) {
    let is_digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    let is_chain = text.len() == Chain::HEX_LEN && text.bytes().all(is_digit);
    let chain = text.parse::<Chain>();
    assert_eq!(chain.is_ok(), is_chain);
    if let Ok(chain) = chain {
        assert_eq!(chain.to_string(), text);
        assert_eq!(chain.to_hex(), text.as_bytes());
    }
    if let Ok(id) = text.parse::<WalId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().len(), 36);
    }
    let kind = Kind::parse(text);
    assert_eq!(kind.as_str(), text);
    assert!(text.ends_with(kind.short()));
    assert_eq!(Kind::parse(kind.as_str()), kind);
    let seq = serde_json::from_str::<Seq>(text);
    let number = serde_json::from_str::<u64>(text);
    assert_eq!(seq.ok().map(Seq::get), number.ok().filter(|it| *it > 0));
}

fn birth(attrs: &Map<String, Value>) {
    let Some(birth) = Birth::from_attrs(attrs) else { return };
    let event = birth.to_event();
    assert_eq!(Birth::from_attrs(&event.attrs).as_ref(), Some(&birth));
    let stored = event.to_json();
    let stored: wal_format::EventRef<'_> = serde_json::from_slice(&stored).unwrap();
    assert_eq!(Birth::from_attrs(&stored.attrs().unwrap()), Some(birth));
    let text = String::from_utf8(event.to_json()).unwrap();
    assert!(text.contains(Birth::MARK), "recovery looks for the mark");
}
