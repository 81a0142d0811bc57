//! The runbooks of the node run as they stand: archive, repair and seal of its log, a log that is refused, its policy, and what is
//! asked of it in trouble.
#![expect(clippy::unwrap_used, reason = "a broken page fails the test")]

use e2e::harness::{Bin, Block, Ports, Printed, Walk, page};

/// A node with a collector. `RUN` is what the pages call so; `CALL` makes a call that is on record; `STOP` ends the runtime.
const NODE: &str = r#"mkdir policies
cat > policies/all.rego <<'REGO'
package autonomy
decision := {"allow": true, "rule": "all"} if true
REGO
autonomy policy build --in policies --out bundle.tar.gz --version 1.0.0
autonomy policy load --bundle bundle.tar.gz --policy-dir policy
there() { until (exec 3<>/dev/tcp/127.0.0.1/$1) 2> /dev/null; do read -rt 0.05 < <(:); done; true; }
otel-sink --listen 127.0.0.1:4318 --out sink.jsonl >> log 2>&1 &
there 4318
RUN() {
  autonomy runtime start --listen 127.0.0.1:7777 --wal-dir DIR --policy-dir policy >> log 2>&1 & RUNTIME=$!
  there 7777
}
CALL() { curl -sf http://127.0.0.1:7777/v1/tool -d '{"kind":"tool.echo","params":{"message":"hi"}}' > answer; }
STOP() { kill $RUNTIME; wait $RUNTIME; }
RUN && CALL && CALL && STOP"#;
/// Turns one bit in the last payload of the log.
const DAMAGE: &str = r#"RUN && CALL && CALL && STOP
python3 - <<'PY'
log = bytearray(open("DIR/telemetry.wal", "rb").read())
log[-20] ^= 1
open("DIR/telemetry.wal", "wb").write(log)
PY"#;

fn step(commands: &str) -> Block {
    Block { commands: commands.to_owned(), shown: None }
}

/// The shell blocks of a page, those in lists without their indentation.
fn blocks(name: &str) -> Vec<Block> {
    let page = page(name).unwrap();
    let (mut found, mut open) = (Vec::new(), None);
    for line in page.lines() {
        let bare = line.trim_start();
        match (&mut open, bare) {
            (None, "```sh") => open = Some((line.len() - bare.len(), String::new())),
            (Some((_, commands)), "```") => {
                found.push(step(commands));
                open = None;
            }
            (Some((indent, commands)), _) => {
                commands.push_str(line.get(*indent..).unwrap_or_default());
                commands.push('\n');
            }
            (None, _) => {}
        }
    }
    found
}

/// Runs them, and compares how each ended.
#[track_caller]
fn ends(all: &[Block], want: &[i32]) -> Vec<Printed> {
    for bin in [Bin::Autonomy, Bin::Sink, Bin::Orchestrator] {
        bin.path().unwrap();
    }
    let ports = Ports::free().unwrap();
    let instead = vec![
        ("http://collector:4318", "http://127.0.0.1:4318".to_owned()),
        ("7777", ports.runtime.to_string()),
        ("4318", ports.sink.to_string()),
        ("8888", ports.orchestrator.to_string()),
    ];
    let instead =
        instead.into_iter().filter(|it| all.iter().any(|block| block.commands.contains(it.0)));
    let printed = Walk { instead: instead.collect(), ..Walk::default() }.run(all).unwrap();
    let codes: Vec<_> = printed.iter().map(|it| it.code).collect();
    assert_eq!(codes, want, "{all:#?}\n{printed:#?}");
    printed
}

#[test]
fn a_log_is_archived_repaired_and_sealed_as_the_page_says() {
    let page = blocks("runbooks/archive-and-repair.md");
    let mut all = vec![step(NODE)];
    for (at, block) in page.into_iter().enumerate() {
        match at {
            1 => all.push(step(DAMAGE)),
            // The last entry that holds, by the dry run.
            3 => all.push(step("N=$(autonomy wal repair --dir DIR.evidence --dry-run | grep -o 'entries before it *[0-9]*' | grep -o '[0-9]*$')")),
            5 => all.push(step("RUN && CALL")),
            _ => {}
        }
        all.push(block);
    }
    ends(&all, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
}

#[test]
fn a_refused_log_is_looked_at_adopted_or_given_up_as_the_page_says() {
    let page = blocks("runbooks/log-refused.md");
    let mut all = vec![step(NODE), step("rm DIR/telemetry.safe_seq")];
    for (at, block) in page.into_iter().enumerate() {
        if at == 3 {
            all.push(step(&format!(
                "CALL && STOP\n{DAMAGE}\nrm -r DIR.evidence; cp -a DIR DIR.evidence"
            )));
        }
        all.push(block);
    }
    all.push(step("CALL && STOP"));
    // The status of a log that is refused ends as its start does.
    ends(&all, &[0, 0, 0, 8, 0, 0, 0, 0, 0]);
}

#[test]
fn what_is_asked_of_a_node_in_trouble_is_answered_as_the_pages_say() {
    let mut all = vec![
        step(NODE),
        step("RUN && CALL"),
        step(
            "AUTONOMY_RBAC_ENFORCEMENT=0 autonomy-orchestrator serve --listen 127.0.0.1:8888 >> log 2>&1 &\nthere 8888",
        ),
    ];
    for name in ["disk-full", "log-poisoned", "control-plane"] {
        let page = blocks(&format!("runbooks/{name}.md"));
        assert_eq!(page.len(), 1, "{name}");
        all.extend(page);
    }
    all.push(step("git init -q . && autonomy goal init --title 'Ship v2' > /dev/null"));
    all.extend(blocks("runbooks/goal-failures.md"));
    let printed = ends(&all, &[0; 8]);
    assert!(
        printed.iter().any(|it| it.output.contains("\"ok\"")),
        "the health of the log: {printed:#?}"
    );
}

/// The last block needs an image with a signed lock and a permit: `tests/supply_chain` has both.
#[test]
fn a_policy_is_looked_at_tried_loaded_and_taken_as_the_page_says() {
    let page = blocks("runbooks/policy.md");
    assert_eq!(page.len(), 4);
    let test = "cat > policies/all_test.rego <<'REGO'\npackage autonomy_test\ntest_all if data.autonomy.decision.allow\nREGO";
    let mut all = vec![step(NODE), step("RUN && CALL"), step(test)];
    all.extend(page.into_iter().take(3).map(|block| {
        let here = block.commands.replace("--policy-dir DIR", "--policy-dir policy");
        step(&here.replace("WAL_DIR", "DIR").replace("kill -HUP PID", "kill -HUP $RUNTIME"))
    }));
    all.push(step("curl -s http://127.0.0.1:7777/v1/status"));
    let printed = ends(&all, &[0; 7]);
    let said = &printed.last().unwrap().output;
    assert!(said.contains("\"policy_ref\":\"1.2.0\""), "{said}");
}
