//! Locks: the bytes of the format, and what every kind of damage leads to.
//!
//! `golden/lock.json` was written once, by hand. `golden/lock.canonical.json` and the fingerprint were made from it by
//! a Python program that shares no code with this workspace: `json.dumps(…, sort_keys=True, separators=(",", ":"))`
//! of the object without `behavioral_fingerprint`, and BLAKE3 written from its specification.
#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use supply_chain::{
    AgentArtifact, Digest, FormError, Inputs, LOCK_LEN_MAX, LOCK_TEXT_LEN_MAX, LOCK_TOOLS_MAX,
    Lock, LockContent, LockError, PolicyBundle, Tool,
};

const GOLDEN: &str = include_str!("golden/lock.json");
const CANONICAL: &str = include_str!("golden/lock.canonical.json");
const FINGERPRINT: &str = "blake3:e09f62c70b579da376cbe2e0c1b45ec8c7c3b445bced2f34156630d82c24f4fa";

fn golden() -> Lock {
    Lock::parse(GOLDEN.as_bytes()).unwrap()
}

#[track_caller]
fn refused(text: &str, error: &LockError) {
    assert_eq!(Lock::parse(text.as_bytes()).as_ref(), Err(error));
}

#[track_caller]
fn refused_saying(old: &str, new: &str, why: &str) {
    assert!(GOLDEN.contains(old), "{old}");
    let error = Lock::parse(GOLDEN.replacen(old, new, 1).as_bytes()).unwrap_err().to_string();
    assert!(error.contains(why), "{error}");
}

#[test]
fn the_golden_lock_is_read_and_written_byte_for_byte() {
    let lock = golden();
    assert_eq!(lock.content().name, "arm-controller");
    assert_eq!(lock.content().release_counter, u64::MAX);
    assert_eq!(lock.content().policy_bundle.version, semver::Version::new(1, 4, 2));
    assert_eq!(String::from_utf8(lock.to_bytes()).unwrap(), GOLDEN);
    assert_eq!(Lock::create(lock.content()), Ok(lock));
}

#[test]
fn another_program_computes_the_same_fingerprint() {
    assert_eq!(std::str::from_utf8(golden().hashed()), Ok(CANONICAL));
    assert_eq!(golden().fingerprint_of().to_string(), FINGERPRINT);
    assert_eq!(golden().stored_fingerprint().to_string(), FINGERPRINT);
}

#[test]
fn no_byte_can_change_unnoticed() {
    let lock = golden();
    let (mut refused, mut other, mut equal) = (0, 0, 0);
    for at in 0..GOLDEN.len() {
        for flip in [0x01, 0x02, 0x20, 0x80, 0xff] {
            let mut bytes = GOLDEN.as_bytes().to_vec();
            bytes[at] ^= flip;
            match Lock::parse(&bytes) {
                Err(_) => refused += 1,
                Ok(it) if it.fingerprint_of() != it.stored_fingerprint() => other += 1,
                // White space became other white space: the same lock (L1).
                Ok(it) => {
                    assert_eq!(it, lock, "byte {at}");
                    equal += 1;
                }
            }
        }
    }
    assert!(refused > 0 && other > 0 && equal < 2 * refused, "{refused} {other} {equal}");
}

#[test]
fn no_byte_can_go_missing_or_stand_twice_unnoticed() {
    let lock = golden();
    for at in 0..GOLDEN.len() {
        let mut shorter = GOLDEN.as_bytes().to_vec();
        let byte = shorter.remove(at);
        let mut longer = GOLDEN.as_bytes().to_vec();
        longer.insert(at, byte);
        for bytes in [shorter, longer] {
            match Lock::parse(&bytes) {
                Ok(it) if it.fingerprint_of() == it.stored_fingerprint() => assert_eq!(it, lock),
                _ => {}
            }
        }
        // The end of the file may be missing only where it is white space.
        let cut = &GOLDEN.as_bytes()[..at];
        assert_eq!(Lock::parse(cut).is_ok(), at == GOLDEN.len() - 1, "{at}");
    }
}

#[test]
fn the_hashed_bytes_are_those_of_the_document_that_came() {
    // The order of members and white space do not count, everything else does (L1, L2).
    let compact: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    let compact = Lock::parse(compact.to_string().as_bytes()).unwrap();
    assert_eq!(compact, golden());
    let other = GOLDEN.replace("arm-controller", "arm-kontroller");
    let other = Lock::parse(other.as_bytes()).unwrap();
    assert_ne!(other.fingerprint_of(), other.stored_fingerprint());
}

