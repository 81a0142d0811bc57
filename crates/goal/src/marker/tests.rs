use serde_json::json;

use super::*;

/// A host `n1` where process 7 began at tick 70, and the group that process 9 led goes on; nothing else runs.
struct Host;

impl Liveness for Host {
    fn host(&self) -> &'static str {
        "n1"
    }

    fn boot_id(&self) -> &'static str {
        "b-1"
    }

    fn start_time(&self, pid: u32) -> Option<u64> {
        (pid == 7).then_some(70)
    }

    fn group_lives(&self, leader: u32) -> bool {
        [7, 9].contains(&leader)
    }
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + second).unwrap()
}

fn entry(name: &str) -> MarkerEntry {
    MarkerEntry {
        name: name.to_owned(),
        ts: Some("1000000".to_owned()),
        git_root: Some("/r".to_owned()),
        ..MarkerEntry::default()
    }
}

fn with_pid(name: &str, host: &str, pid: u32, start: u64) -> MarkerEntry {
    let (pid, host, proc_start) = (Some(pid), Some(host.to_owned()), Some(start));
    MarkerEntry { pid, host, proc_start, ..entry(name) }
}

fn file(entries: Vec<MarkerEntry>) -> MarkerFile {
    MarkerFile { active_tentacles: entries, ..MarkerFile::default() }
}

fn names<'a>(entries: impl IntoIterator<Item = &'a MarkerEntry>) -> Vec<&'a str> {
    entries.into_iter().map(|it| it.name.as_str()).collect()
}

/// M7
#[test]
fn an_entry_is_live_as_long_as_its_group_is() {
    let judged = |it: &MarkerEntry| judge(it, at(60), &Host);
    assert_eq!(judged(&with_pid("p", "n1", 9, 90)), Judgement::Live, "its group goes on");
    assert_eq!(judged(&with_pid("p", "n1", 8, 80)), Judgement::Dead, "nobody is left of it");
    assert_eq!(judged(&with_pid("p", "n1", 7, 71)), Judgement::Dead, "another one has its number");
}

#[test]
fn the_table_of_judgements_is_what_the_code_says() {
    let undated = MarkerEntry { ts: None, ..entry("u") };
    let nonsense = MarkerEntry { ts: Some("soon".to_owned()), ..entry("u") };
    let other_boot = MarkerEntry { boot_id: Some("b-0".to_owned()), ..with_pid("p", "n1", 7, 70) };
    let no_host = MarkerEntry { host: None, ..with_pid("p", "n1", 6, 60) };
    for (entry, second, want) in [
        (entry("a"), MARKER_TTL_SECONDS, Judgement::Live),
        (entry("a"), MARKER_TTL_SECONDS + 1, Judgement::Expired),
        (entry("a"), -60, Judgement::Live),
        (undated.clone(), MARKER_TTL_SECONDS * 9, Judgement::Undated),
        (nonsense, 0, Judgement::Undated),
        (with_pid("p", "n1", 7, 70), 60, Judgement::Live),
        (with_pid("p", "n1", 7, 70), MARKER_TTL_SECONDS + 1, Judgement::Expired),
        (with_pid("p", "n1", 6, 60), 60, Judgement::Dead),
        (with_pid("p", "n1", 7, 69), 60, Judgement::Dead),
        (other_boot, 60, Judgement::Dead),
        (with_pid("p", "n2", 6, 60), 60, Judgement::Live),
        (with_pid("p", "n2", 6, 60), MARKER_TTL_SECONDS + 1, Judgement::Expired),
        (no_host, 60, Judgement::Live),
        (MarkerEntry { ts: None, ..with_pid("p", "n1", 6, 60) }, 60, Judgement::Dead),
    ] {
        assert_eq!(judge(&entry, at(second), &Host), want, "{entry:?} at {second}");
    }
}

#[test]
fn a_dead_entry_is_removed_after_a_minute_and_its_live_sibling_kept() {
    let before = file(vec![with_pid("dead", "n1", 6, 60), with_pid("live", "n1", 7, 70)]);
    let (kept, removed) = cleanup(&before, at(60), &Host);
    assert_eq!(names(&kept.active_tentacles), ["live"]);
    assert_eq!(names(removed.iter().map(|it| &it.0)), ["dead"]);
    assert_eq!(removed[0].1, Judgement::Dead);
    assert_eq!(names(&before.active_tentacles), ["dead", "live"], "a dry run changes nothing");
}

#[test]
fn four_hours_are_kept_and_a_second_more_is_not() {
    let before = file(vec![entry("a"), MarkerEntry { ts: None, ..entry("undated") }]);
    let (kept, removed) = cleanup(&before, at(MARKER_TTL_SECONDS), &Host);
    assert_eq!((&kept, removed.len()), (&before, 0));
    let (kept, removed) = cleanup(&before, at(MARKER_TTL_SECONDS + 1), &Host);
    assert_eq!(names(&kept.active_tentacles), ["undated"]);
    assert_eq!(removed[0].1, Judgement::Expired);
}

