use proptest::prelude::*;

use super::*;

/// Texts that say which quota is used up.
const POSITIVE: [(&str, QuotaReason); 57] = [
    ("Quota exhausted — blocked", QuotaReason::QuotaExceeded),
    ("Quota used up", QuotaReason::QuotaExceeded),
    ("usage limit reached", QuotaReason::QuotaExceeded),
    ("You've hit your limit", QuotaReason::QuotaExceeded),
    ("Your credit balance is too low", QuotaReason::QuotaExceeded),
    ("overloaded_error 529", QuotaReason::RateLimit),
    ("out of credits", QuotaReason::QuotaExceeded),
    ("rate limit", QuotaReason::RateLimit),
    ("Rate limit reached for requests", QuotaReason::RateLimit),
    ("rate-limit exceeded", QuotaReason::RateLimit),
    ("rate_limit_error", QuotaReason::RateLimit),
    ("RateLimitError: slow down", QuotaReason::RateLimit),
    ("openai.RateLimitError", QuotaReason::RateLimit),
    ("HTTPRateLimit", QuotaReason::RateLimit),
    ("openai_rate_limit", QuotaReason::RateLimit),
    ("RATE LIMITED", QuotaReason::RateLimit),
    ("you are being rate limited", QuotaReason::RateLimit),
    ("x-ratelimit-remaining: 0", QuotaReason::RateLimit),
    ("rate\u{a0}limit", QuotaReason::RateLimit),
    ("API rate limit exceeded for user ID 12", QuotaReason::RateLimit),
    ("secondary rate limit", QuotaReason::RateLimit),
    ("HTTP 429 too many requests", QuotaReason::RateLimit),
    ("Too Many Requests", QuotaReason::RateLimit),
    ("toomanyrequests: pull denied", QuotaReason::RateLimit),
    ("TooManyRequestsException", QuotaReason::RateLimit),
    ("too-many-requests", QuotaReason::RateLimit),
    ("status=429", QuotaReason::RateLimit),
    ("error 429: back off", QuotaReason::RateLimit),
    ("(429)", QuotaReason::RateLimit),
    ("429", QuotaReason::RateLimit),
    ("failed with 429.", QuotaReason::RateLimit),
    ("line 429", QuotaReason::RateLimit),
    ("daily limit reached", QuotaReason::DailyQuota),
    ("Daily quota used up", QuotaReason::DailyQuota),
    ("your daily-limit is 50 messages", QuotaReason::DailyQuota),
    ("daily_quota", QuotaReason::DailyQuota),
    ("You reached your daily usage limit", QuotaReason::DailyQuota),
    ("monthly limit reached", QuotaReason::MonthlyQuota),
    ("Monthly Quota exhausted", QuotaReason::MonthlyQuota),
    ("monthly-quota exceeded", QuotaReason::MonthlyQuota),
    ("monthly usage limit of the plan", QuotaReason::MonthlyQuota),
    ("token limit exceeded", QuotaReason::TokenQuota),
    ("Token quota exceeded for this key", QuotaReason::TokenQuota),
    ("token_limit_exceeded", QuotaReason::TokenQuota),
    ("tokens quota exceeded", QuotaReason::TokenQuota),
    ("context window exceeded", QuotaReason::ContextLimit),
    ("context_window_exceeded", QuotaReason::ContextLimit),
    ("context_length_exceeded", QuotaReason::ContextLimit),
    ("This model's maximum context length is 8192 units", QuotaReason::ContextLimit),
    ("the input exceeds the context window", QuotaReason::ContextLimit),
    ("quota exceeded", QuotaReason::QuotaExceeded),
    ("QuotaExceeded", QuotaReason::QuotaExceeded),
    ("You exceeded your current quota", QuotaReason::QuotaExceeded),
    ("insufficient_quota", QuotaReason::QuotaExceeded),
    ("RESOURCE_EXHAUSTED", QuotaReason::QuotaExceeded),
    ("credits exhausted", QuotaReason::QuotaExceeded),
    ("check your plan and billing details", QuotaReason::QuotaExceeded),
];

/// Texts that look a little like it.
const NEGATIVE: [&str; 50] = [
    "",
    "boom",
    "memory limit exceeded",
    "listening on port 4290",
    "listening on port 14290",
    "0x429",
    "v1.429",
    "1.429s",
    "429ms",
    "request_429",
    "429_items",
    "abc429",
    "accurate limits",
    "a corporate limit",
    "separate limits apply",
    "iterate limited times",
    "time limit exceeded",
    "file size limit exceeded",
    "stack limit reached",
    "recursion limit reached",
    "ulimit: too low",
    "line limit is 100",
    "limit",
    "the limit of a rate",
    "rate of the limit",
    "rate  limit",
    "rate and limit",
    "too many open files",
    "too many arguments",
    "many requests",
    "requests: too many",
    "daily report",
    "daily build failed",
    "monthly report",
    "limit daily use",
    "token expired",
    "unexpected token",
    "token limit is 4096",
    "invalid token: limit",
    "context deadline exceeded",
    "context canceled",
    "window exceeded",
    "quota: 12 of 50 used",
    "disk quota",
    "resource not found",
    "resources exhaustive list",
    "the search is exhausted",
    "credits: the authors",
    "resource temporarily unavailable",
    "HTTP 500 internal server error",
];

