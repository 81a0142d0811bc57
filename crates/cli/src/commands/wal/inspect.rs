//! `autonomy wal inspect`: lists committed entries, once or as they come.
//!
//! Following polls: readers take no lock and the writer knows nothing of them, so nobody can wake
//! them. A log that was replaced is finished first. Its successor may be in the making, so for a
//! while neither its absence nor a safe point that does not fit it is an error.

use std::{
    io::{self, BufWriter, StdoutLock, Write as _},
    path::Path,
    time::Duration,
};

use api::exit::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Map, Value};
use tokio::signal::unix::{Signal, SignalKind, signal};
use vfs::OsVfs;
use wal_format::{Chain, Entry, WalId};
use wal_recovery::{Item, ReadError, Reader, Refreshed};

use super::directory;
use crate::{
    args::{Output, WalInspect},
    commands::filter,
    context::Context,
    failure::Failure,
    filter::Filter,
    printable::printable,
};

/// Pause between two looks at a log that is followed.
const FOLLOW_INTERVAL: Duration = Duration::from_millis(100);
/// How many looks the successor of a log may need to be complete.
const SETTLING_LOOKS: u32 = 50;

pub(super) fn inspect(args: &WalInspect, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let mut printer = Printer {
        filter: filter(&args.filter),
        output: args.output.output,
        stdout: BufWriter::new(io::stdout().lock()),
        shown: 0,
    };
    let mut reader = Reader::open(&OsVfs, &dir)?;
    let result =
        if args.follow { follow(&dir, reader, &mut printer) } else { printer.drain(&mut reader) };
    // What came before a damaged entry is good and is shown.
    printer.stdout.flush()?;
    result?;
    if args.output.output == Output::Text {
        let shown = printer.shown;
        let noun = if shown == 1 { "entry" } else { "entries" };
        writeln!(io::stderr().lock(), "{shown} {noun}")?;
    }
    Ok(Exit::Done)
}

struct Printer {
    filter: Filter,
    output: Output,
    stdout: BufWriter<StdoutLock<'static>>,
    shown: u64,
}

impl Printer {
    /// Prints what a reader has.
    fn drain(&mut self, reader: &mut Reader) -> Result<(), Failure> {
        while let Some(item) = reader.next_entry()? {
            if self.filter.takes_payload(item.payload) {
                self.shown += 1;
                self.print(item)?;
            }
        }
        Ok(())
    }

    fn print(&mut self, item: Item<'_>) -> io::Result<()> {
        match self.output {
            Output::Json => {
                self.stdout.write_all(item.payload)?;
                self.stdout.write_all(b"\n")
            }
            Output::Text => writeln!(self.stdout, "{}", line(item)),
        }
    }
}

/// An entry on one line. What recovery takes for an entry is shown, also when others wrote it and it is no
/// event.
fn line(Item { seq, payload, .. }: Item<'_>) -> String {
    let Ok(entry) = Entry::parse(payload) else {
        return format!(
            "{seq:>8}  {:27}  {:<10} {} bytes of JSON",
            "-",
            "(no event)",
            payload.len()
        );
    };
    let (time, kind) = (printable(&entry.written_at), entry.event.kind());
    let (kind, summary) =
        (printable(kind.short()), summary(&entry.event.attrs().unwrap_or_default()));
    format!("{seq:>8}  {time}  {kind:<10} {}", printable(&summary))
}

/// Prints entries as they come, until a signal asks to stop or nobody reads them any more.
fn follow(dir: &Path, reader: Reader, printer: &mut Printer) -> Result<(), Failure> {
    let executor = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    executor.block_on(follow_on(dir, reader, printer))
}

async fn follow_on(dir: &Path, mut reader: Reader, printer: &mut Printer) -> Result<(), Failure> {
    let mut pause = Pause::new()?;
    loop {
        let seen = reader.refresh(&OsVfs)?;
        printer.drain(&mut reader)?;
        printer.stdout.flush()?;
        if seen == Refreshed::Replaced {
            reader = match successor(dir, &reader, &mut pause).await? {
                Some(next) => next,
                None => return Ok(()),
            };
        } else if pause.is_last().await {
            return Ok(());
        }
    }
}

/// The last entry of a log: its id and its chain value.
type End = (WalId, Chain);

/// Opens the log that takes the place of another; `None` when it is time to stop.
async fn successor(dir: &Path, old: &Reader, pause: &mut Pause) -> Result<Option<Reader>, Failure> {
    let end: Option<End> = old.identity().map(|it| (it.wal_id, old.chain()));
    let mut looks = 0;
    loop {
        let error = match settled(dir) {
            Ok((reader, follows)) => {
                note_gap(end, follows)?;
                return Ok(Some(reader));
            }
            Err(error) => error,
        };
        looks += 1;
        let temporary = matches!(error, ReadError::NotFound { .. } | ReadError::Violation(_));
        if !temporary || looks > SETTLING_LOOKS {
            return Err(error.into());
        }
        if pause.is_last().await {
            return Ok(None);
        }
    }
}

/// Opens a log whose safe point fits it, and says what it follows.
fn settled(dir: &Path) -> Result<(Reader, Option<End>), ReadError> {
    let mut probe = Reader::open(&OsVfs, dir)?;
    while probe.next_entry()?.is_some() {}
    let birth = probe.identity().and_then(|it| it.birth.as_ref());
    Ok((Reader::open(&OsVfs, dir)?, birth.and_then(|it| it.previous)))
}

/// Says when logs came and went between two looks: their entries are in the archive.
fn note_gap(end: Option<End>, follows: Option<End>) -> io::Result<()> {
    if end.is_some() && follows.is_some() && follows != end {
        writeln!(io::stderr().lock(), "note: logs between the last two were archived unseen")?;
    }
    Ok(())
}

/// Waits between two looks.
struct Pause {
    terminate: Signal,
    interrupt: Signal,
}

impl Pause {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(|it| Failure::process(&it));
        let terminate = listen(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: listen(SignalKind::interrupt())? })
    }

    /// Waits, and says whether there is a reason not to look again.
    async fn is_last(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => true,
            _ = self.interrupt.recv() => true,
            () = tokio::time::sleep(FOLLOW_INTERVAL) => nobody_reads(),
        }
    }
}

/// Whether the other end of stdout is closed. Only a write would notice, and there may be nothing to
/// write for hours.
fn nobody_reads() -> bool {
    let stdout = io::stdout();
    let mut watched = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&at_once)).is_ok()
        && watched
            .iter()
            .any(|it| it.revents().intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL))
}

/// The attributes that tell entries apart, on one line; `--output json` shows them all.
fn summary(attrs: &Map<String, Value>) -> String {
    const SHOWN: [&str; 9] = [
        "event",
        "decision",
        "kind",
        "outcome",
        "code",
        "reason",
        "error",
        "policy_ref",
        "audit_id",
    ];
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let shown = SHOWN.iter().filter_map(|key| Some(format!("{key}={}", text(attrs.get(*key)?))));
    shown.collect::<Vec<_>>().join(" ")
}
