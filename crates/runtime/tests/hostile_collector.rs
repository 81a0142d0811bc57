//! Every way in which a collector can answer, over real connections.
//!
//! For each: what was sent is accepted, dead, or still waits, and adds up; nothing is skipped;
//! nothing but the batch in flight is repeated, under the same ids; and when the collector is well
//! again, everything arrives.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod rig;

use std::collections::{BTreeMap, BTreeSet};

use rig::{Act, Scripted, append, dead_letters, drain, log};
use runtime::DrainError;

/// Entries in the log: three batches.
const ENTRIES: u64 = 30;

/// How the first drain ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Complete,
    Stopped(&'static str),
}

/// Drains against the script, then against a collector that is well, and checks the accounts of
/// both. Returns how often each id was stored.
async fn check(script: Vec<Act>, want: End, accepted: u64) -> BTreeMap<String, usize> {
    let dir = log(ENTRIES);
    let collector = Scripted::start(script.clone()).await;
    let first = drain(dir.path(), &collector.url).await;
    let (end, report) = match first {
        Ok(report) => (End::Complete, report),
        Err(DrainError::Stopped { ref failure, ref report }) => {
            let code = first.as_ref().unwrap_err().code();
            assert_ne!(failure.to_string(), "");
            (End::Stopped(code), (**report).clone())
        }
        Err(error) => panic!("{error}"),
    };
    assert_eq!(end, want, "{script:?}");
    assert_eq!(report.queued, ENTRIES);
    assert_eq!(report.accepted.total(), accepted, "{script:?}");
    let pending = report.pending.total();
    assert_eq!(report.queued, report.accepted.total() + report.dead_lettered + pending);
    assert_eq!(report.dead_lettered, dead_letters(dir.path()).len() as u64);
    assert_eq!(report.requests, collector.received().len() as u64);

    // The collector is well again: a second drain sends what waits, and nothing else.
    let rest = drain(dir.path(), &collector.url).await.unwrap();
    assert_eq!(rest.queued, pending);
    assert_eq!(rest.accepted.total(), pending);
    assert_eq!(drain(dir.path(), &collector.url).await.unwrap().queued, 0);

    let stored = collector.stored();
    let all: BTreeSet<_> = stored.iter().cloned().chain(dead_letters(dir.path())).collect();
    let numbers: BTreeSet<u64> =
        all.iter().map(|it| it.rsplit(':').next().unwrap().parse().unwrap()).collect();
    assert_eq!(numbers, (1..=ENTRIES).collect(), "skipped: {script:?}");
    assert_eq!(all.len() as u64, ENTRIES, "an entry has one id: {script:?}");
    assert!(dead_letters(dir.path()).is_disjoint(&stored.iter().cloned().collect()));
    count(stored)
}

fn count(ids: Vec<String>) -> BTreeMap<String, usize> {
    let mut times = BTreeMap::new();
    for id in ids {
        *times.entry(id).or_insert(0) += 1;
    }
    times
}

/// The batch in flight may come twice, under the same ids; no other entry does.
fn repeated(times: &BTreeMap<String, usize>) -> usize {
    assert!(times.values().all(|it| *it <= 2), "{times:?}");
    times.values().filter(|it| **it == 2).count()
}

const STOP: End = End::Stopped("UNREACHABLE");

#[tokio::test]
async fn all_is_well() {
    let times = check(vec![], End::Complete, ENTRIES).await;
    assert_eq!(repeated(&times), 0);
}

#[tokio::test]
async fn busy_once_is_tried_again() {
    for code in [429, 502, 503, 504] {
        let script = vec![Act::Accept, Act::Status(code, None)];
        assert_eq!(repeated(&check(script, End::Complete, ENTRIES).await), 0);
    }
}

#[tokio::test]
async fn busy_for_good_stops_and_keeps_everything() {
    for code in [429, 503] {
        let script = vec![Act::Accept, Act::Status(code, None), Act::Status(code, None)];
        let times = check(script, End::Stopped("COLLECTOR_BUSY"), 10).await;
        assert_eq!(repeated(&times), 0);
    }
}

