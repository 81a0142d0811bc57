//! What is to be reached: the one table.

use crate::{
    rounds::{Outcome, Role, Standing},
    sample::Sample,
};

/// Names that the table and the cases share.
pub(crate) mod name {
    pub(crate) const LOG: &str = "log";
    pub(crate) const LOG_STRICT: &str = "log, strict";
    pub(crate) const LOG_TASKS: &str = "log, tasks";
    pub(crate) const LOG_TASKS_STRICT: &str = "log, tasks, strict";
    pub(crate) const ZERO_FILLED: &str = "zero-filled + fdatasync";
    pub(crate) const PLAIN: &str = "plain group writer";
    pub(crate) const PLAIN_TASKS: &str = "plain group writer, tasks";
    pub(crate) const PLAIN_TWO_SYNCS: &str = "plain group writer, two syncs";
    pub(crate) const PLAIN_TASKS_TWO_SYNCS: &str = "plain group writer, tasks, two syncs";
    pub(crate) const RAFT_ENGINE: &str = "raft-engine";
    pub(crate) const SURVEY: &str = "survey (open)";
    pub(crate) const READER: &str = "Reader (verify)";
    pub(crate) const BLAKE3_ALL: &str = "BLAKE3 a frame, all cores";
    pub(crate) const STRICT_JSON_ALL: &str = "strict JSON, typed seq, all cores";
    pub(crate) const MEMORY_LIMIT: &str = "16 MiB + 1 frame";

    pub(crate) const ONE_256: &str = "append, 1 caller, 256 B";
    pub(crate) const MANY_256: &str = "append, 64 callers, 256 B";
    pub(crate) const OPEN_CHAINED: &str = "open and verify, log with chain";
    pub(crate) const OPEN_FOREIGN: &str = "open, log without chain";
    pub(crate) const MEMORY: &str = "memory, log with chain";
    pub(crate) const MEMORY_FOREIGN: &str = "memory, log without chain";

    pub(crate) const DRAIN_ONCE: &str = "drain";
    pub(crate) const PROTOBUF: &str = "protobuf";
    pub(crate) const JSON_VALUE: &str = "serde_json::Value of each payload";
    pub(crate) const ENCODE_ALONE: &str = "parse + encode alone";
    pub(crate) const ENCODE_PLAIN: &str = "serde_json + prost, parse + encode";
    pub(crate) const OTEL: &str = "opentelemetry-otlp";
    pub(crate) const OTEL_READY: &str = "opentelemetry-otlp, records parsed before";
    pub(crate) const DRAIN_LARGEST: &str = "drain, largest backlog";
    pub(crate) const DRAIN_MEMORY_LIMIT: &str = "64 MiB";
    pub(crate) const BACKLOG_3: &str = "10³ entries";
    pub(crate) const BACKLOG_4: &str = "10⁴ entries";
    pub(crate) const BACKLOG_5: &str = "10⁵ entries";
    pub(crate) const BACKLOG_6: &str = "10⁶ entries";
    pub(crate) const BACKLOG_LARGEST: &str = "5·10⁶ entries";

    pub(crate) const CALL_DENY: &str = "deny";
    pub(crate) const CALL_ECHO: &str = "allow (echo)";
    pub(crate) const AXUM_DURABLE: &str = "axum, plain group append";
    pub(crate) const CALLS_64: &str = "runtime, 64 connections";

    pub(crate) const VERIFY: &str = "verify";
    pub(crate) const SHA256SUM: &str = "sha256sum";
    pub(crate) const SHA2: &str = "sha2, read and hash";
    pub(crate) const FIVE_MS: &str = "5 ms";
    pub(crate) const OPEN_SIGNATURE: &str = "open a signature";
    pub(crate) const DALEK: &str = "ed25519-dalek, verify_strict";
    pub(crate) const VERIFY_MEMORY_LIMIT: &str = "32 MiB";
    pub(crate) const VERIFY_LARGE: &str = "supply-chain, verify a large image";
    pub(crate) const VERIFY_SMALL: &str = "supply-chain, verify a small image";
    pub(crate) const SIGNATURE: &str = "supply-chain, one signature";
    pub(crate) const VERIFY_MEMORY: &str = "supply-chain, peak memory of a large image";

