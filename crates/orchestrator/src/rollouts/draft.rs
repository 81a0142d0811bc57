//! What a request puts on record, before its outcome is known. Its JSON is the note that the store keeps.

use audit::{Category, NewRecord, Outcome, Source};
use rollout_store::{Moment, Phase, store::About};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Everything but the outcome.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draft {
    /// Unique: by it the trail says what was told.
    id: String,
    event: String,
    category: String,
    action: String,
    actor: String,
    resource_type: String,
    resource: String,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    fields: Map<String, Value>,
}

impl Draft {
    /// Begins one: what happens, to what, by whom.
    pub(crate) fn new(
        event: &str,
        (category, action): (Category, &str),
        (resource_type, resource): (&str, &str),
        actor: &str,
    ) -> Self {
        Self {
            id: uuid::Uuid::new_v4().simple().to_string(),
            event: event.to_owned(),
            category: category.as_str().to_owned(),
            action: action.to_owned(),
            actor: actor.to_owned(),
            resource_type: resource_type.to_owned(),
            resource: resource.to_owned(),
            fields: Map::new(),
        }
    }

    /// Its unique id.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Adds a field.
    #[must_use]
    pub(crate) fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a field when there is a value.
    #[must_use]
    pub(crate) fn with_some<T: Into<Value>>(self, name: &str, value: Option<T>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Whether it can be put on record, whatever becomes of it.
    pub(crate) fn check(&self) -> Result<(), audit::RecordError> {
        self.clone().written(Outcome::Success, Moment::from_unix_ms(0)).check()
    }

    /// The text that a store keeps.
    pub(crate) fn to_note(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Reads it back.
    pub(crate) fn from_note(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// The record of a request that was accepted.
    pub(crate) fn accepted(self, about: &About, at: Moment) -> NewRecord {
        let phase = about.phase.map(Phase::name);
        self.with("result", about.result.as_str())
            .with_some("phase", phase)
            .with_some("stage", about.stage.clone())
            .with_some("generation", about.generation)
            .with_some("sequence", about.sequence)
            .record(Outcome::Success, at)
    }

    /// The record of a request that was refused.
    pub(crate) fn refused(self, code: &str, why: &str, at: Moment) -> NewRecord {
        self.with("code", code).with("error", why).record(Outcome::Failure, at)
    }

    /// The record with this outcome. One that breaks the bounds of the trail would keep everything behind it from
    /// being told, so only what is wrong with it is told.
    pub(crate) fn record(self, outcome: Outcome, at: Moment) -> NewRecord {
        let written = self.written(outcome, at);
        match written.check() {
            Ok(()) => written,
            Err(error) => {
                let about = (Category::System, "tell");
                NewRecord::new(
                    "system.record.unfit",
                    about,
                    outcome,
                    written.source,
                    written.timestamp,
                )
                .with("error", error.to_string())
            }
        }
    }

    fn written(self, outcome: Outcome, at: Moment) -> NewRecord {
        let category = self.category.parse().unwrap_or(Category::System);
        // Times that no calendar has are those of a clock that was never set.
        let at =
            jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
        let mut record = NewRecord::new(
            &self.event,
            (category, &self.action),
            outcome,
            Source::Orchestrator,
            at,
        )
        .by(&self.actor)
        .on(&self.resource_type, &self.resource);
        record.fields = self.fields;
        record
    }
}
