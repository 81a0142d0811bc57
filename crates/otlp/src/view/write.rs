//! Values to JSON text: what is nested too deep for OTLP is sent as such.

use std::fmt;

use serde::{Serialize, Serializer};

use super::ValueRef;

impl Serialize for ValueRef<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(it) => serializer.serialize_bool(*it),
            Self::Int(it) => serializer.serialize_i64(*it),
            Self::Uint(it) => serializer.serialize_u64(*it),
            Self::Double(it) => serializer.serialize_f64(*it),
            Self::Text(it) => serializer.serialize_str(it),
            Self::List(items) => serializer.collect_seq(items),
            Self::Map(pairs) => {
                serializer.collect_map(pairs.as_slice().iter().map(|it| (&it.0, &it.1)))
            }
        }
    }
}

impl fmt::Display for ValueRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Text, numbers and what is made of them always serialize.
        f.write_str(&serde_json::to_string(self).unwrap_or_default())
    }
}
