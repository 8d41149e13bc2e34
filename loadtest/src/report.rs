//! Rows of figures as Markdown and JSON.

use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::{Outcome, clock, process};

/// One line of a table: columns in order, units in their names.
pub(crate) type Row = Map<String, Value>;

/// The figures of one scenario.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) scenario: &'static str,
    /// The goals the figures stand beside.
    pub(crate) goal: &'static str,
    pub(crate) rows: Vec<Row>,
    pub(crate) load_before: f64,
    pub(crate) load_after: f64,
}

/// A row of named values.
pub(crate) fn row<const N: usize>(cells: [(&str, Value); N]) -> Row {
    cells
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// `value` with `digits` behind the point.
pub(crate) fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10_f64.powi(digits);
    json!((value * scale).round() / scale)
}

/// Microseconds as milliseconds.
pub(crate) fn ms(micros: u64) -> Value {
    rounded(micros as f64 / 1_000.0, 2)
}

/// The table in Markdown.
pub(crate) fn markdown(table: &Table) -> String {
    let mut lines = vec![format!("### {}\n\nGoal: {}\n", table.scenario, table.goal)];
    let line = |cells: Vec<String>| format!("| {} |", cells.join(" | "));
    if let Some(first) = table.rows.first() {
        lines.push(line(first.keys().cloned().collect()));
        lines.push(line(first.keys().map(|_| "---".to_owned()).collect()));
    }
    for row in &table.rows {
        lines.push(line(row.values().map(cell).collect()));
    }
    let (before, after) = (table.load_before, table.load_after);
    lines.push(format!("\nLoad average {before} before, {after} after.\n"));
    lines.join("\n")
}

fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Writes the tables to stdout, and to `file` with the facts of the machine.
pub(crate) fn tell(tables: &[Table], server: &Value, file: &Path) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    for table in tables {
        writeln!(out, "{}", markdown(table))?;
    }
    let scenarios: Vec<Value> = tables
        .iter()
        .map(|table| {
            json!({
                "scenario": table.scenario, "goal": table.goal, "rows": table.rows,
                "load_average": [table.load_before, table.load_after],
            })
        })
        .collect();
    let whole = json!({
        "unix_seconds": clock::unix_seconds(), "machine": process::machine(), "server": server,
        "scenarios": scenarios,
    });
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(file, format!("{whole:#}\n"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Table, markdown, ms, row};

    #[test]
    fn a_table_has_a_head_and_its_rows() {
        let rows = vec![row([("jobs", json!(1)), ("p50 ms", ms(1_234))])];
        let table = Table {
            scenario: "latency",
            goal: "low",
            rows,
            load_before: 0.5,
            load_after: 1.0,
        };
        let text = markdown(&table);
        assert!(
            text.contains("| jobs | p50 ms |\n| --- | --- |\n| 1 | 1.23 |\n"),
            "{text}"
        );
    }
}
