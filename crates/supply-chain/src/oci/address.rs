//! Where a registry is, and where it may send us (H2, H3, H4). No I/O.

use url::{Host, Url};

use crate::{
    Place, Reference, RegistryError,
    oci::options::{Options, PlainHttp},
};

/// A repository as a URL.
#[derive(Clone, Debug)]
pub(super) struct Address {
    base: Url,
    host: String,
    repository: String,
    redirect_hosts: Vec<String>,
    token_hosts: Vec<String>,
}

impl Address {
    pub(super) fn new(
        host: &str,
        repository: &str,
        options: &Options,
    ) -> Result<Self, RegistryError> {
        let text = format!("{host}/{repository}");
        let malformed = |text: String| RegistryError::Malformed {
            what: format!("`{host}/{repository}`"),
            text,
        };
        let parsed: Reference =
            text.parse().map_err(|it: crate::ReferenceError| malformed(it.to_string()))?;
        let named = Place::Repository { host: host.to_owned(), repository: repository.to_owned() };
        if parsed.place != named {
            return Err(malformed("it is no repository alone".to_owned()));
        }
        let parse = |scheme: &str| {
            Url::parse(&format!("{scheme}://{host}/")).map_err(|it| malformed(it.to_string()))
        };
        let secure = parse("https")?;
        let plain = match options.plain_http {
            PlainHttp::Everywhere => true,
            PlainHttp::OnThisMachine => is_this_machine(&secure),
            PlainHttp::Nowhere => false,
        };
        Ok(Self {
            base: if plain { parse("http")? } else { secure },
            host: host.to_owned(),
            repository: repository.to_owned(),
            redirect_hosts: options.redirect_hosts.clone(),
            token_hosts: options.token_hosts.clone(),
        })
    }

    /// Host and port as they were named.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The repository.
    pub(super) fn repository(&self) -> &str {
        &self.repository
    }

    /// What it is called in errors.
    pub(super) fn place(&self) -> String {
        format!("{}/{}", self.host, self.repository)
    }

    /// The URL of something in the repository. `rest` is made of names and digests, which have no characters
    /// that mean something in a URL.
    pub(super) fn url(&self, rest: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("/v2/{}/{rest}", self.repository));
        url
    }

    /// Whether a URL is on the registry itself.
    pub(super) fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.base.origin()
    }

    /// Whether the registry may send us from one URL to another (H2).
    pub(super) fn may_go(&self, from: &Url, to: &Url) -> bool {
        let downgrade = from.scheme() == "https" && to.scheme() != "https";
        let named = || is_listed(&self.redirect_hosts, to) && self.is_fit(to);
        has_no_user(to) && !downgrade && (self.is_home(to) || named())
    }

    /// Whether a token may be asked for there, with credentials or without (H3).
    pub(super) fn may_ask_for_token(&self, realm: &Url, with_credentials: bool) -> bool {
        let as_safe = realm.scheme() == "https" || realm.scheme() == self.base.scheme();
        let same_host = realm.host() == self.base.host() && as_safe;
        let named = is_listed(&self.token_hosts, realm) && self.is_fit(realm);
        let stranger = realm.scheme() == "https" && !with_credentials;
        has_no_user(realm) && (same_host || named || stranger)
    }

    /// Whether what is said there stays between us (H4).
    fn is_fit(&self, url: &Url) -> bool {
        let plain = || self.base.scheme() == "http" && is_this_machine(url);
        url.scheme() == "https" || (url.scheme() == "http" && plain())
    }
}

fn has_no_user(url: &Url) -> bool {
    url.username().is_empty() && url.password().is_none()
}

