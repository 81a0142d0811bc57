//! Who may do what: identities, roles, tokens, the decision.
//!
//! | module       | what it holds                                                                |
//! |--------------|------------------------------------------------------------------------------|
//! | `permission` | everything that may be asked for, by name                                    |
//! | `role`       | predefined roles, and what a role may be                                     |
//! | `subject`    | who somebody is: a checked name; who may act for a node                      |
//! | `token`      | bearer tokens: how they look and what is kept of them                        |
//! | `access`     | roles, assignments and tokens as one document, and how it is changed         |
//! | `identity`   | who a caller is, from the headers and the certificate                        |
//! | `certificate`| the subject that a client certificate names                                  |
//! | `slow`       | the brake on whoever tries credentials                                       |
//! | `switches`   | what the environment of the server says about enforcement                    |
//! | `decide`     | the table: who may do what                                                   |
//! | `event`      | names of the events in the audit trail                                       |
//! | `file`       | the document on the disk                                                     |
//!
//! Nothing here reads a clock, the environment or a source of randomness, and only `file` touches a disk,
//! through `vfs`. The order of a request is: `identify`, `claimed`, `decide`, the event; and for a change:
//! `Access::apply`, the event, `file::save`, and only then the new state counts.

pub(crate) mod access;
pub(crate) mod certificate;
pub(crate) mod decide;
pub(crate) mod event;
pub(crate) mod file;
pub(crate) mod identity;
pub(crate) mod permission;
pub(crate) mod role;
pub(crate) mod slow;
pub(crate) mod subject;
pub(crate) mod switches;
pub(crate) mod token;

#[cfg(test)]
mod tests;
