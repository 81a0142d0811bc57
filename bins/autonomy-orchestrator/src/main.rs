//! The control plane as a program. Everything it does is in the crate `orchestrator`.

mod args;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use api::env as names;
use args::{Args, Command, Serve};
use clap::Parser as _;
use logging::Format;
use orchestrator::{Config, ServeError, shutdown};

fn main() -> ExitCode {
    let plain = env::var_os(names::NO_COLOR).is_some_and(|it| !it.is_empty())
        || env::var_os(names::TERM).is_some_and(|it| it == names::TERM_DUMB);
    let detected = Format::detect(io::stderr().is_terminal(), plain);
    let (format, outcome) = match Args::parse().command {
        Command::Version => (Format::Text { ansi: false }, version()),
        Command::Serve(args) => {
            let format = args.log_format.unwrap_or(detected);
            (format, serve(args, format))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            _ = writeln!(io::stderr(), "{}", error.last_words(format == Format::Json));
            ExitCode::from(error.exit().code())
        }
    }
}

fn version() -> Result<(), ServeError> {
    writeln!(io::stdout(), "autonomy-orchestrator {}", env!("CARGO_PKG_VERSION"))
        .map_err(|source| ServeError::Process { source })
}

fn serve(args: Serve, format: Format) -> Result<(), ServeError> {
    let process = |source| ServeError::Process { source };
    let filter = env::var(names::RUST_LOG).ok().filter(|it| !it.is_empty());
    logging::init(format, filter.as_deref().unwrap_or(logging::FILTER_DEFAULT))
        .map_err(|error| ServeError::LogFilter { reason: error.to_string() })?;

    let mut config = Config::from_lookup(args.data_dir.clone(), &|name| env::var_os(name))?;
    args.settle(&mut config);
    let runtime = tokio::runtime::Runtime::new().map_err(process)?;
    runtime.block_on(async {
        // Before anything slow, so that a signal during the start is not lost.
        let stop = shutdown::signalled().map_err(process)?;
        orchestrator::run(config, stop).await
    })
}
