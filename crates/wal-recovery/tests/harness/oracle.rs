//! Reads a log with code that shares nothing with the code under test: its own frame walk, a
//! general JSON parser, and its own reading of the chain rule.

use serde_json::Value;

/// An entry as the oracle sees it.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub seq: u64,
    /// The id that the test gave it; `None` for entries that the log wrote about itself.
    pub id: Option<u64>,
}

/// Parses a log that must be perfect: whole frames, numbers from 1, every chain value right.
pub fn parse(log: &[u8]) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    let mut previous: Option<[u8; 32]> = None;
    let mut at = 0;
    while at < log.len() {
        let len = log.get(at..at + 4).ok_or(format!("torn header at {at}"))?;
        let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
        let payload = log.get(at + 4..at + 4 + len).ok_or(format!("torn payload at {at}"))?;
        let value: Value = serde_json::from_slice(payload).map_err(|it| format!("{it} at {at}"))?;
        let seq = value["seq"].as_u64().ok_or(format!("no seq at {at}"))?;
        if seq != seen.len() as u64 + 1 {
            return Err(format!("seq {seq} at {at} after {} entries", seen.len()));
        }
        match chained(payload) {
            None if previous.is_some() => return Err(format!("no chain at {at}")),
            None => {}
            Some((body, found)) => {
                let start = previous.unwrap_or_else(|| *blake3::hash(&log[..at]).as_bytes());
                let mut input = start.to_vec();
                input.extend_from_slice(body.as_bytes());
                let want = *blake3::hash(&input).as_bytes();
                if found != hex::encode(want) || value["chain"] != found {
                    return Err(format!("broken chain at {at}"));
                }
                previous = Some(want);
            }
        }
        seen.push(Seen { seq, id: value["event"]["attrs"]["id"].as_u64() });
        at += 4 + len;
    }
    Ok(seen)
}

/// The body and the digits of a payload that ends as ours do; a `chain` of another shape is a key
/// like any other.
fn chained(payload: &[u8]) -> Option<(&str, &str)> {
    let (body, rest) = std::str::from_utf8(payload).ok()?.rsplit_once(",\"chain\":\"")?;
    let digits = rest.strip_suffix("\"}")?;
    let is_digit = |it: u8| it.is_ascii_digit() || (b'a'..=b'f').contains(&it);
    (digits.len() == 64 && digits.bytes().all(is_digit)).then_some((body, digits))
}

/// Where each entry of a perfect log stands, its length prefix included.
pub fn places(log: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let end = at + 4 + u32::from_be_bytes(log[at..at + 4].try_into().unwrap()) as usize;
        places.push(at..end);
        at = end;
    }
    places
}

/// The ids in a log, in order.
pub fn ids(log: &[u8]) -> Vec<u64> {
    match parse(log) {
        Ok(seen) => seen.into_iter().filter_map(|it| it.id).collect(),
        Err(error) => panic!("the log is damaged: {error}"),
    }
}

/// What a log says about itself, found without the code under test.
#[derive(Clone, Debug, PartialEq)]
pub struct Facts {
    pub id: String,
    pub origin: String,
    pub previous: Option<(String, String)>,
    /// Chain value of each entry.
    pub chains: Vec<String>,
    /// `aside` of the entry `wal.repaired`.
    pub aside: Option<String>,
}

/// The longest beginning of a log that is perfect, and what it says. `None` when there is no entry.
pub fn facts(log: &[u8]) -> Option<Facts> {
    let mut payloads: Vec<Value> = Vec::new();
    let mut at = 0;
    while let Some(len) = log.get(at..at + 4) {
        let len = u32::from_be_bytes(len.try_into().unwrap()) as usize;
        let Some(payload) = log.get(at + 4..(at + 4).saturating_add(len)) else { break };
        if parse(&log[..at + 4 + len]).is_err() {
            break;
        }
        let value: Value = serde_json::from_slice(payload).unwrap();
        // Ours have a chain from the first on; one without has lost it.
        if chained(payload).is_none() {
            break;
        }
        payloads.push(value);
        at += 4 + len;
    }
    let text = |it: &Value| it.as_str().map(str::to_owned);
    let first = &payloads.first()?["event"]["attrs"];
    let previous = text(&first["previous_wal_id"]).zip(text(&first["previous_chain"]));
    Some(Facts {
        id: text(&first["wal_id"])?,
        origin: text(&first["origin"])?,
        previous,
        chains: payloads.iter().map(|it| text(&it["chain"]).unwrap()).collect(),
        aside: payloads.get(1).and_then(|it| text(&it["event"]["attrs"]["aside"])),
    })
}
