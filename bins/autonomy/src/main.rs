//! `autonomy`: every command of the operator. All of it is in the crate `cli`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call makes some hundred small allocations, and what one thread allocates another one frees: the threads
/// of the standard allocator wait for each other there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    let code = cli::run(std::env::args_os(), |name| std::env::var(name).ok());
    ExitCode::from(code)
}
