//! Where in a module something is, and how the engine says so.

use std::fmt;

use regorus::unstable::Span;

/// A place in a module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the file.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl Place {
    pub(crate) fn of(span: &Span) -> Self {
        Self { file: span.source.get_path().clone(), line: span.line, column: span.col.max(1) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What the engine reported: one line, and the place when it named one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) place: Option<Place>,
    pub(crate) message: String,
}

impl Report {
    /// Takes the report of the engine apart.
    ///
    /// The engine writes `--> file:line:column`, the line of the source with a caret under it, and
    /// `error: …`. What has another form is taken as it is, on one line.
    pub(crate) fn read(text: &str) -> Self {
        let place =
            text.split_once("--> ").and_then(|(_, rest)| rest.lines().next()).and_then(read_place);
        let message = match text.split_once("\nerror: ") {
            Some((_, message)) => message,
            None => text,
        };
        let message = message.split("\n--> ").next().unwrap_or_default();
        let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
        Self { place, message }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Some(place) => write!(f, "{place}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

fn read_place(text: &str) -> Option<Place> {
    let mut parts = text.rsplitn(3, ':');
    let column: u32 = parts.next()?.parse().ok()?;
    let line = parts.next()?.parse().ok()?;
    Some(Place { file: parts.next()?.to_owned(), line, column: column.max(1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_the_engine_is_taken_apart() {
        let mut engine = regorus::Engine::new();
        let error = engine
            .add_policy(
                "a:b/c.rego".to_owned(),
                "package autonomy\n\nallow if {\n  1 +\n}\n".into(),
            )
            .unwrap_err();
        let report = Report::read(&error.to_string());
        let place = report.place.clone().unwrap();
        assert_eq!((place.file.as_str(), place.line, place.column), ("a:b/c.rego", 5, 1));
        assert!(!report.message.is_empty() && !report.message.contains('\n'), "{report}");
        assert!(report.to_string().starts_with("a:b/c.rego:5:1: "), "{report}");
    }

    #[test]
    fn a_report_without_a_place_is_kept() {
        let report = Report::read("not a valid\n  rule path");
        assert_eq!(report, Report { place: None, message: "not a valid rule path".to_owned() });
    }
}
