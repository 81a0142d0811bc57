//! `autonomy completions` and `autonomy man`.

use std::{
    fs,
    io::{self, Write as _},
};

use api::exit::Exit;

use crate::{
    args::{Completions, Man, command},
    failure::Failure,
};

const PROGRAM: &str = "autonomy";

pub(crate) fn completions(args: &Completions) -> Result<Exit, Failure> {
    // The generator knows no error of its output.
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut command(), PROGRAM, &mut text);
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()?;
    Ok(Exit::Done)
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
