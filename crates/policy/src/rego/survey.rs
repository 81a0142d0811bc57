//! Everything that is wrong with modules, not only the first thing.
//!
//! | step | what                                  | goes on behind                                           |
//! |-----:|---------------------------------------|----------------------------------------------------------|
//! |    1 | shape and syntax of each module       | the first fault of each module                           |
//! |    2 | what modules may say ([`vet`])        | each faulty statement                                    |
//! |    3 | data where a rule is                  | each rule                                                |
//! |    4 | the analysis of the engine            | the first fault of each module: it is replaced by the names of its rules, and the rest is analysed again |
//!
//! When step 1 finds something, only those faults of step 2 count that no missing module can explain, and the
//! steps behind it are left out.
//!
//! * **U1** No fault is found exactly when the modules compile.

use std::{collections::BTreeSet, fmt::Write as _};

use regorus::{
    Engine,
    unstable::{Expr, Module, Ref, Rule, RuleHead},
};
use serde_json::Value as Json;

use super::{
    ModuleError, Place, builtins,
    compile::{self, SourceModule, conflict},
    shape,
    stack::{self, COMPILE_STACK},
    vet,
};

/// What modules and data come down to.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    /// What is wrong, file by file.
    pub(crate) faults: Vec<ModuleError>,
    /// Paths of all rules below `data` that are no functions, with the place of each definition.
    pub(crate) rules: Vec<(Vec<String>, Place)>,
}

/// Finds what is wrong with modules and data (U1).
pub(crate) fn survey(modules: &[SourceModule], data: &Json) -> Surveyed {
    let found = stack::run(COMPILE_STACK, || survey_here(modules, data));
    let mut surveyed = match found {
        Ok(Ok(surveyed)) => surveyed,
        Ok(Err(panic)) => {
            let message = stack::panic_text(&*panic).to_owned();
            let faults = vec![ModuleError::EnginePanicked { message }];
            Surveyed { faults, ..Surveyed::default() }
        }
        Err(error) => {
            let faults = vec![ModuleError::NoThread { message: error.to_string() }];
            Surveyed { faults, ..Surveyed::default() }
        }
    };
    // What decides about a bundle has the last word (U1).
    if surveyed.faults.is_empty()
        && let Err(fault) = compile::compile(modules, data)
    {
        surveyed.faults.push(fault);
    }
    surveyed
}

fn survey_here(modules: &[SourceModule], data: &Json) -> Surveyed {
    let mut engine = Engine::new();
    let (mut faults, mut visits) = (Vec::new(), 0);
    for module in modules {
        if let Err(fault) = add(&mut engine, module, &mut visits) {
            faults.push(fault);
        }
    }
    let (vetted, mut found) = vet::survey(engine.get_modules());
    let whole = faults.is_empty();
    found.retain(|it| whole || stands_alone(it));
    faults.extend(found);
    if whole {
        let conflicts = vetted.rules.iter().filter_map(|rule| conflict(data, rule));
        let conflicts: BTreeSet<_> = conflicts.collect();
        faults.extend(conflicts.into_iter().map(|path| ModuleError::DataConflict { path }));
    }
    if faults.is_empty() {
        faults.extend(analyse(modules));
    }
    Surveyed { faults, rules: vet::rules(engine.get_modules()) }
}

fn add(engine: &mut Engine, module: &SourceModule, visits: &mut u64) -> Result<(), ModuleError> {
    shape::check(&module.file, &module.text, visits)?;
    let added = engine.add_policy(module.file.clone(), module.text.clone());
    added.map(|_| ()).map_err(|error| ModuleError::syntax(&error.to_string()))
}

/// Whether a fault is one whatever stands in the modules that could not be read.
fn stands_alone(fault: &ModuleError) -> bool {
    match fault {
        ModuleError::Function { name, .. } => builtins::is_known(name),
        ModuleError::TooManyStatements { .. } | ModuleError::Recursion { .. } => true,
        _ => false,
    }
}

/// Lets the engine analyse all modules, then all but the faulty one, and so on.
fn analyse(modules: &[SourceModule]) -> Vec<ModuleError> {
    let (mut modules, mut faults) = (modules.to_vec(), Vec::new());
    // Each round replaces a module for good.
    for _ in 0..modules.len() {
        let mut engine = Engine::new();
        let mut visits = 0;
        if modules.iter().any(|it| add(&mut engine, it, &mut visits).is_err()) {
            break;
        }
        let Err(error) = engine.eval_query("true".to_owned(), false) else { break };
        let fault = ModuleError::compile(&error.to_string());
        let at = fault.place().and_then(|it| modules.iter_mut().find(|m| m.file == it.file));
        let parsed = engine.get_modules();
        let stand_in = at.zip(fault.place()).and_then(|(module, place)| {
            let parsed =
                parsed.iter().find(|it| it.package.span.source.get_path() == &place.file)?;
            Some((module, names_of(parsed)))
        });
        faults.push(fault);
        match stand_in {
            Some((module, text)) if module.text != text => module.text = text,
            _ => break,
        }
    }
    faults
}

/// A module with the same package and the same names, all of them undefined.
fn names_of(module: &Ref<Module>) -> String {
    let mut text = format!("package {}\n", module.package.refr.span().text());
    let mut seen = BTreeSet::new();
    for rule in &module.policy {
        let (refr, rest) = match rule.as_ref() {
            Rule::Spec { head: RuleHead::Func { refr, args, .. }, .. }
            | Rule::Default { refr, args, .. } => (refr, parameters(args)),
            Rule::Spec { head: RuleHead::Set { refr, .. }, .. } => (refr, " contains 1".to_owned()),
            Rule::Spec { head: RuleHead::Compr { refr, .. }, .. } => (refr, String::new()),
        };
        let name = first_name(refr);
        if seen.insert(name.clone()) {
            // Writing into a text does not fail.
            _ = writeln!(text, "{name}{rest} if false");
        }
    }
    text
}

fn parameters(args: &[Ref<Expr>]) -> String {
    let names: Vec<_> = (0..args.len()).map(|it| format!("a{it}")).collect();
    if names.is_empty() { String::new() } else { format!("({})", names.join(", ")) }
}

fn first_name(mut expr: &Expr) -> String {
    loop {
        match expr {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => expr = refr,
            other => return other.span().text().to_owned(),
        }
    }
}
