//! A report as text, for somebody who has not slept.

use std::io::{self, Write as _};

use supply_chain::{Outcome, Report, StepState};

use crate::printable::printable;

/// Prints a report: what was looked at, a line for each step, the verdict, what it does not say.
pub(in crate::commands) fn tell(report: &Report) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text(report).as_bytes())?;
    stdout.flush()
}

fn verdict(report: &Report) -> String {
    let mut codes: Vec<&str> = Vec::new();
    for code in report.steps.iter().filter_map(|it| it.code.as_deref()) {
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    match (report.result, codes.as_slice()) {
        (Outcome::Verified, _) => "VERIFIED".to_owned(),
        (Outcome::Failed, []) => "NOT VERIFIED".to_owned(),
        (Outcome::Failed, [code]) => format!("NOT VERIFIED ({code})"),
        (Outcome::Failed, [code, also @ ..]) => {
            format!("NOT VERIFIED ({code}; also {})", also.join(", "))
        }
    }
}

fn text(report: &Report) -> String {
    let mut lines = vec![format!("image   {}", printable(&report.image))];
    lines.push(match &report.digest {
        Some(digest) => format!("digest  {digest}"),
        None => "digest  unknown".to_owned(),
    });
    for step in &report.steps {
        let state = match step.state {
            StepState::Passed => "ok",
            StepState::Failed => "FAILED",
            StepState::NotRequired => "not required",
        };
        let code = step.code.as_ref().map(|it| format!("{it}: ")).unwrap_or_default();
        let detail = printable(&step.detail);
        let (number, name) = (step.number, &step.name);
        lines.push(format!("step {number}  {name:11}  {state:12}  {code}{detail}"));
    }
    for it in &report.signatures {
        let at = it.signed_at.map_or_else(|| "no time".to_owned(), |at| at.to_string());
        lines.push(format!("signed  {:6}  key={}  at={at}", it.artifact, it.key_id));
    }
    // Who compares what has signed with what may needs both lists.
    if report.steps.iter().any(|it| it.code.as_deref() == Some("ErrBadSignature")) {
        lines.extend(report.given_keys.iter().map(|it| format!("given   key={it}")));
    }
    lines.push(verdict(report));
    let failed = |it: &&String| {
        // What a failed step says stands in its line.
        !report.steps.iter().any(|step| it.starts_with(&format!("{}: ", step.name)))
    };
    let not: Vec<_> = report.not_established.iter().filter(failed).collect();
    if !not.is_empty() {
        lines.push("not established:".to_owned());
        lines.extend(not.into_iter().map(|it| format!("  - {}", printable(it))));
    }
    lines.push(String::new());
    lines.join("\n")
}
