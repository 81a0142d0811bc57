//! Large logs, written fast: encoded straight into the file, the safe point beside it.
//!
//! Every frame has [`FRAME_LEN`] bytes, but for the first of a log with a chain.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use raft_engine::LogBatch;
use wal_format::{
    Birth, Chain, Decoded, Event, Frame, Kind, Origin, SafePoint, Seq, WalId, encode_entry, names,
};

use crate::{
    peers::{Numbered, raft_entry, raft_open},
    space::sync_dir_of,
};

/// Bytes of a frame, its length prefix included.
pub(crate) const FRAME_LEN: usize = 256;

/// A directory with a log, and what is known about it.
#[derive(Clone, Debug)]
pub(crate) struct Corpus {
    pub(crate) dir: PathBuf,
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Corpus {
    pub(crate) fn wal(&self) -> PathBuf {
        self.dir.join(names::WAL)
    }
}

/// A log as ours is.
pub(crate) fn chained(dir: PathBuf, bytes: u64) -> Result<Corpus> {
    let at = "2026-01-02T03:04:05.000006Z".parse()?;
    let wal_id = WalId::from_random([7; 16]);
    let birth =
        Birth { wal_id, node: "bench".to_owned(), origin: Origin::FirstRun, previous: None };
    let mut chain = Chain::before(b"");
    let mut events = Padded::default();
    write(dir, bytes, |seq, frame| {
        let event = if seq == Seq::FIRST {
            birth.to_event().to_json()
        } else {
            events.padded(seq, |event| frame_len(seq, at, event))?.to_vec()
        };
        chain = encode_entry(seq, at, &event, chain, frame)?;
        Ok(())
    })
}

/// A log as others wrote it: no chain, no microseconds.
pub(crate) fn foreign(dir: PathBuf, bytes: u64) -> Result<Corpus> {
    let mut events = Padded::default();
    let payload = |seq: Seq, event: &[u8]| {
        let mut out = format!(r#"{{"seq":{seq},"written_at":"2026-01-02T03:04:05Z","event":"#);
        out.push_str(&String::from_utf8_lossy(event));
        out.push('}');
        out
    };
    write(dir, bytes, |seq, frame| {
        let event = events.padded(seq, |event| Ok(4 + payload(seq, event).len()))?;
        let payload = payload(seq, event);
        frame.extend_from_slice(&u32::try_from(payload.len())?.to_be_bytes());
        frame.extend_from_slice(payload.as_bytes());
        Ok(())
    })
}

/// The same payloads in raft-engine, one batch each as if appended one by one, in one region.
pub(crate) fn raft_engine(dir: &Path, of: &Corpus) -> Result<()> {
    let log = fs::read(of.wal())?;
    let engine = raft_open(dir)?;
    let (mut rest, mut index) = (log.as_slice(), 0);
    let mut batch = LogBatch::with_capacity(1);
    while let Decoded::Whole(frame, behind) = Frame::decode(rest)? {
        index += 1;
        let entry = raft_entry(index, frame.payload().to_vec());
        batch.add_entries::<Numbered>(1, &[entry])?;
        engine.write(&mut batch, false)?;
        rest = behind;
    }
    engine.sync()?;
    ensure!(index == of.entries, "{index} of {} entries", of.entries);
    Ok(())
}

fn write(
    dir: PathBuf,
    bytes: u64,
    mut encode: impl FnMut(Seq, &mut Vec<u8>) -> Result<()>,
) -> Result<Corpus> {
    fs::create_dir(&dir)?;
    let entries = (bytes / FRAME_LEN as u64).max(2);
    let file = File::create_new(dir.join(names::WAL))?;
    let mut out = BufWriter::with_capacity(1 << 20, file);
    let (mut frame, mut bytes) = (Vec::new(), 0);
    for number in 1..=entries {
        let seq = Seq::new(number).context("a number from 1")?;
        frame.clear();
        encode(seq, &mut frame)?;
        ensure!(
            frame.len() == FRAME_LEN || number == 1,
            "frame {number} has {} bytes",
            frame.len()
        );
        out.write_all(&frame)?;
        bytes += frame.len() as u64;
    }
    out.into_inner()?.sync_all()?;
    let safe_path = dir.join(names::SAFE_SEQ);
    let mut safe = File::create_new(&safe_path)?;
    safe.write_all(&SafePoint::at(Seq::new(entries)).to_bytes())?;
    safe.sync_all()?;
    sync_dir_of(&safe_path)?;
    Ok(Corpus { dir, entries, bytes })
}

/// An event whose padding makes the frame whole; made again when the number gets a digit more.
#[derive(Debug, Default)]
struct Padded {
    digits: usize,
    event: Vec<u8>,
}

impl Padded {
    fn padded(&mut self, seq: Seq, frame: impl Fn(&[u8]) -> Result<usize>) -> Result<&[u8]> {
        let digits = seq.get().to_string().len();
        if digits != self.digits {
            let event = |padding: usize| {
                Event::new(Kind::Decision)
                    .with("decision", "deny")
                    .with("tool", "http.get")
                    .with("x", "x".repeat(padding))
                    .to_json()
            };
            let padding = FRAME_LEN.checked_sub(frame(&event(0))?).context("a short frame")?;
            *self = Self { digits, event: event(padding) };
        }
        Ok(&self.event)
    }
}

fn frame_len(seq: Seq, at: Timestamp, event: &[u8]) -> Result<usize> {
    let mut frame = Vec::new();
    encode_entry(seq, at, event, Chain::before(b""), &mut frame)?;
    Ok(frame.len())
}
