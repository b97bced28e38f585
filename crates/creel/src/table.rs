//! Tables for people: columns without borders, one line per object, sorted as the API sorts them.

use comfy_table::{Cell, ColumnConstraint, ContentArrangement, Table};

/// Rows below their headings. An empty cell shows as `-`, so that columns can be cut out by scripts that insist.
pub(crate) fn render(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headings.iter().map(Cell::new));
    for row in rows {
        table.add_row(row.iter().map(|text| Cell::new(one_line(text))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 3)).set_constraint(ColumnConstraint::ContentWidth);
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n")
}

fn one_line(text: &str) -> String {
    if text.is_empty() { "-".into() } else { text.replace(['\n', '\r', '\t'], " ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell_and_nothing_trails() {
        let rows = [
            vec!["first".into(), "Running".into(), String::new()],
            vec!["größer-noch".into(), "P\nQ".into(), "x".into()],
        ];
        assert_eq!(
            render(&["NAME", "PHASE", "NOTE"], &rows),
            "NAME          PHASE     NOTE\nfirst         Running   -\ngrößer-noch   P Q       x"
        );
    }
}
