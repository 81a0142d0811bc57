//! Questions to servers that answer well, late, half, too much, or not at all.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    thread,
};

use clap::Parser as _;
use serde_json::json;

use super::*;
use crate::args::{Cli, Command, Ha};

/// The answer to one connection: what is written before it is closed.
type Script = Vec<u8>;

/// A server that reads a request a connection and answers with the next script; returns what it read.
fn server(scripts: Vec<Script>) -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for script in scripts {
            let (mut stream, _) = listener.accept().unwrap();
            sender.send(request(&mut stream)).ok();
            // A client that has seen enough goes away.
            stream.write_all(&script).ok();
        }
    });
    (url, receiver)
}

/// Reads head and body of a request.
fn request(stream: &mut TcpStream) -> String {
    let (mut text, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece).unwrap();
        text.extend_from_slice(&piece[..read]);
        let shown = String::from_utf8_lossy(&text).to_lowercase();
        let Some((head, body)) = shown.split_once("\r\n\r\n") else { continue };
        let len = head.lines().find_map(|it| it.strip_prefix("content-length: "));
        if read == 0 || body.len() >= len.map_or(0, |it| it.parse().unwrap()) {
            return shown;
        }
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Script {
    let len = body.len();
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {len}\r\nconnection: close\r\n{headers}\r\n{body}"
    )
    .into_bytes()
}

fn plane_with(options: &[&str], vars: &[(&'static str, &str)]) -> Result<ControlPlane, Failure> {
    let mut line = vec!["autonomy", "ha", "status"];
    line.extend(options);
    let Command::Ha(Ha::Status(args)) = Cli::try_parse_from(line).unwrap().command else {
        panic!("not ha status")
    };
    let lookup = |name: &str| vars.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
    ControlPlane::new(&args.control, Context::new(&lookup, false))
}

fn plane(url: &str) -> ControlPlane {
    plane_with(&["--orchestrator-url", url], &[("AUTONOMY_OPERATOR", "ann")]).unwrap()
}

fn code(result: Result<impl std::fmt::Debug, Failure>) -> (Exit, String) {
    let failure = result.unwrap_err();
    (failure.exit, failure.code)
}

#[test]
fn the_option_wins_over_the_variable_and_without_either_both_are_named() {
    let var = [("AUTONOMY_ORCHESTRATOR_URL", "http://b")];
    assert_eq!(plane_with(&[], &var).unwrap().shown(), "http://b");
    let both = plane_with(&["--orchestrator-url", "http://a/"], &var).unwrap();
    assert_eq!(both.shown(), "http://a");
    let failure = plane_with(&[], &[]).err().unwrap();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "NO_CONTROL_PLANE"));
    let hint = failure.hint.unwrap();
    assert!(hint.contains("--orchestrator-url") && hint.contains("AUTONOMY_ORCHESTRATOR_URL"));
}

#[test]
fn a_token_is_not_sent_in_clear_to_another_machine_unless_that_is_asked_for() {
    let token = ("AUTONOMY_TOKEN", "SECRET");
    let at = |url: &str, options: &[&str]| {
        let options = [&["--orchestrator-url", url], options].concat();
        plane_with(&options, &[token]).err()
    };
    let refused = at("http://control.example:8888", &[]).unwrap();
    assert_eq!((refused.exit, refused.code.as_str()), (Exit::Usage, "TOKEN_IN_CLEAR"));
    assert!(!refused.message.contains("SECRET") && refused.hint.is_some());
    for (url, options) in [
        ("http://control.example:8888", &["--insecure-http"][..]),
        ("https://control.example", &[][..]),
        ("http://127.0.0.1:8888", &[][..]),
        ("http://localhost:8888", &[][..]),
    ] {
        assert!(at(url, options).is_none(), "{url}");
    }
    // A name is no secret.
    let name = ("AUTONOMY_OPERATOR", "ann");
    assert!(plane_with(&["--orchestrator-url", "http://control.example"], &[name]).is_ok());
}

#[test]
fn what_cannot_be_sent_is_refused_and_not_shown() {
    for (name, value) in [("AUTONOMY_TOKEN", "SEC\nRET"), ("AUTONOMY_OPERATOR", "a\u{1}")] {
        let failure =
            plane_with(&["--orchestrator-url", "http://127.0.0.1:1"], &[(name, value)]).err();
        let failure = failure.unwrap();
        assert_eq!(failure.code, "BAD_ENVIRONMENT");
        assert!(failure.message.contains(name) && !failure.message.contains("SEC"));
    }
}

