//! The routes of the control plane.
//!
//! | module     | what it holds                                                              |
//! |------------|----------------------------------------------------------------------------|
//! | `table`    | every route and what it needs                                              |
//! | `gate`     | who asks, whether they may, what of that is on record                      |
//! | `ask`      | parameters, conditions, bodies                                             |
//! | `view`     | domain values as they go over the wire                                     |
//! | `rollouts` | plans                                                                      |
//! | `gates`    | gates                                                                      |
//! | `nodes`    | what nodes ask and say                                                     |
//! | `fleet`    | nodes and releases, as operators look at them                              |
//! | `ha`       | who leads, health                                                          |
//! | `audit`    | the audit trail                                                            |
//! | `rbac`     | roles, assignments, tokens                                                 |
//! | `metrics`  | metrics                                                                    |
//! | `openapi`  | the OpenAPI document                                                       |

pub(crate) mod ask;
pub(crate) mod audit;
pub(crate) mod fleet;
pub(crate) mod gate;
pub(crate) mod gates;
pub(crate) mod ha;
pub(crate) mod metrics;
pub(crate) mod nodes;
pub(crate) mod openapi;
pub(crate) mod rbac;
pub(crate) mod rollouts;
pub(crate) mod table;
pub(crate) mod view;

#[cfg(test)]
mod tests;
