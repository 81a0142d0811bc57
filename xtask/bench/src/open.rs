//! The cases of opening and verifying a large log, its pages in memory.
//!
//! Every rate is the length of our log by the time it took, so a ratio of rates is a ratio of times
//! over the same records, however many bytes somebody else makes of them.

use std::{fs::File, os::unix::fs::FileExt as _, path::Path, thread, time::Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde::Deserialize;
use vfs::OsVfs;
use wal_format::{Decoded, Frame};
use wal_recovery::{Overrides, Reader, survey};

use crate::{
    callers::cores,
    corpus::{self, Corpus},
    memory,
    peers::raft_open,
    rounds::{Case, Contestant, Role, interleaved},
    sample::Sample,
    targets::name,
};

/// Names of the cases.
pub(crate) const CASES: [&str; 4] =
    [name::OPEN_CHAINED, name::OPEN_FOREIGN, name::MEMORY, name::MEMORY_FOREIGN];

/// How much a floor reads at once.
const CHUNK_LEN: usize = 256 << 10;

/// Writes the logs and returns the cases over them.
pub(crate) fn cases(data: &Path, bytes: u64) -> Result<Vec<Case>> {
    eprintln!("writing logs of {} MiB", bytes >> 20);
    let chained = corpus::chained(data.join("chained"), bytes)?;
    let foreign = corpus::foreign(data.join("foreign"), bytes)?;
    let raft = data.join("raft-engine");
    corpus::raft_engine(&raft, &chained)?;
    let raft_entries = chained.entries;

    let mut with_chain = opens(&chained);
    with_chain.extend([
        pass("BLAKE3 a frame, 1 thread", &chained, Workers::One, hash_frames),
        pass(name::BLAKE3_ALL, &chained, Workers::All, hash_frames),
        Contestant::new(name::RAFT_ENGINE, Role::Peer, move |_, _| {
            timed(chained.bytes, || {
                let engine = raft_open(&raft)?;
                ensure!(engine.last_index(1) == Some(raft_entries), "raft-engine lost entries");
                // Its end is not its opening.
                Ok(engine)
            })
        }),
    ]);
    let mut without = opens(&foreign);
    without.extend([
        pass("strict JSON, typed seq, 1 thread", &foreign, Workers::One, check_json),
        pass(name::STRICT_JSON_ALL, &foreign, Workers::All, check_json),
    ]);
    let case = |name: &str, unit, contestants| {
        let contestants = interleaved(contestants);
        Case { name: name.to_owned(), unit, contestants }
    };
    Ok(vec![
        case(name::OPEN_CHAINED, "GiB/s", with_chain),
        case(name::OPEN_FOREIGN, "GiB/s", without),
        case(name::MEMORY, "MiB", memory::contestants(&chained)),
        case(name::MEMORY_FOREIGN, "MiB", memory::contestants(&foreign)),
    ])
}

fn opens(corpus: &Corpus) -> Vec<Contestant> {
    let (one, two) = (corpus.clone(), corpus.clone());
    vec![
        Contestant::new(name::SURVEY, Role::Ours, move |_, _| {
            timed(one.bytes, || survey_entries(&one.dir, one.entries))
        }),
        Contestant::new(name::READER, Role::Ours, move |_, _| {
            timed(two.bytes, || read_entries(&two.dir, two.entries))
        }),
        pass("read() only", corpus, Workers::One, |_| Ok(())),
    ]
}

/// Opens the log as a start does, up to the point where it would write.
pub(crate) fn survey_entries(dir: &Path, entries: u64) -> Result<()> {
    let found = survey(&OsVfs, dir, Overrides::default())?;
    let last = found.scanned.and_then(|it| it.last).map_or(0, wal_format::Seq::get);
    ensure!(last == entries, "the survey found {last} of {entries} entries");
    Ok(())
}

/// Reads every entry.
pub(crate) fn read_entries(dir: &Path, entries: u64) -> Result<()> {
    let mut reader = Reader::open(&OsVfs, dir)?;
    let mut read = 0;
    while reader.next_entry()?.is_some() {
        read += 1;
    }
    ensure!(read == entries, "the reader found {read} of {entries} entries");
    Ok(())
}

/// Times `run`, but not the end of what it returns.
fn timed<T>(bytes: u64, run: impl FnOnce() -> Result<T>) -> Result<Sample> {
    let start = Instant::now();
    let kept = run()?;
    let seconds = start.elapsed().as_secs_f64();
    drop(kept);
    let rate = bytes as f64 / f64::from(1 << 30) / seconds;
    Ok(Sample { p50_us: seconds * 1e6, p99_us: seconds * 1e6, rate, calls: 1 })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Workers {
    One,
    All,
}

type Check = fn(&[u8]) -> Result<()>;

/// A pass over the frames of a file: read, walk, check each payload. With all cores each has its own
/// part; where the parts begin is given to this floor for nothing.
fn pass(name: &'static str, corpus: &Corpus, workers: Workers, check: Check) -> Contestant {
    let corpus = corpus.clone();
    let parts = if workers == Workers::All { cores() } else { 1 };
    let walk = name != "read() only";
    let mut bounds: Option<Vec<u64>> = None;
    Contestant::new(name, Role::Floor, move |_, _| {
        let file = File::open(corpus.wal())?;
        let bounds = match &bounds {
            Some(known) => known,
            None => bounds.insert(split(&file, corpus.bytes, parts)?),
        };
        timed(corpus.bytes, || {
            if !walk {
                return read_all(&file, corpus.bytes);
            }
            let walked = walk_parts(&file, bounds, check)?;
            ensure!(walked == corpus.entries, "{walked} of {} frames", corpus.entries);
            Ok(())
        })
    })
}

fn read_all(file: &File, bytes: u64) -> Result<()> {
    let mut buffer = vec![0; CHUNK_LEN];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset)? {
            0 => break,
            read => offset += read as u64,
        }
    }
    ensure!(offset == bytes, "{offset} of {bytes} bytes");
    Ok(())
}

