//! gzip and tar.
//!
//! # Invariants
//!
//! * **P1** Reading takes memory for at most [`UNPACKED_LEN_MAX`] bytes, whatever the file claims,
//!   and notices the limits while it unpacks.
//! * **P2** One file has one reading: nothing may follow the end of the archive but zeros, and
//!   nothing the end of the gzip file.
//! * **P3** Writing depends on its arguments alone. The archive has a fixed owner, mode and time.
//!   The gzip file is made of stored blocks: what a compressor makes of the same bytes differs
//!   between its versions, and then a bundle that is built again would have another digest.

use std::{
    cell::RefCell,
    io::{self, Read},
};

use flate2::{Crc, bufread::GzDecoder};
use tar::{Archive, EntryType, Header};

use super::{BundleError, content::limit_of, name::EntryName};

/// Longest bundle in bytes.
pub const BUNDLE_LEN_MAX: usize = UNPACKED_LEN_MAX + (64 << 10);
/// Most bytes a bundle may unpack to, headers and padding included.
pub const UNPACKED_LEN_MAX: usize = 16 << 20;
/// Longest entry in bytes; modules and manifests have smaller limits of their own.
pub const ENTRY_LEN_MAX: u64 = 8 << 20;
/// Most entries, directories included.
pub const ENTRIES_MAX: usize = 2048;

/// Longest stored block of deflate.
const STORED_LEN_MAX: usize = 0xffff;

/// An entry with its content.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: EntryName,
    pub(super) content: Vec<u8>,
}

/// Unpacks all files of an archive (P1, P2).
pub(super) fn unpack(bytes: &[u8]) -> Result<Vec<Entry>, BundleError> {
    if bytes.len() > BUNDLE_LEN_MAX {
        return Err(BundleError::TooLong { len: bytes.len() });
    }
    let source = RefCell::new(Source::new(bytes));
    let mut archive = Archive::new(Shared(&source));
    match entries(&mut archive) {
        Ok(entries) => {
            source.into_inner().finish()?;
            Ok(entries)
        }
        // What went wrong below the archive is the cause of what went wrong in it.
        Err(error) => Err(source.into_inner().fault.unwrap_or(error)),
    }
}

fn entries(archive: &mut Archive<impl Read>) -> Result<Vec<Entry>, BundleError> {
    let mut res = Vec::new();
    for (index, entry) in archive.entries().map_err(|it| not_tar(&it))?.enumerate() {
        if index == ENTRIES_MAX {
            return Err(BundleError::TooManyEntries);
        }
        let mut entry = entry.map_err(|it| not_tar(&it))?;
        let kind = entry.header().entry_type();
        let is_dir = kind == EntryType::Directory;
        let name = EntryName::read(&entry.path_bytes(), is_dir)?;
        if !is_dir && kind != EntryType::Regular {
            let name = name.map(|it| it.path).unwrap_or_default();
            return Err(BundleError::SpecialEntry { name, kind: kind_text(kind) });
        }
        let Some(name) = name.filter(|_| !is_dir) else {
            continue;
        };
        let limit = limit_of(&name.path);
        let len = entry.size();
        if len > limit {
            return Err(BundleError::EntryTooLong { name: name.path, len, limit });
        }
        let mut content = Vec::new();
        let read = entry.by_ref().take(limit).read_to_end(&mut content);
        read.map_err(|it| not_tar(&it))?;
        if content.len() as u64 != len {
            return Err(BundleError::NotTar { message: format!("`{}` is cut off", name.path) });
        }
        res.push(Entry { name, content });
    }
    Ok(res)
}

fn not_tar(error: &io::Error) -> BundleError {
    BundleError::NotTar { message: error.to_string() }
}

fn kind_text(kind: EntryType) -> String {
    match kind {
        EntryType::Link => "hard link".to_owned(),
        EntryType::Symlink => "symbolic link".to_owned(),
        EntryType::Char | EntryType::Block => "device".to_owned(),
        EntryType::Fifo => "named pipe".to_owned(),
        other => format!("special entry of type {:#04x}", other.as_byte()),
    }
}

/// The unpacked bytes, and what went wrong while unpacking.
#[derive(Debug)]
struct Source<'a> {
    gzip: GzDecoder<&'a [u8]>,
    left: usize,
    fault: Option<BundleError>,
}

