//! VAL 07: how long a plan takes to create and a list to read.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use reqwest::StatusCode;

use super::{
    Plan,
    lab::{Found, Lab, plan},
    report::Section,
};
use crate::stories::drill::Fault;

const CREATES: usize = 20;
const LISTS: usize = 20;
const AT_ONCE: usize = 5;
/// Share of the creates in percent, and how long they may take.
const CREATE_MS_MAX: [(usize, u128); 3] = [(50, 100), (95, 300), (99, 500)];
const LIST_MS_MAX: u128 = 500;
const AT_ONCE_MAX: Duration = Duration::from_secs(2);

pub(super) const PLAN: Plan = Plan {
    name: "val07",
    title: "Rollout Latency",
    port: 18992,
    operator: "val07-latency-op",
    sections: &[
        Section {
            title: "Create Latency",
            claim: "A plan is created within its limits, one after the other and at once",
            checks: &["VAL07-01", "VAL07-03"],
            if_failed: "look at the device under the data directory: every answer waits for a sync",
            always: None,
        },
        Section {
            title: "List Latency",
            claim: "A list is read within its limit",
            checks: &["VAL07-02"],
            if_failed: "look for other load on the machine",
            always: None,
        },
    ],
    minimum: &[],
    play,
};

fn play(lab: &mut Lab) -> Result<()> {
    lab.start()?;
    let asked = |count| if lab.fault == Fault::Injected { count } else { 0 };
    let (creates, lists, at_once) = (asked(CREATES), asked(LISTS), asked(AT_ONCE));
    let what = "p50, p95 and p99 of 20 creates are at most 100, 300 and 500 ms";
    lab.check("VAL07-01", what, "val07-create.txt", |lab| {
        let mut took = timed(creates, |it| {
            let (status, text) = lab.create(&format!("val07-{it}"))?;
            ensure!(status == 201, "HTTP {status} {text}");
            Ok(())
        })?;
        Ok(within(&mut took, CREATES, &CREATE_MS_MAX))
    })?;
    let what = "p99 of 20 lists is at most 500 ms";
    lab.check("VAL07-02", what, "val07-list.txt", |lab| {
        let mut took = timed(lists, |_| {
            let (status, text) = lab.get("/v1/rollouts")?;
            ensure!(status == 200, "HTTP {status} {text}");
            Ok(())
        })?;
        Ok(within(&mut took, LISTS, &[(99, LIST_MS_MAX)]))
    })?;
    let what = "5 creates at once take at most 2 s";
    lab.check("VAL07-03", what, "val07-parallel.txt", |lab| {
        let began = Instant::now();
        let sent: Vec<_> = (0..at_once)
            .map(|it| {
                let body = plan(&format!("val07-parallel-{it}"));
                let request = lab.client.http().post(lab.url("/v1/rollouts")).json(&body);
                lab.client
                    .spawn(async move { Ok::<_, reqwest::Error>(request.send().await?.status()) })
            })
            .collect();
        let mut good = 0;
        for task in sent {
            good += usize::from(lab.client.block_on(task)?? == StatusCode::CREATED);
        }
        let took = began.elapsed();
        let facts = vec![("created", good.to_string()), ("ms", took.as_millis().to_string())];
        Ok(Found { holds: good == AT_ONCE && took <= AT_ONCE_MAX, facts })
    })
}

/// How long each of `count` turns took.
fn timed(count: usize, mut turn: impl FnMut(usize) -> Result<()>) -> Result<Vec<Duration>> {
    (0..count)
        .map(|it| {
            let began = Instant::now();
            turn(it)?;
            Ok(began.elapsed())
        })
        .collect()
}

/// Compares samples with their limits: (share in percent, milliseconds).
fn within(took: &mut [Duration], wanted: usize, limits: &[(usize, u128)]) -> Found {
    took.sort();
    let mut facts = vec![("count", took.len().to_string())];
    let mut holds = took.len() == wanted;
    for (share, ms_max) in limits {
        // Nearest rank: the smallest sample that so many are not above.
        let rank = (took.len() * share).div_ceil(100).max(1);
        let Some(found) = took.get(rank - 1) else { continue };
        let name = match share {
            50 => "p50_ms",
            95 => "p95_ms",
            _ => "p99_ms",
        };
        facts.push((name, format!("{:.1}", found.as_secs_f64() * 1000.0)));
        holds &= found.as_millis() <= *ms_max;
    }
    Found { holds, facts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_tail_and_missing_samples_are_seen() {
        let samples = |slow: u64| {
            let mut took = vec![Duration::from_millis(5); 19];
            took.push(Duration::from_millis(slow));
            took
        };
        assert!(within(&mut samples(500), 20, &CREATE_MS_MAX).holds);
        assert!(!within(&mut samples(501), 20, &CREATE_MS_MAX).holds);
        assert!(!within(&mut samples(5), 21, &CREATE_MS_MAX).holds);
        assert!(!within(&mut [], 20, &CREATE_MS_MAX).holds);
        assert!(!within(&mut vec![Duration::from_millis(101); 20], 20, &CREATE_MS_MAX).holds);
    }
}
