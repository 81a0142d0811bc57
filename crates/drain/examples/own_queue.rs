//! Delivers a queue of its own to an OTLP collector: no log of ours, no runtime, plain HTTP from `std`.
//!
//! `cargo run -p drain --example own_queue` brings a collector of its own and shows an outage, lost
//! progress, and what is sent then. `cargo run -p drain --example own_queue -- 127.0.0.1:4318` sends to
//! yours.
//!
//! The queue is a file of JSON lines, one event each, numbered from 1. Reading, sending, writing and
//! waiting are the business of a driver. What is sent when, and what an answer means, is decided by
//! [`Drain`].
#![expect(clippy::print_stdout, reason = "an example talks to a terminal")]

use std::{
    collections::BTreeSet,
    error::Error,
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    thread,
    time::Duration,
};

use drain::{
    ANSWER_BYTES_MAX, Answer, Backoff, Config, Drain, Effect, Failure, Input, Progress, Report,
    Request, Silence,
};
use jiff::Timestamp;
use otlp::{Encoding, Limits};
use vfs::{OsVfs, append_lines, read_whole, replace};
use wal_format::{Seq, WalId, names};

/// Identity of the queue, a part of every event id: made once, at random, and kept with it.
const QUEUE_ID: [u8; 16] = *b"made only once!!";
/// Name of the queue in its directory.
const QUEUE: &str = "queue.jsonl";
/// Longest wait for a peer that says nothing.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest progress file that is worth reading, in bytes.
const PROGRESS_LEN_MAX: u64 = 4_096;

/// Names in lower case, and values.
type Headers = Vec<(String, String)>;
type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let dir = tempfile::tempdir()?;
    for (kind, what) in [("autonomy.lifecycle", "boot"), ("autonomy.error", "arm stuck")] {
        push(dir.path(), kind, what)?;
    }
    match std::env::args().nth(1) {
        Some(collector) => println!("{}", deliver(dir.path(), &collector)??),
        None => show(dir.path())?,
    }
    Ok(())
}

/// Shows an outage, lost progress, and what is new, with two events in the queue.
fn show(dir: &Path) -> Result<()> {
    // A port that nobody listens on any more: the outage.
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let collector = listener.local_addr()?.to_string();
    drop(listener);
    match deliver(dir, &collector)? {
        Err(failure) => println!("{failure}; the queue keeps everything"),
        Ok(report) => return Err(format!("nobody was there, and yet: {report}").into()),
    }

    // The collector comes back. A crash between its answer and the progress files leaves what is left
    // here when they are removed: the batch is sent again, under the same ids.
    let listener = TcpListener::bind(&collector)?;
    let serving = thread::spawn(move || take_requests(&listener, 3).map_err(|it| it.to_string()));
    println!("{}", deliver(dir, &collector)??);
    fs::remove_file(dir.join(names::CURSORS)).or_else(absent)?;
    fs::remove_file(dir.join(names::POS)).or_else(absent)?;
    println!("progress lost: {}", deliver(dir, &collector)??);
    push(dir, "autonomy.action", "arm moved")?;
    println!("what is new: {}", deliver(dir, &collector)??);
    println!("nothing is new: {}", deliver(dir, &collector)??);

    let (records, ids) = serving.join().map_err(|_| "the collector is gone")??;
    println!("the collector got {records} records with {} ids: {ids:#?}", ids.len());
    if (records, ids.len()) != (5, 3) {
        return Err("that is not what was sent".into());
    }
    Ok(())
}

/// Puts an event into the queue; it is durable when this returns.
fn push(dir: &Path, kind: &str, what: &str) -> Result<()> {
    let line = serde_json::json!({
        "seq": queued(dir)?.len() + 1,
        "written_at": Timestamp::now(),
        "event": { "kind": kind, "attrs": { "what": what } },
    });
    Ok(append_lines(&OsVfs, &dir.join(QUEUE), format!("{line}\n").as_bytes())?)
}

/// Reads the queue: the payload of each entry.
fn queued(dir: &Path) -> io::Result<Vec<Vec<u8>>> {
    let text = fs::read_to_string(dir.join(QUEUE)).or_else(absent)?;
    Ok(text.lines().map(|it| it.as_bytes().to_vec()).collect())
}

fn absent<T: Default>(error: io::Error) -> io::Result<T> {
    if error.kind() == io::ErrorKind::NotFound { Ok(T::default()) } else { Err(error) }
}

