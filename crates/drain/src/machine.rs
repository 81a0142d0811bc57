//! The state machine of a drain: what happened goes in, what is to be done comes out.
//!
//! # Transitions
//!
//! | state        | input        | done here                                      | next                |
//! |--------------|--------------|------------------------------------------------|---------------------|
//! | idle         | indexed      | files checked against the log, position caught up | *position* or *next* |
//! | reading      | read         | payloads checked and encoded                   | sending             |
//! | sending      | answered     | judged, see below                              | see below           |
//! | sending      | unanswered   | counted                                        | waiting or stopped  |
//! | waiting      | waited       | the same bytes again                           | sending             |
//! | dead letters | written      | –                                              | *cursors*           |
//! | *cursors*    | written      | the part is settled and counted                | *position* or *next*|
//! | *position*   | written      | –                                              | *next*              |
//! | reading, sending, any file | failed | nothing is settled                     | idle, stopped       |
//! | any          | other        | nothing is settled                             | idle, stopped: misuse |
//!
//! *Next* is: the rest of the batch → sending; else a new batch from the queue → reading; else
//! idle, finished. An answer is judged by the table of `answer`:
//!
//! | verdict      | next                                                                       |
//! |--------------|----------------------------------------------------------------------------|
//! | accepted     | *cursors*                                                                  |
//! | all refused  | dead letters                                                               |
//! | some refused | the part in halves → sending                                               |
//! | too large    | in halves, later batches half as large → sending; a single entry → stopped |
//! | busy, unreadable | waiting; after all attempts → stopped                                  |
//! | refused      | stopped                                                                    |
//!
//! # Invariants
//!
//! * **D4** An entry is settled when a request that held it was accepted whole, or one that held it
//!   was refused whole and its dead letters are on disk; never by inference from other answers.
//! * **D5** Files are written in the order dead letters, cursors, position. A crash between any two
//!   can make entries be sent again, under the same ids, and never skips one.
//! * **D6** `queued = accepted + dead_lettered + pending` after every step, and what was accepted
//!   but not recorded counts as pending.
//! * **D7** A stop leaves everything in place: the next `indexed` goes on with the same batch.

use std::{mem, time::Duration};

use jiff::Timestamp;
use otlp::{Encoder, Resource};
use wal_format::{Entry, Seq, event_id, leading_seq, read_seq};

use crate::{
    Answer, Class, Config, DeadLetter, Effect, EntryRef, Failure, IndexError, Input, Notice,
    Progress, Report, Request, Step,
    answer::Verdict,
    backoff::{Random, retry_after},
    batch::Batch,
    encode,
    lane::Slot,
    queue::{Bounds, Queue},
};

mod state;

use state::{Accounts, File, Flight, Settlement, State, Trouble, input_name};

/// By how much an encoded record is longer than its payload, about: what is reserved for it.
const RECORD_MORE: usize = 128;

/// A drain of one log.
#[derive(Debug)]
pub struct Drain {
    config: Config,
    resource: Resource,
    random: Random,
    progress: Progress,
    queue: Queue,
    last: Option<Seq>,
    last_written: i64,
    batch: Batch,
    batch_bytes_max: u64,
    state: State,
    notices: Vec<Notice>,
    accounts: Accounts,
}

impl Drain {
    /// Makes a drain with an empty index.
    pub fn new(config: Config, progress: Progress) -> Self {
        let mut notices = Vec::new();
        notices.extend(
            progress.cursors_of_other_log().map(|found| Notice::CursorsOfOtherLog { found }),
        );
        Self {
            resource: encode::resource(&config.node, config.wal_id),
            random: Random::new(config.seed),
            batch_bytes_max: config.batch_bytes_max,
            progress,
            queue: Queue::default(),
            last: None,
            last_written: 0,
            batch: Batch::default(),
            state: State::Idle,
            notices,
            accounts: Accounts::default(),
            config,
        }
    }

