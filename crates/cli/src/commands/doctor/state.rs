//! What lies on this machine: environment, log, policy, databases, audit trail, keys.

use std::{
    os::unix::fs::MetadataExt as _,
    path::Path,
    time::{Duration, SystemTime},
};

use api::env;
use policy::{Loaded, SlotFault, Source};
use rollout_store::database::{self, Check, Pages};
use vfs::OsVfs;
use wal_format::names;
use wal_recovery::{Overrides, SurveyError, survey};

use super::Finding;
use crate::{
    commands::{audit, policy::slots},
    context::Context,
    failure::Failure,
    rights::mended,
    settings::Settings,
};

/// Bits of a mode with which others may read.
const READABLE_BY_OTHERS: u32 = 0o077;
/// How much a file may be of the future: clocks of file systems are coarse.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// How long a database is waited for.
const DATABASE_WAIT: Duration = Duration::from_secs(1);
/// 2025-01-01 in hours since 1970; this program was not written before.
const FIRST_DAY: Duration = Duration::from_hours(482_136);

/// Switches that say something, and a file of settings.
pub(super) fn environment(context: Context<'_>) -> Vec<Finding> {
    let check = "environment";
    let mut findings = Vec::new();
    for name in [env::STRICT_MODE, env::RBAC_BREAK_GLASS] {
        match context.switch(name) {
            Err(failure) => findings.push(Finding::of(check, &failure)),
            Ok(true) if name == env::STRICT_MODE => {
                let fix = "unset it when the reason is gone";
                let text = format!("{name} is on: every call is denied");
                findings.push(Finding::warning(check, text, fix));
            }
            Ok(true) => {
                let text =
                    format!("{name} is on: everybody may do everything at the control plane");
                findings.push(Finding::warning(check, text, "unset it when the emergency is over"));
            }
            Ok(false) => {}
        }
    }
    if let Err(failure) = context.trusts_time() {
        findings.push(Finding::of(check, &failure));
    }
    findings.extend(settings(context));
    if findings.is_empty() {
        let settings = match context.settings_path() {
            Ok(path) if path.exists() => format!("settings in {}", path.display()),
            _ => "no file of settings".to_owned(),
        };
        findings.push(Finding::ok(check, settings));
    }
    findings
}

/// A file of settings that stops other commands, and a home that is not known.
fn settings(context: Context<'_>) -> Vec<Finding> {
    let check = "environment";
    let mut findings = Vec::new();
    if let Ok(path) = context.settings_path()
        && let Err(error) = Settings::read(&path)
    {
        let text = format!("{error} ({}): every other command stops at it", error.code());
        findings.push(Finding::failed(check, text, "mend the file, or move it away"));
    }
    if context.var(env::HOME).is_none() {
        let text = format!("{} is not set: default directories are not known", env::HOME);
        let fix = "set HOME, or XDG_STATE_HOME and XDG_CACHE_HOME";
        findings.push(Finding::warning(check, text, fix));
    }
    findings
}

pub(super) fn log(dir: &Path) -> Finding {
    let check = "log";
    match survey(&OsVfs, dir, Overrides::default()) {
        Ok(survey) => match &survey.scanned {
            Some(scanned) => {
                let last = scanned.last.map_or(0, wal_format::Seq::get);
                Finding::ok(check, format!("{} opens, {last} entries", dir.display()))
            }
            None => Finding::skipped(check, format!("there is none in {} yet", dir.display())),
        },
        Err(error) => {
            let place = match &error {
                SurveyError::Violation(violation) => crate::failure::place(violation),
                SurveyError::Io { .. } => None,
            };
            let mut finding = Finding::of(check, &Failure::from(error).of_log(dir));
            if let Some(place) = place {
                finding.text = format!("{}; {place}", finding.text);
            }
            finding
        }
    }
}

/// A time as every other one here: UTC, in seconds.
fn shown(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at)
        .map_or_else(|_| "a time beyond all".to_owned(), |it| format!("{it:.0}"))
}

/// Whether the clock was later once.
pub(super) fn clock(dir: &Path) -> Finding {
    let check = "clock";
    let fix = "set the clock (timedatectl): times in entries and waits go by it";
    let now = SystemTime::now();
    if now < SystemTime::UNIX_EPOCH + FIRST_DAY {
        return Finding::failed(check, "it is before 2025", fix);
    }
    let path = dir.join(names::WAL);
    match std::fs::metadata(&path).and_then(|it| it.modified()) {
        Ok(at) if at > now + CLOCK_SLACK => {
            let text = format!(
                "the log was written at {}, and now it is {}: the clock went back, or a file came from elsewhere",
                shown(at),
                shown(now)
            );
            Finding::warning(check, text, fix)
        }
        _ => Finding::ok(check, format!("{:.0}", jiff::Timestamp::now())),
    }
}

