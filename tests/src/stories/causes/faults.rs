//! What is done to the files of a log, and how it is seen from outside that it was done.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wal_format::{
    Aside, Birth, Chain, Entry, MAX_PAYLOAD_LEN, Origin, SafePoint, SealFile, SealStatement, Seq,
    Switch, WalId, encode_entry, names, split_chain,
};

use super::{
    log::{self, Log, safe_point},
    site::Site,
};

/// What is done, and the proof that it was done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deed {
    pub(super) inject: fn(&mut Site) -> Result<()>,
    pub(super) proof: fn(&Site) -> Result<()>,
}

/// The safe point is removed.
pub(super) const SAFE_POINT_GONE: Deed = Deed {
    inject: |site| Ok(fs::remove_file(site.dir().join(names::SAFE_SEQ))?),
    proof: |site| {
        ensure!(!site.dir().join(names::SAFE_SEQ).exists(), "there is a safe point");
        ensure!(!Log::read(&site.dir())?.frames.is_empty(), "the log is empty");
        Ok(())
    },
};

/// The safe point loses its end.
pub(super) const SAFE_POINT_SHORT: Deed = Deed {
    inject: |site| {
        let file = fs::File::options().write(true).open(site.dir().join(names::SAFE_SEQ))?;
        Ok(file.set_len(3)?)
    },
    proof: |site| {
        let len = fs::metadata(site.dir().join(names::SAFE_SEQ))?.len();
        ensure!(len != 8, "it has eight bytes");
        Ok(())
    },
};

/// The log loses its end.
pub(super) const END_GONE: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        log.frames.truncate(log.denied()?);
        log.write()
    },
    proof: |site| {
        let (log, safe) = (Log::read(&site.dir())?, safe_point(&site.dir())?);
        let last = log.number(log.frames.len().saturating_sub(1))?;
        ensure!(last < safe, "the log goes to {last}, the safe point to {safe}");
        Ok(())
    },
};

/// The log loses its first frame.
pub(super) const FIRST_GONE: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        log.frames.remove(0);
        log.write()
    },
    proof: |site| {
        let first = Log::read(&site.dir())?.number(0)?;
        ensure!(first != 1, "the first frame has the number 1");
        Ok(())
    },
};

/// The log loses a frame in the middle.
pub(super) const ONE_GONE: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        log.frames.remove(log.denied()?);
        log.write()
    },
    proof: |site| {
        let (log, safe) = (Log::read(&site.dir())?, safe_point(&site.dir())?);
        let numbers: Vec<_> =
            (0..log.frames.len()).map(|at| log.number(at)).collect::<Result<_>>()?;
        let gap = numbers.array_windows().find(|[one, next]| one + 1 != *next);
        let [_, behind] = gap.context("the numbers have no gap")?;
        ensure!(*behind <= safe, "the gap is behind the safe point");
        Ok(())
    },
};

/// A payload is no JSON any more.
pub(super) const NO_JSON: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        log.edit(log.denied()?, br#"{"seq":"#, br#"<"seq":"#)?;
        log.write()
    },
    proof: |site| {
        let (log, safe) = (Log::read(&site.dir())?, safe_point(&site.dir())?);
        let is_json = |at: &usize| {
            log.payload(*at).is_ok_and(|it| serde_json::from_slice::<serde_json::Value>(it).is_ok())
        };
        let found = (0..log.frames.len()).find(|at| !is_json(at));
        let found = found.context("every payload is JSON")?;
        ensure!((found as u64) < safe, "it is behind the safe point");
        Ok(())
    },
};

/// A length prefix is one that no writer produces.
pub(super) const LENGTH: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        let at = log.denied()?;
        let frame = log.frames.get_mut(at).context("no frame")?;
        *frame.first_chunk_mut().context("no header")? = [0xff; 4];
        log.write()
    },
    proof: |site| {
        let (log, safe) = (Log::read(&site.dir())?, safe_point(&site.dir())?);
        let len = log.rest.first_chunk().map_or(0, |it| u32::from_be_bytes(*it));
        ensure!(len > MAX_PAYLOAD_LEN, "behind the frames stands a length of {len}");
        ensure!((log.frames.len() as u64) < safe, "it is behind the safe point");
        Ok(())
    },
};

