//! Names of entries.
//!
//! # Invariants
//!
//! * **N1** A name has 1 to [`PATH_LEN_MAX`] bytes of UTF-8 without control characters and
//!   backslashes, and components that are neither empty nor `.` nor `..`.
//! * **N2** Two names that differ in case only are the same name: on some file systems they are.
//!
//! A leading `/` and components `.` are taken off and remembered: `opa build` writes the one, `tar`
//! in the directory itself writes the other. Which bundles may have them is decided by
//! [`content`](super::content). Nothing is ever written under these names.

use std::fmt;

use super::BundleError;

/// Longest name of an entry in bytes.
pub const PATH_LEN_MAX: usize = 255;

/// A name that fulfils N1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryName {
    pub(super) path: String,
    /// Whether it started with a slash.
    pub(super) absolute: bool,
    /// Whether it had components `.`.
    pub(super) dotted: bool,
}

impl EntryName {
    /// Reads the name of an entry; `None` is the directory itself.
    pub(super) fn read(bytes: &[u8], is_dir: bool) -> Result<Option<Self>, BundleError> {
        let fail = |fault| {
            let name: String = String::from_utf8_lossy(bytes).chars().take(PATH_LEN_MAX).collect();
            Err(BundleError::BadPath { name: name.escape_debug().to_string(), fault })
        };
        if bytes.len() > PATH_LEN_MAX {
            return fail(PathFault::TooLong);
        }
        let Ok(text) = std::str::from_utf8(bytes) else {
            return fail(PathFault::NotUtf8);
        };
        if text.chars().any(|it| it.is_control() || it == '\\') {
            return fail(PathFault::Forbidden);
        }
        let (relative, absolute) = match text.strip_prefix('/') {
            Some(rest) => (rest, true),
            None => (text, false),
        };
        let relative =
            if is_dir { relative.strip_suffix('/').unwrap_or(relative) } else { relative };
        let mut components = Vec::new();
        let mut dotted = false;
        for component in relative.split('/') {
            match component {
                ".." => return fail(PathFault::Parent),
                "." => dotted = true,
                "" if is_dir && relative.is_empty() => {}
                "" => return fail(PathFault::Empty),
                component => components.push(component),
            }
        }
        match (components.is_empty(), is_dir) {
            (true, true) => Ok(None),
            (true, false) => fail(PathFault::Empty),
            (false, _) => Ok(Some(Self { path: components.join("/"), absolute, dotted })),
        }
    }

    /// Refuses a name from which something was taken off.
    pub(super) fn check_plain(&self) -> Result<(), BundleError> {
        match (self.absolute, self.dotted) {
            (true, _) => Err(self.fault(PathFault::Absolute)),
            (false, true) => Err(self.fault(PathFault::Dotted)),
            (false, false) => Ok(()),
        }
    }

    /// What is equal for equal names (N2).
    pub(super) fn folded(&self) -> String {
        self.path.to_lowercase()
    }

    pub(super) fn fault(&self, fault: PathFault) -> BundleError {
        let slash = if self.absolute { "/" } else { "" };
        BundleError::BadPath { name: format!("{slash}{}", self.path), fault }
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathFault {
    /// It starts with `/`.
    Absolute,
    /// It has a component `.`.
    Dotted,
    /// It has a component `..`.
    Parent,
    /// It has an empty component, or none.
    Empty,
    /// It has more than [`PATH_LEN_MAX`] bytes.
    TooLong,
    /// It is not UTF-8.
    NotUtf8,
    /// It has a control character or a backslash.
    Forbidden,
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Absolute => "is an absolute path",
            Self::Dotted => "has a component `.`",
            Self::Parent => "has a component `..`",
            Self::Empty => "has an empty component",
            Self::TooLong => "is a path that is too long",
            Self::NotUtf8 => "is a path that is not UTF-8",
            Self::Forbidden => "is a path with a control character or a backslash",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(bytes: &[u8], want: PathFault) {
        match EntryName::read(bytes, false) {
            Err(BundleError::BadPath { fault, .. }) => assert_eq!(fault, want, "{bytes:?}"),
            other => panic!("{bytes:?}: {other:?}"),
        }
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        refused(b"../x.rego", PathFault::Parent);
        refused(b"a/../x.rego", PathFault::Parent);
        refused(b"/../x.rego", PathFault::Parent);
        refused(b"a/..", PathFault::Parent);
        refused(b"", PathFault::Empty);
        refused(b"/", PathFault::Empty);
        refused(b".", PathFault::Empty);
        refused(b"a//b", PathFault::Empty);
        refused(b"//a", PathFault::Empty);
        refused(b"a/", PathFault::Empty);
        refused(b"a\\b", PathFault::Forbidden);
        refused(b"a\nb", PathFault::Forbidden);
        refused(b"a\0b", PathFault::Forbidden);
        refused("a\u{85}b".as_bytes(), PathFault::Forbidden);
        refused(b"\xff.rego", PathFault::NotUtf8);
        refused(&[b'a'; PATH_LEN_MAX + 1], PathFault::TooLong);
    }

    #[test]
    fn slashes_and_dots_in_front_are_taken_off_and_remembered() {
        let read = |text: &str| EntryName::read(text.as_bytes(), false).unwrap().unwrap();
        let name = read("a/b.rego");
        assert_eq!((name.path.as_str(), name.absolute, name.dotted), ("a/b.rego", false, false));
        let name = read("/a/b.rego");
        assert_eq!((name.path.as_str(), name.absolute, name.dotted), ("a/b.rego", true, false));
        let name = read("./a/./b.rego");
        assert_eq!((name.path.as_str(), name.absolute, name.dotted), ("a/b.rego", false, true));
        assert_eq!(read("A/ß.rego").folded(), read("a/ß.REGO").folded());
        for root in [&b"./"[..], b".", b"/", b""] {
            assert_eq!(EntryName::read(root, true), Ok(None));
        }
    }
}
