//! The next batch, read and encoded on another thread while the one before it is on its way.
//!
//! | the machine wants to read         | what was begun | then                                    |
//! |-----------------------------------|----------------|-----------------------------------------|
//! | the entries that were begun       | went well      | it gets what was prepared               |
//! | the entries that were begun       | failed         | they are read here, which says what is wrong |
//! | others, or nothing was begun      | any            | they are read here                      |
//!
//! * **H1** Nothing but work is done ahead: no entry leaves the queue for it, none is sent, none is settled.
//! * **H2** Whoever drops it loses work. The thread reads on to the end of one batch and touches nothing.

use drain::{Drain, EntryRef, Input, Prepared};
use jiff::Timestamp;
use tokio::task::{JoinHandle, spawn_blocking};
use wal_recovery::{Payloads, ReadError, Reader};

/// What is being prepared.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    begun: Option<Begun>,
}

#[derive(Debug)]
struct Begun {
    entries: Vec<EntryRef>,
    work: JoinHandle<Result<Prepared, ReadError>>,
}

impl Ahead {
    /// Begins the batch that is next as things are, unless it was begun before.
    pub(super) fn begin(&mut self, machine: &Drain, reader: &Reader) {
        let entries = machine.ahead(Timestamp::now());
        if entries.is_empty() || self.begun.as_ref().is_some_and(|it| it.entries == entries) {
            return;
        }
        let (preparer, payloads, batch) = (machine.preparer(), reader.payloads(), entries.clone());
        let work = spawn_blocking(move || {
            let payloads = read(&payloads, &batch)?;
            Ok(preparer.prepare(batch, payloads))
        });
        self.begun = Some(Begun { entries, work });
    }

    /// Reads these entries, or takes them as they were prepared (the table of the module).
    pub(super) async fn read(&mut self, reader: &Reader, entries: &[EntryRef]) -> Input {
        if let Some(begun) = self.begun.take()
            && begun.entries == entries
            && let Ok(Ok(prepared)) = begun.work.await
        {
            return Input::Prepared(Box::new(prepared));
        }
        let payloads = read(&reader.payloads(), entries);
        payloads.map_or_else(|error| Input::Failed(error.to_string()), Input::Read)
    }
}

fn read(payloads: &Payloads, entries: &[EntryRef]) -> Result<Vec<Vec<u8>>, ReadError> {
    let places: Vec<_> = entries.iter().map(|it| (it.offset, it.len)).collect();
    payloads.at(&places)
}
