//! `autonomy policy test`: runs the tests that a policy has of itself.

use std::io::{self, Write as _};

use api::exit::Exit;
use policy::{EVALUATION_TIME_MAX, Outcome, Sources, Suite, Test};
use regex::Regex;
use serde::Serialize;

use super::{bundle_bytes, refused, sources::Found};
use crate::{
    args::{Output, PolicyTest},
    commands::print_json,
    counted::counted,
    failure::Failure,
    printable::printable,
};

#[derive(Serialize)]
struct Ran<'a> {
    test: &'a str,
    file: &'a str,
    line: u32,
    /// `pass`, `fail`, `error` or `skip`.
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

#[derive(Debug, Default, Serialize)]
struct Counts {
    passed: usize,
    failed: usize,
    errors: usize,
    skipped: usize,
}

#[derive(Serialize)]
struct Lines<'a> {
    file: &'a str,
    covered: usize,
    not_covered: Vec<u32>,
}

pub(super) fn test(args: &PolicyTest) -> Result<Exit, Failure> {
    let mut suite = suite(args)?;
    let wanted = |it: &&Test| args.run.as_ref().is_none_or(|run| run.is_match(&it.name));
    let tests: Vec<_> = suite.tests().iter().filter(wanted).cloned().collect();
    let mut counts = Counts::default();
    for test in &tests {
        let outcome = suite.run(test);
        counts.add(&outcome);
        print(&ran(test, outcome), args.output.output)?;
    }
    summary(&counts, args.output.output)?;
    coverage(&suite, args.output.output)?;
    let Counts { passed, failed, errors, .. } = counts;
    match (failed + errors, passed) {
        (0, 0) => Err(none_ran(args, &suite)),
        (0, _) => Ok(Exit::Done),
        (bad, _) => {
            let message = format!("{bad} of {} did not pass", counted(bad + passed, "test"));
            Err(Failure::new(Exit::Failed, "POLICY_TESTS_FAILED", message))
        }
    }
}

fn suite(args: &PolicyTest) -> Result<Suite, Failure> {
    let (files, path) = match (&args.dir, &args.bundle) {
        (Some(dir), _) => (Sources::new(Found::read(std::slice::from_ref(dir))?.files), dir),
        (None, Some(path)) => {
            (policy::Bundle::open(&bundle_bytes(path)?).map(|it| Sources::of(&it)), path)
        }
        (None, None) => {
            return Err(Failure::new(Exit::Usage, "NO_TESTS", "neither DIR nor --bundle is given"));
        }
    };
    let sources = files.map_err(|it| refused(&it, path))?;
    Suite::new(&sources, args.coverage)
        .map_err(|it| refused(&it.into(), path).hint("autonomy policy check lists every error"))
}

/// What did not run did not pass.
fn none_ran(args: &PolicyTest, suite: &Suite) -> Failure {
    let message = match (suite.tests().len(), &args.run) {
        (0, _) => "there is no rule `test_…`".to_owned(),
        (all, Some(run)) => {
            let all = counted(all, "test");
            format!("none of {all} was run: `{run}` names none that can be")
        }
        (all, None) => {
            let all = counted(all, "test");
            format!("none of {all} was run: all are `todo_test_…`")
        }
    };
    let hint = "tests are rules `test_…`, by custom in files *_test.rego; a built bundle has none";
    Failure::new(Exit::Failed, "NO_TESTS", message).hint(hint)
}

impl Counts {
    fn add(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Passed => self.passed += 1,
            Outcome::Failed(_) => self.failed += 1,
            Outcome::Error(_) | Outcome::TimeOver => self.errors += 1,
            Outcome::Skipped => self.skipped += 1,
        }
    }
}

fn ran(case: &Test, outcome: Outcome) -> Ran<'_> {
    let (result, message) = match outcome {
        Outcome::Passed => ("pass", None),
        Outcome::Failed(what) => ("fail", Some(format!("it is {what}"))),
        Outcome::Error(text) => ("error", Some(text)),
        Outcome::TimeOver => {
            let limit = EVALUATION_TIME_MAX.as_secs_f64();
            ("error", Some(format!("it took longer than {limit} s")))
        }
        Outcome::Skipped => ("skip", None),
    };
    let (file, line) = (case.place.file.as_str(), case.place.line);
    Ran { test: &case.name, file, line, result, message }
}

fn print(line: &Ran<'_>, output: Output) -> io::Result<()> {
    if output == Output::Json {
        return print_json(line);
    }
    let mut stdout = io::stdout().lock();
    let Ran { test, file, line, result, message } = line;
    write!(stdout, "{:5}  {}  {}:{line}", result.to_uppercase(), printable(test), printable(file))?;
    if let Some(message) = message {
        write!(stdout, "  {}", printable(message))?;
    }
    writeln!(stdout)
}

fn summary(counts: &Counts, output: Output) -> io::Result<()> {
    if output == Output::Json {
        return print_json(counts);
    }
    let Counts { passed, failed, errors, skipped } = counts;
    let errors = counted(*errors, "error");
    let text = format!("{passed} passed, {failed} failed, {errors}, {skipped} skipped");
    writeln!(io::stdout().lock(), "{text}")
}

fn coverage(suite: &Suite, output: Output) -> io::Result<()> {
    let (mut covered, mut all) = (0, 0);
    for (file, seen) in suite.coverage().into_iter().flatten() {
        let not_covered: Vec<_> = seen.not_covered.iter().copied().collect();
        covered += seen.covered.len();
        all += seen.covered.len() + not_covered.len();
        let line = Lines { file, covered: seen.covered.len(), not_covered };
        if output == Output::Json {
            print_json(&line)?;
            continue;
        }
        let Lines { covered, not_covered, .. } = line;
        let all = covered + not_covered.len();
        let missing: Vec<_> = not_covered.iter().map(u32::to_string).collect();
        let missing = if missing.is_empty() {
            String::new()
        } else {
            format!("  not: {}", missing.join(", "))
        };
        writeln!(io::stdout().lock(), "covered {covered}/{all}  {}{missing}", printable(file))?;
    }
    if output == Output::Text && suite.coverage().is_some() {
        let lines = if all == 1 { "line" } else { "lines" };
        writeln!(io::stdout().lock(), "covered {covered}/{all} {lines}")?;
    }
    Ok(())
}

/// Reads the value of `--run`.
pub(crate) fn parse_run(text: &str) -> Result<Regex, String> {
    Regex::new(text).map_err(|error| format!("`{text}` is not a regular expression: {error}"))
}
