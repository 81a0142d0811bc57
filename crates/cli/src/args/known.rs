//! Words that a shell can complete, where others are taken, too: what is wrong with a word is said by the command, in more
//! words than a list has.

use std::ffi::OsStr;

use clap::{
    Arg, Command, Error,
    builder::{PossibleValue, StringValueParser, TypedValueParser},
};

/// Takes any text, and offers some.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known(pub(super) fn() -> Vec<&'static str>);

impl TypedValueParser for Known {
    type Value = String;

    fn parse_ref(
        &self,
        command: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<String, Error> {
        StringValueParser::new().parse_ref(command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.0)().into_iter().map(PossibleValue::new)))
    }
}

/// Keys of settings.
pub(super) const SETTINGS: Known = Known(|| crate::settings::keys().collect());
/// Codes that have a page.
pub(super) const CODES: Known = Known(|| crate::commands::explain::explained_codes().collect());
