//! Many frames at once, on all cores.
//!
//! Every chained entry names the value that the next one continues from (C2), so a block of whole
//! frames can be checked without the result of the block before it. Workers take blocks in order
//! from one [`Source`], which only walks the length prefixes, and answer one question: does every
//! frame of this block hold? What is wrong with a block that does not hold is decided by the
//! [`Scanner`], frame by frame from the beginning of that block; so there is one judge, and the
//! result is the one that it alone would come to. The chain values of a block are computed several at
//! a time ([`links`]).
//!
//! * **Q1** Every block in front of a block that does not hold was checked and holds: blocks are
//!   taken in order, and whoever took one finishes it.
//! * **Q2** No block is taken after one was found that does not hold.
//! * **Q3** Memory is one block for each worker, whatever the size of the log.
//!
//! Where the numbers of a block pass one that the scanner has to note, the source ends before it.

use std::{
    io,
    sync::{
        Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use vfs::File;
use wal_format::{Decoded, Frame, HEADER_LEN, Seq, split_chain};

use super::{ChainState, Mark, Scanner, links, plain};

/// Most bytes of a block. It stays in the cache of the core that checks it.
const BLOCK_LEN: usize = 512 << 10;
/// Most workers; with [`BLOCK_LEN`] this bounds the memory (Q3).
const WORKERS_MAX: usize = 16;

/// How a scan is spread over cores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Bytes of a block, and of what is always checked frame by frame.
    pub(crate) block_len: usize,
    /// Threads, the calling one included.
    pub(crate) workers: usize,
}

impl Pace {
    /// All cores of this machine.
    pub(crate) fn of_machine() -> Self {
        // Asking takes longer than checking a small log.
        static CORES: OnceLock<usize> = OnceLock::new();
        let cores = *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
        Self { block_len: BLOCK_LEN, workers: cores.min(WORKERS_MAX) }
    }
}

/// Moves the scanner over as many blocks as hold. It stops in front of the first frame that needs a
/// closer look, wherever in its block that is.
pub(crate) fn pass_blocks(file: &dyn File, scanner: &mut Scanner, pace: Pace) {
    let source = Source { file, scanner, next: scanner.at.clone(), taken: 0, ended: false };
    let shared = Shared {
        source: Mutex::new(source),
        stop: AtomicBool::new(false),
        failed: Mutex::new(None),
    };
    thread::scope(|scope| {
        for _ in 1..pace.workers {
            let helper = thread::Builder::new().name("wal-scan".to_owned());
            // Where no thread can be had, fewer do the same work.
            drop(helper.spawn_scoped(scope, || work(&shared, pace.block_len)));
        }
        work(&shared, pace.block_len);
    });
    let Shared { source, failed, .. } = shared;
    let reached = source.into_inner().unwrap_or_else(PoisonError::into_inner).next;
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    scanner.advance(failed.map_or(reached, |(_, before)| before));
}

struct Shared<'a> {
    source: Mutex<Source<'a>>,
    stop: AtomicBool,
    /// The first block that does not hold: its place in the order, and what stands before it.
    failed: Mutex<Option<(u64, Mark)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(shared: &Shared<'_>, block_len: usize) {
    let mut buffer = vec![0; block_len];
    while !shared.stop.load(Ordering::Relaxed) {
        let Some(block) = lock(&shared.source).take(&mut buffer) else { return };
        if !block.holds(&buffer) {
            shared.stop.store(true, Ordering::Relaxed);
            let mut failed = lock(&shared.failed);
            if failed.as_ref().is_none_or(|(order, _)| block.order < *order) {
                *failed = Some((block.order, block.before));
            }
            return;
        }
    }
}

/// Gives out blocks in order.
struct Source<'a> {
    file: &'a dyn File,
    scanner: &'a Scanner,
    /// What stands before the next block, if the ones before it hold.
    next: Mark,
    taken: u64,
    ended: bool,
}

/// Whole frames, and what stands before them if everything before them holds.
struct Block {
    order: u64,
    before: Mark,
    len: usize,
}

impl Source<'_> {
    /// Reads the next block into `buffer`; `None` when something stands there that is not a block
    /// of whole frames. A file that cannot be read is such a thing: the scanner will meet it.
    fn take(&mut self, buffer: &mut [u8]) -> Option<Block> {
        if self.ended {
            return None;
        }
        self.ended = true;
        let read = self.file.read_at(buffer, self.next.end).ok()?;
        let bytes = buffer.get(..read)?;
        let walked = walk(bytes)?;
        let last = self.next.last.map_or(0, Seq::get).checked_add(walked.count)?;
        let last = Seq::new(last)?;
        if !self.scanner.needs_no_note(&self.next, last) {
            return None;
        }
        let before = self.next.clone();
        match &mut self.next.chain {
            ChainState::None(prefix) => {
                prefix.frames(bytes.get(..walked.len)?);
                self.ended = false;
            }
            ChainState::At(chain) => {
                // Without a claim nothing can follow, and this block does not hold.
                if let Some((_, claim)) = split_chain(walked.last) {
                    *chain = claim;
                    self.ended = false;
                }
            }
        }
        self.next.last = Some(last);
        self.next.end += walked.len as u64;
        self.taken += 1;
        Some(Block { order: self.taken, before, len: walked.len })
    }
}

/// Whole frames at the start of a buffer.
struct Walked<'a> {
    len: usize,
    count: u64,
    last: &'a [u8],
}

fn walk(bytes: &[u8]) -> Option<Walked<'_>> {
    let (mut rest, mut count, mut last) = (bytes, 0, None);
    while let Ok(Decoded::Whole(frame, behind)) = Frame::decode(rest) {
        (rest, last) = (behind, Some(frame.payload()));
        count += 1;
    }
    Some(Walked { len: bytes.len() - rest.len(), count, last: last? })
}

impl Block {
    /// Whether every frame holds.
    fn holds(&self, buffer: &[u8]) -> bool {
        let frames = buffer.get(..self.len).unwrap_or_default();
        match &self.before.chain {
            ChainState::None(_) => all_plain(frames, self.before.last),
            ChainState::At(chain) => links::hold(frames, self.before.last, *chain),
        }
    }
}

/// Whether the frames hold as frames that others wrote, behind an entry with this number.
fn all_plain(mut rest: &[u8], mut last: Option<Seq>) -> bool {
    while let Ok(Decoded::Whole(frame, behind)) = Frame::decode(rest) {
        let Some(seq) = last.map_or(Some(Seq::FIRST), Seq::next) else { return false };
        if !plain(frame.payload(), seq) {
            return false;
        }
        (rest, last) = (behind, Some(seq));
    }
    true
}

/// Whether enough is left behind `from` for more than one worker.
pub(crate) fn worth_it(file: &dyn File, from: u64, pace: Pace) -> io::Result<bool> {
    let enough = pace.block_len as u64 * 2 + HEADER_LEN as u64;
    Ok(pace.workers > 1 && file.stat()?.len.saturating_sub(from) >= enough)
}
