//! What the pages about failures of goals and of the step log tell an operator to do is done where that failure was made.
//!
//! A page shows first what is seen, and its commands come behind: each line of its shell blocks is run, in order, and ends as
//! its row here says.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use std::{collections::BTreeSet, fs, path::Path};

use e2e::harness::{Block, Ports, Walk, page};

/// A page and its failure.
struct Row {
    page: &'static str,
    /// What makes the failure.
    made: &'static [&'static str],
    /// Commands of the page that do not end with 0, counted from 1, and how they end.
    ends: &'static [(usize, i32)],
    /// What an operator does beside the page: behind which of its commands.
    beside: Option<(usize, &'static str)>,
}

impl Row {
    const fn new(page: &'static str, made: &'static [&'static str]) -> Self {
        Self { page, made, ends: &[], beside: None }
    }
}

/// Waits without a clock: a file that is not empty, a command that succeeds.
const WAITS: &str = "until_there() { until [ -s \"$1\" ]; do read -rt 0.05 < <(:); done; }
until_done() { until \"$@\" > /dev/null 2>&1; do read -rt 0.05 < <(:); done; }
";
const GOAL: &str = "git init -q .
autonomy goal init --title 'Ship v2' --max-iterations 5
autonomy tentacle create fix-login --desc 'login fails on Mondays'
autonomy goal link fix-login
";
const DONE: &str = "autonomy tentacle handoff fix-login done --status DONE
autonomy tentacle complete fix-login
";
/// Two criteria: one that fails alike until there is a file `mended`.
const CRITERIA: &str = "git init -q .
autonomy goal init --title 'Ship v2' --max-iterations 5
autonomy goal criteria add --desc 'the linter is quiet' --verify-cmd 'test -e mended || { echo 3 warnings; false; }'
autonomy goal criteria add --desc 'tests pass' --verify-cmd true
";
/// A runtime that runs shell commands, a plan with one, and a daemon and runtime that are killed in the middle of it.
const PLAN: &str = r#"mkdir policies
cat > policies/all.rego <<'REGO'
package autonomy
decision := {"allow": true, "rule": "all"} if true
REGO
autonomy policy build --in policies --out bundle.tar.gz --version 1.0.0
autonomy policy load --bundle bundle.tar.gz
cat > nightly.json <<'PLAN'
{"version": 1, "name": "nightly", "fired_at": "2026-04-20T12:00:00Z", "steps": [
  {"id": "look", "tool": "tool.echo", "params": {"message": "hi"}, "effect": "none"},
  {"id": "send", "tool": "tool.shell", "params": {"argv": ["sh", "-c", "echo sent >> sent; while [ ! -e go ]; do sleep 0.05; done"]},
   "depends_on": ["look"], "effect": "opaque"}
]}
PLAN
export AUTONOMY_RUNTIME_URL=http://127.0.0.1:7777
begin() {
  autonomy runtime start --listen 127.0.0.1:7777 --enable-shell > runtime.log 2>&1 & RUNTIME=$!
  until_done curl -sf http://127.0.0.1:7777/health
}
begin
"#;
/// The daemon and its runtime are killed in the middle of `send`.
const KILLED: &str = "autonomy daemon run --plan nightly.json > daemon.log 2>&1 & DAEMON=$!
until_there sent
kill -9 $DAEMON $RUNTIME
touch go
begin
";

const ROWS: &[Row] = &[
    Row::new(
        "budget-overrun",
        &[
            "git init -q .\nautonomy goal init --title 'Ship v2' --max-iterations 2\n",
            "autonomy goal eval\nautonomy goal eval\n",
        ],
    ),
    Row::new("gate-blocks", &[GOAL, DONE, "autonomy goal gate add review\nautonomy goal eval\n"]),
    Row::new(
        "interrupted",
        &[
            CRITERIA,
            "autonomy goal verify-loop --max-retries 3 --retry-delay 60 > loop 2>&1 & LOOP=$!\n",
            "until_there loop\nkill -INT $LOOP\nwait $LOOP\ntouch mended\n",
        ],
    ),
    Row::new(
        "loop-limit",
        &[CRITERIA, "autonomy goal loop --no-auto-dispatch --max-iterations 1\ntouch mended\n"],
    ),
    Row::new(
        "process-killed",
        &[
            GOAL,
            "autonomy goal dispatch --cmd 'echo x > began; while [ ! -e go ]; do sleep 0.05; done' & OUT=$!\n",
            "until_there began\nkill -9 $OUT\ntouch go\n",
            // The work itself outlives its dispatch.
            "until_done bash -c 'autonomy tentacle marker-cleanup | grep stale'\n",
        ],
    ),
    Row::new("quota-stop", &[GOAL]),
    Row::new(
        "rate-limit-in-verify-loop",
        &[CRITERIA, "autonomy goal verify-loop --max-retries 1 --retry-delay 0\ntouch mended\n"],
    ),
    Row::new(
        "retries-exhausted",
        &[CRITERIA, "autonomy goal verify-loop --escalate --retry-delay 0\ntouch mended\n"],
    ),
    Row::new(
        "rewind",
        &[
            "git init -q .\nautonomy goal init --title 'Ship v2' --max-iterations 9\n",
            "for it in one two three; do autonomy tentacle create $it; autonomy goal link $it\n",
            "autonomy tentacle handoff $it done --status DONE; autonomy tentacle complete $it\n",
            "autonomy goal eval; done\n",
        ],
    ),
    Row::new("session-ended", &[GOAL, "autonomy session end\n"]),
    Row {
        ends: &[(2, 1)],
        beside: Some((2, "touch mended\n")),
        ..Row::new("stall", &[CRITERIA, "autonomy goal verify-loop --retry-delay 0\n"])
    },
    Row::new(
        "work-never-began",
        &[GOAL, "printf '#!/bin/sh\\necho took $1\\n' > agent\nchmod +x agent\n"],
    ),
    // Nothing shows whether an opaque step happened.
    Row { ends: &[(1, 4)], ..Row::new("step-interrupted", &[PLAN, KILLED]) },
    // Its second command is the other way to do it: nothing is left for it here.
    Row {
        ends: &[(2, 5)],
        ..Row::new(
            "step-log-archive",
            &[PLAN, "touch go\nautonomy daemon run --plan nightly.json\n"],
        )
    },
    Row::new("step-log-damaged", &[PLAN, KILLED]),
    Row::new("step-log-disk", &[PLAN, "touch go\nmkdir -p .local/state/autonomyops/steps\n"]),
    Row::new("step-log-second-daemon", &[PLAN, KILLED]),
    Row::new("step-log-torn", &[PLAN, KILLED]),
    // One word is enough: the step waits no more when the others are said.
    Row {
        ends: &[(3, 6), (4, 6)],
        ..Row::new("step-needs-human", &[PLAN, KILLED, "autonomy daemon run --plan nightly.json\n"])
    },
    Row::new("step-plan-ended", &[PLAN, "touch go\nautonomy daemon run --plan nightly.json\n"]),
];

/// The shell blocks of a page, line by line.
fn commands(page: &str) -> Vec<Block> {
    let blocks = page.split("\n```sh\n").skip(1).map(|it| it.split("\n```").next().unwrap());
    let lines = blocks.flat_map(str::lines).filter(|it| !it.starts_with('#'));
    lines.map(|it| Block { commands: it.to_owned(), shown: None }).collect()
}

#[track_caller]
fn works(name: &str) {
    let row = ROWS.iter().find(|it| it.page == name).unwrap();
    let page = page(&format!("runbooks/goal-failures/{name}.md")).unwrap();
    let commands = commands(&page);
    assert!(!commands.is_empty(), "{name} says nothing to do");
    let made = format!("{WAITS}{{\n{}}} > made 2>&1\ntrue", row.made.concat());
    let mut all = vec![Block { commands: made, shown: None }];
    all.extend(commands);
    let instead = if row.made.contains(&PLAN) {
        vec![("7777", Ports::free().unwrap().runtime.to_string())]
    } else {
        Vec::new()
    };
    let between = row.beside.map(|(behind, more)| (behind + 1, more));
    let printed = Walk { between, instead }.run(&all).unwrap();
    let ends: Vec<_> = printed.iter().map(|it| it.code).collect();
    let mut want = vec![0; all.len()];
    for (at, code) in row.ends {
        *want.get_mut(*at).unwrap() = *code;
    }
    assert_eq!(ends, want, "{all:#?}\n{printed:#?}");
}

#[test]
fn every_page_about_a_failure_is_here() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/src/runbooks/goal-failures");
    let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name().into_string().unwrap());
    let names: BTreeSet<_> = names.map(|it| it.trim_end_matches(".md").to_owned()).collect();
    assert_eq!(ROWS.iter().map(|it| it.page.to_owned()).collect::<BTreeSet<_>>(), names);
}

