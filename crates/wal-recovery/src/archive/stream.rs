//! Packed logs as streams, in constant memory.

use std::{
    io::{self, BufReader, Read, Write},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use vfs::{File, Stat, write_all_at};
use wal_format::Content;
use zstd::stream::{read::Decoder, write::Encoder};

/// Bytes moved at once.
const CHUNK_LEN: usize = 256 << 10;
/// The default of the `zstd` program.
const LEVEL: i32 = 3;

/// Counts and hashes what passes.
#[derive(Debug, Default)]
struct Meter {
    bytes: u64,
    hasher: blake3::Hasher,
}

impl Meter {
    fn pass(&mut self, bytes: &[u8]) {
        self.bytes += bytes.len() as u64;
        self.hasher.update(bytes);
    }

    fn content(&self) -> Content {
        Content { bytes: self.bytes, blake3: self.hasher.finalize().to_hex().to_string() }
    }
}

/// Appends to a file.
struct Sink<'a> {
    file: &'a dyn File,
    meter: Meter,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        write_all_at(self.file, bytes, self.meter.bytes)?;
        self.meter.pass(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads a file from its first byte.
#[derive(Debug)]
struct Source {
    file: Arc<dyn File>,
    meter: Meter,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.meter.bytes)?;
        self.meter.pass(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

/// Packs `from` into the empty file `to`, and returns what was read and what was written.
pub(super) fn pack(from: &Arc<dyn File>, to: &dyn File) -> io::Result<(Content, Content)> {
    let mut source = Source { file: Arc::clone(from), meter: Meter::default() };
    let mut encoder = Encoder::new(Sink { file: to, meter: Meter::default() }, LEVEL)?;
    encoder.include_checksum(true)?;
    let mut buffer = vec![0; CHUNK_LEN];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        encoder.write_all(buffer.get(..read).unwrap_or_default())?;
    }
    let sink = encoder.finish()?;
    Ok((source.meter.content(), sink.meter.content()))
}

/// A packed file that reads like the log in it, from its first byte to its last and once.
pub(super) struct Unpacked(Mutex<Stream>);

struct Stream {
    decoder: Decoder<'static, BufReader<Source>>,
    raw: Meter,
}

impl Unpacked {
    pub(super) fn new(file: Arc<dyn File>) -> io::Result<Self> {
        let decoder = Decoder::new(Source { file, meter: Meter::default() })?;
        Ok(Self(Mutex::new(Stream { decoder, raw: Meter::default() })))
    }

    /// What came out and what was read of the packed file so far.
    pub(super) fn contents(&self) -> (Content, Content) {
        let stream = self.stream();
        (stream.raw.content(), stream.decoder.get_ref().get_ref().meter.content())
    }

    fn stream(&self) -> MutexGuard<'_, Stream> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Unpacked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Unpacked")
    }
}

impl File for Unpacked {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut stream = self.stream();
        if offset != stream.raw.bytes {
            return Err(io::Error::other("a packed log is read from its first byte to its last"));
        }
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|it| !it.is_empty()) {
            let read = stream.decoder.read(rest)?;
            if read == 0 {
                break;
            }
            stream.raw.pass(rest.get(..read).unwrap_or_default());
            done += read;
        }
        Ok(done)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Ok(false)
    }

    fn stat(&self) -> io::Result<Stat> {
        self.stream().decoder.get_ref().get_ref().file.stat()
    }

    fn is_named(&self, path: &Path) -> io::Result<bool> {
        self.stream().decoder.get_ref().get_ref().file.is_named(path)
    }
}
