//! Tables for people.
//!
//! Columns are as wide as their widest cell: nothing is cut. What a terminal would obey is shown instead,
//! and an empty cell is a dash, so that columns can be counted by a script.

use std::{borrow::Cow, io, io::Write};

use crate::printable::printable;

/// What stands between two columns.
const GAP: &str = "  ";
/// What stands for nothing.
const NOTHING: &str = "-";

/// Rows below a head.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Begins a table; `head` has the names of the columns, separated by spaces.
    pub(crate) fn new(head: &str) -> Self {
        Self { rows: vec![head.split(' ').map(str::to_owned).collect()] }
    }

    /// Adds a row.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        let shown = |it: &str| match printable(it) {
            Cow::Borrowed("") => NOTHING.to_owned(),
            it => it.into_owned(),
        };
        self.rows.push(cells.into_iter().map(shown).collect());
    }

    /// Writes it.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|it| it.get(column));
            cells.map(|it| it.chars().count()).max().unwrap_or_default()
        };
        let widths: Vec<_> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(cell);
                line.extend(std::iter::repeat_n(' ', width.saturating_sub(cell.chars().count())));
                line.push_str(GAP);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// The text of something that may not be there.
pub(crate) fn optional(text: Option<&String>) -> &str {
    text.map_or("", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_is_obeyed_or_cut() {
        let mut table = Table::new("A LONG_NAME C");
        table.row(["1", "", "x"]);
        table.row(["grün", "\u{1b}[2J", "a very long cell that is not cut"]);
        let mut out = Vec::new();
        table.write(&mut out).unwrap();
        let want = "\
A     LONG_NAME  C
1     -          x
grün  \\u{1b}[2J  a very long cell that is not cut
";
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }
}
