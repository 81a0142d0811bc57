//! An engine for each group of tools, so that rules about other tools cost nothing.
//!
//! Many definitions begin with a test of the kind of the call: `… if input.kind == "tool.echo"`. The
//! engine evaluates every definition of a rule for every request. So the policy is compiled a few more
//! times, each time without the definitions that cannot be true for the kinds of one group, and a
//! request is given to the engine of its group.
//!
//! # What may be left out
//!
//! | a definition is left out only when                        | since                                    |
//! |-----------------------------------------------------------|------------------------------------------|
//! | it is no default and no function, and its head is a name  | others have parts that are not its value |
//! | every body, also after `else`, tests the kind             | otherwise something is true without it   |
//! | before the test are only comparisons of `input.…` with literals | nothing else is certain to raise no error |
//! | `input` is used in it only with a field or key after it   | it could be the name of a variable       |
//! | another definition of the rule stays, the first of its form | a rule must not cease to exist, nor a set |
//! | no module says `with`                                     | the input could be another one           |
//! | nothing mentions the package of the rule as a whole       | the engine looks at its definitions then |
//!
//! The test of the kind is among the first statements that the engine evaluates: it puts statements
//! in order by the variables they need, and those that need and define none come first, as they stand.
//!
//! # Invariants
//!
//! * **X1** With and without index a request has the same decision: what is left out would have been
//!   undefined, and would have evaluated nothing that can fail. Only the time differs.
//! * **X2** What an index takes is bounded by the size of the policy: at most [`ENGINES_MAX`]
//!   engines, which together hold at most [`GROWTH_MAX`] times the definitions and [`LINES_MAX`] lines.
//! * **X3** Everything is made when the policy is compiled; a request waits for nothing.
//! * **X4** A place in a module is the same in every engine.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    ops::Range,
};

use regorus::{
    Source, Value,
    unstable::{
        BoolOp, Expr, Lexer, Literal, LiteralStmt, Module, Ref, Rule, RuleBody, RuleHead, TokenKind,
    },
};

use super::{compile::SourceModule, graph::Path, vet::simple_path};

/// Most groups of kinds, each with an engine of its own (X2).
const ENGINES_MAX: usize = 256;
/// How many times the definitions of the policy all engines hold together at most (X2).
const GROWTH_MAX: usize = 4;
/// Most lines of modules in all engines together (X2): the engine keeps a table of them.
const LINES_MAX: usize = 1 << 20;

/// How a policy is divided into groups of kinds.
#[derive(Debug)]
pub(super) struct Plan {
    /// The group of each kind that is named; every other kind is in group 0.
    pub(super) groups: BTreeMap<String, usize>,
    count: usize,
    optional: Vec<Optional>,
}

/// A definition that may be left out for kinds it does not name.
#[derive(Debug)]
struct Optional {
    module: usize,
    span: Range<usize>,
    kinds: BTreeSet<String>,
}

impl Plan {
    /// Finds out what may be left out; `None` when an index would be of no use.
    ///
    /// `mentioned` has every path below `data` that a module mentions.
    pub(super) fn new(modules: &[Ref<Module>], mentioned: &BTreeSet<Path>) -> Option<Self> {
        let (mut optional, mut seen) = (Vec::new(), BTreeSet::new());
        let (mut definitions, mut lines) = (0, 0);
        for (index, module) in modules.iter().enumerate() {
            lines += module.package.span.source.contents().lines().count() + 1;
            definitions += module.policy.len();
            let tokens = Tokens::read(module)?;
            let package = simple_path(&module.package.refr)?;
            if mentioned.is_disjoint(&prefixes(&package)) {
                let is_first = |name| seen.insert((package.clone(), name));
                optional.extend(optional_of(index, module, &tokens, is_first));
            }
        }
        let always = (definitions - optional.len()).max(1);
        let kinds: BTreeSet<_> = optional.iter().flat_map(|it| &it.kinds).collect();
        let count = ENGINES_MAX
            .min(kinds.len() + 1)
            .min(GROWTH_MAX * definitions / always)
            .min(LINES_MAX / lines.max(1));
        (count > 1).then(|| Self { groups: groups(&optional, count), count, optional })
    }

    /// Returns how many groups there are.
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    /// Makes the modules for one group, and says how many definitions each must have (X4).
    pub(super) fn modules(&self, group: usize, all: &[SourceModule]) -> Option<Vec<SourceModule>> {
        let mut blanks = vec![Vec::new(); all.len()];
        for it in &self.optional {
            if !it.kinds.iter().any(|kind| self.groups.get(kind) == Some(&group)) {
                blanks.get_mut(it.module)?.push(it.span.clone());
            }
        }
        let each = all.iter().zip(&blanks);
        each.map(|(SourceModule { file, text }, blanks)| {
            Some(SourceModule { file: file.clone(), text: blanked(text, blanks)? })
        })
        .collect()
    }

