//! `autonomy completions` and `autonomy man`.

use std::{
    fs,
    io::{self, Write as _},
};

use api::exit::Exit;

use clap_complete::Shell;

use crate::{
    args::{Completions, Man, command},
    commands::explain::explained_codes,
    failure::Failure,
    settings::keys,
};

const PROGRAM: &str = "autonomy";

pub(crate) fn completions(args: &Completions) -> Result<Exit, Failure> {
    // The generator knows no error of its output.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), PROGRAM, &mut text);
    if args.shell == Shell::Fish {
        text.extend_from_slice(fish_words().as_bytes());
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    Ok(Exit::Done)
}

/// What stands in no option is completed by bash and zsh; for fish it has to be said.
fn fish_words() -> String {
    let keys: Vec<_> = keys().collect();
    let codes: Vec<_> = explained_codes().collect();
    let seen = "__fish_seen_subcommand_from";
    format!(
        "complete -c {PROGRAM} -n \"{seen} config; and {seen} set get unset\" -f -a \"{}\"\n\
         complete -c {PROGRAM} -n \"{seen} explain\" -f -a \"{}\"\n",
        keys.join(" "),
        codes.join(" ")
    )
}

pub(crate) fn man(args: &Man) -> Result<Exit, Failure> {
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        clap_mangen::Man::new(command()).render(&mut page)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&page)?;
        stdout.flush()?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
    clap_mangen::generate_to(command(), dir)
        .map_err(|error| Failure::file("write into", dir, &error))?;
    Ok(Exit::Done)
}
