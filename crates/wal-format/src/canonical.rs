//! One byte form for equal JSON values, so that they hash alike.
//!
//! The form is that of RFC 8785 (JCS): no white space, object keys in UTF-16 order, strings with
//! the shortest escapes, numbers as ECMAScript prints them. One deliberate difference: whole
//! numbers beyond ±2^53, which RFC 8785 leaves to the sender's care, keep all their digits here.
//! Rounding them would give two different values one hash.

use serde_json::{Map, Number, Value};

/// Returns the canonical bytes of `value`.
pub fn canonical_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_value(value, &mut out);
    out
}

/// Returns the canonical bytes of an object.
pub fn canonical_object(object: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    write_object(object, &mut out);
    out
}

fn write_value(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => write_number(number, out),
        Value::String(text) => write_string(text, out),
        Value::Array(items) => {
            write_list(items, (b'[', b']'), out, write_value);
        }
        Value::Object(object) => write_object(object, out),
    }
}

fn write_object(object: &Map<String, Value>, out: &mut Vec<u8>) {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
    write_list(&members, (b'{', b'}'), out, |(key, value), out| {
        write_string(key, out);
        out.push(b':');
        write_value(value, out);
    });
}

fn write_list<T>(
    items: &[T],
    (open, close): (u8, u8),
    out: &mut Vec<u8>,
    write: impl Fn(&T, &mut Vec<u8>),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(close);
}

fn write_number(number: &Number, out: &mut Vec<u8>) {
    match number.as_f64() {
        Some(float) if number.is_f64() => {
            out.extend_from_slice(ryu_js::Buffer::new().format(float).as_bytes());
        }
        _ => out.extend_from_slice(number.to_string().as_bytes()),
    }
}

fn write_string(text: &str, out: &mut Vec<u8>) {
    // The escapes of serde_json are those of RFC 8785, section 3.2.2.2.
    let written = serde_json::to_writer(out, text);
    debug_assert!(written.is_ok(), "strings always serialize, and a vector takes every write");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: &str) {
        let value = serde_json::from_str(input).unwrap();
        assert_eq!(String::from_utf8(canonical_json(&value)).unwrap(), want);
        if let Value::Object(object) = &value {
            assert_eq!(canonical_object(object), want.as_bytes());
        }
    }

    #[test]
    fn the_examples_of_rfc_8785_come_out_byte_for_byte() {
        // Section 3.2.2.
        check(
            r#"{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}"#,
            "{\"literals\":[null,true,false],\"numbers\":[333333333.3333333,1e+30,4.5,0.002,1e-27],\"string\":\"€$\\u000f\\nA'B\\\"\\\\\\\\\\\"/\"}",
        );
        // Section 3.2.3: keys sort by UTF-16 code units.
        check(
            r#"{"\u20ac":1,"\r":2,"\ufb33":3,"1":4,"\ud83d\ude00":5,"\u0080":6,"\u00f6":7}"#,
            "{\"\\r\":2,\"1\":4,\"\u{80}\":6,\"ö\":7,\"€\":1,\"😀\":5,\"\u{fb33}\":3}",
        );
    }

    #[test]
    fn neighbouring_large_whole_numbers_stay_different() {
        check("[9007199254740992,9007199254740993]", "[9007199254740992,9007199254740993]");
        check("[18446744073709551615,-1,1.0,-0.0]", "[18446744073709551615,-1,1,0]");
    }
}
