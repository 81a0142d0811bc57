//! Ids that are derived and not drawn, so that the same event gives the same mandate after a crash.

use super::hash::sha256_hex;

/// Digits of the hash that a plan id keeps.
const PLAN_DIGITS: usize = 12;

/// Returns the id of the plan of an event: `plan_` and 12 digits over `<event>|<fired_at>`.
///
/// # Examples
///
/// ```
/// use wal_format::step::{mandate_id, plan_id};
///
/// let plan = plan_id("daily_summary", "2026-04-20T12:00:00Z");
/// assert_eq!(plan, "plan_505e993c2390");
/// assert_eq!(mandate_id(&plan), "mnd_plan_505e993c2390");
/// ```
pub fn plan_id(event: &str, fired_at: &str) -> String {
    let digits = sha256_hex(format!("{event}|{fired_at}").as_bytes());
    format!("plan_{}", digits.get(..PLAN_DIGITS).unwrap_or(&digits))
}

/// Returns the id of a plan of an event without a time: `plan_<event>_` and the digits of `random`.
pub fn plan_id_drawn(event: &str, random: [u8; 4]) -> String {
    format!("plan_{event}_{}", hex::encode(random))
}

/// Returns the id of the mandate that a plan began: the two pair one to one.
pub fn mandate_id(plan_id: &str) -> String {
    format!("mnd_{plan_id}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_event_has_the_same_plan_and_another_time_another_one() {
        let plan = plan_id("daily_summary", "2026-04-20T12:00:00Z");
        assert_eq!(plan, "plan_505e993c2390");
        assert_ne!(plan, plan_id("daily_summary", "2026-04-20T12:00:01Z"));
        assert_eq!(plan_id_drawn("nightly", [0, 1, 0xab, 0xff]), "plan_nightly_0001abff");
    }
}
