use std::time::Duration;

use axum::http::HeaderValue;

use super::*;
use crate::auth::{
    access::Change,
    access::tests::{anybody, bootstrap, change, minted, now, subject, token},
    certificate::tests::certificate,
    slow::FREE_FAILURES,
};

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    map
}

fn at(seconds: u64) -> Now {
    Now { wall: now(), since_start: Duration::from_secs(seconds) }
}

/// Ada has a live token (1), Bob a revoked one (2), Eve one that is over (3).
fn state() -> Access {
    let mut access = Access::default();
    for it in [token(1, "ada", None), token(2, "bob", None), token(3, "eve", Some(1))] {
        change(&mut access, &it, &bootstrap()).unwrap();
    }
    let it = Change::RevokeToken { id: minted(2).id, force: false };
    change(&mut access, &it, &anybody()).unwrap();
    access
}

fn shown(seed: u64) -> HeaderMap {
    headers(&[("authorization", &format!("Bearer {}", minted(seed).secret.expose()))])
}

fn who(headers: &HeaderMap, certificate: Option<&[u8]>) -> Identity {
    let wall = now() + jiff::SignedDuration::from_secs(2);
    let now = Now { wall, since_start: Duration::ZERO };
    identify(Shown { headers, certificate, peer: PEER }, &state(), &mut Brake::default(), now)
        .unwrap()
}

#[test]
fn every_row_of_the_table_is_as_written() {
    let ada = certificate(&["ada-of-the-certificate"], &[]);
    let none = HeaderMap::new();
    assert_eq!(who(&none, None), Identity::Anonymous, "A");
    assert_eq!(who(&shown(1), None), Identity::Token(subject("ada")), "B");
    assert_eq!(who(&shown(1), Some(&ada)), Identity::Token(subject("ada")), "B (Y2)");
    for (seed, invalid) in [(2, Invalid::Revoked), (3, Invalid::Expired), (4, Invalid::Unknown)] {
        assert_eq!(who(&shown(seed), None), Identity::Invalid(invalid), "C");
        assert_eq!(who(&shown(seed), Some(&ada)), Identity::Invalid(invalid), "C (Y2)");
    }
    let subject = subject("ada-of-the-certificate");
    assert_eq!(who(&none, Some(&ada)), Identity::Certificate(subject), "D");
    let invalid = Identity::Invalid(Invalid::Certificate);
    assert_eq!(who(&none, Some(&certificate(&[], &[]))), invalid, "E");
    assert_eq!(who(&none, Some(b"garbage")), invalid, "E");
}

#[test]
fn a_credential_is_one_whole_header() {
    let good = format!("Bearer {}", minted(1).secret.expose());
    let token = minted(1).secret.expose().to_owned();
    let header = |value: &str| who(&headers(&[("authorization", value)]), None);
    for scheme in ["bearer", "BEARER", "Bearer"] {
        assert_eq!(header(&format!("{scheme} {token}")), Identity::Token(subject("ada")));
    }
    let table = [
        ("Bearer", Invalid::Header),
        ("", Invalid::Header),
        ("Basic YWRhOnNlY3JldA==", Invalid::Header),
        (token.as_str(), Invalid::Header),
        ("Bearer ", Invalid::Malformed),
        (&format!("Bearer  {token}"), Invalid::Malformed),
        (&format!("Bearer {token},"), Invalid::Malformed),
        (&format!("Bearer {token} {token}"), Invalid::Malformed),
        (&format!("Bearer {}", "x".repeat(10_000)), Invalid::Malformed),
    ];
    for (value, invalid) in table {
        assert_eq!(header(value), Identity::Invalid(invalid), "{value} (Y1)");
    }
    let twice = headers(&[("authorization", &good), ("authorization", &good)]);
    assert_eq!(who(&twice, None), Identity::Invalid(Invalid::Header), "Y1");
    let mut bytes = HeaderMap::new();
    bytes.insert("authorization", HeaderValue::from_bytes(b"Bearer \xff").unwrap());
    assert_eq!(who(&bytes, None), Identity::Invalid(Invalid::Header));
}

#[test]
fn a_claimed_name_is_one_short_plain_text_that_nobody_reserved() {
    let claim = |value: &str| claimed(&headers(&[("x-autonomy-operator", value)]));
    assert_eq!(claimed(&HeaderMap::new()), Ok(None));
    assert_eq!(claim("Ada Lovelace"), Ok(Some("Ada Lovelace".to_owned())));
    assert_eq!(claim(" ada "), Ok(Some("ada".to_owned())));
    assert_eq!(claim(""), Ok(None));
    for value in ["bootstrap", "Anonymous", "a\tb", &"x".repeat(OPERATOR_LEN_MAX + 1)] {
        assert_eq!(claim(value).map_err(OperatorInvalid::code), Err("OPERATOR_INVALID"));
    }
    let twice = headers(&[("x-autonomy-operator", "a"), ("x-autonomy-operator", "a")]);
    assert_eq!(claimed(&twice), Err(OperatorInvalid));
}

#[test]
fn who_comes_through_somebody_is_not_on_this_machine() {
    let none = HeaderMap::new();
    for (peer, want) in [
        ("127.0.0.1", true),
        ("127.8.8.8", true),
        ("::1", true),
        ("::ffff:127.0.0.1", true),
        ("10.0.0.1", false),
        ("::ffff:10.0.0.1", false),
        ("::", false),
    ] {
        assert_eq!(from_this_machine(peer.parse().unwrap(), &none), want, "{peer} (Y3)");
    }
    for name in FROM_ELSEWHERE {
        let through = headers(&[(name, "127.0.0.1")]);
        assert!(!from_this_machine("127.0.0.1".parse().unwrap(), &through), "{name} (Y3)");
    }
}

#[test]
fn who_fails_too_often_waits_and_does_not_learn_whether_he_was_right() {
    let (access, mut brake) = (state(), Brake::default());
    let mut run = |headers: &HeaderMap, now: Now| {
        identify(Shown { headers, certificate: None, peer: PEER }, &access, &mut brake, now)
    };
    // Another secret for a token that exists: its own record.
    let good = minted(1).secret.expose().to_owned();
    let wrong =
        headers(&[("authorization", &format!("Bearer {}g", good.get(..good.len() - 1).unwrap()))]);
    for _ in 0..FREE_FAILURES {
        assert_eq!(run(&wrong, at(0)), Ok(Identity::Invalid(Invalid::Unknown)));
    }
    assert_eq!(run(&wrong, at(0)).unwrap_err().seconds(), 1, "B1");
    assert_eq!(run(&shown(1), at(0)).unwrap_err().seconds(), 1, "B1");
    assert_eq!(run(&shown(1), at(1)), Ok(Identity::Token(subject("ada"))));
}

#[test]
fn a_neighbour_without_a_known_token_slows_nobody_with_one() {
    let (access, mut brake) = (state(), Brake::default());
    let mut run = |headers: &HeaderMap| {
        identify(Shown { headers, certificate: None, peer: PEER }, &access, &mut brake, at(0))
    };
    for n in 0..2 * FREE_FAILURES {
        run(&shown(100 + u64::from(n))).ok();
        run(&headers(&[("authorization", "garbage")])).ok();
    }
    assert!(run(&shown(4)).is_err());
    assert_eq!(run(&shown(1)), Ok(Identity::Token(subject("ada"))));
    assert_eq!(run(&HeaderMap::new()), Ok(Identity::Anonymous), "health is never slowed");
}
