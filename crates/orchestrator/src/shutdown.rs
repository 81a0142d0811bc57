//! The signals that end the service: SIGTERM and SIGINT.
//!
//! After the first signal the service stops accepting, finishes what runs and closes the store.
//! SIGKILL needs no handling here: what was answered is on the disk (O1).

use std::{future::Future, io};

use tokio::signal::unix::{SignalKind, signal};

/// Installs the handlers and returns a future that ends with the first signal.
///
/// A signal that arrives between this call and the first poll is not lost.
///
/// # Errors
///
/// What the operating system reports. Must be called inside a Tokio runtime.
pub fn signalled() -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "orchestrator stopping");
    })
}
