//! `autonomy tentacle`: the pieces of work of a goal.

use std::fmt::Write as _;

use api::exit::Exit;
use goal::{
    Classifier, Handoff, HandoffStatus, Judgement, LinuxLiveness, MarkerFile, Meta, QuotaReason,
    clean_markers, dispatch_states,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;
use vfs::{OsVfs, Vfs as _};

use super::goal::{Desk, failure, markers, say, wait};
use crate::{
    args::{
        GoalLook, GoalWait, MarkerCleanup, Tentacle, TentacleComplete, TentacleCreate,
        TentacleHandoff,
    },
    context::Context,
    failure::Failure,
};

pub(crate) fn run(command: Tentacle, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Tentacle::Create(args) => create(&args, context),
        Tentacle::Status(args) => status(&args, context),
        Tentacle::Handoff(args) => handoff(args, context),
        Tentacle::Complete(args) => complete(&args, context),
        Tentacle::MarkerCleanup(args) => marker_cleanup(&args, context),
    }
}

fn create(args: &TentacleCreate, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let mut meta = Meta::new(&args.name, Uuid::new_v4().to_string(), &args.desc);
    meta.depends_on.clone_from(&args.depends_on);
    let made = desk.store.create_tentacle(wait(args.wait), meta, &args.todo);
    made.map_err(|it| failure(&it, args.wait))?;
    let path = desk.store.place().tentacles().join(&args.name);
    let text = format!("tentacle {} is made: {}", args.name, path.display());
    say(args.place.format, &text, &json!({ "tentacle": args.name, "path": path }))?;
    Ok(Exit::Done)
}

fn status(args: &GoalLook, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let all = desk.store.every_tentacle().map_err(|it| failure(&it, GoalWait::NONE))?;
    let states = dispatch_states(&all);
    let state = |name: &String| states.get(name).map_or("?", |it| it.as_str());
    let lines: Vec<String> = all
        .iter()
        .map(|(name, it)| {
            let word = it.meta.terminal_status.map_or("-".to_owned(), |it| it.to_string());
            let quota = it.meta.quota_reason.as_deref().map(|it| format!(" ({it})"));
            let iteration = it.meta.goal_iteration.map_or("-".to_owned(), |it| it.to_string());
            format!(
                "{name}  {}  {}  {word}{}  iteration {iteration}  todo {}/{}",
                state(name),
                it.meta.status.as_str(),
                quota.unwrap_or_default(),
                it.todos.total - it.todos.unchecked,
                it.todos.total
            )
        })
        .collect();
    let each: Vec<Value> = all
        .iter()
        .map(|(name, it)| {
            json!({
                "name": name,
                "dispatch_state": state(name),
                "status": it.meta.status,
                "terminal_status": it.meta.terminal_status,
                "quota_reason": it.meta.quota_reason,
                "goal_iteration": it.meta.goal_iteration,
                "todo": { "total": it.todos.total, "unchecked": it.todos.unchecked },
            })
        })
        .collect();
    let text = if lines.is_empty() { "no tentacles".to_owned() } else { lines.join("\n") };
    say(args.place.format, &text, &json!({ "tentacles": each }))?;
    Ok(Exit::Done)
}

fn handoff(args: TentacleHandoff, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let status = args.status.as_deref().map(|it| {
        HandoffStatus::parse(it).ok_or_else(|| {
            let names = HandoffStatus::ALL.map(HandoffStatus::as_str).join(", ");
            let message = format!("`{it}` is no status of a handoff: {names}");
            Failure::new(Exit::Failed, "HANDOFF_STATUS", message)
        })
    });
    let quota_reason = args.quota_reason.as_deref().map(|it| {
        QuotaReason::parse(it).ok_or_else(|| {
            let names = QuotaReason::ALL.map(QuotaReason::as_str).join(", ");
            let message = format!("`{it}` is no reason of a quota: {names}");
            Failure::new(Exit::Failed, "HANDOFF_QUOTA_REASON", message)
        })
    });
    let said = Handoff {
        status: status.transpose()?,
        changed_files: args.changed_file,
        bridge_links: args.bridge,
        quota_reason: quota_reason.transpose()?,
        retry_hint: args.retry_hint,
        message: args.message,
    };
    let done = desk.store.handoff(wait(args.wait), &args.name, said, &Classifier::default());
    let done = done.map_err(|it| failure(&it, args.wait))?;
    let word = done.status.map_or("a note", HandoffStatus::as_str);
    let quota = done.quota_reason.map(QuotaReason::as_str);
    let mut text = format!("{} said {word}", args.name);
    if let (Some(HandoffStatus::Blocked), Some(quota)) = (done.status, quota) {
        write!(text, "; waits for a quota ({quota}) in the retry queue").ok();
    }
    let value = json!({ "tentacle": args.name, "status": done.status, "quota_reason": quota });
    desk.audit("goal.handoff", &args.name, &[("status", word.to_owned())]);
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

fn complete(args: &TentacleComplete, context: Context<'_>) -> Result<Exit, Failure> {
    let desk = Desk::open(&args.place, context)?;
    let done = desk.store.complete(wait(args.wait), &args.name);
    let (meta, checks) = done.map_err(|it| failure(&it, args.wait))?;
    let word = meta.terminal_status.map_or("?".to_owned(), |it| it.to_string());
    let mut text = format!("{} is completed: {word}", args.name);
    for label in &checks.warned {
        write!(text, "\nWARNING: check failed: {label}").ok();
    }
    let value =
        json!({ "tentacle": args.name, "terminal_status": word, "warnings": checks.warned });
    desk.audit("goal.completed_tentacle", &args.name, &[("status", word)]);
    say(args.place.format, &text, &value)?;
    Ok(Exit::Done)
}

fn marker_cleanup(args: &MarkerCleanup, context: Context<'_>) -> Result<Exit, Failure> {
    let path = markers::path(args.marker.as_deref(), context)?;
    let alive = LinuxLiveness::new().map_err(|error| Failure::process(&error))?;
    let clean = |file: &MarkerFile| clean_markers(file, Timestamp::now(), &alive);
    let there = OsVfs.stat(&path).map_err(|error| Failure::file("look at", &path, &error))?;
    let (kept, stale) = if args.apply && there.is_some() {
        markers::change(&path, |file| {
            let (kept, stale) = clean(file);
            file.clone_from(&kept);
            (kept, stale)
        })?
    } else {
        clean(&markers::read(&path)?)
    };
    let mut lines: Vec<String> =
        kept.active_tentacles.iter().map(|it| format!("live   {}", it.name)).collect();
    lines.extend(stale.iter().map(|(it, why)| format!("stale  {} ({})", it.name, because(*why))));
    lines.push(match (args.apply, stale.len()) {
        (_, 0) => "nothing is left behind".to_owned(),
        (true, count) => format!("removed {count}"),
        (false, count) => format!("{count} would be removed; do it with --apply"),
    });
    let named = |it: &goal::MarkerEntry| it.name.clone();
    let value = json!({
        "live": kept.active_tentacles.iter().map(named).collect::<Vec<_>>(),
        "stale": stale.iter().map(|it| json!({"name": it.0.name, "why": because(it.1)})).collect::<Vec<_>>(),
        "removed": if args.apply { stale.len() } else { 0 },
    });
    say(args.format, &lines.join("\n"), &value)?;
    Ok(Exit::Done)
}

const fn because(why: Judgement) -> &'static str {
    match why {
        Judgement::Live => "live",
        Judgement::Expired => "older than four hours",
        Judgement::Dead => "its process is dead",
        Judgement::Undated => "without a time",
    }
}
