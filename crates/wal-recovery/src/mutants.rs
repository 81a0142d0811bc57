//! Protections that a test takes away, one at a time, to see that it is missed.
//!
//! With the feature `mutants` one of them is left out in a process whose environment names it in
//! `AUTONOMY_MUTANT`; `cargo xtask mutants` runs the tests of this crate once for each. Without the
//! feature every question is answered at compile time and nothing of this is left.

/// A protection of the log that has a switch. Those that are a sync, a directory sync, a
/// truncation or a lock need none: the memory file system leaves them out on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// Frames are synced before the safe point names them (W2).
    DataBeforeSafePoint,
    /// The safe point is written before the answer (W5).
    SafePointBeforeAnswer,
    /// The safe point is synced before a strict answer.
    StrictSync,
    /// A failed write or sync poisons the log (W3).
    Poison,
    /// A group that did not fit is cut off (W4).
    CutOnFullDisk,
    /// The names of the files are looked at before the answer (W6).
    NamesChecked,
    /// Recovery writes again what it keeps behind the safe point.
    Rewrite,
    /// Recovery moves the safe point up to what it kept.
    SafePointMovesUp,
    /// In a new log the safe point is durable before the log exists.
    SafePointBeforeLog,
    /// Chain values are compared.
    ChainCheck,
    /// The first number is 1, and numbers have no gaps (R1, R2).
    Contiguous,
    /// The safe point is not beyond the last entry (R3).
    SafePointInside,
    /// A frame behind the safe point counts only with a chain value.
    PhantomsNeedAChain,
    /// Readers stop at the safe point (B1).
    ReaderStops,
}

/// Whether this run of the tests goes without the protection.
#[cfg(feature = "mutants")]
pub(crate) fn removed(mutant: Mutant) -> bool {
    use std::sync::LazyLock;

    // Read once, by a build that exists only for tests: the tests themselves need no change then.
    static ASKED: LazyLock<Option<String>> =
        LazyLock::new(|| std::env::var("AUTONOMY_MUTANT").ok());
    ASKED.as_ref().is_some_and(|it| *it == format!("{mutant:?}"))
}

/// Whether this run of the tests goes without the protection: never, in a build for use.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn removed(_: Mutant) -> bool {
    false
}
