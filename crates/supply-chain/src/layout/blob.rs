//! A file under its digest: its bytes, and what kind of manifest they are.

use std::{
    io::{self, Read},
    sync::Arc,
};

use serde::Deserialize;
use vfs::File;

use crate::{DOCKER_LIST, DOCKER_MANIFEST, IMAGE_INDEX, IMAGE_MANIFEST};

/// A blob that is read from its beginning.
#[derive(Debug)]
pub(super) struct Blob {
    file: Arc<dyn File>,
    at: u64,
}

impl Blob {
    pub(super) fn new(file: Arc<dyn File>) -> Self {
        Self { file, at: 0 }
    }
}

impl Read for Blob {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// What a manifest is that no index describes: what it says, or what it looks like. That the two agree is checked by
/// whoever reads it.
pub(super) fn own_type(bytes: &[u8]) -> Result<&'static str, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Shape {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let shape: Shape = serde_json::from_slice(bytes).map_err(|it| it.to_string())?;
    match (shape.media_type.as_deref(), shape.manifests) {
        (Some(said), _) => {
            let known = [IMAGE_MANIFEST, IMAGE_INDEX, DOCKER_MANIFEST, DOCKER_LIST];
            let found = known.into_iter().find(|it| *it == said);
            found.ok_or_else(|| "it is of a type that is not supported".to_owned())
        }
        (None, Some(_)) => Ok(IMAGE_INDEX),
        (None, None) => Ok(IMAGE_MANIFEST),
    }
}