    /// Returns how many definitions the modules of a group leave out.
    pub(super) fn left_out(&self, group: usize) -> usize {
        let stays =
            |it: &&Optional| it.kinds.iter().any(|kind| self.groups.get(kind) == Some(&group));
        self.optional.len() - self.optional.iter().filter(stays).count()
    }
}

/// The definitions of a module that may be left out; `is_first` says whether a rule is new.
fn optional_of(
    index: usize,
    module: &Module,
    tokens: &Tokens,
    mut is_first: impl FnMut((String, bool)) -> bool,
) -> Vec<Optional> {
    let optional = |rule: &Ref<Rule>| {
        let (name, kinds) = named_kinds(rule)?;
        let start = usize::try_from(rule.span().start).ok()?;
        let span = start..tokens.after(usize::try_from(rule.span().end).ok()?);
        // The first definition that could be left out stays.
        let stays = is_first(name) || tokens.doubtful.iter().any(|at| span.contains(at));
        (!stays).then_some(Optional { module: index, span, kinds })
    };
    module.policy.iter().filter_map(optional).collect()
}

/// Distributes the kinds, those with the most definitions first, each to the group with the least.
fn groups(optional: &[Optional], count: usize) -> BTreeMap<String, usize> {
    let mut weights: BTreeMap<&str, usize> = BTreeMap::new();
    for kind in optional.iter().flat_map(|it| &it.kinds) {
        *weights.entry(kind).or_default() += 1;
    }
    let mut kinds: Vec<_> = weights.into_iter().collect();
    kinds.sort_unstable_by_key(|(kind, weight)| (Reverse(*weight), *kind));
    // Group 0 is for kinds that nobody names.
    let mut loads: BinaryHeap<_> = (1..count).map(|group| Reverse((0, group))).collect();
    let mut res = BTreeMap::new();
    for (kind, weight) in kinds {
        let Some(Reverse((load, group))) = loads.pop() else { break };
        res.insert(kind.to_owned(), group);
        loads.push(Reverse((load + weight, group)));
    }
    res
}

/// The package and everything around it.
fn prefixes(package: &Path) -> BTreeSet<Path> {
    (0..=package.len()).filter_map(|len| package.get(..len).map(<[String]>::to_vec)).collect()
}

/// What only the tokens of a module tell.
#[derive(Debug, Default)]
struct Tokens {
    /// Where `input` may not be the request.
    doubtful: Vec<usize>,
    /// Where the spans of texts end, which is before the quote.
    quotes: BTreeSet<usize>,
}

impl Tokens {
    /// Reads a module; `None` when a `with` may replace the input anywhere.
    fn read(module: &Module) -> Option<Self> {
        let file = module.package.span.source.get_path().clone();
        let text = module.package.span.source.contents().clone();
        let source = Source::from_contents(file, text).ok()?;
        let mut lexer = Lexer::new(&source);
        let (mut res, mut input) = (Self::default(), None);
        loop {
            let token = lexer.next_token().ok()?;
            let text = token.1.text();
            if let Some(at) = input.take()
                && !matches!(text, "." | "[")
            {
                res.doubtful.push(at);
            }
            match (&token.0, text) {
                (TokenKind::Eof, _) => return Some(res),
                (TokenKind::Ident, "with") => return None,
                (TokenKind::Ident, "input") => input = usize::try_from(token.1.start).ok(),
                (TokenKind::String | TokenKind::RawString, _) => {
                    res.quotes.extend(usize::try_from(token.1.end));
                }
                _ => {}
            }
        }
    }

    /// Returns where what ends here is really over.
    fn after(&self, end: usize) -> usize {
        if self.quotes.contains(&end) { end + 1 } else { end }
    }
}

/// The name of a definition whose bodies all test the kind, and the kinds they name.
///
/// A set and a value of the same name are told apart.
fn named_kinds(rule: &Rule) -> Option<((String, bool), BTreeSet<String>)> {
    let Rule::Spec { head, bodies, .. } = rule else { return None };
    let (RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. }) = head else { return None };
    let Expr::Var { span, .. } = refr.as_ref() else { return None };
    let mut kinds = BTreeSet::new();
    for body in bodies {
        kinds.extend(tested_kinds(body)?);
    }
    let is_set = matches!(head, RuleHead::Set { .. });
    (!bodies.is_empty()).then(|| ((span.text().to_owned(), is_set), kinds))
}

