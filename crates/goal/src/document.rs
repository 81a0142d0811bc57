//! `goal.json` as ordered keys with raw values: what nobody asks for is neither parsed nor changed.
//!
//! * **D1** A key that this version does not know stays, with its value as it was written.
//! * **D2** A change reads the histories once, to know that the file is whole, and writes them once: they are neither
//!   parsed to values, nor checked or copied again for an entry that is appended.

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, MapAccess, Visitor, value::MapDeserializer},
};
use serde_json::value::{RawValue, to_raw_value};

/// What an entry that is appended has around it in the text, in bytes, at most.
const ADDED_LEN: usize = 16;

/// Keys and raw values, in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    keys: Vec<(String, Box<RawValue>)>,
    /// What was appended to the lists under these keys, oldest first (D2).
    added: Vec<(String, Box<RawValue>)>,
}

impl Document {
    /// Parses a whole file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }

    /// The text of the file with the keys of `value`, each where it stands, or behind the last one; of `owned`, those
    /// that `value` leaves out are not in it. Two spaces of indentation, a newline at the end.
    pub(crate) fn to_text<T: Serialize>(
        &self,
        value: &T,
        owned: &[&str],
    ) -> Result<String, serde_json::Error> {
        let new = Self::parse(serde_json::to_string_pretty(value)?.as_bytes())?;
        let stays = |key: &str| !owned.contains(&key) || new.raw(key).is_some();
        let old = self.keys.iter().filter(|it| stays(&it.0));
        let old = old.map(|(key, raw)| (key, new.raw(key).unwrap_or(raw)));
        let behind = new.keys.iter().filter(|it| self.raw(&it.0).is_none());
        let all: Vec<(&String, &RawValue)> =
            old.chain(behind.map(|(key, raw)| (key, &**raw))).collect();
        let keys: usize = all.iter().map(|(key, raw)| key.len() + raw.get().len() + 8).sum();
        let added: usize = self.added.iter().map(|it| it.1.get().len() + ADDED_LEN).sum();
        let mut text = String::with_capacity(keys + added + 4);
        text.push('{');
        for (position, (key, raw)) in all.into_iter().enumerate() {
            text.push_str(if position == 0 { "\n  " } else { ",\n  " });
            // A string always becomes JSON.
            text.push_str(&serde_json::Value::from(key.as_str()).to_string());
            text.push_str(": ");
            self.push_value(key, raw, &mut text);
        }
        text.push_str("\n}\n");
        Ok(text)
    }

    /// Writes a value, and behind its entries those that were appended, a line each.
    fn push_value(&self, key: &str, raw: &RawValue, text: &mut String) {
        if self.added_to(key).next().is_none() {
            text.push_str(raw.get());
            return;
        }
        // What was parsed as a list ends in a bracket; anything else begins anew.
        let head = raw.get().strip_suffix(']').unwrap_or("[").trim_end();
        text.push_str(head);
        let mut comma = if head == "[" { "" } else { "," };
        for entry in self.added_to(key) {
            for part in [comma, "\n    ", entry.get()] {
                text.push_str(part);
            }
            comma = ",";
        }
        text.push_str("\n  ]");
    }

    fn added_to(&self, key: &str) -> impl Iterator<Item = &RawValue> {
        self.added.iter().filter(move |it| it.0 == key).map(|it| &*it.1)
    }

    /// Refuses a key that holds something else than a list: what would be appended to it has no place.
    pub(crate) fn check_list(&self, key: &str) -> Result<(), serde_json::Error> {
        match self.raw(key).map(RawValue::get) {
            None => Ok(()),
            Some(text) if text.starts_with('[') => Ok(()),
            Some(_) => Err(serde::de::Error::custom(format!("`{key}` is no list"))),
        }
    }

    /// Reads the keys of `T`, which are `owned`, and does not look at the others (D2).
    pub(crate) fn read<T: DeserializeOwned>(&self, owned: &[&str]) -> Result<T, serde_json::Error> {
        let keys = self.keys.iter().filter(|it| owned.contains(&it.0.as_str()));
        T::deserialize(MapDeserializer::new(keys.map(|(key, raw)| (key.as_str(), &**raw))))
    }

    /// The raw value of a key, as it was read or set.
    pub(crate) fn raw(&self, key: &str) -> Option<&RawValue> {
        self.keys.iter().find(|it| it.0 == key).map(|it| &*it.1)
    }

    /// Sets a key where it stands, or behind the last one.
    pub(crate) fn set_raw(&mut self, key: &str, raw: Box<RawValue>) {
        self.added.retain(|it| it.0 != key);
        match self.keys.iter_mut().find(|it| it.0 == key) {
            Some(found) => found.1 = raw,
            None => self.keys.push((key.to_owned(), raw)),
        }
    }