    pub(crate) const CREATE: &str = "create";
    pub(crate) const PLAIN_INSERT: &str = "rusqlite, a transaction each";
    pub(crate) const PLAIN_GROUP: &str = "rusqlite, one transaction for all";
    pub(crate) const INGEST: &str = "ingest";
    pub(crate) const PLAIN_EVENTS: &str = "rusqlite, 500 a transaction";
    pub(crate) const POLL: &str = "poll, 1667 a second";
    pub(crate) const FIFTY_MS: &str = "50 ms";
    pub(crate) const ROWS_2: &str = "10² rows";
    pub(crate) const ROWS_3: &str = "10³ rows";
    pub(crate) const ROWS_4: &str = "10⁴ rows";
    pub(crate) const ROWS_5: &str = "10⁵ rows";
    pub(crate) const ROWS_6: &str = "10⁶ rows";
    pub(crate) const EVENTS_4_FIRST: &str = "10⁴ events, first page";
    pub(crate) const EVENTS_4_LAST: &str = "10⁴ events, last page";
    pub(crate) const EVENTS_6_FIRST: &str = "10⁶ events, first page";
    pub(crate) const EVENTS_6_LAST: &str = "10⁶ events, last page";
    pub(crate) const PLANS_4_FIRST: &str = "10⁴ plans, first page";
    pub(crate) const PLANS_4_LAST: &str = "10⁴ plans, last page";
    pub(crate) const PLANS_5_FIRST: &str = "10⁵ plans, first page";
    pub(crate) const PLANS_5_LAST: &str = "10⁵ plans, last page";
    pub(crate) const EVENT_PAGES: &str = "control-plane, pages of events";
    pub(crate) const PLAN_PAGES: &str = "control-plane, pages of plans";
    pub(crate) const POLLS: &str = "control-plane, 100000 nodes poll within a minute";
    pub(crate) const GROWTH_CREATE: &str = "control-plane, create, as plans come in";
    pub(crate) const GROWTH_GET: &str = "control-plane, get, as plans come in";
    pub(crate) const GROWTH_LIST: &str = "control-plane, page, as plans come in";
    pub(crate) const GROWTH_STUCK: &str = "control-plane, stuck scan of 100, as plans come in";
    pub(crate) const GROWTH_BEAT: &str = "control-plane, heartbeat, as nodes come in";
    pub(crate) const GROWTH_APPEND: &str = "control-plane, 500 events, as events come in";
    pub(crate) const GROWTH_EVENTS: &str = "control-plane, page, as events come in";

    pub(crate) const STATUS: &str = "autonomy goal status";
    pub(crate) const STATUS_READ: &str = "read, and written as text";
    pub(crate) const TEN_MS: &str = "10 ms";
    pub(crate) const ENTRIES_10: &str = "10 entries";
    pub(crate) const ENTRIES_10000: &str = "10 000 entries";
    pub(crate) const TENTACLES_1000: &str = "1 000 tentacles";
    pub(crate) const GOAL_STATUS: &str = "goal, status";
    pub(crate) const GOAL_CHANGE: &str = "goal, a transition";

    pub(crate) const RECOVER: &str = "recover_from_wal";
    pub(crate) const RECORDS_100000: &str = "100 000 records a second";
    pub(crate) const STEPS_RECOVERY: &str = "steps, recovery of 1 000 logs";

    pub(crate) const DECISION: &str = "decision";
    pub(crate) const DECISION_WHOLE: &str = "decision, without index";
    pub(crate) const REGORUS: &str = "regorus";
    pub(crate) const REGORUS_CLONE: &str = "regorus, a clone each time";
    pub(crate) const MILLISECOND: &str = "1 ms";
    pub(crate) const RULES_1: &str = "1 rule";
    pub(crate) const RULES_100: &str = "100 rules";
    pub(crate) const RULES_1000: &str = "1 000 rules";
    pub(crate) const RULES_10000: &str = "10 000 rules";

    pub(crate) const DECISION_DEMO: &str = "decision, demo policy";
    pub(crate) const DECISION_100: &str = "decision, 100 rules about the same tool";
    pub(crate) const DECISION_OTHERS: &str = "decision, as rules about other tools come in";

    pub(crate) const DRAIN: &str = "drain, end to end";
    pub(crate) const DRAIN_ENCODE: &str = "drain, encode";
    pub(crate) const DRAIN_PER_CORE: &str = "drain, end to end, per second of a core";
    pub(crate) const DRAIN_BACKLOG: &str = "drain, as the backlog grows";
    pub(crate) const DRAIN_MEMORY: &str = "drain, peak memory";
}

