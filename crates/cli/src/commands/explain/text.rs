//! A page of the book as text for people.
//!
//! | in the page                  | as text                                              |
//! |------------------------------|------------------------------------------------------|
//! | `# Title`, `## Title`        | the title, underlined                                |
//! | `[words](where)`             | the words: there is no book to go to                 |
//! | `[Title](page.md)`           | the title of the page, quoted                        |
//! | `**words**`                  | the words                                            |
//! | `` `code` ``                 | as it is                                             |
//! | a block between fences       | its lines as they are, indented; no fences           |
//! | a paragraph, an item         | joined and wrapped; an item hangs behind its mark    |
//!
//! * **T1** What is code, in a line or in a block, keeps every character, and stays on one line.

/// Columns of a paragraph.
const WIDTH: usize = 80;
/// How far a block of code stands in.
const INDENT: &str = "    ";
/// Stands for a space at which no line ends, until the lines are made.
const HARD_SPACE: char = '\u{a0}';

/// Turns a page into text.
pub(super) fn plain(page: &str) -> String {
    let mut out = String::new();
    let mut paragraph = Paragraph::default();
    let mut fenced = false;
    for line in page.lines() {
        let words = line.trim_start();
        let indent = line.get(..line.len() - words.len()).unwrap_or_default();
        if words.starts_with("```") {
            paragraph.end(&mut out);
            fenced = !fenced;
        } else if fenced {
            push_line(&mut out, &format!("{INDENT}{line}"));
        } else if words.is_empty() {
            paragraph.end(&mut out);
            out.push('\n');
        } else if let Some((marks, title)) = heading(words) {
            paragraph.end(&mut out);
            let title = inline(title);
            let under = if marks == 1 { "=" } else { "-" }.repeat(title.chars().count());
            push_line(&mut out, &title);
            push_line(&mut out, &under);
        } else {
            if let Some(mark) = mark(words) {
                paragraph.end(&mut out);
                indent.clone_into(&mut paragraph.first);
                paragraph.hang = " ".repeat(indent.len() + mark);
            }
            paragraph.add(words);
        }
    }
    paragraph.end(&mut out);
    out
}

fn push_line(out: &mut String, line: &str) {
    out.extend(line.trim_end().chars().map(|it| if it == HARD_SPACE { ' ' } else { it }));
    out.push('\n');
}

fn heading(line: &str) -> Option<(usize, &str)> {
    let marks = line.bytes().take_while(|it| *it == b'#').count();
    let title = line.get(marks..)?.strip_prefix(' ')?;
    (marks > 0).then_some((marks, title))
}

/// How long the mark of an item is: `- `, `12. `.
fn mark(line: &str) -> Option<usize> {
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    let rest = line.get(digits..)?;
    match digits {
        0 => rest.starts_with("- ").then_some(2),
        _ => rest.starts_with(". ").then_some(digits + 2),
    }
}

/// Lines that belong together.
#[derive(Debug, Default)]
struct Paragraph {
    text: String,
    first: String,
    hang: String,
}

impl Paragraph {
    fn add(&mut self, line: &str) {
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        self.text.push_str(line);
    }

    /// Prints it, wrapped.
    fn end(&mut self, out: &mut String) {
        let Self { text, first, hang } = std::mem::take(self);
        let mut line = first;
        let mut empty = true;
        for word in inline(&text).split(' ').filter(|it| !it.is_empty()) {
            if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
                push_line(out, &line);
                line.clone_from(&hang);
                empty = true;
            }
            if !empty {
                line.push(' ');
            }
            line.push_str(word);
            empty = false;
        }
        if !empty {
            push_line(out, &line);
        }
    }
}

/// Takes links and emphasis out of a text, and leaves code alone (T1).
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['`', '[', '*']) {
        let (before, from) = rest.split_at(at);
        out.push_str(before);
        let (taken, after) = code(from)
            .or_else(|| link(from).map(|(words, after)| (inline(&words), after)))
            .or_else(|| from.strip_prefix("**").map(|after| (String::new(), after)))
            .unwrap_or_else(|| {
                let (first, after) = from.split_at(1);
                (first.to_owned(), after)
            });
        out.push_str(&taken);
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The code at the start of a text, with its marks, and what follows.
fn code(text: &str) -> Option<(String, &str)> {
    let marks = text.bytes().take_while(|it| *it == b'`').count();
    let (open, inner) = text.split_at_checked(marks).filter(|_| marks > 0)?;
    let end = inner.find(open)?;
    let (code, after) = text.split_at_checked(marks + end + marks)?;
    Some((code.replace(' ', &HARD_SPACE.to_string()), after))
}

/// The words of the link at the start of a text, and what follows.
fn link(text: &str) -> Option<(String, &str)> {
    let (words, after) = text.strip_prefix('[')?.split_once("](")?;
    // The words of a link have no bracket of their own in these pages.
    let (to, after) = after.split_once(')').filter(|_| !words.contains(['[', ']']))?;
    let is_title = to.contains(".md") && words.starts_with(char::is_uppercase);
    let words = if is_title { format!("\"{words}\"") } else { words.to_owned() };
    Some((words, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_emphasis_become_words_and_code_stays() {
        for (page, text) in [
            ("see [The disk is full](../../runbooks/disk-full.md).", "see \"The disk is full\"."),
            ("[a note](https://example.org/)", "a note"),
            ("[`no_policy`](no_policy.md) and **never**", "`no_policy` and never"),
            ("`a[0](x) ** 2` and ``b ` [c](d)``", "`a[0](x) ** 2` and ``b ` [c](d)``"),
            ("[not a link] and * and `open", "[not a link] and * and `open"),
        ] {
            assert_eq!(inline(page).replace(HARD_SPACE, " "), text);
        }
    }

    #[test]
    fn no_line_ends_inside_of_code() {
        let page = format!("{}`a b c` end", "word ".repeat(15));
        assert_eq!(plain(&page), format!("{}\n`a b c` end\n", "word ".repeat(15).trim_end()));
    }

    #[test]
    fn a_page_is_wrapped_and_its_blocks_are_kept() {
        let long = "word ".repeat(20);
        let page = format!(
            "# CODE\n\n## Symptom\n\n{long}\nend\n\n1. first\n   goes on:\n\n   ```sh\n   a [x](y)  b\n   ```\n\n2. {long}\n"
        );
        let line = "word ".repeat(16).trim_end().to_owned();
        let item = "word ".repeat(15).trim_end().to_owned();
        let want = format!(
            "CODE\n====\n\nSymptom\n-------\n\n{line}\nword word word word end\n\n\
             1. first goes on:\n\n       a [x](y)  b\n\n2. {item}\n   word word word word word\n"
        );
        assert_eq!(plain(&page), want);
    }
}
