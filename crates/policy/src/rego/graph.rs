//! Which rule needs which, and how deep an evaluation can get.
//!
//! The engine evaluates by calling itself, and notices recursion of rules but not of functions. So
//! both recursion and depth are settled here, before anything is evaluated.
//!
//! # Invariants
//!
//! * **G1** A rule that can reach itself is refused, whatever the way: rules, functions, whole
//!   packages, functions that stand in for others.
//! * **G2** The depth of a policy is an upper bound of how deep the engine calls itself, in units of
//!   one nested expression.

use std::collections::{BTreeMap, BTreeSet};

use super::Place;

/// Path of a rule below `data`.
pub(super) type Path = Vec<String>;

/// Units for going from a rule to another.
pub(super) const STEP_DEPTH: u32 = 4;

/// What is known about one rule: all definitions of one path together.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// Where the first definition stands.
    pub(super) place: Option<Place>,
    /// Deepest expression of its own.
    pub(super) depth: u32,
    /// What it mentions, and how deep inside. The path may be a rule, something inside a rule, or a
    /// package.
    pub(super) mentions: BTreeMap<Path, u32>,
}

impl Node {
    pub(super) fn mention(&mut self, path: Path, depth: u32) {
        let known = self.mentions.entry(path).or_insert(depth);
        *known = depth.max(*known);
    }
}

/// All rules of a policy.
pub(super) type Graph = BTreeMap<Path, Node>;

/// A rule that can reach itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cycle {
    pub(super) place: Option<Place>,
    pub(super) rule: Path,
}

/// Computes the depth of the deepest rule, and which rule that is (G1, G2).
pub(super) fn deepest(graph: &Graph) -> Result<(u32, Path), Cycle> {
    let targets = resolve(graph);
    // A rule is done once everything it mentions is done; what is never done is on a cycle, or
    // leads to one.
    let mut missing: BTreeMap<&Path, usize> = BTreeMap::new();
    let mut needed_by: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    for (rule, targets) in &targets {
        missing.insert(*rule, targets.len());
        for target in targets.keys() {
            needed_by.entry(*target).or_default().push(*rule);
        }
    }
    let mut ready: Vec<&Path> =
        missing.iter().filter(|(_, count)| **count == 0).map(|(rule, _)| *rule).collect();
    let mut done: BTreeMap<&Path, u32> = BTreeMap::new();
    while let Some(rule) = ready.pop() {
        done.insert(rule, depth(rule, graph, &targets, &done));
        for waiting in needed_by.get(rule).into_iter().flatten() {
            let Some(count) = missing.get_mut(waiting) else { continue };
            *count -= 1;
            ready.extend((*count == 0).then_some(*waiting));
        }
    }
    if let Some(rule) = on_cycle(&targets, &done) {
        let place = graph.get(rule).and_then(|node| node.place.clone());
        return Err(Cycle { place, rule: rule.clone() });
    }
    let deepest = done.into_iter().max_by_key(|(_, depth)| *depth);
    Ok(deepest.map_or((0, Path::new()), |(rule, depth)| (depth, rule.clone())))
}

type Targets<'a> = BTreeMap<&'a Path, BTreeMap<&'a Path, u32>>;

/// Finds the rules behind the mentioned paths.
fn resolve(graph: &Graph) -> Targets<'_> {
    // Most paths are mentioned many times and a package holds many rules: look each up once.
    let mut known: BTreeMap<&Path, Vec<&Path>> = BTreeMap::new();
    let mut res = Targets::new();
    for (rule, node) in graph {
        let targets = res.entry(rule).or_default();
        for (path, depth) in &node.mentions {
            let rules = known.entry(path).or_insert_with(|| related(graph, path));
            for target in rules.iter() {
                let deepest = targets.entry(*target).or_insert(*depth);
                *deepest = (*depth).max(*deepest);
            }
        }
    }
    res
}

