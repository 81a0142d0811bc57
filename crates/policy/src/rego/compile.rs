//! From modules and data to a program.
//!
//! | step | what                                             | refuses                              |
//! |-----:|--------------------------------------------------|--------------------------------------|
//! |    1 | [`shape`](super::shape): measure the tokens      | what the parser could choke on       |
//! |    2 | parse                                            | what is not Rego v1                  |
//! |    3 | [`vet`](super::vet): read the syntax trees       | functions, recursion, depth          |
//! |    4 | compare data and rules                           | values where a rule is defined       |
//! |    5 | analyse and order                                | what makes no policy                 |
//! |    6 | find out which of the three rules are declared   | rules put together part by part      |
//!
//! All of it happens on a stack of its own, since the steps call themselves as deep as step 1 allows.

use std::collections::BTreeSet;

use regorus::Engine;
use serde_json::Value as Json;

use super::{
    ModuleError, REQUEST_DEPTH_MAX, bounds,
    graph::Path,
    shape,
    stack::{self, COMPILE_STACK},
    value::{self, Budget},
    vet,
};

/// Rules that are asked, below `data`.
const DECISION: [&str; 2] = ["autonomy", "decision"];
const ALLOW: [&str; 2] = ["autonomy", "allow"];
const DENY: [&str; 2] = ["autonomy", "deny"];

/// One module: the name of its file and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceModule {
    pub(crate) file: String,
    pub(crate) text: String,
}

/// A compiled policy.
#[derive(Debug)]
pub(super) struct Program {
    /// The first engine; never evaluates anything itself.
    pub(super) engine: Engine,
    pub(super) decision: Option<&'static str>,
    pub(super) allow: Option<&'static str>,
    pub(super) deny: Option<&'static str>,
    /// Upper bound of how deep an evaluation gets.
    pub(super) depth: u32,
}

/// Compiles modules and data.
pub(super) fn compile(modules: &[SourceModule], data: &Json) -> Result<Program, ModuleError> {
    match stack::run(COMPILE_STACK, || compile_here(modules, data)) {
        Ok(Ok(res)) => res,
        Ok(Err(panic)) => {
            let message = stack::panic_text(&*panic).to_owned();
            Err(ModuleError::EnginePanicked { message })
        }
        Err(error) => Err(ModuleError::NoThread { message: error.to_string() }),
    }
}

fn compile_here(modules: &[SourceModule], data: &Json) -> Result<Program, ModuleError> {
    let mut engine = Engine::new();
    // An error in a function is an error, not an absent value that `not` turns into a yes.
    engine.set_strict_builtin_errors(true);
    // Never on the standard error of the process.
    engine.set_gather_prints(true);
    let mut visits = 0;
    for module in modules {
        shape::check(&module.file, &module.text, &mut visits)?;
        engine
            .add_policy(module.file.clone(), module.text.clone())
            .map_err(|error| ModuleError::syntax(&error.to_string()))?;
    }
    let vetted = vet::check(engine.get_modules())?;
    for rule in &vetted.rules {
        if let Some(path) = conflict(data, rule) {
            return Err(ModuleError::DataConflict { path });
        }
    }
    let mut budget = Budget::new(usize::MAX, REQUEST_DEPTH_MAX);
    let data = value::from_json(data, &mut budget)
        .map_err(|_| ModuleError::Data { limit: REQUEST_DEPTH_MAX })?;
    engine.add_data(data).map_err(|error| ModuleError::compile(&error.to_string()))?;
    bounds::install(&mut engine, &|name| vetted.builtins.contains(name))
        .map_err(|message| ModuleError::Compile { place: None, message })?;
    // Any query makes the engine analyse the modules.
    engine
        .eval_query("true".to_owned(), false)
        .map_err(|error| ModuleError::compile(&error.to_string()))?;
    Ok(Program {
        decision: declared(&mut engine, &vetted.rules, DECISION, "data.autonomy.decision")?,
        allow: declared(&mut engine, &vetted.rules, ALLOW, "data.autonomy.allow")?,
        deny: declared(&mut engine, &vetted.rules, DENY, "data.autonomy.deny")?,
        engine,
        depth: vetted.depth,
    })
}

/// Whether the modules declare a rule that is asked; then its path for the engine.
fn declared(
    engine: &mut Engine,
    rules: &BTreeSet<Path>,
    path: [&str; 2],
    query: &'static str,
) -> Result<Option<&'static str>, ModuleError> {
    let mut below = rules.iter().filter(|rule| rule.iter().zip(path).all(|(a, b)| a == b));
    if !below.any(|rule| rule.len() >= path.len()) {
        return Ok(None);
    }
    match engine.compile_with_entrypoint(&query.into()) {
        Ok(_) => Ok(Some(query)),
        Err(_) => Err(ModuleError::SplitAnswer { rule: path.join(".") }),
    }
}

/// Path of the data that a rule would hide or contradict.
pub(super) fn conflict(data: &Json, rule: &Path) -> Option<String> {
    let mut at = data;
    for (index, component) in rule.iter().enumerate() {
        at = at.as_object()?.get(component)?;
        if !at.is_object() {
            return rule.get(..=index).map(|it| it.join("."));
        }
    }
    Some(rule.join("."))
}
