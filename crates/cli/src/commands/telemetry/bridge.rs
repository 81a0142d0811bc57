//! `autonomy telemetry bridge`: OTLP in, events of the control plane out, nothing kept.

use api::exit::Exit;
use otlp_receiver::{Config, Forward, Keep, Limits, Loss, ServeError};
use tokio::signal::unix::{SignalKind, signal};

use crate::{args::Bridge, context::Context, control, failure::Failure};

pub(super) fn run(args: &Bridge, context: Context<'_>) -> Result<Exit, Failure> {
    let format = args.log_format.unwrap_or_else(|| context.log_format());
    logging::init(format, &context.log_filter())
        .map_err(|error| Failure::of(Exit::Usage, "LOG_FILTER", &error).hint(error.hint()))?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let config = config(args, context)?;
    executor.map_err(|it| Failure::process(&it))?.block_on(serve(args, config))
}

async fn serve(args: &Bridge, config: Config) -> Result<Exit, Failure> {
    let mut terminate = signal(SignalKind::terminate()).map_err(|it| Failure::process(&it))?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(|it| Failure::process(&it))?;
    let listener = otlp_receiver::bind(args.listen)
        .await
        .map_err(|error| Failure::of(Exit::Failed, "LISTEN_FAILED", &error).hint(error.hint()))?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    let served = otlp_receiver::serve(listener, config, stop).await;
    served.map(|()| Exit::Done).map_err(|error| {
        let (exit, code) = match &error {
            ServeError::Forward(error) => (Exit::Usage, error.code()),
            ServeError::Keep(_) | ServeError::Listener(_) => (Exit::Failed, "BRIDGE_FAILED"),
        };
        Failure::of(exit, code, &error).hint(error.hint())
    })
}

fn config(args: &Bridge, context: Context<'_>) -> Result<Config, Failure> {
    let mut limits = Limits::STANDARD;
    limits.request.bytes = args.max_body;
    Ok(Config {
        name: "telemetry bridge",
        keep: Keep::Nothing,
        forward: Some(Forward {
            url: args.forward_url.clone(),
            timeout: Forward::TIMEOUT_DEFAULT,
            loss: if args.lossy { Loss::Accepted } else { Loss::Never },
            token: control::token(context)?,
            tls: control::material(context)?,
        }),
        limits,
    })
}
