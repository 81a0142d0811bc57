//! Copies of images, with a bar for whoever waits.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use supply_chain::{Digest, Progress, Reference, Registry, Sidecar, Transferred, transfer};

use crate::{args::Output, commands::registry::not_copied, context::Context, failure::Failure};

/// What the bar shows.
const BAR: &str = "[copy] {bar:30} {bytes}/{total_bytes}  {bytes_per_sec}  {msg}";

/// What was copied.
#[derive(Serialize)]
pub(in crate::commands) struct Copied {
    from: String,
    to: String,
    digest: Digest,
    manifests: u64,
    contents: u64,
    /// Bytes that were moved: what was there already is not.
    bytes: u64,
    sidecars: Vec<&'static str>,
    /// Artifacts with signatures, not verified here.
    signatures: u64,
}

impl Copied {
    fn of(from: &Reference, to: &Reference, done: &Transferred) -> Self {
        Self {
            from: from.to_string(),
            to: to.to_string(),
            digest: done.digest,
            manifests: done.manifests,
            contents: done.contents,
            bytes: done.bytes,
            sidecars: done.sidecars.iter().map(|it| Sidecar::name(*it)).collect(),
            signatures: done.signatures,
        }
    }

    /// The same for people.
    pub(in crate::commands) fn pairs(&self) -> Vec<(&'static str, String)> {
        let sidecars = match self.sidecars.as_slice() {
            [] => "none".to_owned(),
            some => some.join(", "),
        };
        let signed = match self.signatures {
            0 => "none".to_owned(),
            some => format!("beside {some} of the artifacts"),
        };
        let (manifests, contents, bytes) = (self.manifests, self.contents, self.bytes);
        vec![
            ("copied", self.from.clone()),
            ("to", self.to.clone()),
            ("digest", self.digest.to_string()),
            ("moved", format!("{manifests} manifests, {contents} contents, {bytes} bytes")),
            ("sidecars", sidecars),
            ("signatures", signed),
        ]
    }
}

/// Copies an image with everything that belongs to it.
pub(in crate::commands) fn copy(
    (source, from): (&dyn Registry, &Reference),
    (target, to): (&dyn Registry, &Reference),
    output: Output,
    context: Context<'_>,
) -> Result<Copied, Failure> {
    let bar = (context.terminal && output == Output::Text).then(bar);
    let mut report = |progress: &Progress<'_>| {
        let Some(bar) = &bar else { return };
        match progress {
            Progress::Begins(it) => {
                bar.set_length(bar.length().unwrap_or_default() + it.size);
                bar.set_message(it.digest.to_string());
            }
            Progress::Read { bytes } => bar.inc(*bytes),
            _ => {}
        }
    };
    let done = transfer((source, from), (target, to), &mut report);
    if let Some(bar) = &bar {
        bar.finish_and_clear();
    }
    Ok(Copied::of(from, to, &done.map_err(|it| not_copied(&it))?))
}

fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr());
    // A template that does not parse shows the standard bar.
    bar.with_style(
        ProgressStyle::with_template(BAR).unwrap_or_else(|_| ProgressStyle::default_bar()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_of_the_bar_parses() {
        assert!(ProgressStyle::with_template(BAR).is_ok());
    }
}