impl<'a> Source<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { gzip: GzDecoder::new(bytes), left: UNPACKED_LEN_MAX, fault: None }
    }

    /// Reads what follows the archive: zeros and no more (P2).
    fn finish(mut self) -> Result<(), BundleError> {
        let mut rest = Vec::new();
        if let Err(error) = self.read_to_end(&mut rest) {
            return Err(self.fault.unwrap_or_else(|| not_tar(&error)));
        }
        if let Some(at) = rest.iter().position(|it| *it != 0) {
            return Err(BundleError::Trailing { layer: "tar archive", len: rest.len() - at });
        }
        match self.gzip.into_inner().len() {
            0 => Ok(()),
            len => Err(BundleError::Trailing { layer: "gzip file", len }),
        }
    }
}

impl Read for Source<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = match self.gzip.read(buf) {
            Ok(read) => read,
            Err(error) => {
                self.fault.get_or_insert(BundleError::NotGzip { message: error.to_string() });
                return Err(error);
            }
        };
        let Some(left) = self.left.checked_sub(read) else {
            self.fault.get_or_insert(BundleError::UnpackedTooLong);
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        Ok(read)
    }
}

/// Lets the archive read while the source is still ours.
struct Shared<'a, 'b>(&'a RefCell<Source<'b>>);

impl Read for Shared<'_, '_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.borrow_mut().read(buf)
    }
}

/// Packs files in the order they come (P3).
pub(super) fn pack<'a>(
    files: impl Iterator<Item = (&'a str, &'a [u8])>,
) -> Result<Vec<u8>, BundleError> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        archive.append_data(&mut header, name, content).map_err(|it| not_tar(&it))?;
    }
    let archive = archive.into_inner().map_err(|it| not_tar(&it))?;
    if archive.len() > UNPACKED_LEN_MAX {
        return Err(BundleError::UnpackedTooLong);
    }
    Ok(gzip_stored(&archive))
}

/// Writes a gzip file of stored blocks (P3).
///
/// | offset | size | field                                                              |
/// |-------:|-----:|--------------------------------------------------------------------|
/// |      0 |   10 | magic `1f 8b`, method 8, no flags, no time, no hint, unknown system |
/// |     10 |    … | blocks: last (1), length and its complement (`u16`, little-endian), bytes |
/// |     -8 |    4 | CRC-32 of the content (`u32`, little-endian)                       |
/// |     -4 |    4 | length of the content (`u32`, little-endian)                       |
fn gzip_stored(content: &[u8]) -> Vec<u8> {
    let mut res = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];
    let mut rest = content;
    loop {
        let (block, after) = rest.split_at(rest.len().min(STORED_LEN_MAX));
        // INVARIANT: a block is at most `STORED_LEN_MAX` long, which is `u16::MAX`.
        let len = u16::try_from(block.len()).unwrap_or(u16::MAX);
        res.push(u8::from(after.is_empty()));
        res.extend(len.to_le_bytes());
        res.extend((!len).to_le_bytes());
        res.extend(block);
        rest = after;
        if rest.is_empty() {
            break;
        }
    }
    let mut crc = Crc::new();
    crc.update(content);
    res.extend(crc.sum().to_le_bytes());
    res.extend(crc.amount().to_le_bytes());
    res
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn gunzip(bytes: &[u8]) -> Vec<u8> {
        let mut res = Vec::new();
        flate2::read::GzDecoder::new(bytes).read_to_end(&mut res).unwrap();
        res
    }

    #[test]
    fn stored_blocks_are_gzip_at_every_length_around_a_block() {
        for len in [0, 1, STORED_LEN_MAX - 1, STORED_LEN_MAX, STORED_LEN_MAX + 1, 200_000] {
            let content: Vec<u8> = (0..=u8::MAX).cycle().take(len).collect();
            assert!(gunzip(&gzip_stored(&content)) == content, "{len}");
        }
    }

    proptest! {
        #[test]
        fn what_is_packed_comes_out(files in prop::collection::btree_map(
            "[a-z]{1,8}/[a-z]{1,120}[.]rego", prop::collection::vec(any::<u8>(), 0..2000), 0..6,
        )) {
            let packed = pack(files.iter().map(|(name, it)| (name.as_str(), it.as_slice()))).unwrap();
            let entries = unpack(&packed).unwrap();
            prop_assert_eq!(entries.len(), files.len());
            for (entry, (name, content)) in entries.iter().zip(&files) {
                prop_assert_eq!(&entry.name.path, name);
                prop_assert_eq!(&entry.content, content);
            }
        }
    }
}
