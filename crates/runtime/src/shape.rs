//! A request body, and its shape before it becomes values.
//!
//! * **Z1** Nesting is bounded, so that whatever is recorded can be read back by every consumer.
//! * **Z2** No key is one that the JSON library would obey, none stands twice in an object, and a list does not
//!   stand for an object: what is decided must be what is done.

use api::tool::ToolRequest;
use serde::de::Error as _;

/// Most lists and objects inside one another in a request body.
pub(crate) const DEPTH_MAX: usize = 64;

/// Reads the body of a tool call as the runtime does (Z1, Z2).
///
/// # Errors
///
/// What is wrong, with its line and column.
pub fn parse(body: &[u8]) -> serde_json::Result<ToolRequest> {
    check(body)?;
    serde_json::from_slice(body)
}

fn check(body: &[u8]) -> serde_json::Result<()> {
    // A list would fill the fields of a request by their order.
    if body.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'[') {
        return Err(serde_json::Error::custom("expected an object, found a list"));
    }
    policy::check_json(body, DEPTH_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str, why: &str) {
        let error = check(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }

    #[test]
    fn ordinary_json_of_every_kind_passes() {
        for body in [
            "null",
            r#"{"a":[1,-1,1.5,1e300,18446744073709551615,true,false,null,"x\u00e4"],"b":{}}"#,
            r#"{"text":"$serde_json::private::RawValue"}"#,
        ] {
            assert!(check(body.as_bytes()).is_ok(), "{body}");
        }
    }

    #[test]
    fn a_key_of_the_library_is_refused_however_it_is_written() {
        refused(r#"{"a":{"$serde_json::private::RawValue":"{}"}}"#, "reserved");
        refused(r#"{"a":[{"\u0024serde_json::private::Number":"1e9"}]}"#, "reserved");
    }

    #[test]
    fn a_key_that_stands_twice_is_refused_however_deep_and_however_it_is_written() {
        refused(r#"{"a":1,"a":1}"#, "twice");
        refused(r#"{"params":{"x":1,"y":{},"x":2}}"#, "key `x` stands twice");
        refused(r#"{"a":[{"k":1,"\u006b":2}]}"#, "twice");
        assert!(check(br#"{"a":{"k":1},"b":{"k":1},"k":[{"k":1},{"k":1}]}"#).is_ok());
        let many = |last: usize| {
            let keys = (0..24).chain([last]);
            format!("{{{}}}", keys.map(|it| format!(r#""k{it}":1"#)).collect::<Vec<_>>().join(","))
        };
        assert!(check(many(usize::MAX).as_bytes()).is_ok());
        for again in 0..24 {
            refused(&many(again), "stands twice");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        refused("[]", "expected an object");
        let nested =
            |depth: usize| format!("{{\"x\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(check(nested(DEPTH_MAX).as_bytes()).is_ok());
        refused(&nested(DEPTH_MAX + 1), "nested deeper than 64");
        refused(&nested(100_000), "nested deeper than 64");
    }

    #[test]
    fn what_follows_the_value_is_refused() {
        refused("{} {}", "trailing");
        refused("", "EOF");
    }
}
