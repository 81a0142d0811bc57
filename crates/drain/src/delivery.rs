//! One batch on its way to a collector: sent, judged, cut in halves, sent again. Each rule that
//! [`Drain`](crate::Drain) and [`Redelivery`](crate::Redelivery) share stands here, once.
//!
//! An answer is judged by the table of `answer`:
//!
//! | verdict          | turn                                                                     |
//! |------------------|--------------------------------------------------------------------------|
//! | accepted         | settle                                                                   |
//! | all refused      | settle, with the words of the collector                                  |
//! | some refused     | the part in halves → send                                                |
//! | too large        | in halves, later batches half as large → send; a single entry → stop     |
//! | busy, unreadable | wait; after all attempts → stop                                          |
//! | refused          | stop                                                                     |
//! | no answer        | wait; after all attempts → stop                                          |
//!
//! # Invariants
//!
//! * **T1** A part is settled by an answer to a request that held exactly this part, and by nothing
//!   else.
//! * **T2** An attempt sends the same bytes as the one before it.
//! * **T3** A stop changes nothing about the batch: the same part can be sent again.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use wal_format::{Seq, WalId, event_id};

use crate::{
    Answer, EntryRef, Failure, Notice, PerClass, Prepared, Preparer, Request, Silence, Terms,
    answer::Verdict,
    backoff::{Random, retry_after},
    batch::Batch,
};

/// The log that entries are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The node that wrote it.
    pub node: String,
    /// Its id.
    pub wal_id: WalId,
}

impl Source {
    /// Returns the stable id of an entry.
    pub fn event_id(&self, seq: Seq) -> String {
        event_id(&self.node, self.wal_id, seq)
    }
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct Flight {
    body: Bytes,
    attempt: u32,
}

/// What comes next for the batch.
#[derive(Debug)]
pub(crate) enum Turn {
    /// Send this.
    Send(Flight, Request),
    /// Wait, then send the same again.
    Wait(Flight, Duration),
    /// Record that the part on top was accepted, or refused for good with this text.
    Settle(Option<String>),
    /// Nothing more can be done now (T3).
    Stop(Failure),
}

/// What went over the wire.
#[derive(Clone, Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) requests: u64,
    pub(crate) retries: u64,
    pub(crate) bytes: u64,
    pub(crate) warnings: u64,
    last_warning: String,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    Silent,
    Busy,
    Unreadable,
}

/// The batch, and how it is sent.
#[derive(Debug)]
pub(crate) struct Delivery {
    terms: Terms,
    random: Random,
    batch_bytes_max: u64,
    preparer: Preparer,
    batch: Batch,
    notices: Vec<Notice>,
    traffic: Traffic,
}

impl Delivery {
    /// Makes a delivery whose batch is settled, since there is nothing in it.
    pub(crate) fn new(terms: Terms, source: Source) -> Self {
        Self {
            random: Random::new(terms.seed),
            batch_bytes_max: terms.batch_bytes_max,
            preparer: Preparer::new(source, terms.encoding),
            batch: Batch::default(),
            notices: Vec::new(),
            traffic: Traffic::default(),
            terms,
        }
    }

    /// The batch.
    pub(crate) const fn batch(&self) -> &Batch {
        &self.batch
    }

    /// The log that the batch is of.
    pub(crate) const fn source(&self) -> &Source {
        self.preparer.source()
    }

    /// Makes requests of its entries.
    pub(crate) const fn preparer(&self) -> &Preparer {
        &self.preparer
    }

    /// What went over the wire so far.
    pub(crate) const fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// Most bytes that the next batch should have.
    pub(crate) const fn batch_bytes_max(&self) -> u64 {
        self.batch_bytes_max
    }

    /// Adds something to tell the operator.
    pub(crate) fn tell(&mut self, notice: Notice) {
        self.notices.push(notice);
    }

    /// Takes what there is to tell.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Begins the next batch, of the log that the one before was of.
    pub(crate) fn begin(&mut self, entries: Vec<EntryRef>) {
        self.batch = Batch::new(self.batch.number + 1, entries);
    }

    /// Begins the next batch, of this log.
    pub(crate) fn begin_of(&mut self, source: &Source, entries: Vec<EntryRef>) {
        if self.source() != source {
            self.preparer = Preparer::new(source.clone(), self.terms.encoding);
        }
        self.begin(entries);
    }

    /// Takes the payloads of the batch, in its order, and sends the first part.
    pub(crate) fn load(&mut self, payloads: Vec<Vec<u8>>) -> Turn {
        let prepared = self.preparer.prepare(self.batch.entries().to_vec(), payloads);
        self.load_prepared(prepared)
    }