    /// Takes note of an entry: its number, its place in the file, its payload. Entries are given in
    /// the order of the log, from the first, or from any that `telemetry.pos` covers; more may
    /// follow at any time.
    ///
    /// # Errors
    ///
    /// [`IndexError`] when one was left out: it would be taken for settled.
    pub fn index(&mut self, seq: Seq, offset: u64, payload: &[u8]) -> Result<(), IndexError> {
        let expected = self.last.map_or(self.progress.position().get().max(1), |it| it.get() + 1);
        let in_order =
            if self.last.is_some() { seq.get() == expected } else { seq.get() <= expected };
        if !in_order {
            return Err(IndexError { expected, found: seq });
        }
        self.last = Some(seq);
        if self.progress.is_settled_for_all(seq) {
            return Ok(());
        }
        // What is no event is delivered with the least urgent ones, as old as the entry before it.
        let (class, written) = match Entry::parse(payload) {
            Ok(entry) => (Class::of(&entry.event.kind()), entry.time().map(Timestamp::as_second)),
            Err(_) => (Class::Lifecycle, None),
        };
        self.last_written = written.unwrap_or(self.last_written);
        if !self.progress.is_settled(seq, class) {
            let len = u32::try_from(payload.len()).unwrap_or(u32::MAX);
            self.queue.push(class, Slot { seq, offset, len, written: self.last_written });
            self.accounts.queued += 1;
        }
        Ok(())
    }

    /// Returns the accounts (D6).
    pub fn report(&self) -> Report {
        let (mut pending, in_flight) = (self.queue.counts(), self.batch.pending());
        for class in Class::ALL {
            *pending.get_mut(class) += in_flight.get(class);
        }
        self.accounts.report(pending, self.batch.number, &self.progress)
    }

    /// Takes what happened and returns what to do (the table of the module).
    pub fn step(&mut self, input: Input, now: Timestamp) -> Step {
        let effect = match (mem::take(&mut self.state), input) {
            (State::Idle, Input::Indexed) => self.begin(now),
            (State::Reading, Input::Read(payloads)) => self.load(&payloads),
            (State::Sending(flight), Input::Answered(answer)) => self.judge(flight, &answer, now),
            (State::Sending(flight), Input::Unanswered(silence)) => {
                self.retry(flight, Trouble::Silent, silence.text(), None)
            }
            (State::Waiting(Flight { body, attempt }), Input::Waited) => {
                self.accounts.retries += 1;
                self.send(Flight { body, attempt: attempt + 1 })
            }
            (State::Recording(file, settlement), Input::Written) => {
                self.recorded(file, settlement, now)
            }
            (State::Reading | State::Sending(_) | State::Recording(..), Input::Failed(text)) => {
                self.stop(Failure::Local { text })
            }
            (state, input) => {
                self.stop(Failure::Misuse { state: state.name(), input: input_name(&input) })
            }
        };
        Step { notices: mem::take(&mut self.notices), effect }
    }

    /// Begins a pass. The position can be behind the cursors after a crash between the two.
    fn begin(&mut self, now: Timestamp) -> Effect {
        if let Err(error) = self.progress.check(self.last) {
            return self.stop(error.into());
        }
        let events = self.report().pending;
        if events.total() > 0 {
            self.notices.push(Notice::Queue { events });
        }
        let mut next = self.progress;
        next.advance(min(self.queue.first_pending(), self.batch.first_pending()), self.last);
        self.record_position(Settlement { next, refused: false }, now)
    }

    /// *Next* in the table.
    fn go_on(&mut self, now: Timestamp) -> Effect {
        if self.batch.is_settled() {
            let bounds = Bounds {
                entries: self.config.batch_entries_max.get(),
                bytes: self.batch_bytes_max,
                max_age: self.config.max_age,
            };
            let entries = self.queue.take(bounds, now);
            if entries.is_empty() {
                return Effect::Finished(self.report());
            }
            self.batch = Batch::new(self.batch.number + 1, entries);
        }
        if self.batch.is_loaded() {
            return self.send_part();
        }
        self.state = State::Reading;
        Effect::Read(self.batch.entries().to_vec())
    }

