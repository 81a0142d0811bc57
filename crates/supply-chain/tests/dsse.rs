//! Envelopes, statements, and permits: what is opened, and that no byte can change unnoticed.
#![expect(clippy::unwrap_used, reason = "tests")]

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use serde_json::{Value, json};
use supply_chain::{
    Algorithm, DSSE_SIGNATURES_MAX, Digest, Dsse, DsseError, FormError, Nonce, PERMIT_LEN_MAX,
    PERMIT_LIFETIME_MAX, PERMIT_PAYLOAD_TYPE, PERMIT_REASON_LEN_MAX, Permit, PermitContent,
    PermitError, PublicKey, STATEMENT_PAYLOAD_TYPE, SigningKey, Statement, StatementError, Subject,
    pae,
};

const TYPE: &str = "application/vnd.example+json";

fn key(seed: u8) -> SigningKey {
    SigningKey::generate([seed; 32])
}

fn trusted() -> Vec<PublicKey> {
    vec![key(7).public().clone()]
}

/// Every byte of `bytes`, changed in several ways.
fn mutants(bytes: &[u8]) -> impl Iterator<Item = (usize, Vec<u8>)> {
    let flips = [0x01, 0x02, 0x04, 0x10, 0x20, 0x80, 0xff];
    (0..bytes.len()).flat_map(move |at| {
        flips.map(|flip| {
            let mut other = bytes.to_vec();
            other.iter_mut().skip(at).take(1).for_each(|it| *it ^= flip);
            (at, other)
        })
    })
}

#[test]
fn what_is_signed_is_the_encoding_of_the_specification() {
    let encoded = pae("http://example.com/HelloWorld", b"hello world");
    assert_eq!(encoded, b"DSSEv1 29 http://example.com/HelloWorld 11 hello world");
    assert_eq!(pae("", b""), b"DSSEv1 0  0 ");
    assert_eq!(pae("\u{e4}", b"\xff"), b"DSSEv1 2 \xc3\xa4 1 \xff");
}

#[test]
fn an_envelope_is_written_as_the_specification_has_it() {
    let value: Value =
        serde_json::from_slice(&Dsse::sign(TYPE, b"hi".to_vec(), &key(7)).to_bytes()).unwrap();
    assert_eq!((&value["payloadType"], &value["payload"]), (&json!(TYPE), &json!("aGk=")));
    assert_eq!(value["signatures"][0]["keyid"], json!(key(7).public().id().to_string()));
    assert_eq!(value["signatures"].as_array().unwrap().len(), 1);
}

#[test]
fn no_byte_of_an_envelope_can_change_unnoticed() {
    let bytes = Dsse::sign(TYPE, b"{\"some\":\"payload\"}".to_vec(), &key(7)).to_bytes();
    for (at, other) in mutants(&bytes) {
        let Ok(envelope) = Dsse::parse(&other) else { continue };
        if let Ok(opened) = envelope.open(TYPE, &trusted()) {
            assert_eq!(opened.payload, b"{\"some\":\"payload\"}", "{at}");
            // Only the hint is free to change (E2).
            let id = key(7).public().id().to_string();
            let start = bytes.windows(id.len()).position(|it| it == id.as_bytes()).unwrap();
            assert!((start..start + id.len()).contains(&at), "{at}");
        }
    }
}

#[test]
fn what_was_signed_as_one_thing_is_not_read_as_another() {
    let envelope = Dsse::sign(TYPE, b"x".to_vec(), &key(7));
    let (found, expected) = (TYPE.to_owned(), "other".to_owned());
    assert_eq!(envelope.open("other", &trusted()), Err(DsseError::Type { found, expected }));
    // A changed type does not fit the signature (E1).
    let text = String::from_utf8(envelope.to_bytes()).unwrap().replace(TYPE, "other");
    let envelope = Dsse::parse(text.as_bytes()).unwrap();
    let error = DsseError::NotSigned { signatures: 1, keys: 1 };
    assert_eq!(envelope.open("other", &trusted()), Err(error));
}