/// Rules at a path, around it (something inside their value is meant) and below it (it is a package).
fn related<'a>(graph: &'a Graph, path: &Path) -> Vec<&'a Path> {
    let around = (0..path.len()).filter_map(|len| {
        let (rule, _) = graph.get_key_value(path.get(..len)?)?;
        Some(rule)
    });
    let below = graph.range(path.clone()..).map(|(rule, _)| rule);
    around.chain(below.take_while(|rule| rule.starts_with(path))).collect()
}

fn depth(rule: &Path, graph: &Graph, targets: &Targets, done: &BTreeMap<&Path, u32>) -> u32 {
    let own = graph.get(rule).map_or(0, |node| node.depth);
    let through = targets.get(rule).into_iter().flatten().map(|(target, at)| {
        let below = done.get(target).copied().unwrap_or_default();
        at.saturating_add(STEP_DEPTH).saturating_add(below)
    });
    through.max().unwrap_or_default().max(own)
}

/// Walks from a rule that is not done to others that are not, until one comes a second time.
fn on_cycle<'a>(targets: &Targets<'a>, done: &BTreeMap<&Path, u32>) -> Option<&'a Path> {
    let mut at = *targets.keys().find(|rule| !done.contains_key(*rule))?;
    let mut seen = BTreeSet::new();
    while seen.insert(at) {
        at = *targets.get(at)?.keys().find(|rule| !done.contains_key(*rule))?;
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The whole of `data` is the empty path.
    fn path(text: &str) -> Path {
        text.split('.').filter(|it| !it.is_empty()).map(str::to_owned).collect()
    }

    /// A rule, its own depth, and what it mentions how deep.
    type Known<'a> = (&'a str, u32, &'a [(&'a str, u32)]);

    fn graph(rules: &[Known]) -> Graph {
        let mut res = Graph::new();
        for (rule, depth, mentions) in rules {
            let node = res.entry(path(rule)).or_default();
            node.depth = *depth;
            for (target, at) in *mentions {
                node.mention(path(target), *at);
            }
        }
        res
    }

    #[test]
    fn depth_adds_up_along_the_longest_way() {
        let rules = graph(&[
            ("p.a", 3, &[("p.b", 2), ("p.c", 1)]),
            ("p.b", 5, &[("p.c.field", 4)]),
            ("p.c", 7, &[("q", 1), ("nothing", 100)]),
            ("q.d", 2, &[]),
        ]);
        let d = 2;
        let c = 7.max(1 + STEP_DEPTH + d);
        let b = 4 + STEP_DEPTH + c;
        assert_eq!(deepest(&rules), Ok((2 + STEP_DEPTH + b, path("p.a"))));
        assert_eq!(deepest(&Graph::new()), Ok((0, Path::new())));
    }

    #[test]
    fn every_way_back_is_a_cycle() {
        let cyclic: [&[Known]; 5] = [
            &[("p.a", 1, &[("p.a", 1)])],
            &[("p.a", 1, &[("p.b", 1)]), ("p.b", 1, &[("p.a", 1)])],
            &[("p.a", 1, &[("p.b", 1)]), ("p.b", 1, &[("p.c", 1)]), ("p.c", 1, &[("p.b.x", 1)])],
            &[("p.a", 1, &[("p", 1)])],
            &[("p.a", 1, &[("", 1)]), ("p.b", 1, &[])],
        ];
        for rules in cyclic {
            assert!(deepest(&graph(rules)).is_err(), "{rules:?}");
        }
    }

    #[test]
    fn the_rule_that_is_named_is_on_the_cycle() {
        let rules = graph(&[
            ("p.a", 1, &[("p.b", 1)]),
            ("p.b", 1, &[("p.c", 1)]),
            ("p.c", 1, &[("p.b", 1)]),
        ]);
        let cycle = deepest(&rules).unwrap_err();
        assert!(cycle.rule == path("p.b") || cycle.rule == path("p.c"), "{cycle:?}");
    }
}
