//! Faults of disks, operators and clients, by name.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use api::exit::Exit;
use orchestrator::{Config, Limits, OpenError, ServeError, names, run};
use rusqlite::Connection;
use support::{DEADLINE, Service, batch, config, event, numbers, within};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

/// Every file of a directory but those that a refused start may leave.
fn content(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut content = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let bytes = fs::read(entry.path()).unwrap_or_default();
        let scratch = name == names::LOCK || name.ends_with("-shm");
        let empty_log = name == names::DATABASE_WAL && bytes.is_empty();
        if !scratch && !empty_log {
            content.insert(name, bytes);
        }
    }
    content
}

/// Starts in `dir`, which must be refused without a change.
async fn refused(dir: &Path, code: &str) -> ServeError {
    let before = content(dir);
    let mut service = Service::start_in(dir, Limits::STANDARD).await;
    let error = service.ended().await.unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(dir.to_str().unwrap()), "{error}");
    assert_eq!(content(dir), before, "{code}");
    error
}

/// A directory in which `count` events were stored.
async fn used(count: usize) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    service.post(&batch(0..count)).await.ok();
    service.stop().await.unwrap();
    temp
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused() {
    for garbage in [&b"hello"[..], &[0; 8192], &b"SQLite format 4\0".repeat(300)] {
        let temp = tempfile::tempdir().unwrap();
        fs::write(temp.path().join(names::DATABASE), garbage).unwrap();
        let error = refused(temp.path(), "STORE_NOT_A_DATABASE").await;
        assert_eq!(error.exit(), Exit::Integrity);
    }
}

#[tokio::test]
async fn a_database_with_only_its_first_bytes_right_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let mut bytes = b"SQLite format 3\0".to_vec();
    bytes.resize(8192, 0xa5);
    fs::write(temp.path().join(names::DATABASE), bytes).unwrap();
    refused(temp.path(), "STORE_CORRUPT").await;
}

#[tokio::test]
async fn damaged_pages_are_refused() {
    let temp = used(2000).await;
    let path = temp.path().join(names::DATABASE);
    let mut bytes = fs::read(&path).unwrap();
    let page = bytes.len() / 4096 / 2 * 4096;
    bytes[page..page + 4096].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let error = refused(temp.path(), "STORE_CORRUPT").await;
    assert_eq!(error.exit(), Exit::Integrity);
}

#[tokio::test]
async fn a_truncated_database_is_refused() {
    let temp = used(2000).await;
    let path = temp.path().join(names::DATABASE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    refused(temp.path(), "STORE_CORRUPT").await;
}

#[tokio::test]
async fn a_directory_in_place_of_the_database_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join(names::DATABASE)).unwrap();
    refused(temp.path(), "STORE_NOT_A_FILE").await;
}

#[tokio::test]
async fn a_file_in_place_of_the_data_directory_is_refused() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    fs::write(&dir, "x").unwrap();
    let mut service = Service::start_in(&dir, Limits::STANDARD).await;
    let error = service.ended().await.unwrap_err();
    assert_eq!((error.code(), error.exit()), ("DATA_DIR_UNUSABLE", Exit::Failed), "{error}");
    assert_eq!(fs::read(&dir).unwrap(), b"x");
}

#[tokio::test]
async fn a_removed_or_emptied_database_is_a_loss_and_not_a_first_start() {
    let temp = used(3).await;
    let path = temp.path().join(names::DATABASE);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, "").unwrap();
    refused(temp.path(), "STORE_MISSING").await;
    fs::remove_file(&path).unwrap();
    let error = refused(temp.path(), "STORE_MISSING").await;
    assert!(error.to_string().contains(names::USED), "{error}");
    assert_eq!(error.exit(), Exit::Integrity);

    // Both next steps work: the backup, and the decision to start empty.
    fs::write(&path, bytes).unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    assert_eq!(numbers(&service.get("/v1/events").await.ok()), [2, 1, 0]);
    service.stop().await.unwrap();
    fs::remove_file(&path).unwrap();
    fs::remove_file(temp.path().join(names::USED)).unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    assert_eq!(service.get("/v1/events").await.ok()["count"], 0);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_log_without_its_database_is_not_deleted() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(names::DATABASE_WAL), "events that are nowhere else").unwrap();
    for empty in [false, true] {
        if empty {
            fs::write(temp.path().join(names::DATABASE), "").unwrap();
        }
        let error = refused(temp.path(), "STORE_MISSING").await;
        assert!(error.to_string().contains(names::DATABASE_WAL), "{error}");
    }
}