/// The kinds of a test that only harmless comparisons stand before.
fn tested_kinds(body: &RuleBody) -> Option<Vec<String>> {
    for LiteralStmt { literal, with_mods, .. } in &body.query.stmts {
        let Literal::Expr { expr, .. } = literal else { return None };
        if !with_mods.is_empty() {
            return None;
        }
        if let Some(kinds) = kind_test(expr) {
            return Some(kinds);
        }
        match expr.as_ref() {
            Expr::BoolExpr { op: BoolOp::Eq | BoolOp::Ne, lhs, rhs, .. }
                if is_of_input(lhs) && is_literal(rhs) || is_literal(lhs) && is_of_input(rhs) => {}
            _ => return None,
        }
    }
    None
}

/// The kinds for which an expression is true, when it is a test of the kind and nothing else.
fn kind_test(expr: &Expr) -> Option<Vec<String>> {
    match expr {
        Expr::BoolExpr { op: BoolOp::Eq, lhs, rhs, .. } => {
            let literal = if is_kind(lhs) { rhs } else { lhs };
            (is_kind(lhs) || is_kind(rhs)).then(|| text_of(literal).map(|it| vec![it]))?
        }
        Expr::Membership { key: None, value, collection, .. } if is_kind(value) => {
            let (Expr::Set { items, .. } | Expr::Array { items, .. }) = collection.as_ref() else {
                return None;
            };
            items.iter().map(|it| text_of(it)).collect()
        }
        _ => None,
    }
}

fn is_kind(expr: &Expr) -> bool {
    let path = dotted(expr).unwrap_or_default();
    path == ["input", "kind"]
}

fn is_of_input(expr: &Expr) -> bool {
    dotted(expr).is_some_and(|path| path.len() > 1 && path.first() == Some(&"input"))
}

/// The components of a reference of names and dots alone.
fn dotted(expr: &Expr) -> Option<Vec<&str>> {
    match expr {
        Expr::Var { span, .. } => Some(vec![span.text()]),
        Expr::RefDot { refr, field, .. } => {
            let mut path = dotted(refr)?;
            path.push(field.0.text());
            Some(path)
        }
        _ => None,
    }
}

fn is_literal(expr: &Expr) -> bool {
    matches!(
        expr,
        Expr::String { .. }
            | Expr::RawString { .. }
            | Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
    )
}

fn text_of(expr: &Expr) -> Option<String> {
    match expr {
        Expr::String { value: Value::String(it), .. }
        | Expr::RawString { value: Value::String(it), .. } => Some(it.to_string()),
        _ => None,
    }
}

