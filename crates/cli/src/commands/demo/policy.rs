//! `autonomy demo policy`: six calls, and what the log says about them.

use std::io::{self, Write as _};

use api::{exit::Exit, tool::ToolResponse};
use runtime::{AllowList, Echo, HttpGet, Tools};
use serde::Serialize;

use super::{
    evidence::{Entry, Evidence, Record},
    start,
};
use crate::{
    args::{DemoPolicy, Output},
    commands::{
        own_runtime::{Asked, DEMO},
        print_json,
    },
    context::Context,
    failure::Failure,
    printable::printable,
};

/// A call, and what must come of it.
struct Case {
    body: &'static str,
    status: u16,
    decision: &'static str,
    code: Option<&'static str>,
    /// What the log says came of it: outcome and code; nothing after a deny.
    outcome: Option<(&'static str, Option<&'static str>)>,
}

/// One call for each way that a call can go.
const CASES: [Case; 6] = [
    Case {
        body: r#"{"kind":"tool.echo","params":{"message":"hello"}}"#,
        status: 200,
        decision: "allow",
        code: None,
        outcome: Some(("ok", None)),
    },
    Case {
        body: r#"{"kind":"tool.http_get","params":{"endpoint":"https://example.org/"}}"#,
        status: 400,
        decision: "allow",
        code: None,
        outcome: Some(("refused", Some("endpoint_not_allowed"))),
    },
    Case {
        body: r#"{"kind":"tool.echo","params":{"massage":"hello"}}"#,
        status: 400,
        decision: "allow",
        code: None,
        outcome: Some(("refused", Some("bad_params"))),
    },
    Case {
        body: r#"{"kind":"tool.shell","params":{"command":"id"}}"#,
        status: 403,
        decision: "deny",
        code: Some("policy_denied"),
        outcome: None,
    },
    Case {
        body: r#"{"kind":"tool.open_doors","params":{}}"#,
        status: 403,
        decision: "deny",
        code: Some("policy_denied"),
        outcome: None,
    },
    Case {
        body: r#"{"kind":"tool.echo","#,
        status: 400,
        decision: "deny",
        code: Some("BAD_REQUEST"),
        outcome: None,
    },
];

/// A call as it went: by the log, and by the answer where the log has nothing.
#[derive(Debug, Serialize)]
struct Row {
    kind: String,
    decision: String,
    code: Option<String>,
    outcome: Option<String>,
    audit_id: String,
    seq: Option<u64>,
    /// What is not as it must be.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    wrong: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Told {
    policy: String,
    calls: Vec<Row>,
    allowed: usize,
    denied: usize,
    wal_events: u64,
    verdict: &'static str,
}

pub(super) async fn tell(args: &DemoPolicy, context: Context<'_>) -> Result<Exit, Failure> {
    let tools = Tools::default().with(Echo).with(HttpGet::new(AllowList::default()));
    let (runtime, place, policy) = start(Asked::default(), &DEMO, tools, context).await?;
    let mut answers = Vec::new();
    for case in &CASES {
        answers.push(runtime.call(case.body.to_owned()).await?);
    }
    runtime.stop().await?;
    let mut record = Record::of(place.dir())?;
    place.clear()?;
    let calls: Vec<_> = CASES
        .iter()
        .zip(&answers)
        .map(|(case, (status, answer))| {
            let evidence = record.calls.remove(&answer.audit_id).unwrap_or_default();
            judge(case, *status, answer, &evidence)
        })
        .collect();
    let count = |decision| calls.iter().filter(|it| it.decision == decision).count();
    // A call in the log that nobody made is as wrong as one that is missing.
    let passed = record.calls.is_empty() && calls.iter().all(|it| it.wrong.is_empty());
    let told = Told {
        policy,
        allowed: count("allow"),
        denied: count("deny"),
        wal_events: record.entries,
        verdict: if passed { "PASS" } else { "FAIL" },
        calls,
    };
    match args.output.output {
        Output::Json => print_json(&told)?,
        Output::Text => print(&told)?,
    }
    Ok(if passed { Exit::Done } else { Exit::Failed })
}

