//! Options of the commands that replace or seal a log.
#![expect(clippy::doc_markdown, reason = "these comments are the help texts that users read")]

use std::{path::PathBuf, time::Duration};

use api::size::parse_size;
use clap::{ArgGroup, Args};
use jiff::{Span, SpanRelativeTo};
use wal_recovery::archive::Keep;

use super::OutputArg;

#[derive(Args, Debug)]
pub(crate) struct WalArchive {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Deletes archived logs that were packed longer ago than this, for example 30d or 12h.
    #[arg(long, value_name = "AGE", value_parser = parse_age)]
    pub(crate) keep_age: Option<Duration>,
    /// Deletes the oldest archived logs until the rest has at most this many bytes: 500MiB, 10GiB.
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub(crate) keep_bytes: Option<usize>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
#[command(group = ArgGroup::new("how").required(true))]
pub(crate) struct WalRepair {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Says what is damaged and what would be done; changes nothing.
    #[arg(long, group = "how")]
    pub(crate) dry_run: bool,
    /// Repairs, and records this in the new log.
    #[arg(long, group = "how", value_name = "TEXT")]
    pub(crate) reason: Option<String>,
    /// Who repairs, recorded in the new log [default: the user id of the process].
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

#[derive(Args, Debug)]
pub(crate) struct WalSeal {
    /// Directory of the log [default: $XDG_STATE_HOME/autonomyops/telemetry].
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Private Ed25519 key in PEM (PKCS#8), as openssl makes it.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    #[command(flatten)]
    pub(crate) output: OutputArg,
}

/// Reads an age: `30d`, `12h`, `1w`. A day has 24 hours.
fn parse_age(text: &str) -> Result<Duration, String> {
    let age = text.parse::<Span>().ok();
    let age = age.and_then(|it| it.to_duration(SpanRelativeTo::days_are_24_hours()).ok());
    age.and_then(|it| Duration::try_from(it).ok())
        .filter(|it| !it.is_zero())
        .ok_or_else(|| format!("`{text}` is not an age (12h, 30d, 8w)"))
}

/// Reads how long archived logs are kept: `30d`, `10GiB`, or both with a comma.
pub(super) fn parse_keep(text: &str) -> Result<Keep, String> {
    let bad = || format!("`{text}` is neither an age nor a size nor both (30d, 10GiB, 30d,10GiB)");
    let mut keep = Keep::default();
    for part in text.split(',').map(str::trim) {
        match (parse_age(part), parse_size(part)) {
            (Ok(age), _) if keep.age.is_none() => keep.age = Some(age),
            (_, Ok(bytes)) if keep.bytes.is_none() && part.ends_with("iB") => {
                keep.bytes = Some(bytes as u64);
            }
            _ => return Err(bad()),
        }
    }
    Ok(keep)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_and_sizes_have_units() {
        assert_eq!(parse_age("30d"), Ok(Duration::from_hours(720)));
        assert_eq!(parse_age("1w"), Ok(Duration::from_hours(168)));
        assert_eq!(parse_age("90m"), Ok(Duration::from_mins(90)));
        for bad in ["", "30", "0d", "-1d", "1 month", "x"] {
            assert!(parse_age(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_is_kept_has_an_age_or_a_size_or_both() {
        let (age, bytes) = (Some(Duration::from_hours(720)), Some(10 << 30));
        assert_eq!(parse_keep("30d"), Ok(Keep { age, bytes: None }));
        assert_eq!(parse_keep("10GiB"), Ok(Keep { age: None, bytes }));
        assert_eq!(parse_keep("30d, 10GiB"), Ok(Keep { age, bytes }));
        assert_eq!(parse_keep("10GiB,30d"), Ok(Keep { age, bytes }));
        for bad in ["", "30", "30d,30d", "1GiB,2GiB", "30d,", "30d,10GiB,1h", "10GB"] {
            assert!(parse_keep(bad).is_err(), "{bad}");
        }
    }
}
