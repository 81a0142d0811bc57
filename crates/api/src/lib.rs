//! What crosses the network and the process border: request and response types of both HTTP
//! services, the error body, the environment variables, and the exit codes.
//!
//! | module    | what it defines                                            |
//! |-----------|------------------------------------------------------------|
//! | `tool`    | `POST /v1/tool` of the runtime                             |
//! | `health`  | health and status answers                                  |
//! | `control` | events of the control plane                                |
//! | `problem` | error bodies: RFC 9457 over HTTP, one object on stdout      |
//! | `plan`    | plans of rollouts, as they are asked for and stored        |
//! | `rollout` | plans with their life, gates, what blocks them             |
//! | `fleet`   | nodes and releases                                         |
//! | `rbac`    | roles, assignments, tokens                                 |
//! | `audit`   | records of the audit trail                                 |
//! | `ha`      | who leads, and who may write                               |
//! | `node`    | names of nodes                                             |
//! | `release` | what a node should run, and what it says about it          |
//! | `env`     | every environment variable, with its documentation         |
//! | `size`    | numbers of bytes on a command line                         |
//! | `token`   | the secret that proves to the control plane who asks       |
//! | `url`     | URLs in logs, answers and errors                           |
//! | `exit`    | every exit code, with its meaning                          |
//!
//! Nothing here decides anything: domain crates have their own types, and the services convert at
//! their edge.

pub mod audit;
pub mod control;
pub mod env;
pub mod exit;
pub mod fleet;
pub mod ha;
pub mod health;
pub mod node;
pub mod plan;
pub mod problem;
pub mod rbac;
pub mod release;
pub mod rollout;
pub mod size;
pub mod token;
pub mod tool;
pub mod url;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
