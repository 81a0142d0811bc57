//! A registry that wants to harm us: each of its answers ends in its own error, in bounded time, and nothing that is
//! secret leaves.
#![expect(clippy::unwrap_used, reason = "tests")]

mod rig;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use proptest::prelude::*;
use rig::{
    credentials,
    hostile::{Hostile, Wire, drip, endless, nobody, reply, silence, swallow},
    options, remote,
};
use rustls::RootCertStore;
use supply_chain::{
    ContentError, Descriptor, Digest, IMAGE_INDEX, IMAGE_MANIFEST, ImageManifest, MANIFEST_LEN_MAX,
    Name, RawManifest, Referrers, Registry as _, RegistryError, Tag,
    oci::{Limits, Options, PlainHttp, Remote},
    registry,
};

const MANIFEST: &str = "Content-Type: application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "Content-Type: application/vnd.oci.image.index.v1+json";
/// Longest time that any of this may take, with room for a machine that is busy.
const AT_MOST: Duration = Duration::from_secs(10);

fn impatient() -> Options {
    let mut options = options(RootCertStore::empty());
    options.limits = Limits {
        connect: Duration::from_secs(2),
        answer: Duration::from_millis(1500),
        idle: Duration::from_millis(700),
        rate_min: 1 << 20,
    };
    options
}

/// For servers that give nothing but time.
fn hasty(server: &Hostile) -> Remote {
    let mut options = impatient();
    options.limits.answer = Duration::from_millis(500);
    options.limits.idle = Duration::from_millis(300);
    remote(&server.host, options)
}

fn of(server: &Hostile) -> Remote {
    remote(&server.host, impatient())
}

fn known(server: &Hostile) -> Remote {
    let mut options = impatient();
    options.credentials = Some(credentials("SECRET"));
    remote(&server.host, options)
}

fn tag() -> Name {
    Name::Tag(Tag::new("1.0").unwrap())
}

fn content() -> Descriptor {
    Descriptor::of("text/plain", b"hello")
}

fn image() -> RawManifest {
    let bytes = ImageManifest::artifact("text/plain", vec![content()]).to_bytes();
    RawManifest { media_type: IMAGE_MANIFEST.to_owned(), bytes }
}

/// What came of it, in time.
#[track_caller]
fn in_time<T>(work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    assert!(began.elapsed() < AT_MOST, "{:?}", began.elapsed());
    result
}

#[track_caller]
fn fetch(remote: &Remote) -> RegistryError {
    in_time(|| registry::manifest(remote, &tag())).unwrap_err()
}

#[track_caller]
fn read(remote: &Remote) -> RegistryError {
    in_time(|| registry::content(remote, &content(), 1 << 20)).unwrap_err()
}

#[track_caller]
fn list(remote: &Remote) -> RegistryError {
    in_time(|| remote.referrers(&content().digest)).unwrap_err()
}

#[track_caller]
fn store(remote: &Remote, bytes: &[u8]) -> RegistryError {
    let descriptor = Descriptor::of("text/plain", bytes);
    in_time(|| remote.store_content(&descriptor, &mut &*bytes)).unwrap_err()
}

macro_rules! check {
    ($error:expr, $pattern:pat $(if $guard:expr)?) => {
        let error = $error;
        assert!(matches!(&error, $pattern $(if $guard)?), "{error:?}");
        assert!(!error.to_string().contains("SECRET"), "{error}");
    };
}

#[test]
fn content_of_another_digest_is_refused() {
    let server = Hostile::start(|head, wire| {
        let of_type = if head.contains("/blobs/") { "Content-Type: text/plain" } else { MANIFEST };
        reply(wire, "200 OK", &[of_type], b"hellO");
    });
    check!(read(&of(&server)), RegistryError::Content { source: ContentError::Other { .. }, .. });
    let named = Name::Digest(image().digest());
    let error = registry::manifest(&of(&server), &named).unwrap_err();
    check!(error, RegistryError::Content { source: ContentError::Other { .. }, .. });
}

