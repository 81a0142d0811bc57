//! The shape of a request body, before it becomes values.
//!
//! * **Z1** Nesting is bounded, so that whatever is recorded can be read back by every consumer.
//! * **Z2** No key is one of the names by which the JSON library marks its own types. In a body such
//!   a key would be obeyed: a text would be parsed again as JSON, out of sight of every limit.
//! * **Z3** No object has a key twice: readers differ about which of the two counts, and what is decided must be
//!   what is done.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Most lists and objects inside one another in a request body.
pub(crate) const DEPTH_MAX: usize = 64;
/// Keys of an object that are looked for one by one.
const FEW_KEYS: usize = 8;
/// Beginning of the names that the JSON library keeps for itself.
const PRIVATE: &str = "$serde_json::private::";

/// Checks the shape of a JSON text (Z1, Z2, Z3).
///
/// # Errors
///
/// What is wrong, with its line and column.
pub(crate) fn check(body: &[u8]) -> serde_json::Result<()> {
    // A list would fill the fields of a request by their order.
    if body.iter().find(|it| !it.is_ascii_whitespace()) == Some(&b'[') {
        return Err(serde_json::Error::custom("expected an object, found a list"));
    }
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    Shape { depth: 0 }.deserialize(&mut deserializer)?;
    deserializer.end()
}

#[derive(Clone, Copy)]
struct Shape {
    depth: usize,
}

impl Shape {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == DEPTH_MAX {
            return Err(E::custom(format_args!("nested deeper than {DEPTH_MAX}")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Shape {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Shape {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        while items.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let inner = self.inner()?;
        let mut seen = Seen::default();
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            if key.starts_with(PRIVATE) {
                return Err(A::Error::custom(format_args!("key `{key}` is reserved")));
            }
            if seen.has(&key) {
                return Err(A::Error::custom(format_args!(
                    "key `{key}` stands twice in an object"
                )));
            }
            seen.add(key);
            members.next_value_seed(inner)?;
        }
        Ok(())
    }
}

/// Keys of an object.
#[derive(Default)]
struct Seen<'a> {
    /// The first ones. Looking through a few is faster than hashing them.
    few: Vec<Cow<'a, str>>,
    rest: HashSet<Cow<'a, str>>,
}

impl<'a> Seen<'a> {
    fn has(&self, key: &str) -> bool {
        self.few.iter().any(|it| it == key) || self.rest.contains(key)
    }

    fn add(&mut self, key: Cow<'a, str>) {
        if self.few.len() < FEW_KEYS {
            self.few.push(key);
        } else {
            self.rest.insert(key);
        }
    }
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
            let keys = (0..3 * FEW_KEYS).chain([last]);
            format!("{{{}}}", keys.map(|it| format!(r#""k{it}":1"#)).collect::<Vec<_>>().join(","))
        };
        assert!(check(many(usize::MAX).as_bytes()).is_ok());
        for again in 0..3 * FEW_KEYS {
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