#[test]
fn a_certificate_without_its_key_and_a_file_that_is_not_there_are_refused() {
    let at = |name, value| plane_with(&["--orchestrator-url", "https://h"], &[(name, value)]);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.pem");
    std::fs::write(&file, "no certificate").unwrap();
    let file = file.to_str().unwrap();
    for (name, value) in [
        ("AUTONOMY_CA_FILE", "/does/not/exist.pem"),
        ("AUTONOMY_CA_FILE", file),
        ("AUTONOMY_CLIENT_CERTIFICATE", file),
        ("AUTONOMY_CLIENT_KEY", file),
    ] {
        let failure = at(name, value).err().unwrap();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "BAD_CERTIFICATE"));
    }
}

#[test]
fn a_change_says_who_asks_and_carries_a_key_and_the_known_generation() {
    let (url, read) = server(vec![answer("201 Created", "", r#"{"a":1}"#)]);
    let vars = [("AUTONOMY_TOKEN", "secret"), ("AUTONOMY_OPERATOR", "ann")];
    let plane = plane_with(&["--orchestrator-url", &url], &vars).unwrap();
    let changed = plane.change::<Value>(&Route::new("x").at("a/b"), &json!({}), Some(7)).unwrap();
    assert_eq!(changed, Changed { value: json!({ "a": 1 }), created: true });
    let request = read.recv().unwrap();
    assert!(request.starts_with("post /v1/x/a%2fb http/1.1\r\n"), "{request}");
    for line in ["authorization: bearer secret", "x-autonomy-operator: ann", "if-match: \"7\""] {
        assert!(request.contains(&format!("{line}\r\n")), "{line} in {request}");
    }
    assert!(request.contains("idempotency-key: ") && request.ends_with("\r\n\r\n{}"), "{request}");
}

/// Q2.
#[test]
fn a_change_whose_connection_breaks_is_sent_once_more_under_the_same_key() {
    let half = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"a\"".to_vec();
    for broken in [Vec::new(), half.clone()] {
        let (url, read) = server(vec![broken, answer("200 OK", "", r#"{"a":1}"#)]);
        let changed = plane(&url).change::<Value>(&Route::new("x"), &json!({ "b": 2 }), None);
        assert_eq!(changed.unwrap(), Changed { value: json!({ "a": 1 }), created: false });
        let requests: Vec<_> = read.iter().take(2).collect();
        assert!(requests[0].contains("idempotency-key: "));
        assert_eq!(requests[0], requests[1]);
    }
    // Twice is enough, and what came of it is not known.
    let (url, read) = server(vec![Vec::new(), half, answer("200 OK", "", "{}")]);
    let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.message.contains("the connection broke"), "{}", failure.message);
    assert!(failure.hint.unwrap().contains("may have been done"));
    assert_eq!(read.try_iter().count(), 2);
}

/// Q2.
#[test]
fn a_change_that_may_have_arrived_is_never_called_undone_whatever_the_second_attempt_meets() {
    // The server reads the request, and nobody listens at the second attempt.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        drop(listener);
        request(&mut stream);
    });
    let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
    assert_eq!(failure.exit, Exit::Unreachable);
    assert!(failure.message.contains("connection refused"), "{}", failure.message);
    assert!(failure.may_be_done && failure.hint.unwrap().contains("may have been done"));
    // Who refuses before he looks at the key does not say what came of the first; who has looked does.
    for (status, may_be_done) in [
        ("503 Service Unavailable", true),
        ("401 Unauthorized", true),
        ("409 Conflict", false),
        ("404 Not Found", false),
    ] {
        let problem = r#"{"type":"t","title":"t","status":1,"detail":"d","code":"X_Y"}"#;
        let (url, _read) = server(vec![Vec::new(), answer(status, "", problem)]);
        let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
        assert_eq!(failure.may_be_done, may_be_done, "{status}");
        let (url, _read) = server(vec![answer(status, "", problem)]);
        let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
        assert!(!failure.may_be_done, "{status}");
        // What changes nothing was not done.
        let (url, _read) = server(vec![Vec::new(), answer(status, "", problem)]);
        assert!(!plane(&url).get::<Value>(&Route::new("x")).unwrap_err().may_be_done);
    }
}

/// Q1.
#[test]
fn success_is_a_status_2xx_with_the_value_that_was_asked_for() {
    for (status, body) in
        [("200 OK", "<html>"), ("200 OK", ""), ("204 No Content", ""), ("200 OK", "[1]")]
    {
        let (url, _read) = server(vec![answer(status, "", body)]);
        let changed = plane(&url).change::<serde_json::Map<String, Value>>(
            &Route::new("x"),
            &json!({}),
            None,
        );
        let want = (Exit::Failed, "CONTROL_PLANE_UNREADABLE".to_owned());
        assert_eq!(code(changed), want, "{status} {body}");
    }
    let (url, _read) = server(vec![answer("200 OK", "", "{}")]);
    let removed = plane(&url).remove(&Route::new("x"));
    assert_eq!(code(removed).1, "CONTROL_PLANE_UNREADABLE");
    let (url, _read) = server(vec![answer("204 No Content", "", "")]);
    plane(&url).remove(&Route::new("x")).unwrap();
}

#[test]
fn a_refusal_keeps_its_code_and_a_redirect_is_not_followed() {
    let problem = r#"{"type":"t","title":"t","status":409,"detail":"it is paused","code":"X_Y"}"#;
    let (url, _read) = server(vec![answer("409 Conflict", "", problem)]);
    let failure = plane(&url).get::<Value>(&Route::new("x")).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Conflict, "X_Y"));
    assert_eq!(failure.message, "it is paused");
    let (url, read) = server(vec![
        answer("307 Temporary Redirect", "location: http://leader:1/v1/x\r\n", ""),
        answer("200 OK", "", "{}"),
    ]);
    let failure = plane(&url).get::<Value>(&Route::new("x")).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Failed, "CONTROL_PLANE_REFUSED"));
    assert!(failure.hint.unwrap().contains("http://leader:1/v1/x"));
    assert_eq!(read.try_iter().count(), 1);
    let busy = answer("503 Service Unavailable", "retry-after: 3\r\n", "");
    let (url, _read) = server(vec![busy]);
    let failure = plane(&url).get::<Value>(&Route::new("x")).unwrap_err();
    assert_eq!((failure.exit, failure.hint.as_deref()), (Exit::Busy, Some("try again in 3 s")));
}