#[tokio::test]
async fn an_empty_database_of_an_interrupted_first_start_is_used() {
    let temp = tempfile::tempdir().unwrap();
    fs::write(temp.path().join(names::DATABASE), "").unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    service.post(&batch([1])).await.ok();
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_behind_a_link_is_served() {
    let temp = tempfile::tempdir().unwrap();
    let (dir, elsewhere) = (temp.path().join("data"), temp.path().join("elsewhere.db"));
    fs::create_dir(&dir).unwrap();
    fs::write(&elsewhere, "").unwrap();
    std::os::unix::fs::symlink(&elsewhere, dir.join(names::DATABASE)).unwrap();
    for number in 0..2 {
        let service = Service::start_in(&dir, Limits::STANDARD).await;
        service.post(&batch([number])).await.ok();
        service.stop().await.unwrap();
    }
    assert!(fs::metadata(&elsewhere).unwrap().len() > 0);
}

#[tokio::test]
async fn a_database_of_another_program_is_refused() {
    for sql in [
        "CREATE TABLE notes (x)",
        "PRAGMA application_id = 7",
        "PRAGMA user_version = 1; CREATE TABLE events (x)",
        "PRAGMA journal_mode = WAL; CREATE TABLE notes (x)",
    ] {
        let temp = tempfile::tempdir().unwrap();
        let conn = Connection::open(temp.path().join(names::DATABASE)).unwrap();
        conn.execute_batch(sql).unwrap();
        conn.close().unwrap();
        let error = refused(temp.path(), "STORE_FOREIGN").await;
        assert_eq!(error.exit(), Exit::Integrity, "{sql}");
    }
}

#[tokio::test]
async fn a_database_of_a_newer_program_is_refused_and_left_as_it_is() {
    let temp = used(3).await;
    let conn = Connection::open(temp.path().join(names::DATABASE)).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    conn.close().unwrap();
    let error = refused(temp.path(), "STORE_NEWER").await;
    assert!(
        error.to_string().ends_with("has schema version 2; this program knows versions up to 1"),
        "{error}"
    );
    assert!(matches!(error, ServeError::Open(OpenError::Newer { found: 2, supported: 1, .. })));
}

#[tokio::test]
async fn a_refused_database_keeps_the_log_that_a_kill_left() {
    let from = used(3).await;
    let conn = Connection::open(from.path().join(names::DATABASE)).unwrap();
    conn.pragma_update(None, "user_version", 2).unwrap();
    // What a kill would leave: the change is in the log only.
    let temp = tempfile::tempdir().unwrap();
    for name in [names::DATABASE, names::DATABASE_WAL] {
        fs::copy(from.path().join(name), temp.path().join(name)).unwrap();
    }
    assert!(fs::metadata(temp.path().join(names::DATABASE_WAL)).unwrap().len() > 0);
    refused(temp.path(), "STORE_NEWER").await;
}

/// What a kill leaves of a service that answered 600 events, all of them in the log of `SQLite`.
async fn killed() -> tempfile::TempDir {
    let (served, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let service = Service::start_in(served.path(), Limits::STANDARD).await;
    service.get("/v1/health").await.ok();
    // A reader keeps the log from being emptied while this looks at it.
    let reader = Connection::open(served.path().join(names::DATABASE)).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM events").unwrap();
    for start in (0..600).step_by(50) {
        service.post(&batch(start..start + 50)).await.ok();
    }
    for name in [names::USED, names::DATABASE, names::DATABASE_WAL] {
        fs::copy(served.path().join(name), temp.path().join(name)).unwrap();
    }
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    service.stop().await.unwrap();
    temp
}

/// Copies the files, so that each fault starts from the same state.
fn copy_of(dir: &Path) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    for (name, bytes) in content(dir) {
        fs::write(temp.path().join(name), bytes).unwrap();
    }
    temp
}

async fn events_in(dir: &Path) -> u64 {
    let service = Service::start_in(dir, Limits::STANDARD).await;
    let page = service.get("/v1/events?limit=1000").await.ok();
    service.stop().await.unwrap();
    page["count"].as_u64().unwrap()
}

#[tokio::test]
async fn what_a_kill_leaves_is_served_with_every_answered_event() {
    let temp = killed().await;
    assert!(fs::metadata(temp.path().join(names::DATABASE_WAL)).unwrap().len() > 100_000);
    assert_eq!(events_in(temp.path()).await, 600);
}

#[tokio::test]
async fn a_log_that_lost_answered_events_after_a_kill_is_refused() {
    let killed = killed().await;
    let log = fs::read(killed.path().join(names::DATABASE_WAL)).unwrap();
    let flipped = |at: usize| {
        let mut log = log.clone();
        log[at] ^= 1;
        Some(log)
    };
    let faults = [
        ("a flipped bit in the middle", flipped(log.len() / 2)),
        ("a flipped bit in the header", flipped(17)),
        ("a flipped bit at the end", flipped(log.len() - 1)),
        ("removed", None),
        ("emptied", Some(Vec::new())),
        ("cut in the middle", Some(log[..log.len() / 2].to_vec())),
        ("cut by one byte", Some(log[..log.len() - 1].to_vec())),
    ];
    for (what, log) in faults {
        let temp = copy_of(killed.path());
        let path = temp.path().join(names::DATABASE_WAL);
        match log {
            Some(log) => fs::write(&path, log).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        // Twice: being refused is not a step towards being served.
        refused(temp.path(), "STORE_ROLLED_BACK").await;
        let error = refused(temp.path(), "STORE_ROLLED_BACK").await;
        assert_eq!(error.exit(), Exit::Integrity, "{what}");
        let ServeError::Open(OpenError::RolledBack { found, committed: 600, .. }) = error else {
            panic!("{what}: {error}");
        };
        assert!((0..600).contains(&found), "{what}: {found}");
        assert!(error.to_string().contains(&format!("event {found}, ")), "{what}: {error}");
        assert!(error.to_string().contains("event 600 "), "{what}: {error}");
        assert!(error.hint().contains(names::USED), "{what}");

        // Both next steps work: the backup, and the decision to go on without the rest.
        fs::remove_file(temp.path().join(names::USED)).unwrap();
        let accepted = copy_of(temp.path());
        assert_eq!(i64::try_from(events_in(accepted.path()).await).unwrap(), found, "{what}");
        fs::remove_file(temp.path().join(format!("{}-shm", names::DATABASE))).unwrap();
        for (name, bytes) in content(killed.path()) {
            fs::write(temp.path().join(name), bytes).unwrap();
        }
        assert_eq!(events_in(temp.path()).await, 600, "{what}");
    }
}

#[tokio::test]
async fn an_older_copy_of_the_database_is_refused() {
    let temp = used(3).await;
    let path = temp.path().join(names::DATABASE);
    let older = fs::read(&path).unwrap();
    let service = Service::start_in(temp.path(), Limits::STANDARD).await;
    service.post(&batch(3..5)).await.ok();
    service.stop().await.unwrap();
    fs::write(&path, older).unwrap();
    let error = refused(temp.path(), "STORE_ROLLED_BACK").await;
    assert!(
        matches!(error, ServeError::Open(OpenError::RolledBack { found: 3, committed: 5, .. })),
        "{error}"
    );
}

/// The whole file as versions without a number wrote it.
const USED_WITHOUT_NUMBER: &str =
    "A complete orchestrator.db was created in this directory. While this file exists, a missing or
empty database is refused as a loss. Remove it only to start with an empty store on purpose.
";

#[tokio::test]
async fn a_floor_that_lags_or_is_of_an_older_version_is_served_and_raised() {
    let killed = killed().await;
    let current = fs::read(killed.path().join(names::USED)).unwrap();
    let number = current.len() - 8;
    assert_eq!(current[number..], 600_u64.to_le_bytes());
    let lagging = |it: u64| [&current[..number], &it.to_le_bytes()].concat();
    for floor in [lagging(0), lagging(599), USED_WITHOUT_NUMBER.into()] {
        let temp = copy_of(killed.path());
        let path = temp.path().join(names::USED);
        fs::write(&path, floor).unwrap();
        assert_eq!(events_in(temp.path()).await, 600);
        assert_eq!(fs::read(&path).unwrap(), current);
    }
}

#[tokio::test]
async fn a_database_without_its_tables_is_a_loss_even_when_the_floor_is_zero() {
    let temp = tempfile::tempdir().unwrap();
    let conn = Connection::open(temp.path().join(names::DATABASE)).unwrap();
    // What is left when the log of the first start is removed.
    conn.execute_batch("PRAGMA journal_mode = WAL").unwrap();
    conn.close().unwrap();
    fs::write(temp.path().join(names::USED), USED_WITHOUT_NUMBER).unwrap();
    refused(temp.path(), "STORE_MISSING").await;
}

#[tokio::test]
async fn a_floor_that_was_not_written_by_us_is_refused() {
    let killed = killed().await;
    let whole = fs::read(killed.path().join(names::USED)).unwrap();
    let number = whole.len() - 8;
    let garbage = [
        Vec::new(),
        b"x".to_vec(),
        whole[..number].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        [&whole[..], b"\n"].concat(),
        [b"x", &whole[1..]].concat(),
        [&whole[..number], &(i64::MAX as u64 + 1).to_le_bytes()].concat(),
        [&whole[..number], &u64::MAX.to_le_bytes()].concat(),
        vec![0; 100_000],
    ];
    for bytes in garbage {
        let temp = copy_of(killed.path());
        fs::write(temp.path().join(names::USED), &bytes).unwrap();
        let error = refused(temp.path(), "STORE_MARK_CORRUPT").await;
        assert_eq!(error.exit(), Exit::Integrity);
        assert!(error.to_string().contains(names::USED), "{error}");
    }
}

#[tokio::test]
async fn a_second_service_on_the_same_directory_learns_who_has_it() {
    let temp = tempfile::tempdir().unwrap();
    let first = Service::start_in(temp.path(), Limits::STANDARD).await;
    first.get("/v1/health").await.ok();
    let mut second = Service::start_in(temp.path(), Limits::STANDARD).await;
    let error = second.ended().await.unwrap_err();
    assert_eq!((error.code(), error.exit()), ("DATA_DIR_LOCKED", Exit::Busy));
    let want =
        format!("data directory {} is in use by pid {}", temp.path().display(), std::process::id());
    assert_eq!(error.to_string(), want);
    first.post(&batch([1])).await.ok();
    first.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_in_use_is_named_and_the_store_is_closed_again() {
    let temp = tempfile::tempdir().unwrap();
    let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let listen = holder.local_addr().unwrap();
    let config = Config { listen, ..config(temp.path()) };
    let error = within(run(config, std::future::pending())).await.unwrap_err();
    assert_eq!((error.code(), error.exit()), ("ADDRESS_IN_USE", Exit::Failed));
    assert!(error.to_string().starts_with(&format!("cannot listen on {listen}: ")), "{error}");
    assert!(error.hint().contains("--listen"), "{}", error.hint());
    Service::start_in(temp.path(), Limits::STANDARD).await.stop().await.unwrap();
}

#[tokio::test]
async fn a_database_that_is_removed_while_it_is_served_ends_the_service() {
    let temp = tempfile::tempdir().unwrap();
    let mut service = Service::start_in(temp.path(), Limits::STANDARD).await;
    service.post(&batch([1])).await.ok();
    fs::remove_file(temp.path().join(names::DATABASE)).unwrap();
    service.post(&batch([2])).await.problem(503, "STORE_STOPPED");
    let error = service.ended().await.unwrap_err();
    assert_eq!(error.code(), "STORE_MOVED", "{error}");
}

#[tokio::test]
async fn a_database_that_another_program_has_locked_is_503_until_it_lets_go() {
    let limits = Limits { busy_timeout: Duration::from_millis(100), ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    service.post(&batch([1])).await.ok();
    let other = Connection::open(service.dir.join(names::DATABASE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = service.post(&batch([2])).await;
    answer.problem(503, "STORE_BUSY");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(numbers(&service.get("/v1/events").await.ok()), [1]);
    other.execute_batch("ROLLBACK").unwrap();
    service.post(&batch([2])).await.ok();
    service.stop().await.unwrap();
}

#[tokio::test]
async fn more_requests_than_allowed_are_503_and_health_still_answers() {
    let limits = Limits { requests_max: 2, ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(half_a_post(&service, "expect: 100-continue\r\n").await);
    }
    let answer = service.get("/v1/events").await;
    answer.problem(503, "OVERLOADED");
    assert_eq!(answer.headers["retry-after"], "1");
    service.get("/v1/health").await.ok();
    // One of the two sends the rest and is answered; its place is free then.
    let mut stream = held.pop().unwrap();
    stream.write_all(&[b' '; 100]).await.unwrap();
    let text = read_some(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 400"), "{text}");
    service.get("/v1/events").await.ok();
    drop(held);
    service.stop().await.unwrap();
}

/// Sends the head of a request with a body of 100 bytes and waits until the service reads it.
async fn half_a_post(service: &Service, more: &str) -> TcpStream {
    let mut stream = TcpStream::connect(service.addr).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n{more}\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let text = read_some(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 100 Continue"), "{text}");
    stream
}

async fn read_some(stream: &mut TcpStream) -> String {
    let mut buf = vec![0; 4096];
    let read = within(stream.read(&mut buf)).await.unwrap();
    String::from_utf8_lossy(&buf[..read]).into_owned()
}

/// Reads to the end; a reset is an end too.
async fn read_rest(stream: &mut TcpStream) -> String {
    let mut rest = Vec::new();
    _ = within(stream.read_to_end(&mut rest)).await;
    String::from_utf8_lossy(&rest).into_owned()
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let limits = Limits { header_timeout: Duration::from_millis(200), ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    for start in ["", "GET /v1/hea", "GET /v1/health HTTP/1.1\r\nhost: x\r\n"] {
        let mut stream = TcpStream::connect(service.addr).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let began = Instant::now();
        let rest = read_rest(&mut stream).await;
        assert!(!rest.contains("200 OK"), "{rest}");
        assert!(began.elapsed() < DEADLINE / 2);
    }
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_is_answered_with_408() {
    let limits = Limits { body_timeout: Duration::from_millis(200), ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    let mut stream = half_a_post(&service, "expect: 100-continue\r\n").await;
    stream.write_all(b"{\"events\"").await.unwrap();
    let text = read_rest(&mut stream).await;
    assert!(text.starts_with("HTTP/1.1 408"), "{text}");
    assert!(text.contains("BODY_TIMEOUT"), "{text}");
    service.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut_off() {
    let limits = Limits {
        write_timeout: Duration::from_millis(200),
        page_len_max: 64 << 20,
        ..Limits::STANDARD
    };
    let service = Service::with_limits(limits).await;
    for start in 0..10 {
        let mut events = batch(start * 30..start * 30 + 30);
        for event in events["events"].as_array_mut().unwrap() {
            event["filler"] = "x".repeat(200_000).into();
        }
        service.post(&events).await.ok();
    }
    let mut stream = TcpStream::connect(service.addr).await.unwrap();
    stream.write_all(b"GET /v1/events?limit=1000 HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let start = read_some(&mut stream).await;
    assert!(start.starts_with("HTTP/1.1 200 OK"), "{start}");
    // Stopping waits for connections in work, so it ends only after the client was cut off.
    service.stop().await.unwrap();
    let mut rest = Vec::new();
    _ = within(stream.read_to_end(&mut rest)).await;
    assert!(rest.len() < 60_000_000, "the whole answer came: {}", rest.len());
}

#[tokio::test]
async fn more_connections_than_allowed_wait_until_one_ends() {
    let limits = Limits { connections_max: 1, ..Limits::STANDARD };
    let service = Service::with_limits(limits).await;
    let mut first = TcpStream::connect(service.addr).await.unwrap();
    first.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_some(&mut first).await.starts_with("HTTP/1.1 200"));
    let mut second = TcpStream::connect(service.addr).await.unwrap();
    second.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut buf = [0; 1];
    let early = tokio::time::timeout(Duration::from_millis(200), second.read(&mut buf)).await;
    assert!(early.is_err(), "answered while the only place was taken");
    drop(first);
    assert!(read_some(&mut second).await.starts_with("HTTP/1.1 200"));
    drop(second);
    service.stop().await.unwrap();
}

#[tokio::test]
async fn stopping_lets_a_request_in_work_finish_and_ends_idle_connections() {
    let temp = tempfile::tempdir().unwrap();
    let mut service = Service::start_in(temp.path(), Limits::STANDARD).await;
    let silent = TcpStream::connect(service.addr).await.unwrap();
    let mut idle = TcpStream::connect(service.addr).await.unwrap();
    idle.write_all(b"GET /v1/health HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    assert!(read_some(&mut idle).await.starts_with("HTTP/1.1 200"));
    let mut working = half_a_post(&service, "expect: 100-continue\r\n").await;
    let began = Instant::now();
    service.ask_to_stop();
    assert_eq!(read_rest(&mut idle).await, "");
    // The request that had begun is still taken in whole.
    let mut body = serde_json::json!({ "events": [] }).to_string();
    body.push_str(&" ".repeat(100 - body.len()));
    working.write_all(body.as_bytes()).await.unwrap();
    let answer = read_rest(&mut working).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    service.ended().await.unwrap();
    assert!(began.elapsed() < Limits::STANDARD.shutdown_grace, "{:?}", began.elapsed());
    drop(silent);
    assert!(TcpStream::connect(service.addr).await.is_err(), "still listening");
    // Nothing is left to replay.
    assert!(!temp.path().join(names::DATABASE_WAL).exists());
}

#[tokio::test]
async fn a_request_that_never_ends_does_not_hold_up_the_stop_for_ever() {
    let limits = Limits { shutdown_grace: Duration::from_millis(200), ..Limits::STANDARD };
    let mut service = Service::with_limits(limits).await;
    let working = half_a_post(&service, "expect: 100-continue\r\n").await;
    service.ask_to_stop();
    service.ended().await.unwrap();
    drop(working);
}

#[tokio::test]
async fn an_event_that_readers_could_not_read_is_not_stored() {
    let service = Service::start().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for value in [deep.as_str(), "1e999", r#""\ud800""#] {
        let event = event(1).to_string().replacen('{', &format!("{{\"x\":{value},"), 1);
        let body = format!("{{\"events\":[{event}]}}");
        let json = [("content-type", "application/json")];
        let answer =
            support::send(service.addr, hyper::Method::POST, "/v1/events", &json, body.into())
                .await;
        let detail = answer.problem(400, "INVALID_EVENTS");
        assert!(detail.starts_with("events[0]: "), "{detail}");
    }
    assert_eq!(service.get("/v1/events").await.ok()["count"], 0);
    service.stop().await.unwrap();
}
