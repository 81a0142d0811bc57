//! The four priorities of delivery.

use std::fmt;

use serde::{Deserialize, Serialize};
use wal_format::Kind;

/// How urgent an entry is; the order of the variants is the order of delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Failures.
    Error,
    /// Policy decisions.
    Decision,
    /// Outcomes of tools.
    Action,
    /// Everything else.
    Lifecycle,
}

impl Class {
    /// Every class, most urgent first.
    pub const ALL: [Self; 4] = [Self::Error, Self::Decision, Self::Action, Self::Lifecycle];

    /// Returns the class of a kind of event.
    pub const fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Error => Self::Error,
            Kind::Decision => Self::Decision,
            Kind::Action => Self::Action,
            Kind::Lifecycle | Kind::Other(_) => Self::Lifecycle,
        }
    }

    /// Returns the name that stands in files and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Decision => "decision",
            Self::Action => "action",
            Self::Lifecycle => "lifecycle",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One value for each class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PerClass<T> {
    /// Of errors.
    pub error: T,
    /// Of decisions.
    pub decision: T,
    /// Of actions.
    pub action: T,
    /// Of everything else.
    pub lifecycle: T,
}

impl<T> PerClass<T> {
    /// Returns the value of a class.
    pub const fn get(&self, class: Class) -> &T {
        match class {
            Class::Error => &self.error,
            Class::Decision => &self.decision,
            Class::Action => &self.action,
            Class::Lifecycle => &self.lifecycle,
        }
    }

    /// Returns the value of a class for changing it.
    pub const fn get_mut(&mut self, class: Class) -> &mut T {
        match class {
            Class::Error => &mut self.error,
            Class::Decision => &mut self.decision,
            Class::Action => &mut self.action,
            Class::Lifecycle => &mut self.lifecycle,
        }
    }
}

impl PerClass<u64> {
    /// Returns the sum over the classes.
    pub const fn total(&self) -> u64 {
        self.error + self.decision + self.action + self.lifecycle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_go_before_decisions_before_actions_before_the_rest() {
        let kinds =
            ["autonomy.error", "autonomy.decision", "autonomy.action", "autonomy.lifecycle"];
        let classes = kinds.map(|it| Class::of(&Kind::parse(it)));
        assert_eq!(classes, Class::ALL);
        assert!(classes.is_sorted());
        for other in ["robot.pose", "decision", ""] {
            assert_eq!(Class::of(&Kind::parse(other)), Class::Lifecycle, "{other}");
        }
    }

    #[test]
    fn each_class_has_its_own_value() {
        let mut counts = PerClass::default();
        for (class, count) in Class::ALL.into_iter().zip([1, 10, 100, 1000]) {
            *counts.get_mut(class) = count;
        }
        assert_eq!(Class::ALL.map(|it| *counts.get(it)), [1, 10, 100, 1000]);
        assert_eq!(counts.total(), 1111);
    }
}