/// The rule that denied a call is given another name.
fn edit_a_rule(log: &mut Log) -> Result<usize> {
    let at = log.denied()?;
    log.edit(at, b"shell_deny", b"other_rule")?;
    Ok(at)
}

/// An entry is changed and stays an entry.
pub(super) const EDITED: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        edit_a_rule(&mut log)?;
        log.write()
    },
    proof: |site| {
        let (log, safe) = (Log::read(&site.dir())?, safe_point(&site.dir())?);
        let (_, broken) = log.chain(log.frames.len())?;
        let number = log.number(broken.context("every chain value follows")?)?;
        ensure!(number <= safe, "it is behind the safe point");
        Ok(())
    },
};

/// The end of the log is cut off together with the safe point, behind a seal.
pub(super) const CUT_BEHIND_SEAL: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        log.frames.truncate(log.denied()?);
        log.write()?;
        lower_safe_point(site, log.number(log.frames.len().saturating_sub(1))?)
    },
    proof: |site| {
        let (log, safe, sealed) =
            (Log::read(&site.dir())?, safe_point(&site.dir())?, sealed(site)?.seq.get());
        let last = log.number(log.frames.len().saturating_sub(1))?;
        ensure!(safe <= last, "the safe point is {safe}, the log ends at {last}");
        ensure!(last < sealed, "the log ends at {last}, the seal is at {sealed}");
        Ok(())
    },
};

/// An entry is changed and the safe point lowered before it.
pub(super) const EDITED_BEHIND_SAFE_POINT: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        let at = edit_a_rule(&mut log)?;
        log.write()?;
        lower_safe_point(site, at as u64)
    },
    proof: |site| {
        let (log, safe, sealed) =
            (Log::read(&site.dir())?, safe_point(&site.dir())?, sealed(site)?.seq.get());
        let (_, broken) = log.chain(log.frames.len())?;
        let number = log.number(broken.context("every chain value follows")?)?;
        ensure!(safe < number && number <= sealed, "{number} is not in {safe}..={sealed}");
        Ok(())
    },
};

/// An entry is changed and every chain value from there on computed again.
pub(super) const FORGED: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        let at = edit_a_rule(&mut log)?;
        log.forge(at)?;
        log.write()
    },
    proof: |site| {
        let (log, sealed) = (Log::read(&site.dir())?, sealed(site)?);
        let (_, broken) = log.chain(log.frames.len())?;
        ensure!(broken.is_none(), "the chain is broken at {broken:?}");
        let (found, _) = log.chain(usize::try_from(sealed.seq.get())?)?;
        ensure!(found != sealed.chain, "the chain value is the one that was sealed");
        Ok(())
    },
};

fn lower_safe_point(site: &Site, to: u64) -> Result<()> {
    Ok(fs::write(site.dir().join(names::SAFE_SEQ), SafePoint::at(Seq::new(to)).to_bytes())?)
}

fn sealed(site: &Site) -> Result<SealStatement> {
    let bytes = fs::read(site.dir().join(names::SEAL)).context("no seal")?;
    Ok(SealStatement::parse(&SealFile::from_bytes(&bytes)?.statement)?)
}