/// Compares what must be with what was answered and with what is on record.
fn judge(case: &Case, status: u16, answer: &ToolResponse, evidence: &Evidence) -> Row {
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    must(status == case.status, format!("status {status} instead of {}", case.status));
    let answered = answer.decision.as_str();
    must(answered == case.decision, format!("answered {answered} instead of {}", case.decision));
    let (decisions, outcomes) = (evidence.decisions.len(), evidence.outcomes.len());
    must(decisions == 1, format!("{decisions} decisions in the log instead of 1"));
    let wanted = usize::from(case.outcome.is_some());
    must(outcomes == wanted, format!("{outcomes} outcomes in the log instead of {wanted}"));
    let nothing = Entry::default();
    let decision = evidence.decisions.first().unwrap_or(&nothing);
    let outcome = evidence.outcomes.first();
    let (says, code) = (&decision.says, decision.code.as_deref());
    must(says == case.decision, format!("recorded `{says}` instead of `{}`", case.decision));
    must(code == case.code, format!("recorded code {code:?} instead of {:?}", case.code));
    must(answer.seq == Some(decision.seq), format!("answered number {:?}", answer.seq));
    let result = outcome.map(|it| (it.says.as_str(), it.code.as_deref()));
    must(
        result == case.outcome,
        format!("recorded outcome {result:?} instead of {:?}", case.outcome),
    );
    let kind = if decision.kind.is_empty() { "(no call)" } else { &decision.kind };
    Row {
        kind: kind.to_owned(),
        decision: decision.says.clone(),
        code: decision.code.clone().or_else(|| outcome.and_then(|it| it.code.clone())),
        outcome: outcome.map(|it| it.says.clone()),
        audit_id: answer.audit_id.clone(),
        seq: answer.seq,
        wrong,
    }
}

fn print(told: &Told) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "autonomy demo policy: policy {}, runtime in this process", told.policy)?;
    writeln!(stdout, "\n    {:16} {:9} {:21} outcome", "call", "decision", "code")?;
    for (number, row) in (1..).zip(&told.calls) {
        let Row { kind, decision, .. } = row;
        let (code, outcome) =
            (row.code.as_deref().unwrap_or("-"), row.outcome.as_deref().unwrap_or("never ran"));
        writeln!(stdout, "[{number}] {kind:16} {decision:9} {code:21} {outcome}")?;
        writeln!(stdout, "    recorded : {}", printable(&row.audit_id))?;
        for wrong in &row.wrong {
            writeln!(stdout, "    wrong    : {}", printable(wrong))?;
        }
    }
    let Told { allowed, denied, wal_events, verdict, .. } = told;
    writeln!(stdout, "\nallowed {allowed}, denied {denied}, wal events {wal_events}")?;
    writeln!(stdout, "{verdict}  what was decided is what is on record")?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> ToolResponse {
        let text = r#"{"decision":"allow","policy_ref":"1","audit_id":"a","seq":3,"output":{}}"#;
        serde_json::from_str(text).unwrap()
    }

    fn evidence() -> Evidence {
        let entry = |seq, says: &str| Entry { seq, says: says.to_owned(), ..Entry::default() };
        Evidence { decisions: vec![entry(3, "allow")], outcomes: vec![entry(4, "ok")] }
    }

    #[test]
    fn an_answer_that_the_log_does_not_bear_out_is_wrong() {
        let [case, ..] = &CASES;
        let wrong = |status: u16, answer: &ToolResponse, evidence: &Evidence| {
            judge(case, status, answer, evidence).wrong.len()
        };
        assert_eq!(wrong(200, &answer(), &evidence()), 0);
        assert_eq!(wrong(500, &answer(), &evidence()), 1);
        assert!(wrong(200, &answer(), &Evidence::default()) > 1, "nothing is on record");
        let other = ToolResponse { seq: Some(4), ..answer() };
        assert_eq!(wrong(200, &other, &evidence()), 1);
        let mut twice = evidence();
        twice.outcomes.push(Entry::default());
        assert_eq!(wrong(200, &answer(), &twice), 1, "it ran twice");
        let mut denied = evidence();
        denied.decisions[0].says = "deny".to_owned();
        assert_eq!(wrong(200, &answer(), &denied), 1);
        let mut unknown = evidence();
        unknown.outcomes[0].says = "unknown".to_owned();
        assert_eq!(wrong(200, &answer(), &unknown), 1);
    }
}
