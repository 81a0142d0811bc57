//! `autonomy wal verify`: reads every byte of a log.

use std::{fs, path::Path};

use api::exit::Exit;
use serde::Serialize;
use vfs::OsVfs;
use wal_recovery::{
    Damage, SealPoint, Tail, Verified, VerifyError,
    seal::{SealError, check_seal, verifying_key},
    verify as verify_log,
};

use crate::{
    args::{Output, WalVerify},
    commands::{print_json, print_pairs, wal::directory},
    context::Context,
    failure::{Failure, with_dir},
    rights::mended,
};

pub(super) fn verify(args: &WalVerify, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = directory(args.dir.as_deref(), context)?;
    let key = args.public_key.as_deref();
    let mut seal_before = seal(&dir, key)?;
    let mut verified = verify_log(&OsVfs, &dir, seal_before.point.as_ref());
    // A log that was replaced in between has another seal or none.
    for _ in 0..ATTEMPTS {
        let seal_now = seal(&dir, key)?;
        if seal_now.point == seal_before.point {
            break;
        }
        verified = verify_log(&OsVfs, &dir, seal_now.point.as_ref());
        seal_before = seal_now;
    }
    let seal = seal_before;
    let (report, exit) = match verified {
        Ok(verified) => (Report::whole(&dir, &verified, &seal), Exit::Done),
        Err(VerifyError::Damaged(damage)) => {
            (Report::damaged(&dir, &damage, &seal), Exit::Integrity)
        }
        Err(error) => return Err(failure(&error)),
    };
    match args.output.output {
        Output::Json => print_json(&report)?,
        Output::Text => print_pairs(&report.pairs())?,
    }
    Ok(exit)
}

/// How often a log is read again whose seal has changed meanwhile.
const ATTEMPTS: usize = 3;

/// The seal of a log, as far as it is taken into account.
struct Seal {
    point: Option<SealPoint>,
    text: &'static str,
}

/// Checks the seal beside a log. Who names a key wants the seal of that key, and none is an error.
fn seal(dir: &Path, key: Option<&Path>) -> Result<Seal, Failure> {
    let trusted = match key {
        None => None,
        Some(path) => {
            let pem = fs::read_to_string(path).map_err(|it| Failure::file("read", path, &it))?;
            Some(verifying_key(&pem)?)
        }
    };
    match check_seal(&OsVfs, dir, trusted.as_ref()) {
        Ok(sealed) => {
            let text = if sealed.trusted { TRUSTED } else { OWN_KEY };
            Ok(Seal { point: Some(sealed.point()), text })
        }
        Err(SealError::NotFound { .. }) if key.is_none() => Ok(Seal { point: None, text: NO_SEAL }),
        Err(error) => Err(error.into()),
    }
}

const NO_SEAL: &str = "none: a log whose chain was computed anew cannot be told from the first one";
const OWN_KEY: &str = "holds, by the key that it names itself; --pub says whose it must be";
const TRUSTED: &str = "holds, by the key of --pub";

fn failure(error: &VerifyError) -> Failure {
    let exit = match error {
        VerifyError::NotFound { .. } => Exit::NotFound,
        VerifyError::NoSafePoint(_) | VerifyError::Damaged(_) => Exit::Integrity,
        VerifyError::Io { .. } => Exit::Failed,
    };
    let mut failure = Failure::of(exit, error.code(), error).hint(error.hint());
    if let VerifyError::Io { path, source } = error {
        failure.hint = mended(path, source).or(failure.hint);
    }
    failure
}

/// What `wal verify` says.
#[derive(Debug, Serialize)]
struct Report {
    dir: String,
    /// `ok` or `damaged`.
    result: &'static str,
    seal: &'static str,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    whole: Option<Whole>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    damage: Option<Found>,
}

#[derive(Debug, Serialize)]
struct Whole {
    #[serde(skip_serializing_if = "Option::is_none")]
    wal_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    entries: u64,
    bytes: u64,
    safe_seq: u64,
    beyond_safe_seq: u64,
    /// The first entry with a chain value; absent when none has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    chained_from: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_chain: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_chain: Option<String>,
    /// `clean`, `torn` or `phantoms`.
    tail: &'static str,
    phantoms: u64,
}

/// The first thing that is wrong.
#[derive(Debug, Serialize)]
struct Found {
    kind: &'static str,
    seq: u64,
    offset: u64,
    code: &'static str,
    message: String,
    hint: String,
}

impl Report {
    fn whole(dir: &Path, verified: &Verified, seal: &Seal) -> Self {
        let scanned = &verified.scanned;
        let identity = scanned.identity.as_ref();
        let chained = scanned.chained_from;
        let (tail, phantoms) = match scanned.tail {
            Tail::Clean => ("clean", 0),
            Tail::Torn => ("torn", 0),
            Tail::Phantoms { frames } => ("phantoms", frames),
        };
        let whole = Whole {
            wal_id: identity.map(|it| it.wal_id.to_string()),
            node: identity.and_then(|it| Some(it.birth.as_ref()?.node.clone())),
            entries: verified.entries(),
            bytes: verified.bytes,
            safe_seq: verified.safe_point.get(),
            beyond_safe_seq: verified.beyond_safe_point(),
            chained_from: chained.map(|(seq, _)| seq.get()),
            first_chain: chained.map(|(_, value)| value.to_string()),
            last_chain: chained.map(|_| scanned.chain.to_string()),
            tail,
            phantoms,
        };
        let dir = dir.display().to_string();
        Self { dir, result: "ok", seal: seal.text, whole: Some(whole), damage: None }
    }

    fn damaged(dir: &Path, damage: &Damage, seal: &Seal) -> Self {
        let found = Found {
            kind: damage.kind.as_str(),
            seq: damage.seq,
            offset: damage.offset,
            code: damage.cause.code(),
            message: format!("telemetry/wal: {}", damage.cause),
            hint: with_dir(damage.cause.hint(), dir),
        };
        let dir = dir.display().to_string();
        Self { dir, result: "damaged", seal: seal.text, whole: None, damage: Some(found) }
    }

    fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = vec![("dir", self.dir.clone()), ("result", self.result.to_owned())];
        if let Some(it) = &self.whole {
            pairs.extend(it.wal_id.clone().map(|it| ("wal_id", it)));
            pairs.extend(it.node.clone().map(|it| ("node", it)));
            pairs.push(("entries", it.entries.to_string()));
            pairs.push(("bytes", it.bytes.to_string()));
            pairs.push(("safe_seq", it.safe_seq.to_string()));
            pairs.push(("beyond", it.beyond_safe_seq.to_string()));
            let chained = it.chained_from.map_or("no entry".to_owned(), |it| it.to_string());
            pairs.push(("chained from", chained));
            pairs.extend(it.first_chain.clone().map(|it| ("first chain", it)));
            pairs.extend(it.last_chain.clone().map(|it| ("last chain", it)));
            let tail = match it.phantoms {
                0 => it.tail.to_owned(),
                frames => format!("{}, {frames} whole frames", it.tail),
            };
            pairs.push(("tail", tail));
        }
        if let Some(it) = &self.damage {
            pairs.push(("kind", it.kind.to_owned()));
            pairs.push(("seq", it.seq.to_string()));
            pairs.push(("offset", it.offset.to_string()));
            pairs.push(("code", it.code.to_owned()));
            pairs.push(("problem", it.message.clone()));
            pairs.push(("hint", it.hint.clone()));
        }
        pairs.push(("seal", self.seal.to_owned()));
        pairs
    }
}
