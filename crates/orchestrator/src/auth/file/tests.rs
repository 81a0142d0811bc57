use std::os::unix::fs::PermissionsExt as _;

use vfs::{CrashPolicy, FaultPlan, MemVfs, OpenMode, OsVfs, Vfs as _, write_all_at};

use super::*;
use crate::auth::{
    access::{
        Change,
        tests::{anybody, assign, change, create_role, minted, token},
    },
    permission::Permission,
};

/// The state after each of so many changes.
fn states(count: usize) -> Vec<Access> {
    let mut states = vec![Access::default()];
    let changes = [
        assign("auditor", "ada"),
        token(1, "ada", Some(3600)),
        assign("operator", "bob"),
        token(2, "node:robot-7", None),
        create_role("night", &[Permission::FleetRead, Permission::RolloutWrite]),
        Change::RevokeToken { id: minted(2).id, force: false },
    ];
    for it in &changes[..count] {
        let mut next = states.last().unwrap().clone();
        change(&mut next, it, &anybody()).unwrap();
        states.push(next);
    }
    states
}

fn dir() -> &'static Path {
    Path::new("/data")
}

fn disk() -> MemVfs {
    let disk = MemVfs::default();
    disk.create_dir_all(dir()).unwrap();
    disk
}

fn put(disk: &MemVfs, name: &str, bytes: &[u8]) {
    let file = disk.open(&dir().join(name), OpenMode::Truncate).unwrap();
    write_all_at(&*file, bytes, 0).unwrap();
}

fn get(disk: &MemVfs, name: &str) -> Vec<u8> {
    vfs::read_whole(disk, &dir().join(name), ACCESS_LEN_MAX).unwrap().unwrap()
}

#[track_caller]
fn refused(disk: &MemVfs, code: &str) {
    let error = open(disk, dir()).unwrap_err();
    assert_eq!(error.code(), code, "{error}");
    assert!(!error.hint().is_empty() && !error.hint().ends_with('.'));
}

#[test]
fn every_row_of_the_boot_table_is_decided_as_written() {
    let states = states(2);
    let disk = disk();
    assert_eq!(open(&disk, dir()).unwrap(), Access::default(), "A");
    assert_eq!(disk.list(dir()).unwrap(), Vec::<String>::new(), "looking changes nothing");
    save(&disk, dir(), &states[1]).unwrap();
    assert_eq!(open(&disk, dir()).unwrap(), states[1], "C");
    let (older, older_used) = (get(&disk, ACCESS), get(&disk, ACCESS_USED));
    save(&disk, dir(), &states[2]).unwrap();
    put(&disk, ACCESS, &older);
    refused(&disk, "ACCESS_ROLLED_BACK"); // D
    put(&disk, ACCESS_USED, &older_used);
    assert_eq!(open(&disk, dir()).unwrap(), states[1], "both from a backup: C");
    disk.remove(&dir().join(ACCESS_USED)).unwrap();
    assert_eq!(open(&disk, dir()).unwrap(), states[1], "C without evidence");
    disk.remove(&dir().join(ACCESS)).unwrap();
    refused(&disk, "ACCESS_MISSING"); // B: reading it has left the evidence again (X3).
    put(&disk, ACCESS, br#"{"format":"autonomy-access","version":2,"more":[1]}"#);
    refused(&disk, "ACCESS_NEWER"); // E
    put(&disk, ACCESS, br#"{"format":"something-else","version":9}"#);
    refused(&disk, "ACCESS_CORRUPT"); // F
    for used in [&b""[..], b"7", b"\xff", &[USED_TEXT.as_bytes(), b"07\n"].concat()] {
        put(&disk, ACCESS_USED, used);
        put(&disk, ACCESS, &older);
        refused(&disk, "ACCESS_CORRUPT"); // G
    }
}

/// Written once by version 1 and never again.
const GOLDEN: &[u8] = include_bytes!("golden/access-1.json");

#[test]
fn what_version_1_wrote_is_read_and_written_in_the_same_bytes() {
    let access = decode(GOLDEN, Path::new(ACCESS)).unwrap();
    assert_eq!(access, states(6)[6]);
    assert_eq!(encode(&access).unwrap(), GOLDEN);
}

#[test]
fn what_is_no_state_is_never_taken_for_an_empty_one() {
    let disk = disk();
    let deep = "[".repeat(10_000);
    let table: [&[u8]; 7] = [
        b"",
        b"{}",
        b"null",
        b"\0\0\0\0",
        br#"{"format":"autonomy-access","version":1}"#,
        br#"{"format":"autonomy-access","version":1,"blake3":"","access":{}}"#,
        deep.as_bytes(),
    ];
    for bytes in table {
        put(&disk, ACCESS, bytes);
        refused(&disk, "ACCESS_CORRUPT");
    }
    let file = disk.open(&dir().join(ACCESS), OpenMode::Truncate).unwrap();
    file.set_len(ACCESS_LEN_MAX + 1).unwrap();
    refused(&disk, "ACCESS_CORRUPT");
}

#[test]
fn one_changed_byte_anywhere_is_refused() {
    let access = states(6).pop().unwrap();
    let good = encode(&access).unwrap();
    let path = Path::new(ACCESS);
    assert_eq!(decode(&good, path).unwrap(), access);
    for at in 0..good.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut bytes = good.clone();
            bytes[at] ^= flip;
            assert!(decode(&bytes, path).is_err(), "byte {at} (X4)");
        }
        assert!(decode(&good[..at], path).is_err(), "cut at {at} (X4)");
    }
    assert!(decode(&[&good[..], b"\n"].concat(), path).is_err());
}