    /// Checks that what was read is what was indexed: the log may have been replaced meanwhile.
    fn load(&mut self, payloads: &[Vec<u8>]) -> Effect {
        let source = encode::Source::new(&self.config.node, self.config.wal_id);
        let mut records = Encoder::new(self.config.encoding, &self.resource);
        records.reserve(payloads.len(), payloads.iter().map(|it| it.len() + RECORD_MORE).sum());
        let mut payloads = payloads.iter();
        for entry in self.batch.entries() {
            let found = payloads.next().filter(|it| is_entry(it, entry));
            let Some(payload) = found else {
                return self.stop(Failure::LogChanged { seq: entry.seq });
            };
            records.push(&source.record(entry.seq, payload));
        }
        self.batch.load(records);
        self.send_part()
    }

    fn send_part(&mut self) -> Effect {
        let events = self.batch.part().len();
        self.notices.push(Notice::Sending { batch: self.batch.number, events });
        let body = self.batch.part_body().into();
        self.send(Flight { body, attempt: 1 })
    }

    fn send(&mut self, flight: Flight) -> Effect {
        self.accounts.requests += 1;
        self.accounts.bytes += flight.body.len() as u64;
        let request = Request {
            body: flight.body.clone(),
            encoding: self.config.encoding,
            batch: self.batch.number,
            records: self.batch.part().len(),
        };
        self.state = State::Sending(flight);
        Effect::Send(request)
    }

    fn judge(&mut self, flight: Flight, answer: &Answer, now: Timestamp) -> Effect {
        let batch = self.batch.number;
        let events = self.batch.part().len();
        match answer.judge(events, self.config.encoding) {
            Verdict::Accepted { warning } => {
                self.warn(warning);
                self.settle(None, now)
            }
            Verdict::AllRefused { text } => self.settle(Some(text), now),
            Verdict::SomeRefused { text } => {
                self.batch.split();
                self.notices.push(Notice::Splitting { batch, events, text });
                self.send_part()
            }
            Verdict::TooLarge { text } => self.halve(text),
            Verdict::Busy { text } => {
                let asked = answer.retry_after.as_deref().and_then(|it| retry_after(it, now));
                self.retry(flight, Trouble::Busy, text, asked)
            }
            Verdict::Unreadable { text } => self.retry(flight, Trouble::Unreadable, text, None),
            Verdict::Refused { text } => {
                self.notices.push(Notice::Error { text: text.clone() });
                self.stop(Failure::Refused { text })
            }
        }
    }

    /// A warning that every answer repeats is worth one line.
    fn warn(&mut self, warning: Option<String>) {
        let Some(text) = warning else { return };
        self.accounts.warnings += 1;
        if self.accounts.last_warning != text {
            self.accounts.last_warning.clone_from(&text);
            self.notices.push(Notice::Warning { text });
        }
    }

    fn halve(&mut self, text: String) -> Effect {
        let part = self.batch.part();
        let (batch, events) = (self.batch.number, part.len());
        let bytes: u64 = part.iter().map(|it| u64::from(it.len)).sum();
        let first = part.first().copied();
        if self.batch.split() {
            self.batch_bytes_max = self.batch_bytes_max.min(bytes / 2);
            self.notices.push(Notice::Splitting { batch, events, text });
            return self.send_part();
        }
        self.notices.push(Notice::Error { text: text.clone() });
        let event_id = first.map_or_else(String::new, |it| self.event_id(it));
        self.stop(Failure::TooLarge { event_id, bytes: first.map_or(0, |it| it.len), text })
    }

