//! Names of nodes: the rule of the control plane, for whoever gives a node its name.
//!
//! * **NN1** A node has a name that the control plane takes, in a path, in a plan and in an event id. One that it refuses
//!   makes a node that no plan reaches and whose telemetry nobody stores.

use std::fmt;

/// Longest name of a node, in bytes.
pub const NODE_LEN_MAX: usize = 128;

/// Why a text is no name of a node (NN1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeFlaw {
    /// Nothing in it.
    Empty,
    /// Longer than [`NODE_LEN_MAX`].
    TooLong {
        /// What it has, in bytes.
        len: usize,
    },
    /// `.` or `..`: a path that is made of it leads elsewhere.
    Dots,
    /// A character that no name has.
    Character {
        /// The first such character.
        found: char,
    },
}

impl NodeFlaw {
    /// The stable code of each.
    pub const CODE: &str = "BAD_NODE_ID";
    /// What an operator does next.
    pub const HINT: &str = "a node has 1 to 128 of A-Z a-z 0-9 . _ - as its name, as the control plane knows it and event ids begin with it";
}

impl fmt::Display for NodeFlaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::TooLong { len } => write!(f, "has {len} bytes, more than {NODE_LEN_MAX}"),
            Self::Dots => f.write_str("is no name in a path"),
            Self::Character { found } => write!(f, "contains {found:?}"),
        }
    }
}

/// What keeps a text from being the name of a node; `None` when it is one.
///
/// # Examples
///
/// ```
/// use api::node::{NodeFlaw, node_flaw};
///
/// assert_eq!(node_flaw("edge-1.site_b"), None);
/// assert_eq!(node_flaw("a\nb"), Some(NodeFlaw::Character { found: '\n' }));
/// ```
pub fn node_flaw(text: &str) -> Option<NodeFlaw> {
    if text.is_empty() {
        return Some(NodeFlaw::Empty);
    }
    if text.len() > NODE_LEN_MAX {
        return Some(NodeFlaw::TooLong { len: text.len() });
    }
    if matches!(text, "." | "..") {
        return Some(NodeFlaw::Dots);
    }
    text.chars().find(|it| !is_of_a_node(*it)).map(|found| NodeFlaw::Character { found })
}

/// The name of a node for a host: what no name has becomes `-`.
pub fn node_of_host(host: &str) -> String {
    let fitting = host.chars().map(|it| if is_of_a_node(it) { it } else { '-' });
    let name: String = fitting.take(NODE_LEN_MAX).collect();
    if node_flaw(&name).is_some() { "node".to_owned() } else { name }
}

const fn is_of_a_node(it: char) -> bool {
    it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_has_1_to_128_of_the_characters_of_names() {
        let longest = "n".repeat(NODE_LEN_MAX);
        for good in ["n", "edge-1", "A.b_c-9", longest.as_str()] {
            assert_eq!(node_flaw(good), None, "NN1 {good}");
        }
        for bad in ["", ".", "..", "a:b", "a b", "a\nb", "a\tb", "\u{7f}", "a/b", "ä"] {
            assert!(node_flaw(bad).is_some(), "NN1 {bad:?}");
        }
        let too_long = "n".repeat(NODE_LEN_MAX + 1);
        assert_eq!(node_flaw(&too_long), Some(NodeFlaw::TooLong { len: NODE_LEN_MAX + 1 }));
    }

    #[test]
    fn every_host_makes_a_node() {
        let long = "h".repeat(300);
        for host in ["", "..", "arm-7.site", "a:b", "mein rechner\n", "ü", &long] {
            assert_eq!(node_flaw(&node_of_host(host)), None, "NN1 {host:?}");
        }
        assert_eq!(node_of_host("arm-7.site"), "arm-7.site");
    }
}
