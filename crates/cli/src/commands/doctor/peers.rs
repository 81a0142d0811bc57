//! Who answers: the runtime, the control plane, the collector.

use std::{
    net::{TcpListener, TcpStream, ToSocketAddrs as _},
    time::Duration,
};

use api::{env, exit::Exit};
use reqwest::Url;
use serde_json::{Map, Value};

use super::Finding;
use crate::{
    args::Doctor, commands::status::RUNTIME_URL_DEFAULT, context::Context, control::ControlPlane,
};

/// How long a collector is waited for.
const CONNECT_WAIT: Duration = Duration::from_secs(3);
/// The address of a runtime that nobody placed elsewhere.
const RUNTIME_ADDRESS: &str = "127.0.0.1:7777";

pub(super) fn all(args: &Doctor, context: Context<'_>) -> Vec<Finding> {
    vec![runtime(args, context), control_plane(context), collector(context)]
}

fn version_of(said: &Map<String, Value>) -> Option<&str> {
    said.get("version").and_then(Value::as_str)
}

/// What answered, beside the version of this program.
fn answered(check: &'static str, at: &str, said: &Map<String, Value>) -> Finding {
    let ours = env!("CARGO_PKG_VERSION");
    match version_of(said) {
        Some(theirs) if theirs != ours => {
            let text = format!("{at} answers, version {theirs}; this program is {ours}");
            Finding::warning(check, text, "use the same version of all programs")
        }
        Some(theirs) => Finding::ok(check, format!("{at} answers, version {theirs}")),
        None => Finding::ok(check, format!("{at} answers")),
    }
}

fn runtime(args: &Doctor, context: Context<'_>) -> Finding {
    let check = "runtime";
    let named = args.runtime_url.clone().or_else(|| context.var(env::RUNTIME_URL));
    let url = named.as_deref().unwrap_or(RUNTIME_URL_DEFAULT);
    let asked = ControlPlane::of_runtime(url).and_then(|it| it.itself());
    match asked {
        Ok(said) => answered(check, url, &said),
        Err(failure) if failure.exit == Exit::Unreachable && named.is_none() => port(),
        Err(failure) => Finding::of(check, &failure),
    }
}

/// Whether a runtime could have the place of one that is not there.
fn port() -> Finding {
    let check = "runtime";
    match TcpListener::bind(RUNTIME_ADDRESS) {
        Ok(_) => {
            Finding::skipped(check, format!("none runs at {RUNTIME_ADDRESS}; the port is free"))
        }
        Err(error) => {
            let text = format!("none answers at {RUNTIME_ADDRESS}, and the port is taken: {error}");
            Finding::failed(check, text, "find out who has it (ss -ltnp), or use --listen")
        }
    }
}

fn control_plane(context: Context<'_>) -> Finding {
    let check = "control plane";
    let Some(url) = context.var(env::ORCHESTRATOR_URL) else {
        return Finding::skipped(check, format!("{} is not set", env::ORCHESTRATOR_URL));
    };
    let asked = ControlPlane::without_identity(&url).and_then(|it| it.itself());
    match asked {
        Ok(said) => answered(check, &api::url::without_secrets(&url), &said),
        Err(failure) => Finding::of(check, &failure),
    }
}

fn collector(context: Context<'_>) -> Finding {
    let check = "collector";
    let signal = env::OTLP_ENDPOINT;
    let Some(url) = context.var(signal.logs).or_else(|| context.var(signal.all)) else {
        return Finding::skipped(check, format!("{} is not set", signal.all));
    };
    let shown = api::url::without_secrets(&url);
    let fix = "start the collector, or name another one; entries wait in the log until then";
    let parsed = Url::parse(&url).ok();
    let address =
        parsed.as_ref().and_then(|it| Some((it.host_str()?, it.port_or_known_default()?)));
    let Some((host, port)) = address else {
        return Finding::failed(check, format!("`{shown}` is no URL"), "http://HOST:PORT");
    };
    let host = host.trim_matches(['[', ']']);
    let connected = (host, port).to_socket_addrs().and_then(|mut all| {
        let first = all.next().ok_or(std::io::ErrorKind::NotFound)?;
        TcpStream::connect_timeout(&first, CONNECT_WAIT)
    });
    match connected {
        Ok(_) => Finding::ok(check, format!("{shown} takes connections")),
        Err(error) => Finding::failed(check, format!("{shown}: {error}"), fix),
    }
}
