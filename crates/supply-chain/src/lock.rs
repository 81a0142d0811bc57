//! Locks: what one release of an agent is made of, and the fingerprint over it.
//!
//! # Layout
//!
//! `autonomy.lock.json`, schema 1: a JSON object with these members and no others.
//!
//! | member                                           | value                                             |
//! |--------------------------------------------------|---------------------------------------------------|
//! | `schema`                                         | 1                                                 |
//! | `name`, `version`                                | texts, of the agent                               |
//! | `created_at`                                     | RFC 3339 in UTC                                   |
//! | `release_counter`                                | 0 to 2^64-1; only grows from release to release   |
//! | `agent_artifact` `ref`, `digest`                 | reference; SHA-256 of the manifest                |
//! | `policy_bundle` `ref`, `digest`, `version`       | reference; SHA-256 of the bundle; semver          |
//! | `inputs` `prompt_hash`, `tool_inputs_hash`       | SHA-256 or BLAKE3, made by whoever wrote the lock |
//! | `tools` (list of) `kind`, `digest`               | sorted by kind, each kind once                    |
//! | `behavioral_fingerprint`                         | BLAKE3 of everything above                        |
//!
//! The fingerprint is the BLAKE3 of the canonical JSON (RFC 8785) of the object without `behavioral_fingerprint`.
//!
//! # Invariants
//!
//! * **L1** A content has one canonical form: every value has one spelling, and another spelling is refused.
//! * **L2** What is hashed is what was parsed, not what was written anew from it.
//! * **L3** A fingerprint of another kind than BLAKE3 is refused, not compared.
//!
//! Parsing does not compare the fingerprint with the content: that is a check of its own, with an answer of its own.

use jiff::Timestamp;
use semver::Version;
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::{
    Algorithm, Digest, REFERENCE_LEN_MAX, Reference,
    form::{self, FormError, Members},
};

/// The schema that is written and read.
pub const LOCK_SCHEMA: u64 = 1;
/// Longest lock file, in bytes.
pub const LOCK_LEN_MAX: usize = 256 << 10;
/// Longest name, version, or kind of a tool, in bytes.
pub const LOCK_TEXT_LEN_MAX: usize = 128;
/// Most tools of a lock.
pub const LOCK_TOOLS_MAX: usize = 512;
/// The member that is not hashed.
const FINGERPRINT: &str = "behavioral_fingerprint";

/// What a lock says, without the fingerprint over it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockContent {
    /// Name of the agent.
    pub name: String,
    /// Version of the agent, in whatever form its makers use.
    pub version: String,
    /// When the lock was made.
    pub created_at: Timestamp,
    /// Number of the release; only grows.
    pub release_counter: u64,
    /// The image of the agent.
    pub agent_artifact: AgentArtifact,
    /// The policy bundle.
    pub policy_bundle: PolicyBundle,
    /// Hashes of what the agent is given.
    pub inputs: Inputs,
    /// The tools it may call, sorted by kind.
    pub tools: Vec<Tool>,
}

/// The image of an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentArtifact {
    /// Where it was when the lock was made.
    pub reference: Reference,
    /// SHA-256 of its manifest.
    pub digest: Digest,
}

/// The policy bundle of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyBundle {
    /// Where it was when the lock was made.
    pub reference: Reference,
    /// SHA-256 of the bundle.
    pub digest: Digest,
    /// Its version.
    pub version: Version,
}

/// Hashes of what an agent is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inputs {
    /// Of its prompt.
    pub prompt_hash: Digest,
    /// Of the descriptions of its tools.
    pub tool_inputs_hash: Digest,
}

/// A tool of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tool {
    /// Kind of the tool.
    pub kind: String,
    /// Digest of the tool.
    pub digest: Digest,
}

/// A lock that was read. Nothing vouches for it yet.
///
/// # Examples
///
/// ```
/// use supply_chain::{Lock, LockError};
///
/// let error = Lock::parse(br#"{"schema":2}"#).unwrap_err();
/// assert_eq!(error, LockError::Newer { found: 2 });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    content: LockContent,
    /// The canonical bytes of what was parsed (L2).
    hashed: Vec<u8>,
    stored: Digest,
}

