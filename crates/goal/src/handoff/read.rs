//! Reading a file of handoffs.

use jiff::Timestamp;

use super::{HandoffStatus, INDENT, Parsed};

/// Start of a heading.
const HEADING: &str = "## [";

/// One section, not yet judged.
#[derive(Default)]
struct Section<'a> {
    at: Option<Timestamp>,
    status: Option<&'a str>,
    changed_files: Vec<String>,
    bridge_links: Vec<String>,
    quota_reason: Option<String>,
    retry_hint: Option<String>,
    message: Vec<&'a str>,
}

/// Reads what a file of handoffs says (H1, H2).
pub fn parse(text: &str) -> Parsed {
    let sections = sections(text);
    let with_status = sections.iter().rev().find(|it| it.known_status().is_some());
    with_status.or(sections.last()).map(Section::parsed).unwrap_or_default()
}

/// Splits a file at its headings. Text before the first one is a section too, unless it is empty.
fn sections(text: &str) -> Vec<Section<'_>> {
    let mut sections = vec![Section::default()];
    let mut headings = 0_usize;
    for line in text.split('\n') {
        let line = line.strip_suffix('\r').unwrap_or(line);
        if let Some(time) = line.strip_prefix(HEADING).and_then(|it| it.split_once(']')) {
            sections.push(Section { at: time_of(time.0), ..Section::default() });
            headings += 1;
        } else if let Some(section) = sections.last_mut() {
            section.take(line);
        }
    }
    let preamble_is_empty = sections.first().is_some_and(Section::is_empty);
    if preamble_is_empty && headings > 0 {
        sections.remove(0);
    }
    sections
}

/// Reads `2026-03-01 10:00 UTC`.
fn time_of(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.trim().strip_suffix("UTC")?.trim().split_once(' ')?;
    format!("{date}T{clock}:00Z").parse().ok()
}

impl<'a> Section<'a> {
    fn known_status(&self) -> Option<HandoffStatus> {
        HandoffStatus::parse(self.status?)
    }

    fn is_empty(&self) -> bool {
        self.status.is_none()
            && self.changed_files.is_empty()
            && self.bridge_links.is_empty()
            && self.quota_reason.is_none()
            && self.retry_hint.is_none()
            && self.message.iter().all(|it| it.trim().is_empty())
    }

    /// Takes one line: a field, or a line of the message.
    fn take(&mut self, line: &'a str) {
        let Some((name, value)) = line.split_once(':') else {
            self.message.push(line);
            return;
        };
        let value = value.trim();
        match name {
            "STATUS" => self.status = self.status.or(Some(value)),
            "Changed" => self.changed_files.extend(values(value)),
            "Bridge" => self.bridge_links.extend(values(value)),
            "QUOTA_REASON" => keep_first(&mut self.quota_reason, value),
            "RETRY_HINT" => keep_first(&mut self.retry_hint, value),
            _ => self.message.push(line),
        }
    }

    fn parsed(&self) -> Parsed {
        Parsed {
            status: self.known_status(),
            changed_files: self.changed_files.clone(),
            bridge_links: self.bridge_links.clone(),
            quota_reason: self.quota_reason.clone(),
            retry_hint: self.retry_hint.clone(),
            message: message(&self.message),
            at: self.at,
        }
    }
}

/// Reads a field of one value; the first one counts (H5).
fn keep_first(field: &mut Option<String>, value: &str) {
    if field.is_none() && !value.is_empty() {
        *field = Some(unquoted(value).unwrap_or_else(|| value.to_owned()));
    }
}

/// Reads a JSON string.
fn unquoted(value: &str) -> Option<String> {
    value.starts_with('"').then(|| serde_json::from_str(value).ok()).flatten()
}

/// Reads a field of many values: one JSON string, or values behind commas.
fn values(value: &str) -> Vec<String> {
    if let Some(value) = unquoted(value) {
        return vec![value];
    }
    let parts = value.split(',').map(str::trim).filter(|it| !it.is_empty());
    parts.map(str::to_owned).collect()
}

/// Returns the message without the empty lines around it, and without the indentation when every
/// line has it.
fn message(lines: &[&str]) -> String {
    let indented = lines.iter().all(|it| it.is_empty() || it.starts_with(INDENT));
    let plain = |line: &&str| {
        let line = if indented { line.strip_prefix(INDENT).unwrap_or(line) } else { line };
        line.to_owned()
    };
    lines.iter().map(plain).collect::<Vec<_>>().join("\n").trim_matches('\n').to_owned()
}
