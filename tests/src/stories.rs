//! What is told: each story is a function that starts real processes and checks what it sees.

pub mod attest;
mod causes;
mod collector;
mod control_plane;
mod databases;
pub mod demo;
mod disk;
pub mod drill;
pub mod fleet;
pub mod goals;
mod last_good;
mod narrator;
pub mod operators;
pub mod packs;
pub mod release;
mod replaced;
pub mod rollout_loop;
mod steps;
pub mod tutorial;
pub mod val;

pub use narrator::{Narrator, Verdicts};
