//! A scenario's table in Markdown.

use serde_json::Value;

use super::{PROCESSES, Row, Table, cell};

/// The rows, the processes behind them, the budgets, and how busy the machine was.
pub(crate) fn markdown(table: &Table) -> String {
    let mut text = format!("### {}\n\n{}\n\n", table.scenario, table.about);
    let measured: Vec<Row> = table.rows.iter().map(without_processes).collect();
    text += &grid(&measured);
    let processes: Vec<Row> = table
        .rows
        .iter()
        .flat_map(|row| process_rows(row, table.keys))
        .collect();
    if !processes.is_empty() {
        text += "\n";
        text += &grid(&processes);
    }
    let verdicts = table
        .budgets
        .iter()
        .filter_map(|budget| budget.judge(&table.rows));
    let lines: Vec<String> = verdicts
        .map(|verdict| format!("- {}\n", verdict.line()))
        .collect();
    if !lines.is_empty() {
        text += "\n";
        text += &lines.concat();
    }
    text + &format!("\n{}\n", table.weather.line())
}

/// Rows under the columns of the first that has each; what a row does not have is a dash.
fn grid(rows: &[Row]) -> String {
    let mut columns: Vec<&String> = Vec::new();
    for name in rows.iter().flat_map(Row::keys) {
        if !columns.contains(&name) {
            columns.push(name);
        }
    }
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(columns.iter().map(|name| (*name).clone()).collect());
    text += &line(columns.iter().map(|_| "---".to_owned()).collect());
    for row in rows {
        let cells = columns
            .iter()
            .map(|name| row.get(*name).map_or("–".to_owned(), cell));
        text += &line(cells.collect());
    }
    text
}

fn without_processes(row: &Row) -> Row {
    let cells = row.iter().filter(|(name, _)| *name != PROCESSES);
    cells.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// One row a process, behind the columns that name the case.
fn process_rows(row: &Row, keys: &[&str]) -> Vec<Row> {
    let processes = row
        .get(PROCESSES)
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    let with_keys = |process: &Value| {
        let named = keys
            .iter()
            .filter_map(|key| row.get(*key).map(|value| ((*key).to_owned(), value.clone())));
        let of_process = process.as_object().cloned().unwrap_or_default();
        named.chain(of_process).collect()
    };
    processes.iter().map(with_keys).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::markdown;
    use crate::report::{Budget, Table, ms, row};
    use crate::weather::Weather;

    const BUDGETS: &[Budget] = &[Budget::most("p50 ms", 1.0, &[])];

    #[test]
    fn a_table_has_a_head_its_rows_its_processes_and_its_budgets() {
        let processes = json!([{ "process": "serve 1", "CPU s": 0.5 }]);
        let table = Table {
            scenario: "latency".to_owned(),
            about: "How late.",
            keys: &["jobs"],
            budgets: BUDGETS,
            rows: vec![row([
                ("jobs", json!(1)),
                ("p50 ms", ms(1_234)),
                ("processes", processes),
            ])],
            weather: Weather::default(),
        };
        let text = markdown(&table);
        for part in [
            "| jobs | p50 ms |\n| --- | --- |\n| 1 | 1.23 |\n",
            "| jobs | process | CPU s |\n| --- | --- | --- |\n| 1 | serve 1 | 0.5 |\n",
            "- p50 ms ≤ 1: 1.23 – **broken**\n",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(table.broken(), 1);
    }
}
