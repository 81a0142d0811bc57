//! The tests that modules have of themselves.
//!
//! OPA's convention: a rule `test_…` of any package is a test, and passes exactly when it is `true`. A rule
//! `todo_test_…` is one that is not written yet, and is not run.
//!
//! # Invariants
//!
//! * **Y1** What a test passes under is what decides: the same vetting, the same strictness about errors in
//!   functions, the same limits.
//! * **Y2** Each test has an engine of its own; none sees what another left behind.

use std::collections::{BTreeMap, BTreeSet};

use regorus::{Engine, LimitError, Value, utils::limits::ExecutionTimerConfig};

use super::{
    EVALUATION_TIME_MAX, ModuleError, Place,
    compile::{self, Program},
    place::Report,
    program::{CLOCK_INTERVAL, TIME_IS_OVER},
    stack, vet,
};
use crate::Sources;

/// What the name of a test begins with.
const TEST: &str = "test_";
/// What the name of a test begins with that is not run.
const TODO: &str = "todo_test_";
/// How the names of files end that have tests and nothing else; they are no part of a bundle that is built
/// from a directory.
pub const TEST_FILE: &str = "_test.rego";

/// A test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Test {
    /// Its path, for example `data.autonomy_test.test_echo`.
    pub name: String,
    /// Where it is defined first.
    pub place: Place,
    /// Whether it is named `todo_test_…` and so is not run.
    pub skipped: bool,
}

/// What came of a test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is `true`.
    Passed,
    /// It is undefined, `false`, or anything else than `true`; this is what.
    Failed(String),
    /// The engine failed on it.
    Error(String),
    /// It took longer than [`EVALUATION_TIME_MAX`].
    TimeOver,
    /// It was not run.
    Skipped,
}

/// Lines of a file that tests went through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileCoverage {
    /// Lines with an expression that was evaluated.
    pub covered: BTreeSet<u32>,
    /// Lines with expressions of which none was evaluated.
    pub not_covered: BTreeSet<u32>,
}

/// All tests of a policy (Y1, Y2).
pub struct Suite {
    program: Program,
    tests: Vec<Test>,
    stack: usize,
    /// By file; those with tests only are left out.
    coverage: Option<BTreeMap<String, FileCoverage>>,
}

impl Suite {
    /// Compiles a policy and finds its tests, by file and line. With `coverage` it notes what they go
    /// through, which takes longer.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] when the modules make no policy.
    pub fn new(sources: &Sources, coverage: bool) -> Result<Self, ModuleError> {
        let mut program = compile::compile(sources.source_modules(), sources.data())?;
        program.engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: EVALUATION_TIME_MAX,
            check_interval: CLOCK_INTERVAL,
        });
        program.engine.set_enable_coverage(coverage);
        let tests = tests(&mut program.engine);
        let coverage = coverage.then(|| untouched(&mut program.engine));
        let stack = stack::need(program.depth);
        Ok(Self { program, tests, stack, coverage })
    }

    /// Returns the tests, by file and line.
    pub fn tests(&self) -> &[Test] {
        &self.tests
    }

    /// Runs one test (Y2).
    pub fn run(&mut self, test: &Test) -> Outcome {
        if test.skipped {
            return Outcome::Skipped;
        }
        let engine = self.program.engine.clone();
        let with_coverage = self.coverage.is_some();
        match stack::run(self.stack, || evaluate(engine, &test.name, with_coverage)) {
            Ok(Ok((outcome, covered))) => {
                self.cover(covered);
                outcome
            }
            Ok(Err(panic)) => Outcome::Error(stack::panic_text(&*panic).to_owned()),
            Err(error) => Outcome::Error(format!("no thread: {error}")),
        }
    }

    /// Returns what the tests that were run went through, by file; files with tests only are left out.
    /// Nothing when it was not asked for.
    pub const fn coverage(&self) -> Option<&BTreeMap<String, FileCoverage>> {
        self.coverage.as_ref()
    }

    fn cover(&mut self, covered: Vec<(String, FileCoverage)>) {
        let Some(coverage) = &mut self.coverage else { return };
        for (file, seen) in covered {
            let Some(known) = coverage.get_mut(&file) else { continue };
            if known.covered.is_empty() {
                // What stood there until now was about a file that nothing went through.
                known.not_covered.clear();
            }
            known.not_covered.extend(seen.not_covered);
            known.covered.extend(seen.covered);
            known.not_covered.retain(|line| !known.covered.contains(line));
        }
    }
}

impl std::fmt::Debug for Suite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Suite").field("tests", &self.tests.len()).finish_non_exhaustive()
    }
}

fn evaluate(
    mut engine: Engine,
    rule: &str,
    with_coverage: bool,
) -> (Outcome, Vec<(String, FileCoverage)>) {
    let outcome = match engine.eval_rule(rule.to_owned()) {
        Ok(Value::Bool(true)) => Outcome::Passed,
        Ok(Value::Undefined) => Outcome::Failed("undefined".to_owned()),
        Ok(other) => Outcome::Failed(other.to_string()),
        Err(error) => match (error.downcast_ref::<LimitError>(), error.to_string()) {
            (Some(LimitError::TimeLimitExceeded { .. }), _) => Outcome::TimeOver,
            (_, text) if text.contains(TIME_IS_OVER) => Outcome::TimeOver,
            (_, text) => Outcome::Error(Report::read(&text).to_string()),
        },
    };
    let report = if with_coverage { engine.get_coverage_report().ok() } else { None };
    let files = report.map(|it| it.files).unwrap_or_default();
    let seen = files
        .into_iter()
        .map(|it| (it.path, FileCoverage { covered: it.covered, not_covered: it.not_covered }));
    (outcome, seen.collect())
}

/// Whether a rule of this name is a test, run or not.
pub(crate) fn is_test(name: &str) -> bool {
    name.starts_with(TEST) || name.starts_with(TODO)
}

fn tests(engine: &mut Engine) -> Vec<Test> {
    let mut found: Vec<Test> = Vec::new();
    for (path, place) in vet::rules(engine.get_modules()) {
        let Some(own) = path.last() else { continue };
        let skipped = own.starts_with(TODO);
        let name = format!("data.{}", path.join("."));
        if is_test(own) && found.iter().all(|it| it.name != name) {
            found.push(Test { name, place, skipped });
        }
    }
    found.sort_by(|a, b| (&a.place.file, a.place.line).cmp(&(&b.place.file, b.place.line)));
    found
}

/// Every file without tests, none of its rules covered. The engine says more about a file that was touched.
fn untouched(engine: &mut Engine) -> BTreeMap<String, FileCoverage> {
    let mut found: BTreeMap<String, FileCoverage> = BTreeMap::new();
    for (_, Place { file, line, .. }) in vet::rules(engine.get_modules()) {
        if !file.ends_with(TEST_FILE) {
            found.entry(file).or_default().not_covered.insert(line);
        }
    }
    found
}