#[test]
fn a_member_that_stands_twice_is_refused_at_every_depth() {
    refused_saying("\"schema\": 1,", "\"schema\": 1, \"name\": \"x\",", "`name` stands twice");
    refused_saying(
        "\"prompt_hash\":",
        "\"prompt\\u005fhash\": 1, \"prompt_hash\":",
        "stands twice",
    );
    refused_saying("\"kind\":", "\"kind\": \"a\", \"kind\":", "`kind` stands twice");
}

#[test]
fn a_member_that_nobody_knows_is_named() {
    for (old, new, at) in [
        ("\"schema\": 1,", "\"schema\": 1, \"extra\": 1,", "extra"),
        ("\"prompt_hash\"", "\"x\": 1, \"prompt_hash\"", "inputs.x"),
        ("\"kind\": \"camera\"", "\"kind\": \"camera\", \"y\": {}", "tools[1].y"),
    ] {
        let error = FormError::Unknown { at: at.to_owned() };
        refused(&GOLDEN.replacen(old, new, 1), &error.into());
    }
}

#[test]
fn a_member_that_is_missing_is_named() {
    let whole: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    for name in whole.as_object().unwrap().keys() {
        let mut value = whole.clone();
        value.as_object_mut().unwrap().remove(name);
        refused(&value.to_string(), &FormError::Missing { at: name.clone() }.into());
    }
    for (outer, name) in [
        ("agent_artifact", "ref"),
        ("agent_artifact", "digest"),
        ("policy_bundle", "version"),
        ("inputs", "prompt_hash"),
    ] {
        let mut value = whole.clone();
        value[outer].as_object_mut().unwrap().remove(name);
        refused(&value.to_string(), &FormError::Missing { at: format!("{outer}.{name}") }.into());
    }
}

