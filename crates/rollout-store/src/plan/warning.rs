//! What looks wrong about a plan and is accepted all the same.
//!
//! | code                  | when                                                                   |
//! |-----------------------|------------------------------------------------------------------------|
//! | `ARTIFACT_SCHEME`     | the reference has a scheme other than `oci`, `https`, `file`           |
//! | `ARTIFACT_UNPINNED`   | the reference names no digest: its content can change                  |
//! | `ARTIFACT_DIGEST`     | the digest is not `sha256:` and 64 hexadecimal digits                  |
//! | `FINGERPRINT_FORM`    | the fingerprint is not `blake3:` and 64 hexadecimal digits             |
//! | `LAST_STAGE_PARTIAL`  | no stage reaches all nodes of the channel                              |
//!
//! The control plane stores names of artifacts, it does not open them; nodes verify what they load. A
//! store that refused an odd name would leave the operator without a plan to look at and roll back.

use serde::{Deserialize, Serialize};

use super::{Plan, Target};

const DIGEST_DIGITS: usize = 64;
const SCHEMES: [&str; 3] = ["oci", "https", "file"];

/// Something that looks wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The stable code.
    pub code: String,
    /// Where in the request.
    pub field: String,
    /// What is odd about it.
    pub message: String,
}

fn warning(code: &str, field: &str, message: String) -> Warning {
    Warning { code: code.to_owned(), field: field.to_owned(), message }
}

fn is_hash(digest: &str, algorithm: &str) -> bool {
    let digits = digest.strip_prefix(algorithm).and_then(|it| it.strip_prefix(':'));
    let lower_hex = |it: u8| it.is_ascii_digit() || matches!(it, b'a'..=b'f');
    digits.is_some_and(|it| it.len() == DIGEST_DIGITS && it.bytes().all(lower_hex))
}

/// Everything odd about a plan, in the order of the table.
pub(super) fn warnings(plan: &Plan) -> Vec<Warning> {
    let mut found = Vec::new();
    let reference = &plan.artifact_ref;
    if let Some((scheme, _)) = reference.split_once("://")
        && !SCHEMES.contains(&scheme)
    {
        let message = format!("scheme `{scheme}` is none of {}", SCHEMES.join(", "));
        found.push(warning("ARTIFACT_SCHEME", "artifact_ref", message));
    }
    match reference.split_once('@') {
        None => {
            let message = "no digest: what the name stands for can change".to_owned();
            found.push(warning("ARTIFACT_UNPINNED", "artifact_ref", message));
        }
        Some((_, digest)) if !is_hash(digest, "sha256") => {
            let message = format!("`{digest}` is not `sha256:` and 64 hexadecimal digits");
            found.push(warning("ARTIFACT_DIGEST", "artifact_ref", message));
        }
        Some(_) => {}
    }
    let fingerprint = &plan.target_lock_fingerprint;
    if !is_hash(fingerprint, "blake3") {
        let message = format!("`{fingerprint}` is not `blake3:` and 64 hexadecimal digits");
        found.push(warning("FINGERPRINT_FORM", "target_lock_fingerprint", message));
    }
    if let Some(Target::Percent(last)) = plan.stages.last().map(|it| &it.target)
        && *last < 100
    {
        let message = format!("the last stage reaches {last} % of the channel");
        found.push(warning("LAST_STAGE_PARTIAL", "stages", message));
    }
    found
}
