//! `autonomy demo`: the product in one command, and a verdict that comes from the log.

mod evidence;
mod gazebo;
mod policy;
mod robot;

use api::exit::Exit;
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
    Ok((OwnRuntime::start(config, tools).await?, place, choice.shown))
}
