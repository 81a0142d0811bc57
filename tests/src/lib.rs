//! Stories that run real processes.
