//! The signed report of drills, as somebody sees it who trusts a public key and nothing else.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use e2e::{
    harness::{Bin, Finished, NO_SKIP, autonomy, run_to_end},
    stories::{
        attest::{PREDICATE_TYPE, Signer},
        drill::{self, Fault},
        packs,
    },
};
use serde_json::{Value, json};
use supply_chain::{
    Digest, PublicKey, STATEMENT_PAYLOAD_TYPE, Statement, keyfile::read_public_key, pae,
};
use tempfile::TempDir;

/// A quick one.
const DRILL: &str = "WAL_PHANTOM_DISCARDED";

/// A directory with keys and what a run has left.
struct Run {
    dir: TempDir,
    passed: bool,
}

impl Run {
    /// Runs one drill and signs its report.
    fn of(fault: Fault) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let made = autonomy(&["keys", "generate", "--out", keys.to_str().unwrap()]).unwrap();
        assert_eq!(made.code(), Some(0), "{made:?}");
        let signer = Signer::new(&keys.join("autonomy.key")).unwrap();
        let drills: Vec<_> = packs::named(DRILL).copied().collect();
        let report = dir.path().join("report.json");
        let passed = drill::run(&drills, fault, true, &report).unwrap();
        assert_eq!(signer.sign(&report).unwrap(), dir.path().join("report.intoto.json"));
        Self { dir, passed }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn key(&self) -> PublicKey {
        read_public_key(&self.path("keys/autonomy.pub")).unwrap()
    }

    fn envelope(&self) -> Vec<u8> {
        fs::read(self.path("report.intoto.json")).unwrap()
    }

    fn statement(&self) -> Statement {
        let (statement, signed_by) = Statement::open(&self.envelope(), &[self.key()]).unwrap();
        assert!(signed_by.contains(&self.key().id()), "{signed_by:?}");
        statement
    }

    /// Whether openssl takes the signature of the envelope as one over `payload`.
    fn openssl(&self, payload: &[u8]) -> Finished {
        let envelope: Value = serde_json::from_slice(&self.envelope()).unwrap();
        let signature = envelope["signatures"][0]["sig"].as_str().unwrap();
        fs::write(self.path("signature"), STANDARD.decode(signature).unwrap()).unwrap();
        let kind = envelope["payloadType"].as_str().unwrap();
        fs::write(self.path("signed"), pae(kind, payload)).unwrap();
        let mut command = Command::new("openssl");
        command.args(["pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", "keys/autonomy.pub"]);
        command.args(["-in", "signed", "-sigfile", "signature"]).current_dir(self.dir.path());
        run_to_end(&mut command).unwrap()
    }
}

fn payload(envelope: &[u8]) -> Vec<u8> {
    let envelope: Value = serde_json::from_slice(envelope).unwrap();
    STANDARD.decode(envelope["payload"].as_str().unwrap()).unwrap()
}

fn sha256(path: &Path) -> String {
    Digest::sha256(&fs::read(path).unwrap()).hex()
}

#[test]
fn a_signed_report_says_which_programs_passed_which_drills() {
    let run = Run::of(Fault::Injected);
    assert!(run.passed);
    let statement = run.statement();
    assert_eq!(statement.predicate_type, PREDICATE_TYPE);
    let programs = [Bin::Autonomy, Bin::Orchestrator, Bin::Sink];
    let subjects: Vec<_> =
        statement.subject.iter().map(|it| (&*it.name, it.digest.hex())).collect();
    assert_eq!(subjects, programs.map(|it| (it.name(), sha256(&it.path().unwrap()))));
    let said = &statement.predicate;
    assert_eq!(said["result"], "PASSED");
    assert_eq!(said["passedTests"], json!([DRILL]));
    assert_eq!((&said["warnedTests"], &said["failedTests"]), (&json!([]), &json!([])));
    let report = &said["configuration"][0];
    assert_eq!(report["digest"]["sha256"], sha256(&run.path("report.json")));
    assert_eq!(report["annotations"]["fault"], "injected");
}

#[test]
fn a_run_without_faults_is_signed_as_failed() {
    let run = Run::of(Fault::LeftOut);
    assert!(!run.passed);
    let said = run.statement().predicate;
    assert_eq!(said["result"], "FAILED");
    assert_eq!((&said["passedTests"], &said["failedTests"]), (&json!([]), &json!([DRILL])));
    assert_eq!(said["configuration"][0]["annotations"]["fault"], "left_out");
    // The next report is not the one that was signed.
    drill::run(&[], Fault::Injected, true, &run.path("report.json")).unwrap();
    assert!(!run.path("report.intoto.json").exists());
}

#[test]
fn a_report_that_was_changed_is_not_taken_and_openssl_agrees() {
    let run = Run::of(Fault::LeftOut);
    let (envelope, good) = (run.envelope(), payload(&run.envelope()));
    let changed = String::from_utf8(good.clone()).unwrap().replace("FAILED", "PASSED").into_bytes();
    assert_ne!(changed, good);
    let mut forged: Value = serde_json::from_slice(&envelope).unwrap();
    forged["payload"] = json!(STANDARD.encode(&changed));
    Statement::open(forged.to_string().as_bytes(), &[run.key()]).unwrap_err();
    // The same payload as something else, and the same envelope under another key.
    let mut other: Value = serde_json::from_slice(&envelope).unwrap();
    assert_eq!(other["payloadType"], STATEMENT_PAYLOAD_TYPE);
    other["payloadType"] = json!("text/plain");
    Statement::open(other.to_string().as_bytes(), &[run.key()]).unwrap_err();
    Statement::open(&envelope, &[Run::of(Fault::LeftOut).key()]).unwrap_err();

    if !Command::new("openssl").arg("version").output().is_ok_and(|it| it.status.success()) {
        assert!(std::env::var_os(NO_SKIP).is_none(), "openssl may not be missing here");
        // Not `eprintln`: that is captured, and a skip must be seen.
        writeln!(std::io::stderr(), "skipped: openssl does not work here").unwrap();
        return;
    }
    assert_eq!(run.openssl(&good).code(), Some(0));
    assert_ne!(run.openssl(&changed).code(), Some(0));
}

#[test]
fn a_key_that_cannot_be_used_is_said_before_anything_is_run() {
    for args in [&["SEQ_GAP", "--sign", "/nonexistent/key"][..], &["val10", "--sign", "key"]] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stories"));
        let ended = run_to_end(command.arg("drill").args(args)).unwrap();
        assert!(!ended.status.success(), "{ended:?}");
        assert_eq!(ended.stdout, "", "{args:?}");
        assert!(ended.stderr.contains("key") || ended.stderr.contains("--sign"), "{ended:?}");
    }
}