#[test]
fn a_sound_text_about_an_impossible_state_is_refused() {
    let text = serde_json::to_string(&states(2)[2]).unwrap();
    let path = Path::new(ACCESS);
    let wrap = |access: &str| {
        let blake3 = digest(access);
        format!(
            "{{\"format\":\"{FORMAT}\",\"version\":1,\"blake3\":\"{blake3}\",\"access\":{access}}}\n"
        )
    };
    assert!(decode(wrap(&text).as_bytes(), path).is_ok());
    let table = [
        text.replace("\"auditor\"", "\"nowhere\""),
        text.replace("\"auditor\"", "\"admin\""),
        text.replace("\"auditor\"", "\"node\""),
        text.replace("{\"ada\":", "{\"node:a\":"),
        text.replace("\"roles\":{}", "\"roles\":{\"operator\":{\"permissions\":[\"fleet:read\"],\"by\":\"x\",\"at\":\"2026-01-01T00:00:00Z\"}}"),
        text.replace("\"roles\":{}", "\"roles\":{\"r\":{\"permissions\":[\"node:act\"],\"by\":\"x\",\"at\":\"2026-01-01T00:00:00Z\"}}"),
        text.replace("\"roles\":{}", "\"roles\":{},\"more\":1"),
    ];
    for access in table {
        assert_ne!(access, text);
        let error = decode(wrap(&access).as_bytes(), path).unwrap_err();
        assert_eq!(error.code(), "ACCESS_CORRUPT", "{access} (A2)");
    }
}

#[test]
fn the_files_are_their_owners_alone_and_show_no_token() {
    let dir = tempfile::tempdir().unwrap();
    save(&OsVfs, dir.path(), &states(6)[6]).unwrap();
    for name in [ACCESS, ACCESS_USED] {
        let path = dir.path().join(name);
        let mode = std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name}");
        assert!(!std::fs::read_to_string(&path).unwrap().contains("aut_"), "K1");
    }
    assert_eq!(open(&OsVfs, dir.path()).unwrap(), states(6)[6]);
}

#[test]
fn a_full_disk_leaves_the_state_that_was_there() {
    let states = states(2);
    let disk = disk();
    save(&disk, dir(), &states[1]).unwrap();
    disk.set_plan(FaultPlan::new(|_, op| {
        matches!(op, vfs::Op::Write { .. }).then_some(vfs::Fault::Enospc)
    }));
    assert_eq!(save(&disk, dir(), &states[2]).unwrap_err().code(), "ACCESS_IO");
    disk.set_plan(FaultPlan::none());
    assert_eq!(open(&disk, dir()).unwrap(), states[1], "X2");
    save(&disk, dir(), &states[2]).expect("the next one is whole again");
    assert_eq!(open(&disk, dir()).unwrap(), states[2]);
}

/// Saves `states` one after the other with a crash at operation `step`; returns how many were acknowledged.
fn crash(disk: &MemVfs, states: &[Access], step: u64) -> usize {
    disk.set_plan(FaultPlan::crash_at(step));
    states.iter().skip(1).take_while(|it| save(disk, dir(), it).is_ok()).count()
}

fn policies() -> impl Iterator<Item = CrashPolicy> {
    let fixed = [CrashPolicy::LoseAll, CrashPolicy::KeepAll];
    fixed.into_iter().chain((0..24).map(CrashPolicy::Random))
}

#[test]
fn a_loss_of_power_at_any_step_keeps_what_was_acknowledged_and_never_opens_the_door() {
    let states = states(3);
    let mut steps = 0;
    for step in 0.. {
        let probe = disk();
        let acknowledged = crash(&probe, &states, step);
        for policy in policies() {
            let disk = disk();
            crash(&disk, &states, step);
            disk.power_loss(policy);
            let found = open(&disk, dir()).expect("a crash is never a loss");
            let whole = found == states[acknowledged]
                || states.get(acknowledged + 1).is_some_and(|it| found == *it);
            assert!(whole, "step {step} {policy:?} (X2)");
            // What was read once stays, also when power is lost again before anything is written.
            disk.power_loss(CrashPolicy::LoseAll);
            assert_eq!(open(&disk, dir()).unwrap(), found, "step {step} {policy:?} (X3)");
        }
        steps += 1;
        if acknowledged == states.len() - 1 {
            break;
        }
    }
    assert!(steps > 20, "{steps} steps");
}

#[test]
fn a_kill_at_any_step_of_a_start_is_made_up_for_by_the_next() {
    let states = states(2);
    for step in 0..8 {
        let disk = disk();
        save(&disk, dir(), &states[1]).unwrap();
        disk.remove(&dir().join(ACCESS_USED)).unwrap();
        disk.sync_dir(dir()).unwrap();
        disk.set_plan(FaultPlan::crash_at(step));
        open(&disk, dir()).ok();
        disk.power_loss(CrashPolicy::Random(step));
        assert_eq!(open(&disk, dir()).unwrap(), states[1], "step {step}");
    }
}

#[test]
fn the_largest_state_fits() {
    use crate::auth::{access, identity, role, subject};

    // Field names, quotes and times of one entry, generously; a reason may double when it is quoted.
    let frame = 320;
    let by = 2 * identity::OPERATOR_LEN_MAX.max(subject::SUBJECT_LEN_MAX);
    let roles = access::ROLES_MAX * (frame + role::ROLE_NAME_LEN_MAX + by + 18 * 24);
    let names = subject::SUBJECT_LEN_MAX + role::ROLE_NAME_LEN_MAX;
    let assignments = access::ASSIGNMENTS_MAX * (frame + names + by + 2 * access::REASON_LEN_MAX);
    let tokens = access::TOKENS_MAX * (frame + subject::SUBJECT_LEN_MAX + by + 64);
    assert!(((roles + assignments + tokens) as u64) < ACCESS_LEN_MAX);
}
