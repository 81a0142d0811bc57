//! What an operator sees while a drain runs.
//!
//! | output | stderr is a terminal | backlog              | shown                                      |
//! |--------|----------------------|----------------------|--------------------------------------------|
//! | text   | any                  | below [`BAR_FROM`]   | every notice, a line on stdout              |
//! | text   | no                   | any                  | every notice, a line on stdout              |
//! | text   | yes                  | from [`BAR_FROM`]    | a bar; notices that are not about progress  |
//! | JSON   | any                  | any                  | every notice, a line on stderr              |

use std::io::{self, Write as _};

use drain::Notice;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::{args::Output, printable::printable_lines};

/// Events from which a bar says more than lines do.
const BAR_FROM: u64 = 10_000;
/// What the bar shows.
const BAR: &str = "[drain] {bar:30} {human_pos}/{human_len} events  {per_sec}  {eta} left";

/// Tells the notices of a drain.
pub(super) struct Teller {
    output: Output,
    terminal: bool,
    bar: Option<ProgressBar>,
}

impl Teller {
    pub(super) const fn new(output: Output, terminal: bool) -> Self {
        Self { output, terminal, bar: None }
    }

    pub(super) fn tell(&mut self, notice: &Notice) {
        match (&self.bar, notice) {
            (None, Notice::Queue { events }) => {
                self.line(notice);
                let many = events.total() >= BAR_FROM;
                if many && self.terminal && self.output == Output::Text {
                    self.bar = Some(bar(events.total()));
                }
            }
            (Some(bar), Notice::Queue { events }) => {
                bar.set_length(bar.position() + events.total());
            }
            (Some(bar), Notice::Accepted { events, refused, .. }) => bar.inc(events + refused),
            (Some(_), Notice::Sending { .. }) => {}
            (Some(bar), _) => bar.suspend(|| self.line(notice)),
            (None, _) => self.line(notice),
        }
    }

    /// Tells something else.
    pub(super) fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.line(&text)),
            None => self.line(&text),
        }
    }

    /// Takes the bar away: nothing moves any more.
    pub(super) fn rest(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }

    /// Progress is for people: lines on stdout in text mode, on stderr when stdout carries JSON.
    fn line(&self, line: &dyn std::fmt::Display) {
        let line = line.to_string();
        // It quotes the collector. A reader that went away does not stop a delivery.
        let line = printable_lines(&line);
        match self.output {
            Output::Text => writeln!(io::stdout().lock(), "{line}").ok(),
            Output::Json => writeln!(io::stderr().lock(), "{line}").ok(),
        };
    }
}

fn bar(len: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(len), ProgressDrawTarget::stderr());
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

    #[test]
    fn a_bar_appears_for_many_events_on_a_terminal_and_counts_what_is_settled() {
        let events = |n| drain::PerClass { error: n, ..drain::PerClass::default() };
        for (output, terminal, count, shown) in [
            (Output::Text, true, BAR_FROM, true),
            (Output::Text, true, BAR_FROM - 1, false),
            (Output::Text, false, BAR_FROM, false),
            (Output::Json, true, BAR_FROM, false),
        ] {
            let mut teller = Teller::new(output, terminal);
            teller.tell(&Notice::Queue { events: events(count) });
            assert_eq!(teller.bar.is_some(), shown);
            teller.tell(&Notice::Accepted { batch: 1, events: 500, refused: 12 });
            if let Some(bar) = &teller.bar {
                assert_eq!((bar.position(), bar.length()), (512, Some(count)));
            }
            teller.rest();
            assert!(teller.bar.is_none());
        }
    }
}
