//! Embeds the page of every code: `docs/src/reference/causes/*.md`, with the one-line meanings of
//! `docs/src/reference/codes.md`. A page that is added is embedded by the next build.

use std::{
    collections::BTreeMap, env, error::Error, fmt::Write as _, fs, io::Write as _, path::Path,
};

fn main() -> Result<(), Box<dyn Error>> {
    let here = env::var("CARGO_MANIFEST_DIR")?;
    let reference = Path::new(&here).join("../../docs/src/reference").canonicalize()?;
    let (causes, index) = (reference.join("causes"), reference.join("codes.md"));
    for watched in [&causes, &index] {
        writeln!(std::io::stdout(), "cargo::rerun-if-changed={}", watched.display())?;
    }
    let meanings = fs::read_to_string(&index)?;
    let mut pages = BTreeMap::new();
    for entry in fs::read_dir(&causes)? {
        let path = entry?.path();
        let code = path.file_stem().and_then(|it| it.to_str()).ok_or("a page without a name")?;
        let title = meaning(&meanings, code).ok_or_else(|| format!("{code} is not in codes.md"))?;
        pages.insert(code.to_owned(), (title, fs::read_to_string(&path)?));
    }
    let mut source = String::from("[\n");
    for (code, (title, text)) in &pages {
        writeln!(source, "    Page {{ code: {code:?}, title: {title:?}, text: {text:?} }},")?;
    }
    source.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), source)?;
    Ok(())
}

/// The last cell of the row that defines `code`, without Markdown.
fn meaning(index: &str, code: &str) -> Option<String> {
    let anchor = format!("<a id=\"{code}\">");
    let row = index.lines().find(|it| it.starts_with('|') && it.contains(&anchor))?;
    let cell = row.trim_end_matches('|').rsplit('|').next()?;
    Some(cell.trim().replace('`', ""))
}
