//! `autonomy explain`: the page about a code, without a network and without the book.

mod text;

use std::io::{self, Write as _};

use api::exit::Exit;
use serde::Serialize;
use strsim::damerau_levenshtein;

use crate::{
    args::{Explain, Output},
    commands::{print_json, print_pairs},
    failure::Failure,
};

/// The page about a code.
#[derive(Clone, Copy, Debug, Serialize)]
struct Page {
    code: &'static str,
    /// The meaning in one line.
    title: &'static str,
    /// The page, in Markdown.
    #[serde(skip_serializing_if = "str::is_empty")]
    text: &'static str,
}

/// Every page, by code.
static PAGES: &[Page] = &include!(concat!(env!("OUT_DIR"), "/pages.rs"));
/// Most codes that are suggested in place of one that does not exist.
const SUGGESTIONS_MAX: usize = 3;

pub(crate) fn run(args: &Explain) -> Result<Exit, Failure> {
    let Some(asked) = args.code.as_deref().filter(|_| !args.list) else {
        return list(args.output.output);
    };
    let page = find(asked).ok_or_else(|| unknown(asked))?;
    match args.output.output {
        Output::Json => print_json(page)?,
        Output::Text => {
            let mut stdout = io::stdout().lock();
            stdout.write_all(text::plain(page.text).as_bytes())?;
            stdout.flush()?;
        }
    }
    Ok(Exit::Done)
}

fn list(output: Output) -> Result<Exit, Failure> {
    match output {
        Output::Json => {
            let codes: Vec<_> = PAGES.iter().map(|it| Page { text: "", ..*it }).collect();
            print_json(&serde_json::json!({ "codes": codes }))?;
        }
        Output::Text => {
            let pairs: Vec<_> = PAGES.iter().map(|it| (it.code, it.title.to_owned())).collect();
            print_pairs(&pairs)?;
        }
    }
    Ok(Exit::Done)
}

fn find(code: &str) -> Option<&'static Page> {
    // A code of an answer and a reason of a policy may differ in nothing but case.
    let exact = PAGES.iter().find(|it| it.code == code);
    exact.or_else(|| PAGES.iter().find(|it| it.code.eq_ignore_ascii_case(code)))
}

/// Whether [`run`] has more to say about `code` than an error has said already: a page of its own.
pub(crate) fn knows(code: &str) -> bool {
    find(code).is_some_and(|it| it.text.contains("\n## "))
}

/// Returns every code, in order.
pub fn explained_codes() -> impl Iterator<Item = &'static str> {
    PAGES.iter().map(|it| it.code)
}

fn unknown(asked: &str) -> Failure {
    let message = format!("there is no page about `{asked}`");
    Failure::new(Exit::NotFound, "UNKNOWN_CODE", message).hint(match &*nearest(asked) {
        [] => "autonomy explain --list names every code".to_owned(),
        near => format!("did you mean {}; autonomy explain --list names every code", or(near)),
    })
}

fn or(codes: &[&str]) -> String {
    let quoted: Vec<_> = codes.iter().map(|it| format!("`{it}`")).collect();
    quoted.join(" or ")
}

/// The codes that differ least, or contain what was asked for.
fn nearest(asked: &str) -> Vec<&'static str> {
    let asked = asked.to_ascii_lowercase();
    let mut near: Vec<_> = explained_codes()
        .filter_map(|code| {
            let lower = code.to_ascii_lowercase();
            if asked.len() >= 3 && lower.contains(&asked) {
                return Some((0, code));
            }
            let steps = damerau_levenshtein(&asked, &lower);
            (steps <= lower.len() / 3).then_some((steps, code))
        })
        .collect();
    near.sort_unstable();
    near.truncate(SUGGESTIONS_MAX);
    near.into_iter().map(|it| it.1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_page_shows_people_where_a_link_goes_or_a_fence() {
        for page in PAGES {
            let text = text::plain(page.text);
            assert!(text.starts_with(&format!("{}\n==", page.code)), "{text}");
            for mark in ["](", ".md)", "```", "\n## ", "**"] {
                assert!(!text.contains(mark), "{mark}: {text}");
            }
            let prose = text.lines().filter(|it| !it.starts_with("    ") && !it.contains('`'));
            assert!(prose.clone().all(|it| it.chars().count() <= 80), "{text}");
        }
    }

    #[test]
    fn a_code_is_found_in_any_case_and_has_its_own_page() {
        for page in PAGES {
            assert_eq!(find(page.code).map(|it| it.code), Some(page.code));
            for asked in [page.code.to_lowercase(), page.code.to_uppercase()] {
                let found = find(&asked).map(|it| it.code);
                assert!(found.is_some_and(|it| it.eq_ignore_ascii_case(page.code)));
            }
            assert!(page.text.starts_with(&format!("# {}\n", page.code)));
            assert!(!page.title.is_empty() && !page.title.contains('\n'), "{}", page.code);
        }
        assert!(find("").is_none());
    }

    #[test]
    fn what_is_misspelt_or_half_remembered_is_suggested() {
        assert_eq!(nearest("SEQ_GPA"), ["SEQ_GAP"]);
        assert_eq!(nearest("wal_diskfull").first(), Some(&"WAL_DISK_FULL"));
        assert_eq!(nearest("phantom"), ["WAL_PHANTOM_DISCARDED"]);
        assert_eq!(nearest("xyzzy-plugh"), Vec::<&str>::new());
        let hint = unknown("SEQ_GPA").hint.unwrap();
        assert!(hint.starts_with("did you mean `SEQ_GAP`; "), "{hint}");
    }
}
