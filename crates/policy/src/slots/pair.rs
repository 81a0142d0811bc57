//! Loading from and activating into the two slots.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::Timestamp;
use semver::Version;
use thiserror::Error;
use vfs::{LockError, Vfs};

use super::slot::{self, Good, Slot, SlotFault, SlotMeta, SlotWarning};
use crate::{Bundle, BundleError, DenyAll, Evaluator, Incompatible, RegoEvaluator};

/// File that is locked while the slots change.
const LOCK_FILE: &str = "slots.lock";

/// The slots of a directory.
///
/// # Examples
///
/// ```
/// # use std::{collections::BTreeMap, sync::Arc};
/// # use policy::{Activated, Recipe, RuntimeRequirement, Slots, Source, build, demo};
/// # let now = jiff::Timestamp::UNIX_EPOCH;
/// # let files: BTreeMap<String, Vec<u8>> =
/// #     demo::SOURCES.map(|(name, text)| (name.to_owned(), text.into())).into();
/// # let recipe = Recipe {
/// #     version: demo::VERSION,
/// #     name: None,
/// #     requirement: &RuntimeRequirement::default(),
/// #     created_at: now,
/// # };
/// # let bytes = build(&files, &recipe)?.bytes;
/// # let dir = tempfile::tempdir()?;
/// let slots = Slots::new(Arc::new(vfs::OsVfs), dir.path(), "0.1.0".parse()?);
/// assert_eq!(slots.load().source, Source::None);
///
/// slots.activate(&bytes, now, "pid 1")?;
/// let loaded = slots.load();
/// assert_eq!(loaded.source, Source::Current);
/// assert_eq!(loaded.evaluator.policy_ref(), "1.0.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Slots {
    vfs: Arc<dyn Vfs>,
    dir: PathBuf,
    runtime: Version,
}

/// Who decides after loading.
#[derive(Debug)]
pub struct Loaded {
    /// The evaluator; [`DenyAll`] when no slot is good.
    pub evaluator: Arc<dyn Evaluator>,
    /// Where it is from.
    pub source: Source,
    /// What is known about the bundle it is from.
    pub meta: Option<SlotMeta>,
    /// What is not as it should be.
    pub warnings: Vec<SlotWarning>,
}

/// What is in a good slot.
#[derive(Clone, Debug)]
pub struct SlotBundle {
    /// The bundle.
    pub bundle: Bundle,
    /// What is known about it.
    pub meta: SlotMeta,
}

/// Where an evaluator is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The current slot.
    Current,
    /// The slot of what decided before.
    LastKnownGood,
    /// No slot is good.
    None,
}

/// A bundle that is now current.
#[derive(Debug)]
pub struct Activated {
    /// The evaluator of the bundle.
    pub evaluator: Arc<RegoEvaluator>,
    /// What is known about the bundle.
    pub meta: SlotMeta,
    /// Whether anything changed: not when the bundle was current already (S4).
    pub changed: bool,
}

/// A bundle that did not become current.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ActivateError {
    /// The bundle is refused. Nothing was changed.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The bundle is not made for this runtime. Nothing was changed.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// Somebody else is changing the slots. Nothing was changed.
    #[error("slots are in use: held by {holder}")]
    Busy {
        /// Who, as far as they said.
        holder: String,
    },
    /// The file system failed. Loading tells what decides now; it is what was current before, or
    /// the new bundle.
    #[error("cannot {step}: {error}")]
    Io {
        /// What was tried.
        step: &'static str,
        /// What the file system reports.
        error: io::Error,
    },
}

impl ActivateError {
    /// Returns the stable text of the kind of error.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Bundle(error) => error.code(),
            Self::Incompatible(_) => "bundle_incompatible",
            Self::Busy { .. } => "slots_busy",
            Self::Io { .. } => "slots_io",
        }
    }
}

impl Slots {
    /// Takes the slots of a directory, for a runtime of this version. Nothing is read or made yet.
    pub fn new(vfs: Arc<dyn Vfs>, dir: &Path, runtime: Version) -> Self {
        Self { vfs, dir: dir.to_owned(), runtime }
    }

