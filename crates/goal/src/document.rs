//! `goal.json` as ordered keys with raw values: what nobody asks for is neither parsed nor changed.
//!
//! * **D1** A key that this version does not know stays, with its value as it was written.
//! * **D2** The cost of a change does not include parsing the histories: they are copied as text.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapDeserializer},
};
use serde_json::value::RawValue;

/// Keys and raw values, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    keys: Vec<(String, Box<RawValue>)>,
}

impl Document {
    /// Parses a whole file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The text of the file: two spaces of indentation, a newline at the end.
    pub(crate) fn to_text(&self) -> String {
        let len: usize = self.keys.iter().map(|(key, raw)| key.len() + raw.get().len() + 8).sum();
        let mut text = String::with_capacity(len + 4);
        text.push('{');
        for (position, (key, raw)) in self.keys.iter().enumerate() {
            text.push_str(if position == 0 { "\n  " } else { ",\n  " });
            // A string always becomes JSON.
            text.push_str(&serde_json::Value::from(key.as_str()).to_string());
            text.push_str(": ");
            text.push_str(raw.get());
        }
        text.push_str("\n}\n");
        text
    }

    /// Reads the keys of `T` and leaves the others.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        let keys = self.keys.iter().map(|(key, raw)| (key.as_str(), &**raw));
        T::deserialize(MapDeserializer::new(keys))
    }

    /// The raw value of a key.
    pub(crate) fn raw(&self, key: &str) -> Option<&RawValue> {
        self.keys.iter().find(|it| it.0 == key).map(|it| &*it.1)
    }

    /// Sets a key where it stands, or behind the last one.
    pub(crate) fn set_raw(&mut self, key: &str, raw: Box<RawValue>) {
        match self.keys.iter_mut().find(|it| it.0 == key) {
            Some(found) => found.1 = raw,
            None => self.keys.push((key.to_owned(), raw)),
        }
    }

    /// Writes the keys of `value`; of `owned`, those that it leaves out are removed.
    pub(crate) fn write<T: Serialize>(
        &mut self,
        value: &T,
        owned: &[&str],
    ) -> Result<(), serde_json::Error> {
        let text = serde_json::to_string_pretty(value)?;
        let new = Self::parse(text.as_bytes())?;
        self.keys.retain(|(key, _)| !owned.contains(&key.as_str()) || new.raw(key).is_some());
        for (key, raw) in new.keys {
            self.set_raw(&key, raw);
        }
        Ok(())
    }

    /// Appends a value to the list under a key, without parsing what is in it (D2).
    pub(crate) fn append<T: Serialize>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        let old = self.raw(key).map_or("[]", RawValue::get).trim_end();
        let entry = serde_json::to_string(value)?;
        // What was parsed as a list ends in a bracket; anything else begins anew.
        let head = old.strip_suffix(']').unwrap_or("[").trim_end();
        let comma = if head == "[" { "" } else { "," };
        let text = format!("{head}{comma}\n    {entry}\n  ]");
        self.set_raw(key, RawValue::from_string(text)?);
        Ok(())
    }

    /// The entries of the list under a key, unparsed.
    pub(crate) fn entries(&self, key: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
        self.raw(key).map_or(Ok(Vec::new()), |raw| serde_json::from_str(raw.get()))
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;

        impl<'de> Visitor<'de> for Keys {
            type Value = Document;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Document, A::Error> {
                collect(&mut map)
            }
        }

        deserializer.deserialize_map(Keys)
    }
}

fn collect<'de, A: MapAccess<'de>>(map: &mut A) -> Result<Document, A::Error> {
    let mut document = Document::default();
    while let Some((key, raw)) = map.next_entry::<String, Box<RawValue>>()? {
        // Of two values the last one counts, as with every reader of JSON.
        document.set_raw(&key, raw);
    }
    Ok(document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    struct Known {
        #[serde(default)]
        b: u32,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        c: Option<String>,
    }

    /// D1
    #[test]
    fn what_is_not_known_stays_as_it_was_written_and_where_it_stood() {
        let text = "{\"z\": [1,  2], \"b\": 1, \"c\": \"x\", \"y\": {\"k\":1.50}}";
        let mut document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.read::<Known>().unwrap(), Known { b: 1, c: Some("x".to_owned()) });
        document.write(&Known { b: 2, c: None }, &["b", "c"]).unwrap();
        let want = "{\n  \"z\": [1,  2],\n  \"b\": 2,\n  \"y\": {\"k\":1.50}\n}\n";
        assert_eq!(document.to_text(), want);
    }

    /// D2
    #[test]
    fn a_list_grows_by_one_line_an_entry() {
        let mut document = Document::parse(b"{\"h\": [ ], \"i\": 3}").unwrap();
        document.append("h", &1).unwrap();
        document.append("h", &serde_json::json!({ "a": 1 })).unwrap();
        document.append("new", &2).unwrap();
        let want = "{\n  \"h\": [\n    1,\n    {\"a\":1}\n  ],\n  \"i\": 3,\n  \"new\": [\n    2\n  ]\n}\n";
        assert_eq!(document.to_text(), want);
        assert_eq!(document.entries("h").unwrap().len(), 2);
        assert!(document.entries("i").is_err());
        assert!(document.entries("absent").unwrap().is_empty());
    }

    #[test]
    fn what_is_no_object_is_no_document() {
        for text in ["", "[]", "null", "3", "{\"a\":", "{\"a\":1} x"] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
