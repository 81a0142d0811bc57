//! An output of a program, read to its end beside the program.

use std::{io::Read, sync::mpsc, thread};

/// Reads an output to its end. Of more than `limit` bytes the rest is read and left out, so that the program never waits for a
/// reader.
pub(super) fn drained(
    pipe: Option<impl Read + Send + 'static>,
    limit: u64,
) -> mpsc::Receiver<Vec<u8>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            // What cannot be read is not there.
            (&mut pipe).take(limit).read_to_end(&mut kept).ok();
            std::io::copy(&mut pipe, &mut std::io::sink()).ok();
        }
        sender.send(kept).ok()
    });
    receiver
}
