//! Tells what happens and keeps the verdicts.

use std::io::{self, Write as _};

use anyhow::Result;

/// Tells a story on stdout, or keeps quiet.
#[derive(Debug)]
pub struct Narrator {
    loud: bool,
    verdicts: Verdicts,
}

/// What was established, in order.
#[derive(Debug, Default)]
pub struct Verdicts(Vec<(String, Result<()>)>);

impl Narrator {
    /// A narrator for people.
    pub fn loud() -> Self {
        Self { loud: true, verdicts: Verdicts::default() }
    }

    /// A narrator for tests.
    pub fn quiet() -> Self {
        Self { loud: false, verdicts: Verdicts::default() }
    }

    /// Begins a part.
    pub fn part(&self, title: &str) {
        self.say(&format!("\n== {title}"));
    }

    /// Says one or more lines.
    pub fn say(&self, text: &str) {
        if self.loud {
            let mut stdout = io::stdout().lock();
            // A reader that went away does not stop the story.
            writeln!(stdout, "{text}").and_then(|()| stdout.flush()).ok();
        }
    }

    /// Shows output of a program, indented.
    pub fn show(&self, output: &str) {
        for line in output.lines() {
            self.say(&format!("   {line}"));
        }
    }

    /// Carries out a check. After the first failure nothing further is tried, since later checks
    /// stand on earlier ones; each is then reported as not run.
    pub fn check<T>(&mut self, what: &str, check: impl FnOnce() -> Result<T>) -> Option<T> {
        if self.verdicts.failed() {
            self.verdicts.0.push((what.to_owned(), Err(anyhow::anyhow!("not run"))));
            return None;
        }
        match check() {
            Ok(found) => {
                self.say(&format!("   ok: {what}"));
                self.verdicts.0.push((what.to_owned(), Ok(())));
                Some(found)
            }
            Err(error) => {
                self.say(&format!("   FAILED: {what}\n{error:?}"));
                self.verdicts.0.push((what.to_owned(), Err(error)));
                None
            }
        }
    }

    /// Ends the story.
    pub fn finish(self) -> Verdicts {
        self.verdicts
    }
}

impl Verdicts {
    /// Whether any check failed. A story without checks has shown nothing, so it fails too.
    pub fn failed(&self) -> bool {
        self.0.iter().any(|(_, verdict)| verdict.is_err())
    }

    /// The first check that failed, with its reason.
    pub fn first_failure(&self) -> Option<String> {
        let found = self.0.iter().find_map(|(what, verdict)| Some((what, verdict.as_ref().err()?)));
        found.map(|(what, error)| format!("{what}: {error:#}"))
    }

    /// Every check in order, with the reason of one that failed.
    pub fn each(&self) -> impl Iterator<Item = (&str, Option<String>)> {
        self.0.iter().map(|(what, verdict)| {
            (what.as_str(), verdict.as_ref().err().map(|error| format!("{error:#}")))
        })
    }

    /// Number of checks that passed.
    pub fn passed(&self) -> usize {
        self.0.iter().filter(|(_, verdict)| verdict.is_ok()).count()
    }

    /// The table of verdicts.
    pub fn table(&self) -> String {
        let word = |verdict: &Result<()>| if verdict.is_ok() { "PASS" } else { "FAIL" };
        let rows = self.0.iter().map(|(what, verdict)| format!("{}  {what}\n", word(verdict)));
        let rows: String = rows.collect();
        let failed = self.0.len() - self.passed();
        format!("{rows}{} passed, {failed} failed", self.passed())
    }

    /// Turns a failed story into an error that shows its first failure.
    ///
    /// # Errors
    ///
    /// When a check failed or none was made.
    pub fn into_result(self) -> Result<()> {
        anyhow::ensure!(!self.0.is_empty(), "the story checked nothing");
        for (what, verdict) in self.0 {
            verdict.map_err(|error| error.context(what))?;
        }
        Ok(())
    }
}
