//! Numbers with what they count, for people.

/// `1 file`, `2 files`, `0 files`: the noun is given in the singular and takes an `s`.
pub(crate) fn counted(number: impl TryInto<u64>, noun: &str) -> String {
    // What does not fit is not one.
    match number.try_into() {
        Ok(1) => format!("1 {noun}"),
        Ok(number) => format!("{number} {noun}s"),
        Err(_) => format!("many {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_else_is() {
        assert_eq!(counted(0_u64, "error"), "0 errors");
        assert_eq!(counted(1_usize, "error"), "1 error");
        assert_eq!(counted(2_u64, "other file"), "2 other files");
    }
}