/// Which figure of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Figure {
    /// Median latency, as a ratio.
    P50,
    /// The 99th percentile of the latency, as a ratio.
    P99,
    /// What the case counts, as a ratio.
    Rate,
    /// The 99th percentile over the median of the same contestant.
    P99OverP50,
}

/// Compared with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    Named(&'static str),
    /// The peer with the best figure in this very run.
    BestPeer,
    /// Whoever of ours has the best figure in this very run.
    BestOfOurs,
    Itself,
}

/// Which side of the bound is good.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) case: &'static str,
    pub(crate) ours: &'static str,
    pub(crate) figure: Figure,
    pub(crate) against: Against,
    pub(crate) bound: Bound,
}

const fn target(
    case: &'static str,
    ours: &'static str,
    figure: Figure,
    against: Against,
    bound: Bound,
) -> Target {
    Target { case, ours, figure, against, bound }
}

use Against::{BestOfOurs, BestPeer, Itself, Named};
use Bound::{AtLeast, AtMost};
use Figure::{P50, P99, P99OverP50, Rate};

/// No backlog costs more than 1.3 times what the cheapest costs, by entry.
const FLAT: f64 = 1.0 / 1.3;

/// No operation of the control plane costs more than twice what it costs in a small store.
const GROWN: f64 = 2.0;

/// A transition costs no more than twice what it costs a young goal.
const GOAL_GROWN: f64 = 2.0;