pub(super) fn policy(asked: Option<&Path>, context: Context<'_>) -> Finding {
    let check = "policy";
    let dir = asked.map_or_else(|| context.policy_dir(), |it| Ok(it.to_owned()));
    let (dir, loaded) = match (dir, slots(asked, context)) {
        (Ok(dir), Ok(slots)) => (dir, slots.load()),
        (Err(failure), _) | (_, Err(failure)) => return Finding::of(check, &failure),
    };
    let mut found = slots_found(&dir, &loaded);
    found.text = format!("{}: {}", dir.display(), found.text);
    found
}

fn slots_found(dir: &Path, loaded: &Loaded) -> Finding {
    let check = "policy";
    // A bundle that nobody may read is not a bad one.
    let fix = loaded.warnings.iter().find_map(|it| match &it.fault {
        SlotFault::Unreadable { file, error } => {
            mended(&dir.join(it.slot.as_str()).join(file), error)
        }
        _ => None,
    });
    let fix =
        fix.unwrap_or_else(|| "load a good one: autonomy policy load --bundle FILE".to_owned());
    let warning = loaded.warnings.first().map(ToString::to_string);
    match (loaded.source, warning) {
        (Source::Current, None) => Finding::ok(check, "the current bundle is good"),
        (Source::Current, Some(why)) => Finding::warning(check, why, "autonomy policy status"),
        (Source::LastKnownGood, why) => {
            let text =
                format!("the bundle before the current one decides: {}", why.unwrap_or_default());
            Finding::failed(check, text, &fix)
        }
        (Source::None, None) => {
            Finding::skipped(check, "none was ever loaded: every call is denied")
        }
        (Source::None, Some(why)) => {
            let text = format!("none is good, every call is denied: {why}");
            Finding::failed(check, text, &fix)
        }
    }
}

/// The databases of a control plane, when there is one on this machine.
pub(super) fn stores(context: Context<'_>) -> Vec<Finding> {
    let check = "store";
    let dir = match context.data_dir() {
        Ok(dir) => dir,
        Err(failure) => return vec![Finding::of(check, &failure)],
    };
    let files = database::OURS.iter().map(|it| dir.join(it.file)).filter(|it| it.exists());
    let found: Vec<Finding> = files.map(|path| store(&path)).collect();
    if found.is_empty() {
        return vec![Finding::skipped(check, format!("no control plane in {}", dir.display()))];
    }
    found
}

fn store(path: &Path) -> Finding {
    let check = "store";
    match database::status(path, Some(Check::Quick), DATABASE_WAIT) {
        Err(error) => {
            let text = format!("{error} ({})", error.code());
            Finding::failed(check, text, "autonomy db status --check quick")
        }
        Ok(it) => match it.pages {
            Pages::Damaged(why) => {
                let text = format!("{} is damaged: {why}", path.display());
                Finding::failed(check, text, "put a backup back: autonomy db restore --from FILE")
            }
            Pages::Unfinished(why) => {
                Finding::warning(check, why, "start its program, or run: autonomy db maintain")
            }
            Pages::NotChecked | Pages::Sound => {
                Finding::ok(check, format!("{} is sound, {} KiB", path.display(), it.len >> 10))
            }
        },
    }
}

pub(super) fn trail(context: Context<'_>) -> Finding {
    let check = "audit trail";
    let dir = match audit::directory(None, context) {
        Ok(dir) => dir,
        Err(failure) => return Finding::of(check, &failure),
    };
    match audit::last_failures(&dir, 1) {
        Err(failure) => Finding::of(check, &failure),
        Ok(None) => Finding::skipped(check, format!("there is none in {} yet", dir.display())),
        Ok(Some(_)) => Finding::ok(check, format!("{} can be read", dir.display())),
    }
}

/// Files that the environment names for TLS and signatures.
pub(super) fn keys(context: Context<'_>) -> Vec<Finding> {
    let named = [env::CA_FILE, env::CLIENT_CERTIFICATE, env::CLIENT_KEY, env::COSIGN_PUBKEY];
    let named: Vec<_> = named.into_iter().filter_map(|it| Some((it, context.var(it)?))).collect();
    if named.is_empty() {
        return vec![Finding::skipped("keys", "no variable names any")];
    }
    named.into_iter().map(|(name, path)| key(name, Path::new(&path))).collect()
}

fn key(name: &str, path: &Path) -> Finding {
    let check = "keys";
    let shown = format!("{name} {}", path.display());
    match std::fs::metadata(path) {
        Err(error) => {
            let fix = format!("put the file there, or unset {name}");
            Finding::failed(check, format!("{shown}: {error}"), &fix)
        }
        Ok(it) if name == env::CLIENT_KEY && it.mode() & READABLE_BY_OTHERS != 0 => {
            let text = format!("{shown} can be read by others (mode {:o})", it.mode() & 0o7777);
            Finding::warning(check, text, "chmod 600 on it")
        }
        Ok(_) => Finding::ok(check, shown),
    }
}