/// Offsets of frames, evenly spread, and the end.
fn split(file: &File, bytes: u64, parts: usize) -> Result<Vec<u64>> {
    let mut bounds = vec![0];
    let mut offset = 0;
    let mut header = [0; 4];
    while offset < bytes {
        if offset >= bytes / parts as u64 * bounds.len() as u64 && bounds.len() < parts {
            bounds.push(offset);
        }
        file.read_exact_at(&mut header, offset)?;
        offset += 4 + u64::from(u32::from_be_bytes(header));
    }
    bounds.push(bytes);
    Ok(bounds)
}

/// Checks the frames of every part, each on a thread of its own, and counts them.
fn walk_parts(file: &File, bounds: &[u64], check: Check) -> Result<u64> {
    thread::scope(|scope| {
        let part = |from: u64, to: u64| scope.spawn(move || walk_frames(file, from, to, check));
        let parts = bounds.iter().zip(bounds.iter().skip(1));
        let all: Vec<_> = parts.map(|(from, to)| part(*from, *to)).collect();
        all.into_iter().map(|it| it.join().map_err(|_| anyhow!("a floor panicked"))?).sum()
    })
}

/// Checks the frames of a part and counts them.
fn walk_frames(file: &File, from: u64, to: u64, check: Check) -> Result<u64> {
    let mut buffer = vec![0; CHUNK_LEN];
    let (mut offset, mut frames) = (from, 0);
    while offset < to {
        let want = usize::try_from(to - offset).map_or(CHUNK_LEN, |it| it.min(CHUNK_LEN));
        let chunk = buffer.get_mut(..want).context("a chunk")?;
        file.read_exact_at(chunk, offset)?;
        let mut rest: &[u8] = chunk;
        while let Decoded::Whole(frame, behind) = Frame::decode(rest)? {
            check(frame.payload())?;
            frames += 1;
            rest = behind;
        }
        // What is left begins the next chunk; a frame is smaller than a chunk.
        offset += (want - rest.len()) as u64;
    }
    Ok(frames)
}

fn hash_frames(payload: &[u8]) -> Result<()> {
    // A question to the hash, so that nobody can leave it out.
    ensure!(blake3::hash(payload).as_bytes() != &[0; blake3::OUT_LEN], "a hash of zeros");
    Ok(())
}

/// As strict as an entry without a chain needs it: text, one JSON value, a number in its place.
fn check_json(payload: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Head {
        seq: u64,
    }
    let head: Head = serde_json::from_str(std::str::from_utf8(payload)?)?;
    ensure!(head.seq > 0, "an entry without a number");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::targets::{Against, TARGETS};

    #[test]
    fn every_target_of_opening_names_contestants_that_run() {
        let data = std::env::temp_dir().join(format!("autonomy-bench-open-{}", std::process::id()));
        std::fs::create_dir_all(&data).unwrap();
        let cases = cases(&data, 1 << 16);
        std::fs::remove_dir_all(&data).unwrap();
        let cases = cases.unwrap();
        assert_eq!(cases.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), CASES);
        for target in TARGETS.iter().filter(|it| CASES.contains(&it.case)) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Against::Named(name) if !runs(name)), "{target:?}");
        }
    }

    #[test]
    fn a_log_that_lost_its_last_entry_is_no_result() {
        let data = std::env::temp_dir().join(format!("autonomy-bench-lost-{}", std::process::id()));
        std::fs::create_dir_all(&data).unwrap();
        let judged =
            [corpus::chained(data.join("a"), 1 << 16), corpus::foreign(data.join("b"), 1 << 16)]
                .map(|made| {
                    let made = made.unwrap();
                    let whole =
                        walk_frames(&File::open(made.wal()).unwrap(), 0, made.bytes, check_json);
                    assert_eq!(whole.unwrap(), made.entries);
                    let check = |entries| {
                        (
                            survey_entries(&made.dir, entries).is_ok(),
                            read_entries(&made.dir, entries).is_ok(),
                        )
                    };
                    (check(made.entries), check(made.entries + 1))
                });
        std::fs::remove_dir_all(&data).unwrap();
        assert_eq!(judged, [((true, true), (false, false)); 2]);
    }
}
