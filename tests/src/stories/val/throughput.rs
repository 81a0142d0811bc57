//! VAL 08: many creates at once.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{
    Plan,
    lab::{Found, Lab, json_of, plan},
    report::Section,
};
use crate::stories::drill::Fault;

/// Workers at once, round by round.
const WORKERS: [usize; 4] = [1, 10, 50, 100];
const PLANS_EACH: usize = 5;
/// How long the last round may take.
const LAST_MAX: Duration = Duration::from_secs(30);
/// Plans of a page.
const PAGE: usize = 100;

pub(super) const PLAN: Plan = Plan {
    name: "val08",
    title: "Rollout Throughput",
    port: 18993,
    operator: "val08-throughput-op",
    sections: &[
        Section {
            title: "Concurrent Creates",
            claim: "No create fails, the last round ends in time, and more workers are not slower than one",
            checks: &["VAL08-01", "VAL08-02", "VAL08-03"],
            if_failed: "read val08-rounds.txt and val08-cp.log",
            always: None,
        },
        Section {
            title: "Completeness",
            claim: "Every plan is in the paginated list",
            checks: &["VAL08-04"],
            if_failed: "compare val08-list.txt with what was created",
            always: None,
        },
    ],
    minimum: &[],
    play,
};

/// What a round of creates came to.
struct Round {
    workers: usize,
    created: usize,
    errors: Vec<String>,
    took: Duration,
}

impl Round {
    #[expect(clippy::cast_precision_loss, reason = "a few hundred plans")]
    fn per_second(&self) -> f64 {
        self.created as f64 / self.took.as_secs_f64()
    }
}

fn play(lab: &mut Lab) -> Result<()> {
    lab.start()?;
    let rounds: Vec<_> = match lab.fault {
        Fault::Injected => WORKERS.iter().map(|it| round(lab, *it)).collect::<Result<_>>()?,
        Fault::LeftOut => Vec::new(),
    };
    let lines = rounds.iter().map(|it| {
        let Round { workers, created, errors, took } = it;
        let (rate, ms) = (it.per_second(), took.as_millis());
        format!(
            "workers={workers} created={created} errors={} ms={ms} per_second={rate:.0}\n",
            errors.len()
        )
    });
    lab.keep("val08-rounds.txt", &lines.collect::<String>())?;
    let what = "no create fails with 1, 10, 50 and 100 workers";
    lab.check("VAL08-01", what, "val08-errors.txt", |_| {
        let created: usize = rounds.iter().map(|it| it.created).sum();
        let errors: Vec<_> = rounds.iter().flat_map(|it| &it.errors).collect();
        let mut facts =
            vec![("created", created.to_string()), ("errors", errors.len().to_string())];
        facts.extend(errors.first().map(|it| ("first", (*it).clone())));
        Ok(Found { holds: created == wanted() && errors.is_empty(), facts })
    })?;
    let what = "the round of 100 workers ends within 30 s";
    lab.check("VAL08-02", what, "val08-last.txt", |_| {
        let last = rounds.last().context("no round was run")?;
        let facts =
            vec![("workers", last.workers.to_string()), ("ms", last.took.as_millis().to_string())];
        Ok(Found { holds: last.took <= LAST_MAX, facts })
    })?;
    let what = "more workers create no fewer plans per second than one";
    lab.check("VAL08-03", what, "val08-scaling.txt", |_| {
        let first = rounds.first().context("no round was run")?.per_second();
        let rates: Vec<_> = rounds.iter().map(Round::per_second).collect();
        let spelled: Vec<_> = rates.iter().map(|it| format!("{it:.0}")).collect();
        let facts = vec![("per_second", spelled.join(","))];
        Ok(Found { holds: rates.iter().all(|it| *it >= first), facts })
    })?;
    let what = "every plan is in the paginated list, once";
    lab.check("VAL08-04", what, "val08-list.txt", |lab| list(lab))
}

/// Plans of all rounds.
fn wanted() -> usize {
    WORKERS.iter().sum::<usize>() * PLANS_EACH
}

/// Creates plans one after the other; what went wrong.
async fn work(http: reqwest::Client, url: String, name: String) -> Vec<String> {
    let mut errors = Vec::new();
    for number in 0..PLANS_EACH {
        match http.post(&url).json(&plan(&format!("{name}-{number}"))).send().await {
            Ok(answer) if answer.status().as_u16() == 201 => {}
            Ok(answer) => errors.push(format!("HTTP {}", answer.status())),
            Err(error) => errors.push(error.to_string()),
        }
    }
    errors
}

fn round(lab: &Lab, workers: usize) -> Result<Round> {
    let began = Instant::now();
    let url = lab.url("/v1/rollouts");
    let tasks: Vec<_> = (0..workers)
        .map(|worker| {
            let (http, url) = (lab.client.http().clone(), url.clone());
            lab.client.spawn(work(http, url, format!("val08-{workers}-{worker}")))
        })
        .collect();
    let mut errors = Vec::new();
    for task in tasks {
        errors.extend(lab.client.block_on(task)?);
    }
    let created = workers * PLANS_EACH - errors.len();
    Ok(Round { workers, created, errors, took: began.elapsed() })
}

fn list(lab: &Lab) -> Result<Found> {
    let (mut ids, mut listed, mut pages) = (BTreeSet::new(), 0, 0);
    let mut cursor = String::new();
    loop {
        let page = json_of(&lab.get(&format!("/v1/rollouts?limit={PAGE}{cursor}"))?.1)?;
        let plans = page["rollouts"].as_array().context("no list")?;
        listed += plans.len();
        pages += 1;
        ids.extend(
            plans.iter().filter_map(|it| it["plan"]["metadata"]["id"].as_str().map(str::to_owned)),
        );
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    let facts = vec![
        ("listed", listed.to_string()),
        ("distinct", ids.len().to_string()),
        ("pages", pages.to_string()),
    ];
    Ok(Found { holds: listed == wanted() && ids.len() == wanted(), facts })
}