#[test]
fn budget_overrun_is_mended_as_its_page_says() {
    works("budget-overrun");
}

#[test]
fn gate_blocks_is_mended_as_its_page_says() {
    works("gate-blocks");
}

#[test]
fn interrupted_is_mended_as_its_page_says() {
    works("interrupted");
}

#[test]
fn loop_limit_is_mended_as_its_page_says() {
    works("loop-limit");
}

#[test]
fn process_killed_is_mended_as_its_page_says() {
    works("process-killed");
}

#[test]
fn quota_stop_is_mended_as_its_page_says() {
    works("quota-stop");
}

#[test]
fn rate_limit_in_verify_loop_is_mended_as_its_page_says() {
    works("rate-limit-in-verify-loop");
}

#[test]
fn retries_exhausted_is_mended_as_its_page_says() {
    works("retries-exhausted");
}

#[test]
fn rewind_is_mended_as_its_page_says() {
    works("rewind");
}

#[test]
fn session_ended_is_mended_as_its_page_says() {
    works("session-ended");
}

#[test]
fn stall_is_mended_as_its_page_says() {
    works("stall");
}

#[test]
fn work_never_began_is_mended_as_its_page_says() {
    works("work-never-began");
}

#[test]
fn step_interrupted_is_mended_as_its_page_says() {
    works("step-interrupted");
}

#[test]
fn step_log_archive_is_mended_as_its_page_says() {
    works("step-log-archive");
}

#[test]
fn step_log_damaged_is_mended_as_its_page_says() {
    works("step-log-damaged");
}

#[test]
fn step_log_disk_is_mended_as_its_page_says() {
    works("step-log-disk");
}

#[test]
fn step_log_second_daemon_is_mended_as_its_page_says() {
    works("step-log-second-daemon");
}

#[test]
fn step_log_torn_is_mended_as_its_page_says() {
    works("step-log-torn");
}

#[test]
fn step_needs_human_is_mended_as_its_page_says() {
    works("step-needs-human");
}

#[test]
fn step_plan_ended_is_mended_as_its_page_says() {
    works("step-plan-ended");
}
