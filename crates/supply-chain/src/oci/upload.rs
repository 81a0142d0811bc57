//! A content as it goes out: asked for first, then sent in one request of known length.
//!
//! The content is read by the calling thread and not by the runtime: what it is read from may be another registry, with
//! a runtime of its own. A piece is sent when the next one has been read, the last one when the whole has its digest:
//! a content that is not what it is called never arrives whole (H1 holds here too: nobody is waited for without end).

use std::{
    io::{self, Read},
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use reqwest::{
    Method, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE},
};
use tokio::{
    sync::mpsc::{Receiver, Sender, channel},
    task::{JoinError, JoinHandle},
};
use url::Url;

use crate::{
    Descriptor, RegistryError,
    oci::{Remote, agree, http::Ask, said_digest},
    read_checked,
    registry::flawed,
};

/// The body of a request, in the pieces that the calling thread reads.
struct Pieces {
    receiver: Receiver<Bytes>,
    left: u64,
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        this.receiver.poll_recv(context).map(|piece| match piece {
            Some(piece) => {
                this.left = this.left.saturating_sub(piece.len() as u64);
                Some(Ok(Frame::data(piece)))
            }
            // The request fails, and with it the upload.
            None => Some(Err(io::Error::other("the content broke off"))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// A request on its way.
struct Outgoing<'a> {
    remote: &'a Remote,
    sender: Sender<Bytes>,
    request: JoinHandle<Result<Response, reqwest::Error>>,
    /// The piece that was read last.
    held: Option<Bytes>,
    /// Time that may still be waited.
    patience: Duration,
}

impl Drop for Outgoing<'_> {
    fn drop(&mut self) {
        self.request.abort();
    }
}

impl Outgoing<'_> {
    /// Takes a piece, and sends the one before.
    fn take(&mut self, piece: &[u8]) -> Result<(), RegistryError> {
        match self.held.replace(Bytes::copy_from_slice(piece)) {
            Some(before) => self.send(before),
            None => Ok(()),
        }
    }

    fn send(&mut self, piece: Bytes) -> Result<(), RegistryError> {
        let http = &self.remote.http;
        let (sender, request) = (&self.sender, &mut self.request);
        let either = async {
            tokio::select! {
                biased;
                answer = request => Some(answer),
                // A channel that is closed has an answer behind it, which whoever waits next finds.
                _ = sender.send(piece) => None,
            }
        };
        let began = Instant::now();
        let answer = self.remote.run(http.wait(http.limits.idle.min(self.patience), either))?;
        self.patience = self.patience.saturating_sub(began.elapsed());
        let Some(answer) = answer else { return Ok(()) };
        let response = self.read(answer)?;
        let text = format!("answered {} before it had everything", response.status().as_u16());
        Err(if response.status().is_success() {
            http.unreachable(&text)
        } else {
            http.refused(response.status(), "PUT of a content")
        })
    }

    /// Sends what is left, and waits for the answer.
    fn finish(mut self) -> Result<Response, RegistryError> {
        if let Some(last) = self.held.take() {
            self.send(last)?;
        }
        let http = &self.remote.http;
        let answer = self.remote.run(http.wait(http.limits.answer, &mut self.request))?;
        self.read(answer)
    }

    fn read(&self, answer: Answer) -> Result<Response, RegistryError> {
        let http = &self.remote.http;
        match answer {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) => Err(http.failed(error)),
            Err(_) => Err(http.unreachable("the request was given up")),
        }
    }
}

/// What a request that runs beside us ends with.
type Answer = Result<Result<Response, reqwest::Error>, JoinError>;

impl Remote {
    /// Stores a content, unless it is there.
    pub(super) fn upload(
        &self,
        descriptor: &Descriptor,
        content: &mut dyn Read,
    ) -> Result<(), RegistryError> {
        if self.run(self.http.in_time(self.has(descriptor)))? {
            return Ok(());
        }
        let target = self.run(self.http.in_time(self.begin(descriptor)))?;
        let mut outgoing = self.put(&target, descriptor.size)?;
        let mut sink = |piece: &[u8]| outgoing.take(piece).map_err(io::Error::other);
        read_checked(content, &descriptor.digest, descriptor.size, &mut sink)
            .map_err(|it| flawed(descriptor, it))?;
        let response = outgoing.finish()?;
        let what = format!("content {}", descriptor.digest);
        match response.status() {
            StatusCode::CREATED => {
                agree(said_digest(response.headers(), &what)?, &descriptor.digest, &what)
            }
            status if status.is_redirection() => Err(match self.http.location(&response) {
                Ok(target) => self.http.redirected(&target),
                Err(error) => error,
            }),
            status => Err(self.http.refused(status, &format!("PUT of {what}"))),
        }
    }

    async fn has(&self, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let mut ask = self.ask(Method::HEAD, "blobs", &descriptor.digest);
        ask.writes = true;
        let response = self.http.send(&ask).await?;
        Ok(self.found(response, &ask)?.is_some())
    }

    /// Asks where the content goes.
    async fn begin(&self, descriptor: &Descriptor) -> Result<Url, RegistryError> {
        let what = format!("POST for content {}", descriptor.digest);
        let mut ask = Ask::new(Method::POST, self.http.address.url("blobs/uploads/"), what);
        ask.writes = true;
        let response = self.http.send(&ask).await?;
        if response.status() != StatusCode::ACCEPTED {
            return Err(self.http.refused(response.status(), &ask.what));
        }
        let mut target = self.http.location(&response)?;
        target.query_pairs_mut().append_pair("digest", &descriptor.digest.to_string());
        Ok(target)
    }

    fn put(&self, target: &Url, len: u64) -> Result<Outgoing<'_>, RegistryError> {
        let (sender, receiver) = channel(1);
        let mut request = self
            .http
            .client
            .put(target.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, len)
            .body(reqwest::Body::wrap(Pieces { receiver, left: len }));
        if let Some(value) = self.http.authorization_for(target) {
            request = request.header(AUTHORIZATION, value);
        }
        let runtime = self.runtime.as_ref().ok_or_else(|| self.http.unreachable("it is closed"))?;
        let request = runtime.spawn(request.send());
        let patience = self.http.limits.whole(len);
        Ok(Outgoing { remote: self, sender, request, held: None, patience })
    }
}
