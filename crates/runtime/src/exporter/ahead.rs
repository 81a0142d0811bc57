//! The next batches, read and encoded on other threads while the one before them is on its way.
//!
//! | the machine wants to read         | what was begun first | then                                          |
//! |-----------------------------------|----------------|-----------------------------------------------------|
//! | the entries that were begun       | went well      | it gets what was prepared                           |
//! | the entries that were begun       | failed         | they are read here, which says what is wrong        |
//! | others, or nothing was begun      | any            | they are read here, and what was begun is forgotten |
//!
//! * **H1** Nothing but work is done ahead: no entry leaves the queue for it, none is sent, none is settled.
//! * **H2** Whoever drops it loses work. A thread reads on to the end of one batch and touches nothing.

use std::collections::VecDeque;

use drain::{Drain, EntryRef, Input, Prepared};
use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use wal_recovery::{Payloads, ReadError, Reader};

/// Most batches that are prepared at once. Encoding one takes about as long as sending one and recording it, so
/// with two of them neither waits for the other for long.
const DEPTH: usize = 2;

/// What is being prepared, in the order in which it is wanted.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    begun: VecDeque<Begun>,
}

#[derive(Debug)]
struct Begun {
    entries: Vec<EntryRef>,
    work: JoinHandle<Result<Prepared, ReadError>>,
}

impl Ahead {
    /// Begins the batches that are next as things are, those that were not begun before.
    pub(super) fn begin(&mut self, machine: &Drain, reader: &Reader) {
        let batches = machine.ahead(DEPTH, Timestamp::now());
        let known = batches.iter().zip(&self.begun).take_while(|(it, begun)| begun.entries == **it);
        let known = known.count();
        self.begun.truncate(known);
        for batch in batches.into_iter().skip(known) {
            let (preparer, payloads) = (machine.preparer(), reader.payloads());
            let entries = batch.clone();
            let work = spawn_blocking(move || {
                let payloads = read(&payloads, &batch)?;
                Ok(preparer.prepare(batch, payloads))
            });
            self.begun.push_back(Begun { entries, work });
        }
    }

    /// Reads these entries, or takes them as they were prepared (the table of the module).
    pub(super) async fn read(&mut self, reader: &Reader, entries: &[EntryRef]) -> Input {
        match self.begun.pop_front() {
            Some(begun) if begun.entries == entries => {
                if let Ok(Ok(prepared)) = begun.work.await {
                    return Input::Prepared(Box::new(prepared));
                }
            }
            _ => self.begun.clear(),
        }
        let payloads = read(&reader.payloads(), entries);
        payloads.map_or_else(|error| Input::Failed(error.to_string()), Input::Read)
    }
}

fn read(payloads: &Payloads, entries: &[EntryRef]) -> Result<Vec<Vec<u8>>, ReadError> {
    let places: Vec<_> = entries.iter().map(|it| (it.offset, it.len)).collect();
    payloads.at(&places)
}