#[test]
fn a_newer_schema_has_an_error_of_its_own() {
    refused(r#"{"schema":2,"anything":1}"#, &LockError::Newer { found: 2 });
    refused_saying("\"schema\": 1", "\"schema\": 0", "no schema");
    refused_saying("\"schema\": 1", "\"schema\": 1.0", "whole number");
    refused_saying("\"schema\": 1", "\"schema\": \"1\"", "whole number");
}

#[test]
fn a_value_has_one_spelling() {
    for (old, new, why) in [
        ("2026-01-02T03:04:05.006Z", "2026-01-02T04:04:05.006+01:00", "has to be written"),
        ("2026-01-02T03:04:05.006Z", "2026-01-02T03:04:05.0060Z", "has to be written"),
        ("18446744073709551615", "1e3", "whole number"),
        ("18446744073709551615", "18446744073709551616", "whole number"),
        (
            "agents/arm:v3",
            "agents/arm",
            "has to be written registry.example:5000/agents/arm:latest",
        ),
        ("\"1.4.2\"", "\"1.04.2\"", "no version"),
        ("\"1.4.2\"", "\"1.4\"", "no version"),
        ("sha256:55", "SHA256:55", "lower-case"),
        ("sha256:111", "sha256:AAA", "lower-case"),
        ("{\n    \"prompt_hash\"", "[{\n    \"prompt_hash\"", "cannot be read"),
    ] {
        refused_saying(old, new, why);
    }
    // A list that has the values of the members in their order is no object.
    let mut value: serde_json::Value = serde_json::from_str(GOLDEN).unwrap();
    value["inputs"] = serde_json::json!([Digest::sha256(b"a"), Digest::sha256(b"b")]);
    let error = FormError::Kind { at: "inputs".to_owned(), expected: "object" };
    refused(&value.to_string(), &error.into());
}

#[test]
fn each_digest_is_of_its_kind() {
    refused_saying(FINGERPRINT, &FINGERPRINT.replace("blake3", "sha256"), "is not blake3: and");
    refused_saying("sha256:111", "blake3:111", "is not sha256: and");
    refused_saying("sha256:222", "blake3:222", "is not sha256: and");
    let blake = GOLDEN.replace("sha256:333", "blake3:333");
    assert!(Lock::parse(blake.as_bytes()).is_ok());
}

#[test]
fn tools_are_sorted_and_each_stands_once() {
    refused_saying("camera", "arm.move", "`arm.move` follows `arm.move`");
    refused_saying("camera", "arm", "`arm` follows `arm.move`");
}

#[test]
fn texts_lists_and_the_whole_are_bounded() {
    let content = golden().content().clone();
    let name = |len: usize| LockContent { name: "x".repeat(len), ..content.clone() };
    assert!(Lock::create(&name(LOCK_TEXT_LEN_MAX)).is_ok());
    assert!(Lock::create(&name(LOCK_TEXT_LEN_MAX + 1)).is_err());
    assert!(Lock::create(&name(0)).is_err());
    let digest = Digest::sha256(b"");
    let tools = |count: usize| {
        let tools = (0..count).map(|it| Tool { kind: format!("{it:04}"), digest }).collect();
        LockContent { tools, ..content.clone() }
    };
    assert!(Lock::create(&tools(0)).is_ok());
    assert!(Lock::create(&tools(LOCK_TOOLS_MAX)).is_ok());
    assert!(Lock::create(&tools(LOCK_TOOLS_MAX + 1)).is_err());
    let padded = |len: usize| format!("{GOLDEN}{}", " ".repeat(len - GOLDEN.len()));
    assert!(Lock::parse(padded(LOCK_LEN_MAX).as_bytes()).is_ok());
    assert!(Lock::parse(padded(LOCK_LEN_MAX + 1).as_bytes()).is_err());
    refused_saying("\"arm-controller\"", "\"arm\\u001b[2J\"", "control character");
}

#[test]
fn a_lock_that_would_be_read_otherwise_is_not_made() {
    let mut content = golden().content().clone();
    content.agent_artifact.reference.place = supply_chain::Place::Layout("a:b".into());
    content.agent_artifact.reference.tag = None;
    content.agent_artifact.reference.digest = Some(Digest::sha256(b""));
    assert_eq!(Lock::create(&content), Err(LockError::Spelling));
}

fn digests() -> impl Strategy<Value = Digest> {
    (any::<[u8; 8]>(), any::<bool>())
        .prop_map(|(it, blake)| if blake { Digest::blake3(&it) } else { Digest::sha256(&it) })
}

prop_compose! {
    fn contents()(
        name in "[^\\p{Cc}]{1,20}",
        version in "[ -~]{1,20}",
        seconds in 0_i64..4_000_000_000,
        nanos in 0_i32..1_000_000_000,
        release_counter in any::<u64>(),
        tag in "[a-z0-9_]{1,10}",
        (major, minor, patch) in any::<(u64, u64, u64)>(),
        (prompt_hash, tool_inputs_hash) in (digests(), digests()),
        kinds in prop::collection::btree_map("[^\\p{Cc}]{1,9}", digests(), 0..5),
        content in any::<[u8; 4]>(),
    ) -> LockContent {
        LockContent {
            name, version, release_counter,
            created_at: jiff::Timestamp::new(seconds, nanos).unwrap(),
            agent_artifact: AgentArtifact {
                reference: format!("host.example/a/b:{tag}").parse().unwrap(),
                digest: Digest::sha256(&content),
            },
            policy_bundle: PolicyBundle {
                reference: format!("oci:some dir/ä:{tag}").parse().unwrap(),
                digest: Digest::sha256(&content),
                version: semver::Version::new(major, minor, patch),
            },
            inputs: Inputs { prompt_hash, tool_inputs_hash },
            tools: kinds.into_iter().map(|(kind, digest)| Tool { kind, digest }).collect(),
        }
    }
}

proptest! {
    #[test]
    fn what_is_made_is_read_with_its_fingerprint(content in contents()) {
        let lock = Lock::create(&content).unwrap();
        prop_assert_eq!(lock.content(), &content);
        prop_assert_eq!(lock.fingerprint_of(), lock.stored_fingerprint());
        prop_assert_eq!(Lock::parse(&lock.to_bytes()), Ok(lock.clone()));
        // Another writer, another order of members: the same lock.
        let value: serde_json::Value = serde_json::from_slice(&lock.to_bytes()).unwrap();
        prop_assert_eq!(Lock::parse(value.to_string().as_bytes()), Ok(lock));
    }

    #[test]
    fn two_contents_have_two_fingerprints(a in contents(), b in contents()) {
        let (x, y) = (Lock::create(&a).unwrap(), Lock::create(&b).unwrap());
        prop_assert_eq!(a == b, x.fingerprint_of() == y.fingerprint_of());
    }

    #[test]
    fn no_input_upsets_the_parser(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(Lock::parse(&bytes));
    }
}
