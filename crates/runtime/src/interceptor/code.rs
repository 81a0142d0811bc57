//! Codes of answers that no policy and no tool has given.

use wal_recovery::AppendError;

/// Codes of answers that no policy and no tool has given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallCode {
    /// The body is not a tool request.
    BadRequest,
    /// The body is longer than the limit.
    BodyTooLarge,
    /// The method is not POST.
    MethodNotAllowed,
    /// The log cannot be written.
    WalUnavailable,
    /// The disk of the log is full.
    WalDiskFull,
    /// Too many calls at once.
    Overloaded,
    /// The policy allows under an obligation that this runtime cannot meet.
    ObligationUnknown,
    /// The tool ran, and its outcome could not be recorded.
    OutcomeNotRecorded,
    /// A web page has sent the request.
    BrowserRefused,
    /// The request names a host that this runtime does not have.
    HostRefused,
}

impl CallCode {
    /// Every code.
    pub const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::BodyTooLarge,
        Self::MethodNotAllowed,
        Self::WalUnavailable,
        Self::WalDiskFull,
        Self::Overloaded,
        Self::ObligationUnknown,
        Self::OutcomeNotRecorded,
        Self::BrowserRefused,
        Self::HostRefused,
    ];

    /// Returns the text used on the wire and in the log.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BadRequest => "BAD_REQUEST",
            Self::BodyTooLarge => "BODY_TOO_LARGE",
            Self::MethodNotAllowed => "METHOD_NOT_ALLOWED",
            Self::WalUnavailable => "WAL_UNAVAILABLE",
            Self::WalDiskFull => "WAL_DISK_FULL",
            Self::Overloaded => "OVERLOADED",
            Self::ObligationUnknown => "OBLIGATION_UNKNOWN",
            Self::OutcomeNotRecorded => "OUTCOME_NOT_RECORDED",
            Self::BrowserRefused => "BROWSER_REFUSED",
            Self::HostRefused => "HOST_REFUSED",
        }
    }

    /// HTTP status of an answer with this code.
    pub const fn status(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::ObligationUnknown | Self::BrowserRefused | Self::HostRefused => 403,
            Self::MethodNotAllowed => 405,
            Self::BodyTooLarge => 413,
            Self::OutcomeNotRecorded => 500,
            Self::WalUnavailable | Self::WalDiskFull | Self::Overloaded => 503,
        }
    }

    pub(super) fn of(error: &AppendError) -> Self {
        match error {
            AppendError::DiskFull { .. } => Self::WalDiskFull,
            AppendError::Overloaded { .. } => Self::Overloaded,
            AppendError::TooLarge { .. } => Self::BodyTooLarge,
            AppendError::Poisoned { .. }
            | AppendError::FileReplaced { .. }
            | AppendError::FileCut { .. }
            | AppendError::Closed
            | AppendError::SeqExhausted => Self::WalUnavailable,
        }
    }
}
