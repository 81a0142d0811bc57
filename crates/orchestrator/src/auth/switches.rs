//! What the environment of the server says about enforcement.
//!
//! | value                | enforcement | break-glass |
//! |----------------------|-------------|-------------|
//! | not set, empty       | on          | off         |
//! | `1`, `true`          | on          | on          |
//! | `0`, `false`         | off         | off         |
//! | anything else        | refused     | refused     |
//!
//! A guess at `off` or `no` would be wrong half of the time, and nobody would notice in time.

use std::ffi::OsStr;

use api::env::{RBAC_BREAK_GLASS as BREAK_GLASS, RBAC_ENFORCEMENT as ENFORCEMENT};
use thiserror::Error;

/// The two switches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Switches {
    /// Whether roles count.
    pub(crate) enforcement: bool,
    /// Whether an identity is enough.
    pub(crate) break_glass: bool,
}

impl Switches {
    /// Reads the values of [`ENFORCEMENT`] and [`BREAK_GLASS`].
    pub(crate) fn parse(
        enforcement: Option<&OsStr>,
        break_glass: Option<&OsStr>,
    ) -> Result<Self, SwitchError> {
        let enforcement = parse(ENFORCEMENT, enforcement)?.unwrap_or(true);
        let break_glass = parse(BREAK_GLASS, break_glass)?.unwrap_or(false);
        Ok(Self { enforcement, break_glass })
    }
}

fn parse(name: &'static str, value: Option<&OsStr>) -> Result<Option<bool>, SwitchError> {
    match value.unwrap_or_default().to_str() {
        Some("") => Ok(None),
        Some("1" | "true") => Ok(Some(true)),
        Some("0" | "false") => Ok(Some(false)),
        _ => Err(SwitchError { name }),
    }
}

/// A switch that is neither on nor off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{name} is neither 1 nor 0")]
pub(crate) struct SwitchError {
    name: &'static str,
}

impl SwitchError {
    /// Which switch.
    pub(crate) const fn name(self) -> &'static str {
        self.name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_read_as_the_table_says_and_none_is_guessed() {
        let table = [
            (None, Some((true, false))),
            (Some(""), Some((true, false))),
            (Some("1"), Some((true, true))),
            (Some("true"), Some((true, true))),
            (Some("0"), Some((false, false))),
            (Some("false"), Some((false, false))),
            (Some("off"), None),
            (Some("no"), None),
            (Some("FALSE"), None),
            (Some(" 0"), None),
        ];
        for (value, want) in table {
            let value = value.map(OsStr::new);
            let enforcement = Switches::parse(value, None).ok();
            assert_eq!(enforcement.map(|it| it.enforcement), want.map(|it| it.0), "{value:?}");
            let break_glass = Switches::parse(None, value).ok();
            assert_eq!(break_glass.map(|it| it.break_glass), want.map(|it| it.1), "{value:?}");
        }
        let error = Switches::parse(None, Some(OsStr::new("yes"))).unwrap_err();
        assert_eq!(error.to_string(), "AUTONOMY_RBAC_BREAK_GLASS is neither 1 nor 0");
        assert_eq!(error.name(), BREAK_GLASS);
    }
}