#[test]
fn texts_about_quotas_get_their_reason() {
    for (text, want) in POSITIVE {
        assert_eq!(classify(text), Some(want), "{text}");
        assert_eq!(classify(&format!("agent: {text}\nbye")), Some(want), "{text}");
        assert_eq!(classify(&text.to_uppercase().replace("HTTPRATE", "HTTP RATE")), Some(want));
    }
}

#[test]
fn texts_about_other_things_get_none() {
    for text in NEGATIVE {
        assert_eq!(classify(text), None, "{text}");
    }
}

#[test]
fn the_first_row_wins_wherever_it_stands() {
    let text = "billing: quota exceeded, monthly limit, daily limit, rate limit";
    assert_eq!(classify(text), Some(QuotaReason::RateLimit));
    assert_eq!(classify("quota exceeded: daily limit"), Some(QuotaReason::DailyQuota));
}

#[test]
fn every_row_of_the_table_is_a_good_pattern_and_is_not_hidden_by_another() {
    for (text, reason) in BUILT_IN {
        assert_eq!(Pattern::new(text), Ok(Pattern::built_in(text)));
        for spelled in [text.replace('.', " "), text.replace('.', "")] {
            assert_eq!(classify(&spelled), Some(reason), "{spelled}");
        }
    }
}

#[test]
fn only_the_start_of_an_output_is_looked_at() {
    let fits = format!("{} rate limit", "x".repeat(CLASSIFIED_LEN_MAX - " rate limit".len()));
    assert_eq!(classify_output(fits.as_bytes()), Some(QuotaReason::RateLimit));
    assert_eq!(classify_output(format!("x{fits}").as_bytes()), None);
    assert_eq!(classify_output(b"\xff\xfe rate limit"), Some(QuotaReason::RateLimit));
}

#[test]
fn added_patterns_come_first() {
    let extra = [
        ("slow.down".to_owned(), QuotaReason::RateLimit),
        ("daily limit".to_owned(), QuotaReason::TokenQuota),
    ];
    let classifier = Classifier::with_patterns(&extra).unwrap();
    assert_eq!(classifier.classify("Please SLOW-DOWN"), Some(QuotaReason::RateLimit));
    assert_eq!(classifier.classify("daily limit"), Some(QuotaReason::TokenQuota));
    assert_eq!(classifier.classify("billing"), Some(QuotaReason::QuotaExceeded));
}

#[test]
fn a_pattern_for_everything_is_refused() {
    let with = |text: String| Classifier::with_patterns(&[(text, QuotaReason::RateLimit)]);
    for text in ["", "...", " - "] {
        assert_eq!(with(text.to_owned()).unwrap_err().code(), "QUOTA_PATTERN_EMPTY", "{text}");
    }
    let long = with("é".repeat(PATTERN_LEN_MAX + 1)).unwrap_err();
    assert_eq!(long, PatternError::TooLong { len: PATTERN_LEN_MAX + 1 });
    assert_eq!(long.code(), "QUOTA_PATTERN_TOO_LONG");
    assert!(with("é".repeat(PATTERN_LEN_MAX)).is_ok());
    let many = vec![("a".to_owned(), QuotaReason::RateLimit); EXTRA_PATTERNS_MAX + 1];
    assert_eq!(Classifier::with_patterns(&many).unwrap_err().code(), "QUOTA_PATTERNS_TOO_MANY");
}

#[test]
fn every_reason_survives_a_file() {
    for reason in QuotaReason::ALL {
        let text = serde_json::to_string(&reason).unwrap();
        assert_eq!(text, format!("\"{}\"", reason.as_str()));
        assert_eq!(serde_json::from_str::<QuotaReason>(&text).unwrap(), reason);
        assert_eq!(QuotaReason::parse(reason.as_str()), Some(reason));
        assert_eq!(reason.to_string(), reason.as_str());
    }
    assert_eq!(QuotaReason::parse("Rate_Limit"), None);
    assert_eq!(QuotaReason::read("Rate_Limit"), QuotaReason::RateLimit);
    assert_eq!(QuotaReason::read("weekly"), QuotaReason::QuotaExceeded);
    assert!(serde_json::from_str::<QuotaReason>("\"other\"").is_err());
}

proptest! {
    #[test]
    fn a_phrase_is_found_in_any_surroundings(
        before in "[ -~é\n]{0,40}",
        after in "[ -~é\n]{0,40}",
    ) {
        let text = format!("{before} rate limit {after}");
        prop_assert_eq!(classify(&text), Some(QuotaReason::RateLimit));
    }

    #[test]
    fn any_text_is_judged(text in "\\PC{0,200}") {
        let upper = classify(&text.to_ascii_lowercase());
        // Lower case loses the humps of camels, and nothing else.
        if upper.is_some() {
            prop_assert!(classify(&text).is_some());
        }
    }
}
