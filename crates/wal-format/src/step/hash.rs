//! One hash for equal JSON values.
//!
//! Not the form of [`canonical_json`](crate::canonical_json): this one is shared with programs that
//! sort keys by their bytes and drop what changes from run to run. The canonical form: the keys of
//! [`VOLATILE_KEYS`] are removed at every depth, the other keys are in the order of their bytes,
//! arrays keep their order, no white space.

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::Plain;

/// Keys that are removed from every object before it is hashed.
pub const VOLATILE_KEYS: [&str; 5] = ["timestamp", "ts", "request_id", "trace_id", "nonce"];
/// Deepest nesting that is hashed; a deeper value would need a stack without bound.
const DEPTH_MAX: usize = 128;
/// What every hash begins with.
const PREFIX: &str = "sha256-";

/// Returns the canonical bytes of a value.
///
/// # Errors
///
/// [`HashError::Float`] and [`HashError::TooDeep`].
pub fn canonicalize(value: &Value) -> Result<Vec<u8>, HashError> {
    let mut out = Vec::new();
    write(value, DEPTH_MAX, &mut out)?;
    Ok(out)
}

/// Returns the hash of a value: `sha256-` and 64 digits over its canonical bytes (G4).
///
/// # Errors
///
/// [`HashError::Float`] and [`HashError::TooDeep`].
///
/// # Examples
///
/// ```
/// use serde_json::json;
/// use wal_format::step::sha256_json;
///
/// let one = sha256_json(&json!({"a": 1, "b": {"ts": 7}}))?;
/// let other = sha256_json(&json!({"b": {}, "nonce": "x", "a": 1}))?;
/// assert_eq!(one, other);
/// assert!(sha256_json(&json!({"a": 0.5})).is_err());
/// # Ok::<(), wal_format::step::HashError>(())
/// ```
pub fn sha256_json(value: &Value) -> Result<String, HashError> {
    Ok(sha256(&canonicalize(value)?))
}

/// Returns the hash of a value that is still text.
///
/// A value in memory has no `NaN` and no infinity; a text can try.
///
/// # Errors
///
/// [`HashError::NotJson`] also for `NaN`, `Infinity` and numbers beyond every float;
/// [`HashError::Float`] and [`HashError::TooDeep`].
pub fn sha256_text(json: &str) -> Result<String, HashError> {
    let Plain(value) = serde_json::from_str(json)
        .map_err(|it| HashError::NotJson { line: it.line(), column: it.column() })?;
    sha256_json(&value)
}

/// Returns the hash of bytes as they are.
pub fn sha256(bytes: &[u8]) -> String {
    format!("{PREFIX}{}", sha256_hex(bytes))
}

/// The digits alone.
pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn write(value: &Value, depth: usize, out: &mut Vec<u8>) -> Result<(), HashError> {
    let depth = depth.checked_sub(1).ok_or(HashError::TooDeep)?;
    match value {
        Value::Number(number) if number.is_f64() => {
            return Err(HashError::Float { found: number.to_string() });
        }
        Value::Array(items) => {
            out.push(b'[');
            for (at, item) in items.iter().enumerate() {
                separate(at, out);
                write(item, depth, out)?;
            }
            out.push(b']');
        }
        Value::Object(object) => {
            let mut members: Vec<_> =
                object.iter().filter(|(key, _)| !VOLATILE_KEYS.contains(&key.as_str())).collect();
            members.sort_by(|(a, _), (b, _)| a.as_bytes().cmp(b.as_bytes()));
            out.push(b'{');
            for (at, (key, value)) in members.into_iter().enumerate() {
                separate(at, out);
                out.extend_from_slice(Value::String(key.clone()).to_string().as_bytes());
                out.push(b':');
                write(value, depth, out)?;
            }
            out.push(b'}');
        }
        scalar => out.extend_from_slice(scalar.to_string().as_bytes()),
    }
    Ok(())
}

fn separate(at: usize, out: &mut Vec<u8>) {
    if at > 0 {
        out.push(b',');
    }
}

