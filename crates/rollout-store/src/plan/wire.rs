//! The JSON of a request, before anything about it is believed.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{Deserialize, de::value::MapAccessDeserializer};

use super::Kind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wire {
    pub(super) id: Option<String>,
    pub(super) metadata: Option<Object<WireMetadata>>,
    pub(super) artifact_ref: String,
    pub(super) target_lock_fingerprint: String,
    pub(super) rollout_kind: Option<Kind>,
    pub(super) channel: Option<String>,
    pub(super) stages: Option<Vec<Object<WireStage>>>,
    pub(super) initial_phase: Option<WirePhase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireMetadata {
    pub(super) id: Option<String>,
    pub(super) labels: Option<Labels>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WirePhase {
    Draft,
    Published,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireStage {
    pub(super) id: String,
    pub(super) percent: Option<u64>,
    pub(super) nodes: Option<Vec<String>>,
    pub(super) gates: Option<Vec<Object<WireGate>>>,
    pub(super) deadline_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireGate {
    pub(super) kind: WireGateKind,
    pub(super) id: Option<String>,
    pub(super) soak_seconds: Option<u64>,
    pub(super) min_verified_percent: Option<u64>,
    pub(super) max_failures: Option<u64>,
    pub(super) window_seconds: Option<u64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum WireGateKind {
    Manual,
    TimeSoak,
    Health,
}

/// Labels; a key that stands twice is refused, where a map would keep one of them.
pub(super) struct Labels(pub(super) BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Labels {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(VisitLabels)
    }
}

struct VisitLabels;

impl<'de> serde::de::Visitor<'de> for VisitLabels {
    type Value = Labels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels: an object of texts")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Labels, A::Error> {
        let mut labels = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if labels.insert(key, value).is_some() {
                return Err(serde::de::Error::custom("a label stands twice"));
            }
        }
        Ok(Labels(labels))
    }
}

/// A value that is written as an object. The library also takes arrays for structs, field by field.
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> serde::de::Visitor<'de> for Visit<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> Result<Object<T>, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(Object)
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}
