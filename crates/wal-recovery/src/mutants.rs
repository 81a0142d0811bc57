//! Protections that a test takes away, one at a time, to see that it is missed.
//!
//! With the feature `mutants` one of them is left out in a process whose environment names it in
//! `AUTONOMY_MUTANT`; `cargo xtask mutants` runs a test of this crate for each. Without the
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
    /// The next log is synced before a switch names it (S1).
    NextSynced,
    /// A switch is written before anything is switched (S2).
    SwitchFirst,
    /// A switch that was found is durable before it is carried through (T1).
    SwitchDurable,
    /// The old log has two names before it loses one (T2).
    LinkBeforeRename,
    /// The second name of the old log is durable before the first is taken away (S3, T2).
    AsideNameSynced,
    /// A new log has a position of 0 (S5).
    PositionBegins,
    /// Cursors and seal are gone for good before the switch is (S5).
    ForgottenBeforeSwitchEnd,
    /// The switch is gone for good before anything is appended (S6, T3).
    SwitchEndSynced,
    /// The new log is what the switch says (T3).
    NewLogAsNamed,
    /// The old log is the one that the switch is about (T3).
    OldLogAsNamed,
    /// A reader looks for the switch again (T4).
    SwitchLookedAtAgain,
    /// A reader looks at the name of the log again (T4).
    NameLookedAtAgain,
    /// Only what was delivered goes to the archive (A1).
    Delivered,
    /// A log goes to the archive only under a name that nothing has.
    NameFree,
    /// A log ends with its last entry before it goes to the archive.
    SettledBeforeArchive,
    /// The seal goes to the archive with its log.
    SealKept,
    /// What was packed is read back (A2).
    PackedReadBack,
    /// What was read back is compared with what was packed (A2).
    PackedCompared,
    /// A log is removed after its description is durable (A2).
    DescribedFirst,
    /// The copy of a seal is removed after the log.
    SealGoesLast,
    /// In the archive a removal is durable before the next (A2).
    RemovalSynced,
    /// Only what is packed and not there as it was is deleted (A3).
    PackedOnly,
    /// A description is deleted after its log.
    DescriptionGoesLast,
    /// A log that opens is never repaired (P3).
    OnlyDamaged,
    /// A damaged log goes where nothing is yet (P1).
    AsideFree,
    /// The small files of a damaged log are kept.
    EvidenceKept,
    /// A seal is never replaced by one that contradicts it (L2).
    NotContradicted,
    /// The signature of a seal is checked (L3).
    SignatureChecked,
    /// Keys that sign everything are refused (L3).
    SignatureStrict,
}

#[cfg(feature = "mutants")]
impl Mutant {
    const ALL: [Self; 43] = [
        Self::DataBeforeSafePoint,
        Self::SafePointBeforeAnswer,
        Self::StrictSync,
        Self::Poison,
        Self::CutOnFullDisk,
        Self::NamesChecked,
        Self::Rewrite,
        Self::SafePointMovesUp,
        Self::SafePointBeforeLog,
        Self::ChainCheck,
        Self::Contiguous,
        Self::SafePointInside,
        Self::PhantomsNeedAChain,
        Self::ReaderStops,
        Self::NextSynced,
        Self::SwitchFirst,
        Self::SwitchDurable,
        Self::LinkBeforeRename,
        Self::AsideNameSynced,
        Self::PositionBegins,
        Self::ForgottenBeforeSwitchEnd,
        Self::SwitchEndSynced,
        Self::NewLogAsNamed,
        Self::OldLogAsNamed,
        Self::SwitchLookedAtAgain,
        Self::NameLookedAtAgain,
        Self::Delivered,
        Self::NameFree,
        Self::SettledBeforeArchive,
        Self::SealKept,
        Self::PackedReadBack,
        Self::PackedCompared,
        Self::DescribedFirst,
        Self::SealGoesLast,
        Self::RemovalSynced,
        Self::PackedOnly,
        Self::DescriptionGoesLast,
        Self::OnlyDamaged,
        Self::AsideFree,
        Self::EvidenceKept,
        Self::NotContradicted,
        Self::SignatureChecked,
        Self::SignatureStrict,
    ];
}

/// Whether this run of the tests goes without the protection.
#[cfg(feature = "mutants")]
pub(crate) fn removed(mutant: Mutant) -> bool {
    use std::sync::LazyLock;

    // Read once, by a build that exists only for tests: the tests themselves need no change then.
    static ASKED: LazyLock<Option<Mutant>> = LazyLock::new(|| {
        let asked = std::env::var("AUTONOMY_MUTANT").ok()?;
        Mutant::ALL.into_iter().find(|it| format!("{it:?}") == asked)
    });
    *ASKED == Some(mutant)
}

/// Whether this run of the tests goes without the protection: never, in a build for use.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn removed(_: Mutant) -> bool {
    false
}
