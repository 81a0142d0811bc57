//! The real program: kills, signals, a second process, and what it says when it does not start.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

/// How long anything may take before the test says that it hangs.
const DEADLINE: Duration = Duration::from_mins(1);
const POSTERS: u64 = 16;
const KILLS: u64 = 20;

struct Process {
    child: Child,
    lines: Receiver<String>,
    _audit: tempfile::TempDir,
}

impl Process {
    fn start(dir: &Path, listen: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator"));
        command.args(["serve", "--listen", listen, "--log-format", "json", "--data-dir"]).arg(dir);
        Self::spawn(&mut command)
    }

    fn spawn(command: &mut Command) -> Self {
        // Roles have tests of their own; the audit trail of a test is beside its data.
        let audit = tempfile::tempdir().unwrap();
        command.env("AUTONOMY_RBAC_ENFORCEMENT", "0").env("AUTONOMY_AUDIT_DIR", audit.path());
        let mut child = command.stderr(Stdio::piped()).env_remove("RUST_LOG").spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|it| sender.send(it))
        });
        Self { child, lines, _audit: audit }
    }

    /// Waits until it listens, and returns where.
    fn addr(&self) -> SocketAddr {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let line = self.lines.recv_timeout(deadline - Instant::now()).unwrap();
            let line: Value =
                serde_json::from_str(&line).unwrap_or_else(|it| panic!("{it}: {line}"));
            if line["msg"] == "orchestrator listening" {
                return line["addr"].as_str().unwrap().parse().unwrap();
            }
        }
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end, and returns the rest of what it said.
    fn ended(&mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        let mut said = String::new();
        // The channel closes when the process closes its stderr, which is when it ends.
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            said.push_str(&line);
            said.push('\n');
        }
        assert!(Instant::now() < deadline, "still running: {said}");
        (self.child.wait().unwrap(), said)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Sends one request on a connection of its own; `None` when there is no whole answer.
fn request(addr: SocketAddr, method: &str, path: &str, body: &str) -> Option<(u16, Value)> {
    let mut stream = TcpStream::connect(addr).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len(),
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, serde_json::from_str(body).ok()?))
}

fn event(id: &str) -> Value {
    json!({
        "event_id": id,
        "event_type": "ai.policy.decision",
        "node_id": "edge-1",
        "timestamp": "2026-01-02T03:04:05Z",
    })
}

