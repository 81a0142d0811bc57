//! What the drills found, signed: so that somebody who was not there can hold a build to it.
//!
//! Beside a report stands a DSSE envelope around an in-toto statement v1 with a predicate of the type
//! [`PREDICATE_TYPE`]:
//!
//! | member          | what it holds                                                                       |
//! |-----------------|-------------------------------------------------------------------------------------|
//! | `subject`       | the programs that were drilled, each with the SHA-256 of its file                     |
//! | `result`        | `PASSED`; `WARNED` when some drill was skipped; `FAILED` when one failed or the run did |
//! | `configuration` | the report, with its SHA-256, and whether the faults were injected                    |
//! | `passedTests`, `warnedTests`, `failedTests` | drills by name; one that was skipped is warned, never passed |

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use supply_chain::{Digest, SigningKey, Statement, Subject, keyfile::read_signing_key};

use crate::harness::Bin;

/// Type of what is said about the programs.
pub const PREDICATE_TYPE: &str = "https://in-toto.io/attestation/test-result/v0.1";
/// Holds the password of an encrypted key, as for `autonomy`.
const PASSWORD: &str = "AUTONOMY_KEY_PASSWORD";
/// What the name of the envelope ends with, in place of `.json`.
const EXTENSION: &str = "intoto.json";

/// Signs the report of a run over these very programs.
#[derive(Debug)]
pub struct Signer {
    key: SigningKey,
    programs: Vec<Subject>,
}

impl Signer {
    /// Reads a private key as `autonomy keys generate` writes it, and the programs that are about to be drilled.
    ///
    /// # Errors
    ///
    /// When the key cannot be used or the programs cannot be built.
    pub fn new(key: &Path) -> Result<Self> {
        let password = std::env::var(PASSWORD).ok();
        let key = read_signing_key(key, password.as_deref())?;
        let programs = [Bin::Autonomy, Bin::Orchestrator, Bin::Sink].map(|bin| {
            let path = bin.path()?;
            let bytes = fs::read(&path).with_context(|| path.display().to_string())?;
            Ok(Subject { name: bin.name().to_owned(), digest: Digest::sha256(&bytes) })
        });
        Ok(Self { key, programs: programs.into_iter().collect::<Result<_>>()? })
    }

    /// Signs a report and returns where the envelope is: beside it.
    ///
    /// # Errors
    ///
    /// When the report is none, or a file cannot be read or written.
    pub fn sign(&self, report: &Path) -> Result<PathBuf> {
        let statement = statement(&fs::read(report)?, self.programs.clone())?;
        let path = report.with_extension(EXTENSION);
        fs::write(&path, statement.sign(&self.key)?.to_bytes())?;
        Ok(path)
    }
}

/// Removes the envelope of an earlier report, which says nothing about this one.
pub(super) fn discard(report: &Path) -> Result<()> {
    match fs::remove_file(report.with_extension(EXTENSION)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

/// What a report says, about these programs.
fn statement(report: &[u8], programs: Vec<Subject>) -> Result<Statement> {
    let said: Value = serde_json::from_slice(report)?;
    ensure!(said["format"] == "autonomy.drills/1", "this is no report of drills");
    let (mut passed, mut warned, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    for drill in said["drills"].as_array().context("a report without drills")? {
        let list = match drill["result"].as_str() {
            Some("passed") => &mut passed,
            Some("skipped") => &mut warned,
            Some("failed") => &mut failed,
            other => bail!("a drill that is {other:?}"),
        };
        list.push(drill["name"].as_str().context("a drill without a name")?);
    }
    let good = said["passed"] == true && failed.is_empty();
    let result = match (good, warned.is_empty() && !passed.is_empty()) {
        (false, _) => "FAILED",
        (true, false) => "WARNED",
        (true, true) => "PASSED",
    };
    let configuration = json!([{
        "name": "report.json",
        "digest": { "sha256": Digest::sha256(report).hex() },
        "annotations": { "fault": said["fault"] },
    }]);
    Ok(Statement {
        subject: programs,
        predicate_type: PREDICATE_TYPE.to_owned(),
        predicate: json!({
            "result": result,
            "configuration": configuration,
            "passedTests": passed,
            "warnedTests": warned,
            "failedTests": failed,
        }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(passed: bool, results: &[&str]) -> Value {
        let drills: Vec<_> = results.iter().map(|it| json!({ "name": it, "result": it })).collect();
        let report = json!({
            "format": "autonomy.drills/1",
            "fault": "injected",
            "passed": passed,
            "drills": drills,
        });
        let program = Subject { name: "x".to_owned(), digest: Digest::sha256(b"x") };
        statement(report.to_string().as_bytes(), vec![program]).unwrap().predicate
    }

    #[test]
    fn a_run_is_passed_only_when_every_drill_is() {
        for (passed, results, want) in [
            (true, &["passed", "passed"][..], "PASSED"),
            (true, &["passed", "skipped"], "WARNED"),
            (true, &["skipped"], "WARNED"),
            (true, &[], "WARNED"),
            // Skipped where nothing may be.
            (false, &["passed", "skipped"], "FAILED"),
            (false, &["passed", "failed"], "FAILED"),
            (true, &["failed"], "FAILED"),
        ] {
            assert_eq!(about(passed, results)["result"], want, "{passed} {results:?}");
        }
    }

    #[test]
    fn each_drill_is_named_once_under_its_result() {
        let said = about(false, &["skipped", "failed", "passed"]);
        assert_eq!(said["passedTests"], json!(["passed"]));
        assert_eq!(said["warnedTests"], json!(["skipped"]));
        assert_eq!(said["failedTests"], json!(["failed"]));
        assert_eq!(said["configuration"][0]["annotations"]["fault"], "injected");
    }

    #[test]
    fn what_is_no_report_is_not_signed() {
        for report in ["", "{}", r#"{"format":"autonomy.drills/1"}"#] {
            statement(report.as_bytes(), Vec::new()).unwrap_err();
        }
        let odd = r#"{"format":"autonomy.drills/1","drills":[{"name":"x","result":"fine"}]}"#;
        statement(odd.as_bytes(), Vec::new()).unwrap_err();
    }
}
