//! The bytes of a log, without the program that wrote them.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wal_format::{Chain, HEADER_LEN, MAX_PAYLOAD_LEN, SafePoint, linked, names, split_chain};

/// A log file, taken apart.
#[derive(Debug)]
pub(super) struct Log {
    path: PathBuf,
    /// Frames, length prefixes included.
    pub(super) frames: Vec<Vec<u8>>,
    /// What follows: nothing, zeros that were allocated ahead, or a length that no writer produces.
    pub(super) rest: Vec<u8>,
}

impl Log {
    pub(super) fn read(dir: &Path) -> Result<Self> {
        let path = dir.join(names::WAL);
        let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
        let (mut frames, mut rest) = (Vec::new(), &*bytes);
        while let Some(frame) = whole_frame(rest) {
            frames.push(frame.to_vec());
            rest = rest.get(frame.len()..).unwrap_or_default();
        }
        Ok(Self { path, frames, rest: rest.to_vec() })
    }

    pub(super) fn write(&self) -> Result<()> {
        Ok(fs::write(&self.path, [self.frames.concat(), self.rest.clone()].concat())?)
    }

    /// The payload of a frame by its place; the first is 0.
    pub(super) fn payload(&self, at: usize) -> Result<&[u8]> {
        let frame = self.frames.get(at).with_context(|| format!("there is no frame {at}"))?;
        frame.get(HEADER_LEN..).context("a frame without a payload")
    }

    /// The number that a frame states.
    pub(super) fn number(&self, at: usize) -> Result<u64> {
        let entry: Value = serde_json::from_slice(self.payload(at)?)?;
        entry["seq"].as_u64().with_context(|| format!("frame {at} has no number"))
    }

    /// The place of the second denied call, which is no place of a call whose tool runs.
    pub(super) fn denied(&self) -> Result<usize> {
        let denied = |at: &usize| {
            self.payload(*at).is_ok_and(|it| it.windows(17).any(|it| it == br#""decision":"deny""#))
        };
        (0..self.frames.len()).filter(denied).nth(1).context("no second denied call")
    }

    /// The chain value behind so many frames, by the hash over what stands there; with the place of the first frame
    /// whose own value is another.
    pub(super) fn chain(&self, count: usize) -> Result<(Chain, Option<usize>)> {
        let (mut chain, mut broken) = (Chain::before(b""), None);
        for at in 0..count {
            let payload = self.payload(at)?;
            if linked(payload, chain).is_none() {
                broken = broken.or(Some(at));
            }
            let (body, _) =
                split_chain(payload).with_context(|| format!("frame {at} has no chain"))?;
            chain = chain.link(body);
        }
        Ok((chain, broken))
    }

    /// Puts other bytes of the same length into a payload.
    pub(super) fn edit(&mut self, at: usize, from: &[u8], to: &[u8]) -> Result<()> {
        let frame = self.frames.get_mut(at).context("no such frame")?;
        let found = frame.windows(from.len()).position(|it| it == from);
        let found = found.context("the frame does not hold these bytes")?;
        let place = frame.get_mut(found..found + from.len()).context("no room")?;
        ensure!(from.len() == to.len(), "another length");
        place.copy_from_slice(to);
        Ok(())
    }

    /// Computes every chain value from `at` on again, as whoever forges a log does.
    pub(super) fn forge(&mut self, at: usize) -> Result<()> {
        let mut chain = self.chain(at)?.0;
        for frame in self.frames.iter_mut().skip(at) {
            let payload = frame.get(HEADER_LEN..).context("a frame without a payload")?;
            let (body, old) = split_chain(payload).context("a frame without a chain")?;
            chain = chain.link(body);
            let (old, len) = (old.to_hex(), frame.len());
            let found = frame.windows(old.len()).rposition(|it| it == old).context("no digits")?;
            let place = frame.get_mut(found..found + old.len()).context("no room")?;
            place.copy_from_slice(&chain.to_hex());
            debug_assert_eq!(len, frame.len(), "digits for digits");
        }
        Ok(())
    }
}

/// The frame that `bytes` begin with, as far as its length is one that a writer produces.
fn whole_frame(bytes: &[u8]) -> Option<&[u8]> {
    let header = bytes.first_chunk::<HEADER_LEN>()?;
    let len = u32::from_be_bytes(*header);
    if len == 0 || len > MAX_PAYLOAD_LEN {
        return None;
    }
    bytes.get(..HEADER_LEN + usize::try_from(len).ok()?)
}

/// The number that the safe point states.
pub(super) fn safe_point(dir: &Path) -> Result<u64> {
    let bytes = fs::read(dir.join(names::SAFE_SEQ)).context("no safe point")?;
    Ok(SafePoint::from_bytes(&bytes)?.get())
}

/// Every file below a directory by its path, the locks left out: their text says who came last.
pub(super) fn files(dir: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let path = entry?.path();
        if path.is_dir() {
            let below = files(&path)?;
            let name = path.file_name().unwrap_or_default();
            found.extend(below.into_iter().map(|(it, bytes)| (Path::new(name).join(it), bytes)));
        } else if path.extension().is_none_or(|it| it != "lock") {
            found.insert(path.file_name().unwrap_or_default().into(), fs::read(&path)?);
        }
    }
    Ok(found)
}

/// Makes `to` what `from` is, as `cp -a` into an empty directory does.
pub(super) fn copy(from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_dir_all(to)?;
    }
    fs::create_dir_all(to)?;
    for (name, bytes) in files(from)? {
        let path = to.join(name);
        fs::create_dir_all(path.parent().unwrap_or(to))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
