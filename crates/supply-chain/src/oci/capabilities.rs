//! Which registries list referrers, remembered for an hour.
//!
//! A file of JSON: `{"schema":1,"hosts":{"host:5000":{"referrers":false,"probed_at":"2026-01-01T00:00:00Z"}}}`.
//!
//! It saves questions and nothing else: whoever damages it makes a registry be asked, or not be asked for an hour, and
//! "not offered" is never read as "there are none" (Q2). A file that is not understood is written anew; one that cannot
//! be written is no failure of the question.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use vfs::{read_whole, replace};

use crate::oci::options::Capabilities;

/// How long an answer is believed.
const BELIEVED: SignedDuration = SignedDuration::from_hours(1);
/// Longest file, in bytes.
const FILE_LEN_MAX: u64 = 64 << 10;
/// Most hosts in the file; what is beyond is asked again.
const HOSTS_MAX: usize = 256;
/// The form of the file.
const SCHEMA: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Known {
    schema: u32,
    hosts: BTreeMap<String, Answer>,
}

#[derive(Serialize, Deserialize)]
struct Answer {
    referrers: bool,
    probed_at: Timestamp,
}

impl Answer {
    /// A clock that was put back makes no answer live longer.
    fn is_believed(&self, now: Timestamp) -> bool {
        let age = now.duration_since(self.probed_at);
        !age.is_negative() && age < BELIEVED
    }
}

/// Whether the registry lists referrers, if that is known.
pub(super) fn lists_referrers(file: &Capabilities, host: &str) -> Option<bool> {
    let found = read(file).remove(host)?;
    found.is_believed((file.now)()).then_some(found.referrers)
}

/// Remembers what a registry answered.
pub(super) fn remember(file: &Capabilities, host: &str, referrers: bool) {
    let now = (file.now)();
    let mut hosts = read(file);
    if hosts.get(host).is_some_and(|it| it.referrers == referrers && it.is_believed(now)) {
        return;
    }
    hosts.retain(|_, it| it.is_believed(now));
    if hosts.len() >= HOSTS_MAX {
        hosts.clear();
    }
    hosts.insert(host.to_owned(), Answer { referrers, probed_at: now });
    if let Ok(bytes) = serde_json::to_vec(&Known { schema: SCHEMA, hosts }) {
        replace(&*file.vfs, &file.path, &bytes).ok();
    }
}

fn read(file: &Capabilities) -> BTreeMap<String, Answer> {
    let bytes = read_whole(&*file.vfs, &file.path, FILE_LEN_MAX).ok().flatten().unwrap_or_default();
    let known = serde_json::from_slice(&bytes).ok().filter(|it: &Known| it.schema == SCHEMA);
    known.map(|it| it.hosts).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::{
        path::PathBuf,
        sync::{
            Arc,
            atomic::{AtomicI64, Ordering},
        },
    };

    use vfs::{FaultPlan, MemVfs};

    use super::*;

    fn file(vfs: &MemVfs) -> (Capabilities, Arc<AtomicI64>) {
        let time = Arc::new(AtomicI64::new(1_000_000));
        let told = Arc::clone(&time);
        let now = Arc::new(move || Timestamp::from_second(told.load(Ordering::Relaxed)).unwrap());
        (Capabilities { vfs: Arc::new(vfs.clone()), path: PathBuf::from("/caps.json"), now }, time)
    }

    #[test]
    fn an_answer_is_believed_for_an_hour() {
        let (file, time) = file(&MemVfs::default());
        assert_eq!(lists_referrers(&file, "a"), None);
        remember(&file, "a", false);
        remember(&file, "b", true);
        for (later, expected) in [(0, Some(false)), (3599, Some(false)), (3600, None), (-1, None)] {
            time.store(1_000_000 + later, Ordering::Relaxed);
            assert_eq!(lists_referrers(&file, "a"), expected, "{later}");
        }
        time.store(1_000_100, Ordering::Relaxed);
        assert_eq!(lists_referrers(&file, "b"), Some(true));
        remember(&file, "b", false);
        assert_eq!(lists_referrers(&file, "b"), Some(false));
    }

    #[test]
    fn a_damaged_file_is_written_anew() {
        let old =
            r#"{"schema":2,"hosts":{"a":{"referrers":true,"probed_at":"1970-01-12T13:46:40Z"}}}"#;
        for text in ["", "{", "[]", old, r#"{"schema":1,"hosts":{"a":{}}}"#, &" ".repeat(70_000)] {
            let vfs = MemVfs::default();
            let (file, _) = file(&vfs);
            replace(&vfs, &file.path, text.as_bytes()).unwrap();
            assert_eq!(lists_referrers(&file, "a"), None);
            remember(&file, "a", false);
            assert_eq!(lists_referrers(&file, "a"), Some(false));
        }
    }

    #[test]
    fn a_file_that_cannot_be_written_is_no_failure_and_many_hosts_have_an_end() {
        let vfs = MemVfs::default();
        let (file, _) = file(&vfs);
        vfs.set_plan(FaultPlan::new(|_, _| Some(vfs::Fault::Eio)));
        remember(&file, "a", false);
        vfs.set_plan(FaultPlan::none());
        assert_eq!(lists_referrers(&file, "a"), None);
        for it in 0..600 {
            remember(&file, &format!("host-{it}.example:5000"), true);
        }
        assert!(read_whole(&vfs, &file.path, FILE_LEN_MAX).unwrap().is_some());
        assert_eq!(lists_referrers(&file, "host-599.example:5000"), Some(true));
    }
}
