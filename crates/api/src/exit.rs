//! Exit codes of every command.

/// Why a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Done = 0,
    /// Failed: the general case.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// Denied by policy or permission.
    Denied = 3,
    /// Needs a human.
    NeedsHuman = 4,
    /// Not found.
    NotFound = 5,
    /// Conflict, or the state that the caller knew is stale.
    Conflict = 6,
    /// Unreachable or timed out.
    Unreachable = 7,
    /// Integrity failure: corrupt log, failed verification.
    Integrity = 8,
    /// Some items failed.
    Partial = 9,
    /// Busy, try again: a lock is held.
    Busy = 75,
}

impl Exit {
    /// Every exit code, in order.
    pub const ALL: [Self; 11] = [
        Self::Done,
        Self::Failed,
        Self::Usage,
        Self::Denied,
        Self::NeedsHuman,
        Self::NotFound,
        Self::Conflict,
        Self::Unreachable,
        Self::Integrity,
        Self::Partial,
        Self::Busy,
    ];

    /// Returns the number the process exits with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// Returns the class in a few words, for the reference page.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Usage => "usage",
            Self::Denied => "denied by policy or permission",
            Self::NeedsHuman => "needs a human",
            Self::NotFound => "not found",
            Self::Conflict => "conflict or stale",
            Self::Unreachable => "unreachable or timed out",
            Self::Integrity => "integrity failure (corrupt log, failed verification)",
            Self::Partial => "partial (some items failed)",
            Self::Busy => "busy, try again (lock held)",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_documented_ones() {
        let numbers = Exit::ALL.map(Exit::code);
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 75]);
    }
}
