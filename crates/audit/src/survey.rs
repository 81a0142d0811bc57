//! Which files there are, while others write.
//!
//! Nobody who reads takes the lock. What is found fits together: the open segment that was opened had
//! its name before and after the sealed ones were listed, so nothing was sealed in between, and the head
//! was read before both, so the files go at least as far as it says.
//!
//! * **Y1** A reader sees every record that was answered before it began.

use std::{io, path::PathBuf, sync::Arc};

use vfs::{File, OpenMode};

use crate::{
    attach::{last_line, named_by},
    chain::Cursor,
    error::{Damage, OpenError, QueryError},
    head::{self, Head, Slots},
    names,
    own::Seal,
    place::Files,
    record::Record,
    tail::{From, Tail, TailError, read_tail},
};

/// How often files are looked at that change meanwhile. Each time another segment was sealed or another
/// append was answered, so nobody waits.
pub(crate) const ATTEMPTS: u32 = 64;

/// The files of a trail at one time.
#[derive(Clone, Debug)]
pub(crate) struct Survey {
    /// What the head holds; `None` when it is missing.
    pub(crate) head: Option<Slots>,
    /// The numbers with which the sealed segments begin, in order.
    pub(crate) sealed: Vec<u64>,
    /// The open segment; missing for a moment while one is sealed.
    pub(crate) open: Option<Arc<dyn File>>,
}

impl Survey {
    /// The head, when it can be read.
    pub(crate) fn newest(&self) -> Option<&Head> {
        self.head.as_ref()?.newest.as_ref().map(|it| &it.0)
    }
}

fn io_error(path: PathBuf) -> impl FnOnce(io::Error) -> QueryError {
    move |source| QueryError::Io { path, source }
}

impl std::convert::From<OpenError> for QueryError {
    fn from(it: OpenError) -> Self {
        match it {
            OpenError::Io { path, source } => Self::Io { path, source },
            OpenError::Corrupt(damage) => Self::Damaged(damage),
            OpenError::Newer { path } => Self::Newer { path },
            // Readers take no lock.
            OpenError::Locked { holder } => {
                Self::Io { path: PathBuf::from(holder), source: io::ErrorKind::WouldBlock.into() }
            }
        }
    }
}

impl Files {
    /// Names the file in an error of a reader.
    pub(crate) fn read_error(&self, name: &str) -> impl FnOnce(io::Error) -> QueryError {
        io_error(self.path(name))
    }

    pub(crate) fn tail_error(&self, name: &str) -> impl FnOnce(TailError) -> QueryError {
        let path = self.path(name);
        move |it| match it {
            TailError::Io(source) => QueryError::Io { path, source },
            TailError::Damaged(damage) => QueryError::Damaged(damage),
        }
    }

    /// Looks at the files.
    pub(crate) fn survey(&self) -> Result<Survey, QueryError> {
        let mut left = ATTEMPTS;
        loop {
            let (survey, is_still) = self.look()?;
            left -= 1;
            if survey.head.is_none() && survey.open.is_none() && survey.sealed.is_empty() {
                return Err(QueryError::NotFound { dir: self.dir.clone() });
            }
            if is_still || left == 0 {
                return Ok(survey);
            }
        }
    }

