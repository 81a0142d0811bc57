//! Quotas of providers: which texts say that one is used up, and when to try again.
//!
//! # Reasons
//!
//! The rows are tried from top to bottom; the first that is found anywhere in the text wins.
//!
//! | reason           | found in texts such as                                        | wait without a hint |
//! |------------------|---------------------------------------------------------------|---------------------|
//! | `rate_limit`     | rate limit, too many requests, a standalone 429, overloaded   | 1 minute            |
//! | `daily_quota`    | daily limit, daily quota                                      | 1 day               |
//! | `monthly_quota`  | monthly limit, monthly quota                                  | [`WAIT_MAX`]        |
//! | `token_quota`    | token limit exceeded, token quota exceeded                    | 1 hour              |
//! | `context_limit`  | context window exceeded                                       | none: at once       |
//! | `quota_exceeded` | quota exceeded, resource exhausted, credits exhausted, usage limit, billing | 1 hour |
//!
//! A context limit does not go away by waiting: such work is started again with less context, and
//! nothing is gained by holding it back.
//!
//! # Invariants
//!
//! * **Q1** Letters match in both cases; a `.` of a pattern is any one character, or none.
//! * **Q2** A pattern begins where a word begins: `accurate limits` is no rate limit, while
//!   `RateLimitError` and `openai_rate_limit` are.
//! * **Q3** A pattern that ends in a digit ends where a number ends: port 4290 is not 429. A 429 that
//!   stands alone counts wherever it stands, also in `line 429`.
//! * **Q4** The word "limit" alone says nothing: memory limits and file limits are not quotas.
//! * **Q5** No time to try again lies before the block, or more than [`WAIT_MAX`] after it.

mod pattern;
mod wait;

use std::fmt;

use serde::{Deserialize, Serialize};

use pattern::Pattern;
pub use pattern::{PATTERN_LEN_MAX, PatternError};
pub use wait::{HINT_LEN_MAX, WAIT_MAX, not_before};

/// Bytes at the start of the output of a process that are looked at.
pub const CLASSIFIED_LEN_MAX: usize = 4096;
/// Most patterns that a configuration may add.
pub const EXTRA_PATTERNS_MAX: usize = 256;

/// Why a provider refuses more work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuotaReason {
    /// Too many requests in a short time.
    RateLimit,
    /// The allowance of a day is used up.
    DailyQuota,
    /// The allowance of a month is used up.
    MonthlyQuota,
    /// The allowance of tokens is used up.
    TokenQuota,
    /// The conversation does not fit the model any more.
    ContextLimit,
    /// Any other quota, and money.
    QuotaExceeded,
}

impl QuotaReason {
    /// Every reason, in the order of the table.
    pub const ALL: [Self; 6] = [
        Self::RateLimit,
        Self::DailyQuota,
        Self::MonthlyQuota,
        Self::TokenQuota,
        Self::ContextLimit,
        Self::QuotaExceeded,
    ];

    /// Returns the name that files carry.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::DailyQuota => "daily_quota",
            Self::MonthlyQuota => "monthly_quota",
            Self::TokenQuota => "token_quota",
            Self::ContextLimit => "context_limit",
            Self::QuotaExceeded => "quota_exceeded",
        }
    }

    /// Returns the reason with this name, written as in files.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.as_str() == name)
    }

    /// Reads what another writer calls a reason: its name, else what it speaks of, else some quota.
    pub fn read(text: &str) -> Self {
        Self::parse(text).or_else(|| classify(text)).unwrap_or(Self::QuotaExceeded)
    }
}

