//! The order of steps (F2).

use std::collections::{BTreeMap, BTreeSet};

use super::{PlanFileError, Step};

/// Puts every step behind what it depends on. Ids are unique, and every dependency is one of them.
pub(super) fn sorted(steps: Vec<Step>) -> Result<Vec<Step>, PlanFileError> {
    let places: BTreeMap<&str, usize> =
        steps.iter().enumerate().map(|(at, it)| (it.id.as_str(), at)).collect();
    let mut waits: Vec<usize> = Vec::with_capacity(steps.len());
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for (at, step) in steps.iter().enumerate() {
        let before: BTreeSet<usize> =
            step.depends_on.iter().filter_map(|it| places.get(it.as_str()).copied()).collect();
        waits.push(before.len());
        for place in before {
            if let Some(list) = followers.get_mut(place) {
                list.push(at);
            }
        }
    }
    let mut free: BTreeSet<usize> =
        waits.iter().enumerate().filter(|(_, it)| **it == 0).map(|it| it.0).collect();
    let mut order = Vec::with_capacity(steps.len());
    while let Some(at) = free.pop_first() {
        order.push(at);
        for follower in followers.get(at).into_iter().flatten() {
            let Some(waits) = waits.get_mut(*follower) else { continue };
            *waits -= 1;
            if *waits == 0 {
                free.insert(*follower);
            }
        }
    }
    if order.len() < steps.len() {
        let left = steps.iter().zip(&waits).filter(|(_, waits)| **waits > 0);
        return Err(PlanFileError::Circle { steps: left.map(|it| it.0.id.clone()).collect() });
    }
    let mut slots: Vec<Option<Step>> = steps.into_iter().map(Some).collect();
    Ok(order.into_iter().filter_map(|at| slots.get_mut(at)?.take()).collect())
}