/// Q2, Q3. A change that is late may have been done, and is not sent again.
#[test]
fn an_answer_that_is_late_is_not_waited_for() {
    let drip = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_vec();
    for begun in [Vec::new(), drip] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            request(&mut stream);
            stream.write_all(&begun).unwrap();
            // Until the client has had enough.
            assert_eq!(stream.read(&mut [0; 1]).unwrap_or_default(), 0);
            listener.set_nonblocking(true).unwrap();
            listener.accept().is_err()
        });
        let mut plane = plane(&url);
        plane.timeout = Duration::from_millis(200);
        let failure = plane.change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.message, format!("Post \"{url}/v1/x\": no answer within 200ms"));
        assert!(failure.hint.unwrap().contains("may have been done"));
        // The connection closes with whoever asks.
        drop(plane);
        assert!(server.join().unwrap(), "it was not sent again");
    }
}

/// Q3.
#[test]
fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", 1_u64 << 40);
    let mut script = head.into_bytes();
    script.resize(script.len() + exchange::ANSWER_LEN_MAX + (1 << 20), b' ');
    let (url, _read) = server(vec![script]);
    let failure = plane(&url).get::<Value>(&Route::new("x")).unwrap_err();
    assert_eq!(failure.code, "CONTROL_PLANE_UNREADABLE");
    assert!(failure.message.contains("longer than 64 MiB"), "{}", failure.message);
}

#[test]
fn a_server_that_is_not_there_is_told_in_the_words_of_a_dial() {
    let url = dead_url();
    let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
    let address = url.trim_start_matches("http://");
    let want = format!("Post \"{url}/v1/x\": dial tcp {address}: connect: connection refused");
    assert_eq!(failure.message, want);
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (Exit::Unreachable, "CONTROL_PLANE_UNREACHABLE")
    );
    assert!(failure.hint.unwrap().contains("nothing was done"));
}

