//! `autonomy`: every command of the operator. All of it is in the crate `cli`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let code = cli::run(std::env::args_os(), |name| std::env::var(name).ok());
    ExitCode::from(code)
}
