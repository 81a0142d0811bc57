//! Goes through one rule and notes what it mentions, calls and how deep it nests.

use std::collections::BTreeSet;

use regorus::unstable::{
    AssignOp, Expr, Literal, LiteralStmt, Query, Ref, Rule, RuleAssign, RuleBody, RuleHead, Span,
    WithModifier,
};

use super::{
    ModuleError, Place, STATEMENTS_MAX, builtins,
    graph::{Node, Path},
    vet::{ModuleScope, Names, simple_path, static_path},
};

/// Units for a body inside an expression.
const BODY_DEPTH: u32 = 2;
/// Units for a loop: what follows it in its body is evaluated inside it.
const LOOP_DEPTH: u32 = 2;
/// Root of the paths that stand for built-in functions; no package can have this name.
const BUILTIN_ROOT: &str = "<function>";

/// A walk through one rule.
#[derive(Debug)]
pub(super) struct Walk<'a> {
    scope: &'a ModuleScope,
    names: &'a Names,
    used: &'a mut BTreeSet<String>,
    node: Node,
    /// Variables of the enclosing bodies.
    locals: Vec<BTreeSet<String>>,
    depth: u32,
    /// Deepest so far in the body at hand.
    deepest: u32,
    /// Loops so far in the body at hand.
    loops: u32,
    mentions: Vec<(Path, u32)>,
    stand_ins: Vec<(Path, Path)>,
    /// What is wrong with statements; the walk goes on behind each.
    faults: Vec<ModuleError>,
}

/// What a walk through one rule found.
#[derive(Debug)]
pub(super) struct Walked {
    pub(super) node: Node,
    /// Which functions may stand in for which.
    pub(super) stand_ins: Vec<(Path, Path)>,
    pub(super) faults: Vec<ModuleError>,
}

type Res = Result<(), ModuleError>;

