//! `autonomy runtime`: the enforcement process.

use std::{
    io::{self, Write as _},
    path::Path,
    time::Duration,
};

use api::{
    env,
    exit::Exit,
    node::{NodeFlaw, node_flaw, node_of_host},
};
use runtime::{
    Asked, Config, Echo, HttpGet, Limits, PolicyFrom, Quarantine, ReleaseSource, ReleaseTrust,
    Shell, StartError, Tools,
};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use wal_recovery::{AppendError, Durability, Overrides, RecoverError, Violation, codes};

use crate::{
    args::{DurabilityArg, OnCorruption, ReleaseTrustArgs, Runtime, RuntimeStart},
    commands::{
        registry::options,
        telemetry::{collector_settings, unusable_collector},
        verify::{enough, keys, max_age},
    },
    context::Context,
    control,
    failure::{Failure, causes, place},
    inherited,
    rights::FULL_DISK,
};

/// Longest wait for threads that are still at work after the log is closed.
const EXECUTOR_END_WAIT: Duration = Duration::from_secs(1);

pub(crate) fn run(command: Runtime, context: Context<'_>) -> Result<Exit, Failure> {
    match command {
        Runtime::Start(args) => start(&args, context),
    }
}

fn start(args: &RuntimeStart, context: Context<'_>) -> Result<Exit, Failure> {
    // While this is the only thread.
    inherited::keep_descriptors();
    inherited::unblock_signals();
    let config = config(args, context)?;
    let format = args.log_format.unwrap_or_else(|| context.log_format());
    logging::init(format, &context.log_filter())
        .map_err(|error| Failure::of(Exit::Usage, "LOG_FILTER", &error).hint(error.hint()))?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    let served = executor.block_on(serve(args, &config));
    // A tool that does not end must not keep a process that has closed its log.
    executor.shutdown_timeout(EXECUTOR_END_WAIT);
    served
}

async fn serve(args: &RuntimeStart, config: &Config) -> Result<Exit, Failure> {
    // The port first: one that is taken must not cost a recovery.
    let listener = TcpListener::bind(args.listen).await.map_err(|error| {
        let message = format!("cannot listen on {}", args.listen);
        let mut failure = Failure::new(Exit::Failed, "LISTEN_FAILED", message);
        failure.cause = vec![error.to_string()];
        failure.hint(match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another process has the port: stop it, or pass another --listen"
            }
            _ => "pass an address of this machine with --listen, and a port above 1023",
        })
    })?;
    let mut terminate = signal(SignalKind::terminate()).map_err(|it| Failure::process(&it))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|it| Failure::process(&it))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(|it| Failure::process(&it))?;
    let shutdown = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let runtime = match runtime::Runtime::open(config, tools(args)).await {
        Ok(runtime) => runtime,
        Err(StartError::Recover(RecoverError::Violation { dir, violation }))
            if args.on_corruption == OnCorruption::Quarantine =>
        {
            say_refused(&dir, &violation);
            let cause = violation.code();
            let ignored = tokio::spawn(async move {
                while hangup.recv().await.is_some() {
                    tracing::warn!(cause, "policy not replaced: the log is in quarantine");
                }
            });
            let quarantine = Quarantine::new(config, &dir, violation);
            let served = quarantine.serve(listener, shutdown).await;
            ignored.abort();
            return served.map(|()| Exit::Done).map_err(|error| refused(config, error));
        }
        Err(error) => return Err(refused(config, error)),
    };
    let reloader = runtime.reloader();
    let reloads = tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            // Either outcome is in the log of the process and in the write-ahead log.
            reloader.reload().await.ok();
        }
    });
    let served = runtime.serve(listener, shutdown).await;
    reloads.abort();
    served.map_err(|error| refused(config, error))?;
    Ok(Exit::Done)
}

/// The tools that exist, with the limits that were asked for.
fn tools(args: &RuntimeStart) -> Tools {
    let mut http_get = HttpGet::new(args.allowed_domains.clone());
    let mut shell = Shell::default().with_output_len_max(args.shell_output);
    if let Some(limit) = args.tool_timeout {
        // Each ends somewhat sooner than the runtime, by itself.
        http_get = http_get.with_timeout(limit);
        shell = shell.with_timeout(limit);
    }
    let tools = Tools::default().with(Echo).with(http_get);
    if args.enable_shell { tools.with(shell) } else { tools }
}

