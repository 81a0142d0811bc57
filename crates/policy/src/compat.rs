//! Which runtimes a bundle is made for.
//!
//! # Syntax
//!
//! Constraints separated by spaces, all of which must hold: `>=0.1.0 <1.0.0`. No constraint at all
//! holds everywhere. A version has all three numbers.
//!
//! | operator | holds when the running version is |
//! |----------|-----------------------------------|
//! | `>=`     | the same or later                 |
//! | `>`      | later                             |
//! | `<=`     | the same or earlier               |
//! | `<`      | earlier                           |
//! | `=`      | the same                          |
//!
//! The order is the precedence of semantic versioning and nothing more: `0.2.0-rc.1` is earlier
//! than `0.2.0` and later than `0.1.9`, and build metadata does not count.

use std::{cmp::Ordering, fmt};

use semver::Version;
use thiserror::Error;

/// Most constraints a requirement may have.
pub const CONSTRAINTS_MAX: usize = 16;

/// Runtimes a bundle is made for.
///
/// # Examples
///
/// ```
/// use policy::RuntimeRequirement;
///
/// let requirement = RuntimeRequirement::parse(">=0.1.0 <1.0.0")?;
/// assert!(requirement.check(&"0.1.0".parse()?).is_ok());
/// assert!(requirement.check(&"1.0.0".parse()?).is_err());
///
/// let refusal = RuntimeRequirement::parse(">=99.0.0")?.check(&"0.1.0".parse()?).unwrap_err();
/// assert_eq!(refusal.to_string(), "bundle requires runtime >=99.0.0, have 0.1.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuntimeRequirement(Vec<Constraint>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Constraint {
    operator: Operator,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    AtLeast,
    Above,
    AtMost,
    Below,
    Exactly,
}

/// Longer texts first: `>` is the start of `>=`.
const OPERATORS: [(&str, Operator); 5] = [
    (">=", Operator::AtLeast),
    ("<=", Operator::AtMost),
    (">", Operator::Above),
    ("<", Operator::Below),
    ("=", Operator::Exactly),
];

impl RuntimeRequirement {
    /// Reads a list of constraints; an empty one holds everywhere.
    ///
    /// # Errors
    ///
    /// [`RequirementError`] with the first part that is no constraint.
    pub fn parse(text: &str) -> Result<Self, RequirementError> {
        let mut res = Vec::new();
        for part in text.split_ascii_whitespace() {
            if res.len() == CONSTRAINTS_MAX {
                return Err(RequirementError::TooMany);
            }
            res.push(Constraint::parse(part)?);
        }
        Ok(Self(res))
    }

    /// Whether it holds everywhere.
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks the version of the running runtime.
    ///
    /// # Errors
    ///
    /// [`Incompatible`] when a constraint does not hold.
    pub fn check(&self, have: &Version) -> Result<(), Incompatible> {
        if self.0.iter().all(|it| it.holds(have)) {
            return Ok(());
        }
        Err(Incompatible { required: self.clone(), have: have.clone() })
    }
}

impl fmt::Display for RuntimeRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, constraint) in self.0.iter().enumerate() {
            let space = if index == 0 { "" } else { " " };
            write!(f, "{space}{}{}", constraint.operator.as_str(), constraint.version)?;
        }
        Ok(())
    }
}

impl Constraint {
    fn parse(part: &str) -> Result<Self, RequirementError> {
        let (operator, version) = OPERATORS
            .iter()
            .find_map(|(text, operator)| Some((*operator, part.strip_prefix(text)?)))
            .ok_or_else(|| RequirementError::NoOperator { part: part.to_owned() })?;
        let version = Version::parse(version).map_err(|error| RequirementError::BadVersion {
            part: part.to_owned(),
            error: error.to_string(),
        })?;
        Ok(Self { operator, version })
    }

    fn holds(&self, have: &Version) -> bool {
        let order = have.cmp_precedence(&self.version);
        match self.operator {
            Operator::AtLeast => order != Ordering::Less,
            Operator::Above => order == Ordering::Greater,
            Operator::AtMost => order != Ordering::Greater,
            Operator::Below => order == Ordering::Less,
            Operator::Exactly => order == Ordering::Equal,
        }
    }
}

impl Operator {
    const fn as_str(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::Above => ">",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::Exactly => "=",
        }
    }
}

