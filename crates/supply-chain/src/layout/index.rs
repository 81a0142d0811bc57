//! `index.json` of a layout: entries that are understood, and everything else as it was (Y5).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{Descriptor, IMAGE_INDEX};

/// The annotation that names a manifest.
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// The index of a layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Index {
    schema_version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    media_type: Option<String>,
    /// The manifests.
    #[serde(rename = "manifests")]
    pub(super) entries: Vec<Entry>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// One entry. A digest of an algorithm that is not known here makes the entry useless and not the layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Entry {
    /// Media type of the manifest.
    pub(super) media_type: String,
    /// What it is called.
    pub(super) digest: String,
    size: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl Default for Index {
    fn default() -> Self {
        let (entries, rest) = (Vec::new(), Map::new());
        Self { schema_version: 2, media_type: Some(IMAGE_INDEX.to_owned()), entries, rest }
    }
}

impl Entry {
    /// The name that it has.
    pub(super) fn name(&self) -> Option<&str> {
        self.annotations.get(REF_NAME).map(String::as_str)
    }

    /// Names the manifest.
    pub(super) fn descriptor(&self) -> Result<Descriptor, String> {
        Ok(Descriptor {
            media_type: self.media_type.clone(),
            digest: self.digest.parse().map_err(|it: crate::DigestError| it.to_string())?,
            size: self.size,
            artifact_type: None,
            annotations: self.annotations.clone(),
        })
    }

    fn new(name: &str, descriptor: &Descriptor) -> Self {
        Self {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.to_string(),
            size: descriptor.size,
            annotations: BTreeMap::from([(REF_NAME.to_owned(), name.to_owned())]),
            rest: Map::new(),
        }
    }
}

impl Index {
    /// Reads it.
    pub(super) fn parse(bytes: &[u8], entries_max: usize) -> Result<Self, String> {
        let index: Self = serde_json::from_slice(bytes).map_err(|it| it.to_string())?;
        if index.schema_version != 2 {
            return Err(format!("its schema is {}, and only 2 is read", index.schema_version));
        }
        if index.entries.len() > entries_max {
            return Err(format!("it has {} entries, more than {entries_max}", index.entries.len()));
        }
        Ok(index)
    }

    /// Its bytes.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        // Maps with texts for keys always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// The entries that have this name.
    pub(super) fn of_tag(&self, tag: &str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |it| it.name() == Some(tag))
    }

    /// Gives a name to a manifest and takes it from whatever had it; `false` when nothing had to be changed.
    pub(super) fn give(&mut self, tag: &str, descriptor: &Descriptor) -> bool {
        let entry = Entry::new(tag, descriptor);
        let had: Vec<_> = self.of_tag(tag).collect();
        if let [one] = had.as_slice()
            && (&one.media_type, &one.digest, one.size)
                == (&entry.media_type, &entry.digest, entry.size)
        {
            return false;
        }
        self.entries.retain(|it| it.name() != Some(tag));
        self.entries.push(entry);
        true
    }
}
