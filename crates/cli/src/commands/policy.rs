//! `autonomy policy`: checks, tests, builds, loads, compares and tries policies.
//!
//! | module    | what it does                                       |
//! |-----------|----------------------------------------------------|
//! | `sources` | the files of a policy on disk                      |
//! | `subject` | a policy as a command line names it                |
//! | others    | the command of their name                          |

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{env, exit::Exit, tool::ToolRequest};
use jiff::Timestamp;
use policy::{
    ActivateError, BUNDLE_LEN_MAX, Bundle, BundleError, Context as CallContext, Decision,
    Evaluator, Recipe, Request, RuntimeRequirement, SlotMeta, Slots, build,
};
use serde::Serialize;
use serde_json::Value;
use vfs::{OsVfs, read_whole};

use crate::{
    args::{Output, Policy, PolicyBuild, PolicyEval, PolicyLoad},
    commands::{print_json, print_pairs},
    context::Context,
    counted::counted,
    failure::Failure,
    target::Target,
};

mod check;
mod diff;
mod release;
mod replay;
pub(super) mod sources;
mod status;
mod subject;
mod test;

use sources::Found;
pub(crate) use test::parse_run;

/// Most bytes of a call on `policy eval --input`.
const CALL_LEN_MAX: u64 = 16 << 20;

pub(crate) fn run(command: Policy, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Policy::Build(args) => build_bundle(&args, context),
        Policy::Load(args) => load(&args, context),
        Policy::Check(args) => check::check(&args),
        Policy::Test(args) => test::test(&args),
        Policy::Diff(args) => diff::diff(&args, context),
        Policy::Replay(args) => replay::replay(&args, context),
        Policy::Status(args) => status::status(&args, context),
        Policy::Eval(args) => eval(&args, context),
    }
}

#[derive(Serialize)]
struct BuildResult {
    version: String,
    hash: String,
    digest: String,
    runtime_version: String,
    output: PathBuf,
    modules: usize,
    /// Files `*_test.rego`.
    tests_left_out: usize,
    /// Files that are neither modules nor data.
    others_left_out: usize,
}

