//! Recovery of the logs under `wal-format/tests/golden`, which were written once: what is found,
//! what is kept, byte for byte.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod harness;

use harness::{oracle, read, write};
use vfs::MemVfs;
use wal_format::{Origin, Seq, names};
use wal_recovery::{Overrides, RecoverError, Report, Violation, recover};

const CHAINED: &[u8] = include_bytes!("golden/chained.wal");
const FOREIGN: &[u8] = include_bytes!("golden/foreign.wal");
const ADOPTED: &[u8] = include_bytes!("golden/adopted.wal");
const TORN: &[u8] = include_bytes!("golden/torn.wal");
const ZEROS: &[u8] = include_bytes!("golden/zeros.wal");
const SAFE_SEQ: &[u8] = include_bytes!("golden/telemetry.safe_seq");
const POS: &[u8] = include_bytes!("golden/telemetry.pos");

const OURS: &str = "07070707-0707-4707-8707-070707070707";
const FOREIGN_ID: &str = "f301c713-7881-8625-bbb6-524495ab7d97";

/// Recovers a directory with this log; `safe` is the content of the safe point, if there is one.
fn recovered(
    log: &[u8],
    safe: Option<&[u8]>,
    asked: Overrides,
) -> Result<(Report, Vec<u8>), RecoverError> {
    let vfs = MemVfs::default();
    write(&vfs, names::WAL, log);
    write(&vfs, names::POS, POS);
    if let Some(safe) = safe {
        write(&vfs, names::SAFE_SEQ, safe);
    }
    let opening = wal_recovery::Opening { overrides: asked, ..harness::opening() };
    let report = recover(&vfs, &opening)?.report;
    let after = read(&vfs, names::WAL).unwrap();
    let count = oracle::parse(&after).unwrap().len() as u64;
    assert_eq!(read(&vfs, names::SAFE_SEQ).unwrap(), count.to_le_bytes());
    assert_eq!(read(&vfs, names::POS).as_deref(), Some(POS), "recovery leaves the consumer alone");
    Ok((report, after))
}

fn at(safe: u64) -> [u8; 8] {
    safe.to_le_bytes()
}

#[track_caller]
fn check(report: &Report, wal_id: &str, last: u64, (beyond, phantoms, cut): (u64, u64, u64)) {
    assert_eq!(report.identity.wal_id.to_string(), wal_id);
    assert_eq!(report.last.map(Seq::get), Some(last));
    assert_eq!(
        (report.beyond_safe_point, report.phantoms, report.bytes_cut),
        (beyond, phantoms, cut)
    );
}

#[test]
fn a_log_of_ours_is_kept_as_it_is() {
    for (safe, beyond) in [(SAFE_SEQ, 0), (&at(4), 2), (&at(0), 6)] {
        let (report, after) = recovered(CHAINED, Some(safe), Overrides::default()).unwrap();
        check(&report, OURS, 6, (beyond, 0, 0));
        assert_eq!(report.identity.origin, Origin::FirstRun);
        assert_eq!(after, CHAINED);
    }
}

#[test]
fn a_torn_log_loses_its_tail_and_a_committed_one_is_refused() {
    let (report, after) = recovered(TORN, Some(&at(5)), Overrides::default()).unwrap();
    check(&report, OURS, 5, (0, 0, 178));
    assert_eq!(after, CHAINED[..TORN.len() - 178]);
    match recovered(TORN, Some(SAFE_SEQ), Overrides::default()) {
        Err(RecoverError::Violation { violation, .. }) => {
            assert_eq!(violation.to_string(), "SAFESEQ_GT_MAXSEQ — safe_seq=6 but maxSeq=5");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn zeros_behind_a_log_are_trimmed() {
    let (report, after) = recovered(ZEROS, Some(SAFE_SEQ), Overrides::default()).unwrap();
    check(&report, OURS, 6, (0, 0, 0));
    assert_eq!(after, CHAINED);
}

#[test]
fn a_log_of_the_original_system_is_carried_on_under_its_own_id() {
    let (report, after) = recovered(FOREIGN, Some(&at(3)), Overrides::default()).unwrap();
    check(&report, FOREIGN_ID, 3, (0, 0, 0));
    assert_eq!(report.identity.origin, Origin::Adopted);
    // The adoption is the first entry that we wrote behind it when the golden file was made.
    let adoption = ADOPTED.len() - last_frame_len(ADOPTED);
    assert_eq!(after, ADOPTED[..adoption]);

    let (report, after) = recovered(ADOPTED, Some(&at(5)), Overrides::default()).unwrap();
    check(&report, FOREIGN_ID, 5, (0, 0, 0));
    assert_eq!(after, ADOPTED);
}

#[test]
fn frames_of_the_original_system_behind_its_safe_point_are_phantoms() {
    let (report, after) = recovered(FOREIGN, Some(&at(1)), Overrides::default()).unwrap();
    check(&report, FOREIGN_ID, 1, (0, 2, 270));
    assert!(after.starts_with(&FOREIGN[..FOREIGN.len() - 270]));
}

#[test]
fn without_a_safe_point_only_the_legacy_upgrade_opens_them() {
    let upgrade = Overrides { legacy_upgrade: true, ..Overrides::default() };
    for (log, wal_id, last) in
        [(FOREIGN, FOREIGN_ID, 3), (ADOPTED, FOREIGN_ID, 5), (CHAINED, OURS, 6)]
    {
        match recovered(log, None, Overrides::default()) {
            Err(RecoverError::Violation { violation, .. }) => {
                assert!(matches!(violation, Violation::SafeSeqNotFound { .. }));
            }
            other => panic!("{other:?}"),
        }
        let (report, after) = recovered(log, None, upgrade).unwrap();
        check(&report, wal_id, last, (0, 0, 0));
        assert!(after.starts_with(log));
    }
}

fn last_frame_len(mut log: &[u8]) -> usize {
    let mut last = 0;
    while let Some(len) = log.first_chunk::<4>() {
        last = 4 + u32::from_be_bytes(*len) as usize;
        log = &log[last..];
    }
    last
}