fn config(args: &RuntimeStart, context: Context<'_>) -> Result<Config, Failure> {
    Ok(Config {
        wal_dir: args.wal_dir.clone().map_or_else(|| context.wal_dir(), Ok)?,
        policy: PolicyFrom::Slots(
            args.policy_dir.clone().map_or_else(|| context.policy_dir(), Ok)?,
        ),
        node: args.node_id.as_deref().map_or_else(|| Ok(host_node()), checked_node)?,
        operator: context.var(env::OPERATOR),
        strict: context.switch(env::STRICT_MODE)?,
        overrides: Overrides {
            legacy_upgrade: context.switch(env::WAL_LEGACY_UPGRADE)?,
            operator_reset: context.switch(env::WAL_OPERATOR_RESET)?,
        },
        durability: match args.durability {
            DurabilityArg::Chained => Durability::Chained,
            DurabilityArg::Strict => Durability::Strict,
        },
        redact_params: args.redact_params,
        max_body: args.max_body,
        tool_timeout: args.tool_timeout.unwrap_or(Config::TOOL_TIMEOUT),
        wal_max_bytes: args.wal_max_bytes as u64,
        archive_keep: args.archive_keep.unwrap_or_default(),
        releases: releases(args, context)?,
        collector: match &args.otlp_endpoint {
            // Variables alone send nothing: they may be meant for the agent.
            None => None,
            Some(endpoint) => {
                let endpoint = Some(endpoint.clone());
                collector_settings(&Asked { endpoint, ..Asked::default() }, context)?
            }
        },
        limits: Limits {
            calls: args.max_calls,
            connections: args.max_connections,
            output_bytes: args.max_output,
        },
        hosts: args.allowed_hosts.clone(),
    })
}

/// Where releases come from, if anybody names a control plane.
fn releases(args: &RuntimeStart, context: Context<'_>) -> Result<Option<ReleaseSource>, Failure> {
    let url = args.orchestrator_url.clone().or_else(|| context.var(env::ORCHESTRATOR_URL));
    let Some(url) = url else { return Ok(None) };
    let trust = release_trust(&args.trust, context)?;
    let (token, tls) = (control::token(context)?, control::material(context)?);
    Ok(Some(ReleaseSource { url, interval: args.poll_interval, trust, token, tls }))
}

/// Whom the node trusts with releases; nobody, when no key is named.
fn release_trust(
    args: &ReleaseTrustArgs,
    context: Context<'_>,
) -> Result<Option<ReleaseTrust>, Failure> {
    if args.cosign_pubkey.is_empty() && context.var(env::COSIGN_PUBKEY).is_none() {
        return Ok(None);
    }
    let keys = keys(&args.cosign_pubkey, "--cosign-pubkey", context)?;
    enough(args.release_threshold, keys.len())?;
    Ok(Some(ReleaseTrust {
        keys,
        threshold: args.release_threshold,
        max_age: max_age(args.release_max_age, context)?,
        registries: options(&args.registry, context)?,
        permit: args.downgrade_permit.clone(),
    }))
}

/// The node that an operator names.
pub(super) fn checked_node(node: &str) -> Result<String, Failure> {
    match node_flaw(node) {
        None => Ok(node.to_owned()),
        Some(flaw) => {
            let message = format!("--node-id {node:?} {flaw}");
            Err(Failure::new(Exit::Usage, NodeFlaw::CODE, message).hint(NodeFlaw::HINT))
        }
    }
}

/// The node when nobody names it: the host name.
pub(crate) fn host_node() -> String {
    node_of_host(&rustix::system::uname().nodename().to_string_lossy())
}

/// The line about a refused log, for the machines that read logs.
fn say_refused(dir: &Path, violation: &Violation) {
    let (place, dir) = (violation.place(), dir.display());
    tracing::error!(
        cause = violation.code(),
        %dir,
        seq = place.map(|it| it.0),
        offset = place.map(|it| it.1),
        error = %format_args!("telemetry/wal: {violation}"),
        "{}", codes::WAL_RECOVERY_FAIL_HARD
    );
}

/// The log took no entry about the process itself: the code is that of the log, so that it has its page.
fn not_recorded(error: &AppendError, dir: &Path) -> Failure {
    let failure = Failure::of(Exit::Failed, error.code(), error);
    failure.hint(match error {
        AppendError::DiskFull { .. } => FULL_DISK.to_owned(),
        _ => format!("look at the disk and the directory {}, then start again", dir.display()),
    })
}

/// Explains why the runtime does not run. A log that is refused has its own lines: an ERROR for the
/// machines that read logs, a FATAL for the person who reads them.
pub(super) fn refused(config: &Config, error: StartError) -> Failure {
    match error {
        StartError::Recover(error @ RecoverError::Violation { .. }) => {
            let RecoverError::Violation { violation, dir } = &error else { return error.into() };
            say_refused(dir, violation);
            // The line is for people; when stderr is gone, the exit code still tells.
            writeln!(io::stderr().lock(), "{}", violation.fatal_line()).ok();
            let mut failure = Failure::of(Exit::Integrity, violation.code(), &error);
            failure.cause.extend(place(violation));
            failure.hint(violation.hint()).of_log(dir)
        }
        StartError::Recover(error) => error.into(),
        StartError::Read(error) => error.into(),
        StartError::Append(error) => not_recorded(&error, &config.wal_dir),
        StartError::Collector(error) => unusable_collector(&error),
        StartError::ControlPlane(error) => {
            Failure::of(Exit::Usage, error.code(), &error).hint(error.hint())
        }
        other => {
            let mut failure = Failure::new(Exit::Failed, "RUNTIME_FAILED", other.to_string());
            failure.cause = causes(&other);
            failure.hint(format!(
                "see the log of the runtime; its log is in {}",
                config.wal_dir.display()
            ))
        }
    }
}