fn build_bundle(args: &PolicyBuild, context: Context<'_>) -> Result<Exit, Failure> {
    let at =
        |error: io::Error| Failure::file("read", &args.input, &error).hint("--in is a directory");
    if !fs::metadata(&args.input).map_err(at)?.is_dir() {
        return Err(at(io::ErrorKind::NotADirectory.into()));
    }
    let mut found = Found::read(std::slice::from_ref(&args.input))?;
    let tests_left_out = found.without_tests();
    let requirement = RuntimeRequirement::parse(
        args.runtime_version.as_deref().unwrap_or_default(),
    )
    .map_err(|error| {
        Failure::of(Exit::Usage, "BAD_REQUIREMENT", &error)
            .hint("space-separated constraints, for example '>=0.1.0 <1.0.0'")
    })?;
    let recipe = Recipe {
        version: &args.version,
        name: Some(&args.name),
        requirement: &requirement,
        // The same files give the same bytes on every machine.
        created_at: context.source_date_epoch()?.unwrap_or(Timestamp::UNIX_EPOCH),
    };
    let built = build(&found.files, &recipe).map_err(|error| not_built(&error, &args.input))?;
    let target = Target::open(&args.out)?;
    if let Err(error) = (&target).write_all(&built.bytes) {
        target.abandon();
        return Err(Failure::file("write", &args.out, &error));
    }
    target.finish()?;
    let result = BuildResult {
        version: built.bundle.version().to_owned(),
        hash: built.bundle.hash().to_owned(),
        digest: built.bundle.digest().to_owned(),
        runtime_version: requirement.to_string(),
        output: args.out.clone(),
        modules: built.bundle.modules().count(),
        tests_left_out,
        others_left_out: found.others,
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let any = "any".to_owned();
            let mut stdout = io::stdout().lock();
            writeln!(stdout, "policy build: OK")?;
            writeln!(stdout, "version: {}", result.version)?;
            writeln!(stdout, "hash: {}", result.hash)?;
            let required = Some(result.runtime_version).filter(|it| !it.is_empty()).unwrap_or(any);
            writeln!(stdout, "runtime-version: {required}")?;
            writeln!(stdout, "output: {}", result.output.display())?;
            for (name, count) in
                [("test", result.tests_left_out), ("other file", result.others_left_out)]
            {
                if count > 0 {
                    writeln!(stdout, "left out: {}", counted(count, name))?;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// What the command line says wrong is wrong usage; what the files say wrong is in the files.
fn not_built(error: &BundleError, input: &Path) -> Failure {
    let hint = match error {
        BundleError::BadVersion { .. } => "--version is a semantic version, for example 1.2.3",
        BundleError::BadName => "--name has 1 to 128 printable characters",
        _ => return refused(error, input),
    };
    Failure::of(Exit::Usage, error.code(), error).hint(hint)
}

#[derive(Serialize)]
struct LoadResult {
    version: String,
    hash: String,
    digest: String,
    changed: bool,
}

fn load(args: &PolicyLoad, context: Context<'_>) -> Result<Exit, Failure> {
    match (&args.lock, &args.bundle) {
        (Some(image), _) => release::load_release(image, args, context),
        (None, Some(bundle)) => load_unsigned(bundle, args, context),
        (None, None) => {
            Err(Failure::new(Exit::Usage, "NOTHING_TO_LOAD", "neither --bundle nor --lock"))
        }
    }
}

/// What to look at when nobody knows better.
const SLOTS_HINT: &str = "check that --policy-dir is a writable directory";

/// What mends what the file system says about the slots.
fn slots_hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "make room on the disk of --policy-dir (df -h), then load again"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            "the disk of --policy-dir is mounted read-only: see why (dmesg), mount it for writing, then load again"
        }
        _ => SLOTS_HINT,
    }
}

/// Loads a bundle that nobody vouches for but the one who runs the command.
fn load_unsigned(bundle: &Path, args: &PolicyLoad, context: Context<'_>) -> Result<Exit, Failure> {
    let bytes = bundle_bytes(bundle)?;
    let slots = slots(args.policy_dir.as_deref(), context)?;
    let now = Timestamp::now();
    let holder = format!("pid {} since {now:.0}", std::process::id());
    let activated = slots.activate(&bytes, now, &holder).map_err(|error| match &error {
        ActivateError::Bundle(error) => refused(error, bundle),
        ActivateError::Incompatible(inner) => {
            let message = format!("policy load: REJECTED — {inner}");
            Failure::new(Exit::Denied, error.code(), message)
                .hint("both slots are unchanged; load a bundle made for this runtime")
        }
        ActivateError::Busy { .. } => Failure::of(Exit::Busy, error.code(), &error)
            .hint("another process is loading a policy: try again"),
        ActivateError::Io { error: cause, .. } => {
            Failure::of(Exit::Failed, error.code(), &error).hint(slots_hint(cause))
        }
        _ => Failure::of(Exit::Failed, error.code(), &error).hint(SLOTS_HINT),
    })?;
    let SlotMeta { version, digest, bundle_hash: hash, .. } = activated.meta;
    match args.output.output {
        Output::Json => {
            print_json(&LoadResult { version, hash, digest, changed: activated.changed })?;
        }
        Output::Text => {
            writeln!(io::stdout().lock(), "policy load: OK — version={version} hash={hash}")?;
        }
    }
    Ok(Exit::Done)
}

#[derive(Serialize)]
struct EvalResult {
    decision: &'static str,
    policy_ref: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    obligations: Vec<Value>,
}

fn eval(args: &PolicyEval, context: Context<'_>) -> Result<Exit, Failure> {
    let call = call(&args.input)?;
    let evaluator: Arc<dyn Evaluator> = match &args.bundle {
        Some(path) => {
            let bundle = Bundle::open(&bundle_bytes(path)?).map_err(|it| refused(&it, path))?;
            Arc::new(bundle.evaluator().map_err(|it| refused(&it.into(), path))?)
        }
        None => slots(args.policy_dir.as_deref(), context)?.load().evaluator,
    };
    let request = Request {
        kind: call.kind,
        params: call.params,
        context: CallContext {
            node: "policy-eval".to_owned(),
            operator: context.var(env::OPERATOR).unwrap_or_default(),
            time: Timestamp::now(),
            mode: "normal".to_owned(),
        },
        agent_context: (!call.context.is_empty()).then_some(call.context),
    };
    let decision = evaluator.evaluate(&request);
    let rule = decision.rule().map(str::to_owned);
    let policy_ref = evaluator.policy_ref().to_owned();
    let (result, exit) = match decision {
        Decision::Allow(allow) => {
            let obligations = allow.obligations().to_vec();
            let (code, reason) = (None, None);
            let decision = "allow";
            (EvalResult { decision, policy_ref, code, reason, rule, obligations }, Exit::Done)
        }
        Decision::Deny(deny) => {
            let (code, reason) = (Some(deny.code().as_str()), Some(deny.reason().to_owned()));
            let obligations = Vec::new();
            let decision = "deny";
            (EvalResult { decision, policy_ref, code, reason, rule, obligations }, Exit::Denied)
        }
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let mut pairs = vec![("decision", result.decision.to_owned())];
            pairs.extend(result.code.map(|it| ("code", it.to_owned())));
            pairs.extend(result.reason.map(|it| ("reason", it)));
            pairs.extend(result.rule.map(|it| ("rule", it)));
            let obligations = result.obligations.iter();
            pairs.extend(obligations.map(|it| ("obligation", it.to_string())));
            pairs.push(("policy", result.policy_ref));
            print_pairs(&pairs)?;
        }
    }
    Ok(exit)
}