/// A list of constraints that is none.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequirementError {
    /// A part does not start with an operator.
    #[error("`{part}` does not start with one of >= > <= < =")]
    NoOperator {
        /// The part.
        part: String,
    },
    /// What follows the operator is no version.
    #[error("`{part}` has no version with three numbers after the operator: {error}")]
    BadVersion {
        /// The part.
        part: String,
        /// What is wrong with the version.
        error: String,
    },
    /// There are more than [`CONSTRAINTS_MAX`].
    #[error("more than {CONSTRAINTS_MAX} constraints")]
    TooMany,
}

/// A runtime the bundle is not made for.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("bundle requires runtime {required}, have {have}")]
pub struct Incompatible {
    required: RuntimeRequirement,
    have: Version,
}

impl Incompatible {
    /// Returns what the bundle demands.
    pub const fn required(&self) -> &RuntimeRequirement {
        &self.required
    }

    /// Returns the version that was checked.
    pub const fn have(&self) -> &Version {
        &self.have
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(requirement: &str, have: &str, want: bool) {
        let parsed = RuntimeRequirement::parse(requirement).unwrap();
        let have: Version = have.parse().unwrap();
        assert_eq!(parsed.check(&have).is_ok(), want, "{requirement} with {have}");
    }

    #[test]
    fn every_operator_compares_by_precedence() {
        for (requirement, earlier, same, later) in [
            (">=0.2.0", false, true, true),
            (">0.2.0", false, false, true),
            ("<=0.2.0", true, true, false),
            ("<0.2.0", true, false, false),
            ("=0.2.0", false, true, false),
            ("", true, true, true),
            ("   ", true, true, true),
        ] {
            for have in ["0.1.9", "0.0.99", "0.2.0-rc.1", "0.2.0-alpha"] {
                check(requirement, have, earlier);
            }
            for have in ["0.2.0", "0.2.0+build.7"] {
                check(requirement, have, same);
            }
            for have in ["0.2.1", "0.3.0-rc.1", "1.0.0", "99.0.0"] {
                check(requirement, have, later);
            }
        }
    }

    #[test]
    fn all_constraints_must_hold() {
        check(">=0.1.0 <1.0.0", "0.1.0", true);
        check(">=0.1.0  <1.0.0", "0.9.9", true);
        check(">=0.1.0 <1.0.0", "1.0.0", false);
        check(">=0.1.0 <1.0.0", "0.0.9", false);
        check(">1.0.0 <1.0.0", "1.0.0", false);
    }

    #[test]
    fn what_is_no_constraint_is_refused() {
        for (text, want) in [
            ("0.1.0", "`0.1.0` does not start with one of >= > <= < ="),
            ("^0.1.0", "`^0.1.0` does not start with one of >= > <= < ="),
            ("~0.1.0", "`~0.1.0` does not start with one of >= > <= < ="),
            ("!=0.1.0", "`!=0.1.0` does not start with one of >= > <= < ="),
            (">=", "`>=` has no version with three numbers after the operator: "),
            (">= 0.1.0", "`>=` has no version with three numbers after the operator: "),
            (">=0.1", "`>=0.1` has no version with three numbers after the operator: "),
            ("=>0.1.0", "`=>0.1.0` has no version with three numbers after the operator: "),
            ("==0.1.0", "`==0.1.0` has no version with three numbers after the operator: "),
            (">=0.1.0,<1.0.0", "`>=0.1.0,<1.0.0` has no version with three numbers after"),
            (">=*", "`>=*` has no version with three numbers after the operator: "),
        ] {
            let error = RuntimeRequirement::parse(text).unwrap_err().to_string();
            assert!(error.starts_with(want), "{text}: {error}");
        }
        let many = ">=0.1.0 ".repeat(CONSTRAINTS_MAX + 1);
        assert_eq!(RuntimeRequirement::parse(&many), Err(RequirementError::TooMany));
    }

    #[test]
    fn the_refusal_has_the_fixed_text() {
        let refusal = RuntimeRequirement::parse(" >=99.0.0 ").unwrap();
        let refusal = refusal.check(&Version::new(0, 1, 0)).unwrap_err();
        assert_eq!(refusal.to_string(), "bundle requires runtime >=99.0.0, have 0.1.0");
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in ".{0,40}") {
            if let Ok(requirement) = RuntimeRequirement::parse(&text) {
                let again = RuntimeRequirement::parse(&requirement.to_string());
                prop_assert_eq!(again, Ok(requirement));
            }
        }
    }
}
