//! Every setting and every bound of the service.
//!
//! The environment comes in through a closure, so that nothing here depends on the process.

use std::{
    ffi::OsString,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use api::{
    env,
    size::{SizeError, parse_size},
};
use connections::Bounds;
use thiserror::Error;
use wal_recovery::Overrides;

use crate::auth::switches::Switches;

/// Where the service listens when nobody says.
pub const LISTEN_DEFAULT: SocketAddr =
    SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 8888));
/// The default data directory, below the cache directory of the user.
pub const DATA_DIR_NAME: &str = "autonomyops/orchestrator";
/// The directory of the audit trail, below the state directory of the user.
pub const AUDIT_DIR_NAME: &str = "autonomyops/audit";
/// The directory of the audit trail in the data directory, where the user has no state directory.
const AUDIT_DIR_BESIDE: &str = "audit";
/// Smallest body limit that can be asked for: one event with its four fields fits.
const BODY_LEN_MAX_MIN: usize = 4 << 10;
/// Largest body limit that can be asked for. A body is held in memory.
const BODY_LEN_MAX_MAX: usize = 256 << 20;

/// Settings of one service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Address to listen on; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Directory of the store.
    pub data_dir: PathBuf,
    /// Bounds.
    pub limits: Limits,
    /// What the operator asked for about the log of the service's own life, for this start.
    pub overrides: Overrides,
    /// Directory of the audit trail, shared with the commands of this machine.
    pub audit_dir: PathBuf,
    /// Whether permissions are enforced.
    pub enforcement: bool,
    /// Whether everybody with an identity may do everything.
    pub break_glass: bool,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Address of the metrics, when they have one of their own.
    pub metrics_listen: Option<SocketAddr>,
}

/// Files (PEM) of a service that speaks TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificate chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Authorities of client certificates; every client must then show one.
    pub client_authorities: Option<PathBuf>,
}

/// Bounds on what clients, the disk and other processes can make the service do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest request body in bytes. Memory for bodies is at most this times `requests_max`.
    pub body_len_max: usize,
    /// Longest event in bytes of JSON without white space.
    pub event_len_max: usize,
    /// A page ends, with a cursor, at the event with which it reaches so many bytes.
    pub page_len_max: usize,
    /// Open connections; more wait in the backlog of the listener.
    pub connections_max: usize,
    /// Requests in work; the next one is answered with 503.
    pub requests_max: usize,
    /// Requests that wait for the writer; the next one is answered with 503.
    pub queue_len_max: usize,
    /// Time for the head of a request, and for the next request on an open connection.
    pub header_timeout: Duration,
    /// Time for the body of a request.
    pub body_timeout: Duration,
    /// Time for a request as a whole.
    pub request_timeout: Duration,
    /// Time that a client may take without reading any of its answer.
    pub write_timeout: Duration,
    /// Time to wait for another process that has the database locked.
    pub busy_timeout: Duration,
    /// Time for one query.
    pub query_timeout: Duration,
    /// Time for the integrity check at the start; a larger store is served with a warning.
    pub check_timeout: Duration,
    /// Time for requests in work after the service was told to stop.
    pub shutdown_grace: Duration,
    /// Event streams at once; the next one is answered with 503.
    pub streams_max: usize,
    /// Distance of passes of the promoter.
    pub promote_interval: Duration,
    /// Whether a plan whose artifact looks wrong is refused instead of accepted with warnings.
    pub strict_artifacts: bool,
}

impl Limits {
    /// The bounds of the released program.
    pub const STANDARD: Self = Self {
        body_len_max: 8 << 20,
        event_len_max: 256 << 10,
        page_len_max: 4 << 20,
        connections_max: 1024,
        requests_max: 256,
        queue_len_max: 256,
        header_timeout: Duration::from_secs(30),
        body_timeout: Duration::from_secs(20),
        request_timeout: Duration::from_secs(30),
        write_timeout: Duration::from_secs(20),
        busy_timeout: Duration::from_secs(2),
        query_timeout: Duration::from_secs(10),
        check_timeout: Duration::from_secs(2),
        shutdown_grace: Duration::from_secs(10),
        streams_max: 64,
        promote_interval: Duration::from_secs(1),
        strict_artifacts: false,
    };
}

