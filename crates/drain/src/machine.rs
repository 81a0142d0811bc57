//! The state machine of a drain: what happened goes in, what is to be done comes out.
//!
//! # Transitions
//!
//! | state        | input        | done here                                      | next                |
//! |--------------|--------------|------------------------------------------------|---------------------|
//! | idle         | indexed      | files checked against the log, position caught up | *position* or *next* |
//! | reading      | read         | payloads checked and encoded                   | sending             |
//! | reading      | prepared     | payloads checked                               | sending             |
//! | sending      | answered     | judged by `delivery`                           | what it says        |
//! | sending      | unanswered   | counted                                        | waiting or stopped  |
//! | waiting      | waited       | the same bytes again                           | sending             |
//! | dead letters | written      | –                                              | *cursors*           |
//! | *cursors*    | written      | the part is settled and counted                | *position* or *next*|
//! | *position*   | written      | –                                              | *next*              |
//! | reading, sending, any file | failed | nothing is settled                     | idle, stopped       |
//! | any          | other        | nothing is settled                             | idle, stopped: misuse |
//!
//! *Next* is: the rest of the batch → sending; else a new batch from the queue → reading; else
//! *position* when it is not in its place; else idle, finished. An answer is judged by the table of `delivery`; what it settles goes on with
//! *cursors* when it was accepted, with dead letters when it was refused.
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
//! * **D8** The position is written at the beginning and at the end of a pass, and between them once in
//!   [`POSITION_PAUSE_MS`] at most: until then the cursors say the same, and more.
//! * **D9** One batch is in doubt at a time: the next is sent only when the cursors of the one before are on
//!   disk. What is prepared ahead has left the queue no earlier for that.

use std::mem;

use jiff::Timestamp;
use wal_format::{Entry, Glance, Kind, Seq, leading_seq, read_seq};

use crate::{
    Class, Config, DeadLetter, Effect, EntryRef, Failure, IndexError, Input, Notice, Prepared,
    Preparer, Progress, Report, Step,
    delivery::{Delivery, Source, Turn},
    lane::Slot,
    queue::{Bounds, Queue},
};

mod state;

pub(crate) use state::input_name;
use state::{Accounts, File, Settlement, State};

/// Milliseconds between two positions inside a pass.
const POSITION_PAUSE_MS: i64 = 1_000;

/// A drain of one log.
#[derive(Debug)]
pub struct Drain {
    config: Config,
    progress: Progress,
    queue: Queue,
    last: Option<Seq>,
    last_written: i64,
    delivery: Delivery,
    state: State,
    /// When the position was written last, or found to be in its place.
    position_at: Option<Timestamp>,
    accounts: Accounts,
}

