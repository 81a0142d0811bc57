//! What to do with a log directory at boot. Pure: nothing is touched before the decision is made.
//!
//! | row | log     | safe point  | used before | override         | decision                    |
//! |-----|---------|-------------|-------------|------------------|-----------------------------|
//! | A   | absent  | absent      | no          | any              | initialize                  |
//! | B   | absent  | absent      | yes         | operator reset   | initialize, audited         |
//! | C   | present | absent      | any         | legacy upgrade   | adopt every whole frame     |
//! | D   | any     | absent      | otherwise   | otherwise        | refuse: `SAFESEQ_NOT_FOUND` |
//! | E   | any     | wrong size  | any         | any              | refuse: `SAFESEQ_CORRUPT`   |
//! | F   | any     | present     | any         | any              | scan                        |
//!
//! Each override opens one row and no other: a legacy upgrade never accepts a missing log, an
//! operator reset never accepts a present one.

use wal_format::SafePoint;

/// What the directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// The log file exists, whatever its length.
    pub log: bool,
    /// The safe-point file.
    pub safe_point: FoundSafePoint,
    /// A position, cursors, an archive, a damaged log, a seal, or an active lock shows that this is
    /// not a first run.
    pub used_before: bool,
}

/// What the safe-point file holds. Absent is not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundSafePoint {
    /// There is no file.
    Absent,
    /// The file has this many bytes instead of eight.
    WrongSize(u64),
    /// The safe point.
    Present(SafePoint),
}

/// Escape hatches an operator has asked for, for one start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Accept a log written before safe points existed.
    pub legacy_upgrade: bool,
    /// Accept the loss of all telemetry after both files were deleted.
    pub operator_reset: bool,
}

/// The row of the table that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Row A.
    Initialize,
    /// Row B: the caller must log `WAL_RESET_BY_OPERATOR`.
    InitializeAudited,
    /// Row C.
    AdoptAll,
    /// Row D.
    RefuseMissing,
    /// Row E, with the length found.
    RefuseWrongSize(u64),
    /// Row F.
    Scan(SafePoint),
}

/// Picks the row of the table.
pub const fn decide(found: Found, asked: Overrides) -> Decision {
    let Overrides { legacy_upgrade, operator_reset } = asked;
    match (found.log, found.safe_point, found.used_before) {
        (_, FoundSafePoint::Present(safe), _) => Decision::Scan(safe),
        (_, FoundSafePoint::WrongSize(len), _) => Decision::RefuseWrongSize(len),
        (false, FoundSafePoint::Absent, false) => Decision::Initialize,
        (false, FoundSafePoint::Absent, true) if operator_reset => Decision::InitializeAudited,
        (true, FoundSafePoint::Absent, _) if legacy_upgrade => Decision::AdoptAll,
        (_, FoundSafePoint::Absent, _) => Decision::RefuseMissing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAFE: SafePoint = SafePoint::at(None);

    /// The table again, written the other way round: from each answer to its conditions.
    fn model(found: Found, asked: Overrides) -> &'static str {
        let Found { log, safe_point, used_before } = found;
        let absent = safe_point == FoundSafePoint::Absent;
        let rows = [
            ("A", !log && absent && !used_before),
            ("B", !log && absent && used_before && asked.operator_reset),
            ("C", log && absent && asked.legacy_upgrade),
            ("E", matches!(safe_point, FoundSafePoint::WrongSize(_))),
            ("F", matches!(safe_point, FoundSafePoint::Present(_))),
        ];
        let mut hits = rows.iter().filter(|(_, it)| *it);
        let row = hits.next().map_or("D", |(row, _)| row);
        assert_eq!(hits.next(), None, "two rows apply to {found:?} {asked:?}");
        row
    }

    fn row(found: Found, asked: Overrides) -> &'static str {
        match decide(found, asked) {
            Decision::Initialize => "A",
            Decision::InitializeAudited => "B",
            Decision::AdoptAll => "C",
            Decision::RefuseMissing => "D",
            Decision::RefuseWrongSize(7) => "E",
            Decision::Scan(SAFE) => "F",
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_combination_has_exactly_the_row_of_the_table() {
        let safe_points =
            [FoundSafePoint::Absent, FoundSafePoint::WrongSize(7), FoundSafePoint::Present(SAFE)];
        let bit = |bits: u8, n: u8| bits & (1 << n) != 0;
        for safe_point in safe_points {
            for bits in 0..16 {
                let found = Found { log: bit(bits, 0), safe_point, used_before: bit(bits, 1) };
                let asked =
                    Overrides { legacy_upgrade: bit(bits, 2), operator_reset: bit(bits, 3) };
                assert_eq!(row(found, asked), model(found, asked), "{found:?} {asked:?}");
            }
        }
    }
}
