//! Which policy decides in a run.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use api::exit::Exit;
use jiff::Timestamp;
use policy::{ActivateError, Bundle, Evaluator, Recipe, RuntimeRequirement, build};

use crate::{
    commands::policy::{bundle_bytes, refused, sources::Found},
    failure::Failure,
};

/// Version of a policy that is read from a directory and was never released.
const UNRELEASED: &str = "0.0.0-local";

/// A policy that comes with the program.
#[derive(Clone, Copy, Debug)]
pub(in crate::commands) struct BuiltIn {
    pub(in crate::commands) name: &'static str,
    pub(in crate::commands) version: &'static str,
    pub(in crate::commands) sources: &'static [(&'static str, &'static str)],
}

/// The policy of runs: echo and fetching allowed, the rest denied.
pub(in crate::commands) const DEMO: BuiltIn = BuiltIn {
    name: policy::demo::NAME,
    version: policy::demo::VERSION,
    sources: &policy::demo::SOURCES,
};

/// The policy of a run.
#[derive(Clone, Debug)]
pub(in crate::commands) struct Choice {
    pub(in crate::commands) evaluator: Arc<dyn Evaluator>,
    /// What it is, for people.
    pub(in crate::commands) shown: String,
}

impl Choice {
    /// Takes what is at `path`, or what comes with the program.
    pub(in crate::commands) fn of(
        path: Option<&Path>,
        otherwise: &BuiltIn,
    ) -> Result<Self, Failure> {
        match path {
            None => Self::built_in(otherwise),
            Some(dir) if dir.is_dir() => {
                let mut found = Found::read(&[dir.to_owned()])?;
                found.without_tests();
                let files = found.files;
                if files.is_empty() {
                    let message = format!("{} holds no *.rego file", dir.display());
                    return Err(Failure::new(Exit::Usage, "NO_POLICY_FILES", message)
                        .hint("--policy is a bundle, or a directory with the files of one"));
                }
                Self::built(&files, "local", UNRELEASED, dir)
            }
            Some(file) => {
                let bundle =
                    Bundle::open(&bundle_bytes(file)?).map_err(|error| refused(&error, file))?;
                let have = runtime::version();
                bundle.check_runtime(&have).map_err(|error| {
                    let error = ActivateError::from(error);
                    Failure::of(Exit::Denied, error.code(), &error)
                        .hint("take a bundle made for this runtime")
                })?;
                Self::open(&bundle, file)
            }
        }
    }

    fn built_in(policy: &BuiltIn) -> Result<Self, Failure> {
        let files = policy.sources.iter();
        let files = files.map(|it| (it.0.to_owned(), it.1.as_bytes().to_vec())).collect();
        Self::built(&files, policy.name, policy.version, Path::new(policy.name))
    }

    fn built(
        files: &BTreeMap<String, Vec<u8>>,
        name: &str,
        version: &str,
        from: &Path,
    ) -> Result<Self, Failure> {
        let requirement = RuntimeRequirement::default();
        let recipe = Recipe {
            version,
            name: Some(name),
            requirement: &requirement,
            created_at: Timestamp::UNIX_EPOCH,
        };
        let built = build(files, &recipe).map_err(|error| refused(&error, from))?;
        Self::open(&built.bundle, from)
    }

    fn open(bundle: &Bundle, from: &Path) -> Result<Self, Failure> {
        let evaluator = bundle.evaluator().map_err(|error| refused(&error.into(), from))?;
        let shown = format!("{} {}", bundle.name().unwrap_or("policy"), bundle.version());
        Ok(Self { evaluator: Arc::new(evaluator), shown })
    }
}
