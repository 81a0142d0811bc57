//! Pages of the book, walked: their commands run in one shell, in order, and what stands behind them is their output.

use std::{fmt::Write as _, fs, path::Path, process::Command};

use anyhow::{Context as _, Result, bail, ensure};

use super::{Bin, Ports, run_to_end};

/// Printed behind the output of each block, with the exit code of its last command.
const MARK: &str = "@@ exit code ";

/// Shell commands, with what is shown as their output.
#[derive(Clone, Debug)]
pub struct Block {
    /// The lines between the fences.
    pub commands: String,
    /// The block of text behind them.
    pub shown: Option<String>,
}

/// What a block printed, errors included.
#[derive(Debug)]
pub struct Printed {
    /// Its output.
    pub output: String,
    /// How its last command ended.
    pub code: i32,
}

/// A page below `docs/src`.
///
/// # Errors
///
/// When it cannot be read.
pub fn page(name: &str) -> Result<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("no repository")?;
    fs::read_to_string(root.join("docs/src").join(name)).context(name.to_owned())
}

/// Shell blocks in their order. A page that is walked has no others but those of text.
///
/// # Errors
///
/// For a block of another language, and for an output without commands.
pub fn blocks(text: &str) -> Result<Vec<Block>> {
    let mut found: Vec<Block> = Vec::new();
    for fenced in text.split("\n```").skip(1).step_by(2) {
        let (language, body) = fenced.split_once('\n').context("an open fence")?;
        let body = format!("{body}\n");
        match language {
            "sh" => found.push(Block { commands: body, shown: None }),
            "text" => {
                let last = found.last_mut().context("an output without commands")?;
                ensure!(last.shown.replace(body).is_none(), "two outputs: {last:?}");
            }
            other => bail!("nobody runs a block of `{other}`"),
        }
    }
    Ok(found)
}

/// How a page is walked.
#[derive(Debug, Default)]
pub struct Walk<'a> {
    /// Run behind the first so many blocks.
    pub between: Option<(usize, &'a str)>,
    /// What stands in the page, ports for example, and what is there in its place. Shown as it stands in the page.
    pub instead: Vec<(&'a str, String)>,
}

/// What a page that names no port to its programs becomes with `ports`: the ports that they take without being told, in the text
/// and as options.
pub fn elsewhere(ports: Ports) -> Vec<(&'static str, String)> {
    let Ports { orchestrator, sink, runtime } = ports;
    vec![
        ("7777", runtime.to_string()),
        ("8888", orchestrator.to_string()),
        ("4318", sink.to_string()),
        ("otel-sink ", format!("otel-sink --listen 127.0.0.1:{sink} ")),
        ("runtime start ", format!("runtime start --listen 127.0.0.1:{runtime} ")),
    ]
}

impl Walk<'_> {
    /// Runs the blocks in an empty directory, with our programs in `PATH`; whatever they began ends with them.
    ///
    /// # Errors
    ///
    /// When the shell does not start, and when it ended before the last block.
    pub fn run(&self, blocks: &[Block]) -> Result<Vec<Printed>> {
        let mut script =
            "set -o pipefail\nexec 2>&1\ntrap 'kill $(jobs -p) 2> /dev/null' EXIT\n".to_owned();
        for (at, block) in blocks.iter().enumerate() {
            writeln!(script, "{}\necho \"{MARK}$?\"", block.commands)?;
            if let Some((_, more)) = self.between.filter(|(behind, _)| *behind == at + 1) {
                script.push_str(more);
            }
        }
        for (named, here) in &self.instead {
            ensure!(script.contains(named), "the page no longer has {named}");
            script = script.replace(named, here);
        }
        let dir = tempfile::tempdir()?;
        let [programs, _] = [Bin::Autonomy, Bin::Orchestrator].map(Bin::path);
        let programs = programs?;
        let programs = programs.parent().context("no directory of programs")?;
        let mut command = Command::new("bash");
        // Not as an argument: pages look for processes by what stands in their command lines.
        let file = tempfile::NamedTempFile::new()?;
        fs::write(file.path(), &script)?;
        command.arg(file.path()).current_dir(dir.path()).env_clear();
        command.env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        let done = run_to_end(command.env("HOME", dir.path()))?;
        let named = |it: String, (named, here): &(&str, String)| it.replace(here, named);
        let instead = self.instead.iter().filter(|(_, here)| !here.is_empty());
        let output = instead.fold(done.stdout.clone(), named);
        let (mut rest, mut ended) = (&*output, Vec::new());
        while let Some((printed, behind)) = rest.split_once(MARK) {
            let (code, behind) = behind.split_once('\n').context("no exit code")?;
            ended.push(Printed { output: printed.to_owned(), code: code.parse()? });
            rest = behind;
        }
        ensure!(ended.len() == blocks.len(), "{output}{}", done.stderr);
        Ok(ended)
    }
}