#[test]
fn tls_on_one_side_only_is_told_with_the_scheme_and_not_tried_again() {
    let alert = [0x15, 3, 3, 0, 2, 2, 0x46].to_vec();
    let (url, read) = server(vec![alert, answer("200 OK", "", "{}")]);
    let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "TLS_EXPECTED"), "{failure:?}");
    let hint = failure.hint.unwrap();
    assert!(hint.contains("nothing was done") && hint.contains("https://"), "{hint}");
    assert_eq!(read.try_iter().count(), 1);
    // The other way round: whoever speaks plain HTTP has no use for a greeting of TLS.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        assert!(stream.read(&mut [0; 4096]).unwrap() > 0);
        stream.write_all(&answer("400 Bad Request", "", "")).unwrap();
    });
    let failure = plane(&url).change::<Value>(&Route::new("x"), &json!({}), None).unwrap_err();
    assert_eq!((failure.exit, failure.code.as_str()), (Exit::Usage, "TLS_EXPECTED"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("http://"));
}

/// A URL that nobody listens at.
fn dead_url() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

fn stream(script: Script, take: &mut dyn FnMut(SseEvent) -> Result<(), Failure>) -> Failure {
    let (url, _read) = server(vec![script]);
    plane(&url).follow_events(&Route::new("events").at("stream"), take).unwrap_err()
}

#[test]
fn a_stream_that_breaks_says_so_and_how_to_go_on() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
    let events = "id: 1\ndata: {}\n\n: heartbeat\n\nid: 2\ndata: {}\n\n";
    let ended = format!("{head}content-length: {}\r\n\r\n{events}", events.len());
    let broke = format!("{head}content-length: 1000\r\n\r\n{events}");
    for (script, why) in [(ended, "the control plane ended it"), (broke, "")] {
        let mut ids = Vec::new();
        let failure = stream(script.into_bytes(), &mut |event| {
            ids.push(event.id);
            Ok(())
        });
        assert_eq!(ids, ["1", "2"]);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(failure.code, "EVENT_STREAM_INTERRUPTED");
        assert!(failure.message.starts_with(&format!("event stream interrupted: {why}")));
        let hint = "re-run 'autonomy logs --follow' to reconnect";
        assert_eq!(failure.hint.as_deref(), Some(hint));
    }
}

#[test]
fn what_is_no_stream_is_none_and_a_reader_that_is_gone_ends_it() {
    let take = &mut |_| Ok(());
    let failure = stream(answer("200 OK", "content-type: text/html\r\n", "<html>"), take);
    assert_eq!(failure.code, "CONTROL_PLANE_UNREADABLE");
    let failure = stream(answer("403 Forbidden", "", ""), take);
    assert_eq!(failure.exit, Exit::Denied);
    let events = answer("200 OK", "content-type: text/event-stream\r\n", "data: {}\n\n");
    let gone =
        stream(events, &mut |_| Err(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()));
    assert_eq!(gone.code, crate::failure::BROKEN_PIPE);
    let failure = plane(&dead_url()).follow_events(&Route::new("events"), take).unwrap_err();
    assert_eq!(
        (failure.exit, failure.code.as_str()),
        (Exit::Unreachable, "CONTROL_PLANE_UNREACHABLE")
    );
}

#[test]
fn whoever_says_nothing_of_what_one_of_ours_says_about_itself_is_somebody_else() {
    for (body, of_runtime, of_plane) in [
        (r#"{"node":"n","mode":"normal","wal":{}}"#, true, false),
        (r#"{"status":"ok"}"#, false, true),
        ("{}", false, false),
        ("[]", false, false),
        ("<html>", false, false),
        (r#"{"node":1,"mode":2,"status":3}"#, false, false),
    ] {
        let (url, _asked) = server(vec![answer("200 OK", "", body); 2]);
        for (plane, ours, name) in [
            (ControlPlane::of_runtime(&url).unwrap(), of_runtime, "an autonomy runtime"),
            (ControlPlane::without_identity(&url).unwrap(), of_plane, "an autonomy control plane"),
        ] {
            match plane.itself() {
                Ok(_) => assert!(ours, "{body}"),
                Err(failure) => {
                    assert!(!ours && failure.message.contains(name), "{body}: {failure:?}");
                    assert_eq!((failure.exit, &*failure.code), (Exit::Usage, "FOREIGN_ANSWER"));
                }
            }
        }
    }
    let failure = ControlPlane::of_runtime("http://me:SECRET@h").err().unwrap();
    assert_eq!(failure.code, "BAD_RUNTIME_URL");
    assert!(failure.message.starts_with("the runtime `http://h`"), "{failure:?}");
}
