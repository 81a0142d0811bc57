//! How far a log was delivered, while somebody else writes and delivers it.
//!
//! A position that was read after the log may name entries that were written in between, and a position of one
//! log says nothing about the next. So a position is refused only when it is beyond a log that was read after
//! it and is still the same.

use std::{io, path::Path};

use drain::Progress;
use runtime::{ProgressReadError, load_progress};
use vfs::OsVfs;
use wal_format::{Seq, WalId, names};
use wal_recovery::{Overrides, Survey, SurveyError, survey};

/// How often a log is looked at anew that was replaced meanwhile.
const ATTEMPTS: usize = 4;

/// Progress, or why it is none.
type Judged = Result<Progress, ProgressReadError>;

/// A log and its progress; `None` for a log without entries.
type Seen = (Survey, Option<Judged>);

/// Reads the progress of a log that was looked at. Returns the log as it was seen last.
pub(super) fn beside(dir: &Path, seen: Survey) -> Result<Seen, SurveyError> {
    let look = || survey(&OsVfs, dir, Overrides::default());
    agree(seen, look, |wal_id| load_progress(&OsVfs, dir, wal_id)).and_then(|it| {
        it.ok_or_else(|| SurveyError::Io {
            path: dir.join(names::WAL),
            source: io::Error::other("the log is being replaced; try again"),
        })
    })
}

/// [`beside`] with any way of looking; `None` when the log was another one each time.
fn agree(
    mut seen: Survey,
    mut look: impl FnMut() -> Result<Survey, SurveyError>,
    mut load: impl FnMut(WalId) -> Judged,
) -> Result<Option<Seen>, SurveyError> {
    for _ in 0..ATTEMPTS {
        let Some((wal_id, last)) = end_of(&seen) else { return Ok(Some((seen, None))) };
        let progress = match load(wal_id) {
            Ok(progress) if progress.check(last).is_err() => progress,
            judged => return Ok(Some((seen, Some(judged)))),
        };
        seen = look()?;
        if let Some((again, last)) = end_of(&seen)
            && again == wal_id
        {
            let judged = progress.check(last).map(|()| progress).map_err(Into::into);
            return Ok(Some((seen, Some(judged))));
        }
    }
    Ok(None)
}

fn end_of(survey: &Survey) -> Option<(WalId, Option<Seq>)> {
    let scanned = survey.scanned.as_ref()?;
    Some((scanned.identity.as_ref()?.wal_id, scanned.last))
}

#[cfg(test)]
mod tests {
    use wal_format::{Event, Kind, Position};
    use wal_recovery::{Durability, Log, Opening, Submission, recover};

    use super::*;

    /// What a look at a log says that got so many entries more.
    fn grown(dir: &Path, random: u8, more: u64) -> Survey {
        let opening = Opening {
            dir: dir.to_owned(),
            node: "n".to_owned(),
            random: [random; 16],
            now: jiff::Timestamp::UNIX_EPOCH,
            overrides: Overrides::default(),
            durability: Durability::Chained,
            holder: "a test".to_owned(),
        };
        let log = Log::start(recover(&OsVfs, &opening).unwrap().writer).unwrap();
        for _ in 0..more {
            let event = Event::new(Kind::Action);
            log.append(Submission::new(&event, opening.now).unwrap()).unwrap();
        }
        log.close().unwrap();
        survey(&OsVfs, dir, Overrides::default()).unwrap()
    }

    fn at(wal_id: WalId, position: u64) -> Judged {
        let position = Position::at(Seq::new(position)).to_bytes();
        Ok(Progress::load(wal_id, None, Some(&position))?)
    }

    #[test]
    fn a_position_of_entries_that_came_after_the_look_is_true() {
        let temp = tempfile::tempdir().unwrap();
        let (early, late) = (grown(temp.path(), 1, 3), grown(temp.path(), 1, 5));
        let found = agree(early, || Ok(late.clone()), |id| at(id, 9)).unwrap().unwrap();
        assert_eq!(found.0, late);
        assert_eq!(found.1.unwrap().unwrap().position().get(), 9);
    }

    #[test]
    fn a_position_beyond_a_log_that_was_read_after_it_is_refused() {
        let temp = tempfile::tempdir().unwrap();
        let log = grown(temp.path(), 1, 3);
        let found = agree(log.clone(), || Ok(log.clone()), |id| at(id, 9)).unwrap().unwrap();
        assert_eq!(found.1.unwrap().unwrap_err().code(), "POS_GT_MAXSEQ");
    }

    #[test]
    fn a_log_that_was_replaced_is_looked_at_anew_and_not_for_ever() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (old, new) = (grown(one.path(), 1, 3), grown(two.path(), 2, 0));
        let new_id = end_of(&new).unwrap().0;
        let load = |id| if id == new_id { at(id, 0) } else { at(id, 9) };
        let found = agree(old.clone(), || Ok(new.clone()), load).unwrap().unwrap();
        assert_eq!(found.0, new);
        assert_eq!(found.1.unwrap().unwrap().position().get(), 0);
        let mut turn = [new, old.clone()].into_iter().cycle();
        let look = || Ok(turn.next().unwrap());
        assert!(agree(old, look, |id| at(id, 9)).unwrap().is_none());
    }
}