impl Lock {
    /// Makes a lock over `content`, with its fingerprint.
    ///
    /// # Errors
    ///
    /// [`LockError`] when the content could not be read again: a text that is too long, tools out of order.
    pub fn create(content: &LockContent) -> Result<Self, LockError> {
        let hashed = canonical(&content.to_map());
        let lock = Self { content: content.clone(), stored: Digest::blake3(&hashed), hashed };
        // The rules are those of the parser, so that nobody writes what nobody reads.
        let read = Self::parse(&lock.to_bytes())?;
        if read.content == *content { Ok(read) } else { Err(LockError::Spelling) }
    }

    /// Reads a lock file.
    ///
    /// # Errors
    ///
    /// [`LockError`] unless it has the documented form exactly.
    pub fn parse(bytes: &[u8]) -> Result<Self, LockError> {
        let mut map = form::object(bytes, LOCK_LEN_MAX)?;
        // Before anything else: a newer schema may have other members.
        match Members::new(&map).number("schema")? {
            LOCK_SCHEMA => {}
            found @ 0 => {
                let text = format!("{found} is no schema");
                return Err(FormError::Value { at: "schema".to_owned(), text }.into());
            }
            found => return Err(LockError::Newer { found }),
        }
        let (content, stored) = read(&map)?;
        map.remove(FINGERPRINT);
        Ok(Self { content, hashed: canonical(&map), stored })
    }

    /// What the lock says.
    pub const fn content(&self) -> &LockContent {
        &self.content
    }

    /// The bytes that the fingerprint is made over (L2).
    pub fn hashed(&self) -> &[u8] {
        &self.hashed
    }

    /// The fingerprint that the content has.
    pub fn fingerprint_of(&self) -> Digest {
        Digest::blake3(&self.hashed)
    }

    /// The fingerprint that the lock says it has.
    pub const fn stored_fingerprint(&self) -> Digest {
        self.stored
    }

    /// The file: the documented order of members, indented, a line feed at the end.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.content.to_file(&self.stored).into_bytes()
    }
}

fn canonical(map: &Map<String, Value>) -> Vec<u8> {
    wal_format::canonical_json(&Value::Object(map.clone()))
}

fn read(map: &Map<String, Value>) -> Result<(LockContent, Digest), LockError> {
    const ANY: &[Algorithm] = &Algorithm::ALL;
    let mut it = Members::new(map);
    it.number("schema")?;
    let (name, version) =
        (it.text("name", LOCK_TEXT_LEN_MAX)?, it.text("version", LOCK_TEXT_LEN_MAX)?);
    let (created_at, release_counter) = (it.time("created_at")?, it.number("release_counter")?);

    let mut agent = it.inner("agent_artifact")?;
    let agent_artifact = AgentArtifact {
        reference: reference(&mut agent)?,
        digest: agent.digest("digest", &[Algorithm::Sha256])?,
    };
    agent.end()?;

    let mut policy = it.inner("policy_bundle")?;
    let policy_bundle = PolicyBundle {
        reference: reference(&mut policy)?,
        digest: policy.digest("digest", &[Algorithm::Sha256])?,
        version: policy_version(&mut policy)?,
    };
    policy.end()?;

    let mut hashes = it.inner("inputs")?;
    let inputs = Inputs {
        prompt_hash: hashes.digest("prompt_hash", ANY)?,
        tool_inputs_hash: hashes.digest("tool_inputs_hash", ANY)?,
    };
    hashes.end()?;

    let tools = tools(&mut it)?;
    let stored = it.digest(FINGERPRINT, &[Algorithm::Blake3])?; // L3
    it.end()?;
    let (name, version) = (name.to_owned(), version.to_owned());
    let content = LockContent {
        name,
        version,
        created_at,
        release_counter,
        agent_artifact,
        policy_bundle,
        inputs,
        tools,
    };
    Ok((content, stored))
}

fn reference(members: &mut Members<'_>) -> Result<Reference, FormError> {
    let text = members.text("ref", REFERENCE_LEN_MAX)?;
    let reference: Reference = text.parse().map_err(|it| members.error("ref", it))?;
    let spelling = reference.to_string();
    if spelling == text {
        return Ok(reference);
    }
    Err(members.error("ref", format_args!("has to be written {}", form::shown(&spelling)))) // L1
}

fn policy_version(members: &mut Members<'_>) -> Result<Version, FormError> {
    let text = members.text("version", LOCK_TEXT_LEN_MAX)?;
    Version::parse(text).map_err(|it| {
        members.error("version", format_args!("`{}` is no version: {it}", form::shown(text)))
    })
}

