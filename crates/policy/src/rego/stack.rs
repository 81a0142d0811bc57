//! Enough stack for the engine, which calls itself.
//!
//! A stack that runs out ends the process, and nothing can catch that. The depth of every policy is
//! known and bounded before it is evaluated, so the need is known too: what fits the stack that any
//! thread has runs where it is, the rest gets a thread of its own for the moment.

use std::{io, thread};

/// Stack that callers of an evaluation must have left, in bytes.
pub const STACK_LEFT_MIN: usize = 512 << 10;

/// What one unit of depth takes at most, in bytes. Measured: less than half of it.
const STACK_PER_DEPTH: usize = if cfg!(debug_assertions) { 24 << 10 } else { 4 << 10 };

/// What everything takes that does not grow with the depth, in bytes.
const STACK_BASE: usize = 192 << 10;

/// Stack for the parser and the analysis, whose depth is bounded by the shape of a module.
pub(super) const COMPILE_STACK: usize = 32 << 20;

/// Returns what an evaluation of this depth takes, in bytes.
pub(super) fn need(depth: u32) -> usize {
    usize::try_from(depth)
        .unwrap_or(usize::MAX)
        .saturating_mul(STACK_PER_DEPTH)
        .saturating_add(STACK_BASE)
}

/// Runs `work` where at least `need` bytes of stack are left.
///
/// The outer error is that there is no thread; a panic of `work` is the inner one.
pub(super) fn run<T: Send>(
    need: usize,
    work: impl FnOnce() -> T + Send,
) -> io::Result<thread::Result<T>> {
    if need <= STACK_LEFT_MIN {
        let work = std::panic::AssertUnwindSafe(work);
        return Ok(std::panic::catch_unwind(work));
    }
    thread::scope(|scope| {
        let builder = thread::Builder::new().stack_size(need);
        Ok(builder.spawn_scoped(scope, work)?.join())
    })
}

/// Returns what a panic said.
pub(super) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it gave no reason")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_comes_back_with_its_text_from_here_and_from_there() {
        for need in [0, STACK_LEFT_MIN + 1] {
            assert_eq!(run(need, || 7).unwrap().unwrap(), 7);
            let panic = run(need, || panic!("broken {}", 1)).map(|it: thread::Result<()>| it);
            assert_eq!(panic_text(&*panic.unwrap().unwrap_err()), "broken 1");
        }
    }
}
