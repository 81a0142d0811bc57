//! `autonomy demo`: the product in one command, and a verdict that comes from the log.

mod evidence;
mod gazebo;
mod policy;
mod robot;

use api::{env, exit::Exit};
use runtime::{AllowList, Tools};

use super::own_runtime::{Asked, BuiltIn, Choice, OwnRuntime, Place, config, quiet_log};
use crate::{
    args::{Demo, Governing},
    context::Context,
    failure::Failure,
};

pub(crate) fn run(command: &Demo, context: Context<'_>) -> Result<Exit, Failure> {
    quiet_log(context)?;
    let executor = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let executor = executor.map_err(|it| Failure::process(&it))?;
    match command {
        Demo::Policy(args) => executor.block_on(policy::tell(args, context)),
        Demo::Gazebo(args) if args.local => executor.block_on(gazebo::tell(args, context)),
        Demo::Gazebo(args) => gazebo::in_containers(&args.compose_file),
    }
}

/// A runtime for a demo, where its log is, and the policy that decides.
async fn start(
    asked: Asked<'_>,
    policy: &BuiltIn,
    tools: Tools,
    context: Context<'_>,
) -> Result<(OwnRuntime, Place, String), Failure> {
    let governing = Governing {
        policy: None,
        dir: None,
        keep: false,
        node_id: Some("demo".to_owned()),
        allowed_domains: AllowList::default(),
        enable_shell: false,
        redact_params: false,
    };
    let choice = Choice::of(None, policy)?;
    // A demo does not write into the log of an agent because a variable is set.
    let place = Place::apart(asked, context)?;
    let config = config(&governing, &place, choice.evaluator, context)?;
    if config.strict {
        place.clear()?;
        let message = format!(
            "{}=1 is set: every call is denied, so a demo can show nothing",
            env::STRICT_MODE
        );
        return Err(Failure::new(Exit::Usage, "DEMO_STRICT_MODE", message).hint(format!(
            "run it with {}=0; a demo governs nothing but itself",
            env::STRICT_MODE
        )));
    }
    Ok((OwnRuntime::start(config, tools).await?, place, choice.shown))
}
