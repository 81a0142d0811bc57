//! Who may ask: programs, and no web page.
//!
//! A browser on this machine reaches the loopback, and a page from anywhere could ask it to call tools: by
//! a plain cross-site request, or by a name of its own that it lets resolve to this machine.
//!
//! | a request with                         | is                                                            |
//! |----------------------------------------|---------------------------------------------------------------|
//! | `Origin` or `Sec-Fetch-Site`           | refused, `BROWSER_REFUSED`: browsers send them, agents do not   |
//! | a host that is a name, not one of ours | refused, `HOST_REFUSED`: the page's name resolved to us         |
//! | a host that is an address              | served: no page can choose its own address                     |
//! | the host `localhost` or a configured name | served                                                      |
//! | no host                                | served: every browser sends one                                |

use std::{net::IpAddr, sync::Arc};

use axum::http::{HeaderMap, Request, Uri, header::HOST, uri::Authority};

use crate::CallCode;

/// Names under which this runtime may be called.
#[derive(Clone, Debug)]
pub(crate) struct Hosts(Arc<[String]>);

impl Hosts {
    pub(crate) fn new(names: &[String]) -> Self {
        Self(names.iter().map(|it| it.to_ascii_lowercase()).collect())
    }

    /// Says why a request is not served.
    pub(crate) fn check<B>(&self, request: &Request<B>) -> Result<(), (CallCode, String)> {
        let headers = request.headers();
        if let Some(header) =
            ["origin", "sec-fetch-site"].into_iter().find(|it| headers.contains_key(*it))
        {
            let reason = format!("the request carries `{header}`, so a web page has sent it");
            return Err((CallCode::BrowserRefused, reason));
        }
        match named(headers, request.uri()) {
            Named::Nothing => Ok(()),
            Named::Host(host) if self.knows(&host) => Ok(()),
            Named::Host(host) => {
                let reason = format!(
                    "the request is for `{host}`, which is no name of this runtime (--allowed-hosts)"
                );
                Err((CallCode::HostRefused, reason))
            }
            Named::Unreadable => {
                Err((CallCode::HostRefused, "the host of the request cannot be read".to_owned()))
            }
        }
    }

    fn knows(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
        // Most agents name an address.
        bare.parse::<IpAddr>().is_ok() || self.knows_name(host.strip_suffix('.').unwrap_or(host))
    }

    fn knows_name(&self, name: &str) -> bool {
        name.eq_ignore_ascii_case("localhost")
            || self.0.iter().any(|it| it.eq_ignore_ascii_case(name))
    }
}

/// The host that a request names.
enum Named {
    Nothing,
    Host(String),
    Unreadable,
}

fn named(headers: &HeaderMap, uri: &Uri) -> Named {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), uri.authority()) {
        (None, _, None) => Named::Nothing,
        // What the request line says counts more than the header.
        (_, _, Some(authority)) => Named::Host(authority.host().to_owned()),
        // A name and a password have no place in a host, and who sends them hides what is behind.
        (Some(host), None, None) if host.as_bytes().contains(&b'@') => Named::Unreadable,
        (Some(host), None, None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) => Named::Host(authority.host().to_owned()),
            Err(_) => Named::Unreadable,
        },
        (Some(_), Some(_), None) => Named::Unreadable,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> Option<&'static str> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let hosts = Hosts::new(&["Robot.local".to_owned()]);
        hosts.check(&request.body(Body::empty()).unwrap()).err().map(|it| it.0.as_str())
    }

    #[test]
    fn addresses_and_our_names_are_served_and_no_other_name() {
        for (host, want) in [
            ("127.0.0.1:7777", None),
            ("[::1]:7777", None),
            ("192.168.0.7", None),
            ("localhost", None),
            ("LOCALHOST.:80", None),
            ("robot.local:7777", None),
            ("evil.example", Some("HOST_REFUSED")),
            ("evil.example:80@127.0.0.1", Some("HOST_REFUSED")),
            ("127.0.0.1.evil.example:7777", Some("HOST_REFUSED")),
            ("localhost.evil.example", Some("HOST_REFUSED")),
            ("robot.local.evil.example", Some("HOST_REFUSED")),
            ("127.0.0.1@evil.example", Some("HOST_REFUSED")),
            ("not a host", Some("HOST_REFUSED")),
            ("", Some("HOST_REFUSED")),
        ] {
            assert_eq!(check("/v1/tool", &[("host", host)]), want, "{host}");
        }
        assert_eq!(check("/v1/tool", &[]), None);
        let absolute = check("http://evil.example/v1/tool", &[("host", "127.0.0.1")]);
        assert_eq!(absolute, Some("HOST_REFUSED"), "the request line counts");
        let two = check("/", &[("host", "127.0.0.1"), ("host", "evil.example")]);
        assert_eq!(two, Some("HOST_REFUSED"));
    }

    #[test]
    fn what_only_a_browser_sends_is_refused_whatever_the_host_is() {
        for header in ["origin", "sec-fetch-site"] {
            let got = check("/health", &[("host", "127.0.0.1"), (header, "null")]);
            assert_eq!(got, Some("BROWSER_REFUSED"));
        }
    }
}
