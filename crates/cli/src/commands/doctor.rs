//! `autonomy doctor`: what is wrong with this machine, and what mends it.
//!
//! | level     | what it means                                        |
//! |-----------|------------------------------------------------------|
//! | `ok`      | looked at, and good                                  |
//! | `warning` | works, and may cost somebody a night                 |
//! | `failed`  | does not work, or promises what it cannot keep       |
//! | `skipped` | nothing to look at, and why                          |
//!
//! * **D1** Every check may fail alone: what cannot be looked at is a finding, and hides no other.
//! * **D2** Each warning and failure says what mends it.
//! * **D3** Nothing is left behind: the one file that is written, to see how long a sync takes, is removed.

pub(super) mod decisions;
mod disk;
mod peers;
mod state;

use std::path::Path;

use api::exit::Exit;
use serde::Serialize;

use crate::{
    args::Doctor, commands::tell, context::Context, failure::Failure, printable::printable,
};

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Ok,
    Warning,
    Failed,
    Skipped,
}

/// What a check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Finding {
    check: &'static str,
    level: Level,
    text: String,
    /// What mends it (D2).
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, level: Level::Ok, text: text.into(), fix: None }
    }

    fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, level: Level::Skipped, text: why.into(), fix: None }
    }

    fn warning(check: &'static str, text: impl Into<String>, fix: &str) -> Self {
        let fix = Some(fix.to_owned());
        Self { check, level: Level::Warning, text: text.into(), fix }
    }

    fn failed(check: &'static str, text: impl Into<String>, fix: &str) -> Self {
        let fix = Some(fix.to_owned());
        Self { check, level: Level::Failed, text: text.into(), fix }
    }

    /// What a command would have said.
    fn of(check: &'static str, failure: &Failure) -> Self {
        let text = format!("{} ({})", failure.message, failure.code);
        let page = format!("autonomy explain {}", failure.code);
        Self::failed(check, text, failure.hint.as_deref().unwrap_or(&page))
    }
}

#[derive(Debug, Serialize)]
struct Told {
    healthy: bool,
    failed: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Doctor, context: Context<'_>) -> Result<Exit, Failure> {
    let mut findings = state::environment(context);
    match args.wal_dir.clone().map_or_else(|| context.wal_dir(), Ok) {
        Ok(dir) => with_log(&dir, &mut findings),
        Err(failure) => findings.push(Finding::of("log", &failure)),
    }
    findings.push(state::policy(args.policy_dir.as_deref(), context));
    findings.extend(state::stores(context));
    findings.push(state::trail(context));
    findings.extend(state::keys(context));
    findings.extend(peers::all(args, context));
    findings.push(decisions::decisions(args, context));
    let count = |level| findings.iter().filter(|it| it.level == level).count();
    let (failed, warnings) = (count(Level::Failed), count(Level::Warning));
    let told = Told { healthy: failed == 0, failed, warnings, findings };
    tell(&told, args.output.output, |told, out| {
        for it in &told.findings {
            let level = match it.level {
                Level::Ok => "ok     ",
                Level::Warning => "WARNING",
                Level::Failed => "FAILED ",
                Level::Skipped => "-      ",
            };
            writeln!(out, "{level}  {:<14} {}", it.check, printable(&it.text))?;
            if let Some(fix) = &it.fix {
                writeln!(out, "         {:<14} fix: {}", "", printable(fix))?;
            }
        }
        writeln!(out, "{failed} failed, {warnings} warnings")
    })?;
    Ok(if failed == 0 { Exit::Done } else { Exit::Partial })
}

/// The log, and the disk under it.
fn with_log(dir: &Path, findings: &mut Vec<Finding>) {
    findings.push(state::log(dir));
    findings.extend(disk::all(dir));
    findings.push(state::clock(dir));
}
