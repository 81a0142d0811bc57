//! Appends in a child process, kills it in the middle, recovers the log, and reads it back.
//!
//! `cargo run -p wal-recovery --example crash_and_recover`
//!
//! The parent starts itself as the child. The child says each number after its append has returned;
//! the parent kills it with SIGKILL once it has heard enough. Whatever was said must be in the log.
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{
    env,
    error::Error,
    fs::File,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
};

use jiff::Timestamp;
use vfs::OsVfs;
use wal_format::{Entry, Event, Kind};
use wal_recovery::{Durability, Log, Opening, Overrides, Reader, Submission, recover};

/// Acknowledged appends after which the child is killed.
const ENOUGH: u64 = 200;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<ExitCode> {
    if let Some(dir) = env::args_os().nth(1) {
        append_for_ever(Path::new(&dir))?;
        return Ok(ExitCode::SUCCESS);
    }
    let dir = tempfile::tempdir()?;
    let acknowledged = append_and_kill(dir.path())?;
    println!("the child acknowledged every entry up to {acknowledged} and was killed");

    let recovered = recover(&OsVfs, &opening(dir.path())?)?;
    let report = &recovered.report;
    println!(
        "recovered: last entry {}, {} behind the safe point, {} bytes cut",
        report.last.map_or(0, wal_format::Seq::get),
        report.beyond_safe_point,
        report.bytes_cut,
    );

    let found = read_back(dir.path())?;
    println!("read back: {found} entries, every number and chain checked");
    if found < acknowledged {
        return Err(format!("{acknowledged} were acknowledged and {found} are there").into());
    }
    Ok(ExitCode::SUCCESS)
}

/// What the child does: append, and say the number when it is durable.
fn append_for_ever(dir: &Path) -> Result<()> {
    let log = Log::start(recover(&OsVfs, &opening(dir)?)?.writer)?;
    loop {
        let event = Event::new(Kind::Action).with("outcome", "ok");
        let receipt = log.append(Submission::new(&event, Timestamp::now())?)?;
        println!("{}", receipt.seq);
    }
}

/// Starts the child and kills it; returns the last number it has said.
fn append_and_kill(dir: &Path) -> Result<u64> {
    let mut child = Command::new(env::current_exe()?).arg(dir).stdout(Stdio::piped()).spawn()?;
    let stdout = child.stdout.take().ok_or("the child has no stdout")?;
    let mut said = 0;
    for line in BufReader::new(stdout).lines() {
        said = line?.parse()?;
        if said == ENOUGH {
            // SIGKILL: the child gets no chance to clean up. What it says until then still counts,
            // so the pipe is read to its end.
            child.kill()?;
        }
    }
    child.wait()?;
    Ok(said)
}

/// Counts the entries; the reader checks each before it gives it out.
fn read_back(dir: &Path) -> Result<u64> {
    let mut reader = Reader::open(&OsVfs, dir)?;
    let mut last = 0;
    while let Some(item) = reader.next_entry()? {
        Entry::parse(item.payload)?;
        last = item.seq.get();
    }
    Ok(last)
}

fn opening(dir: &Path) -> Result<Opening> {
    let mut random = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut random)?;
    Ok(Opening {
        dir: dir.to_owned(),
        node: "example".to_owned(),
        random,
        now: Timestamp::now(),
        overrides: Overrides::default(),
        durability: Durability::Chained,
        holder: format!("pid {}", std::process::id()),
    })
}