/// Every target.
#[rustfmt::skip]
pub(crate) const TARGETS: &[Target] = &[
    target(name::CALLS_64, name::CALL_DENY, Rate, Named(name::AXUM_DURABLE), AtLeast(0.9)),
    target(name::CALLS_64, name::CALL_ECHO, Rate, Named(name::AXUM_DURABLE), AtLeast(0.45)),
    target(name::ONE_256, name::LOG, P50, Named(name::ZERO_FILLED), AtMost(1.10)),
    target(name::ONE_256, name::LOG, P50, BestPeer, AtMost(1.0)),
    target(name::MANY_256, name::LOG, Rate, Named(name::RAFT_ENGINE), AtLeast(1.5)),
    target(name::MANY_256, name::LOG, Rate, Named(name::PLAIN), AtLeast(0.85)),
    target(name::MANY_256, name::LOG, P99OverP50, Itself, AtMost(3.0)),
    target(name::MANY_256, name::LOG_TASKS, Rate, Named(name::RAFT_ENGINE), AtLeast(1.5)),
    target(name::MANY_256, name::LOG_TASKS, Rate, Named(name::PLAIN_TASKS), AtLeast(0.85)),
    target(name::MANY_256, name::LOG_TASKS, P99OverP50, Itself, AtMost(3.0)),
    target(name::MANY_256, name::LOG_STRICT, Rate, Named(name::PLAIN_TWO_SYNCS), AtLeast(0.9)),
    target(name::MANY_256, name::LOG_TASKS_STRICT, Rate, Named(name::PLAIN_TASKS_TWO_SYNCS), AtLeast(0.9)),
    target(name::OPEN_CHAINED, name::SURVEY, Rate, Named(name::RAFT_ENGINE), AtLeast(1.1)),
    target(name::OPEN_CHAINED, name::SURVEY, Rate, Named(name::BLAKE3_ALL), AtLeast(0.9)),
    target(name::OPEN_FOREIGN, name::SURVEY, Rate, Named(name::STRICT_JSON_ALL), AtLeast(0.9)),
    target(name::MEMORY, name::SURVEY, Rate, Named(name::MEMORY_LIMIT), AtMost(1.0)),
    target(name::MEMORY, name::READER, Rate, Named(name::MEMORY_LIMIT), AtMost(1.0)),
    target(name::MEMORY_FOREIGN, name::SURVEY, Rate, Named(name::MEMORY_LIMIT), AtMost(1.0)),
    target(name::MEMORY_FOREIGN, name::READER, Rate, Named(name::MEMORY_LIMIT), AtMost(1.0)),
    target(name::DECISION_DEMO, name::DECISION, P50, Named(name::REGORUS), AtMost(1.2)),
    target(name::DECISION_100, name::DECISION, P50, Named(name::REGORUS), AtMost(1.2)),
    target(name::DECISION_100, name::DECISION, P99, Named(name::MILLISECOND), AtMost(1.0)),
    target(name::DECISION_OTHERS, name::RULES_1000, P50, Named(name::RULES_100), AtMost(1.5)),
    target(name::DRAIN, name::DRAIN_ONCE, Rate, Named(name::OTEL), AtLeast(3.0)),
    target(name::DRAIN, name::DRAIN_ONCE, Rate, Named(name::OTEL_READY), AtLeast(3.0)),
    target(name::DRAIN, name::DRAIN_ONCE, Rate, Named(name::ENCODE_PLAIN), AtLeast(0.7)),
    target(name::DRAIN_PER_CORE, name::DRAIN_ONCE, Rate, Named(name::OTEL), AtLeast(3.0)),
    target(name::DRAIN_PER_CORE, name::DRAIN_ONCE, Rate, Named(name::OTEL_READY), AtLeast(3.0)),
    target(name::DRAIN_PER_CORE, name::DRAIN_ONCE, Rate, Named(name::ENCODE_PLAIN), AtLeast(0.7)),
    target(name::DRAIN_BACKLOG, name::BACKLOG_3, Rate, BestOfOurs, AtLeast(FLAT)),
    target(name::DRAIN_BACKLOG, name::BACKLOG_4, Rate, BestOfOurs, AtLeast(FLAT)),
    target(name::DRAIN_BACKLOG, name::BACKLOG_5, Rate, BestOfOurs, AtLeast(FLAT)),
    target(name::DRAIN_BACKLOG, name::BACKLOG_6, Rate, BestOfOurs, AtLeast(FLAT)),
    target(name::DRAIN_BACKLOG, name::BACKLOG_LARGEST, Rate, BestOfOurs, AtLeast(FLAT)),
    target(name::DRAIN_MEMORY, name::DRAIN_LARGEST, Rate, Named(name::DRAIN_MEMORY_LIMIT), AtMost(1.0)),
    target(name::VERIFY_LARGE, name::VERIFY, Rate, Named(name::SHA256SUM), AtLeast(0.9)),
    target(name::VERIFY_LARGE, name::VERIFY, Rate, Named(name::SHA2), AtLeast(0.9)),
    target(name::VERIFY_SMALL, name::VERIFY, P50, Named(name::FIVE_MS), AtMost(1.0)),
    target(name::SIGNATURE, name::OPEN_SIGNATURE, Rate, Named(name::DALEK), AtLeast(0.9)),
    target(name::EVENT_PAGES, name::EVENTS_6_FIRST, P50, Named(name::EVENTS_4_FIRST), AtMost(GROWN)),
    target(name::EVENT_PAGES, name::EVENTS_6_LAST, P50, Named(name::EVENTS_4_LAST), AtMost(GROWN)),
    target(name::PLAN_PAGES, name::PLANS_5_FIRST, P50, Named(name::PLANS_4_FIRST), AtMost(GROWN)),
    target(name::PLAN_PAGES, name::PLANS_5_LAST, P50, Named(name::PLANS_4_LAST), AtMost(GROWN)),
    target(name::POLLS, name::POLL, P99, Named(name::FIFTY_MS), AtMost(1.0)),
    target(name::GROWTH_CREATE, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_GET, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_LIST, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_STUCK, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_BEAT, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_APPEND, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GROWTH_EVENTS, name::ROWS_5, P50, Named(name::ROWS_2), AtMost(GROWN)),
    target(name::GOAL_STATUS, name::STATUS, P50, Named(name::TEN_MS), AtMost(1.0)),
    target(name::GOAL_CHANGE, name::ENTRIES_10000, P50, Named(name::ENTRIES_10), AtMost(GOAL_GROWN)),
    target(name::GOAL_CHANGE, name::TENTACLES_1000, P50, Named(name::ENTRIES_10), AtMost(GOAL_GROWN)),
    target(name::STEPS_RECOVERY, name::RECOVER, Rate, Named(name::RECORDS_100000), AtLeast(1.0)),
    target(name::VERIFY_MEMORY, name::VERIFY, Rate, Named(name::VERIFY_MEMORY_LIMIT), AtMost(1.0)),
];

/// A target and what came of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) target: Target,
    /// Whom it was compared with.
    pub(crate) against: &'static str,
    pub(crate) value: f64,
    pub(crate) met: bool,
}

