//! Packs of drills: every scenario of one mechanism, each a drill of its own.

use crate::stories::{databases, drill::Drill, goals, steps};

/// Drills that are run together under one name.
#[derive(Clone, Copy, Debug)]
pub struct Pack {
    /// Name on the command line.
    pub name: &'static str,
    /// In the order of their names.
    pub drills: &'static [Drill],
}

/// Every pack.
pub const ALL: &[Pack] = &[
    Pack { name: "db", drills: databases::DRILLS },
    Pack { name: "fm", drills: goals::DRILLS },
    Pack { name: "sw", drills: steps::ALL },
];

/// Drills that this name means: those of a pack, or the one drill.
pub fn named(name: &str) -> impl Iterator<Item = &'static Drill> {
    let packed = ALL.iter().flat_map(move |pack| {
        pack.drills.iter().filter(move |it| pack.name == name || it.name == name)
    });
    crate::stories::drill::ALL.iter().filter(move |it| it.name == name).chain(packed)
}

/// Every drill, in a pack or alone.
pub fn every_drill() -> impl Iterator<Item = &'static Drill> {
    crate::stories::drill::ALL.iter().chain(ALL.iter().flat_map(|it| it.drills))
}