/// Every event of the store, by id, with how often it is there.
fn everything(addr: SocketAddr) -> BTreeMap<String, u64> {
    let (mut found, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/v1/events?limit=1000{cursor}");
        let (status, page) = request(addr, "GET", &path, "").unwrap();
        assert_eq!(status, 200, "{page}");
        for event in page["events"].as_array().unwrap() {
            *found.entry(event["event_id"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return found,
        }
    }
}

/// What was answered with 200, over all rounds.
#[derive(Default)]
struct Answered {
    ids: Mutex<Vec<String>>,
    requests: AtomicU64,
}

impl Answered {
    /// Sends requests of two events until the process is gone.
    fn post_until_killed(&self, addr: SocketAddr, name: &str) {
        for number in 0.. {
            let ids = [0, 1].map(|half| format!("{name}-{number}-{half}"));
            let body = json!({ "events": ids.each_ref().map(|it| event(it)) });
            match request(addr, "POST", "/v1/events", &body.to_string()) {
                Some((200, body)) => assert_eq!(body["inserted"], 2, "{body}"),
                Some((status, body)) => panic!("{status}: {body}"),
                None => return,
            }
            self.ids.lock().unwrap().extend(ids);
            self.requests.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn wait_for(&self, requests: u64) {
        let deadline = Instant::now() + DEADLINE;
        while self.requests.load(Ordering::Relaxed) < requests {
            assert!(Instant::now() < deadline, "no answers");
            thread::yield_now();
        }
    }

    /// Everything that was answered is there, and nothing is there twice.
    fn check(&self, found: &BTreeMap<String, u64>, round: u64) {
        for id in self.ids.lock().unwrap().iter() {
            assert_eq!(found.get(id), Some(&1), "round {round}: {id}");
        }
        assert!(found.values().all(|it| *it == 1), "round {round}: an event is there twice");
    }
}

#[test]
fn every_answered_event_is_there_once_after_every_kill() {
    let temp = tempfile::tempdir().unwrap();
    let answered = Answered::default();
    for round in 0..KILLS {
        let mut process = Process::start(temp.path(), "127.0.0.1:0");
        let addr = process.addr();
        answered.check(&everything(addr), round);
        let goal = answered.requests.load(Ordering::Relaxed) + 40 + round * 7;
        thread::scope(|scope| {
            for poster in 0..POSTERS {
                let name = format!("{round}-{poster}");
                let answered = &answered;
                scope.spawn(move || answered.post_until_killed(addr, &name));
            }
            answered.wait_for(goal);
            process.child.kill().unwrap();
            process.child.wait().unwrap();
        });
    }
    let process = Process::start(temp.path(), "127.0.0.1:0");
    let found = everything(process.addr());
    answered.check(&found, KILLS);
    assert!(answered.ids.lock().unwrap().len() as u64 >= 2 * 40 * KILLS);
    // Whole requests only: both events of a request are there, or none.
    for id in found.keys() {
        let other = match id.strip_suffix('0') {
            Some(stem) => format!("{stem}1"),
            None => format!("{}0", id.strip_suffix('1').unwrap()),
        };
        assert!(found.contains_key(&other), "{id}");
    }
}

#[test]
fn sigterm_and_sigint_end_it_in_order() {
    for signal in ["TERM", "INT"] {
        let temp = tempfile::tempdir().unwrap();
        let mut process = Process::start(temp.path(), "127.0.0.1:0");
        let addr = process.addr();
        let body = json!({ "events": [event("a")] }).to_string();
        assert_eq!(request(addr, "POST", "/v1/events", &body).unwrap().0, 200);
        process.signal(signal);
        let (status, said) = process.ended();
        assert_eq!(status.code(), Some(0), "{said}");
        assert!(said.contains(r#""msg":"orchestrator stopped""#), "{said}");
        assert!(!temp.path().join("orchestrator.db-wal").exists());
        let process = Process::start(temp.path(), "127.0.0.1:0");
        assert_eq!(everything(process.addr()), BTreeMap::from([("a".to_owned(), 1)]));
    }
}

#[test]
fn a_second_process_on_the_same_directory_exits_75_and_names_the_first() {
    let temp = tempfile::tempdir().unwrap();
    let first = Process::start(temp.path(), "127.0.0.1:0");
    let addr = first.addr();
    let (status, said) = Process::start(temp.path(), "127.0.0.1:0").ended();
    assert_eq!(status.code(), Some(75), "{said}");
    let line: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!((&line["level"], &line["code"]), (&json!("ERROR"), &json!("DATA_DIR_LOCKED")));
    let error = line["error"].as_str().unwrap();
    assert!(error.ends_with(&format!("is in use by pid {}", first.child.id())), "{error}");
    assert_eq!(request(addr, "GET", "/v1/health", "").unwrap(), (200, json!({"status": "ok"})));
}

#[test]
fn a_killed_process_leaves_no_lock() {
    let temp = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let mut process = Process::start(temp.path(), "127.0.0.1:0");
        process.addr();
        process.signal("KILL");
        process.ended();
    }
}

#[test]
fn a_port_in_use_exits_1_and_names_the_address() {
    let temp = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = holder.local_addr().unwrap().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator"));
    command
        .args(["serve", "--log-format", "text", "--listen", &addr, "--data-dir"])
        .arg(temp.path());
    let (status, said) = Process::spawn(&mut command).ended();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("error: cannot listen on {addr}: ")), "{said}");
    assert!(said.contains("(ADDRESS_IN_USE)\nhint: stop the process that listens there"), "{said}");
}

#[test]
fn a_file_that_is_not_a_database_exits_8_and_is_left_as_it_is() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("orchestrator.db");
    fs::write(&path, "these are my notes").unwrap();
    let (status, said) = Process::start(temp.path(), "127.0.0.1:0").ended();
    assert_eq!(status.code(), Some(8), "{said}");
    let line: Value = serde_json::from_str(said.trim()).unwrap();
    assert_eq!(line["code"], "STORE_NOT_A_DATABASE");
    assert!(line["error"].as_str().unwrap().contains(path.to_str().unwrap()), "{line}");
    assert!(line["hint"].as_str().unwrap().contains("backup"), "{line}");
    assert_eq!(fs::read(&path).unwrap(), b"these are my notes");
}

#[test]
fn the_data_directory_comes_from_the_environment() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator"));
    command.args(["serve", "--listen", "127.0.0.1:0"]).env("XDG_CACHE_HOME", temp.path());
    let process = Process::spawn(&mut command);
    process.addr();
    assert!(temp.path().join("autonomyops/orchestrator/orchestrator.db").exists());

    let mut command = Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator"));
    command.args(["serve"]).env_remove("XDG_CACHE_HOME").env_remove("HOME");
    let (status, said) = Process::spawn(&mut command).ended();
    assert_eq!(status.code(), Some(2), "{said}");
    assert!(said.contains("NO_DATA_DIR") && said.contains("--data-dir"), "{said}");
}

#[test]
fn a_body_limit_is_set_on_the_command_line() {
    let temp = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator"));
    command.args(["serve", "--listen", "127.0.0.1:0", "--max-body", "4KiB", "--data-dir"]);
    let process = Process::spawn(command.arg(temp.path()));
    let addr = process.addr();
    let body = format!("{}{}", json!({ "events": [event("a")] }), " ".repeat(4096));
    let (status, problem) = request(addr, "POST", "/v1/events", &body).unwrap();
    assert_eq!((status, &problem["code"]), (413, &json!("BODY_TOO_LARGE")));
}

#[test]
fn the_command_line_is_small_and_says_what_it_does_not_know() {
    let run = |args: &[&str]| {
        let output =
            Command::new(env!("CARGO_BIN_EXE_autonomy-orchestrator")).args(args).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };
    let (code, out, err) = run(&["version"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert_eq!(out, format!("autonomy-orchestrator {}\n", env!("CARGO_PKG_VERSION")));
    for args in [
        &["serve", "--listen", "nowhere"][..],
        &["serve", "--max-body", "8MB"],
        &["serve", "--log-format", "xml"],
        &["serve", "--pg-url", "x"],
        &["serve", "more"],
        &["start"],
        &[],
    ] {
        let (code, out, err) = run(args);
        assert_eq!((code, out.as_str()), (Some(2), ""), "{args:?}");
        assert!(!err.is_empty(), "{args:?}");
    }
    let (code, out, _) = run(&["serve", "--help"]);
    assert_eq!(code, Some(0));
    for word in ["--listen", "--data-dir", "--max-body", "--log-format", "0.0.0.0:8888", "8MiB"] {
        assert!(out.contains(word), "{word}: {out}");
    }
}