impl Limits {
    /// What of this bounds connections.
    pub(crate) const fn bounds(&self) -> Bounds {
        Bounds {
            connections: self.connections_max,
            head_timeout: self.header_timeout,
            write_timeout: self.write_timeout,
            grace: self.shutdown_grace,
        }
    }
}

impl Config {
    /// Makes the standard settings, with `data_dir` when given and else from the environment that
    /// `lookup` reads: `$XDG_CACHE_HOME/autonomyops/orchestrator`, or below `$HOME/.cache`.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] when no directory can be derived.
    ///
    /// # Examples
    ///
    /// ```
    /// use orchestrator::Config;
    ///
    /// let config = Config::from_lookup(None, &|name| (name == "HOME").then(|| "/home/ada".into()))?;
    /// assert_eq!(config.data_dir.to_str(), Some("/home/ada/.cache/autonomyops/orchestrator"));
    /// # Ok::<(), orchestrator::ConfigError>(())
    /// ```
    pub fn from_lookup(
        data_dir: Option<PathBuf>,
        lookup: &dyn Fn(&str) -> Option<OsString>,
    ) -> Result<Self, ConfigError> {
        let data_dir = match data_dir {
            Some(dir) if dir.as_os_str().is_empty() => return Err(ConfigError::EmptyDataDir),
            Some(dir) => dir,
            None => cache_home(lookup).ok_or(ConfigError::NoHome)?.join(DATA_DIR_NAME),
        };
        let overrides = Overrides {
            legacy_upgrade: switch(lookup, env::WAL_LEGACY_UPGRADE)?,
            operator_reset: switch(lookup, env::WAL_OPERATOR_RESET)?,
        };
        let (enforcement, break_glass) =
            (lookup(env::RBAC_ENFORCEMENT), lookup(env::RBAC_BREAK_GLASS));
        let switches = Switches::parse(enforcement.as_deref(), break_glass.as_deref())
            .map_err(|error| ConfigError::BadSwitch { name: error.name() })?;
        let audit_dir = lookup(env::AUDIT_DIR)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
            .or_else(|| state_home(lookup).map(|it| it.join(AUDIT_DIR_NAME)))
            .unwrap_or_else(|| data_dir.join(AUDIT_DIR_BESIDE));
        Ok(Self {
            listen: LISTEN_DEFAULT,
            data_dir,
            limits: Limits::STANDARD,
            overrides,
            audit_dir,
            enforcement: switches.enforcement,
            break_glass: switches.break_glass,
            tls: None,
            metrics_listen: None,
        })
    }
}

/// Reads a switch: `1` is on, `0` or nothing is off, and a guess at anything else would be one.
fn switch(
    lookup: &dyn Fn(&str) -> Option<OsString>,
    name: &'static str,
) -> Result<bool, ConfigError> {
    match lookup(name).unwrap_or_default().to_str() {
        Some("" | "0") => Ok(false),
        Some("1") => Ok(true),
        _ => Err(ConfigError::BadSwitch { name }),
    }
}

/// As [`cache_home`].
fn state_home(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| lookup(name).map(PathBuf::from).filter(|it| it.is_absolute());
    absolute(env::XDG_STATE_HOME)
        .or_else(|| absolute(env::HOME).map(|it| it.join(Path::new(".local/state"))))
}

/// The XDG specification says that a relative base directory is to be ignored.
fn cache_home(lookup: &dyn Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let absolute = |name| lookup(name).map(PathBuf::from).filter(|it| it.is_absolute());
    absolute(env::XDG_CACHE_HOME)
        .or_else(|| absolute(env::HOME).map(|it| it.join(Path::new(".cache"))))
}

