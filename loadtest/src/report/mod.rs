//! Rows of figures, as Markdown and as JSON, beside the budgets they are held to.

mod budget;
mod compare;
mod markdown;

use std::io::Write as _;
use std::path::Path;

use serde_json::{Map, Value, json};

pub(crate) use budget::Budget;
pub(crate) use compare::compare;
pub(crate) use markdown::markdown;

use crate::weather::Weather;
use crate::{Outcome, clock, process};

/// One line of a table: columns in order, units in their names. A cell `processes` is a table of its own.
pub(crate) type Row = Map<String, Value>;

/// The column that tells what each process spent and holds.
pub(crate) const PROCESSES: &str = "processes";

/// The figures of one scenario.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) scenario: String,
    /// What the figures are about, in a sentence.
    pub(crate) about: &'static str,
    /// The columns that name a row; all else is measured.
    pub(crate) keys: &'static [&'static str],
    pub(crate) budgets: &'static [Budget],
    pub(crate) rows: Vec<Row>,
    pub(crate) weather: Weather,
}

impl Table {
    /// How many budgets are not kept.
    pub(crate) fn broken(&self) -> usize {
        let verdicts = self.budgets.iter().filter_map(|budget| budget.judge(&self.rows));
        verdicts.filter(|verdict| !verdict.kept).count()
    }

    fn json(&self) -> Value {
        let verdicts = self.budgets.iter().filter_map(|budget| budget.judge(&self.rows));
        let verdicts: Vec<Value> = verdicts.map(|verdict| verdict.json()).collect();
        json!({
            "scenario": self.scenario, "about": self.about, "keys": self.keys, "rows": self.rows,
            "budgets": verdicts, "weather": self.weather.json(),
        })
    }
}

/// A row of named values.
pub(crate) fn row<const N: usize>(cells: [(&str, Value); N]) -> Row {
    cells
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

/// `value` with `digits` behind the point; what is no number (nothing over nothing) is `null`.
pub(crate) fn rounded(value: f64, digits: i32) -> Value {
    let scale = 10_f64.powi(digits);
    json!((value * scale).round() / scale)
}

/// Microseconds as milliseconds.
pub(crate) fn ms(micros: u64) -> Value {
    rounded(micros as f64 / 1_000.0, 2)
}

/// Writes the tables to stdout, to `file` with the facts of the machine, and beside it in Markdown.
pub(crate) fn tell(tables: &[Table], server: &Value, file: &Path) -> Outcome<()> {
    let machine = process::machine();
    let texts: Vec<String> = tables.iter().map(markdown).collect();
    let text = texts.join("\n");
    writeln!(std::io::stdout().lock(), "{text}")?;
    let scenarios: Vec<Value> = tables.iter().map(Table::json).collect();
    let whole = json!({
        "unix_seconds": clock::unix_seconds(), "machine": machine, "server": server, "scenarios": scenarios,
    });
    std::fs::create_dir_all(file.parent().unwrap_or(Path::new(".")))?;
    std::fs::write(file, format!("{whole:#}\n"))?;
    let about = format!("Machine: {machine}\nSystem: {server}\n\n");
    std::fs::write(file.with_extension("md"), about + &text)?;
    Ok(())
}

/// The text of a cell.
fn cell(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