impl Drain {
    /// Makes a drain with an empty index.
    pub fn new(config: Config, progress: Progress) -> Self {
        let source = Source { node: config.node.clone(), wal_id: config.wal_id };
        let mut delivery = Delivery::new(config.terms(), source);
        if let Some(found) = progress.cursors_of_other_log() {
            delivery.tell(Notice::CursorsOfOtherLog { found });
        }
        Self {
            progress,
            queue: Queue::default(),
            last: None,
            last_written: 0,
            delivery,
            state: State::Idle,
            position_at: None,
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
        let (class, written) = class_and_time(payload);
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
        let (mut pending, in_flight) = (self.queue.counts(), self.delivery.batch().pending());
        for class in Class::ALL {
            *pending.get_mut(class) += in_flight.get(class);
        }
        let (batches, traffic) = (self.delivery.batch().number, self.delivery.traffic());
        self.accounts.report(pending, batches, traffic, &self.progress)
    }

    /// Takes what happened and returns what to do (the table of the module).
    pub fn step(&mut self, input: Input, now: Timestamp) -> Step {
        let effect = match (mem::take(&mut self.state), input) {
            (State::Idle, Input::Indexed) => self.begin(now),
            (State::Reading, Input::Read(payloads)) => self.load(payloads, now),
            (State::Reading, Input::Prepared(prepared)) => self.load_prepared(*prepared, now),
            (State::Sending(flight), Input::Answered(answer)) => {
                let turn = self.delivery.answered(flight, &answer, now);
                self.take(turn, now)
            }
            (State::Sending(flight), Input::Unanswered(silence)) => {
                let turn = self.delivery.unanswered(flight, &silence);
                self.take(turn, now)
            }
            (State::Waiting(flight), Input::Waited) => {
                let turn = self.delivery.waited(flight);
                self.take(turn, now)
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
        Step { notices: self.delivery.take_notices(), effect }
    }

    /// Returns the batches that would be next if they were chosen now, `count` of them at most and as many as
    /// wait behind the one in flight. What is behind the first of them fits, with it, into the bytes of one
    /// batch, so that little memory is taken for what can wait.
    ///
    /// They are no promise: what is indexed until then, how late it is, and what the collector says about the
    /// size of a request can change them. Whoever prepares them may do so for nothing.
    pub fn ahead(&self, count: usize, now: Timestamp) -> Vec<Vec<EntryRef>> {
        let bounds = self.bounds();
        let mut batches = self.queue.look(bounds, count, now);
        let mut bytes = 0;
        let mut fits = |batch: &Vec<EntryRef>| {
            bytes += batch.iter().map(|it| u64::from(it.len)).sum::<u64>();
            bytes <= bounds.bytes
        };
        let kept = batches.iter().take_while(|it| fits(it)).count();
        batches.truncate(kept.max(1));
        batches
    }

    /// Returns what makes a request of such a batch. It stays good for this drain.
    pub fn preparer(&self) -> Preparer {
        self.delivery.preparer().clone()
    }

    /// Begins a pass. The position can be behind the cursors after a crash between the two.
    fn begin(&mut self, now: Timestamp) -> Effect {
        if let Err(error) = self.progress.check(self.last) {
            return self.stop(error.into());
        }
        let events = self.report().pending;
        if events.total() > 0 {
            self.delivery.tell(Notice::Queue { events });
        }
        let mut next = self.progress;
        let pending = min(self.queue.first_pending(), self.delivery.batch().first_pending());
        next.advance(pending, self.last);
        if next.position() == self.progress.position() {
            self.position_at = Some(now);
            return self.go_on(now);
        }
        self.write_position(Settlement { next, refused: false }, now)
    }

    /// *Next* in the table.
    fn go_on(&mut self, now: Timestamp) -> Effect {
        if self.delivery.batch().is_settled() {
            let entries = self.queue.take(self.bounds(), now);
            if entries.is_empty() {
                return self.finish(now);
            }
            self.delivery.begin(entries);
        }
        if self.delivery.batch().is_loaded() {
            let turn = self.delivery.send_part();
            return self.take(turn, now);
        }
        self.state = State::Reading;
        Effect::Read(self.delivery.batch().entries().to_vec())
    }

    /// Bounds of the next batch.
    fn bounds(&self) -> Bounds {
        Bounds {
            entries: self.config.batch_entries_max.get(),
            bytes: self.delivery.batch_bytes_max(),
            max_age: self.config.max_age,
        }
    }

    /// Ends a pass, with the position at its place.
    fn finish(&mut self, now: Timestamp) -> Effect {
        let mut next = self.progress;
        next.advance(None, self.last);
        if next.position() == self.progress.position() {
            return Effect::Finished(self.report());
        }
        self.write_position(Settlement { next, refused: false }, now)
    }

    fn load(&mut self, payloads: Vec<Vec<u8>>, now: Timestamp) -> Effect {
        if let Some(failure) = self.changed(&payloads) {
            return self.stop(failure);
        }
        let turn = self.delivery.load(payloads);
        self.take(turn, now)
    }

    /// Takes what was prepared, when it is this batch and no other (A1).
    fn load_prepared(&mut self, prepared: Prepared, now: Timestamp) -> Effect {
        if !prepared.is_of(self.delivery.batch().entries(), self.delivery.preparer()) {
            let input = "prepared for other entries";
            return self.stop(Failure::Misuse { state: State::Reading.name(), input });
        }
        if let Some(failure) = self.changed(&prepared.payloads) {
            return self.stop(failure);
        }
        let turn = self.delivery.load_prepared(prepared);
        self.take(turn, now)
    }

    /// Checks that what was read is what was indexed: the log may have been replaced meanwhile.
    fn changed(&self, payloads: &[Vec<u8>]) -> Option<Failure> {
        let mut found = payloads.iter();
        let mut entries = self.delivery.batch().entries().iter();
        let other = entries.find(|entry| !found.next().is_some_and(|it| is_entry(it, entry)))?;
        Some(Failure::LogChanged { seq: other.seq })
    }

    fn take(&mut self, turn: Turn, now: Timestamp) -> Effect {
        match turn {
            Turn::Send(flight, request) => {
                self.state = State::Sending(flight);
                Effect::Send(request)
            }
            Turn::Wait(flight, delay) => {
                self.state = State::Waiting(flight);
                Effect::Wait(delay)
            }
            Turn::Settle(refused) => self.settle(refused, now),
            Turn::Stop(failure) => self.stop(failure),
        }
    }

    /// Records that the part on top is accepted, or refused for good with this text.
    fn settle(&mut self, refused: Option<String>, now: Timestamp) -> Effect {
        let batch = self.delivery.batch();
        let mut next = self.progress;
        for entry in batch.part() {
            next.settle(entry.seq, entry.class);
        }
        next.advance(min(self.queue.first_pending(), batch.first_pending_after_part()), self.last);
        let settlement = Settlement { next, refused: refused.is_some() };
        let Some(text) = refused else { return self.record_cursors(settlement) };
        let (mut lines, mut said) = (Vec::new(), Vec::new());
        for (entry, payload) in batch.part().iter().zip(batch.part_payloads()) {
            let letter = DeadLetter {
                source: self.delivery.source().clone(),
                seq: entry.seq,
                class: entry.class,
                payload: Some(payload.clone()),
                text: text.clone(),
                refused_at: now,
            };
            said.push(Notice::DeadLetter { event_id: letter.event_id(), text: text.clone() });
            letter.write(&mut lines);
        }
        for notice in said {
            self.delivery.tell(notice);
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
        let settled = self.delivery.settled(settlement.refused);
        self.accounts.add(&settled, settlement.refused);
    }

    /// Writes the position when it moves and was not written just before (D8).
    fn record_position(&mut self, settlement: Settlement, now: Timestamp) -> Effect {
        let since = self.position_at.map(|it| now.as_millisecond() - it.as_millisecond());
        // A clock that went back says nothing.
        let waits = since.is_some_and(|it| (0..POSITION_PAUSE_MS).contains(&it));
        if waits || settlement.next.position() == self.progress.position() {
            return self.go_on(now);
        }
        self.write_position(settlement, now)
    }

    fn write_position(&mut self, settlement: Settlement, now: Timestamp) -> Effect {
        self.position_at = Some(now);
        let position = settlement.next.position();
        self.state = State::Recording(File::Position, settlement);
        Effect::WritePosition(position.to_bytes())
    }

    fn stop(&mut self, failure: Failure) -> Effect {
        Effect::Failed(failure, self.report())
    }
}

/// Returns how urgent an entry is and when it was written, in seconds since the epoch. What is no event is
/// delivered with the least urgent ones, as old as the entry before it.
fn class_and_time(payload: &[u8]) -> (Class, Option<i64>) {
    if let Some(seen) = Glance::at(payload) {
        let written = seen.written_at.parse().map(Timestamp::as_second);
        return (Class::of(&Kind::parse(seen.kind)), written.ok());
    }
    match Entry::parse(payload) {
        Ok(entry) => (Class::of(&entry.event.kind()), entry.time().map(Timestamp::as_second)),
        Err(_) => (Class::Lifecycle, None),
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