#[test]
fn a_registry_that_contradicts_itself_is_refused() {
    let digest = Digest::sha256(b"other");
    for said in [digest.to_string(), "sha256:00".to_owned(), "\u{7f}".to_owned()] {
        let said = format!("Docker-Content-Digest: {said}");
        let server = Hostile::start(move |head, wire| {
            swallow_body(head, wire);
            let status = if head.starts_with("PUT") { "201 Created" } else { "200 OK" };
            reply(wire, status, &[MANIFEST, &said], &image().bytes);
        });
        assert!(registry::manifest(&of(&server), &tag()).is_err());
        assert!(of(&server).store_manifest(&tag(), &image()).is_err());
    }
}

/// Reads the body of a request, as a server does that answers at the end.
fn swallow_body(head: &str, wire: &mut dyn Wire) -> u64 {
    let of = |it: &str| it.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok();
    swallow(wire, head.lines().find_map(of).unwrap_or(0))
}

#[test]
fn endless_answers_end_at_their_limits_h1() {
    let sent = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&sent);
    let server = Hostile::start(move |head, wire| {
        let header = if head.contains("/referrers/") { INDEX } else { MANIFEST };
        count.fetch_max(endless(wire, &[header]), Ordering::SeqCst);
    });
    check!(fetch(&of(&server)), RegistryError::TooLong { limit: MANIFEST_LEN_MAX, .. });
    check!(list(&of(&server)), RegistryError::TooLong { limit, .. } if *limit == 4 << 20);
    check!(
        read(&of(&server)),
        RegistryError::Content { source: ContentError::Longer { len: 5 }, .. }
    );
    assert!(sent.load(Ordering::SeqCst) < 64 << 20, "the sockets hold the rest");
    let server = Hostile::start(|_, wire| {
        reply(wire, "200 OK", &[MANIFEST, "Content-Length: 1000000000000"], b"");
    });
    check!(fetch(&of(&server)), RegistryError::TooLong { .. });
}

#[test]
fn an_endless_token_ends_at_its_limit_h1() {
    let server = Hostile::start(|head, wire| {
        if head.starts_with("GET /token") {
            endless(wire, &["Content-Type: application/json"]);
        } else {
            challenge(head, wire, "/token");
        }
    });
    check!(fetch(&known(&server)), RegistryError::TooLong { limit, .. } if *limit == 64 << 10);
}

/// Asks for a token of this very server.
fn challenge(head: &str, wire: &mut dyn Wire, path: &str) {
    let host = head
        .lines()
        .find_map(|it| it.to_ascii_lowercase().strip_prefix("host: ").map(str::to_owned));
    let realm = format!("http://{}{path}", host.unwrap());
    let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\",service=\"test\"");
    reply(wire, "401 Unauthorized", &[&header], b"");
}

#[test]
fn a_redirect_to_another_host_is_not_followed_h2() {
    let other = Hostile::elsewhere(|_, wire| reply(wire, "200 OK", &[MANIFEST], &image().bytes));
    for status in ["301 x", "302 x", "303 x", "307 x", "308 x"] {
        let location = format!("Location: http://{}/x?sig=SECRET", other.host);
        let server = Hostile::start(move |head, wire| {
            swallow_body(head, wire);
            reply(wire, status, &[&location], b"");
        });
        for remote in [of(&server), known(&server)] {
            check!(fetch(&remote), RegistryError::Redirect { target, .. } if target.contains(&other.host));
            check!(read(&remote), RegistryError::Redirect { .. });
            check!(list(&remote), RegistryError::Redirect { .. });
            check!(store(&remote, b"x"), RegistryError::Redirect { .. });
            check!(
                remote.store_manifest(&tag(), &image()).unwrap_err(),
                RegistryError::Redirect { .. }
            );
        }
    }
    assert_eq!(other.heads(), Vec::<String>::new());
}

