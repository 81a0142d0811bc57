//! The sink as a program. Everything it does is in the crate `otlp-receiver`.

mod args;
mod credentials;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use api::{env as names, exit::Exit};
use args::Args;
use clap::Parser as _;
use credentials::Credentials;
use logging::Format;
use otlp_receiver::{ForwardError, KeepError, ServeError};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err((exit, text, hint)) => {
            // Nobody is left to tell when stderr is closed.
            writeln!(io::stderr(), "error: {text}\nhint: {hint}").ok();
            ExitCode::from(exit.code())
        }
    }
}

type Failure = (Exit, String, &'static str);

fn run(args: &Args) -> Result<(), Failure> {
    let var = |name: &str| env::var(name).ok().filter(|it| !it.is_empty());
    let plain =
        var(names::NO_COLOR).is_some() || var(names::TERM).is_some_and(|it| it == names::TERM_DUMB);
    let detected = Format::detect(io::stderr().is_terminal(), plain);
    let filter = var(names::RUST_LOG).unwrap_or_else(|| logging::FILTER_DEFAULT.to_owned());
    logging::init(args.log_format.unwrap_or(detected), &filter)
        .map_err(|error| (Exit::Usage, error.to_string(), error.hint()))?;
    let runtime = tokio::runtime::Runtime::new().map_err(|error| process(&error))?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(|it| process(&it))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(|it| process(&it))?;
        let listener = otlp_receiver::bind(args.listen).await;
        let listener = listener.map_err(|it| (Exit::Failed, it.to_string(), it.hint()))?;
        let stop = async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        let credentials = Credentials::read(&|name: &str| var(name));
        let credentials = credentials.map_err(|(text, hint)| (Exit::Usage, text, hint))?;
        let config = args.config(format!("pid {}", std::process::id()), credentials);
        let served = otlp_receiver::serve(listener, config, stop).await;
        served.map_err(|it| (exit(&it), text(&it), it.hint()))
    })
}

fn text(error: &ServeError) -> String {
    match error {
        ServeError::Forward(it @ (ForwardError::Token(_) | ForwardError::Certificate(_))) => {
            format!("{}: {it}", it.code())
        }
        other => other.to_string(),
    }
}

fn exit(error: &ServeError) -> Exit {
    match error {
        ServeError::Forward(_) => Exit::Usage,
        ServeError::Keep(KeepError::Locked { .. }) => Exit::Busy,
        ServeError::Keep(_) | ServeError::Listener(_) => Exit::Failed,
    }
}

fn process(error: &io::Error) -> Failure {
    let text = format!("cannot start the process: {error}");
    (Exit::Failed, text, "check the limits of the process (ulimit -a)")
}
