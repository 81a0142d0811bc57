//! Every shell block of the README, of the book and of the crates is shell, and every command of ours in them is one that the
//! program takes: also on pages whose commands need what no test has, a service manager or other machines.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use clap::error::{ContextKind, ContextValue, ErrorKind};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The Markdown files that a reader is shown.
fn pages(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() && !path.ends_with("target") {
            pages(&path, found);
        } else if path.extension().is_some_and(|it| it == "md") {
            found.push(path);
        }
    }
}

/// The shell blocks of a page, without the indentation of lists, and those of a console without prompts and output.
fn blocks(page: &str) -> Vec<String> {
    let (mut found, mut open) = (Vec::new(), None);
    for line in page.lines() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        match (&mut open, bare) {
            (None, "```sh" | "```console") => {
                open = Some((indent, bare == "```console", String::new()));
            }
            (None, other) if other.starts_with("```") && other.len() > 3 => {
                open = Some((usize::MAX, false, String::new()));
            }
            (None, _) => {}
            (Some((indent, _, text)), "```") => {
                if *indent < usize::MAX {
                    found.push(std::mem::take(text));
                }
                open = None;
            }
            (Some((indent, console, text)), _) => {
                let line = line.get(*indent..).unwrap_or_default();
                let line = if *console { line.strip_prefix("$ ") } else { Some(line) };
                text.extend(line);
                text.push('\n');
            }
        }
    }
    found
}

/// What bash says against a block.
fn complaint(block: &str) -> Option<String> {
    let mut bash = Command::new("bash");
    bash.arg("-n").stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut child = bash.spawn().unwrap();
    child.stdin.take().unwrap().write_all(block.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    (!done.status.success()).then_some(text)
}

/// The commands of `autonomy` in a block, word by word: from the name to the end of what belongs to it.
fn ours(block: &str) -> Vec<Vec<String>> {
    let block = block.replace("\\\n", " ");
    let lines = block.lines().filter(|it| !it.trim_start().starts_with('#'));
    let mut found = Vec::new();
    for line in lines {
        let starts = line.match_indices("autonomy ").map(|(at, _)| at);
        for at in starts {
            let before = line.get(..at).unwrap().trim_end();
            let begins = before.is_empty()
                || before.ends_with(['|', ';', '&', '(', '!', '`'])
                || ["sudo", "then", "do", "until", "while", "if", "--", "RUN"]
                    .iter()
                    .any(|it| before.ends_with(it))
                || before
                    .split_whitespace()
                    .next_back()
                    .is_some_and(|it| it.contains('=') && !it.starts_with('-'))
                || before.ends_with("sudo -u autonomy");
            if begins {
                found.push(words(line.get(at..).unwrap()));
            }
        }
    }
    found
}

/// The words of one command: quotes are kept together, and it ends where the shell would end it.
fn words(text: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for letter in text.chars() {
        match (quote, letter) {
            (Some(open), it) if it == open => quote = None,
            (None, '\'' | '"') => (quote, any) = (Some(letter), true),
            // A redirection has its number before it.
            (None, '>') if matches!(word.as_str(), "1" | "2") => return words,
            (None, '|' | ';' | '&' | ')' | '>' | '<' | '#' | '`') => break,
            (None, it) if it.is_whitespace() => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (_, it) => word.push(it),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// What the program says against a command.
fn refusal(words: &[String]) -> Option<String> {
    // `autonomy tentacle goal` is another name of `autonomy goal`, which is not in the help.
    let alias = words.get(1..3).is_some_and(|it| it == ["tentacle", "goal"]);
    let taken = words.iter().enumerate().filter(|(at, _)| !alias || *at != 1).map(|(_, it)| it);
    let error = cli::command().try_get_matches_from(taken).err()?;
    let value = match error.get(ContextKind::InvalidValue) {
        Some(ContextValue::String(value)) if error.kind() == ErrorKind::ValueValidation => value,
        _ => "",
    };
    // What the reader puts in: a variable, something left out, a NAME.
    let open = |it: char| it.is_ascii_uppercase() || it == '_';
    let open = value.contains(['$', '…']) || (!value.is_empty() && value.chars().all(open));
    (error.use_stderr() && !open).then(|| format!("{words:?}: {error}"))
}

#[test]
fn every_shell_block_is_shell_and_every_command_of_ours_is_taken() {
    let mut files = vec![root().join("README.md"), root().join("CONTRIBUTING.md")];
    pages(&root().join("docs/src"), &mut files);
    pages(&root().join("crates"), &mut files);
    let (mut broken, mut seen) = (Vec::new(), 0);
    for file in files {
        let name = file.strip_prefix(root()).unwrap().display().to_string();
        for block in blocks(&fs::read_to_string(&file).unwrap()) {
            if let Some(text) = complaint(&block) {
                broken.push(format!("{name}: {text}\n{block}"));
            }
            let commands = ours(&block);
            seen += commands.len();
            let refused = commands.iter().filter_map(|it| refusal(it));
            broken.extend(refused.map(|it| format!("{name}: {it}")));
        }
    }
    assert!(seen > 500, "only {seen} commands: are these all pages?");
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn a_command_that_is_none_is_found() {
    let found = ours(
        "X=1 autonomy wal nothing --dir 'a b' 2> log | tee\nsudo -u autonomy autonomy man && true\n# autonomy x\n",
    );
    assert_eq!(
        found,
        [vec!["autonomy", "wal", "nothing", "--dir", "a b"], vec!["autonomy", "man"]]
    );
    assert!(cli::command().try_get_matches_from(found.concat()).is_err());
    assert!(complaint("if true; then\n").is_some() && complaint("true\n").is_none());
    assert_eq!(
        blocks("1. a\n   ```sh\n   x\n   ```\n```text\ny\n```\n```console\n$ z\nout\n```\n"),
        ["x\n", "z\n\n"]
    );
}
