//! What differs from run to run, recognised at one place of a text.
//!
//! Every function takes the text from the place on and returns how many bytes it recognised. The
//! rules look at ASCII only, so that every length is the border of a character.

/// Directories whose entries have names that nobody chose.
const TEMPORARY: [&str; 3] = ["/tmp/", "/var/tmp/", "/dev/shm/"];
/// Units of durations, the longer of two with the same start first.
const UNITS: [&str; 27] = [
    "milliseconds",
    "millisecond",
    "microseconds",
    "nanoseconds",
    "seconds",
    "second",
    "minutes",
    "minute",
    "hours",
    "hour",
    "days",
    "day",
    "msecs",
    "msec",
    "secs",
    "sec",
    "mins",
    "min",
    "hrs",
    "hr",
    "ms",
    "us",
    "ns",
    "s",
    "m",
    "h",
    "d",
];
/// Words before the number of a process.
const PROCESS_WORDS: [&str; 2] = ["pid", "process"];

/// Returns how many bytes are recognised at the start of a text.
type Rule = fn(&[u8]) -> Option<usize>;

/// Returns the length of what is recognised at the start of `text`, and what stands for it.
pub(super) fn token(before: Option<char>, text: &str) -> Option<(usize, &'static str)> {
    let text = text.as_bytes();
    let first = text.first()?;
    if *first == b'/' {
        let free = before.is_none_or(|it| !is_name(it) && it != '/');
        return free.then(|| temporary(text)).flatten().map(|len| (len, "<tmp>"));
    }
    if !first.is_ascii_alphanumeric() || before.is_some_and(is_word) {
        return None;
    }
    let rules: [(Rule, &'static str); 6] = [
        (time, "<time>"),
        (date, "<date>"),
        (clock, "<time>"),
        (address, "<address>"),
        (duration, "<duration>"),
        (process, "pid <pid>"),
    ];
    let ends = |len: usize| !text.get(len).is_some_and(|it| is_word(char::from(*it)));
    rules.iter().find_map(|(rule, placeholder)| {
        rule(text).filter(|len| ends(*len)).map(|len| (len, *placeholder))
    })
}

/// Letters, digits and `_`; bytes beyond ASCII belong to letters.
fn is_word(at: char) -> bool {
    at.is_alphanumeric() || at == '_' || !at.is_ascii()
}

/// Characters of file names that a path goes on with.
fn is_name(at: char) -> bool {
    is_word(at) || at == '.' || at == '-'
}

/// Counts the digits at `from`.
fn digits(text: &[u8], from: usize) -> usize {
    text.get(from..).unwrap_or_default().iter().take_while(|it| it.is_ascii_digit()).count()
}

/// Counts the bytes from `from` on that have the shape of `pattern`, where `0` is any digit.
fn shaped(text: &[u8], from: usize, pattern: &[u8]) -> Option<usize> {
    let found = text.get(from..from + pattern.len())?;
    let fits = |(found, want): (&u8, &u8)| match want {
        b'0' => found.is_ascii_digit(),
        want => found == want,
    };
    found.iter().zip(pattern).all(fits).then_some(from + pattern.len())
}

/// `2026-03-01T10:00:00.123+02:00`, also with a space for `T`.
fn time(text: &[u8]) -> Option<usize> {
    let day = shaped(text, 0, b"0000-00-00")?;
    let at = matches!(text.get(day), Some(b'T' | b't' | b' ' | b'_')).then_some(day + 1)?;
    let end = clock_at(text, at)?;
    Some(zone(text, end))
}

/// `2026-03-01`.
fn date(text: &[u8]) -> Option<usize> {
    shaped(text, 0, b"0000-00-00")
}

/// `10:00:00.123`. Without seconds it would be a place in a file: `4:12`.
fn clock(text: &[u8]) -> Option<usize> {
    let end = shaped(text, 0, b"00:00:00")?;
    Some(fraction(text, end))
}

/// A time of a day at `from`; seconds and their parts may be missing.
fn clock_at(text: &[u8], from: usize) -> Option<usize> {
    let end = shaped(text, from, b"00:00")?;
    let end = shaped(text, end, b":00").unwrap_or(end);
    Some(fraction(text, end))
}

/// Skips `.123` or `,123`.
fn fraction(text: &[u8], from: usize) -> usize {
    match text.get(from) {
        Some(b'.' | b',') if digits(text, from + 1) > 0 => from + 1 + digits(text, from + 1),
        _ => from,
    }
}

/// Skips `Z`, `+02:00` or `+0200`.
fn zone(text: &[u8], from: usize) -> usize {
    match text.get(from) {
        Some(b'Z' | b'z') => from + 1,
        Some(b'+' | b'-') => shaped(text, from + 1, b"00:00")
            .or_else(|| shaped(text, from + 1, b"0000"))
            .unwrap_or(from),
        _ => from,
    }
}

/// `0x7ffe12ab`.
fn address(text: &[u8]) -> Option<usize> {
    let body = text.strip_prefix(b"0x").or_else(|| text.strip_prefix(b"0X"))?;
    let len = body.iter().take_while(|it| it.is_ascii_hexdigit()).count();
    (len > 0).then_some(len + 2)
}

/// `1.5s`, `250 ms`, `1m30s`: amounts behind each other.
fn duration(text: &[u8]) -> Option<usize> {
    let mut end = amount(text, 0)?;
    while let Some(more) = amount(text, end) {
        end = more;
    }
    Some(end)
}

/// One number with a unit at `from`.
fn amount(text: &[u8], from: usize) -> Option<usize> {
    let count = digits(text, from);
    if count == 0 {
        return None;
    }
    let number = fraction(text, from + count);
    let gap = usize::from(text.get(number) == Some(&b' '));
    let behind = text.get(number + gap..)?;
    let ends = |len: usize| match behind.get(len) {
        Some(it) => it.is_ascii_digit() || !is_word(char::from(*it)),
        None => true,
    };
    // `4 d` is not a duration that anybody prints; `4d` is.
    let fits = |it: &&&str| behind.starts_with(it.as_bytes()) && ends(it.len());
    let unit = UNITS.iter().filter(|it| gap == 0 || it.len() > 1 || **it == "s").find(fits)?;
    Some(number + gap + unit.len())
}

/// `pid 123`, `PID=123`, `pid: 123`, `process 123`.
fn process(text: &[u8]) -> Option<usize> {
    let is_at = |it: &&&str| {
        text.get(..it.len()).is_some_and(|start| start.eq_ignore_ascii_case(it.as_bytes()))
    };
    let word = PROCESS_WORDS.iter().find(is_at)?.len();
    let signs = match text.get(word) {
        Some(b'=' | b':') => 1,
        _ => 0,
    };
    let gap = usize::from(text.get(word + signs) == Some(&b' '));
    let from = word + signs + gap;
    let count = digits(text, from);
    (signs + gap > 0 && count > 0).then_some(from + count)
}

/// `/tmp/.tmpAb12`: the directory and one name below it.
fn temporary(text: &[u8]) -> Option<usize> {
    let dir = TEMPORARY.iter().find(|it| text.starts_with(it.as_bytes()))?.len();
    let is_part = |it: &&u8| is_name(char::from(**it)) && it.is_ascii();
    let name = text.get(dir..)?.iter().take_while(is_part).count();
    (name > 0).then_some(dir + name)
}
