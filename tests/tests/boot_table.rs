//! Every row of the boot table and every text of it, with the real program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test; a missing JSON key reads as null"
)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use e2e::harness::{Bin, Finished, Process, autonomy, program, run_to_end};
use serde_json::Value;
use tempfile::TempDir;

const LEGACY: (&str, &str) = ("AUTONOMYOPS_WAL_LEGACY_UPGRADE", "1");
const RESET: (&str, &str) = ("AUTONOMYOPS_WAL_OPERATOR_RESET", "1");

/// A log directory and the runtime over it.
struct Node {
    dir: TempDir,
}

impl Node {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A node whose log holds frames as others wrote them, and a safe point.
    fn foreign(seqs: impl IntoIterator<Item = u64>, safe: Option<u64>) -> Self {
        let node = Self::new();
        node.write("telemetry.wal", &frames(seqs));
        if let Some(safe) = safe {
            node.write("telemetry.safe_seq", &safe.to_le_bytes());
        }
        node
    }

    /// A node that ran once and stopped.
    fn used() -> Self {
        let node = Self::new();
        node.start(&[]).stop().unwrap();
        node
    }

    fn wal(&self) -> PathBuf {
        self.dir.path().join("wal")
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::create_dir_all(self.wal()).unwrap();
        fs::write(self.wal().join(name), bytes).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.wal().join(name)).unwrap()
    }

    fn remove(&self, name: &str) {
        fs::remove_file(self.wal().join(name)).unwrap();
    }

    fn command(&self, env: &[(&str, &str)]) -> std::process::Command {
        let mut command = program(Bin::Autonomy).unwrap();
        command.args(["runtime", "start", "--listen", "127.0.0.1:0", "--node-id", "n1"]);
        command.arg("--wal-dir").arg(self.wal());
        command.arg("--policy-dir").arg(self.dir.path().join("policy"));
        command.envs(env.iter().copied());
        command
    }

    fn start(&self, env: &[(&str, &str)]) -> Process {
        let mut process = Process::start("runtime", &mut self.command(env)).unwrap();
        process.wait_for("runtime listening").unwrap();
        process
    }

    /// Starts a runtime that must refuse, and checks that nothing was changed.
    #[track_caller]
    fn refuses(&self, env: &[(&str, &str)]) -> Refusal {
        let before = files(&self.wal());
        let ended = run_to_end(&mut self.command(env)).unwrap();
        assert_eq!(ended.code(), Some(8), "{}", ended.stderr);
        assert_eq!(files(&self.wal()), before, "a refused log is left as it is");
        Refusal(ended)
    }
}

/// What a runtime says when it refuses a log.
struct Refusal(Finished);

impl Refusal {
    /// The ERROR line for machines, the FATAL line for people, and the text of the error.
    #[track_caller]
    fn says(&self, code: &str, fatal: &str, text: &str) {
        let stderr = &self.0.stderr;
        let line = stderr.lines().find(|it| it.contains("WAL_RECOVERY_FAIL_HARD")).unwrap();
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["msg"], "WAL_RECOVERY_FAIL_HARD");
        assert_eq!(line["cause"], code);
        assert!(line["dir"].as_str().unwrap().ends_with("/wal"));
        assert_eq!(line["error"], format!("telemetry/wal: {text}"));
        let want = format!("FATAL wal recovery failed: {code}: {fatal}");
        assert!(stderr.lines().any(|it| it == want), "{want}\n{stderr}");
        assert!(stderr.lines().any(|it| it.starts_with("hint: ")), "{stderr}");
    }

    /// A refusal whose FATAL line repeats the text after the dash.
    #[track_caller]
    fn says_alike(&self, code: &str, text: &str) {
        self.says(code, text, &format!("{code} — {text}"));
    }
}

/// Names and contents in a directory, the lock left out.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(dir).unwrap().map(Result::unwrap);
    let entries = entries.filter(|it| it.path().is_file() && it.file_name() != "telemetry.lock");
    let named = entries.map(|it| (it.file_name().into_string().unwrap(), it.path()));
    named.map(|(name, path)| (name, fs::read(path).unwrap())).collect()
}

fn frames(seqs: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let frame = |seq| {
        let payload = format!(
            r#"{{"seq":{seq},"written_at":"2026-01-02T03:04:05Z","event":{{"kind":"autonomy.decision","attrs":{{"decision":"allow"}}}}}}"#
        );
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes().to_vec();
        frame.extend_from_slice(payload.as_bytes());
        frame
    };
    seqs.into_iter().flat_map(frame).collect()
}

fn says_missing(refusal: &Refusal, node: &Node) {
    let path = node.wal().join("telemetry.safe_seq");
    refusal.says(
        "SAFESEQ_NOT_FOUND",
        "telemetry.safe_seq missing and AUTONOMYOPS_WAL_LEGACY_UPGRADE not set",
        &format!(
            "safe_seq missing in steady-state at \"{}\"; to upgrade from a pre-Phase-1 WAL set \
             AUTONOMYOPS_WAL_LEGACY_UPGRADE=1; to accept telemetry loss after deleting \
             telemetry.wal set AUTONOMYOPS_WAL_OPERATOR_RESET=1",
            path.display()
        ),
    );
}

