//! One machine that appends, delivers, archives, repairs and seals; what its users were told; and
//! the audit that compares the two.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use vfs::{CrashPolicy, MemVfs, OpenMode, Vfs as _, replace, write_all_at};
use wal_format::{Position, SafePoint, Seq, WalId, names};
use wal_recovery::{
    Opening, Overrides, Reader, RecoverError, RollOver, RolledOver, Writer, archive, recover,
    repair, seal,
};

use super::{DIR, entry, now, opening, oracle, oracle::Facts, read};

/// The generator of the histories, apart from the one inside `MemVfs`.
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// A log that is neither live nor in the archive.
struct Past {
    /// What it said before anything happened to it.
    facts: Facts,
    /// What it is now; `None` when an operator has deleted it.
    bytes: Option<Vec<u8>>,
}

pub struct World {
    pub vfs: MemVfs,
    pub dice: Dice,
    next_id: u64,
    submitted: BTreeSet<u64>,
    /// Acknowledged, and in no log that is in `past`.
    acknowledged: BTreeSet<u64>,
    delivered: BTreeSet<u64>,
    past: Vec<Past>,
    /// By log, the last entry of which somebody was told that it is sealed.
    sealed: BTreeMap<String, u64>,
    /// Something is wrong with the directory, and a repair is due.
    broken: bool,
    /// Logs that went to the archive, in the words of the writer.
    pub rolled: u64,
    pub repaired: u64,
}