#[tokio::test]
async fn a_retry_after_is_waited_for() {
    let dir = log(ENTRIES);
    let collector = Scripted::start(vec![Act::Status(429, Some("1"))]).await;
    let start = std::time::Instant::now();
    drain(dir.path(), &collector.url).await.unwrap();
    assert!(start.elapsed().as_secs() >= 1);
}

#[tokio::test]
async fn what_trying_again_does_not_help_stops_at_once() {
    for code in [400, 401, 403, 404, 500, 301] {
        let script = vec![Act::Accept, Act::Status(code, None)];
        let times = check(script, End::Stopped("COLLECTOR_REFUSED"), 10).await;
        assert_eq!(repeated(&times), 0);
    }
}

#[tokio::test]
async fn too_large_is_halved_until_it_fits() {
    let times = check(vec![Act::AtMost(3); 40], End::Complete, ENTRIES).await;
    assert_eq!(repeated(&times), 0);
}

#[tokio::test]
async fn one_entry_that_is_too_large_stops() {
    // The halves of ten: 5, 3, 2, 1.
    let times = check(vec![Act::AtMost(0); 5], End::Stopped("EVENT_TOO_LARGE"), 0).await;
    assert_eq!(repeated(&times), 0);
}

#[tokio::test]
async fn refused_entries_are_found_and_kept() {
    for divisor in [1, 2, 7, 30, 31] {
        let dead = ENTRIES / divisor;
        let times = check(vec![Act::Partial(divisor); 200], End::Complete, ENTRIES - dead).await;
        assert_eq!(repeated(&times), 0);
    }
}

#[tokio::test]
async fn what_is_no_answer_of_a_collector_is_not_believed() {
    for act in [Act::Page, Act::Garbage, Act::Impossible] {
        let times = check(vec![act], End::Complete, ENTRIES).await;
        assert_eq!(repeated(&times), 0);
        let times = check(vec![act, act], End::Stopped("COLLECTOR_UNREADABLE"), 0).await;
        assert_eq!(repeated(&times), 0);
    }
}

#[tokio::test]
async fn what_is_not_http_is_no_answer() {
    check(vec![Act::NotHttp], End::Complete, ENTRIES).await;
    check(vec![Act::NotHttp, Act::NotHttp], STOP, 0).await;
}

#[tokio::test]
async fn who_never_ends_an_answer_is_given_up() {
    for act in [Act::Hang, Act::Trickle] {
        check(vec![act], End::Complete, ENTRIES).await;
        check(vec![Act::Accept, act, act], STOP, 10).await;
    }
}

#[tokio::test]
async fn a_reset_before_the_request_costs_nothing() {
    let times = check(vec![Act::Accept, Act::ResetBefore], End::Complete, ENTRIES).await;
    assert_eq!(repeated(&times), 0);
    check(vec![Act::ResetBefore, Act::ResetBefore], STOP, 0).await;
}

#[tokio::test]
async fn what_was_stored_without_an_answer_comes_again_with_the_same_ids() {
    for act in [Act::HalfClose, Act::ResetAfter, Act::Huge, Act::Cut] {
        let times = check(vec![Act::Accept, act], End::Complete, ENTRIES).await;
        assert_eq!(repeated(&times), 10, "{act:?}");
        // Given up while the batch is in doubt: the next drain sends it again, and no other.
        let times = check(vec![Act::Accept, act, Act::Hang], STOP, 10).await;
        assert_eq!(repeated(&times), 10, "{act:?}");
    }
}

#[tokio::test]
async fn nobody_there_is_told_by_its_name() {
    let dir = log(ENTRIES);
    // A port that is ours and on which nobody listens: a fixed number could be anybody's.
    let nobody = tokio::net::TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    let error = drain(dir.path(), &url).await.unwrap_err();
    assert_eq!(error.code(), "UNREACHABLE", "{error:?}");
    let DrainError::Stopped { report, .. } = error else { panic!("{error}") };
    assert_eq!((report.queued, report.pending.total(), report.requests), (ENTRIES, ENTRIES, 2));
}

