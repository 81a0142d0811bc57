//! Rego, evaluated in the process by `regorus`.
//!
//! | module     | what it holds                                                   |
//! |------------|-----------------------------------------------------------------|
//! | `shape`    | what a module looks like from its tokens                        |
//! | `vet`      | what modules may say, from their syntax trees                   |
//! | `walk`     | the way through one rule                                        |
//! | `graph`    | which rule needs which: recursion and depth                     |
//! | `builtins` | the list of functions a policy may call                         |
//! | `bounds`   | how far functions with large results may go                     |
//! | `compile`  | all of the above in order, then the engine                      |
//! | `index`    | an engine for each group of tools                               |
//! | `program`  | [`RegoEvaluator`]                                               |
//! | `input`    | the input document                                              |
//! | `value`    | values of the engine and JSON                                   |
//! | `verdict`  | how three answers become one decision                           |
//! | `stack`    | enough stack for an engine that calls itself                    |
//! | `survey`   | everything that is wrong with modules, not only the first thing |
//! | `suite`    | [`Suite`]: the tests that modules have of themselves            |
//! | `place`    | where in a module something is                                  |
//! | `error`    | why modules are refused                                         |

mod bounds;
mod builtins;
mod compile;
mod error;
mod graph;
mod index;
mod input;
mod place;
mod program;
mod shape;
mod stack;
mod suite;
mod survey;
mod value;
mod verdict;
mod vet;
mod walk;

pub use bounds::{
    EXPONENT_MAX, HOST_BITS_MAX, NUMBER_LEN_MAX, PAIRS_MAX, RANGE_LEN_MAX, RESULT_LEN_MAX,
    SHIFT_MAX, WIDTH_MAX,
};
pub use builtins::BUILTINS;
pub(crate) use compile::SourceModule;
pub use error::ModuleError;
pub use input::{REQUEST_DEPTH_MAX, REQUEST_LEN_MAX};
pub use place::Place;
pub use program::{EVALUATION_TIME_MAX, RegoEvaluator};
pub use shape::{NESTING_MAX, PARSE_VISITS_MAX};
pub use stack::STACK_LEFT_MIN;
pub(crate) use suite::is_test;
pub use suite::{FileCoverage, Outcome, Suite, TEST_FILE, Test};
pub(crate) use survey::survey;
pub use verdict::OBLIGATIONS_LEN_MAX;
pub use vet::{EVALUATION_DEPTH_MAX, STATEMENTS_MAX};
