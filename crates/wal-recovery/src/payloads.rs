//! Payloads of a log by their places, for whoever knows them from a reader.

use std::{io, path::PathBuf, sync::Arc};

use vfs::File;
use wal_format::{HEADER_LEN, Header};

use crate::ReadError;

/// Most bytes that [`Payloads::at`] reads at once, unless a single frame is longer.
const SPAN_LEN_MAX: u64 = 256 << 10;
/// Bytes between two frames that are worth reading to save a call.
const GAP_LEN_MAX: u64 = 16 << 10;

/// Reads payloads of the log that a [`Reader`](crate::Reader) reads. It takes no part in what the reader
/// checks: who asks compares what he gets with what he was given.
#[derive(Clone, Debug)]
pub struct Payloads {
    path: PathBuf,
    file: Option<Arc<dyn File>>,
}

impl Payloads {
    pub(crate) fn new(path: PathBuf, file: Option<Arc<dyn File>>) -> Self {
        Self { path, file }
    }

    /// Reads the payload at an `offset` that [`Item::offset`](crate::Item::offset) gave out earlier.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] when the file system fails or no whole frame stands there any more.
    pub fn one_at(&self, offset: u64) -> Result<Vec<u8>, ReadError> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let read = self.file.as_ref().ok_or_else(gone).and_then(|file| {
            // Exactly the frame: who asks for many single entries does not want what is around them.
            let mut header = [0; HEADER_LEN];
            if file.read_at(&mut header, offset)? < HEADER_LEN {
                return Err(gone());
            }
            let header = Header::from_bytes(header).map_err(|_| gone())?;
            if offset + header.frame_len() > file.stat()?.len {
                return Err(gone());
            }
            let mut payload = vec![0; header.payload_len()];
            let read = file.read_at(&mut payload, offset + HEADER_LEN as u64)?;
            if read < payload.len() { Err(gone()) } else { Ok(payload) }
        });
        read.map_err(|source| ReadError::Io { path: self.path.clone(), source })
    }

    /// Reads payloads by the offsets and lengths that [`Reader::next_entry`](crate::Reader::next_entry)
    /// gave out earlier, in that order. Neighbours are read together; where something else stands now,
    /// the payload is what [`Self::one_at`] finds there.
    ///
    /// # Errors
    ///
    /// [`ReadError::Io`] as [`Self::one_at`] has it.
    pub fn at(&self, places: &[(u64, u32)]) -> Result<Vec<Vec<u8>>, ReadError> {
        let mut payloads = Vec::with_capacity(places.len());
        let mut span = Vec::new();
        let mut rest = places;
        while let Some((start, _)) = rest.first() {
            let (count, end) = span_of(rest);
            let (together, behind) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            rest = behind;
            let len = usize::try_from(end - start).unwrap_or(0);
            // Whatever is not read is not found below, and then read by itself.
            span.resize(len, 0);
            let read = self.file.as_ref().map_or(Ok(0), |file| file.read_at(&mut span, *start));
            span.truncate(read.unwrap_or(0));
            for (offset, len) in together {
                match payload_in(&span, offset - start, *len) {
                    Some(payload) => payloads.push(payload.to_vec()),
                    None => payloads.push(self.one_at(*offset)?),
                }
            }
        }
        Ok(payloads)
    }
}

/// Returns how many of the first places are read at once, and where the last of them ends.
fn span_of(places: &[(u64, u32)]) -> (usize, u64) {
    let end_of =
        |(offset, len): (u64, u32)| offset.saturating_add(HEADER_LEN as u64 + u64::from(len));
    let Some(first) = places.first() else { return (0, 0) };
    let (mut count, mut end) = (1, end_of(*first));
    for place in places.iter().skip(1) {
        let near = place.0 >= end && place.0 - end <= GAP_LEN_MAX;
        if !near || end_of(*place) - first.0 > SPAN_LEN_MAX {
            break;
        }
        (count, end) = (count + 1, end_of(*place));
    }
    (count, end)
}

/// Finds the payload of a frame inside a span.
fn payload_in(span: &[u8], at: u64, len: u32) -> Option<&[u8]> {
    let frame = span.get(usize::try_from(at).ok()?..)?;
    let (header, behind) = frame.split_first_chunk::<HEADER_LEN>()?;
    let header = Header::from_bytes(*header).ok()?;
    behind.get(..header.payload_len()).filter(|it| it.len() as u64 == u64::from(len))
}
