//! What the README of the repository shows is what happens. Its Rust blocks and its table are looked at elsewhere
//! (`tests/docs.rs`, `tests/readmes.rs`).
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{fs, path::Path, process::Command};

use e2e::harness::{Bin, Block, Ports, Walk, elsewhere, run_to_end, shows};

/// The console blocks of a section, as commands with what is shown behind each.
fn console(section: &str) -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let section = readme.split(&format!("\n## {section}\n")).nth(1).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```console\n").skip(1);
    let lines = blocks.flat_map(|it| it.split("\n```").next().unwrap().lines());
    let mut found: Vec<Block> = Vec::new();
    for line in lines {
        if let Some(commands) = line.strip_prefix("$ ") {
            found.push(Block { commands: commands.to_owned(), shown: None });
        } else {
            let last = found.last_mut().unwrap();
            let shown = last.shown.get_or_insert_default();
            shown.push_str(line);
            shown.push('\n');
        }
    }
    found
}

#[test]
fn the_demo_prints_what_is_shown_of_it() {
    let [demo, test] = <[Block; 2]>::try_from(console("Two commands")).unwrap();
    assert_eq!(
        (demo.commands.as_str(), test.commands.as_str()),
        ("cargo xtask demo", "cargo xtask test")
    );
    let done = run_to_end(Command::new(env!("CARGO_BIN_EXE_stories")).arg("demo")).unwrap();
    let printed = format!("{}{}", done.stdout, done.stderr);
    assert_eq!(done.code(), Some(0), "{printed}");
    let shown = demo.shown.unwrap();
    assert!(shown.lines().count() > 15 && shows(&printed, &shown), "{printed}");
}

/// The services are given the second that they need, and a plan is written for the control plane: the README says neither
/// line by line.
#[test]
fn what_is_done_by_hand_works_and_so_does_the_control_plane() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let plan = r#"{"metadata":{"id":"arm-1.2.0"},"artifact_ref":"oci://images.example/arm@sha256:FF","target_lock_fingerprint":"blake3:FF",
"stages":[{"id":"canary","percent":10,"gates":[{"id":"manual","kind":"manual"}]},{"id":"all","percent":100}]}"#;
    let plan = plan.replace("FF", &"0f".repeat(32));
    let begun =
        format!("ln -s {}/crates crates\ncat > plan.json <<'PLAN'\n{plan}\nPLAN", root.display());
    let mut all = vec![Block { commands: begun, shown: None }];
    all.extend(console("By hand"));
    all.extend(console("The control plane"));
    assert!(all.len() > 14, "{all:#?}");
    for block in &mut all {
        let program = block.commands.strip_suffix(" &").map(str::to_owned);
        let Some(program) = program else { continue };
        let port = match &*program {
            it if it.contains("orchestrator") => "8888",
            it if it.contains("sink") => "4318",
            _ => "7777",
        };
        block.commands = format!(
            "{program} >> log 2>&1 &\nuntil (exec 3<>/dev/tcp/127.0.0.1/{port}) 2> /dev/null; do read -rt 0.05 < <(:); done; true"
        );
    }
    for bin in [Bin::Autonomy, Bin::Sink, Bin::Orchestrator] {
        bin.path().unwrap();
    }
    let instead = elsewhere(Ports::free().unwrap());
    let printed = Walk { instead, ..Walk::default() }.run(&all).unwrap();
    for (block, printed) in all.iter().zip(&printed) {
        assert_eq!(printed.code, 0, "{block:?}\n{printed:?}");
        let shown = block.shown.as_ref();
        assert!(shown.is_none_or(|it| shows(&printed.output, it)), "{block:?}\n{printed:?}");
    }
    let events = printed.iter().any(|it| it.output.contains("ai.policy.decision"));
    assert!(events, "the control plane has the decisions: {printed:#?}");
}
