//! A door in front of a runtime: whoever comes waits at it until it is opened.
//!
//! A daemon asks the runtime whether it is there right before it records that a step begins. Held at the
//! door, it stands at that very moment, and whoever wants to kill it there has all the time in the world.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::Result;

use crate::harness::eventually;

/// A door. It goes with its owner.
#[derive(Debug)]
pub(super) struct Gate {
    port: u16,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    behind: u16,
    open: AtomicBool,
    gone: AtomicBool,
    came: AtomicU64,
    waiting: Mutex<Vec<TcpStream>>,
}

impl Gate {
    /// Puts a closed door in front of the port of a runtime.
    pub(super) fn closed(behind: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Shared {
            behind,
            open: AtomicBool::new(false),
            gone: AtomicBool::new(false),
            came: AtomicU64::new(0),
            waiting: Mutex::default(),
        });
        let inside = Arc::clone(&shared);
        let accepting = Some(thread::spawn(move || inside.accept(&listener)));
        Ok(Self { port, shared, accepting })
    }

    /// Where it is.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Waits until somebody stands at the closed door.
    pub(super) fn wait_for_somebody(&self) -> Result<()> {
        eventually("somebody comes to the door", || (self.came() > 0).then_some(()))
    }

    /// How many came.
    pub(super) fn came(&self) -> u64 {
        self.shared.came.load(Ordering::SeqCst)
    }

    /// Lets in whoever waits, and everybody after.
    pub(super) fn open(&self) {
        let mut waiting = self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.open.store(true, Ordering::SeqCst);
        for stream in waiting.drain(..) {
            self.shared.lead(stream);
        }
    }
}

impl Shared {
    fn accept(&self, listener: &TcpListener) {
        let streams = listener.incoming().map_while(Result::ok);
        for stream in streams.take_while(|_| !self.gone.load(Ordering::SeqCst)) {
            self.receive(stream);
        }
    }

    fn receive(&self, stream: TcpStream) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        self.came.fetch_add(1, Ordering::SeqCst);
        if self.open.load(Ordering::SeqCst) {
            self.lead(stream);
        } else {
            waiting.push(stream);
        }
    }

    /// Both ways until either end closes. Without a runtime behind it, the door slams.
    fn lead(&self, stream: TcpStream) {
        let Ok(inner) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.behind)) else { return };
        let ends = (stream.try_clone(), inner.try_clone());
        let (Ok(stream_too), Ok(inner_too)) = ends else { return };
        carry(stream, inner);
        carry(inner_too, stream_too);
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream) {
    thread::spawn(move || {
        // An end that is gone ends the other, and that is all.
        io::copy(&mut from, &mut to).ok();
        to.shutdown(Shutdown::Write).ok();
    });
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::SeqCst);
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)).ok();
        if let Some(accepting) = self.accepting.take() {
            accepting.join().ok();
        }
    }
}