/// Why a value has no hash.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HashError {
    /// The text of a float differs from language to language.
    #[error("the float {found} has no fixed text form; hash a whole number or a string")]
    Float {
        /// The number.
        found: String,
    },
    /// The value nests too deep.
    #[error("the value nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// The text is no JSON.
    #[error("not JSON at line {line} column {column}")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
    },
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(value: &Value, want: &str) {
        assert_eq!(String::from_utf8(canonicalize(value).unwrap()).unwrap(), want);
    }

    #[test]
    fn the_golden_vectors_of_plain_values_hold() {
        assert_eq!(
            sha256_json(&json!({"x": 1})).unwrap(),
            "sha256-5041bf1f713df204784353e82f6a4a535931cb64f1f4b4a5aeaffcb720918b22"
        );
        assert_eq!(
            sha256_json(&json!({})).unwrap(),
            "sha256-44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
        );
        assert_eq!(sha256(b"{}"), sha256_json(&json!({})).unwrap());
        assert_eq!(sha256_text(" { } ").unwrap(), sha256(b"{}"));
    }

    #[test]
    fn volatile_keys_go_at_the_top_and_at_every_depth_and_nothing_else_does() {
        for key in VOLATILE_KEYS {
            check(&json!({"a": 1, key: 2}), r#"{"a":1}"#);
            check(&json!([{"a": [{key: {"deep": 1}, "b": 2}]}]), r#"[{"a":[{"b":2}]}]"#);
        }
        check(&json!({"tsx": 1, "TS": 2, "at": "ts"}), r#"{"TS":2,"at":"ts","tsx":1}"#);
    }

    #[test]
    fn keys_are_sorted_by_their_bytes_at_every_depth_and_arrays_keep_their_order() {
        check(
            &json!({"b": {"d": 1, "c": 2}, "a": [3, 1, 2]}),
            r#"{"a":[3,1,2],"b":{"c":2,"d":1}}"#,
        );
        // By UTF-16 the emoji comes first, by bytes it comes last.
        check(&json!({"\u{1f600}": 1, "\u{fb33}": 2}), "{\"\u{fb33}\":2,\"\u{1f600}\":1}");
    }

    #[test]
    fn reordered_keys_have_one_hash_with_its_prefix() {
        let one = sha256_text(r#"{"a":1,"b":{"x":"y","ts":1}}"#).unwrap();
        assert_eq!(one, sha256_text(r#"{"b":{"ts":2,"x":"y"},"a":1}"#).unwrap());
        assert_ne!(one, sha256_text(r#"{"b":{"x":"z"},"a":1}"#).unwrap());
        assert!(one.starts_with("sha256-") && one.len() == PREFIX.len() + 64);
    }

    #[test]
    fn floats_nan_and_infinity_have_no_hash() {
        for text in ["1.5", "1.0", "[{\"a\":-0.25}]", "1e3", "18446744073709551616", "-0"] {
            let error = sha256_text(text).unwrap_err();
            assert!(matches!(error, HashError::Float { .. }), "{text}: {error:?}");
        }
        for text in ["NaN", "Infinity", "-Infinity", "1e999", "[NaN]", ""] {
            let error = sha256_text(text).unwrap_err();
            assert!(matches!(error, HashError::NotJson { .. }), "{text}: {error:?}");
        }
        let deep = (0..200).fold(json!(1), |it, _| json!([it]));
        assert_eq!(sha256_json(&deep), Err(HashError::TooDeep));
    }

    proptest! {
        #[test]
        fn the_canonical_form_is_json_and_its_own_canonical_form(
            keys in prop::collection::btree_map(".{0,4}", any::<i64>(), 0..6),
        ) {
            let value = serde_json::to_value(&keys).unwrap();
            let once = canonicalize(&value).unwrap();
            let Plain(back) = serde_json::from_slice(&once).unwrap();
            prop_assert_eq!(canonicalize(&back).unwrap(), once);
        }
    }
}
