//! `autonomy policy`: builds, loads and tries policies.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use api::{env, exit::Exit, tool::ToolRequest};
use jiff::Timestamp;
use policy::{
    ActivateError, BUNDLE_LEN_MAX, Bundle, BundleError, Context as CallContext, Decision,
    ENTRIES_MAX, ENTRY_LEN_MAX, Evaluator, Recipe, Request, RuntimeRequirement, SlotMeta, Slots,
    Source, build,
};
use serde::Serialize;
use serde_json::Value;
use vfs::{OsVfs, read_whole};

use crate::{
    args::{Output, Policy, PolicyBuild, PolicyEval, PolicyLoad, PolicyStatus},
    commands::{print_json, print_pairs},
    context::Context,
    failure::Failure,
    target::Target,
};

/// Most bytes of a call on `policy eval --input`.
const CALL_LEN_MAX: u64 = 16 << 20;

pub(crate) fn run(command: Policy, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Policy::Build(args) => build_bundle(&args, context),
        Policy::Load(args) => load(&args, context),
        Policy::Status(args) => status(&args, context),
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
}

fn build_bundle(args: &PolicyBuild, context: Context<'_>) -> Result<Exit, Failure> {
    let files = sources(&args.input)?;
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
        created_at: created_at(context)?,
    };
    let built = build(&files, &recipe).map_err(|error| not_built(&error, &args.input))?;
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

/// Reads the files of a policy. A directory inside it or any other file is not taken, and said.
pub(super) fn sources(dir: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let at = |error: io::Error| Failure::file("read", dir, &error).hint("--in is a directory");
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let Some(name) = path.file_name().and_then(|it| it.to_str()).map(str::to_owned) else {
            continue;
        };
        let is_rego = path.extension().is_some_and(|it| it == "rego");
        if !is_rego && name != "data.json" {
            continue;
        }
        if files.len() == ENTRIES_MAX {
            let message = format!("{} has more than {ENTRIES_MAX} files", dir.display());
            return Err(Failure::new(Exit::Failed, "BUNDLE_TOO_MANY_ENTRIES", message));
        }
        let bytes = read_whole(&OsVfs, &path, ENTRY_LEN_MAX)
            .map_err(|error| Failure::file("read", &path, &error))?
            .ok_or_else(|| Failure::file("read", &path, &io::ErrorKind::NotFound.into()))?;
        files.insert(name, bytes);
    }
    Ok(files)
}

/// The time that a bundle carries: the epoch unless `SOURCE_DATE_EPOCH` says otherwise, so that the
/// same files give the same bytes on every machine.
fn created_at(context: Context<'_>) -> Result<Timestamp, Failure> {
    let Some(text) = context.var(env::SOURCE_DATE_EPOCH) else { return Ok(Timestamp::UNIX_EPOCH) };
    let time = text.parse().ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.ok_or_else(|| {
        let message = format!("{} is `{text}` (seconds since 1970)", env::SOURCE_DATE_EPOCH);
        Failure::new(Exit::Usage, "BAD_ENVIRONMENT", message)
    })
}

#[derive(Serialize)]
struct LoadResult {
    version: String,
    hash: String,
    digest: String,
    changed: bool,
}

fn load(args: &PolicyLoad, context: Context<'_>) -> Result<Exit, Failure> {
    let bytes = bundle_bytes(&args.bundle)?;
    let slots = slots(args.policy_dir.as_deref(), context)?;
    let now = Timestamp::now();
    let holder = format!("pid {} since {now:.0}", std::process::id());
    let activated = slots.activate(&bytes, now, &holder).map_err(|error| match &error {
        ActivateError::Bundle(error) => refused(error, &args.bundle),
        ActivateError::Incompatible(inner) => {
            let message = format!("policy load: REJECTED — {inner}");
            Failure::new(Exit::Denied, error.code(), message)
                .hint("both slots are unchanged; load a bundle made for this runtime")
        }
        ActivateError::Busy { .. } => Failure::of(Exit::Busy, error.code(), &error)
            .hint("another process is loading a policy: try again"),
        _ => Failure::of(Exit::Failed, error.code(), &error)
            .hint("check that --policy-dir is a writable directory"),
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
struct StatusResult {
    dir: String,
    /// `current`, `lkg`, or `none`.
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    loaded: Option<SlotMeta>,
    warnings: Vec<String>,
}

fn status(args: &PolicyStatus, context: Context<'_>) -> Result<Exit, Failure> {
    let dir = args.policy_dir.clone().map_or_else(|| context.policy_dir(), Ok)?;
    let loaded = slots(Some(&dir), context)?.load();
    let result = StatusResult {
        dir: dir.display().to_string(),
        source: match loaded.source {
            Source::Current => "current",
            Source::LastKnownGood => "lkg",
            Source::None => "none",
        },
        loaded: loaded.meta,
        warnings: loaded.warnings.iter().map(ToString::to_string).collect(),
    };
    match args.output.output {
        Output::Json => print_json(&result)?,
        Output::Text => {
            let mut pairs =
                vec![("dir", result.dir.clone()), ("decides", result.source.to_owned())];
            if let Some(meta) = &result.loaded {
                pairs.push(("version", meta.version.clone()));
                pairs.push(("hash", format!("{} (of its files)", meta.bundle_hash)));
                pairs.push(("digest", format!("{} (of the bundle)", meta.digest)));
                pairs.push(("loaded at", meta.loaded_at.to_string()));
            }
            pairs.extend(result.warnings.iter().map(|it| ("warning", it.clone())));
            print_pairs(&pairs)?;
        }
    }
    // A slot that should decide and does not is an integrity failure, even while another serves.
    Ok(if result.warnings.is_empty() { Exit::Done } else { Exit::Integrity })
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
            pairs.push(("policy", result.policy_ref));
            print_pairs(&pairs)?;
        }
    }
    Ok(exit)
}

fn call(input: &Path) -> Result<ToolRequest, Failure> {
    let bytes = if input.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().take(CALL_LEN_MAX).read_to_end(&mut bytes)?;
        bytes
    } else {
        read_whole(&OsVfs, input, CALL_LEN_MAX)
            .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(|error| Failure::file("read", input, &error))?
    };
    serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("{} is not a tool call: {error}", input.display());
        Failure::new(Exit::Usage, "BAD_CALL", message)
            .hint(r#"for example {"kind":"tool.echo","params":{"message":"hi"}}"#)
    })
}

fn slots(asked: Option<&Path>, context: Context<'_>) -> Result<Slots, Failure> {
    let dir = asked.map_or_else(|| context.policy_dir(), |it| Ok(it.to_owned()))?;
    Ok(Slots::new(Arc::new(OsVfs), &dir, runtime::version()))
}

pub(super) fn bundle_bytes(path: &Path) -> Result<Vec<u8>, Failure> {
    read_whole(&OsVfs, path, BUNDLE_LEN_MAX as u64)
        .and_then(|it| it.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|error| Failure::file("read", path, &error))
}

pub(super) fn refused(error: &BundleError, path: &Path) -> Failure {
    let mut failure = Failure::of(Exit::Integrity, error.code(), error);
    failure.message = format!("{}: {error}", path.display());
    failure
}
