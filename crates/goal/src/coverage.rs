//! Which criteria somebody worked for.
//!
//! A tentacle names in its handoff the criteria that its work serves (`Bridge:`); when it is completed, they stand in its
//! `meta.json`. Only what ended well counts: work that ended as DONE, or in a smaller scope.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    criteria::CriterionStatus,
    handoff::HandoffStatus,
    state::Goal,
    tentacle::{Tentacle, TentacleStatus},
};

/// Who worked for a criterion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// The criterion.
    pub id: String,
    /// What it is about.
    pub description: String,
    /// Whether it is met.
    pub status: CriterionStatus,
    /// Tentacles of the goal that were completed and name it.
    pub tentacles: Vec<String>,
}

/// Which criteria somebody worked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Each criterion, in the order of the goal.
    pub criteria: Vec<Covered>,
    /// Ids of those that nobody worked for.
    pub uncovered: Vec<String>,
    /// Names in handoffs that are no criterion, by tentacle.
    pub unknown: BTreeMap<String, Vec<String>>,
}

/// Whether work counts.
fn counts(tentacle: &Tentacle) -> bool {
    let meta = &tentacle.meta;
    let good = [HandoffStatus::Done, HandoffStatus::ScopeReduction];
    meta.status == TentacleStatus::Completed
        && meta.terminal_status.is_none_or(|it| good.contains(&it))
}

impl Goal {
    /// Which criteria the tentacles of this goal worked for.
    pub fn coverage(&self, all: &BTreeMap<String, Tentacle>) -> Coverage {
        let ours = self.tentacles().iter().filter_map(|name| Some((name, all.get(name)?)));
        let done: Vec<(&String, &Tentacle)> = ours.filter(|(_, it)| counts(it)).collect();
        let criteria: Vec<Covered> = self
            .criteria()
            .iter()
            .map(|it| Covered {
                id: it.id.clone(),
                description: it.description.clone(),
                status: it.status,
                tentacles: done
                    .iter()
                    .filter(|(_, by)| by.meta.bridge_links.contains(&it.id))
                    .map(|(name, _)| (*name).clone())
                    .collect(),
            })
            .collect();
        let uncovered = criteria.iter().filter(|it| it.tentacles.is_empty());
        let uncovered = uncovered.map(|it| it.id.clone()).collect();
        let known = |id: &String| self.criteria().iter().any(|it| it.id == *id);
        let unknown = done.iter().filter_map(|(name, it)| {
            let odd: Vec<String> =
                it.meta.bridge_links.iter().filter(|id| !known(id)).cloned().collect();
            (!odd.is_empty()).then(|| ((*name).clone(), odd))
        });
        Coverage { unknown: unknown.collect(), criteria, uncovered }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::{
        criteria::Criterion,
        handoff::Parsed,
        state::NewGoal,
        tentacle::{Meta, Todos},
    };

    #[test]
    fn a_criterion_is_covered_by_completed_work_of_the_goal_that_names_it_and_ended_well() {
        let now = Timestamp::UNIX_EPOCH;
        let mut goal = Goal::new(NewGoal::default(), now);
        for id in ["a", "b", "c"] {
            let text = id.to_owned();
            let new = Criterion { id: text.clone(), description: text, ..Criterion::default() };
            goal.add_criterion(new, now).unwrap();
        }
        let mut all = BTreeMap::new();
        let mut add = |name: &str, status, links: &[&str], ended: bool| {
            let mut meta = Meta::new(name, name.to_owned(), "");
            let links: Vec<String> = links.iter().map(|it| (*it).to_owned()).collect();
            meta.bridge_links.clone_from(&links);
            if ended {
                let last =
                    Parsed { status: Some(status), bridge_links: links, ..Parsed::default() };
                meta.complete(&last, now);
            }
            all.insert(name.to_owned(), Tentacle { meta, todos: Todos::default() });
        };
        add("good", HandoffStatus::Done, &["a", "z"], true);
        add("smaller", HandoffStatus::ScopeReduction, &["a"], true);
        add("blocked", HandoffStatus::Blocked, &["b"], true);
        add("open", HandoffStatus::Done, &["b"], false);
        add("stranger", HandoffStatus::Done, &["b"], true);
        for name in ["good", "smaller", "blocked", "open"] {
            goal.link(name, now);
        }
        let found = goal.coverage(&all);
        assert_eq!(found.criteria[0].tentacles, ["good", "smaller"]);
        assert_eq!(found.uncovered, ["b", "c"]);
        assert_eq!(found.unknown["good"], ["z"]);
        assert_eq!(found.unknown.len(), 1);
    }
}
