//! A runtime in this process, for as long as a command or a demo takes.
//!
//! * **G1** It listens on the loopback, on a port that was free.
//! * **G2** Who has one has seen it answer: whatever needs to be governed is started after that.
//! * **G3** It ends in order: what runs finishes, and the log is closed.

mod choice;
mod place;
mod record;

pub(super) use choice::{BuiltIn, Choice, DEMO};
pub(super) use place::{Asked, Place};
pub(super) use record::{Recorded, Tally, read};

use std::time::Duration;

use api::{env, exit::Exit};
use policy::Evaluator;
use runtime::{Config, PolicyFrom, Recorder, Runtime, StartError, Tools};
use tokio::{
    net::TcpListener,
    sync::oneshot,
    task::{JoinError, JoinHandle},
};

use crate::{
    args::Governing,
    commands::runtime::{checked_node, host_node, refused},
    context::Context,
    failure::Failure,
};

/// Longest wait for one answer of the runtime; longer than any tool may run.
const ANSWER_WAIT: Duration = Duration::from_mins(1);

/// A runtime that serves (G2).
pub(super) struct OwnRuntime {
    url: String,
    recorder: Recorder,
    http: reqwest::Client,
    config: Config,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StartError>>,
    /// Whether it has ended and was waited for.
    ended: bool,
}

impl OwnRuntime {
    /// Starts it and waits until it answers.
    pub(super) async fn start(config: Config, tools: Tools) -> Result<Self, Failure> {
        let bound = async {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let addr = listener.local_addr()?;
            Ok((listener, format!("http://{addr}")))
        };
        let (listener, url) = bound.await.map_err(|it| Failure::process(&it))?;
        let http = client()?;
        let runtime =
            Runtime::open(&config, tools).await.map_err(|error| refused(&config, error))?;
        let recorder = runtime.recorder();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(runtime.serve(listener, async {
            // Either it is asked to stop, or whoever would ask is gone.
            stopped.await.ok();
        }));
        let mut this = Self { url, recorder, http, config, stop, serving, ended: false };
        let health = this.http.get(format!("{}/health", this.url)).send();
        tokio::select! {
            failed = &mut this.serving => Err(lost(&this.config, failed)),
            answer = health => match answer {
                Ok(answer) if answer.status().is_success() => Ok(this),
                Ok(answer) => Err(unanswered(&format!("GET /health answers {}", answer.status()))),
                // The listener goes with whoever serves, and that knows why.
                Err(_) if this.serving.is_finished() => Err(this.lost().await),
                Err(error) => Err(unanswered(&error.to_string())),
            }
        }
    }

    /// Base URL.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Writes into its log.
    pub(super) const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// Posts a body to `/v1/tool` and returns the answer.
    pub(super) async fn call(
        &self,
        body: String,
    ) -> Result<(u16, api::tool::ToolResponse), Failure> {
        let asked = async {
            let answer = self.http.post(format!("{}/v1/tool", self.url)).body(body).send().await?;
            let status = answer.status().as_u16();
            Ok::<_, reqwest::Error>((status, answer.json().await?))
        };
        asked.await.map_err(|error| unanswered(&error.to_string()))
    }

    /// Waits until it ends although nobody asked for that, and says why.
    pub(super) async fn lost(&mut self) -> Failure {
        let ended = (&mut self.serving).await;
        self.ended = true;
        lost(&self.config, ended)
    }

    /// Ends it in order (G3). One that was lost has said so.
    pub(super) async fn stop(self) -> Result<(), Failure> {
        if self.ended {
            return Ok(());
        }
        // It may have ended by itself; the result says so.
        self.stop.send(()).ok();
        match self.serving.await {
            Ok(Ok(())) => Ok(()),
            other => Err(lost(&self.config, other)),
        }
    }
}

fn client() -> Result<reqwest::Client, Failure> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls::client_config().config)
        .no_proxy()
        .timeout(ANSWER_WAIT);
    builder.build().map_err(|error| Failure::of(Exit::Failed, "RUNTIME_LOST", &error))
}

fn unanswered(what: &str) -> Failure {
    let message = format!("the runtime in this process does not answer: {what}");
    Failure::new(Exit::Failed, "RUNTIME_LOST", message)
}

fn lost(config: &Config, ended: Result<Result<(), StartError>, JoinError>) -> Failure {
    match ended {
        Ok(Err(error)) => refused(config, error),
        Ok(Ok(())) => unanswered("it has ended"),
        Err(error) => unanswered(&error.to_string()),
    }
}

/// The configuration of a runtime that governs one command.
pub(super) fn config(
    governing: &Governing,
    place: &Place,
    evaluator: std::sync::Arc<dyn Evaluator>,
    context: Context<'_>,
) -> Result<Config, Failure> {
    let node = match &governing.node_id {
        Some(node) => checked_node(node)?,
        None => host_node(),
    };
    Ok(Config {
        operator: context.var(env::OPERATOR),
        strict: context.switch(env::STRICT_MODE)?,
        redact_params: governing.redact_params,
        // The log of a run is in one piece, so that it can be counted at the end.
        wal_max_bytes: u64::MAX,
        ..Config::new(place.dir(), PolicyFrom::Fixed(evaluator), node)
    })
}

/// Prepares the log lines of a process whose stderr belongs to somebody else: warnings only, unless
/// `RUST_LOG` says otherwise.
pub(super) fn quiet_log(context: Context<'_>) -> Result<(), Failure> {
    let filter = context.var(env::RUST_LOG).unwrap_or_else(|| "warn".to_owned());
    logging::init(context.log_format(), &filter)
        .map_err(|error| Failure::of(Exit::Usage, "LOG_FILTER", &error).hint(error.hint()))
}
