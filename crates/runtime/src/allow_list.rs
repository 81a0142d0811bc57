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

/// Whether an address is ordinary unicast on the public internet, by the IANA special-purpose address
/// registries. What is not known to be public is not; the few addresses in protocol ranges that the
/// registries call globally reachable (anycast of PCP, TURN, AMT, ORCHID) are not either.
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
        || (a == 192 && b == 88 && c == 99) // relays of 6to4, RFC 7526
        || (a == 198 && (b == 18 || b == 19)); // benchmarking, RFC 2544
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [first, second, ..] = address.segments();
    // Global unicast is 2000::/3. The forms that carry an IPv4 address are outside of it, 6to4 excepted:
    // mapped, compatible, NAT64 (64:ff9b::/96, 64:ff9b:1::/48).
    (first & 0xe000) == 0x2000
        && first != 0x2002 // 6to4, RFC 3056
        && !(first == 0x2001 && second < 0x0200) // protocol assignments, RFC 2928; Teredo is one
        && !(first == 0x2001 && second == 0x0db8) // documentation, RFC 3849
        && !(first == 0x3fff && second < 0x1000) // documentation, RFC 9637
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

    /// First and last address of every block of the IANA special-purpose registries that a name must not
    /// lead to, and of multicast.
    const INSIDE: [(&str, &str, &str); 35] = [
        ("this network", "0.0.0.0", "0.255.255.255"),
        ("private", "10.0.0.0", "10.255.255.255"),
        ("shared", "100.64.0.0", "100.127.255.255"),
        ("loopback", "127.0.0.0", "127.255.255.255"),
        ("link-local, metadata", "169.254.0.0", "169.254.255.255"),
        ("private", "172.16.0.0", "172.31.255.255"),
        ("protocol assignments", "192.0.0.0", "192.0.0.255"),
        ("documentation", "192.0.2.0", "192.0.2.255"),
        ("6to4 relays", "192.88.99.0", "192.88.99.255"),
        ("private", "192.168.0.0", "192.168.255.255"),
        ("benchmarking", "198.18.0.0", "198.19.255.255"),
        ("documentation", "198.51.100.0", "198.51.100.255"),
        ("documentation", "203.0.113.0", "203.0.113.255"),
        ("multicast", "224.0.0.0", "239.255.255.255"),
        ("reserved, broadcast", "240.0.0.0", "255.255.255.255"),
        ("unspecified, loopback", "::", "::1"),
        ("IPv4-compatible", "::10.0.0.1", "::255.255.255.255"),
        ("IPv4-mapped", "::ffff:0.0.0.0", "::ffff:255.255.255.255"),
        ("IPv4-mapped, loopback", "::ffff:127.0.0.1", "::ffff:127.0.0.1"),
        ("NAT64", "64:ff9b::", "64:ff9b::ffff:ffff"),
        ("NAT64, local", "64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"),
        ("discard", "100::", "100::ffff:ffff:ffff:ffff"),
        ("dummy", "100:0:0:1::", "100::1:ffff:ffff:ffff:ffff"),
        ("protocol assignments", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("Teredo", "2001::a00:1", "2001:0:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("benchmarking", "2001:2::", "2001:2::ffff:ffff:ffff:ffff:ffff"),
        ("ORCHID", "2001:20::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("documentation", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("6to4", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("documentation", "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("segment routing", "5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("unique local", "fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("link-local", "fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("site-local", "fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
        ("multicast", "ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ];

    #[test]
    fn a_name_never_leads_inside() {
        for (what, first, last) in INSIDE {
            for inside in [first, last] {
                assert!(!Reach::Public.takes(inside.parse().unwrap()), "{what}: {inside}");
            }
        }
        assert!(!Reach::Loopback.takes("10.0.0.1".parse().unwrap()));
        assert!(!Reach::Loopback.takes("::ffff:127.0.0.1".parse().unwrap()));
    }

    #[test]
    fn the_neighbours_of_special_blocks_are_public() {
        for outside in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2606:4700::1111",
            "3fff:1000::",
        ] {
            assert!(Reach::Public.takes(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_host_is_compared_as_it_will_be_connected_to() {
        for (list, url, want) in [
            // Every spelling of 127.0.0.1 is 127.0.0.1 before it is compared.
            ("127.0.0.1:9", "http://0x7f.1:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://0177.0.0.1:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://0x7f000001:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://127.1:9/", Some(Reach::Literal)),
            ("127.0.0.1:9", "http://127.0.0.1.:9/", Some(Reach::Literal)),
            ("localhost:9", "http://127.0.0.1:9/", None),
            ("localhost:9", "http://2130706433:9/", None),
            ("127.0.0.1:9", "http://[::ffff:127.0.0.1]:9/", None),
            ("127.0.0.1:9", "http://[::127.0.0.1]:9/", None),
            // A name with a trailing dot is another name.
            ("a.example", "http://a.example./", None),
            ("localhost", "http://localhost./", None),
            ("localhost.", "http://localhost./", Some(Reach::Public)),
            ("localhost", "http://x.localhost/", None),
            // Letters that look alike are other letters; those that mean the same are the same.
            ("apple.example", "http://аpple.example/", None),
            ("apple.example", "http://xn--pple-43d.example/", None),
            ("apple.example", "http://ａｐｐｌｅ.example/", Some(Reach::Public)),
            ("apple.example", "http://apple。example/", Some(Reach::Public)),
            ("apple.example", "http://a%70ple.example/", Some(Reach::Public)),
            ("bücher.example", "http://xn--bcher-kva.example/", Some(Reach::Public)),
            ("a.example", "http:\\\\a.example\\@evil.example/", Some(Reach::Public)),
            ("a.example", "http://evil.example#@a.example/", None),
            ("a.example", "http://evil.example?@a.example/", None),
            ("a.example", "file:///etc/passwd", None),
            ("a.example", "data:text/plain,a.example", None),
        ] {
            assert_eq!(reach(list, url), want, "{list} {url}");
        }
        for no_url in
            ["http://[fe80::1%25eth0]/", "http://a b.example/", "http://1.2.3.4.5/", "//a"]
        {
            assert!(no_url.parse::<Url>().is_err(), "{no_url}");
        }
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
