//! Image layouts on disk: what `skopeo copy … oci:PATH:tag` writes and reads.
//!
//! Source: OCI Image Format Specification 1.1, `image-layout.md`.
//!
//! | path                       | what it holds                                                             |
//! |----------------------------|---------------------------------------------------------------------------|
//! | `oci-layout`               | `{"imageLayoutVersion":"1.0.0"}`; without it there is no layout            |
//! | `index.json`               | an index; a tag is the annotation `org.opencontainers.image.ref.name`      |
//! | `blobs/<algorithm>/<hex>`  | contents and manifests under their digests                                |
//! | `.lock`                    | ours: the lock of whoever is writing                                      |
//!
//! # Invariants
//!
//! * **Y1** Whoever reads creates nothing. A layout begins with the first thing that is stored in it.
//! * **Y2** A file has its name only with its whole content: contents and manifests before the index that names them,
//!   `oci-layout` last of a new layout. After a crash anywhere a layout opens, with the old tag or the new one.
//! * **Y3** One writer at a time; it holds `.lock`. Readers need no lock, because files are replaced as a whole.
//! * **Y4** A path is made of a digest and of nothing else that came from outside.
//! * **Y5** Entries and members of the index that mean nothing here stay in it as they were.
//!
//! Not here: removing what no tag names any more, and a list of referrers, which layouts do not have.

mod blob;
mod index;

use std::{
    fmt,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use vfs::{Lock, LockError, OpenMode, Vfs, read_whole, replace, replace_with, write_all_at};

use crate::{
    ContentError, Descriptor, Digest, MANIFEST_LEN_MAX, Name, RawManifest, Referrers, Registry,
    RegistryError, Tag,
    layout::{
        blob::{Blob, own_type},
        index::Index,
    },
    read_checked,
    registry::flawed,
};

/// The version of layouts that is read and written.
pub const LAYOUT_VERSION: &str = "1.0.0";
/// Longest `index.json`, in bytes.
pub const LAYOUT_INDEX_LEN_MAX: u64 = 4 << 20;
/// Most entries of `index.json`.
pub const LAYOUT_ENTRIES_MAX: usize = 4096;
/// Longest `oci-layout`, in bytes.
const MARKER_LEN_MAX: u64 = 4 << 10;
/// How often a writer asks for the lock, [`LOCK_PAUSE`] apart, before it gives up.
const LOCK_ATTEMPTS: u32 = 600;
/// Pause between two attempts: with [`LOCK_ATTEMPTS`] half a minute.
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// An image layout on disk.
#[derive(Clone)]
pub struct Layout {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    attempts: u32,
}

impl fmt::Debug for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Layout").field("dir", &self.dir).finish_non_exhaustive()
    }
}

/// The content of `oci-layout`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Marker {
    image_layout_version: String,
}

