//! `autonomy`: every command of the operator. All of it is in the crate `cli`.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// A call makes some hundred small allocations, and what one thread allocates another one frees: the threads
/// of the standard allocator wait for each other there.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // What is no UTF-8 is there all the same: `run` sees it, and refuses it.
    let variable = |name: &str| std::env::var_os(name).map(|it| it.to_string_lossy().into_owned());
    let code = cli::run(std::env::args_os(), variable);
    ExitCode::from(code)
}
