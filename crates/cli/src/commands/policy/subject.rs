//! A policy as a command line names it.
//!
//! | word              | means                                             |
//! |-------------------|---------------------------------------------------|
//! | `current`, `lkg`  | the slot of the policy directory                  |
//! | a directory       | its files, without those that only have tests     |
//! | a file            | a bundle                                          |
//!
//! A file or directory with the name of a slot is named `./current`.

use std::path::{Path, PathBuf};

use api::exit::Exit;
use policy::{ActivateError, Bundle, RegoEvaluator, Slot, Sources};

use super::{bundle_bytes, refused, slots, sources::Found};
use crate::{context::Context, failure::Failure};

/// Files, and the bundle around them when there is one.
#[derive(Debug)]
pub(super) struct Subject {
    pub(super) sources: Sources,
    pub(super) bundle: Option<Bundle>,
    path: PathBuf,
}

impl Subject {
    pub(super) fn open(
        named: &Path,
        policy_dir: Option<&Path>,
        context: Context<'_>,
    ) -> Result<Self, Failure> {
        let slot = [Slot::Current, Slot::LastKnownGood]
            .into_iter()
            .find(|it| named.as_os_str() == it.as_str());
        if let Some(slot) = slot {
            let found = slots(policy_dir, context)?.inspect(slot).map_err(|fault| {
                let message = format!("slot {slot}: {fault}");
                Failure::new(Exit::Integrity, fault.code(), message)
                    .hint("autonomy policy status says more")
            })?;
            return Ok(Self::of(found.bundle, named));
        }
        if named.is_dir() {
            let mut found = Found::read(&[named.to_owned()])?;
            found.without_tests();
            let sources = Sources::new(found.files).map_err(|it| refused(&it, named))?;
            return Ok(Self { sources, bundle: None, path: named.to_owned() });
        }
        let bundle = Bundle::open(&bundle_bytes(named)?).map_err(|it| refused(&it, named))?;
        Ok(Self::of(bundle, named))
    }

    fn of(bundle: Bundle, path: &Path) -> Self {
        Self { sources: Sources::of(&bundle), bundle: Some(bundle), path: path.to_owned() }
    }

    /// Compiles it, unless a runtime of this version would not load it.
    pub(super) fn evaluator(&self) -> Result<RegoEvaluator, Failure> {
        if let Some(Err(error)) =
            self.bundle.as_ref().map(|it| it.check_runtime(&runtime::version()))
        {
            let error = ActivateError::from(error);
            return Err(Failure::of(Exit::Integrity, error.code(), &error)
                .hint("policy load would reject it; build it for this runtime"));
        }
        let evaluator = match &self.bundle {
            Some(bundle) => bundle.evaluator(),
            None => self.sources.evaluator(&self.path.display().to_string()),
        };
        evaluator.map_err(|it| refused(&it.into(), &self.path))
    }
}
