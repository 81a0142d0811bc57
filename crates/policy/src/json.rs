//! The shape of a JSON text of others, before it becomes values.
//!
//! * **J1** Nesting is bounded, so that whatever is read can be walked, recorded and read back.
//! * **J2** No key is one of the names by which the JSON library marks its own types. Such a key would be
//!   obeyed: a text would be parsed again as JSON, out of sight of every limit.
//! * **J3** No object has a key twice: readers differ about which of the two counts, and what is checked must be
//!   what is used.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Beginning of the names that the JSON library keeps for itself.
const PRIVATE: &str = "$serde_json::private::";
/// Keys of an object that are looked for one by one.
const FEW_KEYS: usize = 8;
/// Deepest nesting that the JSON library reads.
pub(crate) const LIBRARY_DEPTH_MAX: usize = 128;

/// Checks the shape of a JSON text: at most `depth_max` lists and objects inside one another, no key that the
/// JSON library would obey, no key twice in an object.
///
/// # Errors
///
/// What is wrong, with its line and column.
///
/// # Examples
///
/// ```
/// assert!(policy::check_json(br#"{"a":[{"a":1}]}"#, 8).is_ok());
/// let error = policy::check_json(br#"{"a":1,"a":2}"#, 8).unwrap_err();
/// assert!(error.to_string().starts_with("key `a` stands twice in an object"));
/// ```
pub fn check_json(text: &[u8], depth_max: usize) -> serde_json::Result<()> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    Shape { depth: 0, depth_max }.deserialize(&mut deserializer)?;
    deserializer.end()
}

/// Reads what is an object, of a good shape (J2, J3): a list would fill the fields of a type by their order.
pub(crate) fn read_object<T: serde::de::DeserializeOwned>(text: &[u8]) -> serde_json::Result<T> {
    match text.iter().find(|it| !it.is_ascii_whitespace()) {
        Some(b'{') | None => {}
        Some(_) => return Err(serde_json::Error::custom("the top level is not an object")),
    }
    // What is no JSON at all is said in the words for that.
    let read = serde_json::from_slice(text)?;
    check_json(text, LIBRARY_DEPTH_MAX)?;
    Ok(read)
}

#[derive(Clone, Copy)]
struct Shape {
    depth: usize,
    depth_max: usize,
}

impl Shape {
    fn inner<E: Error>(self) -> Result<Self, E> {
        if self.depth == self.depth_max {
            return Err(E::custom(format_args!("nested deeper than {}", self.depth_max)));
        }
        Ok(Self { depth: self.depth + 1, ..self })
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
    use serde_json::Value;

    use super::*;

    #[test]
    fn an_object_is_read_and_nothing_else_is() {
        assert!(read_object::<Value>(br#" {"a":[{"a":1},{"a":1}]}"#).is_ok());
        for (text, why) in [
            ("[1]", "the top level is not an object"),
            ("1", "the top level is not an object"),
            ("", "EOF"),
            ("{", "EOF"),
            (r#"{"a":{"b":1,"b":1}}"#, "key `b` stands twice"),
            (r#"{"a":1,"\u0061":1}"#, "key `a` stands twice"),
            (r#"{"a":{"$serde_json::private::RawValue":"{}"}}"#, "reserved"),
        ] {
            let error = read_object::<Value>(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
