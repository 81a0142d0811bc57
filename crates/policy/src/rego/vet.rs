//! What the modules of a policy may say, read from their syntax trees.
//!
//! | check                                   | why here                                             |
//! |-----------------------------------------|------------------------------------------------------|
//! | every function that is called exists and is on the [list](super::BUILTINS) | the engine looks only when it calls |
//! | nothing reaches itself                  | the engine does not notice recursion of functions    |
//! | nothing nests too deep                  | the engine calls itself, and the stack is finite     |
//! | no body has too many statements         | the engine orders them in quadratic time             |
//!
//! # Invariants
//!
//! * **W1** A mention that cannot be told apart from a local variable counts as none only when the
//!   variable is declared in an enclosing body (`:=`, `some`, `every`, or an argument).
//! * **W2** Names are put together exactly as the engine does.

use std::collections::{BTreeMap, BTreeSet};

use regorus::{
    Value,
    unstable::{Expr, Import, Module, Ref, Rule, RuleHead},
};

use super::{
    ModuleError, Place,
    graph::{Graph, Path, deepest},
    walk::{Walk, Walked},
};

/// Deepest evaluation, in nested expressions along a chain of rules that need each other.
pub const EVALUATION_DEPTH_MAX: u32 = 512;

/// Most statements in one body.
pub const STATEMENTS_MAX: usize = 256;

/// What is known about a policy whose modules may be compiled.
#[derive(Debug)]
pub(super) struct Vetted {
    /// Paths of all rules.
    pub(super) rules: BTreeSet<Path>,
    /// Built-in functions that are mentioned.
    pub(super) builtins: BTreeSet<String>,
    /// Upper bound of how deep an evaluation gets, in units of [`graph`](super::graph).
    pub(super) depth: u32,
    /// Every path that is mentioned: a rule, something inside a rule, or a package.
    pub(super) mentioned: BTreeSet<Path>,
}

/// Checks all modules of a policy together; the error is the first of [`survey`].
pub(super) fn check(modules: &[Ref<Module>]) -> Result<Vetted, ModuleError> {
    let (vetted, faults) = survey(modules);
    match faults.into_iter().next() {
        None => Ok(vetted),
        Some(fault) => Err(fault),
    }
}

/// Finds everything that is wrong with the modules of a policy, one fault a statement. What is known about
/// them counts only when nothing is.
pub(super) fn survey(modules: &[Ref<Module>]) -> (Vetted, Vec<ModuleError>) {
    let mut names = Names::default();
    for module in modules {
        names.collect(module);
    }
    let (mut graph, mut used, mut faults) = (Graph::new(), BTreeSet::new(), Vec::new());
    for module in modules {
        let scope = ModuleScope::new(module);
        for rule in &module.policy {
            let (refr, _) = head_of(rule);
            let mut node = graph.remove(&scope.path_of(refr)).unwrap_or_default();
            node.place.get_or_insert_with(|| Place::of(rule.span()));
            let mut walk = Walk::new(&scope, &names, node, &mut used);
            walk.definition(rule);
            let Walked { node, stand_ins, faults: found } = walk.finish();
            faults.extend(found);
            graph.insert(scope.path_of(refr), node);
            for (original, stand_in) in stand_ins {
                graph.entry(original).or_default().mention(stand_in, 0);
            }
        }
    }
    let mut vetted =
        Vetted { rules: names.rules, builtins: used, depth: 0, mentioned: BTreeSet::new() };
    match deepest(&graph) {
        Ok((depth, rule)) if depth > EVALUATION_DEPTH_MAX => {
            faults.push(ModuleError::TooDeep { rule: rule.join("."), depth });
        }
        Ok((depth, _)) => vetted.depth = depth,
        Err(cycle) => {
            let rule = cycle.rule.join(".");
            faults.push(ModuleError::Recursion { place: cycle.place, rule });
        }
    }
    vetted.mentioned = graph.into_values().flat_map(|node| node.mentions.into_keys()).collect();
    (vetted, faults)
}

/// The rules of modules that are no functions, with the place of each definition.
pub(super) fn rules(modules: &[Ref<Module>]) -> Vec<(Path, Place)> {
    let mut found = Vec::new();
    for module in modules {
        let scope = ModuleScope::new(module);
        for rule in &module.policy {
            let (refr, is_function) = head_of(rule);
            if !is_function {
                found.push((scope.path_of(refr), Place::of(refr.span())));
            }
        }
    }
    found
}

