//! Places inside the workspace.

use std::path::{Path, PathBuf};

/// Root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// The Rego files of the demo policy.
pub fn demo_policies() -> PathBuf {
    root().join("crates/policy/policies/demo")
}

/// Where a standing demo lives.
pub fn demo_dir() -> PathBuf {
    root().join("target/demo")
}

/// Where the drills leave their report.
pub fn drill_report() -> PathBuf {
    root().join("target/drill/report.json")
}

/// Where the validation plans leave their evidence when nobody says.
pub fn evidence_dir() -> PathBuf {
    root().join("evidence")
}
