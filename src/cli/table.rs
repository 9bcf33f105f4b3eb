//! Vault's tables: columns four spaces apart, the header underlined with dashes, `n/a` where there is nothing.

use std::fmt;

use super::clean::for_cell;

/// Rows of cells below a header.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Returns a table without rows.
    pub(super) fn new(header: &[&str]) -> Self {
        let underline = header.iter().map(|title| "-".repeat(title.len())).collect();
        Self { rows: vec![header.iter().map(|title| (*title).to_owned()).collect(), underline] }
    }

    /// Adds a row. Vault trims cells, so that a blank one counts as empty. Nothing in a cell controls a terminal.
    pub(super) fn row<T: Into<String>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let cell = |cell: T| match cell.into().trim() {
            "" => "n/a".to_owned(),
            text => for_cell(text),
        };
        self.rows.push(cells.into_iter().map(cell).collect());
    }

    /// Returns whether nothing stands below the header.
    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() <= 2
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for (number, row) in self.rows.iter().enumerate() {
            if number > 0 {
                f.write_str("\n")?;
            }
            let Some((last, before)) = row.split_last() else { continue };
            for (cell, width) in before.iter().zip(&widths) {
                write!(f, "{cell:width$}    ")?;
            }
            f.write_str(last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_empty_cells_marked() {
        let mut table = Table::new(&["Path", "Type", "Description"]);
        table.row(["secret/", "kv", ""]);
        table.row(["ü/", "passthrough", "  two words "]);
        table.row(["\x1b[2J/", "\u{9b}31m", "two\nlines"]);
        let expected = "Path        Type           Description\n\
                        ----        ----           -----------\n\
                        secret/     kv             n/a\n\
                        ü/          passthrough    two words\n\
                        \\x1b[2J/    \\u{9b}31m      two\\nlines";
        assert_eq!(table.to_string(), expected);
    }

    #[test]
    fn a_header_may_stand_alone() {
        let table = Table::new(&["Name", "Version"]);
        assert!(table.is_empty());
        assert_eq!(table.to_string(), "Name    Version\n----    -------");
    }
}
