//! What is told: each story is a function that starts real processes and checks what it sees.

mod collector;
pub mod demo;
mod disk;
pub mod drill;
pub mod fleet;
mod narrator;
pub mod release;
mod replaced;
pub mod rollout_loop;
pub mod tutorial;

pub use narrator::{Narrator, Verdicts};
