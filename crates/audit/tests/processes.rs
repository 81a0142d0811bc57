//! Several threads and several processes append to one trail on a real disk; some are killed.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead as _, BufReader},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    thread,
};

use audit::{
    Category, Filter, NewRecord, Outcome, Record, Settings, Source, Trail, Verdict, Verified,
    newest, query, verify,
};
use jiff::Timestamp;
use vfs::{OsVfs, Vfs};

fn os() -> Arc<dyn Vfs> {
    Arc::new(OsVfs)
}

fn settings(segment_len_max: u64) -> Settings {
    Settings { segment_len_max, ..Settings::new(Source::Cli, "a test") }
}

fn event(writer: &str, id: u64) -> NewRecord {
    let now = Timestamp::from_second(1_767_323_045).unwrap();
    let kind = (Category::System, "append");
    NewRecord::new("test.appended", kind, Outcome::Success, Source::Cli, now)
        .by(writer)
        .with("id", id)
}

fn whole(dir: &Path) -> Verified {
    match verify(&os(), dir).unwrap() {
        Verdict::Whole(verified) => verified,
        Verdict::Damaged(damage) => panic!("{damage}"),
    }
}

fn all(dir: &Path) -> Vec<Record> {
    query(&os(), dir, &Filter::default(), 0).unwrap()
}

/// By writer: id and number of each record, in the order of the trail.
fn by_writer(records: &[Record]) -> BTreeMap<String, Vec<(u64, u64)>> {
    let mut found: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for record in records.iter().filter(|it| it.event.event_name == "test.appended") {
        let id = record.event.fields["id"].as_u64().unwrap();
        let writer = record.event.actor.clone().unwrap();
        found.entry(writer).or_default().push((id, record.seq));
    }
    found
}

#[test]
fn the_directory_and_its_files_are_their_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let trail = dir.path().join("state/audit");
    Trail::open(os(), &trail, settings(1 << 20)).unwrap();
    let mode = |it: &Path| fs::metadata(it).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&trail), 0o700);
    for name in [audit::OPEN, audit::HEAD, audit::LOCK] {
        assert_eq!(mode(&trail.join(name)), 0o600, "{name}");
    }
}

/// L1, L2: every answered record once, in one chain, whoever wrote it; and nobody who reads meanwhile sees
/// anything but a part of it that grows.
#[test]
fn threads_with_values_of_their_own_append_while_others_read() {
    const WRITERS: u64 = 4;
    const APPENDS: u64 = 60;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path();
    Trail::open(os(), path, settings(4000)).unwrap();
    let write = |writer: u64| {
        let mut trail = Trail::open(os(), path, settings(4000)).unwrap();
        let name = format!("w{writer}");
        let mut answers = Vec::new();
        for append in 0..APPENDS {
            let batch: Vec<_> = (0..=append % 3).map(|it| event(&name, append * 3 + it)).collect();
            let ids = (0..=append % 3).map(|it| append * 3 + it);
            let receipts = trail.append(&batch, batch[0].timestamp).unwrap();
            answers.extend(ids.zip(receipts.iter().map(|it| it.seq)));
        }
        (name, answers)
    };
    let answers: BTreeMap<_, _> = thread::scope(|scope| {
        let writers: Vec<_> =
            (0..WRITERS).map(|writer| scope.spawn(move || write(writer))).collect();
        let reader = scope.spawn(|| {
            let mut seen: Vec<Record> = Vec::new();
            let last = format!("w{}", WRITERS - 1);
            let enough = |it: &[Record]| by_writer(it).get(&last).is_some_and(|it| it.len() > 50);
            while !enough(&seen) {
                whole(path);
                let now = all(path);
                assert!(now.starts_with(&seen), "a record changed or vanished");
                assert!(now.last().is_none_or(|it| it.more == 0), "half an append");
                let back: Vec<_> =
                    newest(&os(), path, &Filter::default()).unwrap().map(Result::unwrap).collect();
                assert!(back.iter().rev().take(now.len()).eq(&now));
                seen = now;
            }
        });
        reader.join().unwrap();
        writers.into_iter().map(|it| it.join().unwrap()).collect()
    });
    let verified = whole(path);
    assert!(verified.segments > 10, "{}", verified.segments);
    assert_eq!(by_writer(&all(path)), answers);
}

