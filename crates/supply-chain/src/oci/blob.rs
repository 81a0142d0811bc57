//! A content as it comes in (H1).

use std::{
    io::{self, Read},
    time::{Duration, Instant},
};

use hyper::body::{Buf as _, Bytes};
use reqwest::Response;

use crate::oci::Remote;

/// The body of an answer, in pieces.
pub(super) struct Incoming<'a> {
    remote: &'a Remote,
    response: Response,
    piece: Bytes,
    /// Bytes that are still taken: those of the content and one more, which tells that it goes on.
    left: u64,
    /// Time that may still be waited.
    patience: Duration,
}

impl<'a> Incoming<'a> {
    pub(super) fn new(remote: &'a Remote, response: Response, len: u64) -> Self {
        let patience = remote.http.limits.whole(len);
        Self { remote, response, piece: Bytes::new(), left: len.saturating_add(1), patience }
    }

    /// Waits for the next piece; `false` at the end.
    fn next(&mut self) -> io::Result<bool> {
        let http = &self.remote.http;
        let began = Instant::now();
        let patience = http.limits.idle.min(self.patience);
        let next = self.remote.run(http.piece(&mut self.response, patience));
        self.patience = self.patience.saturating_sub(began.elapsed());
        let Some(mut piece) = next.map_err(io::Error::other)? else { return Ok(false) };
        piece.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= piece.len() as u64;
        self.piece = piece;
        Ok(true)
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            if self.left == 0 || !self.next()? {
                return Ok(0);
            }
        }
        let taken = self.piece.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..taken), self.piece.get(..taken)) {
            to.copy_from_slice(from);
        }
        self.piece.advance(taken);
        Ok(taken)
    }
}
