//! Every command of the operator.
//!
//! | module     | what it does                                                      |
//! |------------|-------------------------------------------------------------------|
//! | `args`     | the command line                                                    |
//! | `commands` | one module a noun                                                   |
//! | `counted`  | numbers with what they count                                        |
//! | `control`  | the control plane, as a command sees it                             |
//! | `context`  | environment, defaults, streams: what a command may use of the world |
//! | `failure`  | what went wrong, with code, place, next step, and exit code         |
//! | `filter`   | which entries of a log are meant                                    |
//! | `inherited` | what a careless parent has left to this process                  |
//! | `printable` | text of others for a terminal                                     |
//! | `rights`   | what the file system refuses, and what mends it                   |
//! | `settings` | what a variable says when it is not set                             |
//! | `span`     | lengths of time on a command line                                   |
//! | `table`    | tables for people                                                   |
//! | `target`   | where `--out` writes to                                             |
//! | `run`      | from arguments to an exit code                                      |

mod args;
mod beside;
mod commands;
mod context;
mod control;
mod counted;
mod failure;
mod filter;
mod inherited;
mod printable;
mod rights;
mod run;
mod settings;
mod span;
mod table;
mod target;

pub use args::command;
pub use commands::explain::explained_codes;
pub use run::run;

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