/// The example, which cargo builds for the tests of its package.
fn program() -> PathBuf {
    let tests = std::env::current_exe().unwrap();
    let found = tests.parent().unwrap().parent().unwrap().join("examples/append");
    assert!(found.exists(), "{} was not built", found.display());
    found
}

fn start(dir: &Path, writer: &str, appends: u64, batch: u64) -> (Child, BufReader<ChildStdout>) {
    let mut child = Command::new(program())
        .arg(dir)
        .args([writer, &appends.to_string(), &batch.to_string(), "6000"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap());
    (child, answers)
}

/// The next answer; `None` when there is none, or only a part of it.
fn answer(answers: &mut BufReader<ChildStdout>) -> Option<(u64, u64)> {
    let mut line = String::new();
    answers.read_line(&mut line).unwrap();
    let (id, seq) = line.strip_suffix('\n')?.split_once(' ')?;
    Some((id.parse().unwrap(), seq.parse().unwrap()))
}

#[test]
fn processes_append_to_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let children: Vec<_> =
        (0..3).map(|it| start(dir.path(), &format!("p{it}"), 40, 1 + it)).collect();
    let mut answers = BTreeMap::new();
    for (writer, (mut child, mut lines)) in children.into_iter().enumerate() {
        let found: Vec<_> = std::iter::from_fn(|| answer(&mut lines)).collect();
        assert!(child.wait().unwrap().success());
        assert_eq!(found.len(), 40 * (1 + writer));
        answers.insert(format!("p{writer}"), found);
    }
    whole(dir.path());
    assert_eq!(by_writer(&all(dir.path())), answers);
}

/// L1, L3, H2 with real processes: one is killed while it appends, the others go on.
#[test]
fn a_process_that_is_killed_leaves_a_trail_with_everything_it_answered() {
    const KILLS: u64 = 40;
    let dir = tempfile::tempdir().unwrap();
    let (mut other, mut other_lines) = start(dir.path(), "other", 1_000_000, 2);
    assert!(answer(&mut other_lines).is_some());
    // Its answers are read until it ends, so that it never waits for a reader.
    let reader =
        thread::spawn(move || std::iter::from_fn(|| answer(&mut other_lines)).count() as u64 + 1);
    for kill in 0..KILLS {
        let writer = format!("killed {kill}");
        let (mut child, mut lines) = start(dir.path(), &writer, 1_000_000, 1 + kill % 4);
        let mut found: Vec<_> = (0..=kill % 5).map_while(|_| answer(&mut lines)).collect();
        child.kill().unwrap();
        child.wait().unwrap();
        found.extend(std::iter::from_fn(|| answer(&mut lines)));
        whole(dir.path());
        let there = by_writer(&all(dir.path())).remove(&writer).unwrap_or_default();
        assert!(there.starts_with(&found), "{there:?} {found:?}");
        assert_eq!(there.len() as u64 % (1 + kill % 4), 0, "half an append: {there:?}");
    }
    other.kill().unwrap();
    other.wait().unwrap();
    let answered = reader.join().unwrap();
    let mut trail = Trail::open(os(), dir.path(), settings(6000)).unwrap();
    trail.append(&[event("last", 1)], Timestamp::from_second(0).unwrap()).unwrap();
    let verified = whole(dir.path());
    let records = all(dir.path());
    let there = by_writer(&records)["other"].len() as u64;
    assert!(there >= answered && there <= answered + 2, "{there} {answered}");
    assert_eq!((verified.records, verified.torn_tail), (records.len() as u64, None));
}