/// Whether both say the same but for what differs each time: times, ids, seconds, places of copies. Columns are as wide as
/// what is in them, so they are compared word by word.
pub fn alike(printed: &str, shown: &str) -> bool {
    words(printed) == words(shown)
}

/// Whether each line that is shown was printed, in that order, with anything between them; a line of `…` alone shows nothing,
/// and within a line it stands for anything.
pub fn shows(printed: &str, shown: &str) -> bool {
    let printed = words(printed);
    let mut printed = printed.iter().map(|it| it.join(" "));
    let mut shown = words(shown).into_iter().map(|it| it.join(" ")).filter(|it| it != "…");
    shown.all(|line| printed.any(|it| fits(&it, &line)))
}

/// Whether a line is what was shown, where `…` stands for anything.
fn fits(line: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else { return false };
        rest = behind;
    }
    rest.ends_with(last)
}

fn words(text: &str) -> Vec<Vec<&str>> {
    text.lines().map(|it| it.split_whitespace().map(hidden).collect()).collect()
}

/// A word without what differs each time.
fn hidden(word: &str) -> &str {
    let bare = word.trim_end_matches([';', ',']);
    let digit = |it: u8| it.is_ascii_digit() || it == b'.';
    let digits = |it: &str| !it.is_empty() && it.bytes().all(digit);
    let hex = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    if bare.starts_with("20") && bare.contains('T') && bare.ends_with('Z') {
        return "<time>";
    }
    // Where a restore keeps the old files.
    if bare.contains(".corrupt-20") {
        return "<kept>";
    }
    if bare.len() == 16 && bare.bytes().all(hex) {
        return "<id>";
    }
    if let Some((name @ ("key" | "at"), _)) = word.split_once('=') {
        return name;
    }
    if bare.strip_suffix('s').is_some_and(digits) { "<seconds>" } else { word }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_each_time_is_no_difference_and_anything_else_is() {
        assert!(alike("at 2026-01-01T00:00:00Z in 3s\n", "at 2027-02-02T00:00:00Z  in 12s\n"));
        assert!(alike("id 0123456789abcdef", "id fedcba9876543210"));
        assert!(!alike("3 records", "4 records"));
        assert!(!alike("one\ntwo", "one two"));
        assert!(shows("a\nb 1\nc\nd", "a\n…\nb …\nd") && shows("x=1 y", "x=… y"));
        assert!(!shows("b\na", "a\nb") && !shows("x=1 z", "x=… y") && !shows("ab", "a"));
    }

    #[test]
    fn a_page_that_ends_early_and_one_with_other_blocks_are_no_pages() {
        let early = blocks("\n```sh\nexit 3\n```\n\n```sh\ntrue\n```\n").unwrap();
        assert!(Walk::default().run(&early).is_err());
        assert!(blocks("\n```python\npass\n```\n").is_err());
        let good = blocks("\n```sh\necho a; false\n```\n\n```text\na\n```\n").unwrap();
        let printed = Walk::default().run(&good).unwrap();
        assert_eq!((printed[0].output.as_str(), printed[0].code), ("a\n", 1));
        assert_eq!(good[0].shown.as_deref(), Some("a\n"));
    }
}