/// The text with blanks in place of the spans, as few of them as keep every place (X4).
fn blanked(text: &str, spans: &[Range<usize>]) -> Option<String> {
    let mut res = String::new();
    let mut pending = 0;
    let mut copy = |part: &str, blank: bool| {
        for it in part.chars() {
            match it {
                '\n' => {
                    pending = 0;
                    res.push('\n');
                }
                _ if blank => pending += 1,
                _ => {
                    res.extend(std::iter::repeat_n(' ', std::mem::take(&mut pending)));
                    res.push(it);
                }
            }
        }
    };
    let mut at = 0;
    for span in spans {
        copy(text.get(at..span.start)?, false);
        copy(text.get(span.clone())?, true);
        at = span.end;
    }
    copy(text.get(at..)?, false);
    Some(res)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modules(texts: &[&str]) -> Vec<SourceModule> {
        let each = texts.iter().enumerate();
        each.map(|(n, text)| SourceModule {
            file: format!("{n}.rego"),
            text: format!("package autonomy\n{text}\n"),
        })
        .collect()
    }

    fn plan(texts: &[&str], mentioned: &[&[&str]]) -> Option<Plan> {
        let mut engine = regorus::Engine::new();
        for SourceModule { file, text } in modules(texts) {
            engine.add_policy(file, text).unwrap();
        }
        let mentioned: BTreeSet<Path> =
            mentioned.iter().map(|path| path.iter().map(|it| (*it).to_owned()).collect()).collect();
        Plan::new(engine.get_modules(), &mentioned)
    }

    /// Kinds that the last of some definitions of `allow` names, when it may be left out.
    fn last(definition: &str) -> Option<Vec<String>> {
        let text = format!("allow if input.kind == \"first\"\n{definition}");
        plan(&[&text], &[])?.optional.pop().map(|it| it.kinds.into_iter().collect())
    }

    #[test]
    fn a_definition_that_tests_the_kind_first_may_be_left_out() {
        for (definition, kinds) in [
            (r#"allow if input.kind == "a""#, &["a"][..]),
            (r#"allow if "a" == input.kind"#, &["a"]),
            (r"allow if input.kind == `a`", &["a"]),
            (r#"allow if input.kind in {"a", "b"}"#, &["a", "b"]),
            (r#"allow if input.kind in ["a", "b"]"#, &["a", "b"]),
            (r#"allow if { input.context.mode != "x"; input.kind == "a"; f }"#, &["a"]),
            (r#"allow if { input.kind == "a"; input["params"].x }"#, &["a"]),
            (r#"allow := 1 if input.kind == "a" else := 2 if input.kind == "b""#, &["a", "b"]),
        ] {
            let definition = format!("{definition}\nf if input.params.f");
            assert_eq!(last(&definition).unwrap(), kinds, "{definition}");
        }
    }

    #[test]
    fn a_definition_in_doubt_stays() {
        for definition in [
            "allow if true",
            "allow if input.params.x",
            r#"allow if input.kind != "a""#,
            r#"allow if not input.kind == "a""#,
            r#"allow if { input.params.x; input.kind == "a" }"#,
            r#"allow if { to_number(input.params.x) > 1; input.kind == "a" }"#,
            r#"allow if { x := to_number("y"); input.kind == "a"; x }"#,
            r#"allow if { input.kind == "a"; count(input) > 0 }"#,
            r#"allow if { input.kind == "a"; f(input) }"#,
            r#"allow := 1 if input.kind == "a" else := 2 if true"#,
            r#"allow := 1 if input.kind == "a" else := 2"#,
            "allow if input.kind == input.params.kind",
            r#"allow if input.kind in {"a", input.params.kind}"#,
            "allow if input.kind in data.kinds",
            r#"allow if "a" in input.kind"#,
            r#"allow if input.kind.x == "a""#,
            r#"allow if input.context.agent.kind == "a""#,
            "default allow := false",
            r#"f(x) := 1 if input.kind == "a""#,
            r#"p[x] := 1 if { input.kind == "a"; x := 1 }"#,
            r#"p.q if input.kind == "a""#,
            r#"deny contains "x" if input.kind == "a""#,
        ] {
            assert_eq!(last(definition), None, "{definition}");
        }
    }

    #[test]
    fn a_policy_in_doubt_has_no_index() {
        let two = "allow if input.kind == \"a\"\nallow if input.kind == \"b\"";
        assert!(plan(&[two], &[]).is_some());
        assert!(plan(&[two], &[&["autonomy", "allow"], &["other"]]).is_some());
        assert!(plan(&[two], &[&["autonomy"]]).is_none());
        assert!(plan(&[two], &[&[]]).is_none());
        assert!(plan(&[two, "y if x with input as {}\nx if true"], &[]).is_none());
    }

    #[test]
    fn the_first_definition_of_each_rule_stays_and_places_stay_the_same() {
        let texts = [
            "allow if input.kind == \"a\"\nallow if {\n  input.kind == \"bä\"\n} x := 1 # c",
            "allow if input.kind == \"c\"\ndeny contains \"d\" if input.kind == \"d\"",
        ];
        let plan = plan(&texts, &[]).unwrap();
        assert_eq!(plan.groups.keys().collect::<Vec<_>>(), ["bä", "c"]);
        let none = plan.modules(0, &modules(&texts)).unwrap();
        assert_eq!(
            none[0].text,
            "package autonomy\nallow if input.kind == \"a\"\n\n\n  x := 1 # c\n"
        );
        assert_eq!(
            none[1].text,
            "package autonomy\n\ndeny contains \"d\" if input.kind == \"d\"\n"
        );
        assert_eq!(plan.left_out(0), 2);
        for group in plan.groups.values() {
            assert_eq!(plan.left_out(*group), 2 - plan.groups.len() / (plan.count() - 1));
        }
    }

    fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
        (0..count).map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn ten_thousand_kinds_make_a_bounded_number_of_engines() {
        let rules = lines(10_000, |n| format!("allow if input.kind == \"k{n}\""));
        let many = plan(&[&rules], &[]).unwrap();
        assert!(many.count() <= ENGINES_MAX && many.count() * 10_002 <= LINES_MAX);
        let loads = many.groups.values().fold(BTreeMap::new(), |mut res, group| {
            *res.entry(*group).or_insert(0_usize) += 1;
            res
        });
        let (least, most) = (loads.values().min().unwrap(), loads.values().max().unwrap());
        assert!(most - least <= 1 && loads.len() == many.count() - 1);
        // What every engine needs anyway limits them too.
        let shared = lines(100, |n| format!("h{n} if input.params.x{n}"));
        let few = lines(100, |n| format!("allow if input.kind == \"k{n}\""));
        assert!(plan(&[&shared, &few], &[]).unwrap().count() <= 2 * GROWTH_MAX);
    }
}