/// Whether a URL is on one of these hosts; a host without a port means that of https.
fn is_listed(hosts: &[String], url: &Url) -> bool {
    let (Some(host), Some(port)) = (url.host_str(), url.port_or_known_default()) else {
        return false;
    };
    let with_port = format!("{host}:{port}");
    hosts.iter().any(|it| *it == with_port || (it == host && port == 443))
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// A URL fit for an error: who it is and not what may be secret behind it.
pub(super) fn shown(url: &Url) -> String {
    let origin = url.origin().ascii_serialization();
    if origin == "null" { format!("a URL of the scheme `{}`", url.scheme()) } else { origin }
}

#[cfg(test)]
mod tests {
    use rustls::{RootCertStore, crypto::ring};

    use super::*;

    fn options() -> Options {
        let builder = rustls::ClientConfig::builder_with_provider(std::sync::Arc::new(
            ring::default_provider(),
        ));
        let builder = builder.with_safe_default_protocol_versions().unwrap();
        let config = builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        Options::new(config)
    }

    fn address(host: &str, options: &Options) -> Address {
        Address::new(host, "agents/arm", options).unwrap()
    }

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn plain_http_is_for_this_machine_h4() {
        let mut options = options();
        let scheme =
            |host: &str, options: &Options| address(host, options).base.scheme().to_owned();
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9:1", "[::1]:5000"] {
            assert_eq!(scheme(host, &options), "http", "{host}");
        }
        for host in
            ["registry.example", "localhost.example", "10.0.0.1:80", "[::2]:5000", "128.0.0.1:1"]
        {
            assert_eq!(scheme(host, &options), "https", "{host}");
        }
        options.plain_http = PlainHttp::Everywhere;
        assert_eq!(scheme("registry.example", &options), "http");
        options.plain_http = PlainHttp::Nowhere;
        assert_eq!(scheme("localhost:5000", &options), "https");
    }

    #[test]
    fn a_redirect_leads_home_or_where_the_operator_said_h2() {
        let mut options = options();
        options.redirect_hosts = vec!["cdn.example".to_owned(), "cdn.example:8443".to_owned()];
        let address = address("registry.example", &options);
        let from = address.url("blobs/x");
        assert_eq!(from.as_str(), "https://registry.example/v2/agents/arm/blobs/x");
        for good in [
            "https://registry.example/x",
            "https://registry.example:443/x",
            "https://cdn.example/x?sig=1",
            "https://cdn.example:8443/x",
        ] {
            assert!(address.may_go(&from, &url(good)), "{good}");
        }
        for bad in [
            "http://registry.example/x",
            "https://registry.example:8443/x",
            "https://other.example/x",
            "https://cdn.example:9000/x",
            "http://cdn.example/x",
            "https://me:secret@registry.example/x",
            "https://me@cdn.example/x",
            "file:///etc/passwd",
            "https://cdn.example.evil.example/x",
            "https://127.0.0.1/x",
        ] {
            assert!(!address.may_go(&from, &url(bad)), "{bad}");
        }
    }

    #[test]
    fn a_plain_redirect_stays_on_this_machine_h2() {
        let mut options = options();
        let hosts = ["127.0.0.2:80", "cdn.example:80", "cdn.example"];
        options.redirect_hosts = hosts.map(str::to_owned).into();
        let address = address("127.0.0.1:5000", &options);
        let from = address.url("x");
        assert!(address.may_go(&from, &url("http://127.0.0.2/x")));
        assert!(!address.may_go(&from, &url("http://cdn.example/x")));
        assert!(!address.may_go(&from, &url("http://127.0.0.1:5001/x")));
        // Once it was https, it is not even http to the registry itself.
        let secure = url("https://cdn.example/x");
        assert!(address.may_go(&from, &secure));
        assert!(!address.may_go(&secure, &from));
    }

    #[test]
    fn credentials_go_to_the_own_host_and_to_named_ones_h3() {
        let mut options = options();
        options.token_hosts = vec!["auth.example".to_owned()];
        let home = address("registry.example", &options);
        for (realm, credentials, expected) in [
            ("https://registry.example/token", true, true),
            ("https://registry.example:5001/token", true, true),
            ("http://registry.example/token", true, false),
            ("http://registry.example/token", false, false),
            ("https://auth.example/token", true, true),
            ("https://auth.example:1/token", true, false),
            ("http://auth.example/token", true, false),
            ("https://other.example/token", true, false),
            ("https://other.example/token", false, true),
            ("http://other.example/token", false, false),
            ("http://127.0.0.1/token", false, false),
            ("https://a@registry.example/token", true, false),
            ("ftp://registry.example/token", true, false),
        ] {
            assert_eq!(home.may_ask_for_token(&url(realm), credentials), expected, "{realm}");
        }
        let local = address("127.0.0.1:5000", &options);
        assert!(local.may_ask_for_token(&url("http://127.0.0.1:5001/token"), true));
        assert!(!local.may_ask_for_token(&url("http://127.0.0.2:5001/token"), false));
    }

    #[test]
    fn what_names_no_repository_is_refused() {
        let options = options();
        for (host, repository) in [
            ("", "a"),
            ("registry.example", ""),
            ("registry.example", "a:tag"),
            ("registry.example/b", "a"),
            ("registry.example", "../a"),
            ("registry.example", "a?b"),
            ("me@registry.example", "a"),
            ("registry.example:99999", "a"),
        ] {
            assert!(Address::new(host, repository, &options).is_err(), "{host} {repository}");
        }
    }

    #[test]
    fn a_url_in_an_error_keeps_its_secrets() {
        assert_eq!(
            shown(&url("https://me:pw@cdn.example:8443/p?sig=SECRET")),
            "https://cdn.example:8443"
        );
        assert_eq!(shown(&url("data:text/plain,SECRET")), "a URL of the scheme `data`");
    }
}