/// Sends what is not delivered yet. One process at a time: a driver in earnest takes a lock.
fn deliver(dir: &Path, collector: &str) -> Result<std::result::Result<Report, Failure>> {
    let id = WalId::from_random(QUEUE_ID);
    let queue = queued(dir)?;
    let file = |name: &str| read_whole(&OsVfs, &dir.join(name), PROGRESS_LEN_MAX);
    let (cursors, position) = (file(names::CURSORS)?, file(names::POS)?);
    let progress = Progress::load(id, cursors.as_deref(), position.as_deref())?;
    let mut config = Config::standard("robot-7".to_owned(), id, u64::from(std::process::id()));
    config.retries_max = 1;
    config.backoff = Backoff { base: Duration::from_millis(50), ..Backoff::STANDARD };

    let mut machine = Drain::new(config, progress);
    for (seq, payload) in (1..).zip(&queue) {
        // A place in a file may be given, which `Effect::Read` gives back. Here the number will do.
        machine.index(Seq::new(seq).ok_or("numbers begin at 1")?, 0, payload)?;
    }
    let mut input = Input::Indexed;
    loop {
        let step = machine.step(input, Timestamp::now());
        step.notices.iter().for_each(|it| println!("  {it}"));
        input = match step.effect {
            Effect::Read(entries) => {
                let place = |seq: Seq| usize::try_from(seq.get() - 1).ok();
                let found = entries.iter().map(|it| queue.get(place(it.seq)?).cloned());
                found
                    .collect::<Option<_>>()
                    .map_or_else(|| Input::Failed("an entry is missing".to_owned()), Input::Read)
            }
            Effect::Send(request) => post(collector, &request),
            Effect::AppendDeadLetters(lines) => {
                written(append_lines(&OsVfs, &dir.join(names::DEADLETTER), &lines))
            }
            Effect::WriteCursors(bytes) => {
                written(replace(&OsVfs, &dir.join(names::CURSORS), &bytes))
            }
            Effect::WritePosition(bytes) => written(replace(&OsVfs, &dir.join(names::POS), &bytes)),
            Effect::Wait(delay) => {
                thread::sleep(delay);
                Input::Waited
            }
            Effect::Finished(report) => return Ok(Ok(report)),
            Effect::Failed(failure, _) => return Ok(Err(failure)),
        };
    }
}

fn written(result: io::Result<()>) -> Input {
    result.map_or_else(|error| Input::Failed(error.to_string()), |()| Input::Written)
}

/// Posts a request as HTTP/1.0, the answer to which is never sent in chunks.
fn post(collector: &str, request: &Request) -> Input {
    let answer = TcpStream::connect(collector).and_then(|mut stream| {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let (kind, len) = (request.encoding.content_type(), request.body.len());
        write!(stream, "POST /v1/logs HTTP/1.0\r\nHost: {collector}\r\n")?;
        write!(stream, "Content-Type: {kind}\r\nContent-Length: {len}\r\n\r\n")?;
        stream.write_all(&request.body)?;
        read_answer(stream)
    });
    match answer {
        Ok(answer) => Input::Answered(answer),
        Err(error) => Input::Unanswered(match error.kind() {
            io::ErrorKind::ConnectionRefused => Silence::ConnectionRefused,
            io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof => {
                Silence::ConnectionReset
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Silence::TimedOut,
            _ => Silence::Other(error.to_string()),
        }),
    }
}

fn read_answer(stream: TcpStream) -> io::Result<Answer> {
    let bad = || io::Error::from(io::ErrorKind::InvalidData);
    let mut reader = BufReader::new(stream.take(ANSWER_BYTES_MAX as u64));
    let (first, headers) = read_head(&mut reader)?;
    let header = |name: &str| headers.iter().find(|it| it.0 == name).map(|it| it.1.clone());
    let mut body = Vec::new();
    if let Some(len) = header("content-length") {
        let len = len.parse().map_err(|_| bad())?;
        reader.take(len).read_to_end(&mut body)?;
        // An answer that ends early is none.
        if (body.len() as u64) < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    } else {
        reader.read_to_end(&mut body)?;
    }
    let status = first.split(' ').nth(1).and_then(|it| it.parse().ok()).ok_or_else(bad)?;
    let (retry_after, content_type) = (header("retry-after"), header("content-type"));
    Ok(Answer { status, retry_after, content_type, body })
}

/// Reads the first line and the headers.
fn read_head(reader: &mut impl BufRead) -> io::Result<(String, Headers)> {
    let (mut first, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match line.split_once(':') {
            Some((name, value)) => headers.push((name.to_lowercase(), value.trim().to_owned())),
            None => return Ok((first, headers)),
        }
    }
}

/// The collector of the example: accepts so many requests, and says how many records were in them and
/// which event ids these had.
fn take_requests(listener: &TcpListener, many: usize) -> Result<(usize, BTreeSet<String>)> {
    let (mut records, mut ids) = (0, BTreeSet::new());
    for _ in 0..many {
        let (mut stream, _) = listener.accept()?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let (_, headers) = read_head(&mut reader)?;
        let len = headers.iter().find(|it| it.0 == "content-length").ok_or("no length")?;
        let mut body = Vec::new();
        reader.take(len.1.parse()?).read_to_end(&mut body)?;
        for record in otlp::decode(&body, Encoding::Protobuf, &Limits::STANDARD)?
            .iter()
            .flat_map(|it| &it.records)
        {
            records += 1;
            let id = record.attributes.get("event.id").and_then(|it| it.as_str());
            ids.extend(id.map(str::to_owned));
        }
        // No bytes are the protobuf form of "all accepted".
        let kind = Encoding::Protobuf.content_type();
        write!(stream, "HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n")?;
    }
    Ok((records, ids))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_delivered_at_least_once_and_under_the_same_ids() -> Result<()> {
        let dir = tempfile::tempdir()?;
        push(dir.path(), "autonomy.lifecycle", "boot")?;
        push(dir.path(), "autonomy.error", "arm stuck")?;
        show(dir.path())
    }
}
