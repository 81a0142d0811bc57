//! `autonomy rollout plan create`: a plan from a file, from options, or from both.
//!
//! * **N1** A member of the file that nobody would read is refused: a stage that is spelled wrong would be
//!   a plan without stages, which concerns every node at once.

use std::{
    io::{self, Read as _},
    path::Path,
};

use api::{
    exit::Exit,
    plan::{CreatePlan, InitialPhase, Metadata},
    rollout::Rollout,
};
use serde_json::{Map, Value};
use vfs::{OsVfs, read_whole};

use super::text;
use crate::{
    args::PlanCreate,
    commands::{note, tell},
    context::Context,
    control::{ControlPlane, Route},
    failure::Failure,
};

/// Longest file with a plan, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

pub(super) fn run(args: PlanCreate, context: Context<'_>) -> Result<Exit, Failure> {
    let plane = ControlPlane::new(&args.control, context)?;
    let output = args.control.format();
    let text = args.file.as_deref().map(read).transpose()?;
    let mut route = Route::new("rollouts");
    if args.strict_artifacts {
        route = route.with("strict_artifacts", true);
    }
    let body = request(args, text.as_deref()).map_err(PlanFault::told)?;
    let changed = plane.change::<Rollout>(&route, &body, None)?;
    if !changed.created {
        note("the same plan was there already; nothing was changed");
    }
    tell(&changed.value, output, text::created)?;
    Ok(Exit::Done)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let read = if path.as_os_str() == "-" {
        let mut text = Vec::new();
        let read = io::stdin().lock().take(FILE_LEN_MAX + 1).read_to_end(&mut text);
        read.and_then(|len| {
            if len as u64 > FILE_LEN_MAX {
                Err(io::ErrorKind::FileTooLarge.into())
            } else {
                Ok(text)
            }
        })
    } else {
        read_whole(&OsVfs, path, FILE_LEN_MAX)
            .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
    };
    read.map_err(|error| Failure::file("read", path, &error))
}

/// Why there is no plan to ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum PlanFault {
    /// The file is no JSON, or no plan.
    File { text: String },
    /// The file has a member that nobody would read (N1).
    Unread { member: String },
    /// Something that every plan has was not given.
    Missing { option: &'static str },
}

impl PlanFault {
    fn told(self) -> Failure {
        let (message, hint) = match self {
            Self::File { text } => (
                format!("the file is no plan: {text}"),
                r#"{"metadata":{"id":"arm-1.2.0"},"artifact_ref":"…","target_lock_fingerprint":"blake3:…"}"#
                    .to_owned(),
            ),
            Self::Unread { member } => (
                format!("a plan has no member {member}"),
                "check its spelling: what is not known would be ignored".to_owned(),
            ),
            Self::Missing { option } => {
                let hint = format!("pass --{option}, or a FILE with the plan: see --help");
                (format!("the plan has no {option}"), hint)
            }
        };
        Failure::new(Exit::Usage, "BAD_PLAN", message).hint(hint)
    }
}

/// Puts file and options together; options win.
fn request(args: PlanCreate, file: Option<&[u8]>) -> Result<CreatePlan, PlanFault> {
    let mut given = match file {
        None => Map::new(),
        Some(text) => match serde_json::from_slice(text) {
            Ok(Value::Object(members)) => members,
            Ok(_) => return Err(PlanFault::File { text: "it is no object".to_owned() }),
            Err(error) => return Err(PlanFault::File { text: error.to_string() }),
        },
    };
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            given.insert(name.to_owned(), value.into());
        }
    };
    put("artifact_ref", args.artifact_ref);
    put("target_lock_fingerprint", args.lock_fingerprint);
    put("channel", args.channel);
    for (member, option) in
        [("artifact_ref", "artifact-ref"), ("target_lock_fingerprint", "lock-fingerprint")]
    {
        if !given.contains_key(member) {
            return Err(PlanFault::Missing { option });
        }
    }
    let before = Value::Object(given);
    let mut plan: CreatePlan = serde_json::from_value(before.clone())
        .map_err(|error| PlanFault::File { text: error.to_string() })?;
    let read = serde_json::to_value(&plan).unwrap_or_default();
    if let Some(member) = unread(&before, &read) {
        return Err(PlanFault::Unread { member });
    }
    let id = args.id.or_else(|| plan.metadata.as_ref().map(|it| it.id.clone())).or(plan.id.take());
    let id = id.ok_or(PlanFault::Missing { option: "id" })?;
    let mut labels = plan.metadata.take().map(|it| it.labels).unwrap_or_default();
    labels.extend(args.labels);
    plan.metadata = Some(Metadata { id, labels });
    plan.id = None;
    plan.rollout_kind = args.kind.map(Into::into).or(plan.rollout_kind);
    if args.draft {
        plan.initial_phase = Some(InitialPhase::Draft);
    }
    Ok(plan)
}

