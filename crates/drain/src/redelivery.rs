//! Sends open dead letters again: what happened goes in, what is to be done comes out.
//!
//! # Transitions
//!
//! | state     | input      | done here                                   | next                |
//! |-----------|------------|---------------------------------------------|---------------------|
//! | idle      | indexed    | –                                           | *next*              |
//! | reading   | read       | lines compared with the index and encoded   | sending             |
//! | sending   | answered   | judged by `delivery`                        | what it says        |
//! | sending   | unanswered | counted                                     | waiting or stopped  |
//! | waiting   | waited     | the same bytes again                        | sending             |
//! | recording | written    | the part is settled and counted             | *next*              |
//! | reading, sending, recording | failed | nothing is settled            | idle, stopped       |
//! | any       | other      | nothing is settled                          | idle, stopped: misuse |
//!
//! *Next* is: the rest of the batch → sending; else a new batch → reading; else idle, finished. What
//! `delivery` settles is recorded first: a line `delivered` for each letter of an accepted part, a
//! line `refused again` for each of a refused one.
//!
//! Letters go in the order of their classes, each in the order of the file. A batch holds letters of
//! one log, since a request names the log once.
//!
//! # Invariants
//!
//! * **R1** A letter is settled when the line about it is on disk. Then it is not sent again, except
//!   by a later retry when it was refused.
//! * **R2** Every letter that is open and has its payload is queued once. Only the batch in flight can
//!   reach the collector twice, under the same ids.
//! * **R3** `queued = accepted + refused + pending` after every step.
//! * **R4** A stop leaves everything in place: the next `indexed` goes on with the same part.

use std::{collections::VecDeque, mem, time::Duration};

use jiff::Timestamp;
use wal_format::WalId;

use crate::{
    EntryRef, Failure, Input, Notice, RedeliveryReport, Request, Terms,
    deadletter::Line,
    delivery::{Delivery, Flight, Source, Turn},
    letters::{Letters, OpenLetter, Place},
    machine::input_name,
};

/// What is to be done outside before the next [`Input`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedeliveryEffect {
    /// Read these lines of `telemetry.deadletter.jsonl` → [`Input::Read`] or [`Input::Failed`].
    Read(Vec<Place>),
    /// Send this request → [`Input::Answered`] or [`Input::Unanswered`]; [`Input::Failed`] when it
    /// could not even be prepared.
    Send(Request),
    /// Append these lines to `telemetry.deadletter.jsonl`, durably → [`Input::Written`] or
    /// [`Input::Failed`].
    Append(Vec<u8>),
    /// Wait → [`Input::Waited`].
    Wait(Duration),
    /// Nothing waits any more.
    Finished(RedeliveryReport),
    /// It stopped. [`Input::Indexed`] goes on with what waits.
    Failed(Failure, RedeliveryReport),
}

/// One step of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedeliveryStep {
    /// What to tell the operator, in this order, before the effect.
    pub notices: Vec<Notice>,
    /// What to do.
    pub effect: RedeliveryEffect,
}

/// What the machine waits for.
#[derive(Debug, Default)]
enum State {
    #[default]
    Idle,
    Reading,
    Sending(Flight),
    Waiting(Flight),
    Recording {
        refused: bool,
    },
}

impl State {
    /// Returns the name of the state, as the table has it.
    const fn name(&self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Reading => "reading",
            Self::Sending(_) => "sending",
            Self::Waiting(_) => "waiting",
            Self::Recording { .. } => "recording",
        }
    }
}

/// A retry of the open letters of a file.
#[derive(Debug)]
pub struct Redelivery {
    entries_max: usize,
    sources: Vec<Source>,
    queue: VecDeque<OpenLetter>,
    /// The letters of the batch, in its order.
    in_flight: Vec<OpenLetter>,
    delivery: Delivery,
    state: State,
    accounts: RedeliveryReport,
}

impl Redelivery {
    /// Makes a retry of every open letter that has its payload in the file.
    pub fn new(terms: Terms, letters: Letters) -> Self {
        let (mut queue, without): (Vec<_>, Vec<_>) =
            letters.open().into_iter().partition(|it| it.has_payload);
        // A stable sort: within a class the order of the file stays.
        queue.sort_by_key(|it| it.class);
        let sources = letters.into_sources();
        // Without letters nothing is sent, so this name never leaves the machine.
        let nobody = || Source { node: String::new(), wal_id: WalId::of_foreign_log(&[]) };
        let first = sources.first().cloned().unwrap_or_else(nobody);
        let accounts = RedeliveryReport {
            queued: queue.len() as u64,
            without_payload: without.len() as u64,
            ..RedeliveryReport::default()
        };
        Self {
            entries_max: terms.batch_entries_max.get(),
            sources,
            queue: queue.into(),
            in_flight: Vec::new(),
            delivery: Delivery::new(terms, first),
            state: State::Idle,
            accounts,
        }
    }

    /// Returns the accounts (R3).
    pub fn report(&self) -> RedeliveryReport {
        let (batch, traffic) = (self.delivery.batch(), self.delivery.traffic());
        RedeliveryReport {
            pending: self.queue.len() as u64 + batch.pending().total(),
            batches: batch.number,
            requests: traffic.requests,
            retries: traffic.retries,
            bytes: traffic.bytes,
            warnings: traffic.warnings,
            ..self.accounts
        }
    }