#[test]
fn a_redirect_loop_ends_h2() {
    let server = Hostile::start(|_, wire| reply(wire, "307 x", &["Location: /v2/again"], b""));
    check!(fetch(&of(&server)), RegistryError::Redirect { .. });
    assert_eq!(server.heads().len(), 6);
    let server = Hostile::start(|_, wire| reply(wire, "307 x", &[], b""));
    check!(fetch(&of(&server)), RegistryError::Malformed { .. });
    let server = Hostile::start(|_, wire| reply(wire, "307 x", &["Location: http://["], b""));
    check!(fetch(&of(&server)), RegistryError::Malformed { .. });
}

#[test]
fn a_named_host_is_followed_without_credentials_and_cannot_say_none_h3_h5() {
    let other = Hostile::elsewhere(|head, wire| {
        let found = if head.contains("gone") { "404 Not Found" } else { "200 OK" };
        reply(wire, found, &[], b"hello");
    });
    let to = other.host.clone();
    let server = Hostile::start(move |head, wire| {
        if !head.to_ascii_lowercase().contains("authorization: basic") {
            return reply(wire, "401 x", &["WWW-Authenticate: Basic realm=\"x\""], b"");
        }
        let rest = if head.contains("/blobs/") { "x" } else { "gone" };
        reply(wire, "307 x", &[&format!("Location: http://{to}/{rest}")], b"");
    });
    let mut options = impatient();
    options.credentials = Some(credentials("SECRET"));
    options.redirect_hosts = vec![other.host.clone()];
    let remote = remote(&server.host, options);
    assert_eq!(registry::content(&remote, &content(), 99).unwrap().unwrap(), b"hello");
    check!(fetch(&remote), RegistryError::Refused { status: 404, .. });
    let heads = other.heads();
    assert_eq!(heads.len(), 2);
    assert!(!heads.iter().any(|it| it.to_ascii_lowercase().contains("authorization")), "{heads:?}");
}

#[test]
fn https_is_never_left_for_http_h2() {
    let plain = Hostile::start(|_, wire| reply(wire, "200 OK", &[MANIFEST], &image().bytes));
    let to = format!("Location: http://{}/x", plain.host);
    let (server, roots) = Hostile::with_tls(move |head, wire| {
        if head.contains("/1.0") {
            reply(wire, "307 x", &[&to], b"");
        } else {
            reply(wire, "200 OK", &[MANIFEST], &image().bytes);
        }
    });
    let with = |roots| {
        let mut options = options(roots);
        options.limits = impatient().limits;
        options.plain_http = PlainHttp::Nowhere;
        options.redirect_hosts = vec![plain.host.clone()];
        remote(&server.host, options)
    };
    let trusting = with(roots);
    check!(fetch(&trusting), RegistryError::Redirect { .. });
    assert_eq!(plain.heads(), Vec::<String>::new());
    let other = Name::Tag(Tag::new("2.0").unwrap());
    assert_eq!(registry::manifest(&trusting, &other).unwrap(), Some(image()));
    check!(fetch(&with(RootCertStore::empty())), RegistryError::Unreachable { .. });
}

#[test]
fn what_breaks_off_is_no_answer() {
    let server =
        Hostile::start(|_, wire| reply(wire, "200 OK", &[MANIFEST, "Content-Length: 5"], b"hel"));
    check!(fetch(&of(&server)), RegistryError::Unreachable { .. });
    check!(read(&of(&server)), RegistryError::Unreachable { .. });
    let chunked = [INDEX, "Transfer-Encoding: chunked"];
    let server = Hostile::start(move |_, wire| reply(wire, "200 OK", &chunked, b"5\r\nhel"));
    check!(read(&of(&server)), RegistryError::Unreachable { .. });
    check!(list(&of(&server)), RegistryError::Unreachable { .. });
    let server = Hostile::start(|_, wire| drop(wire.write_all(b"SSH-2.0-x\r\n\r\n")));
    check!(fetch(&of(&server)), RegistryError::Unreachable { .. });
    let server = Hostile::start(|_, _| {});
    check!(fetch(&of(&server)), RegistryError::Unreachable { .. });
    check!(fetch(&remote(&nobody(), impatient())), RegistryError::Unreachable { .. });
}

