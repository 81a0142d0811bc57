//! Where the files of a goal are.
//!
//! ```text
//! .octogent/goal.json                       the goal
//! .octogent/goal.json.lock                  who changes it now
//! .octogent/goal-history-N.jsonl            its older evals
//! .octogent/goal-verify-history-N.jsonl     its older attempts to verify
//! .octogent/goal-resume-breadcrumb.json     how to go on after the end of a session
//! .octogent/goal-context.md                 a summary for whoever goes on
//! .octogent/retry-queue.json                work that waits for a quota
//! .octogent/workspace-digest.json           what the workspace was when the session ended
//! .octogent/tentacles/NAME/meta.json        what is known about a tentacle
//! .octogent/tentacles/NAME/todo.md          what it has to do
//! .octogent/tentacles/NAME/handoff.md       what it said
//! .octogent/tentacles/NAME/CONTEXT.md       what it was told
//! ```

use std::path::{Path, PathBuf};

/// Directory of the state below the root of a repository.
pub const STATE_DIR: &str = ".octogent";

/// Paths of one goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    tentacles: PathBuf,
    state: PathBuf,
}

impl Place {
    /// State in a directory, tentacles in `tentacles` below it.
    pub fn in_state_dir(state: &Path) -> Self {
        Self { tentacles: state.join("tentacles"), state: state.to_owned() }
    }

    /// State of a session directory: its tentacles are in `tentacles` when it is called that, else in
    /// `files/tentacles` below it; the state is in the parent of the tentacles.
    pub fn in_session_dir(session: &Path) -> Self {
        let named = session.file_name().is_some_and(|it| it == "tentacles");
        let tentacles =
            if named { session.to_owned() } else { session.join("files").join("tentacles") };
        let state = tentacles.parent().unwrap_or(session).to_owned();
        Self { tentacles, state }
    }

    /// The directory of the state.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// The directory of the tentacles.
    pub fn tentacles(&self) -> &Path {
        &self.tentacles
    }

    /// The goal.
    pub fn goal(&self) -> PathBuf {
        self.state.join("goal.json")
    }

    /// Its lock.
    pub fn lock(&self) -> PathBuf {
        self.state.join("goal.json.lock")
    }

    /// A file of older entries.
    pub(crate) fn history(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// How to go on after the end of a session.
    pub fn breadcrumb(&self) -> PathBuf {
        self.state.join("goal-resume-breadcrumb.json")
    }

    /// A summary for whoever goes on.
    pub fn context(&self) -> PathBuf {
        self.state.join("goal-context.md")
    }

    /// Work that waits for a quota.
    pub fn retry_queue(&self) -> PathBuf {
        self.state.join("retry-queue.json")
    }

    /// What the workspace was when the session ended.
    pub fn workspace_digest(&self) -> PathBuf {
        self.state.join("workspace-digest.json")
    }

    /// A file of a tentacle. The name has to be checked before.
    pub fn tentacle(&self, name: &str, file: &str) -> PathBuf {
        self.tentacles.join(name).join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_is_beside_the_tentacles() {
        let place = Place::in_state_dir(Path::new("/r/.octogent"));
        assert_eq!(place.goal(), Path::new("/r/.octogent/goal.json"));
        assert_eq!(
            place.tentacle("a", "meta.json"),
            Path::new("/r/.octogent/tentacles/a/meta.json")
        );
        let named = Place::in_session_dir(Path::new("/s/x/tentacles"));
        assert_eq!(
            (named.state(), named.tentacles()),
            (Path::new("/s/x"), Path::new("/s/x/tentacles"))
        );
        let other = Place::in_session_dir(Path::new("/s/x"));
        assert_eq!(other.state(), Path::new("/s/x/files"));
        assert_eq!(other.tentacles(), Path::new("/s/x/files/tentacles"));
    }
}
