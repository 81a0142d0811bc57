//! How much memory contents and hostile answers take.
#![expect(clippy::unwrap_used, reason = "tests")]

mod rig;

use std::{
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use peak_alloc::PeakAlloc;
use rig::{
    hostile::{Hostile, endless, reply},
    options, remote,
};
use rustls::RootCertStore;
use supply_chain::{
    Algorithm, Descriptor, Hasher, Layout, Name, Registry as _, RegistryError, Tag, registry,
};
use vfs::OsVfs;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

/// Length of the content.
const LEN: u64 = 256 << 20;
/// Most memory that any of this takes, beyond what it began with.
const MOST: usize = 32 << 20;

#[track_caller]
fn within<T>(work: impl FnOnce() -> T) -> T {
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let result = work();
    let taken = MEMORY.peak_usage().saturating_sub(before);
    assert!(taken < MOST, "{} KiB", taken >> 10);
    result
}

fn content() -> io::Take<io::Repeat> {
    io::repeat(7).take(LEN)
}

fn descriptor() -> Descriptor {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    io::copy(&mut content(), &mut Sink(&mut hasher)).unwrap();
    Descriptor { digest: hasher.finish(), size: LEN, ..Descriptor::of("text/plain", b"") }
}

struct Sink<'a>(&'a mut Hasher);

impl io::Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_long_content_goes_through_in_little_memory_and_endless_answers_stay_out() {
    let temp = tempfile::tempdir().unwrap();
    let layout = Layout::open_or_begin(Arc::new(OsVfs), temp.path()).unwrap();
    let descriptor = descriptor();
    within(|| layout.store_content(&descriptor, &mut content())).unwrap();
    within(|| registry::stream(&layout, &descriptor, &mut |_| Ok(()))).unwrap();
    let server = Hostile::start(|head, wire| match head.split(' ').next() {
        Some("GET") if head.contains("/manifests/") => {
            endless(wire, &["Content-Type: application/vnd.oci.image.index.v1+json"]);
        }
        Some("GET") => {
            reply(wire, "200 OK", &[&format!("Content-Length: {LEN}")], b"");
            io::copy(&mut content(), wire).ok();
        }
        Some("HEAD") => reply(wire, "404 x", &[], b""),
        Some("POST") => reply(wire, "202 x", &["Location: /up"], b""),
        _ => {
            io::copy(&mut wire.take(LEN), &mut io::sink()).unwrap();
            reply(wire, "201 x", &[], b"");
        }
    });
    let remote = remote(&server.host, options(RootCertStore::empty()));
    within(|| remote.store_content(&descriptor, &mut content())).unwrap();
    let other = Layout::open_or_begin(Arc::new(OsVfs), &temp.path().join("other")).unwrap();
    within(|| {
        let mut reader = remote.open_content(&descriptor).unwrap().unwrap();
        other.store_content(&descriptor, &mut reader)
    })
    .unwrap();
    assert!(Path::new(other.dir()).is_dir());
    let name = Name::Tag(Tag::new("x").unwrap());
    match within(|| remote.fetch_manifest(&name)) {
        Err(RegistryError::TooLong { .. }) => {}
        other => panic!("{other:?}"),
    }
}