#[tokio::test]
async fn each_class_arrives_in_order_and_urgent_ones_first() {
    let dir = log(ENTRIES);
    let collector = Scripted::start(vec![Act::Status(503, None), Act::AtMost(4)]).await;
    drain(dir.path(), &collector.url).await.unwrap();
    let seqs: Vec<u64> = collector
        .stored()
        .iter()
        .map(|it| it.rsplit(':').next().unwrap().parse().unwrap())
        .collect();
    // After the birth the kinds go round: action, error, decision, lifecycle.
    let mut want: Vec<u64> = Vec::new();
    for rest in [3, 0, 2] {
        want.extend((2..=ENTRIES).filter(|it| it % 4 == rest));
    }
    want.push(1);
    want.extend((2..=ENTRIES).filter(|it| it % 4 == 1));
    assert_eq!(seqs, want);
}

#[tokio::test]
async fn a_consumer_goes_on_where_it_was_and_sees_what_others_did() {
    use runtime::{Collector, CollectorSettings, Consumer, DrainOptions};
    use vfs::OsVfs;

    let dir = log(ENTRIES);
    let collector = Scripted::start(vec![]).await;
    let settings = CollectorSettings::plain(&*collector.url);
    let to = Collector::new(&settings).unwrap();
    let options = DrainOptions::standard(dir.path().to_owned(), 1, "test".to_owned());
    let mut consumer = Consumer::new(options);
    let pass = async |consumer: &mut Consumer| {
        consumer.pass(&OsVfs, &to, &mut |_| {}).await.unwrap().accepted.total()
    };
    assert_eq!(pass(&mut consumer).await, ENTRIES);
    append(dir.path(), 5);
    assert_eq!(pass(&mut consumer).await, ENTRIES + 5);
    // Another consumer sends five of them: this one has nothing to do, and counts what it did.
    append(dir.path(), 5);
    assert_eq!(drain(dir.path(), &collector.url).await.unwrap().accepted.total(), 5);
    assert_eq!(pass(&mut consumer).await, ENTRIES + 5);
    append(dir.path(), 5);
    assert_eq!(pass(&mut consumer).await, ENTRIES + 10);
    let stored = collector.stored();
    assert_eq!(stored.len() as u64, ENTRIES + 15);
    assert_eq!(stored.iter().collect::<BTreeSet<_>>().len(), stored.len());
}

#[tokio::test]
async fn a_pass_that_is_dropped_repeats_the_batch_in_flight_and_nothing_else() {
    use runtime::{Collector, CollectorSettings, Consumer, DrainOptions};
    use vfs::OsVfs;

    let dir = log(ENTRIES);
    let collector = Scripted::start(vec![Act::Accept, Act::Hang]).await;
    let to = Collector::new(&CollectorSettings::plain(&*collector.url)).unwrap();
    let mut options = DrainOptions::standard(dir.path().to_owned(), 1, "test".to_owned());
    options.batch = 10.try_into().unwrap();
    let mut consumer = Consumer::new(options);
    let mut tell = |_: &drain::Notice| {};
    tokio::select! {
        _ = consumer.pass(&OsVfs, &to, &mut tell) => panic!("the collector hangs"),
        () = collector.has_received(2) => {}
    }
    assert_eq!(consumer.report().accepted.total(), 10);
    let report = consumer.pass(&OsVfs, &to, &mut |_| {}).await.unwrap();
    assert_eq!((report.queued, report.accepted.total()), (ENTRIES, ENTRIES));
    let received = collector.received();
    assert_eq!(received[1].ids, received[2].ids);
    assert_eq!(received.len(), 4);
    assert_eq!(repeated(&count(collector.stored())), 0);
}
