//! Embeds what is known about every code: the pages `docs/src/reference/causes/*.md`, and for codes
//! without one their row of `docs/src/reference/codes.md`.

use std::{
    collections::BTreeMap, env, error::Error, fmt::Write as _, fs, io::Write as _, path::Path,
};

/// A row of the index.
struct Row {
    code: String,
    /// The cells behind the code, with the heads of their columns, without Markdown.
    cells: Vec<(String, String)>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let here = env::var("CARGO_MANIFEST_DIR")?;
    // Links into the book, so that a package of this crate has the pages with it.
    let reference = Path::new(&here).join("reference");
    let (causes, index) = (reference.join("causes"), reference.join("codes.md"));
    watch(&causes)?;
    watch(&index)?;
    let mut pages = BTreeMap::new();
    for row in rows(&fs::read_to_string(&index)?) {
        let title = title(&row).ok_or_else(|| format!("{} has no meaning", row.code))?;
        let path = causes.join(format!("{}.md", row.code));
        let text = if path.exists() {
            watch(&path)?;
            fs::read_to_string(&path)?
        } else {
            short_page(&row)?
        };
        pages.insert(row.code, (title, text));
    }
    for entry in fs::read_dir(&causes)? {
        let path = entry?.path();
        let code = path.file_stem().and_then(|it| it.to_str()).ok_or("a page without a name")?;
        if !pages.contains_key(code) {
            return Err(format!("{code} is not in codes.md").into());
        }
    }
    let mut source = String::from("[\n");
    for (code, (title, text)) in &pages {
        writeln!(source, "    Page {{ code: {code:?}, title: {title:?}, text: {text:?} }},")?;
    }
    source.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("pages.rs"), source)?;
    Ok(())
}

fn watch(path: &Path) -> std::io::Result<()> {
    writeln!(std::io::stdout(), "cargo::rerun-if-changed={}", path.display())
}

/// Reads every row that defines a code.
fn rows(index: &str) -> Vec<Row> {
    let (mut heads, mut before, mut rows) = (Vec::new(), Vec::new(), Vec::new());
    for line in index.lines() {
        let cells = cells(line);
        if line.starts_with("|--") {
            heads = std::mem::take(&mut before);
        } else if let Some(code) = line.split("<a id=\"").nth(1).and_then(|it| it.split('"').next())
        {
            let named = heads.iter().cloned().zip(cells).skip(1).collect();
            rows.push(Row { code: code.to_owned(), cells: named });
        } else {
            before = cells;
        }
    }
    rows
}

fn cells(line: &str) -> Vec<String> {
    let inner = line.trim().trim_start_matches('|').trim_end_matches('|');
    inner.split('|').map(|it| it.trim().replace('`', "")).collect()
}

/// The meaning in one line.
fn title(row: &Row) -> Option<String> {
    let meaning = row.cells.iter().find(|(head, _)| head == "meaning")?;
    Some(meaning.1.clone())
}

/// What the row says, as a page.
fn short_page(row: &Row) -> Result<String, std::fmt::Error> {
    let mut text = format!("# {}\n", row.code);
    for (head, cell) in &row.cells {
        write!(text, "\n{head}: {cell}\n")?;
    }
    Ok(text)
}
