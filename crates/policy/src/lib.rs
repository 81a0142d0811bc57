//! Policy decisions: Rego evaluation, bundles, and the slots they are loaded into.
//!
//! | module      | what it holds                                                          |
//! |-------------|------------------------------------------------------------------------|
//! | `request`   | [`Request`]: what is asked; the input document of a policy             |
//! | `decision`  | [`Decision`]: what is answered; [`DenyCode`]: every reason to deny     |
//! | `evaluator` | [`Evaluator`]: the port; [`DenyAll`]: the answer without a policy      |
//! | `rego`      | [`RegoEvaluator`]: Rego v1 in the process, bounded and without effects |
//! | `bundle`    | [`Bundle`], [`build`]: a policy as one file, reproducible and checked  |
//! | `findings`  | [`findings`]: everything that is wrong with the files of a policy      |
//! | [`replay`]  | recorded calls, decided again                                          |
//! | `compat`    | [`RuntimeRequirement`]: which runtimes a bundle is made for            |
//! | `json`      | [`check_json`]: the shape of JSON texts of others                       |
//! | `slots`     | [`Slots`]: the current bundle and the last known good one              |
//! | [`demo`]    | a small policy, as sources                                             |
//!
//! The way of a policy: files → [`build`] → bytes → [`Slots::activate`] → [`Slots::load`] →
//! [`Evaluator::evaluate`]. Every step refuses by name, and the last one answers every request.

pub mod demo;

mod bundle;
mod compat;
mod decision;
mod evaluator;
mod findings;
mod json;
mod rego;
pub mod replay;
mod request;
mod slots;

pub use bundle::{
    BUNDLE_LEN_MAX, Built, Bundle, BundleError, ENTRIES_MAX, ENTRY_LEN_MAX, NAME_LEN_MAX,
    PATH_LEN_MAX, PathFault, Recipe, Sources, UNPACKED_LEN_MAX, build, from_modules,
};
pub use compat::{CONSTRAINTS_MAX, Incompatible, RequirementError, RuntimeRequirement};
pub use decision::{Allow, Decision, Deny, DenyCode, TEXT_LEN_MAX};
pub use evaluator::{DenyAll, Evaluator};
pub use findings::{Finding, Severity, findings};
pub use json::check_json;
pub use rego::{
    BUILTINS, EVALUATION_DEPTH_MAX, EVALUATION_TIME_MAX, EXPONENT_MAX, FileCoverage, HOST_BITS_MAX,
    ModuleError, NESTING_MAX, NUMBER_LEN_MAX, OBLIGATIONS_LEN_MAX, Outcome, PAIRS_MAX,
    PARSE_VISITS_MAX, Place, RANGE_LEN_MAX, REQUEST_DEPTH_MAX, REQUEST_LEN_MAX, RESULT_LEN_MAX,
    RegoEvaluator, SHIFT_MAX, STACK_LEFT_MIN, STATEMENTS_MAX, Suite, TEST_FILE, Test, WIDTH_MAX,
};
pub use request::{Context, Request};
pub use slots::{
    ActivateError, Activated, Loaded, Slot, SlotBundle, SlotFault, SlotMeta, SlotWarning, Slots,
    Source,
};

/// The example of the README is a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
