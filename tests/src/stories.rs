//! What is told: each story is a function that starts real processes and checks what it sees.

pub mod demo;
mod narrator;
pub mod tutorial;

pub use narrator::{Narrator, Verdicts};
