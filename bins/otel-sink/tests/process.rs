//! The real program: a request, signals, a kill, and what it says when it does not start.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// How long anything may take before the test says that it hangs.
const DEADLINE: Duration = Duration::from_mins(1);

const REQUEST: &str = r#"{"resourceLogs":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"edge-1"}}]},"scopeLogs":[{"logRecords":[{"timeUnixNano":"1767323045000006000","attributes":[{"key":"event.id","value":{"stringValue":"edge-1:w:1"}},{"key":"event.kind","value":{"stringValue":"decision"}}]}]}]}]}"#;

fn sink(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otel-sink"));
    command.args(args).env_remove("RUST_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it to its end.
fn run(args: &[&str]) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = sink(args).output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

struct Process {
    child: Child,
    lines: Receiver<String>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // Ended already in tests that pass.
        _ = self.child.kill();
    }
}

impl Process {
    fn start(args: &[&str]) -> (Self, SocketAddr) {
        let start = ["--listen", "127.0.0.1:0", "--log-format", "json"];
        let mut child = sink(&[&start, args].concat()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, lines) = channel();
        thread::spawn(move || {
            stderr.lines().map_while(Result::ok).try_for_each(|it| sender.send(it))
        });
        let process = Self { child, lines };
        let line = process.lines.recv_timeout(DEADLINE).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap_or_else(|it| panic!("{it}: {line}"));
        assert_eq!(line["msg"], "otel-sink listening");
        let addr = line["addr"].as_str().unwrap().parse().unwrap();
        (process, addr)
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    /// Waits for the end; stderr closes when it has come.
    fn end(mut self) -> Option<i32> {
        let deadline = Instant::now() + DEADLINE;
        let left = || deadline.saturating_duration_since(Instant::now());
        while self.lines.recv_timeout(left()).is_ok() {}
        assert!(Instant::now() < deadline, "still running");
        self.child.wait().unwrap().code()
    }
}

/// One request; returns the answer.
fn exchange(addr: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn post(addr: SocketAddr) -> String {
    let len = REQUEST.len();
    exchange(
        addr,
        &format!(
            "POST /v1/logs HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {len}\r\n\r\n{REQUEST}"
        ),
    )
}

fn ids(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap();
    let line = |it| serde_json::from_str::<Value>(it).unwrap();
    text.lines().map(|it| line(it)["event_id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_was_answered_is_in_the_file_after_a_signal_and_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.jsonl");
    let out = path.to_str().unwrap();
    for (count, signal, code) in [(1, "TERM", Some(0)), (2, "INT", Some(0)), (3, "KILL", None)] {
        let (process, addr) = Process::start(&["--out", out]);
        assert!(post(addr).starts_with("HTTP/1.1 200 "));
        process.signal(signal);
        assert_eq!(process.end(), code, "{signal}");
        assert_eq!(ids(&path), vec!["edge-1:w:1"; count]);
    }
    let (process, addr) = Process::start(&["--out", out]);
    let health = exchange(addr, "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    assert!(health.ends_with(r#"{"status":"ok"}"#), "{health}");
    let (code, said) = run(&["--listen", "127.0.0.1:0", "--out", out]);
    assert_eq!(code, Some(75));
    assert!(
        said.contains(&format!("error: {out} is held by pid {}", process.child.id())),
        "{said}"
    );
    process.signal("TERM");
    assert_eq!(process.end(), Some(0));
}

#[test]
fn a_dash_keeps_records_on_stdout() {
    let (mut process, addr) = Process::start(&["--out", "-"]);
    let mut stdout = BufReader::new(process.child.stdout.take().unwrap());
    assert!(post(addr).starts_with("HTTP/1.1 200 "));
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["event_id"], &line["node_id"]), (&"edge-1:w:1".into(), &"edge-1".into()));
    process.signal("TERM");
    assert_eq!(process.end(), Some(0));
}

#[test]
fn a_port_in_use_is_named_with_a_hint() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let (code, said) = run(&["--listen", &addr]);
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("error: cannot listen on {addr}: ")), "{said}");
    assert!(said.contains("\nhint: another process listens there"), "{said}");
}

#[test]
fn what_cannot_be_used_is_refused_at_the_start() {
    for (args, code, text) in [
        (&["--listen", "nowhere"][..], 2, "invalid value 'nowhere'"),
        (&["--lossy"], 2, "--forward-url"),
        (&["--out", "/proc/none/out.jsonl", "--listen", "127.0.0.1:0"], 1, "/proc/none/out.jsonl"),
        (&["--forward-url", "ftp://x", "--listen", "127.0.0.1:0"], 2, "forward URL `ftp://x`"),
    ] {
        let (found, said) = run(args);
        assert_eq!(found, Some(code), "{said}");
        assert!(said.contains(text), "{said}");
    }
}

#[test]
fn the_help_shows_two_examples() {
    let (code, said) = run(&["--help"]);
    assert_eq!(code, Some(0));
    assert_eq!(said.lines().filter(|it| it.starts_with("  otel-sink ")).count(), 2, "{said}");
}