    /// Says who decides. Never fails: without a good slot everything is denied.
    pub fn load(&self) -> Loaded {
        let mut warnings = Vec::new();
        let slots =
            [(Slot::Current, Source::Current), (Slot::LastKnownGood, Source::LastKnownGood)];
        for (slot, source) in slots {
            match self.read(slot) {
                Ok(good) => {
                    let (evaluator, meta) = (Arc::new(good.evaluator), Some(good.meta));
                    return Loaded { evaluator, source, meta, warnings };
                }
                Err(fault) => warnings.push(SlotWarning { slot, fault }),
            }
        }
        if warnings.iter().all(|it| matches!(it.fault, SlotFault::Absent)) {
            warnings.clear();
        } else {
            // That there was no bundle before the current one is no fault.
            warnings
                .retain(|it| it.slot == Slot::Current || !matches!(it.fault, SlotFault::Absent));
        }
        let evaluator = Arc::new(DenyAll::no_policy());
        Loaded { evaluator, source: Source::None, meta: None, warnings }
    }

    /// Looks into one slot.
    ///
    /// # Errors
    ///
    /// [`SlotFault`] when the slot is not good.
    pub fn inspect(&self, slot: Slot) -> Result<SlotBundle, SlotFault> {
        let good = self.read(slot)?;
        Ok(SlotBundle { bundle: Bundle::open(&good.bytes)?, meta: good.meta })
    }

    /// Checks a bundle as [`Self::activate`] does, and touches nothing.
    ///
    /// # Errors
    ///
    /// [`ActivateError`]: why it would be refused.
    pub fn accepts(&self, bytes: &[u8]) -> Result<Bundle, ActivateError> {
        Ok(self.check(bytes)?.0)
    }

    /// Makes a bundle the current one, and the current one the last known good (S1–S5).
    ///
    /// `now` goes into `meta.json`; `holder` is shown to whoever finds the slots in use.
    ///
    /// # Errors
    ///
    /// [`ActivateError`]. Only after [`ActivateError::Io`] may anything be different from before.
    pub fn activate(
        &self,
        bytes: &[u8],
        now: Timestamp,
        holder: &str,
    ) -> Result<Activated, ActivateError> {
        let (bundle, evaluator) = self.check(bytes)?;
        let evaluator = Arc::new(evaluator);
        for dir in [self.dir.clone(), self.slot(Slot::Current), self.slot(Slot::LastKnownGood)] {
            self.vfs.create_dir_all(&dir).map_err(io("make the directories"))?;
        }
        let _lock = self.vfs.lock(&self.dir.join(LOCK_FILE), holder).map_err(|it| match it {
            LockError::Held { holder } => ActivateError::Busy { holder },
            LockError::Io(error) => ActivateError::Io { step: "lock the slots", error },
        })?;
        if let Ok(current) = self.read(Slot::Current) {
            if current.meta.digest == bundle.digest() {
                return Ok(Activated { evaluator, meta: current.meta, changed: false });
            }
            let dir = self.slot(Slot::LastKnownGood);
            slot::write(&*self.vfs, &dir, &current.bytes, &current.meta)
                .map_err(io("keep the current bundle"))?;
        }
        let meta = SlotMeta {
            version: bundle.version().to_owned(),
            digest: bundle.digest().to_owned(),
            bundle_hash: bundle.hash().to_owned(),
            loaded_at: now,
        };
        slot::write(&*self.vfs, &self.slot(Slot::Current), bytes, &meta)
            .map_err(io("write the new bundle"))?;
        Ok(Activated { evaluator, meta, changed: true })
    }

    /// Checks everything about a new bundle.
    fn check(&self, bytes: &[u8]) -> Result<(Bundle, RegoEvaluator), ActivateError> {
        let bundle = Bundle::open(bytes)?;
        bundle.check_runtime(&self.runtime)?;
        let evaluator = bundle.evaluator().map_err(BundleError::from)?;
        Ok((bundle, evaluator))
    }

    fn slot(&self, slot: Slot) -> PathBuf {
        self.dir.join(slot.as_str())
    }

    fn read(&self, slot: Slot) -> Result<Good, SlotFault> {
        slot::read(&*self.vfs, &self.slot(slot), &self.runtime)
    }
}

fn io(step: &'static str) -> impl FnOnce(io::Error) -> ActivateError {
    move |error| ActivateError::Io { step, error }
}
