//! JSON text to values that borrow it (P2).

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{Pairs, ValueRef};

impl<'de> Deserialize<'de> for ValueRef<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = ValueRef<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<ValueRef<'de>, E> {
        Ok(ValueRef::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<ValueRef<'de>, E> {
        Ok(ValueRef::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<ValueRef<'de>, E> {
        Ok(ValueRef::Int(it))
    }

    fn visit_u64<E>(self, it: u64) -> Result<ValueRef<'de>, E> {
        Ok(i64::try_from(it).map_or(ValueRef::Uint(it), ValueRef::Int))
    }

    fn visit_f64<E>(self, it: f64) -> Result<ValueRef<'de>, E> {
        Ok(ValueRef::Double(it))
    }

    fn visit_borrowed_str<E>(self, it: &'de str) -> Result<ValueRef<'de>, E> {
        Ok(it.into())
    }

    fn visit_str<E>(self, it: &str) -> Result<ValueRef<'de>, E> {
        Ok(it.to_owned().into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<ValueRef<'de>, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(ValueRef::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<ValueRef<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some((Key(key), value)) = map.next_entry()? {
            pairs.push((key, value));
        }
        Ok(ValueRef::Map(Pairs::new(pairs)))
    }
}

struct Key<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(KeyVisitor)
    }
}

struct KeyVisitor;

impl<'de> Visitor<'de> for KeyVisitor {
    type Value = Key<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, it: &'de str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Borrowed(it)))
    }

    fn visit_str<E>(self, it: &str) -> Result<Key<'de>, E> {
        Ok(Key(Cow::Owned(it.to_owned())))
    }
}
