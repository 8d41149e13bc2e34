//! Two reports side by side.

use std::fs::read_to_string;
use std::path::Path;

use serde_json::Value;

use super::{PROCESSES, Row, cell, rounded};
use crate::Outcome;

/// The measured columns of all rows that both reports have, each with its ratio; and how many figures that a budget
/// bounds are worse in the second by more than `times`.
pub(crate) fn compare(first: &Path, second: &Path, times: f64) -> Outcome<(String, usize)> {
    let read = |path: &Path| -> Outcome<Value> {
        let text = read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        serde_json::from_str(&text).map_err(|error| format!("{}: {error}", path.display()).into())
    };
    compared(&read(first)?, &read(second)?, times)
}

fn compared(first: &Value, second: &Value, times: f64) -> Outcome<(String, usize)> {
    let (mut text, mut worse, mut found) = (String::new(), 0, false);
    for scenario in list(second, "scenarios") {
        let same = |one: &&Value| one["scenario"] == scenario["scenario"];
        let Some(earlier) = list(first, "scenarios").iter().find(same) else {
            continue;
        };
        text += &format!(
            "### {}\n\n| row | column | A | B | B over A |\n| --- | --- | --- | --- | --- |\n",
            cell(&scenario["scenario"])
        );
        let keys: Vec<&str> = list(scenario, "keys").iter().filter_map(Value::as_str).collect();
        for row in list(scenario, "rows").iter().filter_map(Value::as_object) {
            let name = name_of(row, &keys);
            let rows = list(earlier, "rows").iter().filter_map(Value::as_object);
            let Some(before) = rows.into_iter().find(|before| name_of(before, &keys) == name) else {
                continue;
            };
            found = true;
            for (column, a, b) in measured(before, row, &keys) {
                let is_worse = is_worse(scenario, column, row, a, b, times);
                worse += usize::from(is_worse);
                let mark = if is_worse { " **worse**" } else { "" };
                text += &format!(
                    "| {name} | {column} | {a} | {b} | {}{mark} |\n",
                    rounded(b / a, 2)
                );
            }
        }
        text += "\n";
    }
    if !found {
        return Err("the two reports have no row in common".into());
    }
    Ok((text, worse))
}

/// The numbers that both rows have.
fn measured<'a>(
    before: &'a Row,
    after: &'a Row,
    keys: &'a [&str],
) -> impl Iterator<Item = (&'a str, f64, f64)> {
    after.iter().filter_map(|(column, value)| {
        let is_measured = !keys.contains(&column.as_str()) && column != PROCESSES;
        let both = (before.get(column)?.as_f64()?, value.as_f64()?);
        is_measured.then_some((column.as_str(), both.0, both.1))
    })
}

/// Whether a column that a budget bounds in this row has gone to the bad side.
fn is_worse(scenario: &Value, column: &str, row: &Row, a: f64, b: f64, times: f64) -> bool {
    let bounds = list(scenario, "budgets").iter().filter(|budget| {
        let of = budget["of"].as_object();
        let meant = of.is_none_or(|of| {
            of.iter()
                .all(|(key, holds)| row.get(key).is_some_and(|value| cell(value) == cell(holds)))
        });
        budget["column"] == column && meant
    });
    bounds.into_iter().any(|budget| match budget["must be"].as_str() {
        Some("≤") => b > a * times,
        _ => b < a / times,
    })
}

fn name_of(row: &Row, keys: &[&str]) -> String {
    let words = keys
        .iter()
        .filter_map(|key| row.get(*key).map(|value| format!("{key} {}", cell(value))));
    words.collect::<Vec<_>>().join(", ")
}

fn list<'a>(value: &'a Value, member: &str) -> &'a [Value] {
    value[member].as_array().map_or(&[], Vec::as_slice)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::compared;

    fn report(p99: f64, rate: f64) -> Value {
        json!({ "scenarios": [{
            "scenario": "latency", "keys": ["jobs"],
            "rows": [{ "jobs": 1, "p99 ms": p99, "jobs/s": rate, "engine": "embedded" }],
            "budgets": [
                { "column": "p99 ms", "of": { "jobs": "1" }, "must be": "≤", "bound": 3.0 },
                { "column": "jobs/s", "of": {}, "must be": "≥", "bound": 10.0 },
            ],
        }] })
    }

    #[test]
    fn rows_of_the_same_name_stand_side_by_side() {
        let (text, worse) = compared(&report(2.0, 100.0), &report(3.0, 90.0), 1.2).unwrap();
        assert!(
            text.contains("| jobs 1 | p99 ms | 2 | 3 | 1.5 **worse** |"),
            "{text}"
        );
        assert!(text.contains("| jobs 1 | jobs/s | 100 | 90 | 0.9 |"), "{text}");
        assert_eq!(worse, 1);
    }

    #[test]
    fn reports_of_different_things_are_not_compared() {
        compared(&json!({ "scenarios": [] }), &report(1.0, 1.0), 1.2).unwrap_err();
    }
}
