//! A registry in memory, for tests: it keeps what it is given and checks nothing, like the worst of registries.

use std::{
    collections::BTreeMap,
    io::Read,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{Descriptor, Digest, Manifest, Name, RawManifest, Referrers, Registry, RegistryError};

/// A registry in memory.
#[derive(Debug, Default)]
pub struct MemoryRegistry {
    held: Mutex<Held>,
    /// Whether it lists referrers.
    lists_referrers: bool,
}

/// What a [`MemoryRegistry`] holds; open to every kind of damage.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Which manifest has which tag.
    pub tags: BTreeMap<String, Digest>,
    /// Manifests under the digest that they are called by.
    pub manifests: BTreeMap<Digest, RawManifest>,
    /// Contents under the digest that they are called by.
    pub contents: BTreeMap<Digest, Vec<u8>>,
}

impl MemoryRegistry {
    /// One that lists referrers.
    pub fn with_referrers() -> Self {
        Self { lists_referrers: true, ..Self::default() }
    }

    /// What it holds, to look at and to damage.
    pub fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registry for MemoryRegistry {
    fn fetch_manifest(&self, name: &Name) -> Result<Option<RawManifest>, RegistryError> {
        let held = self.held();
        let digest = match name {
            Name::Tag(tag) => held.tags.get(tag.as_str()).copied(),
            Name::Digest(digest) => Some(*digest),
        };
        Ok(digest.and_then(|it| held.manifests.get(&it).cloned()))
    }

    fn open_content(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Box<dyn Read + '_>>, RegistryError> {
        let found = self.held().contents.get(&descriptor.digest).cloned();
        Ok(found.map(|it| Box::new(std::io::Cursor::new(it)) as Box<dyn Read>))
    }

    fn referrers(&self, subject: &Digest) -> Result<Referrers, RegistryError> {
        if !self.lists_referrers {
            return Ok(Referrers::NotOffered);
        }
        let about = |raw: &RawManifest| match raw.parse() {
            Ok(Manifest::Image(it)) if it.subject.as_ref()?.digest == *subject => {
                Some(Descriptor { artifact_type: it.artifact_type, ..raw.descriptor() })
            }
            _ => None,
        };
        Ok(Referrers::Listed(self.held().manifests.values().filter_map(about).collect()))
    }

    fn store_content(
        &self,
        descriptor: &Descriptor,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes).map_err(|source| RegistryError::Io {
            what: "a content that is stored".to_owned(),
            source,
        })?;
        self.held().contents.insert(descriptor.digest, bytes);
        Ok(())
    }

    fn store_manifest(&self, name: &Name, manifest: &RawManifest) -> Result<(), RegistryError> {
        let mut held = self.held();
        let digest = manifest.digest();
        if let Name::Tag(tag) = name {
            held.tags.insert(tag.to_string(), digest);
        }
        held.manifests.insert(digest, manifest.clone());
        Ok(())
    }
}
