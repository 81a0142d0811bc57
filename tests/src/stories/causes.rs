//! The stable codes of a log, each brought about in the files of a real runtime, and the ways out that its page names.
//!
//! | module     | what it holds                                                                        |
//! |------------|--------------------------------------------------------------------------------------|
//! | `play`     | how each of them is told: calls, the fault, its proof, what is said, every remedy        |
//! | `faults`   | what is done to the files, and the bytes that prove it                               |
//! | `remedies` | what an operator does, and what of the answered calls is there afterwards               |
//! | `site`     | the node, and copies of its log from before and after the fault                      |
//! | `log`      | the bytes of a log                                                                   |
//!
//! A drill is named after its code, as the FATAL line and the page are. Not here: `WAL_IO`, `WAL_DISK_FULL`,
//! `WAL_POISONED` and `WAL_FILE_REPLACED`, which the drills about disks and about a replaced log bring about;
//! `WAL_NOT_FOUND`, which no start gives; and refusals of single commands (`WAL_NOT_DRAINED`, `SEAL_…`, `ARCHIVE_…`),
//! after which nothing is to be healed.

mod faults;
mod log;
mod play;
mod remedies;
mod site;

use anyhow::Result;
use wal_recovery::codes;

use crate::stories::drill::{Drill, Needs};
use faults::Deed;
use remedies::Remedy;
use site::Site;

/// A code, how it comes about, and what becomes of it.
#[derive(Clone, Copy, Debug)]
struct Cause {
    code: &'static str,
    hypothesis: &'static str,
    fault: &'static str,
    expected: &'static str,
    /// What is done to the directory before the copy and the fault.
    prepare: fn(&Site) -> Result<()>,
    deed: Deed,
    /// What the proof says; begins with `proof: `.
    proof: &'static str,
    judge: Judge,
    remedies: &'static [Remedy],
}