impl World {
    pub fn new(seed: u64) -> Self {
        Self {
            vfs: MemVfs::default(),
            dice: Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5bf0_3635),
            next_id: 1,
            submitted: BTreeSet::new(),
            acknowledged: BTreeSet::new(),
            delivered: BTreeSet::new(),
            past: Vec::new(),
            sealed: BTreeMap::new(),
            broken: false,
            rolled: 0,
            repaired: 0,
        }
    }

    fn random(&mut self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes.fill_with(|| u8::try_from(self.dice.roll(256)).unwrap());
        bytes
    }

    pub fn opening(&mut self) -> Opening {
        Opening { random: self.random(), ..opening() }
    }

    pub fn open(&mut self) -> Option<Writer> {
        let opening = self.opening();
        recover(&self.vfs, &opening).ok().map(|it| it.writer)
    }

    pub fn append(&mut self, writer: &mut Writer, count: u64, padding: u64) -> Option<()> {
        let ids: Vec<_> = (self.next_id..self.next_id + count).collect();
        self.next_id += count;
        let padding = usize::try_from(padding).unwrap();
        let group: Vec<_> = ids.iter().map(|id| entry(*id, padding)).collect();
        self.submitted.extend(&ids);
        writer.commit(&group).ok()?;
        self.acknowledged.extend(ids);
        Some(())
    }

    /// A consumer that takes everything, and then says so.
    pub fn drain(&mut self) -> Option<()> {
        let dir = Path::new(DIR);
        let _lock = self.vfs.lock(&dir.join(names::DRAIN_LOCK), "drain").ok()?;
        let mut reader = Reader::open(&self.vfs, dir).ok()?;
        let mut last = None;
        while let Some(item) = reader.next_entry().ok()? {
            let value: serde_json::Value = serde_json::from_slice(item.payload).unwrap();
            self.delivered.extend(value["event"]["attrs"]["id"].as_u64());
            last = Some(item.seq);
        }
        let wal_id = reader.identity().unwrap().wal_id.to_string();
        replace(&self.vfs, &dir.join(names::CURSORS), wal_id.as_bytes()).ok()?;
        replace(&self.vfs, &dir.join(names::POS), &Position::at(last).to_bytes()).ok()
    }

    pub fn roll_over(&mut self, writer: &mut Writer) -> Option<()> {
        let random = self.random();
        let how = RollOver { random, now: now(), node: "edge-1".into(), holder: "pid 1".into() };
        match writer.roll_over(&self.vfs, &how) {
            Ok(RolledOver::Switched { .. }) => self.rolled += 1,
            Ok(RolledOver::Nothing) => {}
            // Not delivered: the writer goes on. Anything else may be the end of it.
            Err(error) if error.code() == "WAL_NOT_DRAINED" => {}
            Err(_) => return None,
        }
        Some(())
    }

    pub fn pack(&mut self) -> Option<()> {
        let finished = archive::finish_archives(&self.vfs, Path::new(DIR), now(), "pid 1").ok()?;
        finished.failed.is_empty().then_some(())
    }

    pub fn archive(&mut self) -> Option<()> {
        let opening = self.opening();
        let archived = archive::archive(&self.vfs, &opening).ok()?;
        self.rolled += u64::from(archived.rolled != RolledOver::Nothing);
        archived.finished.failed.is_empty().then_some(())
    }

    pub fn seal(&mut self) -> Option<()> {
        let key = seal::SigningKey::from_bytes(&[3; 32]);
        let sealed = seal::seal(&self.vfs, Path::new(DIR), &key, now()).ok()?;
        self.sealed.insert(sealed.wal_id.to_string(), sealed.seq.get());
        Some(())
    }

    pub fn repair(&mut self) -> Option<()> {
        let opening = self.opening();
        let order = repair::Order { reason: "a test".into(), operator: "harness".into() };
        repair::repair(&self.vfs, &opening, &order, &mut repair::Nobody).ok()?;
        Some(())
    }

    /// The process is killed, or the machine loses power.
    pub fn end(&mut self) {
        if self.dice.roll(3) == 0 {
            return self.vfs.process_kill();
        }
        let seed = self.dice.roll(u64::MAX >> 1);
        self.vfs.power_loss(match self.dice.roll(8) {
            0 => CrashPolicy::LoseAll,
            1 => CrashPolicy::KeepAll,
            _ => CrashPolicy::Random(seed),
        });
    }

    /// Damages the directory, in one of six ways. It was audited just before.
    pub fn damage(&mut self) {
        let path = Path::new(DIR).join(names::WAL);
        let mut bytes = read(&self.vfs, names::WAL).unwrap();
        let facts = oracle::facts(&bytes).unwrap();
        let way = self.dice.roll(6);
        let file = self.vfs.open(&path, OpenMode::ReadWrite).unwrap();
        match way {
            0 | 1 => {
                let at = self.dice.roll(bytes.len() as u64);
                let byte = &mut bytes[usize::try_from(at).unwrap()];
                *byte ^= 1 << self.dice.roll(8);
                let byte = [*byte];
                write_all_at(&*file, &byte, at).unwrap();
                file.sync_data().unwrap();
            }
            2 => self.remove(names::SAFE_SEQ),
            3 => self.put(names::SAFE_SEQ, b"seven b"),
            4 => self.put(names::SWITCH, b"{\"format\":\"autonomy.wal.switch/1\"}"),
            _ => {
                // The end of the log is lost, and the safe point notices it.
                bytes.truncate(bytes.len() / 2);
                file.set_len(bytes.len() as u64).unwrap();
                file.sync_data().unwrap();
            }
        }
        self.retire(facts, Some(bytes));
        self.broken = true;
    }

    /// An operator deletes the log and accepts the loss.
    pub fn delete(&mut self) -> Opening {
        let facts = oracle::facts(&read(&self.vfs, names::WAL).unwrap()).unwrap();
        self.remove(names::WAL);
        self.remove(names::SAFE_SEQ);
        self.retire(facts, None);
        let overrides = Overrides { operator_reset: true, legacy_upgrade: false };
        Opening { overrides, ..self.opening() }
    }

    fn retire(&mut self, facts: Facts, bytes: Option<Vec<u8>>) {
        self.past.push(Past { facts, bytes });
        let archived = self.archives().into_iter().flat_map(|it| oracle::ids(&it.1));
        let archived: BTreeSet<_> = archived.collect();
        self.acknowledged.retain(|it| archived.contains(it));
    }

    fn remove(&self, name: &str) {
        self.vfs.remove(&Path::new(DIR).join(name)).unwrap();
        self.vfs.sync_dir(Path::new(DIR)).unwrap();
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        replace(&self.vfs, &Path::new(DIR).join(name), bytes).unwrap();
    }

    /// Brings the machine up again without faults and compares it with what its users were told.
    pub fn audit(&mut self, overrides: Overrides) {
        let opening = Opening { overrides, ..self.opening() };
        match recover(&self.vfs, &opening) {
            Ok(_) => {}
            Err(RecoverError::Violation { violation, .. }) if self.broken => {
                assert!(repair::plan_repair(&self.vfs, Path::new(DIR), now()).is_ok());
                self.repair().unwrap_or_else(|| panic!("not repaired: {violation}"));
                recover(&self.vfs, &opening).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
        self.repaired += u64::from(self.broken);
        self.broken = false;
        self.pack().unwrap();
        self.vfs.process_kill();

        let live = read(&self.vfs, names::WAL).unwrap();
        let archives = self.archives();
        self.check_entries(&live, &archives);
        self.check_small_files(&live);
        self.check_links(&live, &archives);
        self.check_seals(&live, &archives);
    }

    /// The logs in the archive, by their ids. Each must check, and none may be left unpacked.
    fn archives(&self) -> BTreeMap<String, Vec<u8>> {
        let folder = Path::new(DIR).join(names::ARCHIVE_DIR);
        let mut found = BTreeMap::new();
        for name in self.vfs.list(&folder).unwrap_or_default() {
            assert!(Path::new(&name).extension() != Some("wal".as_ref()), "{name} was not packed");
            assert!(!name.ends_with(".wal.zst.tmp"), "{name} was left behind");
            let Some(id) =
                name.strip_prefix("telemetry-").and_then(|it| it.strip_suffix(".wal.zst"))
            else {
                continue;
            };
            let wal_id: WalId = id.parse().unwrap();
            let manifest = archive::check(&self.vfs, Path::new(DIR), wal_id).unwrap();
            let packed = read(&self.vfs, &format!("{}/{name}", names::ARCHIVE_DIR)).unwrap();
            let raw = zstd::decode_all(&*packed).unwrap();
            assert_eq!(oracle::parse(&raw).unwrap().len() as u64, manifest.entries);
            assert_eq!(oracle::facts(&raw).unwrap().id, id);
            found.insert(id.to_owned(), raw);
        }
        found
    }

    /// Every acknowledged entry is there once, every archived one was delivered, none is made up.
    fn check_entries(&mut self, live: &[u8], archives: &BTreeMap<String, Vec<u8>>) {
        let in_live = oracle::ids(live);
        let packed: Vec<_> = archives.values().flat_map(|it| oracle::ids(it)).collect();
        let all: Vec<_> = packed.iter().chain(&in_live).copied().collect();
        let found: BTreeSet<_> = all.iter().copied().collect();
        assert_eq!(found.len(), all.len(), "an entry is there twice: {all:?}");
        let lost: Vec<_> = self.acknowledged.difference(&found).collect();
        assert!(lost.is_empty(), "lost {lost:?}; found {found:?}");
        assert!(found.is_subset(&self.submitted), "made up: {found:?}");
        let undelivered: Vec<_> = packed.iter().filter(|it| !self.delivered.contains(it)).collect();
        assert!(undelivered.is_empty(), "archived and never delivered: {undelivered:?}");
        // Whoever reads the log now has seen these entries: from here on they must stay.
        self.acknowledged = found;
    }

    /// The safe point and the position are those of this log and of no other.
    fn check_small_files(&self, live: &[u8]) {
        let entries = oracle::parse(live).unwrap();
        let small = |name: &str| read(&self.vfs, name);
        let safe = SafePoint::from_bytes(&small(names::SAFE_SEQ).unwrap()).unwrap();
        assert_eq!(safe.get(), entries.len() as u64);
        let pos = small(names::POS).map_or(0, |it| Position::from_bytes(&it).unwrap().get());
        assert!(pos <= safe.get(), "position {pos} of {} entries", entries.len());
        for seen in entries.iter().filter(|it| it.seq <= pos) {
            let delivered = seen.id.is_none_or(|it| self.delivered.contains(&it));
            assert!(delivered, "entry {} counts as delivered and was not", seen.seq);
        }
        for name in [names::SWITCH, names::NEXT] {
            assert_eq!(small(name), None, "{name} is left behind");
        }
        let cursors = small(names::CURSORS).map(|it| String::from_utf8(it).unwrap());
        let id = oracle::facts(live).unwrap().id;
        assert!(cursors.as_ref().is_none_or(|it| *it == id), "{cursors:?} in the log {id}");
    }

    /// Each log names the one before it, each log but the live one has one successor, and each
    /// damaged log is kept byte for byte where its successor says.
    fn check_links(&self, live: &[u8], archives: &BTreeMap<String, Vec<u8>>) {
        let live = oracle::facts(live).unwrap();
        let mut logs: BTreeMap<String, Facts> = BTreeMap::new();
        logs.extend(archives.iter().map(|(id, it)| (id.clone(), oracle::facts(it).unwrap())));
        logs.insert(live.id.clone(), live);
        let mut asides = BTreeSet::new();
        for facts in logs.values().chain(self.past.iter().map(|it| &it.facts)) {
            let aside = facts.aside.as_ref();
            assert_eq!(facts.origin == "repair", aside.is_some());
            asides.extend(aside.cloned());
            if facts.origin == "rollover" {
                let (id, chain) = facts.previous.as_ref().unwrap();
                let before = logs.get(id).unwrap_or_else(|| panic!("no log {id} in the archive"));
                assert_eq!(before.chains.last(), Some(chain));
                assert!(archives.contains_key(id));
            }
        }
        let mut kept: Vec<Vec<u8>> = asides
            .iter()
            .map(|it| read(&self.vfs, &format!("{it}/{}", names::WAL)).unwrap())
            .collect();
        for past in &self.past {
            let Some(bytes) = &past.bytes else { continue };
            let at = kept.iter().position(|it| it == bytes);
            let at = at.unwrap_or_else(|| panic!("damaged log {} is gone", past.facts.id));
            kept.swap_remove(at);
            let Some(good) = oracle::facts(bytes) else { continue };
            let link = Some((good.id, good.chains.last().unwrap().clone()));
            let linked = logs.values().chain(self.past.iter().map(|it| &it.facts));
            let linked = linked.filter(|it| it.origin == "repair" && it.previous == link).count();
            assert_eq!(linked, 1, "successors of the damaged log {}", past.facts.id);
        }
        assert!(kept.is_empty(), "more damaged logs than were damaged");
        for id in archives.keys() {
            let names = |it: &Facts| it.previous.as_ref().is_some_and(|it| it.0 == *id);
            let after = logs.values().chain(self.past.iter().map(|it| &it.facts));
            assert_eq!(after.filter(|it| names(it)).count(), 1, "successors of {id}");
        }
    }

    fn deleted(&self, id: &str) -> bool {
        self.past.iter().any(|it| it.bytes.is_none() && it.facts.id == id)
    }

    /// A seal that somebody was told of is there, and says what the log says.
    fn check_seals(&self, live: &[u8], archives: &BTreeMap<String, Vec<u8>>) {
        let dir = Path::new(DIR);
        let live = oracle::facts(live).unwrap();
        let told = self.sealed.get(&live.id);
        match seal::check_seal(&self.vfs, dir, None) {
            Err(seal::SealError::NotFound { .. }) => assert_eq!(told, None),
            Err(error) => panic!("{error}"),
            Ok(seal) if seal.wal_id.to_string() == live.id => {
                let at = usize::try_from(seal.seq.get()).unwrap();
                assert_eq!(live.chains[at - 1], seal.chain.to_string());
                assert!(told.is_none_or(|it| Seq::new(*it) <= Some(seal.seq)));
            }
            // An operator who deletes a log does not delete its seal.
            Ok(seal) if self.deleted(&seal.wal_id.to_string()) => {}
            Ok(seal) => panic!("the seal of {} is in the directory of {}", seal.wal_id, live.id),
        }
        for id in archives.keys().filter(|it| self.sealed.contains_key(*it)) {
            let manifest = archive::check(&self.vfs, dir, id.parse().unwrap()).unwrap();
            assert!(manifest.seal.is_some(), "the seal of {id} is not in its description");
        }
    }
}