/// The first member of `given` that was not read into anything.
fn unread(given: &Value, read: &Value) -> Option<String> {
    match (given, read) {
        (Value::Object(given), Value::Object(read)) => given.iter().find_map(|(key, value)| {
            let below = match read.get(key) {
                Some(read) => unread(value, read)?,
                // Absent and empty are the same, and are not written again.
                None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => None?,
                None if value.as_object().is_some_and(Map::is_empty) => None?,
                None => String::new(),
            };
            Some(if below.is_empty() { format!("`{key}`") } else { format!("{below} of `{key}`") })
        }),
        (Value::Array(given), Value::Array(read)) => {
            given.iter().zip(read).find_map(|(given, read)| unread(given, read))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::args::{Cli, Command, Rollout, RolloutPlan};

    fn plan(options: &str, file: Option<&str>) -> Result<CreatePlan, PlanFault> {
        let line = format!("autonomy rollout plan create {options}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Rollout(Rollout::Plan(RolloutPlan::Create(args))) = cli.command else {
            panic!("{line}")
        };
        request(*args, file.map(str::as_bytes))
    }

    const FILE: &str = r#"{"metadata":{"id":"p","labels":{"a":"1"}},"artifact_ref":"r:1",
        "target_lock_fingerprint":"blake3:0","channel":"canary","initial_phase":"published",
        "stages":[{"id":"s","percent":5,"gates":[{"kind":"manual"}]},{"id":"t","percent":100,"gates":[]}]}"#;

    #[test]
    fn options_alone_make_a_plan() {
        let made = plan(
            "--id p --artifact-ref r:1 --lock-fingerprint blake3:0 --kind model --label a=b=c --draft",
            None,
        );
        let text = serde_json::to_string(&made.unwrap()).unwrap();
        let want = r#"{"metadata":{"id":"p","labels":{"a":"b=c"}},"artifact_ref":"r:1","target_lock_fingerprint":"blake3:0","rollout_kind":"model","initial_phase":"draft"}"#;
        assert_eq!(text, want);
    }

    #[test]
    fn options_win_over_the_file_and_leave_the_rest_of_it() {
        let made = plan("--id q --channel stable --label b=2 --draft", Some(FILE)).unwrap();
        let metadata = made.metadata.unwrap();
        assert_eq!((metadata.id.as_str(), metadata.labels.len()), ("q", 2));
        assert_eq!(made.channel.as_deref(), Some("stable"));
        assert_eq!(made.initial_phase, Some(InitialPhase::Draft));
        assert_eq!(made.stages.unwrap().len(), 2);
        // A top-level id is taken for that of the metadata.
        let file = r#"{"id":"p","artifact_ref":"r","target_lock_fingerprint":"b"}"#;
        assert_eq!(plan("", Some(file)).unwrap().metadata.unwrap().id, "p");
    }

    #[test]
    fn a_member_that_nobody_would_read_is_refused() {
        for (from, to, member) in [
            ("\"stages\"", "\"stagez\"", "`stagez`"),
            ("\"percent\":5", "\"percents\":5", "`percents` of `stages`"),
            ("\"kind\":\"manual\"", "\"kind\":\"manual\",\"x\":1", "`x` of `gates` of `stages`"),
            ("\"labels\"", "\"label\"", "`label` of `metadata`"),
        ] {
            let want = PlanFault::Unread { member: member.to_owned() };
            assert_eq!(plan("", Some(&FILE.replace(from, to))), Err(want));
        }
    }

    /// The file that the help shows is a plan.
    #[test]
    fn the_plan_of_the_help_is_one() {
        let help = crate::command();
        let find = |it: &clap::Command, name: &str| it.find_subcommand(name).unwrap().clone();
        let create = find(&find(&find(&help, "rollout"), "plan"), "create");
        let text = create.get_after_long_help().unwrap().to_string();
        let file = text.get(text.find('{').unwrap()..=text.rfind('}').unwrap()).unwrap();
        let made = plan("", Some(file)).unwrap();
        assert_eq!(made.stages.unwrap()[0].gates.len(), 3);
        let hint = PlanFault::Missing { option: "id" }.told().hint.unwrap();
        assert!(hint.contains("--id") && hint.contains("FILE"), "{hint}");
    }

    #[test]
    fn what_every_plan_has_is_named_when_it_is_missing() {
        for (options, option) in [
            ("", "artifact-ref"),
            ("--artifact-ref r", "lock-fingerprint"),
            ("--artifact-ref r --lock-fingerprint b", "id"),
        ] {
            assert_eq!(plan(options, None), Err(PlanFault::Missing { option }));
        }
        for file in ["", "[]", "{\"artifact_ref\":1,\"target_lock_fingerprint\":\"b\"}"] {
            assert!(matches!(plan("", Some(file)), Err(PlanFault::File { .. })), "{file}");
        }
    }
}
