//! Requests that were turned away without being looked at, on record as a count.
//!
//! What is refused because there is too much of it cannot have an entry of its own: the entries would be
//! the next thing of which there is too much. And a web page must not be able to fill a log. So these are
//! counted, and each [`TELL_INTERVAL`] in which there was one gets one entry `calls.refused`.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::{Map, Value};

use crate::{
    interceptor::{CallCode, Interceptor},
    records::lifecycle,
};

/// Shortest time between two entries.
const TELL_INTERVAL: Duration = Duration::from_secs(1);
/// The codes that are counted.
const COUNTED: [CallCode; 3] =
    [CallCode::Overloaded, CallCode::BrowserRefused, CallCode::HostRefused];

/// Counts since the last entry.
#[derive(Debug, Default)]
pub(crate) struct Refusals([AtomicU64; COUNTED.len()]);

impl Refusals {
    pub(crate) fn count(&self, code: CallCode) {
        for (count, _) in self.0.iter().zip(COUNTED).filter(|it| it.1 == code) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|it| it.load(Ordering::Relaxed) == 0)
    }

    fn take(&self) -> [u64; COUNTED.len()] {
        self.0.each_ref().map(|it| it.swap(0, Ordering::Relaxed))
    }

    fn put_back(&self, counts: [u64; COUNTED.len()]) {
        for (count, more) in self.0.iter().zip(counts) {
            count.fetch_add(more, Ordering::Relaxed);
        }
    }
}

/// Records the counts until it is dropped.
pub(crate) async fn tell_refusals(interceptor: Arc<Interceptor>) {
    loop {
        tokio::time::sleep(TELL_INTERVAL).await;
        tell_now(&interceptor).await;
    }
}

/// Records the counts, if there are any. What cannot be recorded is counted on.
pub(crate) async fn tell_now(interceptor: &Interceptor) {
    let counts = interceptor.refusals.take();
    if counts.iter().all(|it| *it == 0) {
        return;
    }
    let named = COUNTED.iter().zip(counts).filter(|it| it.1 > 0);
    let by_code: Map<_, _> =
        named.map(|(code, count)| (code.as_str().to_owned(), Value::from(count))).collect();
    let total: u64 = counts.iter().sum();
    tracing::warn!(total, ?by_code, "calls refused unseen");
    let event = lifecycle("calls.refused").with("total", total).with("by_code", by_code);
    if interceptor.journal.append(&event).await.is_err() {
        interceptor.refusals.put_back(counts);
    }
}