impl Layout {
    /// Opens a layout that is there (Y1).
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoLayout`] when there is none, [`RegistryError::LayoutVersion`] when it is of another
    /// version.
    pub fn open(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Self, RegistryError> {
        let layout = Self { vfs, dir: dir.to_owned(), attempts: LOCK_ATTEMPTS };
        layout.check()?;
        Ok(layout)
    }

    /// Opens a layout to store something in it; the first thing that is stored creates it if need be (Y1).
    /// Until then there is nothing to read, which is [`RegistryError::NoLayout`].
    ///
    /// # Errors
    ///
    /// [`RegistryError`] when there is a layout that cannot be used.
    pub fn open_or_begin(vfs: Arc<dyn Vfs>, dir: &Path) -> Result<Self, RegistryError> {
        let layout = Self { vfs, dir: dir.to_owned(), attempts: LOCK_ATTEMPTS };
        layout.marker()?;
        Ok(layout)
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every tag and what has it, in the order of the index. A tag that stands there twice is listed twice;
    /// names that are no tags are left out, since nobody can ask for them here.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    pub fn tags(&self) -> Result<Vec<(Tag, Descriptor)>, RegistryError> {
        let index = self.index()?;
        let named = |name: &str| Tag::new(name).ok();
        let tagged = index.entries.iter().filter_map(|it| Some((named(it.name()?)?, it)));
        tagged.map(|(tag, entry)| Ok((tag, self.descriptor(entry)?))).collect()
    }

    fn place(&self) -> String {
        format!("oci:{}", self.dir.display())
    }

    fn marker_path(&self) -> PathBuf {
        self.dir.join("oci-layout")
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index.json")
    }

    /// Y4.
    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    /// Whether there is a layout.
    fn marker(&self) -> Result<bool, RegistryError> {
        let path = self.marker_path();
        let bytes = match read_whole(&*self.vfs, &path, MARKER_LEN_MAX) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(false),
            Err(source) => return Err(failed(&path, source)),
        };
        let marker: Marker = serde_json::from_slice(&bytes).map_err(|error| {
            RegistryError::Malformed { what: path.display().to_string(), text: error.to_string() }
        })?;
        if marker.image_layout_version == LAYOUT_VERSION {
            return Ok(true);
        }
        let found = marker.image_layout_version.chars().take(32).collect();
        Err(RegistryError::LayoutVersion { place: self.place(), found, expected: LAYOUT_VERSION })
    }

    fn check(&self) -> Result<(), RegistryError> {
        if self.marker()? {
            return Ok(());
        }
        Err(RegistryError::NoLayout { dir: self.dir.display().to_string() })
    }

    fn index(&self) -> Result<Index, RegistryError> {
        self.check()?;
        let path = self.index_path();
        let malformed = |text| RegistryError::Malformed { what: path.display().to_string(), text };
        match read_whole(&*self.vfs, &path, LAYOUT_INDEX_LEN_MAX) {
            Ok(Some(bytes)) => Index::parse(&bytes, LAYOUT_ENTRIES_MAX).map_err(malformed),
            Ok(None) => Err(malformed("it is not there".to_owned())),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                let what = path.display().to_string();
                Err(RegistryError::TooLong { what, limit: LAYOUT_INDEX_LEN_MAX })
            }
            Err(source) => Err(failed(&path, source)),
        }
    }

    fn descriptor(&self, entry: &index::Entry) -> Result<Descriptor, RegistryError> {
        entry.descriptor().map_err(|text| RegistryError::Malformed {
            what: self.index_path().display().to_string(),
            text,
        })
    }

    /// Opens a blob; `None` only in a layout that is there (Q1).
    fn open_blob(&self, digest: &Digest) -> Result<Option<Blob>, RegistryError> {
        let path = self.blob_path(digest);
        match self.vfs.open(&path, OpenMode::Read) {
            Ok(file) => Ok(Some(Blob::new(file))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => self.check().map(|()| None),
            Err(source) => Err(failed(&path, source)),
        }
    }

    /// Reads a manifest, checked: the layout says what it is called, whatever it was asked for by.
    fn read_manifest(
        &self,
        digest: &Digest,
        media_type: Option<&str>,
    ) -> Result<Option<RawManifest>, RegistryError> {
        let Some(blob) = self.open_blob(digest)? else { return Ok(None) };
        let what = || format!("manifest {digest}");
        let mut bytes = Vec::new();
        let mut bounded = blob.take(MANIFEST_LEN_MAX + 1);
        bounded
            .read_to_end(&mut bytes)
            .map_err(|source| RegistryError::Io { what: what(), source })?;
        if bytes.len() as u64 > MANIFEST_LEN_MAX {
            return Err(RegistryError::TooLong { what: what(), limit: MANIFEST_LEN_MAX });
        }
        let found = Digest::like(digest.algorithm(), &bytes);
        if found != *digest {
            let source = ContentError::Other { expected: *digest, found };
            return Err(RegistryError::Content { what: what(), source });
        }
        let media_type = match media_type {
            Some(it) => it.to_owned(),
            None => own_type(&bytes)
                .map_err(|text| RegistryError::Malformed { what: what(), text })?
                .to_owned(),
        };
        Ok(Some(RawManifest { media_type, bytes }))
    }

    fn lock(&self) -> Result<Lock, RegistryError> {
        let path = self.dir.join(".lock");
        self.vfs.create_dir_all(&self.dir).map_err(|source| failed(&self.dir, source))?;
        let holder = format!("process {}", std::process::id());
        let mut left = self.attempts;
        loop {
            match self.vfs.lock(&path, &holder) {
                Ok(lock) => return Ok(lock),
                Err(LockError::Io(source)) => return Err(failed(&path, source)),
                Err(LockError::Held { holder }) if left <= 1 => {
                    return Err(RegistryError::Busy { place: self.place(), holder });
                }
                Err(LockError::Held { .. }) => thread::sleep(LOCK_PAUSE),
            }
            left -= 1;
        }
    }

    /// Creates the layout if need be (Y1, Y2). Called with the lock.
    fn begin(&self) -> Result<(), RegistryError> {
        if self.marker()? {
            return Ok(());
        }
        let index = self.index_path();
        if self.vfs.stat(&index).map_err(|source| failed(&index, source))?.is_none() {
            self.put(&index, &Index::default().to_bytes())?;
        }
        let marker = Marker { image_layout_version: LAYOUT_VERSION.to_owned() };
        // A struct of one string always serializes.
        self.put(&self.marker_path(), &serde_json::to_vec(&marker).unwrap_or_default())
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> Result<(), RegistryError> {
        replace(&*self.vfs, path, bytes).map_err(|source| failed(path, source))
    }

    /// Whether a content is there with all of its bytes. A damaged one is replaced.
    fn holds(&self, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let Some(mut blob) = self.open_blob(&descriptor.digest)? else { return Ok(false) };
        let read = read_checked(&mut blob, &descriptor.digest, descriptor.size, &mut |_| Ok(()));
        Ok(read.is_ok())
    }

    /// Called with the lock.
    fn store(&self, descriptor: &Descriptor, content: &mut dyn Read) -> Result<(), RegistryError> {
        if self.holds(descriptor)? {
            return Ok(());
        }
        let path = self.blob_path(&descriptor.digest);
        if let Some(dir) = path.parent() {
            self.vfs.create_dir_all(dir).map_err(|source| failed(dir, source))?;
        }
        let mut flaw = None;
        let kept = replace_with(&*self.vfs, &path, |file| {
            let mut at = 0;
            let mut sink = |piece: &[u8]| {
                write_all_at(file, piece, at)?;
                at += piece.len() as u64;
                Ok(())
            };
            read_checked(content, &descriptor.digest, descriptor.size, &mut sink).map_err(|it| {
                flaw = Some(flawed(descriptor, it));
                io::Error::other("the content is not what it is called")
            })
        });
        match (kept, flaw) {
            (Ok(()), _) => Ok(()),
            (Err(_), Some(flaw)) => Err(flaw),
            (Err(source), None) => Err(failed(&path, source)),
        }
    }
}

impl Registry for Layout {
    fn fetch_manifest(&self, name: &Name) -> Result<Option<RawManifest>, RegistryError> {
        let tag = match name {
            Name::Digest(digest) => {
                let index = self.index()?;
                let known = index.entries.iter().find(|it| it.digest == digest.to_string());
                return self.read_manifest(digest, known.map(|it| it.media_type.as_str()));
            }
            Name::Tag(tag) => tag,
        };
        let index = self.index()?;
        let found: Vec<_> = index.of_tag(tag.as_str()).collect();
        let entry = match found.as_slice() {
            [] => return Ok(None),
            [one] => one,
            several => {
                let (place, count) = (self.place(), several.len());
                return Err(RegistryError::Ambiguous { place, tag: tag.to_string(), count });
            }
        };
        let descriptor = self.descriptor(entry)?;
        let found = self.read_manifest(&descriptor.digest, Some(&descriptor.media_type))?;
        let what = || format!("manifest {}", descriptor.digest);
        let Some(found) = found else {
            let text = format!("the index names it for the tag `{tag}`, and it is not there");
            return Err(RegistryError::Malformed { what: what(), text });
        };
        if found.bytes.len() as u64 != descriptor.size {
            let text = format!("the index says {} bytes", descriptor.size);
            return Err(RegistryError::Malformed { what: what(), text });
        }
        Ok(Some(found))
    }

    fn open_content(
        &self,
        descriptor: &Descriptor,
    ) -> Result<Option<Box<dyn Read + '_>>, RegistryError> {
        Ok(self.open_blob(&descriptor.digest)?.map(|it| Box::new(it) as Box<dyn Read>))
    }

    fn referrers(&self, _: &Digest) -> Result<Referrers, RegistryError> {
        Ok(Referrers::NotOffered)
    }

    fn store_content(
        &self,
        descriptor: &Descriptor,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError> {
        let _held = self.lock()?;
        self.begin()?;
        self.store(descriptor, content)
    }

    fn store_manifest(&self, name: &Name, manifest: &RawManifest) -> Result<(), RegistryError> {
        let descriptor = manifest.descriptor();
        if descriptor.size > MANIFEST_LEN_MAX {
            let what = format!("manifest {}", descriptor.digest);
            return Err(RegistryError::TooLong { what, limit: MANIFEST_LEN_MAX });
        }
        if let Name::Digest(expected) = name
            && *expected != descriptor.digest
        {
            let source = ContentError::Other { expected: *expected, found: descriptor.digest };
            return Err(RegistryError::Content { what: format!("manifest {expected}"), source });
        }
        let _held = self.lock()?;
        self.begin()?;
        self.store(&descriptor, &mut &*manifest.bytes)?;
        let Name::Tag(tag) = name else { return Ok(()) };
        let mut index = self.index()?;
        if !index.give(tag.as_str(), &descriptor) {
            return Ok(());
        }
        let bytes = index.to_bytes();
        let path = self.index_path();
        if index.entries.len() > LAYOUT_ENTRIES_MAX || bytes.len() as u64 > LAYOUT_INDEX_LEN_MAX {
            let what = path.display().to_string();
            return Err(RegistryError::TooLong { what, limit: LAYOUT_INDEX_LEN_MAX });
        }
        self.put(&path, &bytes)
    }
}

fn failed(path: &Path, source: io::Error) -> RegistryError {
    RegistryError::Io { what: path.display().to_string(), source }
}

#[cfg(test)]
mod tests;