/// Begins a switch to a next log, as an archive that was killed right behind it leaves it.
pub(super) fn half_archived(site: &Site) -> Result<()> {
    let log = Log::read(&site.dir())?;
    let (last_chain, _) = log.chain(log.frames.len())?;
    let first = Entry::parse(log.payload(0)?)?.event.attrs()?;
    let old = Birth::from_attrs(&first).context("the log has no birth")?;
    let (from, to) = (old.wal_id, WalId::from_random(*b"the next log...."));
    let at = jiff::Timestamp::now();
    let next = Birth {
        wal_id: to,
        node: old.node,
        origin: Origin::Rollover,
        previous: Some((from, last_chain)),
    };
    let mut bytes = Vec::new();
    let event = next.to_event().to_json();
    let chain = encode_entry(Seq::FIRST, at, &event, Chain::before(b""), &mut bytes)?;
    fs::write(site.dir().join(names::NEXT), bytes)?;
    let switch = Switch {
        from: Some(from),
        to,
        aside: Aside::Archive,
        has_log: true,
        last: Seq::FIRST,
        chain,
        at,
    };
    Ok(fs::write(site.dir().join(names::SWITCH), switch.to_bytes())?)
}

/// The next log of a switch is moved away.
pub(super) const NEXT_GONE: Deed = Deed {
    inject: |site| Ok(fs::remove_file(site.dir().join(names::NEXT))?),
    proof: |site| {
        ensure!(site.dir().join(names::SWITCH).exists(), "there is no switch");
        ensure!(!site.dir().join(names::NEXT).exists(), "the next log is there");
        Ok(())
    },
};

/// A frame that was never acknowledged stands behind the last one.
pub(super) const STRAY: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        let last = log.frames.last().context("an empty log")?.clone();
        // Where zeros were allocated ahead, a write goes into them.
        log.rest.drain(..last.len().min(log.rest.len()));
        log.frames.push(last);
        log.write()
    },
    proof: |site| {
        let log = Log::read(&site.dir())?;
        let last = log.frames.len().saturating_sub(1);
        let (_, broken) = log.chain(log.frames.len())?;
        ensure!(
            broken == Some(last),
            "the first frame that does not follow: {broken:?}, not {last}"
        );
        ensure!(last as u64 >= safe_point(&site.dir())?, "the safe point covers it");
        Ok(())
    },
};

/// Log and safe point are deleted in a directory that was used.
pub(super) const BOTH_GONE: Deed = Deed {
    inject: |site| {
        fs::remove_file(site.dir().join(names::WAL))?;
        Ok(fs::remove_file(site.dir().join(names::SAFE_SEQ))?)
    },
    proof: |site| {
        let found = log::files(&site.dir())?;
        let has = |name: &str| found.keys().any(|it| it.as_os_str() == name);
        ensure!(!has(names::WAL) && !has(names::SAFE_SEQ), "{:?}", found.keys());
        ensure!(has(names::POS), "nothing shows that there was a log: {:?}", found.keys());
        Ok(())
    },
};

/// A runtime writes the log.
pub(super) const IN_USE: Deed = Deed {
    inject: |site| site.start(&[]),
    proof: |site| {
        let lock = fs::File::open(site.dir().join(names::LOCK))?;
        let held = matches!(lock.try_lock(), Err(fs::TryLockError::WouldBlock));
        ensure!(held, "nobody holds the lock");
        Ok(())
    },
};

/// The log is made one of a system without births, chains and safe points.
pub(super) const MADE_OLD: Deed = Deed {
    inject: |site| {
        let mut log = Log::read(&site.dir())?;
        let mut old = Vec::new();
        for at in 1..log.frames.len() {
            let (body, _) = split_chain(log.payload(at)?).context("no chain")?;
            let from = format!(r#"{{"seq":{},"#, at + 1);
            let rest = body.strip_prefix(from.as_bytes()).context("another number")?;
            let payload = [format!(r#"{{"seq":{at},"#).as_bytes(), rest, b"}"].concat();
            let header = u32::try_from(payload.len())?.to_be_bytes();
            old.push([&header[..], &payload].concat());
        }
        log.frames = old;
        log.write()?;
        Ok(fs::remove_file(site.dir().join(names::SAFE_SEQ))?)
    },
    proof: |site| {
        let log = Log::read(&site.dir())?;
        for at in 0..log.frames.len() {
            ensure!(split_chain(log.payload(at)?).is_none(), "frame {at} has a chain value");
        }
        (SAFE_POINT_GONE.proof)(site)
    },
};
