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
//! |    7 | [`index`](super::index): one engine for each group of tools | nothing: then there is no index |
//!
//! All of it happens on a stack of its own, since the steps call themselves as deep as step 1 allows.

use std::collections::{BTreeMap, BTreeSet};

use regorus::{Engine, Value};
use serde_json::Value as Json;

use super::{
    ModuleError, REQUEST_DEPTH_MAX, bounds,
    graph::Path,
    index::Plan,
    shape,
    stack::{self, COMPILE_STACK},
    value::{self, Budget},
    vet::{self, Vetted},
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
    /// The engines for the groups of kinds, and the group of each kind; empty when there are none.
    pub(super) groups: Vec<Engine>,
    pub(super) kinds: BTreeMap<String, usize>,
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
    let mut engine = new_engine();
    let mut visits = 0;
    for module in modules {
        shape::check(&module.file, &module.text, &mut visits)?;
        add(&mut engine, module).map_err(|message| ModuleError::syntax(&message))?;
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
    engine.add_data(data.clone()).map_err(|error| ModuleError::compile(&error.to_string()))?;
    bounds::install(&mut engine, &|name| vetted.builtins.contains(name))
        .map_err(|message| ModuleError::Compile { place: None, message })?;
    analyse(&mut engine).map_err(|message| ModuleError::compile(&message))?;
    let (groups, kinds) = indexed(&mut engine, modules, &data, &vetted).unwrap_or_default();
    Ok(Program {
        decision: declared(&mut engine, &vetted.rules, DECISION, "data.autonomy.decision")?,
        allow: declared(&mut engine, &vetted.rules, ALLOW, "data.autonomy.allow")?,
        deny: declared(&mut engine, &vetted.rules, DENY, "data.autonomy.deny")?,
        engine,
        depth: vetted.depth,
        groups,
        kinds,
    })
}

fn new_engine() -> Engine {
    let mut engine = Engine::new();
    // An error in a function is an error, not an absent value that `not` turns into a yes.
    engine.set_strict_builtin_errors(true);
    // Never on the standard error of the process.
    engine.set_gather_prints(true);
    engine
}

fn add(engine: &mut Engine, module: &SourceModule) -> Result<(), String> {
    let added = engine.add_policy(module.file.clone(), module.text.clone());
    added.map(drop).map_err(|error| error.to_string())
}

/// Makes the engine analyse the modules: any query does.
fn analyse(engine: &mut Engine) -> Result<(), String> {
    let asked = engine.eval_query("true".to_owned(), false);
    asked.map(drop).map_err(|error| error.to_string())
}

/// The engines for the groups of kinds, and the group of each kind.
type Groups = (Vec<Engine>, BTreeMap<String, usize>);

/// Makes the engines of the index; `None` when there is none, or one of them is not what it must be.
fn indexed(
    whole: &mut Engine,
    modules: &[SourceModule],
    data: &Value,
    vetted: &Vetted,
) -> Option<Groups> {
    let plan = Plan::new(whole.get_modules(), &vetted.mentioned)?;
    let definitions = |engine: &mut Engine| -> usize {
        engine.get_modules().iter().map(|module| module.policy.len()).sum()
    };
    let mut engines = Vec::with_capacity(plan.count());
    for group in 0..plan.count() {
        let mut engine = new_engine();
        for module in plan.modules(group, modules)? {
            add(&mut engine, &module).ok()?;
        }
        if definitions(&mut engine) + plan.left_out(group) != definitions(whole) {
            return None;
        }
        engine.add_data(data.clone()).ok()?;
        bounds::install(&mut engine, &|name| vetted.builtins.contains(name)).ok()?;
        analyse(&mut engine).ok()?;
        engines.push(engine);
    }
    Some((engines, plan.groups))
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