impl Target {
    /// Compares; `None` when one of the two did not run.
    pub(crate) fn judge(self, outcome: &Outcome) -> Option<Verdict> {
        let find = |name: &str| outcome.results.iter().find(|it| it.name == name);
        let ours = find(self.ours)?;
        let figure: fn(&Sample) -> f64 = match self.figure {
            P50 => |it| it.p50_us,
            P99 => |it| it.p99_us,
            Rate => |it| it.rate,
            P99OverP50 => |it| it.p99_us / it.p50_us,
        };
        let (against, value) = match self.against {
            Named(name) => (name, ours.ratio_to(find(name)?, figure)),
            BestPeer => {
                let peer = best(outcome, Role::Peer, self.figure)?;
                (peer.name, ours.ratio_to(peer, figure))
            }
            BestOfOurs => {
                let best = best(outcome, Role::Ours, self.figure)?;
                (best.name, ours.ratio_to(best, figure))
            }
            Itself => (ours.name, crate::sample::median(ours.rounds.iter().map(figure))),
        };
        let met = match self.bound {
            AtLeast(bound) => value >= bound,
            AtMost(bound) => value <= bound,
        };
        Some(Verdict { target: self, against, value, met })
    }
}

fn best(outcome: &Outcome, role: Role, figure: Figure) -> Option<&Standing> {
    let all = outcome.results.iter().filter(|it| it.role == role);
    let by_p50 = |it: &&Standing| it.medians().p50_us;
    match figure {
        P50 | P99 | P99OverP50 => all.min_by(|a, b| by_p50(a).total_cmp(&by_p50(b))),
        Rate => all.max_by(|a, b| a.medians().rate.total_cmp(&b.medians().rate)),
    }
}

/// The targets of one benchmark.
pub(crate) fn targets(bench: &str) -> impl Iterator<Item = &'static Target> {
    TARGETS.iter().filter(move |it| bench_of(it.case) == bench)
}

/// The benchmark that a case belongs to, as its name begins.
fn bench_of(case: &str) -> &'static str {
    let named = [
        (crate::drains::BENCH, crate::drains::BENCH),
        (crate::decisions::CASES, crate::decisions::BENCH),
        (crate::calls::BENCH, crate::calls::BENCH),
        (crate::supplies::BENCH, crate::supplies::BENCH),
        (crate::planes::BENCH, crate::planes::BENCH),
        (crate::goals::BENCH, crate::goals::BENCH),
        (crate::steps::BENCH, crate::steps::BENCH),
    ];
    named.into_iter().find(|it| case.starts_with(it.0)).map_or("wal", |it| it.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(name: &'static str, role: Role, rates: [f64; 3]) -> Standing {
        let sample = |rate: f64| Sample { p50_us: 1e6 / rate, p99_us: 4e6 / rate, rate, calls: 1 };
        Standing { name, role, rounds: rates.map(sample).to_vec() }
    }

    #[test]
    fn a_target_is_judged_by_rounds_that_ran_together() {
        let outcome = Outcome {
            case: name::MANY_256.to_owned(),
            unit: "per s",
            results: vec![
                standing(name::LOG, Role::Ours, [100.0, 10.0, 50.0]),
                standing(name::RAFT_ENGINE, Role::Peer, [50.0, 5.0, 100.0]),
                standing("slow", Role::Peer, [1.0, 1.0, 1.0]),
                standing("not durable", Role::Aside, [900.0, 900.0, 900.0]),
            ],
            used_by_others: None,
        };
        let judge = |figure, against, bound| {
            target(name::MANY_256, name::LOG, figure, against, bound).judge(&outcome).unwrap()
        };
        let raft = judge(Rate, Named(name::RAFT_ENGINE), AtLeast(1.5));
        assert!(raft.met && (raft.value - 2.0).abs() < 1e-9, "{raft:?}");
        assert_eq!(judge(P50, BestPeer, AtMost(1.0)).against, name::RAFT_ENGINE);
        assert!(judge(P50, BestPeer, AtMost(1.0)).met);
        assert!(!judge(P99OverP50, Itself, AtMost(3.0)).met);
        assert_eq!(judge(Rate, BestOfOurs, AtLeast(1.0)).against, name::LOG);
        assert!(target("x", "not there", Rate, Itself, AtLeast(0.0)).judge(&outcome).is_none());
    }

    #[test]
    fn every_target_of_the_appends_names_contestants_that_run() {
        let cases = crate::append::cases();
        for target in TARGETS.iter().filter(|it| it.case.starts_with("append")) {
            let case = cases.iter().find(|it| it.name == target.case).unwrap();
            let runs = |name: &str| case.contestants.iter().any(|it| it.name == name);
            assert!(runs(target.ours), "{target:?}");
            assert!(!matches!(target.against, Named(name) if !runs(name)), "{target:?}");
        }
    }
}