#[test]
fn a_key_counts_once_and_nobody_signs_for_another() {
    let mut envelope = Dsse::sign(TYPE, b"x".to_vec(), &key(7));
    envelope.add(&key(7));
    envelope.add(&key(8));
    let envelope = Dsse::parse(&envelope.to_bytes()).unwrap();
    let public = |it| key(it).public().clone();
    let by = |keys: &[PublicKey]| envelope.open(TYPE, keys).map(|it| it.signed_by.len());
    assert_eq!(by(&[public(7)]), Ok(1)); // E3
    assert_eq!(by(&[public(7), public(7)]), Ok(1));
    assert_eq!(by(&[public(7), public(8), public(9)]), Ok(2));
    assert_eq!(by(&[public(9)]), Err(DsseError::NotSigned { signatures: 3, keys: 1 }));
    assert_eq!(by(&[]), Err(DsseError::NotSigned { signatures: 3, keys: 0 }));
}

#[test]
fn the_hint_about_the_key_decides_nothing() {
    let text = String::from_utf8(Dsse::sign(TYPE, b"x".to_vec(), &key(8)).to_bytes()).unwrap();
    let (own, other) = (key(8).public().id().to_string(), key(7).public().id().to_string());
    let envelope = Dsse::parse(text.replace(&own, &other).as_bytes()).unwrap();
    assert!(envelope.open(TYPE, &trusted()).is_err()); // E2
    assert!(envelope.open(TYPE, &[key(8).public().clone()]).is_ok());
    let without = text.replace(&format!("\"keyid\":\"{own}\","), "");
    assert!(
        Dsse::parse(without.as_bytes()).unwrap().open(TYPE, &[key(8).public().clone()]).is_ok()
    );
}

#[test]
fn an_envelope_is_read_strictly_and_is_bounded() {
    let good = Dsse::sign(TYPE, b"x".to_vec(), &key(7)).to_bytes();
    let good: Value = serde_json::from_slice(&good).unwrap();
    let refused = |change: &dyn Fn(&mut Value)| {
        let mut value = good.clone();
        change(&mut value);
        Dsse::parse(value.to_string().as_bytes()).unwrap_err()
    };
    assert_eq!(refused(&|it| it["x"] = json!(1)), FormError::Unknown { at: "x".into() });
    let at = "signatures[0].cert".to_owned();
    assert_eq!(refused(&|it| it["signatures"][0]["cert"] = json!("")), FormError::Unknown { at });
    for text in ["aGk", "aGk=\n", "aGl=", "_-8=", "a Gk="] {
        let error = refused(&|it| it["payload"] = json!(text));
        assert!(matches!(error, FormError::Value { .. }), "{text}");
    }
    let one = good["signatures"][0].clone();
    let many = vec![one; DSSE_SIGNATURES_MAX + 1];
    let error = refused(&|it| it["signatures"] = json!(many));
    assert!(matches!(error, FormError::Entries { .. }));
    let error = refused(&|it| it["signatures"][0]["sig"] = json!("A".repeat(1024)));
    assert!(matches!(error, FormError::Value { .. }));
    let empty = json!({"payloadType": TYPE, "payload": "", "signatures": []}).to_string();
    let empty = Dsse::parse(empty.as_bytes()).unwrap();
    let error = DsseError::NotSigned { signatures: 0, keys: 1 };
    assert_eq!(empty.open(TYPE, &trusted()), Err(error));
}

fn statement() -> Statement {
    Statement {
        subject: vec![Subject { name: "arm".to_owned(), digest: Digest::sha256(b"arm") }],
        predicate_type: "https://autonomyops.example/verify/v1".to_owned(),
        predicate: json!({"steps": [{"name": "signatures", "ok": true}], "ratio": 0.5}),
    }
}

#[test]
fn a_statement_is_opened_as_it_was_signed() {
    let bytes = statement().sign(&key(7)).unwrap().to_bytes();
    let (opened, by) = Statement::open(&bytes, &trusted()).unwrap();
    assert_eq!(opened, statement());
    assert_eq!(by.into_iter().collect::<Vec<_>>(), [key(7).public().id()]);
    let value: Value = serde_json::from_slice(&statement().to_bytes()).unwrap();
    assert_eq!(value["_type"], json!("https://in-toto.io/Statement/v1"));
    let digest = json!({"sha256": Digest::sha256(b"arm").hex()});
    assert_eq!(value["subject"], json!([{"name": "arm", "digest": digest}]));
}

