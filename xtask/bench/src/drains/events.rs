//! One large log, and logs that are its beginning.

use std::{
    fs::{self, File},
    io::{BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use wal_format::{Birth, Chain, Event, Kind, Origin, SafePoint, Seq, WalId, encode_entry, names};

/// Node that wrote the log.
pub(crate) const NODE: &str = "edge-1";
/// Different events; the log repeats them.
const DIFFERENT: u64 = 1_000;
/// Between two entries.
const STEP: SignedDuration = SignedDuration::from_millis(3);

/// A log, as a runtime writes it.
#[derive(Debug, Default)]
pub(crate) struct Log {
    wal: PathBuf,
}

pub(crate) fn wal_id() -> WalId {
    WalId::from_random([7; 16])
}

impl Log {
    /// Writes a log.
    pub(crate) fn write(dir: &Path, entries: u64) -> Result<Self> {
        fs::create_dir(dir)?;
        let wal = dir.join(names::WAL);
        let mut out = BufWriter::with_capacity(1 << 20, File::create_new(&wal)?);
        let mut at: Timestamp = "2026-01-02T03:04:05.000006Z".parse()?;
        let (wal_id, node) = (wal_id(), NODE.to_owned());
        let birth = Birth { wal_id, node, origin: Origin::FirstRun, previous: None };
        let birth = birth.to_event().to_json();
        let events: Vec<_> = (0..DIFFERENT).map(|it| event(it).to_json()).collect();
        let mut cycle = events.iter().cycle();
        let (mut chain, mut frame) = (Chain::before(b""), Vec::new());
        for number in 1..=entries {
            let seq = Seq::new(number).context("a number from 1")?;
            let event = if number == 1 { &birth } else { cycle.next().context("an event")? };
            frame.clear();
            chain = encode_entry(seq, at, event, chain, &mut frame)?;
            out.write_all(&frame)?;
            at = at.checked_add(STEP)?;
        }
        out.into_inner()?.sync_all()?;
        Ok(Self { wal })
    }

    /// Makes `dir` a log of the first `entries`: the same file, of which fewer are committed.
    pub(crate) fn beginning(&self, dir: &Path, entries: u64) -> Result<()> {
        fs::hard_link(&self.wal, dir.join(names::WAL))?;
        let safe = SafePoint::at(Seq::new(entries)).to_bytes();
        fs::write(dir.join(names::SAFE_SEQ), safe)?;
        Ok(())
    }

    /// Calls `each` with the number and the payload of the first `entries`. Nothing is checked.
    pub(crate) fn payloads(
        &self,
        entries: u64,
        mut each: impl FnMut(Seq, &[u8]) -> Result<()>,
    ) -> Result<()> {
        let mut file = BufReader::with_capacity(1 << 20, File::open(&self.wal)?);
        let mut payload = Vec::new();
        for number in 1..=entries {
            let mut header = [0; 4];
            file.read_exact(&mut header)?;
            payload.resize(usize::try_from(u32::from_be_bytes(header))?, 0);
            file.read_exact(&mut payload)?;
            each(Seq::new(number).context("a number from 1")?, &payload)?;
        }
        Ok(())
    }
}

/// A decision, the outcome of the call when it was allowed, and now and then something else; with the
/// attributes that the runtime gives them.
fn event(number: u64) -> Event {
    let call = number / 2;
    let audit_id = format!("{call:08x}-0000-4000-8000-000000000000");
    let denied = call.is_multiple_of(10);
    match number {
        it if it % 100 == 51 => Event::new(Kind::Lifecycle).with("event", "policy.loaded"),
        it if it % 2 == 0 => Event::new(Kind::Decision)
            .with("decision", if denied { "deny" } else { "allow" })
            .with("kind", "tool.http_get")
            .with("audit_id", audit_id)
            .with("rule", "data.autonomy.tools.http_get")
            .with("policy_ref", "registry.example/policies/edge:1.4.2")
            .with("policy_digest", format!("blake3:{}", "5b".repeat(32)))
            .with("params_digest", format!("blake3:{call:064x}"))
            .with(
                "params",
                json!({"url": format!("https://api.example/v1/items/{call}"), "retries": 2}),
            )
            .with("eval_us", 40 + call % 50),
        _ => {
            let (kind, outcome) =
                if denied { (Kind::Error, "failed") } else { (Kind::Action, "ok") };
            Event::new(kind)
                .with("outcome", outcome)
                .with("kind", "tool.http_get")
                .with("audit_id", audit_id)
                .with("status", 200)
                .with("bytes", 1_000 + call)
                .with("elapsed_ms", 12.5)
        }
    }
}