    /// Appends a value to the list under a key, without a look at what is in it (D2).
    pub(crate) fn append<T: Serialize>(
        &mut self,
        key: &str,
        value: &T,
    ) -> Result<(), serde_json::Error> {
        let entry = to_raw_value(value)?;
        if self.raw(key).is_none() {
            self.set_raw(key, to_raw_value::<[(); 0]>(&[])?);
        }
        self.added.push((key.to_owned(), entry));
        Ok(())
    }

    /// How long the list under a key is in the text, in bytes, at most; nothing of it is looked at.
    pub(crate) fn list_len(&self, key: &str) -> usize {
        let added = self.added_to(key).map(|it| it.get().len() + ADDED_LEN);
        self.raw(key).map_or(0, |it| it.get().len()) + added.sum::<usize>()
    }

    /// The entries of the list under a key, unparsed.
    pub(crate) fn entries(&self, key: &str) -> Result<Vec<&RawValue>, serde_json::Error> {
        let mut all: Vec<&RawValue> = match self.raw(key) {
            Some(raw) => serde_json::from_str(raw.get())?,
            None => Vec::new(),
        };
        all.extend(self.added_to(key));
        Ok(all)
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

    const OWNED: &[&str] = &["b", "c"];
    const NO_OBJECT: &str = "invalid type: null, expected an object at line 1 column 4";

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
        let document = Document::parse(text.as_bytes()).unwrap();
        assert_eq!(document.read::<Known>(OWNED).unwrap(), Known { b: 1, c: Some("x".to_owned()) });
        let want = "{\n  \"z\": [1,  2],\n  \"b\": 2,\n  \"y\": {\"k\":1.50}\n}\n";
        assert_eq!(document.to_text(&Known { b: 2, c: None }, OWNED).unwrap(), want);
        let want = "{\n  \"a\": 0,\n  \"b\": 0,\n  \"c\": \"new\"\n}\n";
        let document = Document::parse(b"{\"a\": 0}").unwrap();
        let known = Known { b: 0, c: Some("new".to_owned()) };
        assert_eq!(document.to_text(&known, OWNED).unwrap(), want, "new keys are the last");
    }

    /// D2
    #[test]
    fn a_list_grows_by_one_line_an_entry() {
        let mut document = Document::parse(b"{\"h\": [ ], \"i\": 3}").unwrap();
        document.append("h", &1).unwrap();
        document.append("h", &serde_json::json!({ "a": 1 })).unwrap();
        document.append("new", &2).unwrap();
        let want = "{\n  \"h\": [\n    1,\n    {\"a\":1}\n  ],\n  \"i\": 3,\n  \"new\": [\n    2\n  ]\n}\n";
        assert_eq!(document.to_text(&(), &[]).unwrap_err().to_string(), NO_OBJECT);
        let nothing = std::collections::BTreeMap::<String, u8>::new();
        assert_eq!(document.to_text(&nothing, &[]).unwrap(), want);
        let found: Vec<&str> =
            document.entries("h").unwrap().into_iter().map(RawValue::get).collect();
        assert_eq!(found, ["1", "{\"a\":1}"]);
        let again = Document::parse(want.as_bytes()).unwrap();
        assert_eq!(again.entries("h").unwrap().len(), 2);
        assert!(document.entries("i").is_err());
        assert!(document.entries("absent").unwrap().is_empty());
    }

    /// D2
    #[test]
    fn what_is_appended_goes_behind_what_was_there_and_ends_with_what_is_set_instead() {
        let nothing = std::collections::BTreeMap::<String, u8>::new();
        for (old, want) in [
            ("[]", "[\n    7,\n    8\n  ]"),
            ("[\n    6 ]", "[\n    6,\n    7,\n    8\n  ]"),
            ("\"no list]\"", "[\n    7,\n    8\n  ]"),
        ] {
            let mut document = Document::parse(format!("{{\"h\": {old}}}").as_bytes()).unwrap();
            document.append("h", &7).unwrap();
            document.append("h", &8).unwrap();
            let text = document.to_text(&nothing, &[]).unwrap();
            assert_eq!(text, format!("{{\n  \"h\": {want}\n}}\n"));
            document.set_raw("h", to_raw_value("set").unwrap());
            assert_eq!(document.to_text(&nothing, &[]).unwrap(), "{\n  \"h\": \"set\"\n}\n");
        }
    }

    #[test]
    fn what_is_no_object_is_no_document() {
        for text in ["", "[]", "null", "3", "{\"a\":", "{\"a\":1} x"] {
            assert!(Document::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