    fn retry(
        &mut self,
        flight: Flight,
        trouble: Trouble,
        text: String,
        asked: Option<Duration>,
    ) -> Effect {
        let attempts = flight.attempt;
        if attempts > self.config.retries_max {
            self.notices.push(Notice::Error { text: text.clone() });
            return self.stop(match trouble {
                Trouble::Silent => Failure::Unreachable { text, attempts },
                Trouble::Busy => Failure::Busy { text, attempts },
                Trouble::Unreadable => Failure::Unreadable { text, attempts },
            });
        }
        let delay = self.config.backoff.delay(attempts, asked, &mut self.random);
        self.notices.push(Notice::Retrying {
            batch: self.batch.number,
            text,
            attempt: attempts + 1,
            attempts_max: self.config.retries_max.saturating_add(1),
            delay,
        });
        self.state = State::Waiting(flight);
        Effect::Wait(delay)
    }

    /// Records that the part on top is accepted, or refused for good with this text.
    fn settle(&mut self, refused: Option<String>, now: Timestamp) -> Effect {
        let mut next = self.progress;
        for entry in self.batch.part() {
            next.settle(entry.seq, entry.class);
        }
        let pending = min(self.queue.first_pending(), self.batch.first_pending_after_part());
        next.advance(pending, self.last);
        let settlement = Settlement { next, refused: refused.is_some() };
        let Some(text) = refused else { return self.record_cursors(settlement) };
        let mut lines = Vec::new();
        for entry in self.batch.part() {
            let event_id = self.event_id(*entry);
            let (seq, class, text) = (entry.seq, entry.class, text.clone());
            self.notices
                .push(Notice::DeadLetter { event_id: event_id.clone(), text: text.clone() });
            DeadLetter { event_id, seq, class, text, refused_at: now }.write(&mut lines);
        }
        self.state = State::Recording(File::DeadLetters, settlement);
        Effect::AppendDeadLetters(lines)
    }

    fn recorded(&mut self, file: File, settlement: Settlement, now: Timestamp) -> Effect {
        match file {
            File::DeadLetters => self.record_cursors(settlement),
            File::Cursors => {
                self.count(&settlement);
                self.record_position(settlement, now)
            }
            File::Position => {
                self.progress = settlement.next;
                self.go_on(now)
            }
        }
    }

    fn record_cursors(&mut self, settlement: Settlement) -> Effect {
        let bytes = settlement.next.cursors_to_bytes();
        self.state = State::Recording(File::Cursors, settlement);
        Effect::WriteCursors(bytes)
    }

    /// The part on top is settled, now that the cursors say so on disk (D6).
    fn count(&mut self, settlement: &Settlement) {
        self.progress.adopt_cursors(&settlement.next);
        let settled = self.batch.settle(settlement.refused);
        self.accounts.add(&settled, settlement.refused);
        if self.batch.is_settled() {
            let (batch, refused) = (self.batch.number, self.batch.refused);
            let events = self.batch.len() as u64 - refused;
            self.notices.push(Notice::Accepted { batch, events, refused });
        }
    }

    /// Writes the position when it moves.
    fn record_position(&mut self, settlement: Settlement, now: Timestamp) -> Effect {
        let position = settlement.next.position();
        if position == self.progress.position() {
            return self.go_on(now);
        }
        self.state = State::Recording(File::Position, settlement);
        Effect::WritePosition(position.to_bytes())
    }

    fn stop(&mut self, failure: Failure) -> Effect {
        Effect::Failed(failure, self.report())
    }

    fn event_id(&self, entry: EntryRef) -> String {
        event_id(&self.config.node, self.config.wal_id, entry.seq)
    }
}

/// Whether this is the payload of the entry that was indexed. What we write begins with its
/// number, which saves parsing it here.
fn is_entry(payload: &[u8], entry: &EntryRef) -> bool {
    payload.len() == entry.len as usize
        && (leading_seq(payload) == Some(entry.seq) || read_seq(payload) == Ok(entry.seq.get()))
}

/// The lower of two numbers, where none is no bound.
fn min(a: Option<Seq>, b: Option<Seq>) -> Option<Seq> {
    a.into_iter().chain(b).min()
}