/// Who notices.
#[derive(Clone, Copy, Debug)]
enum Judge {
    /// A start without variables refuses the log with this code.
    Start(&'static str),
    /// Only the seal tells.
    Seal,
    /// Whoever wants to write the log as well.
    Lock,
    /// The next start cuts what is no entry, and warns.
    Phantom,
}

/// A drill for each row.
macro_rules! drills {
    ($($name:ident $row:expr)*) => {
        $(const $name: Cause = Cause { code: codes::$name, ..$row };)*

        /// Every one of them, in the order of the codes.
        pub(super) const DRILLS: &[Drill] = &[$(Drill {
            name: $name.code,
            hypothesis: $name.hypothesis,
            fault: $name.fault,
            expected: $name.expected,
            needs: Needs::Nothing,
            lines: &[],
            play: |dir, fault, narrator| play::told(&$name, dir, fault, narrator),
        }),*];
    };
}

/// A log that no start accepts, without anything else that has to be said about it.
const REFUSED: Cause = Cause {
    code: "",
    hypothesis: "",
    fault: "",
    expected: "exit code 8 and a FATAL line with the code; the files stay as they are",
    prepare: |_| Ok(()),
    deed: faults::SAFE_POINT_GONE,
    proof: "",
    judge: Judge::Start(""),
    remedies: &[],
};

/// A log whose entries do not hold. It was delivered, so that the directory shows its use when it is given up.
const DAMAGED: Cause = Cause {
    prepare: Site::deliver,
    remedies: &[remedies::BACKUP, remedies::REPAIR, remedies::ACCEPT],
    ..REFUSED
};

/// A log that starts, and is not the one that was sealed.
const SEALED: Cause = Cause {
    prepare: Site::seal,
    judge: Judge::Seal,
    expected: "`autonomy wal verify --pub` ends with exit code 8 and the code; a start does not notice",
    remedies: &[remedies::RESTORE],
    ..REFUSED
};

drills! {
    SAFESEQ_NOT_FOUND Cause {
        hypothesis: "a log without its safe point is refused, and its entries come back with it",
        fault: "telemetry.safe_seq is removed",
        deed: faults::SAFE_POINT_GONE,
        proof: "proof: there is a log and no safe point",
        judge: Judge::Start(codes::SAFESEQ_NOT_FOUND),
        remedies: &[remedies::SAFE_POINT_BACK, remedies::ADOPT, remedies::REPAIR],
        ..REFUSED
    }
    SAFESEQ_CORRUPT Cause {
        hypothesis: "a safe point of the wrong length is refused, and costs no entry",
        fault: "telemetry.safe_seq is cut to 3 bytes",
        deed: faults::SAFE_POINT_SHORT,
        proof: "proof: the safe point does not have eight bytes",
        judge: Judge::Start(codes::SAFESEQ_CORRUPT),
        remedies: &[remedies::SAFE_POINT_BACK, remedies::ADOPT, remedies::REPAIR],
        ..REFUSED
    }
    SAFESEQ_GT_MAXSEQ Cause {
        hypothesis: "a log that lost its end is refused",
        fault: "telemetry.wal is cut in the middle, at the end of an entry",
        deed: faults::END_GONE,
        proof: "proof: the log ends before its safe point",
        judge: Judge::Start(codes::SAFESEQ_GT_MAXSEQ),
        ..DAMAGED
    }
    FIRST_SEQ_NOT_ONE Cause {
        hypothesis: "a log that lost its beginning is refused",
        fault: "the first frame is cut out of telemetry.wal",
        deed: faults::FIRST_GONE,
        proof: "proof: the first frame does not have the number 1",
        judge: Judge::Start(codes::FIRST_SEQ_NOT_ONE),
        ..DAMAGED
    }
    SEQ_GAP Cause {
        hypothesis: "a log that lost an entry in the middle is refused",
        fault: "the frame of a denied call is cut out of telemetry.wal",
        deed: faults::ONE_GONE,
        proof: "proof: the numbers have a gap before the safe point",
        judge: Judge::Start(codes::SEQ_GAP),
        ..DAMAGED
    }
    WAL_CORRUPT_INVALID_JSON Cause {
        hypothesis: "a log with an entry that is no JSON is refused",
        fault: "the first byte of the entry of a denied call is overwritten",
        deed: faults::NO_JSON,
        proof: "proof: a payload before the safe point is no JSON",
        judge: Judge::Start(codes::WAL_CORRUPT_INVALID_JSON),
        ..DAMAGED
    }
    WAL_CORRUPT_FRAME Cause {
        hypothesis: "a log with a length that no writer produces is refused",
        fault: "the length of the entry of a denied call is overwritten with ff ff ff ff",
        deed: faults::LENGTH,
        proof: "proof: before the safe point stands a length above 16 MiB",
        judge: Judge::Start(codes::WAL_CORRUPT_FRAME),
        ..DAMAGED
    }
    WAL_CORRUPT_CHAIN Cause {
        hypothesis: "a log with an entry that was edited is refused",
        fault: "the rule that denied a call gets another name in its entry",
        deed: faults::EDITED,
        proof: "proof: every payload is JSON, and one does not have the chain value of its bytes",
        judge: Judge::Start(codes::WAL_CORRUPT_CHAIN),
        ..DAMAGED
    }
    WAL_TRUNCATED Cause {
        hypothesis: "a log that was cut together with its safe point is shorter than its seal says",
        fault: "telemetry.wal is cut at the end of an entry, telemetry.safe_seq lowered to it",
        deed: faults::CUT_BEHIND_SEAL,
        proof: "proof: the log reaches its safe point and not its seal",
        ..SEALED
    }
    WAL_SEALED_DAMAGED Cause {
        hypothesis: "an entry that was edited behind a lowered safe point is found by the seal",
        fault: "an entry is edited, telemetry.safe_seq lowered to the one before it",
        deed: faults::EDITED_BEHIND_SAFE_POINT,
        proof: "proof: an entry behind the safe point that the seal covers does not hold",
        ..SEALED
    }
    WAL_FORKED Cause {
        hypothesis: "a log that was written anew with a chain that holds is not the one that was sealed",
        fault: "an entry is edited, and all chain values from there on are computed again",
        deed: faults::FORGED,
        proof: "proof: the chain holds, and its value is not the one that was sealed",
        ..SEALED
    }
    WAL_LOCKED Cause {
        hypothesis: "a log has one writer, and what a second one is told costs the first nothing",
        fault: "a runtime writes the log",
        expected: "exit code 75 with the process id of the holder",
        deed: faults::IN_USE,
        proof: "proof: the lock of the log is held",
        judge: Judge::Lock,
        remedies: &[remedies::OTHER_STOPPED],
        ..REFUSED
    }
    WAL_SWITCH_BROKEN Cause {
        hypothesis: "a switch without its next log is refused, not guessed at",
        fault: "an archive stops half way, and telemetry.wal.next is moved away",
        prepare: |site| {
            site.deliver()?;
            faults::half_archived(site)
        },
        deed: faults::NEXT_GONE,
        proof: "proof: the switch is there and the log that it names is not",
        judge: Judge::Start(codes::WAL_SWITCH_BROKEN),
        remedies: &[remedies::NEXT_BACK, remedies::REPAIR],
        ..REFUSED
    }
    WAL_PHANTOM_DISCARDED Cause {
        hypothesis: "a frame that was never acknowledged is cut at the start, and nothing else",
        fault: "the last frame is written once more behind the end of the log",
        expected: "a WARN line with the code",
        deed: faults::STRAY,
        proof: "proof: the last frame does not follow from the one before it",
        judge: Judge::Phantom,
        remedies: &[Remedy { warns: Some(codes::WAL_PHANTOM_DISCARDED), ..remedies::NOTHING }],
        ..REFUSED
    }
    WAL_LEGACY_ADOPTED Cause {
        hypothesis: "a log older than chains and safe points is adopted once, whole, when it is asked for",
        fault: "the log is made one that has no birth, no chain and no safe point",
        expected: "SAFESEQ_NOT_FOUND; with AUTONOMYOPS_WAL_LEGACY_UPGRADE=1 a WARN line with the code",
        deed: faults::MADE_OLD,
        proof: "proof: no frame has a chain value, and there is no safe point",
        judge: Judge::Start(codes::SAFESEQ_NOT_FOUND),
        remedies: &[Remedy { kept: remedies::adopted, ..remedies::ADOPT }],
        ..REFUSED
    }
    WAL_RESET_BY_OPERATOR Cause {
        hypothesis: "a log that was deleted is not begun anew until somebody accepts the loss",
        fault: "telemetry.wal and telemetry.safe_seq are removed from a directory that was drained",
        expected: "SAFESEQ_NOT_FOUND; with AUTONOMYOPS_WAL_OPERATOR_RESET=1 a WARN line with the code",
        prepare: Site::deliver,
        deed: faults::BOTH_GONE,
        proof: "proof: neither file is there, and the position shows that they were",
        judge: Judge::Start(codes::SAFESEQ_NOT_FOUND),
        remedies: &[remedies::RESET],
        ..REFUSED
    }
}
