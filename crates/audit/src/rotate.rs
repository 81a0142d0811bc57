//! Full segments are sealed.
//!
//! | step | what                                                        | a crash after it                          |
//! |-----:|-------------------------------------------------------------|-------------------------------------------|
//! |    1 | the seal is appended, synced; the head names it              | the next append goes on with step 2       |
//! |    2 | the segment is renamed, the directory synced                 | the next one goes on with step 3          |
//! |    3 | an empty segment is created, the directory synced            | the next one goes on with step 4          |
//! |    4 | the head names it, and is synced                             | sealed                                    |
//!
//! * **S1** A sealed segment ends with its seal and is never written again.
//! * **S2** At no time two names stand for one segment, and no step destroys a name that is not durable
//!   elsewhere: the new segment is created only after the old one is durable under its new name.

use jiff::Timestamp;

use crate::{
    attach::{Attached, begin_segment},
    error::OpenError,
    head::Link,
    names,
    own::{Seal, Span},
    place::Place,
    trail::Trail,
};

impl Trail {
    /// Whether these bytes belong into the next segment.
    pub(crate) fn is_full(&self, place: &Place, len: usize) -> bool {
        let tail = &place.tail;
        let too_long = tail.end.saturating_add(len as u64) > self.settings.segment_len_max;
        tail.cursor.sealed || (tail.end > 0 && too_long)
    }

    /// Seals the open segment and begins another (S1, S2).
    pub(crate) fn rotate(&self, attached: Attached, now: Timestamp) -> Result<Attached, OpenError> {
        let Attached { mut head, place } = attached;
        let place = if place.tail.cursor.sealed {
            self.write(place, &[])?
        } else {
            let place = self.seal(place, now)?;
            head = self.store(&head, &place)?;
            place
        };
        let cursor = place.tail.cursor;
        let (from, to) = (names::OPEN, names::sealed(cursor.first));
        let renamed = self.files.vfs.rename(&self.files.path(from), &self.files.path(&to));
        renamed.map_err(self.files.io(&to))?;
        begin_segment(&self.files, &*self.head_file, &head, cursor.at)
    }

    fn seal(&self, place: Place, now: Timestamp) -> Result<Place, OpenError> {
        let cursor = place.tail.cursor;
        let seq = cursor.at.seq.saturating_add(1);
        let span = Span::with(cursor.span, now);
        let seal =
            Seal { first: cursor.first, records: (seq - cursor.first).saturating_add(1), span };
        let mut line = Vec::new();
        let record = seal.to_record(self.settings.source, now);
        let hash = record.encode((seq, cursor.at.hash, 0), &mut line);
        let mut place = self.write(place, &line)?;
        place.tail.cursor.at = Link { seq, hash };
        place.tail.cursor.span = Some(span);
        place.tail.cursor.sealed = true;
        Ok(place)
    }
}
