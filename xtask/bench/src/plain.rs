//! A group writer without a format: callers queue their bytes, one thread writes what waits and
//! syncs it. The simplest thing that is durable; a log with a format should cost little more.

use std::{
    fs::File,
    io,
    os::unix::fs::FileExt as _,
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    thread::{self, Thread},
};

use anyhow::{Result, bail};
use tokio::sync::oneshot;

use crate::{
    callers::Answer,
    floors::create_safe,
    space::{Kind, Space},
};

/// Whom to tell that a group is durable.
#[derive(Debug)]
enum Waiter {
    Thread(Arc<Parked>),
    Task(oneshot::Sender<Answer>),
}

/// A caller that waits for its group.
#[derive(Debug)]
pub(crate) struct Parked {
    state: AtomicU8,
    thread: Thread,
}

const WAITS: u8 = 0;
const DURABLE: u8 = 1;
const FAILED: u8 = 2;

impl Parked {
    /// For the thread that calls this.
    pub(crate) fn here() -> Arc<Self> {
        Arc::new(Self { state: AtomicU8::new(WAITS), thread: thread::current() })
    }
}

/// The writer and its queue.
#[derive(Debug)]
pub(crate) struct Plain {
    shared: Arc<Shared>,
    writer: Option<thread::JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: Vec<u8>,
    waiters: Vec<Waiter>,
    /// Whether the writer waits; only then it is woken.
    idle: bool,
    closing: bool,
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plain {
    /// Starts the writer. With `two_syncs` eight bytes of another file are written and synced after
    /// each group.
    pub(crate) fn start(dir: &Path, kind: Kind, two_syncs: bool) -> io::Result<Self> {
        let log = Space::create(&dir.join("log"), kind)?;
        let safe = two_syncs.then(|| create_safe(&dir.join("safe"))).transpose()?;
        let shared = Arc::new(Shared::default());
        let writer = thread::Builder::new().spawn({
            let shared = Arc::clone(&shared);
            move || write_groups(&shared, log, safe.as_ref())
        })?;
        Ok(Self { shared, writer: Some(writer) })
    }

    /// Queues a record and waits until it is durable. `parked` belongs to this thread.
    pub(crate) fn append(&self, record: &[u8], parked: &Arc<Parked>) -> Result<()> {
        parked.state.store(WAITS, Ordering::Relaxed);
        self.queue(record, Waiter::Thread(Arc::clone(parked)));
        loop {
            match parked.state.load(Ordering::Acquire) {
                DURABLE => return Ok(()),
                FAILED => bail!("the writer failed"),
                _ => thread::park(),
            }
        }
    }

    /// Queues a record; `done` hears when it is durable.
    pub(crate) fn submit(&self, record: &[u8], done: oneshot::Sender<Answer>) {
        self.queue(record, Waiter::Task(done));
    }

    fn queue(&self, record: &[u8], waiter: Waiter) {
        let mut queue = self.shared.queue();
        queue.bytes.extend_from_slice(record);
        queue.waiters.push(waiter);
        let wake = std::mem::take(&mut queue.idle);
        drop(queue);
        if wake {
            self.shared.wake.notify_one();
        }
    }
}

impl Drop for Plain {
    fn drop(&mut self) {
        self.shared.queue().closing = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic there was printed; its callers were never answered.
            drop(writer.join());
        }
    }
}

fn write_groups(shared: &Shared, mut log: Space, safe: Option<&File>) {
    let (mut bytes, mut waiters, mut number) = (Vec::new(), Vec::new(), 0_u64);
    loop {
        {
            let mut queue = shared.queue();
            while queue.waiters.is_empty() && !queue.closing {
                queue.idle = true;
                queue = shared.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            }
            queue.idle = false;
            if queue.waiters.is_empty() {
                return;
            }
            std::mem::swap(&mut queue.bytes, &mut bytes);
            std::mem::swap(&mut queue.waiters, &mut waiters);
        }
        number += waiters.len() as u64;
        let written = log.write_durably(&bytes).and_then(|()| match safe {
            None => Ok(()),
            Some(safe) => {
                safe.write_all_at(&number.to_le_bytes(), 0)?;
                safe.sync_data()
            }
        });
        bytes.clear();
        waiters.drain(..).for_each(|it| answer(it, &written));
    }
}

fn answer(waiter: Waiter, written: &io::Result<()>) {
    match waiter {
        Waiter::Thread(parked) => {
            let state = if written.is_ok() { DURABLE } else { FAILED };
            parked.state.store(state, Ordering::Release);
            parked.thread.unpark();
        }
        Waiter::Task(done) => {
            // A task that is gone needs no answer.
            drop(done.send(written.as_ref().copied().map_err(ToString::to_string)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{callers, sample::Window};

    #[test]
    fn every_record_that_was_answered_is_in_the_file() {
        let dir = std::env::temp_dir().join(format!("autonomy-bench-plain-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let window = Window::of(std::time::Duration::from_millis(50));
        let plain = Plain::start(&dir, Kind::Growing, true).unwrap();
        let sample = callers::threads(8, window, |_| {
            let parked = Parked::here();
            let plain = &plain;
            Ok(move || plain.append(b"record", &parked))
        });
        drop(plain);
        let written = std::fs::read(dir.join("log")).unwrap();
        let safe = std::fs::read(dir.join("safe")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        let calls = sample.unwrap().calls;
        assert_eq!(written, b"record".repeat(usize::try_from(calls).unwrap()));
        assert_eq!(safe, calls.to_le_bytes());
    }
}