fn tools(members: &mut Members<'_>) -> Result<Vec<Tool>, LockError> {
    let mut tools: Vec<Tool> = Vec::new();
    for mut entry in members.list("tools", LOCK_TOOLS_MAX)? {
        let kind = entry.text("kind", LOCK_TEXT_LEN_MAX)?.to_owned();
        let digest = entry.digest("digest", &Algorithm::ALL)?;
        entry.end()?;
        if let Some(before) = tools.last().filter(|it| it.kind >= kind) {
            return Err(LockError::ToolOrder { before: before.kind.clone(), kind });
        }
        tools.push(Tool { kind, digest });
    }
    Ok(tools)
}

impl LockContent {
    fn to_map(&self) -> Map<String, Value> {
        let tools: Vec<_> = self.tools.iter().map(Tool::to_value).collect();
        let value = json!({
            "schema": LOCK_SCHEMA,
            "name": self.name,
            "version": self.version,
            "created_at": self.created_at.to_string(),
            "release_counter": self.release_counter,
            "agent_artifact": {
                "ref": self.agent_artifact.reference.to_string(),
                "digest": self.agent_artifact.digest,
            },
            "policy_bundle": {
                "ref": self.policy_bundle.reference.to_string(),
                "digest": self.policy_bundle.digest,
                "version": self.policy_bundle.version.to_string(),
            },
            "inputs": {
                "prompt_hash": self.inputs.prompt_hash,
                "tool_inputs_hash": self.inputs.tool_inputs_hash,
            },
            "tools": tools,
        });
        if let Value::Object(map) = value { map } else { Map::new() }
    }

    /// Writes the file by hand: the JSON library sorts the members of its maps.
    fn to_file(&self, stored: &Digest) -> String {
        let text = |it: &dyn ToString| Value::from(it.to_string()).to_string();
        let (agent, policy) = (&self.agent_artifact, &self.policy_bundle);
        let tool = |it: &Tool| {
            format!(
                "\n    {{\n      \"kind\": {},\n      \"digest\": \"{}\"\n    }}",
                text(&it.kind),
                it.digest
            )
        };
        let tools: Vec<_> = self.tools.iter().map(tool).collect();
        let tools_end = if tools.is_empty() { "]" } else { "\n  ]" };
        [
            format!("{{\n  \"schema\": {LOCK_SCHEMA},\n"),
            format!("  \"name\": {},\n  \"version\": {},\n", text(&self.name), text(&self.version)),
            format!("  \"created_at\": \"{}\",\n", self.created_at),
            format!("  \"release_counter\": {},\n", self.release_counter),
            format!("  \"agent_artifact\": {{\n    \"ref\": {},\n", text(&agent.reference)),
            format!("    \"digest\": \"{}\"\n  }},\n", agent.digest),
            format!("  \"policy_bundle\": {{\n    \"ref\": {},\n", text(&policy.reference)),
            format!("    \"digest\": \"{}\",\n", policy.digest),
            format!("    \"version\": \"{}\"\n  }},\n", policy.version),
            format!("  \"inputs\": {{\n    \"prompt_hash\": \"{}\",\n", self.inputs.prompt_hash),
            format!("    \"tool_inputs_hash\": \"{}\"\n  }},\n", self.inputs.tool_inputs_hash),
            format!("  \"tools\": [{}{tools_end},\n", tools.join(",")),
            format!("  \"{FINGERPRINT}\": \"{stored}\"\n}}\n"),
        ]
        .concat()
    }
}

impl Tool {
    fn to_value(&self) -> Value {
        json!({ "kind": self.kind, "digest": self.digest })
    }
}

/// Why a text is no lock.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LockError {
    /// It does not have the documented form.
    #[error("the lock is not valid: {0}")]
    Form(#[from] FormError),
    /// It was made for a later version of this program.
    #[error(
        "the lock has schema {found}, this program reads {LOCK_SCHEMA}: it needs a newer version"
    )]
    Newer {
        /// The schema found.
        found: u64,
    },
    /// A reference reads as another one when it is written: a path that is no text, or that looks like a tag.
    #[error(
        "the lock would not be read as it was made: a path in it is no text, or looks like a tag"
    )]
    Spelling,
    /// Tools are not sorted, or one stands twice.
    #[error(
        "the lock is not valid: tool `{kind}` follows `{before}`, but kinds are sorted and each stands once"
    )]
    ToolOrder {
        /// The kind before it.
        before: String,
        /// The kind.
        kind: String,
    },
}