    /// Takes what happened and returns what to do (the table of the module).
    pub fn step(&mut self, input: Input, now: Timestamp) -> RedeliveryStep {
        let effect = match (mem::take(&mut self.state), input) {
            (State::Idle, Input::Indexed) => self.begin(now),
            (State::Reading, Input::Read(lines)) => self.load(&lines, now),
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
            (State::Recording { refused }, Input::Written) => {
                self.count(refused);
                self.go_on(now)
            }
            (State::Reading | State::Sending(_) | State::Recording { .. }, Input::Failed(text)) => {
                self.stop(Failure::Local { text })
            }
            (state, input) => {
                self.stop(Failure::Misuse { state: state.name(), input: input_name(&input) })
            }
        };
        RedeliveryStep { notices: self.delivery.take_notices(), effect }
    }

    fn begin(&mut self, now: Timestamp) -> RedeliveryEffect {
        let RedeliveryReport { pending: open, without_payload, .. } = self.report();
        if open + without_payload > 0 {
            self.delivery.tell(Notice::Letters { open, without_payload });
        }
        self.go_on(now)
    }

    /// *Next* in the table.
    fn go_on(&mut self, now: Timestamp) -> RedeliveryEffect {
        if self.delivery.batch().is_settled() && !self.next_batch() {
            return RedeliveryEffect::Finished(self.report());
        }
        if self.delivery.batch().is_loaded() {
            let turn = self.delivery.send_part();
            return self.take(turn, now);
        }
        self.state = State::Reading;
        RedeliveryEffect::Read(self.in_flight.iter().map(|it| it.place).collect())
    }

    /// Takes letters of one log out of the queue; `false` when there are none.
    fn next_batch(&mut self) -> bool {
        let Some(source) = self.queue.front().map(OpenLetter::source) else { return false };
        let bytes_max = self.delivery.batch_bytes_max();
        let (mut taken, mut bytes) = (Vec::new(), 0_u64);
        while let Some(letter) = self.queue.front().copied() {
            bytes += u64::from(letter.place.len);
            let fits = taken.is_empty() || bytes <= bytes_max;
            if taken.len() >= self.entries_max || letter.source() != source || !fits {
                break;
            }
            taken.push(letter);
            self.queue.pop_front();
        }
        let entry = |it: &OpenLetter| EntryRef {
            seq: it.seq,
            offset: it.place.offset,
            len: it.place.len,
            class: it.class,
        };
        let entries = taken.iter().map(entry).collect();
        match self.sources.get(source) {
            Some(source) => self.delivery.begin_of(source, entries),
            None => self.delivery.begin(entries),
        }
        self.in_flight = taken;
        true
    }

    /// Checks that what was read is what was indexed: the file may have been replaced meanwhile.
    fn load(&mut self, lines: &[Vec<u8>], now: Timestamp) -> RedeliveryEffect {
        let mut payloads = Vec::with_capacity(self.in_flight.len());
        let mut lines = lines.iter();
        for letter in &self.in_flight {
            let event_id = self.delivery.source().event_id(letter.seq);
            let found = lines.next().and_then(|it| Line::parse(it).ok());
            let payload = match found {
                Some(Line::Letter(it)) if it.event_id() == event_id => it.payload,
                _ => None,
            };
            let Some(payload) = payload else {
                return self.stop(Failure::LettersChanged { event_id });
            };
            payloads.push(payload);
        }
        let turn = self.delivery.load(payloads);
        self.take(turn, now)
    }

    fn take(&mut self, turn: Turn, now: Timestamp) -> RedeliveryEffect {
        match turn {
            Turn::Send(flight, request) => {
                self.state = State::Sending(flight);
                RedeliveryEffect::Send(request)
            }
            Turn::Wait(flight, delay) => {
                self.state = State::Waiting(flight);
                RedeliveryEffect::Wait(delay)
            }
            Turn::Settle(refused) => self.settle(refused.as_deref(), now),
            Turn::Stop(failure) => self.stop(failure),
        }
    }

    /// Records that the part on top was accepted, or refused again with this text.
    fn settle(&mut self, refused: Option<&str>, now: Timestamp) -> RedeliveryEffect {
        let part = self.in_flight.get(self.delivery.batch().range()).unwrap_or_default();
        let (mut lines, mut said) = (Vec::new(), Vec::new());
        for letter in part {
            let event_id = self.delivery.source().event_id(letter.seq);
            let line = match refused {
                None => Line::Delivered { event_id, delivered_at: now },
                Some(text) => {
                    let text = text.to_owned();
                    let (id, why) = (event_id.clone(), text.clone());
                    said.push(Notice::DeadLetter { event_id: id, text: why });
                    let attempts = letter.attempts.saturating_add(1);
                    Line::RefusedAgain { event_id, attempts, text, refused_at: now }
                }
            };
            line.write(&mut lines);
        }
        for notice in said {
            self.delivery.tell(notice);
        }
        self.state = State::Recording { refused: refused.is_some() };
        RedeliveryEffect::Append(lines)
    }

    /// The part on top is settled, now that its lines are on disk (R1).
    fn count(&mut self, refused: bool) {
        let settled = self.delivery.settled(refused).total();
        let count = if refused { &mut self.accounts.refused } else { &mut self.accounts.accepted };
        *count += settled;
    }

    fn stop(&mut self, failure: Failure) -> RedeliveryEffect {
        RedeliveryEffect::Failed(failure, self.report())
    }
}