#[test]
fn row_a_a_first_run_starts_without_a_warning() {
    let node = Node::new();
    let runtime = node.start(&[]);
    assert!(!runtime.output().contains("WAL_"), "{}", runtime.output());
    runtime.stop().unwrap();
    assert_eq!(node.read("telemetry.safe_seq").len(), 8);
}

#[test]
fn row_b_an_operator_reset_needs_its_variable_and_leaves_a_warning() {
    let node = Node::used();
    node.write("telemetry.pos", &3_u64.to_le_bytes());
    node.remove("telemetry.wal");
    node.remove("telemetry.safe_seq");
    says_missing(&node.refuses(&[]), &node);
    says_missing(&node.refuses(&[LEGACY]), &node);
    let mut runtime = node.start(&[RESET]);
    let line = runtime.wait_for("WAL_RESET_BY_OPERATOR").unwrap();
    assert!(line.contains(r#""level":"WARN""#), "{line}");
    runtime.stop().unwrap();
    assert_eq!(node.read("telemetry.pos"), [0; 8], "the position is reset with its log");
    node.start(&[]).stop().unwrap();
}

#[test]
fn row_c_a_legacy_upgrade_adopts_the_log_once() {
    let node = Node::foreign(1..=5, None);
    let before = node.read("telemetry.wal");
    says_missing(&node.refuses(&[]), &node);
    says_missing(&node.refuses(&[RESET]), &node);
    node.start(&[LEGACY]).stop().unwrap();
    assert!(node.read("telemetry.wal").starts_with(&before));
    node.start(&[]).stop().unwrap();
    let dir = node.wal();
    let dir = dir.to_str().unwrap();
    let exported = autonomy(&["telemetry", "export", "--dir", dir, "--out", "-"]).unwrap();
    assert!(exported.stdout.lines().count() > 5);
    assert!(exported.stdout.contains("wal.adopted"), "{}", exported.stdout);
}

#[test]
fn row_d_evidence_of_use_without_a_safe_point_is_refused() {
    for evidence in ["telemetry.pos", "telemetry.cursors", "active-lock.json", "telemetry.wal"] {
        let node = Node::new();
        node.write(evidence, b"");
        says_missing(&node.refuses(&[]), &node);
    }
    let node = Node::new();
    fs::create_dir_all(node.wal().join("archive")).unwrap();
    says_missing(&node.refuses(&[]), &node);
}

#[test]
fn row_e_a_safe_point_of_the_wrong_size_is_refused() {
    for len in [0, 7, 9] {
        let node = Node::used();
        node.write("telemetry.safe_seq", &vec![b'x'; len]);
        for env in [&[][..], &[LEGACY], &[RESET]] {
            let text = format!("safe_seq is {len} bytes long (expected 8)");
            node.refuses(env).says_alike("SAFESEQ_CORRUPT", &text);
        }
    }
}

#[test]
fn row_f_the_rules_of_the_scan() {
    for (node, code, text) in [
        (Node::foreign([2, 3], Some(3)), "FIRST_SEQ_NOT_ONE", "first frame Seq=2 (expected 1)"),
        (Node::foreign([1, 3], Some(3)), "SEQ_GAP", "frame Seq=3 follows Seq=1 (expected 2)"),
        (Node::foreign(1..=5, Some(7)), "SAFESEQ_GT_MAXSEQ", "safe_seq=7 but maxSeq=5"),
    ] {
        node.refuses(&[]).says_alike(code, text);
    }
    let node = Node::foreign(1..=3, Some(4));
    let mut log = frames(1..=3);
    log.extend_from_slice(b"\0\0\0\x09{\"seq\":4,");
    node.write("telemetry.wal", &log);
    let text = "frame at Seq=4 contains invalid JSON";
    node.refuses(&[]).says_alike("WAL_CORRUPT_INVALID_JSON", text);

    let mut log = frames(1..=3);
    log.extend_from_slice(&[0xff; 40]);
    node.write("telemetry.wal", &log);
    let text = "frame at Seq=4 has an impossible length of 4294967295 bytes";
    node.refuses(&[]).says_alike("WAL_CORRUPT_FRAME", text);
}

#[test]
fn row_f_a_flipped_bit_inside_a_text_is_found_by_the_chain() {
    let node = Node::used();
    let mut log = node.read("telemetry.wal");
    let at = log.windows(4).position(|it| it == b"\"n1\"").unwrap();
    log[at + 1] ^= 1;
    node.write("telemetry.wal", &log);
    let text = "frame at Seq=1 does not follow from the bytes before it";
    let refusal = node.refuses(&[]);
    refusal.says_alike("WAL_CORRUPT_CHAIN", text);
    assert!(refusal.0.stderr.contains("at seq 1, byte 0 of telemetry.wal"), "{}", refusal.0.stderr);
}

#[test]
fn row_f_a_torn_tail_is_cut_silently_and_a_phantom_with_a_warning() {
    let node = Node::used();
    let good = node.read("telemetry.wal");
    let mut torn = good.clone();
    torn.extend_from_slice(&frames([99])[..30]);
    node.write("telemetry.wal", &torn);
    let runtime = node.start(&[]);
    assert!(!runtime.output().contains("WARN\",\"msg\":\"WAL_"), "{}", runtime.output());
    runtime.stop().unwrap();
    assert!(node.read("telemetry.wal").starts_with(&good));

    let good = node.read("telemetry.wal");
    let mut phantom = good.clone();
    phantom.extend_from_slice(&frames([99]));
    node.write("telemetry.wal", &phantom);
    let mut runtime = node.start(&[]);
    let line = runtime.wait_for("WAL_PHANTOM_DISCARDED").unwrap();
    assert!(line.contains(r#""level":"WARN""#) && line.contains(r#""frames":1"#), "{line}");
    runtime.stop().unwrap();
    assert!(node.read("telemetry.wal").starts_with(&good));
}

#[test]
fn row_f_a_log_that_is_gone_or_empty_is_a_lost_tail() {
    let node = Node::used();
    let last = u64::from_le_bytes(node.read("telemetry.safe_seq").try_into().unwrap());
    let text = format!("safe_seq={last} but maxSeq=0");
    node.write("telemetry.wal", b"");
    node.refuses(&[]).says_alike("SAFESEQ_GT_MAXSEQ", &text);
    node.remove("telemetry.wal");
    node.refuses(&[RESET]).says_alike("SAFESEQ_GT_MAXSEQ", &text);
}

#[test]
fn a_refused_log_gives_the_same_answer_every_time_and_status_explains_it() {
    let node = Node::foreign([1, 3], Some(3));
    let first = node.refuses(&[]);
    let second = node.refuses(&[]);
    let fatal =
        |it: &Refusal| it.0.stderr.lines().find(|it| it.starts_with("FATAL")).map(str::to_owned);
    assert_eq!(fatal(&first), fatal(&second));
    let dir = node.wal();
    let dir = dir.to_str().unwrap();
    let status = autonomy(&["wal", "status", "--dir", dir, "--output", "json"]).unwrap();
    assert_eq!(status.code(), Some(8), "{status:?}");
    let status: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(status["health"], "SEQ_GAP");
    assert!(status["problem"]["place"].as_str().unwrap().starts_with("at seq 2, byte "));
}

#[test]
fn one_log_has_one_writer() {
    let node = Node::new();
    let runtime = node.start(&[]);
    let second = run_to_end(&mut node.command(&[])).unwrap();
    assert_eq!(second.code(), Some(75), "{second:?}");
    let want = format!("is in use by pid {}", runtime.id());
    assert!(second.stderr.contains("WAL_LOCKED") && second.stderr.contains(&want), "{second:?}");
    runtime.stop().unwrap();
}

/// The control plane keeps a log of its own life, opened by the same code under the same rules.
#[test]
fn the_control_plane_honours_both_overrides_too() {
    let dir = tempfile::tempdir().unwrap();
    let command = |env: &[(&str, &str)]| {
        let mut command = program(Bin::Orchestrator).unwrap();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log-format", "json", "--data-dir"]);
        command.arg(dir.path()).arg("--audit-dir").arg(dir.path().join("audit"));
        command.envs(env.iter().copied());
        command
    };
    let serve = |env: &[(&str, &str)]| {
        let mut process = Process::start("orchestrator", &mut command(env)).unwrap();
        process.wait_for("orchestrator listening").unwrap();
        process
    };
    serve(&[]).stop().unwrap();
    let wal = dir.path().join("telemetry");
    let log = fs::read(wal.join("telemetry.wal")).unwrap();

    fs::remove_file(wal.join("telemetry.safe_seq")).unwrap();
    let before = files(&wal);
    let refused = run_to_end(&mut command(&[])).unwrap();
    assert_eq!(refused.code(), Some(8), "{refused:?}");
    let fatal = "FATAL wal recovery failed: SAFESEQ_NOT_FOUND: telemetry.safe_seq missing and \
                 AUTONOMYOPS_WAL_LEGACY_UPGRADE not set";
    assert!(refused.stderr.lines().any(|it| it == fatal), "{}", refused.stderr);
    assert!(refused.stderr.contains("WAL_RECOVERY_FAIL_HARD"), "{}", refused.stderr);
    assert_eq!(files(&wal), before);
    serve(&[LEGACY]).stop().unwrap();
    assert!(fs::read(wal.join("telemetry.wal")).unwrap().starts_with(&log));

    fs::write(wal.join("telemetry.pos"), 1_u64.to_le_bytes()).unwrap();
    fs::remove_file(wal.join("telemetry.wal")).unwrap();
    fs::remove_file(wal.join("telemetry.safe_seq")).unwrap();
    assert_eq!(run_to_end(&mut command(&[])).unwrap().code(), Some(8));
    let mut reset = serve(&[RESET]);
    assert!(reset.wait_for("WAL_RESET_BY_OPERATOR").unwrap().contains(r#""level":"WARN""#));
    reset.stop().unwrap();
}