fn call(input: &Path) -> Result<ToolRequest, Failure> {
    let is_stdin = input.as_os_str() == "-";
    let bytes = if is_stdin {
        let mut bytes = Vec::new();
        io::stdin().lock().take(CALL_LEN_MAX).read_to_end(&mut bytes)?;
        bytes
    } else {
        read_whole(&OsVfs, input, CALL_LEN_MAX)
            .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|error| Failure::file("read", input, &error))?
    };
    // What the runtime would refuse is refused here.
    runtime::parse_call(&bytes).map_err(|error| {
        let from = if is_stdin { "stdin".to_owned() } else { input.display().to_string() };
        let message = format!("{from} is not a tool call: {error}");
        Failure::new(Exit::Usage, "BAD_CALL", message)
            .hint(r#"for example {"kind":"tool.echo","params":{"message":"hi"}}"#)
    })
}

pub(super) fn slots(asked: Option<&Path>, context: Context<'_>) -> Result<Slots, Failure> {
    let dir = asked.map_or_else(|| context.policy_dir(), |it| Ok(it.to_owned()))?;
    Ok(Slots::new(Arc::new(OsVfs), &dir, runtime::version()))
}

pub(super) fn bundle_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    if path.is_dir() {
        let message = format!("{} is a directory, not a bundle", path.display());
        return Err(Failure::new(Exit::Usage, "DIRECTORY_GIVEN", message).hint(format!(
            "autonomy policy build --in {} --out bundle.tar.gz --version 1.0.0 makes one",
            path.display()
        )));
    }
    read_whole(&OsVfs, path, BUNDLE_LEN_MAX as u64)
        .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| Failure::file("read", path, &error))
}

pub(super) fn refused(error: &BundleError, path: &Path) -> Failure {
    let mut failure = Failure::of(Exit::Integrity, error.code(), error);
    failure.message = format!("{}: {error}", path.display());
    if let BundleError::NotGzip { .. } = error {
        return failure.hint("a bundle is what autonomy policy build, or opa build, writes");
    }
    if let BundleError::Module(_) = error {
        return failure.hint(if path.is_dir() {
            format!("autonomy policy check {} shows every mistake with its line", path.display())
        } else {
            "whoever built it sees every mistake with its line: autonomy policy check DIR"
                .to_owned()
        });
    }
    failure
}
