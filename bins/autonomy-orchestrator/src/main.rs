//! The control plane as a program. Everything it does is in the crate `orchestrator`.

mod args;

use std::{
    env,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use args::{Args, Command, Serve};
use clap::Parser as _;
use orchestrator::{
    Config, ServeError,
    logging::{self, LogFormat},
    shutdown,
};

fn main() -> ExitCode {
    let terminal = io::stderr().is_terminal();
    let (format, outcome) = match Args::parse().command {
        Command::Version => (LogFormat::Text, version()),
        Command::Serve(args) => {
            let format = args.log_format.map_or(LogFormat::for_stderr(terminal), Into::into);
            (format, serve(args, format, terminal))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when stderr is closed.
            _ = writeln!(io::stderr(), "{}", error.last_words(format));
            ExitCode::from(error.exit().code())
        }
    }
}

fn version() -> Result<(), ServeError> {
    writeln!(io::stdout(), "autonomy-orchestrator {}", env!("CARGO_PKG_VERSION"))
        .map_err(|source| ServeError::Process { source })
}

fn serve(args: Serve, format: LogFormat, terminal: bool) -> Result<(), ServeError> {
    let process = |source| ServeError::Process { source };
    let lookup = |name: &str| env::var_os(name);
    let subscriber = logging::subscriber(format, terminal, &lookup, io::stderr)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|it| process(io::Error::other(it)))?;

    let mut config = Config::from_lookup(args.data_dir, &lookup)?;
    config.listen = args.listen;
    config.limits.body_len_max = args.max_body;
    let runtime = tokio::runtime::Runtime::new().map_err(process)?;
    runtime.block_on(async {
        // Before anything slow, so that a signal during the start is not lost.
        let stop = shutdown::signalled().map_err(process)?;
        orchestrator::run(config, stop).await
    })
}
