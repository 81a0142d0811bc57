//! `autonomy ha`: who leads the control plane.

use std::io::{self, Write};

use api::{
    exit::Exit,
    ha::{HaMode, HaRole, HaStatus},
};

use crate::{
    args::{Ha, HaShow},
    commands::{tell, write_pairs},
    context::Context,
    control::{ControlPlane, Route},
    failure::Failure,
};

pub(crate) fn run(command: &Ha, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Ha::Status(args) => status(args, context),
    }
}

fn status(args: &HaShow, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let status: HaStatus = plane.get(&route())?;
    tell(&status, args.control.format(), text)?;
    Ok(Exit::Done)
}

/// The route of the status.
pub(super) fn route() -> Route {
    Route::new("ha").at("status")
}

/// The role in a word.
pub(super) const fn role(it: HaRole) -> &'static str {
    match it {
        HaRole::Leader => "leader",
        HaRole::Follower => "follower",
    }
}

/// The mode in a word.
pub(super) const fn mode(it: HaMode) -> &'static str {
    match it {
        HaMode::Standalone => "standalone",
        HaMode::Cluster => "cluster",
    }
}

fn text(it: &HaStatus, out: &mut dyn Write) -> io::Result<()> {
    let write_ready = match (it.write_ready, &it.write_blocked_by) {
        (true, _) => "yes".to_owned(),
        (false, None) => "no".to_owned(),
        (false, Some(why)) => format!("no: {why}"),
    };
    let mut pairs = vec![
        ("Mode", mode(it.mode).to_owned()),
        ("Role", role(it.role).to_owned()),
        ("Write-Ready", write_ready),
    ];
    match &it.leader {
        None => pairs.push(("Leader", "nobody leads".to_owned())),
        Some(leader) => pairs.extend([
            ("Holder ID", leader.holder_id.clone()),
            ("Epoch", leader.epoch.to_string()),
            ("Acquired At", leader.acquired_at.clone()),
        ]),
    }
    pairs.push(("Queried At", it.queried_at.clone()));
    write_pairs(out, &pairs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_status_names_the_leader_and_why_nothing_is_written() {
        let shown = |value: serde_json::Value| {
            let mut out = Vec::new();
            text(&serde_json::from_value(value).unwrap(), &mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let alone = json!({
            "mode": "standalone", "role": "leader", "write_ready": true,
            "leader": { "holder_id": "h", "epoch": 3, "acquired_at": "2026-01-02T03:04:05Z" },
            "queried_at": "2026-01-02T03:04:06Z",
        });
        let want = "\
Mode         standalone
Role         leader
Write-Ready  yes
Holder ID    h
Epoch        3
Acquired At  2026-01-02T03:04:05Z
Queried At   2026-01-02T03:04:06Z
";
        assert_eq!(shown(alone), want);
        let follower = json!({
            "mode": "cluster", "role": "follower", "write_ready": false,
            "write_blocked_by": "not the leader", "queried_at": "t",
        });
        let shown = shown(follower);
        assert!(shown.contains("no: not the leader\nLeader       nobody leads\n"), "{shown}");
    }
}