/// Why there are no settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ConfigError {
    /// Neither of the two variables is an absolute path.
    #[error("no data directory: neither XDG_CACHE_HOME nor HOME is an absolute path")]
    NoHome,
    /// A switch is neither on nor off.
    #[error("{name} is neither 1 nor 0")]
    BadSwitch {
        /// The variable.
        name: &'static str,
    },
    /// The directory was given as an empty string.
    #[error("the data directory is an empty path")]
    EmptyDataDir,
}

/// Reads a number of bytes for the body limit: `8388608`, `512KiB`, `8MiB`.
///
/// # Errors
///
/// [`ByteLenError`] when `text` is not such a number or out of range.
///
/// # Examples
///
/// ```
/// assert_eq!(orchestrator::parse_byte_len("8MiB"), Ok(8 << 20));
/// assert!(orchestrator::parse_byte_len("8MB").is_err());
/// ```
pub fn parse_byte_len(text: &str) -> Result<usize, ByteLenError> {
    let in_range = |it: &usize| (BODY_LEN_MAX_MIN..=BODY_LEN_MAX_MAX).contains(it);
    match parse_size(text) {
        Ok(bytes) => Some(bytes).filter(in_range).ok_or(ByteLenError::OutOfRange),
        Err(SizeError::NotASize) => Err(ByteLenError::NotANumber),
        Err(SizeError::Zero | SizeError::TooLarge) => Err(ByteLenError::OutOfRange),
    }
}

/// Why a text is not a body limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ByteLenError {
    /// Not digits with an optional unit.
    #[error("not a number of bytes; examples: 8388608, 512KiB, 8MiB")]
    NotANumber,
    /// Too small for one event, or too large to hold in memory.
    #[error("not between {BODY_LEN_MAX_MIN} and {BODY_LEN_MAX_MAX} bytes")]
    OutOfRange,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(vars: &[(&str, &str)], flag: Option<&str>, want: Result<&str, ConfigError>) {
        let lookup =
            |name: &str| vars.iter().find(|it| it.0 == name).map(|it| OsString::from(it.1));
        let dir = Config::from_lookup(flag.map(PathBuf::from), &lookup).map(|it| it.data_dir);
        assert_eq!(dir, want.map(PathBuf::from));
    }

    #[test]
    fn the_data_directory_comes_from_the_flag_then_xdg_then_home() {
        let all = [("XDG_CACHE_HOME", "/x"), ("HOME", "/h")];
        check(&all, Some("rel/dir"), Ok("rel/dir"));
        check(&all, None, Ok("/x/autonomyops/orchestrator"));
        check(&all[1..], None, Ok("/h/.cache/autonomyops/orchestrator"));
        check(&[("XDG_CACHE_HOME", "x"), all[1]], None, Ok("/h/.cache/autonomyops/orchestrator"));
        check(&[("XDG_CACHE_HOME", ""), all[1]], None, Ok("/h/.cache/autonomyops/orchestrator"));
        check(&[("HOME", "h")], None, Err(ConfigError::NoHome));
        check(&[], None, Err(ConfigError::NoHome));
        check(&[], Some("/d"), Ok("/d"));
        check(&all, Some(""), Err(ConfigError::EmptyDataDir));
    }

    #[test]
    fn a_body_limit_is_digits_with_a_binary_unit_in_range() {
        let table = [
            ("4096", Ok(4096)),
            ("4KiB", Ok(4096)),
            ("256MiB", Ok(256 << 20)),
            ("4095", Err(ByteLenError::OutOfRange)),
            ("1GiB", Err(ByteLenError::OutOfRange)),
            ("99999999999999999999GiB", Err(ByteLenError::OutOfRange)),
            ("0", Err(ByteLenError::OutOfRange)),
            ("", Err(ByteLenError::NotANumber)),
            ("KiB", Err(ByteLenError::NotANumber)),
            ("-4096", Err(ByteLenError::NotANumber)),
            ("+4096", Err(ByteLenError::NotANumber)),
            ("4 KiB", Ok(4096)),
            ("8MB", Err(ByteLenError::NotANumber)),
        ];
        for (text, want) in table {
            assert_eq!(parse_byte_len(text), want, "{text}");
        }
    }
}