    /// Looks once, and says whether nothing was sealed meanwhile.
    fn look(&self) -> Result<(Survey, bool), QueryError> {
        let io = || self.read_error(names::OPEN);
        let head = self.slots()?;
        let open = self.open(names::OPEN, OpenMode::Read).map_err(io())?;
        let sealed = match self.sealed() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            sealed => sealed.map_err(self.read_error(""))?,
        };
        let path = self.path(names::OPEN);
        let is_still = match &open {
            Some(file) => file.is_named(&path).map_err(io())?,
            None => self.vfs.stat(&path).map_err(io())?.is_none(),
        };
        Ok((Survey { head, sealed, open }, is_still))
    }

    /// What the head holds; `None` when it is missing.
    pub(crate) fn slots(&self) -> Result<Option<Slots>, QueryError> {
        let file = self.open(names::HEAD, OpenMode::Read);
        let Some(file) = file.map_err(self.read_error(names::HEAD))? else { return Ok(None) };
        let slots = head::load(&*file).map_err(self.read_error(names::HEAD))?;
        if slots.newer {
            return Err(QueryError::Newer { path: self.path(names::HEAD) });
        }
        Ok(Some(slots))
    }

    /// Where the open segment ends for a reader. Reads from where the head points, if it points there.
    pub(crate) fn visible(&self, survey: &Survey) -> Result<Option<Tail>, QueryError> {
        let Some(file) = &survey.open else { return Ok(None) };
        let Some(first) = self.first_record(names::OPEN, file, survey)? else { return Ok(None) };
        let about = survey.newest().filter(|it| it.first == first.seq && it.end > 0);
        let (offset, cursor) = if let Some(head) = about {
            (head.end, named_by(self, (names::OPEN, file), head)?)
        } else {
            let at = head::Link { seq: first.seq.saturating_sub(1), hash: first.prev };
            (0, Cursor::beginning(at))
        };
        let from = From { name: names::OPEN, offset, cursor, head: about };
        read_tail(file, from).map(Some).map_err(self.tail_error(names::OPEN))
    }

    /// The first record of the open segment; `None` when there is none yet.
    fn first_record(
        &self,
        name: &str,
        file: &Arc<dyn File>,
        survey: &Survey,
    ) -> Result<Option<Record>, QueryError> {
        use crate::lines::{Lines, Piece};

        let len = file.stat().map_err(self.read_error(name))?.len;
        let piece = Lines::new(file.clone(), 0, len).next().map_err(self.read_error(name))?;
        let detail = match piece {
            None => return Ok(None),
            Some((_, Piece::Line(line))) => match Record::decode(&line) {
                Ok(record) => return Ok(Some(record)),
                Err(it) => it.to_damage(),
            },
            Some(_) => (crate::error::Kind::BadJson, "no line begins here".to_owned()),
        };
        // Nothing was answered in this segment, so this may be a write that is under way or was cut
        // short: judged by the table of `tail`, from its beginning.
        let at = survey.newest().map_or_else(head::Link::genesis, |it| it.at);
        let begins_here = survey.newest().is_some_and(|it| it.end == 0);
        if !begins_here {
            let damage = Damage {
                file: name.to_owned(),
                offset: 0,
                line: 1,
                seq: survey.newest().map_or(1, |it| it.first),
                kind: detail.0,
                detail: detail.1,
            };
            return Err(QueryError::Damaged(damage));
        }
        let from = From { name, offset: 0, cursor: Cursor::beginning(at), head: None };
        read_tail(file, from).map(|_| None).map_err(self.tail_error(name))
    }

    /// The seal of a sealed segment with its record; `None` when the file is gone.
    pub(crate) fn seal(&self, first: u64) -> Result<Option<(Seal, Record)>, QueryError> {
        let name = names::sealed(first);
        let opened = self.open(&name, OpenMode::Read).map_err(self.read_error(&name))?;
        let Some(file) = opened else { return Ok(None) };
        let len = file.stat().map_err(self.read_error(&name))?.len;
        let last = last_line(self, (&name, &file), (len, first))?;
        let sealed = last.and_then(|(_, record)| Some((Seal::of(&record)?, record)));
        if let Some(found) = sealed {
            return Ok(Some(found));
        }
        let detail = "a sealed segment ends without a seal".to_owned();
        let kind = crate::error::Kind::Truncated;
        let line = crate::lines::number_of(&*file, len).map_err(self.read_error(&name))?;
        let damage = Damage { file: name, offset: len, line, seq: first, kind, detail };
        Err(QueryError::Damaged(damage))
    }
}
