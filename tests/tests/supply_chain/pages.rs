//! Each block of shell commands of a page runs in one shell, in order; the block of text behind it is its output. What
//! differs each time, ids of keys and times, is compared as `…`.

use std::{fs, path::Path, process::Command};

use e2e::harness::{Bin, run_to_end};

/// Printed between the outputs of two blocks.
const MARK: &str = "@@ next block @@";

/// Blocks of shell commands, each with the text that is shown as its output.
fn blocks(page: &str) -> Vec<(String, Option<String>)> {
    let mut found: Vec<(String, Option<String>)> = Vec::new();
    for fenced in page.split("\n```").skip(1).step_by(2) {
        let (language, body) = fenced.split_once('\n').unwrap();
        match language {
            "sh" => found.push((format!("{body}\n"), None)),
            "text" => {
                let (_, shown) = found.last_mut().unwrap();
                assert!(shown.replace(format!("{body}\n")).is_none(), "two outputs: {body}");
            }
            other => assert_eq!(other, "sh", "nobody runs this block"),
        }
    }
    found
}

/// Hides what differs each time.
fn hidden(text: &str) -> String {
    let word = |word: &str| match word.split_once('=') {
        Some((name @ ("key" | "at"), _)) => format!("{name}=…"),
        _ => word.to_owned(),
    };
    let line = |line: &str| {
        for name in ["key id", "expires at"] {
            let rest = line.strip_prefix(name).map(str::trim_start);
            if let Some(rest) = rest {
                return line.strip_suffix(rest).unwrap().to_owned() + "…";
            }
        }
        line.split(' ').map(word).collect::<Vec<_>>().join(" ")
    };
    text.lines().flat_map(|it| [line(it), "\n".to_owned()]).collect()
}

fn every_command_prints_what_the_page_shows(name: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let blocks = blocks(&fs::read_to_string(root.join("docs/src").join(name)).unwrap());
    assert!(blocks.iter().filter(|it| it.1.is_some()).count() >= 4);
    let mut script = "set -eu -o pipefail\n".to_owned();
    for (commands, _) in &blocks {
        script.extend([commands, "\necho '", MARK, "'\n"]);
    }
    let dir = tempfile::tempdir().unwrap();
    let program = Bin::Autonomy.path().unwrap();
    let programs = program.parent().unwrap().to_str().unwrap();
    let mut command = Command::new("bash");
    command.arg("-c").arg(&script).current_dir(dir.path()).env_clear();
    command.env("PATH", format!("{programs}:/usr/bin:/bin")).env("HOME", dir.path());
    let done = run_to_end(&mut command).unwrap();
    let outputs: Vec<_> = done.stdout.split(&format!("{MARK}\n")).collect();
    for (index, (commands, shown)) in blocks.iter().enumerate() {
        let output = outputs.get(index).copied().unwrap_or_default();
        if let Some(shown) = shown {
            assert_eq!(hidden(output), *shown, "{commands}{done:?}");
        }
    }
    assert_eq!(outputs.len(), blocks.len() + 1, "{done:?}");
}

#[test]
fn sign_and_verify_prints_what_it_shows() {
    every_command_prints_what_the_page_shows("tutorials/sign-and-verify.md");
}

#[test]
fn an_update_without_a_network_prints_what_it_shows() {
    every_command_prints_what_the_page_shows("tutorials/air-gapped-update.md");
}

#[test]
fn keys_and_rotation_prints_what_it_shows() {
    every_command_prints_what_the_page_shows("concepts/keys-and-rotation.md");
}
