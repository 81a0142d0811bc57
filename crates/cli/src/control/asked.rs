//! Who was asked: what a message about somebody else who answered names.

/// Who was asked, as far as a message about somebody else names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    /// What should have answered.
    pub(super) what: Service,
    /// Its URL, fit for a message.
    pub(super) at: String,
    /// The same without the path that it has; `None` when it has none.
    pub(super) root: Option<String>,
}

/// A service that answers below `/v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    /// The control plane.
    ControlPlane,
    /// The runtime of a node.
    Runtime,
}

impl Service {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ControlPlane => "an autonomy control plane",
            Self::Runtime => "an autonomy runtime",
        }
    }

    const fn option(self) -> &'static str {
        match self {
            Self::ControlPlane => "--orchestrator-url",
            Self::Runtime => "--runtime-url",
        }
    }
}

impl Asked {
    /// What to do about somebody else who answers there.
    pub(super) fn hint(&self) -> String {
        let option = self.what.option();
        match &self.root {
            Some(root) => format!("the URL is the root, without a path: {option} {root}"),
            None => format!(
                "find out who has that port (autonomy doctor, ss -ltnp), or name another place: {option} URL"
            ),
        }
    }
}
