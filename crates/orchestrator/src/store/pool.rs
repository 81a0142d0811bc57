//! A few connections for reading, on blocking threads, with queries that can be stopped.
//!
//! # Invariants
//!
//! * **L1** A query ends: when its time is up, and when the one who asked goes away.
//! * **L2** While somebody can stop a query, its connection runs this query and no other.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rusqlite::InterruptHandle;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task,
    time::timeout,
};

/// Distance of attempts to stop a query: one can fall between its look and its beginning.
const STOP_AGAIN: Duration = Duration::from_millis(20);

/// A connection whose query can be stopped from another thread.
pub(crate) trait Interruptible: Send + 'static {
    /// What stops it.
    fn stopper(&self) -> InterruptHandle;
}

impl Interruptible for rusqlite::Connection {
    fn stopper(&self) -> InterruptHandle {
        self.get_interrupt_handle()
    }
}

/// Why a query gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PoolError {
    /// It was stopped before it began.
    TimedOut,
    /// The pool is being closed.
    Stopped,
}

/// The connections that are not in use.
#[derive(Debug)]
pub(crate) struct Pool<C> {
    idle: Mutex<Vec<C>>,
    slots: Arc<Semaphore>,
    query_timeout: Duration,
}

/// A connection that goes back where it came from, whoever drops it.
struct Lease<C> {
    conn: Option<C>,
    home: Arc<Pool<C>>,
    _slot: OwnedSemaphorePermit,
}

impl<C> Drop for Lease<C> {
    fn drop(&mut self) {
        if let Some(conn) = self.conn.take() {
            self.home.idle.lock().unwrap_or_else(PoisonError::into_inner).push(conn);
        }
    }
}

/// Stops a query from outside.
#[derive(Clone)]
struct Stop {
    asked: Arc<AtomicBool>,
    handle: Arc<InterruptHandle>,
}

impl Stop {
    fn now(&self) {
        // An interrupt has no effect on a query that did not begin; that one looks here first.
        self.asked.store(true, Ordering::Release);
        self.handle.interrupt();
    }

    fn asked(&self) -> bool {
        self.asked.load(Ordering::Acquire)
    }
}

/// Stops the query unless it was waited for.
struct StopOnDrop(Option<Stop>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        if let Some(stop) = &self.0 {
            stop.now();
        }
    }
}

impl<C: Interruptible> Pool<C> {
    /// Takes connections.
    pub(crate) fn new(idle: Vec<C>, query_timeout: Duration) -> Self {
        let slots = Arc::new(Semaphore::new(idle.len()));
        Self { idle: Mutex::new(idle), slots, query_timeout }
    }

    /// How long a query may take.
    pub(crate) const fn query_timeout(&self) -> Duration {
        self.query_timeout
    }

    /// Runs `query` on a connection, as soon as one is free.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        query: impl FnOnce(&C) -> T + Send + 'static,
    ) -> Result<T, PoolError> {
        let (lease, stop) = self.lease().await?;
        let mut guard = StopOnDrop(Some(stop.clone()));
        // The lease comes back with the result (L2).
        let inner = stop.clone();
        let mut work = task::spawn_blocking(move || {
            let found = match &lease.conn {
                Some(conn) if !inner.asked() => Some(query(conn)),
                _ => None,
            };
            (found, lease)
        });
        let mut left = self.query_timeout;
        let finished = loop {
            match timeout(left, &mut work).await {
                Ok(finished) => break finished,
                Err(_) => stop.now(),
            }
            left = STOP_AGAIN;
        };
        guard.0 = None;
        match finished {
            Ok((Some(found), _lease)) => Ok(found),
            Ok((None, _lease)) => Err(PoolError::TimedOut),
            Err(_) => Err(PoolError::Stopped),
        }
    }

    async fn lease(self: &Arc<Self>) -> Result<(Lease<C>, Stop), PoolError> {
        let slot = Arc::clone(&self.slots).acquire_owned().await;
        let Ok(slot) = slot else { return Err(PoolError::Stopped) };
        let conn = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let Some(conn) = conn else { return Err(PoolError::Stopped) };
        let handle = Arc::new(conn.stopper());
        let stop = Stop { asked: Arc::new(AtomicBool::new(false)), handle };
        Ok((Lease { conn: Some(conn), home: Arc::clone(self), _slot: slot }, stop))
    }

    /// Refuses what comes and closes the connections that are not in use.
    pub(crate) fn close(&self) {
        self.slots.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
