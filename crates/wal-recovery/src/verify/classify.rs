//! From evidence to a kind: the table of the module above.

use std::{cmp::Ordering, fmt};

/// What was done to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DamageKind {
    /// Bytes of an entry were changed.
    Edit,
    /// Entries were taken out.
    Delete,
    /// Entries were put in.
    Insert,
    /// Entries stand in another order.
    Reorder,
    /// Entries at the end were cut off.
    Truncate,
    /// The log holds, but it is not the one that was sealed.
    Fork,
}

impl DamageKind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Edit, Self::Delete, Self::Insert, Self::Reorder, Self::Truncate, Self::Fork];

    /// Returns the name: one lower-case word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Insert => "insert",
            Self::Reorder => "reorder",
            Self::Truncate => "truncate",
            Self::Fork => "fork",
        }
    }
}

impl fmt::Display for DamageKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What is known about the first frame that does not hold, and about what stands behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Evidence {
    /// How the number that the frame states compares to the expected one; `None` when it is no entry.
    pub(super) stated: Option<Ordering>,
    /// The expected entry stands further back.
    pub(super) home: bool,
    /// The frame is missing where its number says.
    pub(super) moved: bool,
    /// The frame has the place of the expected one.
    pub(super) in_place: bool,
    /// How the numbers behind the frame compare to those they were written with.
    pub(super) renumbered: Ordering,
}

#[expect(clippy::match_same_arms, reason = "one arm for each row of the table")]
pub(super) fn classify(it: Evidence) -> DamageKind {
    let Evidence { stated, home, moved, in_place, renumbered } = it;
    match (stated, home, renumbered) {
        (Some(Ordering::Greater), true, _) if moved => DamageKind::Reorder, // A
        (_, true, _) => DamageKind::Insert,                                 // B
        (None, false, _) => DamageKind::Edit,                               // C
        (Some(_), false, Ordering::Less) => DamageKind::Delete,             // D
        (Some(_), false, Ordering::Greater) => DamageKind::Insert,          // E
        (Some(_), false, Ordering::Equal) if in_place => DamageKind::Edit,  // F
        (Some(Ordering::Equal), false, Ordering::Equal) => DamageKind::Edit, // G
        (Some(Ordering::Greater), false, Ordering::Equal) => DamageKind::Delete, // H
        (Some(Ordering::Less), false, Ordering::Equal) => DamageKind::Insert, // I
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table again, written the other way round: from each row to its conditions.
    fn model(it: Evidence) -> DamageKind {
        use Ordering::{Equal, Greater, Less};
        let entry = it.stated.is_some();
        let a = it.stated == Some(Greater) && it.home && it.moved;
        let (d, e) = (it.renumbered == Less, it.renumbered == Greater);
        let rows = [
            (a, DamageKind::Reorder),
            (it.home && !a, DamageKind::Insert),
            (!entry && !it.home, DamageKind::Edit),
            (entry && !it.home && d, DamageKind::Delete),
            (entry && !it.home && e, DamageKind::Insert),
            (entry && !it.home && !d && !e && it.in_place, DamageKind::Edit),
            (it.stated == Some(Equal) && !it.home && !d && !e && !it.in_place, DamageKind::Edit),
            (
                it.stated == Some(Greater) && !it.home && !d && !e && !it.in_place,
                DamageKind::Delete,
            ),
            (it.stated == Some(Less) && !it.home && !d && !e && !it.in_place, DamageKind::Insert),
        ];
        let mut hits = rows.iter().filter(|it| it.0);
        let kind = hits.next().unwrap_or_else(|| panic!("no row for {it:?}")).1;
        assert!(hits.next().is_none(), "two rows apply to {it:?}");
        kind
    }

    #[test]
    fn every_combination_has_exactly_the_row_of_the_table() {
        let orders = [Ordering::Less, Ordering::Equal, Ordering::Greater];
        let stated = [None, Some(Ordering::Less), Some(Ordering::Equal), Some(Ordering::Greater)];
        let pairs = stated.into_iter().flat_map(|stated| orders.map(|order| (stated, order)));
        for (stated, renumbered) in pairs {
            for bits in 0..8_u8 {
                let bit = |n: u8| bits & (1 << n) != 0;
                let (home, moved, in_place) = (bit(0), bit(1), bit(2));
                let it = Evidence { stated, home, moved, in_place, renumbered };
                assert_eq!(classify(it), model(it), "{it:?}");
            }
        }
    }

    #[test]
    fn every_kind_has_its_own_word() {
        let words: std::collections::BTreeSet<_> =
            DamageKind::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), DamageKind::ALL.len());
    }
}