#[test]
fn no_byte_of_a_signed_statement_can_change_unnoticed() {
    let bytes = statement().sign(&key(7)).unwrap().to_bytes();
    for (at, other) in mutants(&bytes) {
        if let Ok((opened, _)) = Statement::open(&other, &trusted()) {
            assert_eq!(opened, statement(), "{at}");
        }
    }
}

#[test]
fn a_statement_is_about_something_and_is_read_strictly() {
    let none = Statement { subject: Vec::new(), ..statement() };
    assert!(matches!(none.sign(&key(7)), Err(FormError::Value { .. }))); // A1
    let mut blake = statement();
    blake.subject[0].digest = Digest::blake3(b"arm");
    assert_eq!(blake.subject[0].digest.algorithm(), Algorithm::Blake3);
    assert!(matches!(blake.sign(&key(7)), Err(FormError::Missing { .. })));
    let list = Statement { predicate: json!([]), ..statement() };
    assert!(matches!(list.sign(&key(7)), Err(FormError::Kind { .. })));
    for (old, new) in [
        ("Statement/v1", "Statement/v2"),
        ("\"predicate\":{", "\"predicate\":{},\"predicate\":{"),
        ("\"_type\"", "\"x\":1,\"_type\""),
        ("\"name\":\"arm\"", "\"name\":\"\""),
    ] {
        let text = String::from_utf8(statement().to_bytes()).unwrap();
        assert!(text.contains(old), "{text}");
        let text = text.replacen(old, new, 1);
        assert!(Statement::parse(text.as_bytes()).is_err(), "{text}");
        let bytes = Dsse::sign(STATEMENT_PAYLOAD_TYPE, text.into_bytes(), &key(7)).to_bytes();
        let error = Statement::open(&bytes, &trusted()).unwrap_err();
        assert!(matches!(error, StatementError::Statement(_)));
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn permit() -> PermitContent {
    PermitContent {
        node: "edge-1".to_owned(),
        lock_fingerprint: Digest::blake3(b"lock"),
        release_counter: 3,
        reason: "release 4 drops the arm".to_owned(),
        nonce: Nonce::new([5; 16]),
        created_at: at("2026-01-01T00:00:00Z"),
        expires_at: at("2026-01-08T00:00:00Z"),
    }
}

fn check(content: &PermitContent, now: &str) -> Result<Permit, PermitError> {
    let bytes = content.sign(&key(7)).unwrap();
    Permit::check(&bytes, &trusted(), "edge-1", at(now))
}

#[test]
fn a_permit_is_taken_by_its_node_in_its_time() {
    assert_eq!(check(&permit(), "2026-01-02T00:00:00Z").unwrap().content(), &permit());
    for (now, good) in [
        ("2025-12-31T23:54:59Z", false),
        ("2025-12-31T23:55:00Z", true),
        ("2026-01-07T23:59:59Z", true),
        ("2026-01-08T00:00:00Z", false),
        ("2027-01-01T00:00:00Z", false),
    ] {
        assert_eq!(check(&permit(), now).is_ok(), good, "{now}"); // T1
    }
    let error = check(&permit(), "2026-02-01T00:00:00Z").unwrap_err();
    assert!(matches!(error, PermitError::Expired { .. }));
    let error = check(&permit(), "2025-12-01T00:00:00Z").unwrap_err();
    assert!(matches!(error, PermitError::Future { .. }));
    let other = PermitContent { node: "edge-2".to_owned(), ..permit() };
    let error = check(&other, "2026-01-02T00:00:00Z").unwrap_err();
    assert_eq!(error, PermitError::Node { found: "edge-2".into(), own: "edge-1".into() });
}

#[test]
fn a_permit_lives_thirty_days_and_no_longer() {
    let lasting = |by: SignedDuration| {
        let expires_at = permit().created_at.checked_add(by).unwrap();
        PermitContent { expires_at, ..permit() }.sign(&key(7))
    };
    assert!(lasting(PERMIT_LIFETIME_MAX).is_ok());
    let second = SignedDuration::from_secs(1);
    for bad in [PERMIT_LIFETIME_MAX + second, SignedDuration::ZERO, -second] {
        assert!(matches!(lasting(bad), Err(PermitError::Lifetime { .. })), "{bad}"); // T2
    }
}

#[test]
fn no_byte_of_a_permit_can_change_unnoticed() {
    let bytes = permit().sign(&key(7)).unwrap();
    let now = at("2026-01-02T00:00:00Z");
    for (at, other) in mutants(&bytes) {
        if let Ok(found) = Permit::check(&other, &trusted(), "edge-1", now) {
            assert_eq!(found.content(), &permit(), "{at}");
        }
    }
}

#[test]
fn a_permit_that_nobody_trusted_signed_is_none() {
    let bytes = permit().sign(&key(8)).unwrap();
    let now = at("2026-01-02T00:00:00Z");
    let error = Permit::check(&bytes, &trusted(), "edge-1", now).unwrap_err();
    assert!(matches!(error, PermitError::Signature(DsseError::NotSigned { .. })));
    // What was signed as something else is none either.
    let bytes = statement().sign(&key(7)).unwrap().to_bytes();
    let error = Permit::check(&bytes, &trusted(), "edge-1", now).unwrap_err();
    assert!(matches!(error, PermitError::Signature(DsseError::Type { .. })));
}

#[test]
fn a_permit_is_read_strictly_and_is_bounded() {
    let bytes = permit().sign(&key(7)).unwrap();
    let envelope = Dsse::parse(&bytes).unwrap();
    let opened = envelope.open(PERMIT_PAYLOAD_TYPE, &trusted()).unwrap();
    let good = String::from_utf8(opened.payload.to_vec()).unwrap();
    for (old, new, why) in [
        ("\"schema\":1", "\"schema\":2", "schema 2"),
        ("\"node\":", "\"node\":\"x\",\"node\":", "`node` stands twice"),
        ("\"node\":", "\"more\":1,\"node\":", "`more` is unknown"),
        ("blake3:", "sha256:", "is not blake3:"),
        (&"05".repeat(16), &"AB".repeat(16), "32 lower-case hex digits"),
        (&"05".repeat(16), &"05".repeat(15), "32 lower-case hex digits"),
        ("\"release_counter\":3", "\"release_counter\":3.0", "whole number"),
        ("2026-01-08T00:00:00Z", "2026-01-08T00:00:00+00:00", "has to be written"),
        ("\"edge-1\"", "\"\"", "is empty"),
    ] {
        assert!(good.contains(old), "{good}");
        let payload = good.replacen(old, new, 1).into_bytes();
        let bytes = Dsse::sign(PERMIT_PAYLOAD_TYPE, payload, &key(7)).to_bytes();
        let now = at("2026-01-02T00:00:00Z");
        let error = Permit::check(&bytes, &trusted(), "edge-1", now).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
    let reason = "x".repeat(PERMIT_REASON_LEN_MAX + 1);
    let error = PermitContent { reason, ..permit() }.sign(&key(7)).unwrap_err();
    assert!(matches!(error, PermitError::Form(FormError::Length { .. })));
    let long = vec![b' '; PERMIT_LEN_MAX + 1];
    let error = Permit::check(&long, &trusted(), "edge-1", at("2026-01-02T00:00:00Z")).unwrap_err();
    assert!(matches!(error, PermitError::Form(FormError::TooLong { .. })));
}

proptest! {
    #[test]
    fn what_is_signed_is_opened(payload in prop::collection::vec(any::<u8>(), 0..99), kind in "[!-~]{1,40}") {
        let bytes = Dsse::sign(&kind, payload.clone(), &key(7)).to_bytes();
        let envelope = Dsse::parse(&bytes).unwrap();
        prop_assert_eq!(envelope.open(&kind, &trusted()).unwrap().payload, &payload);
        prop_assert_eq!(envelope.to_bytes(), bytes);
    }

    #[test]
    fn two_contents_are_never_encoded_alike(
        a in ("[ 0-9a]{0,6}", "[ 0-9a]{0,6}"),
        b in ("[ 0-9a]{0,6}", "[ 0-9a]{0,6}"),
    ) {
        let encode = |it: &(String, String)| pae(&it.0, it.1.as_bytes());
        prop_assert_eq!(a == b, encode(&a) == encode(&b)); // E1
    }

    #[test]
    fn no_input_upsets_the_parsers(bytes in prop::collection::vec(any::<u8>(), 0..99)) {
        prop_assert!(Dsse::parse(&bytes).is_err());
        prop_assert!(Statement::parse(&bytes).is_err());
        prop_assert!(Permit::check(&bytes, &trusted(), "x", Timestamp::UNIX_EPOCH).is_err());
    }
}