/// The rules and functions of all modules.
#[derive(Debug, Default)]
pub(super) struct Names {
    rules: BTreeSet<Path>,
    functions: BTreeSet<Path>,
}

impl Names {
    fn collect(&mut self, module: &Module) {
        let scope = ModuleScope::new(module);
        for rule in &module.policy {
            let (refr, is_function) = head_of(rule);
            if is_function {
                self.functions.insert(scope.named(refr));
            }
            self.rules.insert(scope.path_of(refr));
        }
    }

    pub(super) fn has_function(&self, path: &Path) -> bool {
        self.functions.contains(path)
    }
}

fn head_of(rule: &Rule) -> (&Expr, bool) {
    match rule {
        Rule::Spec { head: RuleHead::Func { refr, .. }, .. } => (refr, true),
        Rule::Spec { head: RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }, .. } => {
            (refr, false)
        }
        Rule::Default { refr, args, .. } => (refr, !args.is_empty()),
    }
}

/// How names are understood in one module.
#[derive(Debug)]
pub(super) struct ModuleScope {
    package: Path,
    /// What an alias stands for, including the leading `data` or `input`.
    imports: BTreeMap<String, Path>,
}

impl ModuleScope {
    fn new(module: &Module) -> Self {
        let imports = module.imports.iter().filter_map(read_import).collect();
        Self { package: simple_path(&module.package.refr).unwrap_or_default(), imports }
    }

    /// Path of the rule with this head; what follows the first computed key is part of its value.
    fn path_of(&self, refr: &Expr) -> Path {
        let mut res = self.package.clone();
        res.extend(static_path(refr).0);
        res
    }

    /// Path under which the engine keeps a function with this head (W2).
    fn named(&self, refr: &Expr) -> Path {
        self.in_package(simple_path(refr).unwrap_or_default())
    }

    fn in_package(&self, path: Path) -> Path {
        self.package.iter().cloned().chain(path).collect()
    }

    /// Where a path may lead below `data`, whose root is no local variable.
    pub(super) fn meant_by(&self, path: &Path) -> Vec<Path> {
        let Some((root, rest)) = path.split_first() else {
            return Vec::new();
        };
        if root == "data" {
            return vec![rest.to_vec()];
        }
        let mut res = vec![self.in_package(path.clone())];
        if let Some((target, inside)) = self.imports.get(root).and_then(|it| it.split_first())
            && target == "data"
        {
            res.push(inside.iter().chain(rest).cloned().collect());
        }
        res
    }
}

fn read_import(import: &Import) -> Option<(String, Path)> {
    let path = simple_path(&import.refr)?;
    let alias = match &import.r#as {
        Some(alias) => alias.text().to_owned(),
        None => path.last()?.clone(),
    };
    Some((alias, path))
}

/// The components of a reference as the engine puts them together for a call (W2): computed keys
/// are left out. `None` for what is no reference.
pub(super) fn simple_path(mut expr: &Expr) -> Option<Path> {
    let mut res = Path::new();
    loop {
        match expr {
            Expr::Var { span, .. } => {
                res.push(span.text().to_owned());
                res.reverse();
                return Some(res);
            }
            Expr::RefDot { refr, field, .. } => {
                res.push(field.0.text().to_owned());
                expr = refr.as_ref();
            }
            Expr::RefBrack { refr, index, .. } => {
                if let Expr::String { value: Value::String(key), .. } = index.as_ref() {
                    res.push(key.to_string());
                }
                expr = refr.as_ref();
            }
            _ => return None,
        }
    }
}

/// The components up to the first computed key, and whether that is all.
pub(super) fn static_path(expr: &Expr) -> (Path, bool) {
    match expr {
        Expr::Var { span, .. } => (vec![span.text().to_owned()], true),
        Expr::RefDot { refr, field, .. } => extend(refr, Some(field.0.text())),
        Expr::RefBrack { refr, index, .. } => match index.as_ref() {
            Expr::String { value: Value::String(key), .. } => extend(refr, Some(key.as_ref())),
            _ => extend(refr, None),
        },
        _ => (Path::new(), false),
    }
}

fn extend(refr: &Expr, component: Option<&str>) -> (Path, bool) {
    let (mut path, whole) = static_path(refr);
    match component {
        Some(component) if whole => {
            path.push(component.to_owned());
            (path, true)
        }
        _ => (path, false),
    }
}
