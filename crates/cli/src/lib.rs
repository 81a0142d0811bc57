//! Every command of the operator.
//!
//! | module     | what it does                                                      |
//! |------------|-------------------------------------------------------------------|
//! | `args`     | the command line                                                    |
//! | `commands` | one module a noun                                                   |
//! | `counted`  | numbers with what they count                                        |
//! | `context`  | environment, defaults, streams: what a command may use of the world |
//! | `failure`  | what went wrong, with code, place, next step, and exit code         |
//! | `filter`   | which entries of a log are meant                                    |
//! | `inherited` | what a careless parent has left to this process                  |
//! | `printable` | text of others for a terminal                                     |
//! | `target`   | where `--out` writes to                                             |
//! | `run`      | from arguments to an exit code                                      |

mod args;
mod commands;
mod context;
mod counted;
mod failure;
mod filter;
mod inherited;
mod printable;
mod run;
mod target;

pub use args::command;
pub use commands::explain::explained_codes;
pub use run::run;
