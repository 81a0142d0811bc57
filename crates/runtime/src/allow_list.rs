//! Which endpoints a tool may reach. Being allowed by policy is not enough.
//!
//! | entry               | reaches                                                         |
//! |---------------------|-----------------------------------------------------------------|
//! | `example.org`       | `http` on port 80 and `https` on port 443 of that host            |
//! | `example.org:8080`  | any scheme on that port                                           |
//! | `https://host[:p]`  | that scheme on that port, or on the scheme's own                  |
//!
//! * **N1** An empty list reaches nothing.
//! * **N2** A name never reaches an address inside a private, loopback, link-local or otherwise
//!   special range, wherever it resolves to. Such an address is reached only when the list names the
//!   address itself; `localhost` counts as naming the loopback.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;
use url::{Host, Url};

/// The endpoints that tools may reach.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Rule>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Rule {
    scheme: Option<String>,
    host: Host<String>,
    port: Option<u16>,
}

/// A host that the list allows, and what it may resolve to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only (N2).
    Public,
    /// The loopback only.
    Loopback,
    /// The address in the URL.
    Literal,
}

impl AllowList {
    /// Says how far `url` may reach; `None` when the list does not allow it.
    pub fn reach(&self, url: &Url) -> Option<Reach> {
        let host = url.host()?.to_owned();
        let port = url.port_or_known_default()?;
        let hit = self.0.iter().any(|rule| rule.host == host && rule.takes(url.scheme(), port));
        hit.then_some(match host {
            Host::Domain(name) if name == "localhost" => Reach::Loopback,
            Host::Domain(_) => Reach::Public,
            Host::Ipv4(_) | Host::Ipv6(_) => Reach::Literal,
        })
    }
}

impl Rule {
    fn takes(&self, scheme: &str, port: u16) -> bool {
        let known = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        self.scheme.as_deref().is_none_or(|it| it == scheme) && self.port.unwrap_or(known) == port
    }
}

impl Reach {
    /// Whether a resolved address may be connected to.
    pub fn takes(self, address: IpAddr) -> bool {
        match self {
            Self::Public => is_public(address),
            Self::Loopback => address.is_loopback(),
            Self::Literal => true,
        }
    }
}

/// Whether an address is ordinary unicast on the public internet. What is not known to be public is
/// not.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b)) // shared address space, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments, RFC 6890
        || (a == 198 && (b == 18 || b == 19)); // benchmarking, RFC 2544
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3; documentation, 6to4 and Teredo inside it lead elsewhere.
    (first & 0xe000) == 0x2000
        && first != 0x2002
        && !(first == 0x2001 && (second == 0 || second == 0x0db8))
}

impl FromStr for AllowList {
    type Err = AllowListError;

    /// Reads a comma-separated list.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let entries = text.split(',').map(str::trim).filter(|it| !it.is_empty());
        entries.map(rule).collect::<Result<_, _>>().map(Self)
    }
}

fn rule(entry: &str) -> Result<Rule, AllowListError> {
    let bad = || AllowListError { entry: entry.to_owned() };
    let (scheme, rest) = match entry.split_once("://") {
        Some((scheme @ ("http" | "https"), rest)) => (Some(scheme.to_owned()), rest),
        Some(_) => return Err(bad()),
        None => (None, entry),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    // A scheme without a default port, so that a stated port is never dropped.
    let url = Url::parse(&format!("probe://{rest}")).map_err(|_| bad())?;
    // Nothing here is a pattern; one that looks like it would reach nothing and look as if it did.
    let plain = !rest.contains('*')
        && url.path().is_empty()
        && url.query().is_none()
        && url.username().is_empty();
    if !plain || url.fragment().is_some() || url.password().is_some() {
        return Err(bad());
    }
    let host = Host::parse(url.host_str().ok_or_else(bad)?).map_err(|_| bad())?;
    Ok(Rule { scheme, host, port: url.port() })
}

/// An entry that names no endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{entry}` is not an endpoint (host, host:port, or http(s)://host[:port])")]
pub struct AllowListError {
    /// The entry.
    pub entry: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(list: &str, url: &str) -> Option<Reach> {
        list.parse::<AllowList>().unwrap().reach(&url.parse().unwrap())
    }

    #[test]
    fn an_entry_reaches_what_it_names_and_nothing_else() {
        for (list, url, want) in [
            ("", "http://a.example/", None),
            ("a.example", "http://a.example/x?y", Some(Reach::Public)),
            ("a.example", "https://A.EXAMPLE/", Some(Reach::Public)),
            ("a.example", "http://a.example:8080/", None),
            ("a.example", "http://b.a.example/", None),
            ("a.example", "http://a.example.evil/", None),
            ("a.example", "ftp://a.example/", None),
            ("a.example:8080", "http://a.example:8080/", Some(Reach::Public)),
            ("a.example:8080", "http://a.example/", None),
            ("https://a.example", "http://a.example/", None),
            ("https://a.example", "https://a.example/", Some(Reach::Public)),
            ("https://a.example:444/", "https://a.example:444/", Some(Reach::Public)),
            ("b.example, a.example", "http://a.example/", Some(Reach::Public)),
            ("a.example", "http://a.example@evil.example/", None),
            ("localhost:80", "http://localhost/", Some(Reach::Loopback)),
            ("127.0.0.1:9", "http://127.0.0.1:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://2130706433:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://127.0.0.2:9/", None),
            ("[::1]:9", "http://[::1]:9/", Some(Reach::Literal)),
        ] {
            assert_eq!(reach(list, url), want, "{list} {url}");
        }
    }

    #[test]
    fn a_name_never_leads_inside() {
        for inside in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "192.0.2.1",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "::ffff:10.0.0.1",
            "ff02::1",
            "2001:db8::1",
            "2002:a00:1::",
            "2001::1",
            "64:ff9b::a00:1",
        ] {
            assert!(!Reach::Public.takes(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(Reach::Public.takes(outside.parse().unwrap()), "{outside}");
        }
        assert!(!Reach::Loopback.takes("10.0.0.1".parse().unwrap()));
    }

    #[test]
    fn an_entry_that_names_no_endpoint_is_refused() {
        for bad in
            ["http://", "ftp://a", "a/b", "a:99999", "a b", "a?x", "u@a", "a:x", "*.a.example"]
        {
            let error = bad.parse::<AllowList>().unwrap_err();
            assert_eq!(error.entry, bad);
        }
    }
}
