//! `autonomy ros2`.

use clap::{Args, Subcommand};

use super::Governing;

#[derive(Debug, Subcommand)]
pub(crate) enum Ros2 {
    /// Starts a ROS 2 command under governance, after the policy has allowed it.
    ///
    /// In a container with --image. On the machine itself only with --allow-reduced-governance, since
    /// nothing keeps a native process from doing what it did not ask for. Denied: exit code 3,
    /// nothing is started.
    #[command(after_help = "Examples:
  autonomy ros2 run --image ros:jazzy -- launch demo_nodes_cpp talker_listener.launch.py
  autonomy ros2 run --allow-reduced-governance --policy ./policies -- run demo_nodes_cpp talker")]
    Run(Ros2Run),
}

#[derive(Args, Debug)]
pub(crate) struct Ros2Run {
    /// Image of the container in which ros2 runs.
    #[arg(long, value_name = "IMAGE", conflicts_with = "allow_reduced_governance")]
    pub(crate) image: Option<String>,
    /// Runs ros2 on this machine, without a container around it.
    #[arg(long)]
    pub(crate) allow_reduced_governance: bool,
    #[command(flatten)]
    pub(crate) governing: Governing,
    /// The arguments of ros2: launch, run, ….
    #[arg(last = true, required = true, value_name = "ARGS")]
    pub(crate) args: Vec<String>,
}
