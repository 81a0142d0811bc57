//! `autonomy completions` and `autonomy man`.

use std::{
    fs,
    io::{self, Write as _},
    path::Path,
};

use api::exit::Exit;

use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man as Page;
use vfs::{NotOwn, OsVfs, replace};

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
        Page::new(command()).render(&mut page)?;
        let mut stdout = io::stdout().lock();
        stdout.write_all(&page)?;
        stdout.flush()?;
        return Ok(Exit::Done);
    };
    fs::create_dir_all(dir).map_err(|error| Failure::file("make", dir, &error))?;
    let mut program = command().disable_help_subcommand(true);
    program.build();
    pages(&program, dir)?;
    Ok(Exit::Done)
}

/// Writes the pages of a command and of all below it.
fn pages(command: &Command, dir: &Path) -> Result<(), Failure> {
    for below in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        pages(below, dir)?;
    }
    let page = Page::new(command.clone());
    let mut text = Vec::new();
    page.render(&mut text)?;
    let path = dir.join(page.get_filename());
    write_page(&path, &text).map_err(|error| Failure::file("write", &path, &error))
}

/// Writes a page in the place of an older one, and of nothing else: neither through a link nor into a pipe.
fn write_page(path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => return Err(NotOwn::Link.into()),
        Ok(found) if !found.is_file() => {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    replace(&OsVfs, path, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_take_the_place_of_older_ones_and_of_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let program = Command::new("p").subcommand(Command::new("a")).subcommand(Command::new("b"));
        let mut program = program.disable_help_subcommand(true);
        program.build();
        fs::write(at("p-a.1"), "old").unwrap();
        pages(&program, dir.path()).unwrap();
        let mut names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|it| it.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["p-a.1", "p-b.1", "p.1"]);
        assert!(fs::read_to_string(at("p-a.1")).unwrap().contains(".TH"));
        let victim = at("victim");
        fs::write(&victim, "precious").unwrap();
        fs::remove_file(at("p-b.1")).unwrap();
        std::os::unix::fs::symlink(&victim, at("p-b.1")).unwrap();
        let failure = pages(&program, dir.path()).unwrap_err();
        assert!(failure.message.ends_with("p-b.1"), "{failure:?}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        fs::remove_file(at("p-b.1")).unwrap();
        nix::unistd::mkfifo(&at("p-b.1"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let failure = pages(&program, dir.path()).unwrap_err();
        assert_eq!(failure.cause, ["it is no regular file"], "and nobody waits for a reader");
    }
}