#[test]
fn an_entry_with_an_id_is_removed_by_that_id_only() {
    let with_id = |name: &str| MarkerEntry { tentacle_id: Some("t-1".to_owned()), ..entry(name) };
    let id = |tentacle_id, name, git_root| Identity { name, git_root, tentacle_id };
    for (own, wanted, gone) in [
        (with_id("a"), id(Some("t-1"), "other", None), true),
        (with_id("a"), id(Some("t-2"), "a", Some("/r")), false),
        (with_id("a"), id(None, "a", Some("/r")), false),
        (entry("a"), id(Some("t-1"), "a", Some("/r")), true),
        (entry("a"), id(None, "a", Some("/r")), true),
        (entry("a"), id(None, "a", Some("/other")), false),
        (entry("a"), id(None, "a", None), false),
        (entry("a"), id(None, "b", Some("/r")), false),
    ] {
        let mut file = file(vec![own.clone()]);
        let removed = remove(&mut file, &wanted, at(0));
        assert_eq!(!removed.is_empty(), gone, "{own:?} {wanted:?}");
        assert_eq!(file.active_tentacles.is_empty(), gone);
    }
}

#[test]
fn an_entry_that_is_added_again_is_there_once() {
    let mut file = MarkerFile::default();
    add(&mut file, entry("a"), at(0));
    add(&mut file, entry("b"), at(0));
    add(&mut file, MarkerEntry { ts: Some("1000005".to_owned()), ..entry("a") }, at(5));
    assert_eq!(names(&file.active_tentacles), ["b", "a"]);
    assert_eq!(file.active_tentacles[1].sent_at(), Some(at(5)));
    assert_eq!(file.ttl_seconds, Some(14_400));
    assert_eq!(file.written_at, json!(at(5).to_string()));
}

#[test]
fn a_repository_is_blocked_by_its_own_live_entries_only() {
    let blocked =
        |entry: MarkerEntry, root| blocks(&file(vec![entry]), root, at(60), &Host).is_some();
    assert!(blocked(entry("a"), "/r"));
    assert!(!blocked(entry("a"), "/other"));
    assert!(blocked(MarkerEntry { git_root: None, ..entry("a") }, "/other"), "it may be this one");
    assert!(!blocked(with_pid("a", "n1", 6, 60), "/r"), "its process is gone");
    assert!(!blocked(MarkerEntry { ts: None, ..entry("a") }, "/r"), "no time, here nor there");
    let old = file(vec![entry("a")]);
    assert!(blocks(&old, "/r", at(MARKER_TTL_SECONDS), &Host).is_some());
    assert!(blocks(&old, "/r", at(MARKER_TTL_SECONDS + 1), &Host).is_none());
    assert!(blocks(&MarkerFile::default(), "/r", at(0), &Host).is_none());
}

#[test]
fn files_of_older_writers_are_read() {
    for text in [
        json!({"ts": "1000000", "git_root": "/r", "active_tentacles": ["a"]}),
        json!({"ts": 1_000_000, "git_root": "/r", "tentacle": "a"}),
        json!({"ts": 1_000_000.5, "git_root": "/r", "tentacle": "a"}),
    ] {
        let read = MarkerFile::parse(Some(text.to_string().as_bytes())).unwrap();
        assert_eq!(names(&read.active_tentacles), ["a"]);
        assert!(blocks(&read, "/r", at(60), &Host).is_some(), "the time of the file counts");
        assert!(blocks(&read, "/r", at(MARKER_TTL_SECONDS + 2), &Host).is_none());
        assert!(blocks(&read, "/other", at(60), &Host).is_none());
        let (kept, removed) = cleanup(&read, at(MARKER_TTL_SECONDS * 2), &Host);
        assert_eq!((kept.active_tentacles.len(), removed.len()), (1, 0), "no time of its own");
        assert!(!kept.extra.contains_key("tentacle"));
    }
}

#[test]
fn signature_and_unknown_keys_are_kept() {
    let text = json!({
        "name": "dispatched", "ts": "1000000", "sig": "ab12", "git_root": "/r",
        "active_tentacles": [{"name": "a", "ts": "1000000", "git_root": "/r", "color": "blue"}],
        "scope": ["src"], "dispatch_mode": "parallel", "ttl_seconds": 14400,
        "written_at": 1_000_000, "more": {"x": 1},
    });
    let file = MarkerFile::parse(Some(text.to_string().as_bytes())).unwrap();
    assert_eq!(serde_json::to_value(&file).unwrap(), text);
}

#[test]
fn a_damaged_file_is_an_error_and_a_missing_one_is_empty() {
    assert_eq!(MarkerFile::parse(None).unwrap(), MarkerFile::default());
    for bytes in ["", "[]x", "{\"active_tentacles\":3}", "{\"active_tentacles\":[{\"ts\":\"1\"}]}"]
    {
        let error = MarkerFile::parse(Some(bytes.as_bytes())).unwrap_err();
        assert_eq!(error.code(), "MARKER_CORRUPT", "{bytes}");
    }
    let long = vec![b' '; MARKER_LEN_MAX + 1];
    assert_eq!(MarkerFile::parse(Some(&long)).unwrap_err().code(), "MARKER_TOO_LONG");
}
