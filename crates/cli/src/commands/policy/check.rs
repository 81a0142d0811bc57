//! `autonomy policy check`: everything that is wrong with the files of a policy.

use std::io::{self, Write};

use api::exit::Exit;
use policy::{Finding, Severity, findings};
use serde::Serialize;

use super::sources::Found;
use crate::{
    args::{Output, PolicyCheck},
    commands::print_json,
    counted::counted,
    failure::Failure,
    printable::printable,
};

#[derive(Serialize)]
struct Shown<'a> {
    severity: &'static str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    message: &'a str,
    /// The line of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<&'a str>,
}

#[derive(Serialize)]
struct Summary {
    files: usize,
    errors: usize,
    warnings: usize,
}

pub(super) fn check(args: &PolicyCheck) -> Result<Exit, Failure> {
    let found = Found::read(&args.paths)?;
    let all = findings(&found.files);
    let errors = all.iter().filter(|it| it.severity == Severity::Error).count();
    let summary = Summary { files: found.files.len(), errors, warnings: all.len() - errors };
    let lines = all.iter().map(|it| line(it, &found));
    match args.output.output {
        Output::Json => {
            for line in lines {
                print_json(&line)?;
            }
            print_json(&summary)?;
        }
        Output::Text => {
            let mut stdout = io::stdout().lock();
            for line in lines {
                print(&mut stdout, &line)?;
            }
            writeln!(stdout, "{}", told(&summary))?;
            stdout.flush()?;
        }
    }
    match errors {
        0 => Ok(Exit::Done),
        _ => Err(Failure::new(Exit::Integrity, "POLICY_FAULTY", "the files make no policy")
            .hint("correct what is listed; policy build refuses the same")),
    }
}

fn told(summary: &Summary) -> String {
    let Summary { files, errors, warnings } = *summary;
    [(files, "file"), (errors, "error"), (warnings, "warning")]
        .map(|(number, noun)| counted(number, noun))
        .join(", ")
}

fn line<'a>(finding: &'a Finding, found: &'a Found) -> Shown<'a> {
    let name = finding.file.as_deref();
    let path = name.and_then(|it| found.paths.get(it));
    let place = finding.place.as_ref();
    let text = name.and_then(|it| found.files.get(it)).and_then(|it| std::str::from_utf8(it).ok());
    let index = place.and_then(|it| usize::try_from(it.line).ok()?.checked_sub(1));
    Shown {
        severity: finding.severity.as_str(),
        code: finding.code,
        file: path.map(|it| it.display().to_string()).or_else(|| finding.file.clone()),
        line: place.map(|it| it.line),
        column: place.map(|it| it.column),
        message: &finding.message,
        source: text.zip(index).and_then(|(text, index)| text.lines().nth(index)),
    }
}

/// The place, what is wrong, and the line with a caret under the column.
fn print(out: &mut impl Write, line: &Shown<'_>) -> io::Result<()> {
    if let Some(file) = &line.file {
        write!(out, "{}:", printable(file))?;
        if let (Some(line), Some(column)) = (line.line, line.column) {
            write!(out, "{line}:{column}:")?;
        }
        write!(out, " ")?;
    }
    writeln!(out, "{}: {} ({})", line.severity, printable(line.message), line.code)?;
    if let (Some(number), Some(column), Some(source)) = (line.line, line.column, line.source) {
        // One character stays one: a tab would move the caret, and others more than that.
        let plain = |it: char| if it.is_control() { ' ' } else { it };
        let source: String = source.chars().map(plain).collect();
        let number = number.to_string();
        let before = usize::try_from(column).unwrap_or(1).saturating_sub(1);
        writeln!(out, "  {number} | {}", printable(&source))?;
        writeln!(out, "  {:width$} | {:before$}^", "", "", width = number.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_kind_is_counted_in_the_singular() {
        let summary = |files, errors, warnings| told(&Summary { files, errors, warnings });
        assert_eq!(summary(1, 1, 1), "1 file, 1 error, 1 warning");
        assert_eq!(summary(2, 0, 3), "2 files, 0 errors, 3 warnings");
    }

    #[test]
    fn the_caret_stands_under_the_column() {
        let line = Shown {
            severity: "error",
            code: "rego_syntax",
            file: Some("p/a.rego".to_owned()),
            line: Some(12),
            column: Some(3),
            message: "what is that",
            source: Some("\tx y"),
        };
        let mut out = Vec::new();
        print(&mut out, &line).unwrap();
        let text = String::from_utf8(out).unwrap();
        let want = "p/a.rego:12:3: error: what is that (rego_syntax)\n  12 |  x y\n     |   ^\n";
        assert_eq!(text, want);
    }
}