impl fmt::Display for QuotaReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is looked for without any configuration, in order.
const BUILT_IN: [(&str, QuotaReason); 39] = [
    ("rate.limit", QuotaReason::RateLimit),
    ("too.many.requests", QuotaReason::RateLimit),
    ("429", QuotaReason::RateLimit),
    ("overloaded", QuotaReason::RateLimit),
    ("daily.limit", QuotaReason::DailyQuota),
    ("daily.quota", QuotaReason::DailyQuota),
    ("daily.request.limit", QuotaReason::DailyQuota),
    ("daily.usage.limit", QuotaReason::DailyQuota),
    ("daily.token.limit", QuotaReason::DailyQuota),
    ("monthly.limit", QuotaReason::MonthlyQuota),
    ("monthly.quota", QuotaReason::MonthlyQuota),
    ("monthly.request.limit", QuotaReason::MonthlyQuota),
    ("monthly.usage.limit", QuotaReason::MonthlyQuota),
    ("monthly.token.limit", QuotaReason::MonthlyQuota),
    ("token.limit.exceed", QuotaReason::TokenQuota),
    ("token.quota.exceed", QuotaReason::TokenQuota),
    ("tokens.limit.exceed", QuotaReason::TokenQuota),
    ("tokens.quota.exceed", QuotaReason::TokenQuota),
    ("context.window.exceed", QuotaReason::ContextLimit),
    ("context.length.exceed", QuotaReason::ContextLimit),
    ("exceeds.the.context.window", QuotaReason::ContextLimit),
    ("exceeded.the.context.window", QuotaReason::ContextLimit),
    ("maximum.context.length", QuotaReason::ContextLimit),
    ("quota.exceed", QuotaReason::QuotaExceeded),
    ("quota.exhausted", QuotaReason::QuotaExceeded),
    ("quota.is.exhausted", QuotaReason::QuotaExceeded),
    ("quota.used.up", QuotaReason::QuotaExceeded),
    ("quota.is.used.up", QuotaReason::QuotaExceeded),
    ("quota.reached", QuotaReason::QuotaExceeded),
    ("usage.limit", QuotaReason::QuotaExceeded),
    ("hit.your.limit", QuotaReason::QuotaExceeded),
    ("credit.balance.is.too.low", QuotaReason::QuotaExceeded),
    ("out.of.credits", QuotaReason::QuotaExceeded),
    ("exceeded.your.current.quota", QuotaReason::QuotaExceeded),
    ("insufficient.quota", QuotaReason::QuotaExceeded),
    ("resource.exhausted", QuotaReason::QuotaExceeded),
    ("credits.exhausted", QuotaReason::QuotaExceeded),
    ("credit.exhausted", QuotaReason::QuotaExceeded),
    ("billing", QuotaReason::QuotaExceeded),
];

/// A table of patterns, tried from top to bottom.
#[derive(Clone, Debug)]
pub struct Classifier {
    rows: Vec<(Pattern, QuotaReason)>,
}

impl Default for Classifier {
    /// Returns the table of this module.
    fn default() -> Self {
        let rows = BUILT_IN.iter().map(|(text, reason)| (Pattern::built_in(text), *reason));
        Self { rows: rows.collect() }
    }
}

impl Classifier {
    /// Returns the table of this module with `extra` patterns in front of it: what an operator adds
    /// wins over what is built in.
    ///
    /// # Errors
    ///
    /// [`PatternError`] names the first pattern that cannot be looked for.
    pub fn with_patterns(extra: &[(String, QuotaReason)]) -> Result<Self, PatternError> {
        if extra.len() > EXTRA_PATTERNS_MAX {
            return Err(PatternError::TooMany { len: extra.len() });
        }
        let mut rows = Vec::with_capacity(extra.len() + BUILT_IN.len());
        for (text, reason) in extra {
            rows.push((Pattern::new(text)?, *reason));
        }
        rows.extend(Self::default().rows);
        Ok(Self { rows })
    }

    /// Returns what `text` says about a quota.
    pub fn classify(&self, text: &str) -> Option<QuotaReason> {
        self.rows.iter().find(|(pattern, _)| pattern.is_in(text)).map(|(_, reason)| *reason)
    }

    /// Returns what the first [`CLASSIFIED_LEN_MAX`] bytes of the error output of a process say.
    ///
    /// A process that failed for another reason may print anything later on.
    pub fn classify_output(&self, stderr: &[u8]) -> Option<QuotaReason> {
        let start = stderr.get(..CLASSIFIED_LEN_MAX).unwrap_or(stderr);
        self.classify(&String::from_utf8_lossy(start))
    }
}

/// [`Classifier::classify`] of the built-in table.
///
/// # Examples
///
/// ```
/// use goal::{QuotaReason, classify};
///
/// assert_eq!(classify("HTTP 429 too many requests"), Some(QuotaReason::RateLimit));
/// assert_eq!(classify("memory limit exceeded"), None);
/// ```
pub fn classify(text: &str) -> Option<QuotaReason> {
    Classifier::default().classify(text)
}

/// [`Classifier::classify_output`] of the built-in table.
pub fn classify_output(stderr: &[u8]) -> Option<QuotaReason> {
    Classifier::default().classify_output(stderr)
}

#[cfg(test)]
mod tests;