#[test]
fn what_is_no_manifest_is_not_read_as_one() {
    let server = Hostile::start(|_, wire| {
        reply(wire, "200 OK", &["Content-Type: text/html; charset=utf-8"], b"<html>log in</html>");
    });
    check!(fetch(&of(&server)), RegistryError::Manifest { .. });
    check!(read(&of(&server)), RegistryError::Malformed { .. });
    let found = of(&server).referrers(&content().digest).unwrap();
    assert_eq!(found, Referrers::NotOffered, "a page is no empty list: Q2");
    let server = Hostile::start(|_, wire| reply(wire, "200 OK", &[INDEX], b"<html>"));
    check!(list(&of(&server)), RegistryError::Manifest { .. });
    let server = Hostile::start(|_, wire| reply(wire, "200 OK", &[], &image().bytes));
    check!(fetch(&of(&server)), RegistryError::Manifest { .. });
}

#[test]
fn a_registry_that_is_never_content_with_us_is_left() {
    let server = Hostile::start(|head, wire| {
        swallow_body(head, wire);
        if head.starts_with("GET /token") {
            reply(wire, "200 OK", &[], br#"{"token":"never enough"}"#);
        } else {
            challenge(head, wire, "/token");
        }
    });
    check!(fetch(&known(&server)), RegistryError::Refused { status: 401, .. });
    assert_eq!(server.heads().len(), 5, "three questions and two tokens");
    check!(store(&known(&server), b"x"), RegistryError::Refused { status: 401, .. });
    for header in ["WWW-Authenticate: Basic realm=\"x\"", "WWW-Authenticate: Negotiate", "X: y"] {
        let server = Hostile::start(move |_, wire| reply(wire, "401 x", &[header], b""));
        check!(fetch(&known(&server)), RegistryError::Refused { status: 401, .. });
        check!(list(&known(&server)), RegistryError::Refused { status: 401, .. });
    }
}

#[test]
fn no_token_is_asked_for_at_another_host_h3() {
    let other = Hostile::elsewhere(|_, wire| reply(wire, "200 OK", &[], br#"{"token":"x"}"#));
    for realm in [
        format!("http://{}/token", other.host),
        "https://other.example/token?SECRET".to_owned(),
        "file:///etc/passwd".to_owned(),
        "no url".to_owned(),
    ] {
        let header = format!("WWW-Authenticate: Bearer realm=\"{realm}\"");
        let server = Hostile::start(move |_, wire| reply(wire, "401 x", &[&header], b""));
        check!(
            fetch(&known(&server)),
            RegistryError::Redirect { .. } | RegistryError::Malformed { .. }
        );
    }
    // The place of tokens sends us on.
    let to = format!("Location: http://{}/token", other.host);
    let server = Hostile::start(move |head, wire| {
        if head.starts_with("GET /token") {
            reply(wire, "307 x", &[&to], b"");
        } else {
            challenge(head, wire, "/token");
        }
    });
    check!(fetch(&known(&server)), RegistryError::Redirect { .. });
    assert_eq!(other.heads(), Vec::<String>::new());
}

#[test]
fn answers_that_bring_no_token_are_refused() {
    for (status, body) in [
        ("200 OK", "<html>"),
        ("200 OK", "{}"),
        ("200 OK", r#"{"token":""}"#),
        ("200 OK", r#"{"token":"a\r\nX-Injected: b"}"#),
        ("200 OK", r#"{"token":7}"#),
        ("403 x", r#"{"token":"x"}"#),
        ("500 x", ""),
    ] {
        let server = Hostile::start(move |head, wire| {
            if head.starts_with("GET /token") {
                reply(wire, status, &[], body.as_bytes());
            } else {
                challenge(head, wire, "/token");
            }
        });
        check!(
            fetch(&known(&server)),
            RegistryError::Malformed { .. } | RegistryError::Refused { .. }
        );
    }
}

#[test]
fn a_token_is_for_this_repository_and_for_what_is_done() {
    let server = Hostile::start(|head, wire| {
        swallow_body(head, wire);
        if head.starts_with("GET /token") {
            let all = head.contains("pull%2Cpush");
            let token = if all { r#"{"access_token":"all"}"# } else { r#"{"token":"some"}"# };
            return reply(wire, "200 OK", &[], token.as_bytes());
        }
        let has = |it: &str| {
            head.to_ascii_lowercase().contains(&format!("authorization: bearer {it}\r\n"))
        };
        match (head.starts_with("PUT"), has("all"), has("some")) {
            (true, true, _) => reply(wire, "201 Created", &[], b""),
            (false, _, true) => reply(wire, "200 OK", &[MANIFEST], &image().bytes),
            _ => challenge(head, wire, "/token"),
        }
    });
    let remote = known(&server);
    assert_eq!(registry::manifest(&remote, &tag()).unwrap(), Some(image()));
    remote.store_manifest(&tag(), &image()).unwrap();
    let heads = server.heads();
    let tokens: Vec<_> = heads.iter().filter(|it| it.starts_with("GET /token")).collect();
    assert_eq!(tokens.len(), 2);
    assert!(tokens[0].contains("scope=repository%3Aagents%2Farm%3Apull "), "{}", tokens[0]);
    assert!(tokens[0].contains("service=test&"));
    assert!(tokens[0].to_ascii_lowercase().contains("authorization: basic "));
}

#[test]
fn who_drips_or_says_nothing_is_left_h1() {
    let pace = Duration::from_millis(20);
    let server = Hostile::start(move |head, wire| {
        let header = if head.contains("/referrers/") { INDEX } else { MANIFEST };
        drip(wire, &[header, "Content-Length: 1000000"], pace);
    });
    check!(fetch(&hasty(&server)), RegistryError::Unreachable { .. });
    check!(list(&hasty(&server)), RegistryError::Unreachable { .. });
    let long = Descriptor { size: 1_000_000, ..content() };
    let error = in_time(|| registry::content(&hasty(&server), &long, 1 << 30)).unwrap_err();
    check!(error, RegistryError::Unreachable { .. });
    let server = Hostile::start(|_, wire| silence(wire));
    check!(fetch(&hasty(&server)), RegistryError::Unreachable { .. });
    check!(read(&hasty(&server)), RegistryError::Unreachable { .. });
    check!(store(&hasty(&server), b"x"), RegistryError::Unreachable { .. });
    // The head of an answer, a byte now and then.
    let server = Hostile::start(move |_, wire| {
        let (_never, pause) = mpsc::channel::<()>();
        let head = b"HTTP/1.1 200 OK\r\nX: ".iter().chain(std::iter::repeat(&b'x'));
        for byte in head {
            if wire.write_all(&[*byte]).is_err() {
                return;
            }
            pause.recv_timeout(pace).ok();
        }
    });
    check!(fetch(&hasty(&server)), RegistryError::Unreachable { .. });
}

#[test]
fn huge_headers_are_refused_h1() {
    let server = Hostile::start(|_, wire| {
        let line = format!("X: {}\r\n", "x".repeat(60_000));
        drop(wire.write_all(b"HTTP/1.1 200 OK\r\n"));
        for _ in 0..10_000 {
            if wire.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    });
    check!(fetch(&of(&server)), RegistryError::Unreachable { .. });
    let many = "X: y\r\n".repeat(5000);
    let server = Hostile::start(move |_, wire| {
        drop(wire.write_all(format!("HTTP/1.1 200 OK\r\n{many}\r\n").as_bytes()));
    });
    check!(fetch(&of(&server)), RegistryError::Unreachable { .. });
}

#[test]
fn a_length_that_is_announced_has_to_be_the_right_one() {
    for lie in ["4", "6", "1000000000000"] {
        let header = format!("Content-Length: {lie}");
        let server = Hostile::start(move |_, wire| reply(wire, "200 OK", &[&header], b"hello"));
        check!(read(&of(&server)), RegistryError::Malformed { .. });
    }
    // What follows the announced bytes is not part of anything.
    let server =
        Hostile::start(|_, wire| reply(wire, "200 OK", &["Content-Length: 5"], b"hello and more"));
    assert_eq!(registry::content(&of(&server), &content(), 99).unwrap().unwrap(), b"hello");
}

#[test]
fn only_404_means_none_h5() {
    for status in [204_u16, 206, 304, 400, 401, 402, 403, 410, 429, 500, 503, 599] {
        let server = Hostile::start(move |_, wire| reply(wire, &format!("{status} x"), &[], b""));
        check!(fetch(&of(&server)), RegistryError::Refused { status: found, .. } if *found == status);
        check!(read(&of(&server)), RegistryError::Refused { status: found, .. } if *found == status);
        check!(store(&of(&server), b"x"), RegistryError::Refused { status: found, .. } if *found == status);
    }
    let server = Hostile::start(|_, wire| reply(wire, "404 x", &[], b""));
    assert_eq!(registry::manifest(&of(&server), &tag()).unwrap(), None);
    assert_eq!(registry::content(&of(&server), &content(), 99).unwrap(), None);
    assert_eq!(of(&server).referrers(&content().digest).unwrap(), Referrers::NotOffered);
    check!(store(&of(&server), b"x"), RegistryError::Refused { status: 404, .. });
    for status in ["401 x", "403 x", "408 x", "429 x", "500 x", "501 x", "503 x"] {
        let server = Hostile::start(move |_, wire| reply(wire, status, &[], b""));
        check!(list(&of(&server)), RegistryError::Refused { .. });
    }
}

#[test]
fn referrers_come_in_pages_that_have_an_end() {
    let entry = || serde_json::to_string(&image().descriptor()).unwrap();
    let page = move || {
        format!(r#"{{"schemaVersion":2,"mediaType":"{IMAGE_INDEX}","manifests":[{}]}}"#, entry())
    };
    let first = page;
    let server = Hostile::start(move |head, wire| {
        let more = "Link: </v2/agents/arm/referrers/x?page=2>; rel=\"next\"";
        let headers: &[&str] = if head.contains("page=2") { &[INDEX] } else { &[INDEX, more] };
        reply(wire, "200 OK", headers, first().as_bytes());
    });
    let two = vec![image().descriptor(), image().descriptor()];
    assert_eq!(of(&server).referrers(&content().digest).unwrap(), Referrers::Listed(two));
    for next in
        ["</again>; rel=\"next\"", "<http://127.0.0.2:1/x>; rel=next", "<http://[>; rel=next"]
    {
        let (header, page) = (format!("Link: {next}"), page);
        let server = Hostile::start(move |_, wire| {
            reply(wire, "200 OK", &[INDEX, &header], page().as_bytes());
        });
        check!(
            list(&of(&server)),
            RegistryError::Malformed { .. } | RegistryError::Redirect { .. }
        );
        assert!(server.heads().len() <= 17);
    }
}

/// A registry that takes a content up to the last request, and then does what `script` says.
fn takes(
    location: String,
    script: impl Fn(&str, &mut dyn Wire) + Send + Sync + 'static,
) -> Hostile {
    Hostile::start(move |head, wire| match head.split(' ').next() {
        Some("HEAD") => reply(wire, "404 x", &[], b""),
        Some("POST") => reply(wire, "202 x", &[&format!("Location: {location}")], b""),
        _ => script(head, wire),
    })
}

#[test]
fn content_is_sent_nowhere_else_h2() {
    let other = Hostile::elsewhere(|_, wire| reply(wire, "201 x", &[], b""));
    let server = takes(format!("http://{}/up?sig=SECRET", other.host), |_, wire| silence(wire));
    check!(store(&known(&server), b"x"), RegistryError::Redirect { .. });
    let to = format!("Location: http://{}/up", other.host);
    let server = takes("/up?a=b".to_owned(), move |head, wire| {
        swallow_body(head, wire);
        reply(wire, "307 x", &[&to], b"");
    });
    check!(store(&known(&server), b"x"), RegistryError::Redirect { .. });
    assert_eq!(other.heads(), Vec::<String>::new());
    let heads = server.heads();
    let put = heads.last().unwrap();
    let digest = Digest::sha256(b"x").hex();
    assert!(put.starts_with(&format!("PUT /up?a=b&digest=sha256%3A{digest} ")), "{put}");
    assert!(put.to_ascii_lowercase().contains("content-length: 1\r\n"));
    let server = Hostile::start(|head, wire| {
        if head.starts_with("HEAD") {
            reply(wire, "404 x", &[], b"");
        } else {
            reply(wire, "202 x", &[], b"");
        }
    });
    check!(store(&of(&server), b"x"), RegistryError::Malformed { .. });
}

#[test]
fn a_registry_that_does_not_take_a_content_is_left_h1() {
    let long = vec![7; 30_000_000];
    let server = takes("/up".to_owned(), |_, wire| reply(wire, "413 x", &[], b""));
    check!(
        store(&of(&server), &long),
        RegistryError::Refused { status: 413, .. } | RegistryError::Unreachable { .. }
    );
    let server = takes("/up".to_owned(), |head, wire| {
        swallow_body(head, wire);
        reply(wire, "507 x", &[], b"");
    });
    check!(store(&of(&server), &long), RegistryError::Refused { status: 507, .. });
    let server = takes("/up".to_owned(), |_, wire| {
        let (_never, pause) = mpsc::channel::<()>();
        // It reads nothing and keeps the connection.
        pause.recv_timeout(AT_MOST).ok();
        silence(wire);
    });
    check!(store(&of(&server), &long), RegistryError::Unreachable { .. });
    let server = takes("/up".to_owned(), |head, wire| {
        swallow_body(head, wire);
        let other = format!("Docker-Content-Digest: {}", Digest::sha256(b"other"));
        reply(wire, "201 x", &[&other], b"");
    });
    check!(store(&of(&server), b"x"), RegistryError::Content { .. });
    let server = takes("/up".to_owned(), |_, wire| reply(wire, "201 x", &[], b""));
    let result = in_time(|| {
        let descriptor = Descriptor::of("text/plain", &long);
        of(&server).store_content(&descriptor, &mut &*long)
    });
    check!(result.unwrap_err(), RegistryError::Unreachable { .. });
}

#[test]
fn a_content_that_is_not_what_it_is_called_does_not_arrive_whole() {
    let (sender, arrived) = mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let server = takes("/up".to_owned(), move |head, wire| {
        sender.lock().unwrap().send(swallow_body(head, wire)).unwrap();
        reply(wire, "201 x", &[], b"");
    });
    let good = vec![1; 600_000];
    let mut bad = good.clone();
    bad[599_999] = 2;
    let descriptor = Descriptor::of("text/plain", &good);
    let error = of(&server).store_content(&descriptor, &mut &*bad).unwrap_err();
    check!(error, RegistryError::Content { source: ContentError::Other { .. }, .. });
    assert!(arrived.recv_timeout(AT_MOST).unwrap() < 600_000);
    of(&server).store_content(&descriptor, &mut &*good).unwrap();
    assert_eq!(arrived.recv_timeout(AT_MOST).unwrap(), 600_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_a_registry_answers_it_is_no_image_and_nobody_hangs(
        noise in prop::collection::vec(any::<u8>(), 1..40), at in any::<prop::sample::Index>()
    ) {
        let mut answer = Vec::new();
        reply(&mut std::io::Cursor::new(&mut answer), "200 OK", &[MANIFEST], &image().bytes);
        let at = at.index(answer.len());
        let end = (at + noise.len()).min(answer.len());
        answer.splice(at..end, noise);
        let server = Hostile::start(move |_, wire| drop(wire.write_all(&answer)));
        let named = Name::Digest(image().digest());
        let found = in_time(|| registry::manifest(&of(&server), &named));
        prop_assert!(!matches!(found, Ok(Some(it)) if it.bytes != image().bytes));
        in_time(|| registry::content(&of(&server), &content(), 99)).ok();
        in_time(|| of(&server).referrers(&content().digest)).ok();
    }
}
