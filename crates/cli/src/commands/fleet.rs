//! `autonomy fleet`: nodes, and what they should run.

use std::io::{self, Write};

use api::{
    exit::Exit,
    fleet::{Fleet as Nodes, FleetNode, FleetSummary, NewRelease, PublishedRelease},
};
use serde::Serialize;

use crate::{
    args::{Fleet, FleetRelease, FleetStatus, ReleaseLatest, ReleasePublish},
    commands::{note, tell, write_pairs},
    context::Context,
    control::{ControlPlane, Page, Route, follow},
    failure::Failure,
    printable::printable,
    table::{Table, optional},
};

pub(crate) fn run(command: Fleet, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Fleet::Status(args) => status(&args, context),
        Fleet::Release(FleetRelease::Publish(args)) => publish(args, context),
        Fleet::Release(FleetRelease::Latest(args)) => latest(&args, context),
    }
}

/// What `fleet status` prints.
#[derive(Debug, Serialize)]
struct Shown {
    summary: FleetSummary,
    nodes: Vec<FleetNode>,
    count: u64,
    /// Whether there are nodes that are not listed.
    more: bool,
}

fn status(args: &FleetStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let summary: FleetSummary = plane.get(&summary_route(&args.channel, args.stale_threshold))?;
    let (nodes, more) = follow(args.limit as usize, |size, cursor| {
        let route = Route::new("fleet").with("limit", size).maybe("cursor", cursor);
        let page: Nodes =
            plane.get(&route.with("stale_threshold_seconds", args.stale_threshold))?;
        Ok(Page { items: page.nodes, next_cursor: page.next_cursor })
    })?;
    let count = nodes.len() as u64;
    let shown = Shown { summary, nodes, count, more };
    tell(&shown, args.control.format(), text)?;
    if more {
        let total = shown.summary.total;
        note(&format!("{count} of {total} nodes are listed: pass a larger --limit"));
    }
    Ok(Exit::Done)
}

/// The route of the counts.
pub(super) fn summary_route(channel: &str, stale_seconds: u64) -> Route {
    let route = Route::new("fleet").at("summary").with("channel", channel);
    route.with("stale_threshold_seconds", stale_seconds)
}

fn text(shown: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let FleetSummary { channel, generated_at, total, up, stale, unknown, latest_release, .. } =
        &shown.summary;
    let (channel, generated) = (printable(channel), printable(generated_at));
    writeln!(out, "Channel: {channel}  Generated: {generated}")?;
    writeln!(out, "Total: {total}  Up: {up}  Stale: {stale}  Unknown: {unknown}\n")?;
    writeln!(out, "Latest Release:")?;
    match latest_release {
        None => writeln!(out, "  none")?,
        Some(it) => {
            let mut block = Vec::new();
            write_pairs(&mut block, &release_pairs(it))?;
            String::from_utf8_lossy(&block).lines().try_for_each(|it| writeln!(out, "  {it}"))?;
        }
    }
    writeln!(out)?;
    let mut table = Table::new("NODE_ID STATUS LAST_SEEN POLICY RELEASE SEQ");
    for it in &shown.nodes {
        let sequence = it.sequence.map_or_else(String::new, |it| it.to_string());
        let release = match (&it.release_id, &it.plan_id) {
            (None, Some(plan)) => format!("plan:{plan}"),
            (release, _) => release.clone().unwrap_or_default(),
        };
        table.row([
            &it.node_id,
            &it.node_status,
            optional(it.last_seen.as_ref()),
            optional(it.policy.as_ref()),
            &release,
            &sequence,
        ]);
    }
    table.write(out)
}

fn release_pairs(it: &PublishedRelease) -> Vec<(&'static str, String)> {
    let mut pairs = vec![
        ("release", it.id.clone()),
        ("channel", it.channel.clone()),
        ("sequence", it.sequence.to_string()),
        ("artifact", it.artifact_ref.clone()),
        ("lock", it.lock_fingerprint.clone()),
    ];
    pairs.extend(it.policy.clone().map(|it| ("policy", it)));
    pairs.push(("published", format!("{} by {}", it.created_at, it.created_by)));
    pairs
}

fn release(it: &PublishedRelease, out: &mut dyn Write) -> io::Result<()> {
    write_pairs(out, &release_pairs(it))
}

fn publish(args: ReleasePublish, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let output = args.control.format();
    let body = NewRelease {
        id: args.id,
        channel: args.channel,
        sequence: args.sequence,
        artifact_ref: args.artifact_ref,
        lock_fingerprint: args.lock_fingerprint,
        policy: args.policy,
    };
    let published = plane.change::<PublishedRelease>(&Route::new("releases"), &body, None)?;
    if !published.created {
        note("the same release was there already; nothing was changed");
    }
    tell(&published.value, output, release)?;
    Ok(Exit::Done)
}

fn latest(args: &ReleaseLatest, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let route = Route::new("releases").at("latest").with("channel", &args.channel);
    tell(&plane.get(&route)?, args.control.format(), release)?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_fleet_has_counts_the_latest_release_and_a_line_a_node() {
        let summary = serde_json::from_value(json!({
            "channel": "stable", "generated_at": "2026-01-02T03:04:05Z",
            "stale_threshold_seconds": 60, "total": 3, "up": 1, "stale": 1, "unknown": 1,
            "releases": {}, "latest_release": { "id": "rel-004", "channel": "stable",
                "sequence": 4, "artifact_ref": "r:1", "lock_fingerprint": "blake3:0",
                "created_at": "2026-01-01T00:00:00Z", "created_by": "ann" },
        }));
        let node = |value| serde_json::from_value::<FleetNode>(value).unwrap();
        let nodes = vec![
            node(json!({ "node_id": "arm-7", "node_status": "up", "channel": "stable",
                "last_seen": "2026-01-02T03:04:00Z", "policy": "arm", "release_id": "rel-004",
                "sequence": 4 })),
            node(json!({ "node_id": "arm-9", "node_status": "up", "channel": "stable",
                "plan_id": "p-2" })),
            node(json!({ "node_id": "arm-8\u{7}", "node_status": "unknown", "channel": "stable" })),
        ];
        let shown = Shown { summary: summary.unwrap(), nodes, count: 3, more: true };
        let mut out = Vec::new();
        text(&shown, &mut out).unwrap();
        let want = "\
Channel: stable  Generated: 2026-01-02T03:04:05Z
Total: 3  Up: 1  Stale: 1  Unknown: 1

Latest Release:
  release    rel-004
  channel    stable
  sequence   4
  artifact   r:1
  lock       blake3:0
  published  2026-01-01T00:00:00Z by ann

NODE_ID     STATUS   LAST_SEEN             POLICY  RELEASE   SEQ
arm-7       up       2026-01-02T03:04:00Z  arm     rel-004   4
arm-9       up       -                     -       plan:p-2  -
arm-8\\u{7}  unknown  -                     -       -         -
";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
