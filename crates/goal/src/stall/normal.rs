//! The output of a command without what differs from run to run.
//!
//! | in the output                                              | becomes      |
//! |------------------------------------------------------------|--------------|
//! | escape sequences of terminals, other control characters     | nothing      |
//! | space at the end of a line                                  | nothing      |
//! | `2026-03-01T10:00:00.123Z`, `2026-03-01 10:00:00`, `10:00:00` | `<time>`     |
//! | `2026-03-01`                                                | `<date>`     |
//! | `1.5s`, `250 ms`, `1m30s`, `2 minutes`                       | `<duration>` |
//! | `0x7ffe12ab`                                                | `<address>`  |
//! | the first name below `/tmp`, `/var/tmp`, `/dev/shm`          | `<tmp>`      |
//! | `pid 123`, `PID=123`, `pid: 123`, `process 123`              | `pid <pid>`  |
//!
//! Why once is enough (T3): what is replaced begins and ends at the border of a word, contains no
//! `<` or `>`, and what replaces it is bordered by them. So a second pass sees the same runs of text
//! between placeholders, with the same borders.

use super::scan::token;

/// Removes from `output` what differs between two runs of the same command.
pub fn normalise(output: &str) -> String {
    let plain = strip_controls(output);
    let mut normal = String::with_capacity(plain.len());
    for line in plain.split_inclusive('\n') {
        let (text, end) = line.strip_suffix('\n').map_or((line, ""), |text| (text, "\n"));
        // Before the rest: a space that goes away must not have been the border of anything.
        replace(text.trim_end(), &mut normal);
        normal.push_str(end);
    }
    normal
}

/// Writes one line with placeholders.
fn replace(line: &str, out: &mut String) {
    let mut rest = line;
    let mut before = None;
    while let Some(at) = rest.chars().next() {
        if let Some((len, placeholder)) = token(before, rest) {
            out.push_str(placeholder);
            before = Some('>');
            rest = rest.get(len..).unwrap_or_default();
        } else {
            out.push(at);
            before = Some(at);
            rest = rest.get(at.len_utf8()..).unwrap_or_default();
        }
    }
}

/// Removes escape sequences of terminals, and control characters but line ends and tabs.
fn strip_controls(output: &str) -> String {
    let mut plain = String::with_capacity(output.len());
    let mut rest = output;
    while let Some(at) = rest.chars().next() {
        let len = if at == '\x1b' { escape_len(rest) } else { at.len_utf8() };
        if !at.is_control() || at == '\n' || at == '\t' {
            plain.push(at);
        }
        rest = rest.get(len..).unwrap_or_default();
    }
    plain
}

/// Returns the length of the escape sequence at the start of `text`.
///
/// One that does not end takes the escape character alone: what follows is text.
fn escape_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let until = |from: usize, is_end: &dyn Fn(u8) -> bool, is_in: &dyn Fn(u8) -> bool| {
        let body = bytes.get(from..).unwrap_or_default();
        let inside = body.iter().take_while(|it| is_in(**it) && !is_end(**it)).count();
        body.get(inside).filter(|it| is_end(**it)).map(|_| from + inside + 1)
    };
    let len = match bytes.get(1) {
        // Control sequences: parameters, then one final byte.
        Some(b'[') => {
            until(2, &|it| (0x40..=0x7e).contains(&it), &|it| (0x20..=0x3f).contains(&it))
        }
        // Texts for the terminal, such as titles and links: up to BEL or ESC \.
        Some(b']' | b'P' | b'_' | b'^') => {
            let end = until(2, &|it| it == 0x07 || it == 0x1b, &|it| it != b'\n');
            let is_st = |end: usize| bytes.get(end - 1..=end) == Some(b"\x1b\\");
            end.map(|end| if is_st(end) { end + 1 } else { end })
        }
        // Character sets take one more byte.
        Some(b'(' | b')') => bytes.get(2).filter(|it| it.is_ascii_graphic()).map(|_| 3),
        Some(0x30..=0x7e) => Some(2),
        _ => None,
    };
    len.unwrap_or(1)
}
