//! Other logs, each set up so that an answer means: on the disk.
//!
//! | peer        | how it is durable before the answer                                          |
//! |-------------|------------------------------------------------------------------------------|
//! | raft-engine | `write(batch, sync = true)`: `fdatasync` by the leader of the group            |
//! | okaywal     | `commit`: `fdatasync`, shared by those who wait; checkpoints off, so it keeps  |
//! |             | what it was given                                                              |
//! | sled        | `flush` ends in `sync_file_range` on Linux, which flushes neither the cache of |
//! |             | the device nor the length of the file. It is shown as it is, but as a peer it   |
//! |             | counts with an `fdatasync` of its file after the flush                          |
//! | `SQLite`    | WAL and `synchronous=FULL`: `fsync` of the WAL at each commit; the library as  |
//! |             | rusqlite bundles it does not use `fdatasync`                                   |
//!
//! Each was seen with `strace -f -e trace=write,pwrite64,fsync,fdatasync,sync_file_range` over a run
//! with `--only NAME`: one write, then its sync, before the next.

use std::{
    fs::File,
    path::Path,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use okaywal::{Configuration, LogVoid};
use protobuf::descriptor::UninterpretedOption;
use raft_engine::{Config, Engine, LogBatch, MessageExt};

use crate::{
    callers,
    sample::{Sample, Window},
};

/// Callers, and bytes of a record.
pub(crate) type Load = (usize, usize);

/// An entry of raft-engine is a protobuf message with an index. This one, from the library itself,
/// has a number and bytes.
pub(crate) struct Numbered;

impl MessageExt for Numbered {
    type Entry = UninterpretedOption;

    fn index(entry: &Self::Entry) -> u64 {
        entry.get_positive_int_value()
    }
}

/// An entry for raft-engine.
pub(crate) fn raft_entry(index: u64, bytes: Vec<u8>) -> UninterpretedOption {
    let mut entry = UninterpretedOption::new();
    entry.set_positive_int_value(index);
    entry.set_string_value(bytes);
    entry
}

/// Opens raft-engine with its defaults.
pub(crate) fn raft_open(dir: &Path) -> Result<Engine> {
    let dir = dir.to_str().context("a directory in UTF-8")?.to_owned();
    Ok(Engine::open(Config { dir, ..Config::default() })?)
}

/// Each caller has a region of its own, as the replicas of a server have.
pub(crate) fn raft_engine(dir: &Path, window: Window, (callers, len): Load) -> Result<Sample> {
    let engine = raft_open(dir)?;
    let sample = callers::threads(callers, window, |caller| {
        let (engine, record) = (&engine, vec![b'x'; len]);
        let (mut batch, mut index) = (LogBatch::with_capacity(1), 0);
        Ok(move || {
            index += 1;
            batch.add_entries::<Numbered>(caller + 1, &[raft_entry(index, record.clone())])?;
            engine.write(&mut batch, true)?;
            Ok(())
        })
    })?;
    let kept: u64 = (1..=callers as u64).filter_map(|region| engine.last_index(region)).sum();
    ensure!(kept == sample.calls, "raft-engine kept {kept} of {} entries", sample.calls);
    Ok(sample)
}

pub(crate) fn okaywal(dir: &Path, window: Window, (callers, len): Load) -> Result<Sample> {
    let log = Configuration::default_for(dir)
        .preallocate_bytes(64 << 20)
        .checkpoint_after_bytes(u64::MAX)
        .open(LogVoid)?;
    let sample = callers::threads(callers, window, |_| {
        let (log, record) = (&log, vec![b'x'; len]);
        Ok(move || {
            let mut entry = log.begin_entry()?;
            entry.write_chunk(&record)?;
            entry.commit()?;
            Ok(())
        })
    })?;
    log.shutdown()?;
    Ok(sample)
}

/// With `durable` each flush is followed by the sync that it leaves out.
pub(crate) fn sled(
    dir: &Path,
    window: Window,
    (callers, len): Load,
    durable: bool,
) -> Result<Sample> {
    let database = sled::Config::new().path(dir).flush_every_ms(None).open()?;
    let file = File::options().write(true).open(dir.join("db"))?;
    let next = AtomicU64::new(0);
    let sample = callers::threads(callers, window, |_| {
        let (database, file, next, record) = (&database, &file, &next, vec![b'x'; len]);
        Ok(move || {
            let key = next.fetch_add(1, Ordering::Relaxed).to_be_bytes();
            database.insert(key, record.as_slice())?;
            database.flush()?;
            if durable {
                file.sync_data()?;
            }
            Ok(())
        })
    })?;
    ensure!(database.len() as u64 == sample.calls, "sled kept {} entries", database.len());
    Ok(sample)
}

/// One connection that the callers share: more of them only wait for the lock in the file.
pub(crate) fn sqlite(dir: &Path, window: Window, (callers, len): Load) -> Result<Sample> {
    let connection = rusqlite::Connection::open(dir.join("log.db"))?;
    let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
    ensure!(mode == "wal", "journal mode {mode}");
    connection.execute_batch(
        "PRAGMA synchronous=FULL; CREATE TABLE log (seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    )?;
    let connection = Mutex::new(connection);
    let sample = callers::threads(callers, window, |_| {
        let (connection, record) = (&connection, vec![b'x'; len]);
        Ok(move || {
            let connection = connection.lock().unwrap_or_else(PoisonError::into_inner);
            let mut insert = connection.prepare_cached("INSERT INTO log (body) VALUES (?1)")?;
            insert.execute([&record])?;
            Ok(())
        })
    })?;
    let connection = connection.into_inner().unwrap_or_else(PoisonError::into_inner);
    let kept: i64 = connection.query_row("SELECT count(*) FROM log", [], |row| row.get(0))?;
    ensure!(u64::try_from(kept)? == sample.calls, "SQLite kept {kept} of {} rows", sample.calls);
    Ok(sample)
}