impl<'a> Walk<'a> {
    /// Starts with what earlier definitions of the same rule brought.
    pub(super) fn new(
        scope: &'a ModuleScope,
        names: &'a Names,
        node: Node,
        used: &'a mut BTreeSet<String>,
    ) -> Self {
        Self {
            scope,
            names,
            used,
            node,
            locals: Vec::new(),
            depth: 0,
            deepest: 0,
            loops: 0,
            mentions: Vec::new(),
            stand_ins: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Returns what is known about the rule.
    pub(super) fn finish(mut self) -> Walked {
        self.node.depth = self.node.depth.max(self.deepest);
        for (path, depth) in self.mentions {
            self.node.mention(path, depth);
        }
        Walked { node: self.node, stand_ins: self.stand_ins, faults: self.faults }
    }

    /// Walks through one definition and goes on behind what is wrong with it.
    pub(super) fn definition(&mut self, rule: &Rule) {
        if let Err(fault) = self.rule(rule) {
            self.faults.push(fault);
        }
    }

    fn rule(&mut self, rule: &Rule) -> Res {
        match rule {
            Rule::Default { args, value, .. } => {
                self.locals.push(args.iter().flat_map(|it| variables(it)).collect());
                self.expr(value)?;
            }
            Rule::Spec { head, bodies, .. } => self.spec(head, bodies)?,
        }
        self.locals.pop();
        Ok(())
    }

    fn spec(&mut self, head: &RuleHead, bodies: &[RuleBody]) -> Res {
        let args: &[Ref<Expr>] = if let RuleHead::Func { args, .. } = head { args } else { &[] };
        self.locals.push(args.iter().flat_map(|it| variables(it)).collect());
        self.exprs(args)?;
        if bodies.is_empty() {
            return self.head(head);
        }
        for RuleBody { query, assign, .. } in bodies {
            self.body(query, |walk| {
                walk.head(head)?;
                walk.value(assign.as_ref())
            })?;
        }
        Ok(())
    }

    fn head(&mut self, head: &RuleHead) -> Res {
        let before = self.depth;
        match head {
            RuleHead::Compr { refr, assign, .. } | RuleHead::Func { refr, assign, .. } => {
                self.indices(refr)?;
                self.value(assign.as_ref())?;
            }
            RuleHead::Set { refr, key, .. } => {
                self.indices(refr)?;
                key.as_ref().map_or(Ok(()), |key| self.expr(key))?;
            }
        }
        self.depth = before;
        Ok(())
    }

    fn value(&mut self, assign: Option<&RuleAssign>) -> Res {
        assign.map_or(Ok(()), |assign| self.expr(&assign.value))
    }

    /// Walks through a body and what is evaluated inside all of its loops.
    fn body(&mut self, query: &Query, inside: impl FnOnce(&mut Self) -> Res) -> Res {
        if query.stmts.len() > STATEMENTS_MAX {
            let place = Place::of(&query.span);
            return Err(ModuleError::TooManyStatements { place, found: query.stmts.len() });
        }
        self.locals.push(declared(query));
        let outer_loops = std::mem::take(&mut self.loops);
        let outer_deepest = std::mem::replace(&mut self.deepest, self.depth);
        let outer_mentions = self.mentions.len();
        self.depth += BODY_DEPTH;
        for statement in &query.stmts {
            let (depth, locals) = (self.depth, self.locals.len());
            if let Err(fault) = self.statement(statement) {
                self.faults.push(fault);
                self.depth = depth;
                self.locals.truncate(locals);
            }
        }
        inside(self)?;
        self.depth -= BODY_DEPTH;
        let loops = self.loops.saturating_mul(LOOP_DEPTH);
        for (_, depth) in self.mentions.iter_mut().skip(outer_mentions) {
            *depth = depth.saturating_add(loops);
        }
        self.deepest = outer_deepest.max(self.deepest.saturating_add(loops));
        self.loops = outer_loops;
        self.locals.pop();
        Ok(())
    }

    fn statement(&mut self, statement: &LiteralStmt) -> Res {
        match &statement.literal {
            Literal::SomeVars { .. } => {}
            Literal::SomeIn { key, value, collection, .. } => {
                self.loops += 1;
                key.as_ref().map_or(Ok(()), |key| self.expr(key))?;
                self.expr(value)?;
                self.expr(collection)?;
            }
            Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. } => self.expr(expr)?,
            Literal::Every { key, value, domain, query, .. } => {
                self.expr(domain)?;
                let own = key.iter().chain([value]).map(|it| it.text().to_owned());
                self.locals.push(own.collect());
                self.body(query, |_| Ok(()))?;
                self.locals.pop();
            }
        }
        statement.with_mods.iter().try_for_each(|with| self.with(with))
    }

    /// `with f as g`: whoever calls the one may get the other.
    fn with(&mut self, with: &WithModifier) -> Res {
        let before = self.depth;
        self.indices(&with.refr)?;
        self.depth = before;
        self.expr(&with.r#as)?;
        let (Some(target), Some(stand_in)) = (simple_path(&with.refr), simple_path(&with.r#as))
        else {
            return Ok(());
        };
        let name = stand_in.join(".");
        let mut stand_ins = self.functions(&stand_in);
        if stand_ins.is_empty() && builtins::is_known(&name) {
            self.builtin(&name, with.r#as.span())?;
            stand_ins.push(builtin_path(&name));
        }
        let mut targets = self.functions(&target);
        if targets.is_empty() {
            targets.push(builtin_path(&target.join(".")));
        }
        for stand_in in stand_ins {
            self.mentions.push((stand_in.clone(), self.depth));
            let pairs = targets.iter().map(|target| (target.clone(), stand_in.clone()));
            self.stand_ins.extend(pairs);
        }
        Ok(())
    }

    fn expr(&mut self, expr: &Expr) -> Res {
        let units = if matches!(expr, Expr::UnaryExpr { .. }) { 2 } else { 1 };
        self.depth += units;
        self.deepest = self.deepest.max(self.depth);
        self.inside(expr)?;
        self.depth -= units;
        Ok(())
    }

    fn inside(&mut self, expr: &Expr) -> Res {
        match expr {
            Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => Ok(()),
            Expr::Var { .. } | Expr::RefDot { .. } | Expr::RefBrack { .. } => self.reference(expr),
            Expr::Array { items, .. } | Expr::Set { items, .. } => self.exprs(items),
            Expr::Object { fields, .. } => fields.iter().try_for_each(|(_, key, value)| {
                self.expr(key)?;
                self.expr(value)
            }),
            Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
                self.body(query, |walk| walk.expr(term))
            }
            Expr::ObjectCompr { key, value, query, .. } => self.body(query, |walk| {
                walk.expr(key)?;
                walk.expr(value)
            }),
            Expr::Call { fcn, params, .. } => {
                self.call(fcn, start_of(fcn))?;
                self.exprs(params)
            }
            Expr::UnaryExpr { expr, .. } => self.expr(expr),
            Expr::BinExpr { lhs, rhs, .. }
            | Expr::BoolExpr { lhs, rhs, .. }
            | Expr::ArithExpr { lhs, rhs, .. }
            | Expr::AssignExpr { lhs, rhs, .. } => {
                self.expr(lhs)?;
                self.expr(rhs)
            }
            Expr::Membership { key, value, collection, .. } => {
                key.as_ref().map_or(Ok(()), |key| self.expr(key))?;
                self.expr(value)?;
                self.expr(collection)
            }
        }
    }

    fn exprs(&mut self, exprs: &[Ref<Expr>]) -> Res {
        exprs.iter().try_for_each(|it| self.expr(it))
    }

    fn reference(&mut self, expr: &Expr) -> Res {
        let before = self.depth;
        let root = self.indices(expr)?;
        match root {
            Expr::Var { span, .. } if self.is_local(span.text()) || span.text() == "input" => {}
            Expr::Var { .. } => {
                let depth = self.depth;
                let meant = self.scope.meant_by(&static_path(expr).0);
                self.mentions.extend(meant.into_iter().map(|path| (path, depth)));
            }
            _ => self.expr(root)?,
        }
        self.depth = before;
        Ok(())
    }

    /// Walks through the computed keys of a reference and returns its root; each makes the
    /// evaluation one deeper, and may be a loop.
    fn indices<'e>(&mut self, mut expr: &'e Expr) -> Result<&'e Expr, ModuleError> {
        loop {
            match expr {
                Expr::RefDot { refr, .. } => expr = refr,
                Expr::RefBrack { refr, index, .. } => {
                    self.index(index)?;
                    expr = refr;
                }
                root => return Ok(root),
            }
        }
    }

    fn index(&mut self, index: &Expr) -> Res {
        match index {
            Expr::String { .. } => return Ok(()),
            Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. } => {
                self.depth += 1;
            }
            index => {
                self.depth += 1;
                self.loops += 1;
                self.expr(index)?;
            }
        }
        self.deepest = self.deepest.max(self.depth);
        Ok(())
    }

    fn call(&mut self, function: &Expr, span: &Span) -> Res {
        let path = simple_path(function).unwrap_or_default();
        let name = path.join(".");
        if path.is_empty() || !static_path(function).1 {
            return Err(unavailable(function.span().text(), span));
        }
        let functions = self.functions(&path);
        if functions.is_empty() {
            self.builtin(&name, span)?;
            self.mentions.push((builtin_path(&name), self.depth));
        }
        let depth = self.depth;
        self.mentions.extend(functions.into_iter().map(|path| (path, depth)));
        Ok(())
    }

    /// Functions of the policy that a name may mean; variables do not hide functions.
    fn functions(&self, path: &Path) -> Vec<Path> {
        let mut res = self.scope.meant_by(path);
        res.retain(|path| self.names.has_function(path));
        res
    }

    fn builtin(&mut self, name: &str, span: &Span) -> Res {
        if !builtins::is_allowed(name) {
            return Err(unavailable(name, span));
        }
        self.used.insert(name.to_owned());
        Ok(())
    }

    fn is_local(&self, name: &str) -> bool {
        self.locals.iter().any(|it| it.contains(name))
    }
}

/// Where a reference starts; its own span is that of its last dot.
fn start_of(mut expr: &Expr) -> &Span {
    loop {
        match expr {
            Expr::RefDot { refr, .. } | Expr::RefBrack { refr, .. } => expr = refr,
            other => return other.span(),
        }
    }
}

fn unavailable(name: &str, span: &Span) -> ModuleError {
    ModuleError::Function {
        place: Place::of(span),
        name: name.to_owned(),
        why: builtins::why_not(name),
    }
}

fn builtin_path(name: &str) -> Path {
    vec![BUILTIN_ROOT.to_owned(), name.to_owned()]
}

/// Variables that a body declares for itself.
fn declared(query: &Query) -> BTreeSet<String> {
    let mut res = BTreeSet::new();
    for statement in &query.stmts {
        match &statement.literal {
            Literal::SomeVars { vars, .. } => {
                res.extend(vars.iter().map(|it| it.text().to_owned()));
            }
            Literal::SomeIn { key, value, .. } => {
                let patterns = key.iter().chain([value]);
                res.extend(patterns.flat_map(|it| variables(it)));
            }
            Literal::Expr { expr, .. } => {
                if let Expr::AssignExpr { op: AssignOp::ColEq, lhs, .. } = expr.as_ref() {
                    res.extend(variables(lhs));
                }
            }
            Literal::NotExpr { .. } | Literal::Every { .. } => {}
        }
    }
    res
}

/// Variables of a pattern.
fn variables(pattern: &Expr) -> Vec<String> {
    match pattern {
        Expr::Var { span, .. } => vec![span.text().to_owned()],
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().flat_map(|it| variables(it)).collect()
        }
        Expr::Object { fields, .. } => {
            fields.iter().flat_map(|(_, _, value)| variables(value)).collect()
        }
        _ => Vec::new(),
    }
}