    /// Takes the batch as it was prepared, and sends the first part.
    pub(crate) fn load_prepared(&mut self, prepared: Prepared) -> Turn {
        self.batch.load(prepared);
        self.send_part()
    }

    /// Sends the part on top.
    pub(crate) fn send_part(&mut self) -> Turn {
        let events = self.batch.part().len();
        self.tell(Notice::Sending { batch: self.batch.number, events });
        let body = self.batch.part_body();
        self.send(Flight { body, attempt: 1 })
    }

    fn send(&mut self, flight: Flight) -> Turn {
        self.traffic.requests += 1;
        self.traffic.bytes += flight.body.len() as u64;
        let request = Request {
            body: flight.body.clone(),
            encoding: self.terms.encoding,
            batch: self.batch.number,
            records: self.batch.part().len(),
        };
        Turn::Send(flight, request)
    }

    /// The wait is over (T2).
    pub(crate) fn waited(&mut self, flight: Flight) -> Turn {
        self.traffic.retries += 1;
        self.send(Flight { attempt: flight.attempt + 1, ..flight })
    }

    /// There was no answer.
    pub(crate) fn unanswered(&mut self, flight: Flight, silence: &Silence) -> Turn {
        self.retry(flight, Trouble::Silent, silence.text(), None)
    }

    /// Decides the table of the module.
    pub(crate) fn answered(&mut self, flight: Flight, answer: &Answer, now: Timestamp) -> Turn {
        let batch = self.batch.number;
        let events = self.batch.part().len();
        match answer.judge(events, self.terms.encoding) {
            Verdict::Accepted { warning } => {
                self.warn(warning);
                Turn::Settle(None)
            }
            Verdict::AllRefused { text } => Turn::Settle(Some(text)),
            Verdict::SomeRefused { text } => {
                self.batch.split();
                self.tell(Notice::Splitting { batch, events, text });
                self.send_part()
            }
            Verdict::TooLarge { text } => self.halve(text),
            Verdict::Busy { text } => {
                let asked = answer.retry_after.as_deref().and_then(|it| retry_after(it, now));
                self.retry(flight, Trouble::Busy, text, asked)
            }
            Verdict::Unreadable { text } => self.retry(flight, Trouble::Unreadable, text, None),
            Verdict::Refused { text } => {
                self.tell(Notice::Error { text: text.clone() });
                Turn::Stop(Failure::Refused { text })
            }
        }
    }

    /// A warning that every answer repeats is worth one line.
    fn warn(&mut self, warning: Option<String>) {
        let Some(text) = warning else { return };
        self.traffic.warnings += 1;
        if self.traffic.last_warning != text {
            self.traffic.last_warning.clone_from(&text);
            self.tell(Notice::Warning { text });
        }
    }

    fn halve(&mut self, text: String) -> Turn {
        let part = self.batch.part();
        let (batch, events) = (self.batch.number, part.len());
        let bytes: u64 = part.iter().map(|it| u64::from(it.len)).sum();
        let first = part.first().copied();
        if self.batch.split() {
            self.batch_bytes_max = self.batch_bytes_max.min(bytes / 2);
            self.tell(Notice::Splitting { batch, events, text });
            return self.send_part();
        }
        self.tell(Notice::Error { text: text.clone() });
        let event_id = first.map_or_else(String::new, |it| self.source().event_id(it.seq));
        Turn::Stop(Failure::TooLarge { event_id, bytes: first.map_or(0, |it| it.len), text })
    }

    fn retry(
        &mut self,
        flight: Flight,
        trouble: Trouble,
        text: String,
        asked: Option<Duration>,
    ) -> Turn {
        let attempts = flight.attempt;
        if attempts > self.terms.retries_max {
            self.tell(Notice::Error { text: text.clone() });
            return Turn::Stop(match trouble {
                Trouble::Silent => Failure::Unreachable { text, attempts },
                Trouble::Busy => Failure::Busy { text, attempts },
                Trouble::Unreadable => Failure::Unreadable { text, attempts },
            });
        }
        let delay = self.terms.backoff.delay(attempts, asked, &mut self.random);
        self.tell(Notice::Retrying {
            batch: self.batch.number,
            text,
            attempt: attempts + 1,
            attempts_max: self.terms.retries_max.saturating_add(1),
            delay,
        });
        Turn::Wait(flight, delay)
    }

    /// Counts the part on top as settled, now that the disk says so, and returns what it held.
    pub(crate) fn settled(&mut self, refused: bool) -> PerClass<u64> {
        let counts = self.batch.settle(refused);
        if self.batch.is_settled() {
            let (batch, refused) = (self.batch.number, self.batch.refused);
            let events = self.batch.len() as u64 - refused;
            self.tell(Notice::Accepted { batch, events, refused });
        }
        counts
    }
}
