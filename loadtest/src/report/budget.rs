//! What a figure must keep to.

use serde_json::{Value, json};

use super::{Row, cell};

/// A bound on one column of those rows that are meant.
#[derive(Debug)]
pub(crate) struct Budget {
    /// The column.
    pub(crate) column: &'static str,
    pub(crate) bound: Bound,
    /// Columns and what they hold in the rows that are meant; none: all rows.
    pub(crate) of: &'static [(&'static str, &'static str)],
}

/// A bound, itself allowed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bound {
    Most(f64),
    Least(f64),
}

/// How the worst of those rows stands to it.
#[derive(Debug)]
pub(crate) struct Verdict<'a> {
    budget: &'a Budget,
    worst: f64,
    pub(crate) kept: bool,
}

impl Budget {
    /// At most so much.
    pub(crate) const fn most(
        column: &'static str,
        bound: f64,
        of: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            column,
            bound: Bound::Most(bound),
            of,
        }
    }

    /// At least so much.
    pub(crate) const fn least(
        column: &'static str,
        bound: f64,
        of: &'static [(&'static str, &'static str)],
    ) -> Self {
        Self {
            column,
            bound: Bound::Least(bound),
            of,
        }
    }

    /// Nothing where no row is meant: the run left that case out. A cell that is no number breaks it.
    pub(crate) fn judge(&self, rows: &[Row]) -> Option<Verdict<'_>> {
        let meant = |row: &&Row| {
            self.of
                .iter()
                .all(|(column, holds)| row.get(*column).is_some_and(|value| cell(value) == *holds))
        };
        let values = rows
            .iter()
            .filter(meant)
            .map(|row| row.get(self.column).and_then(Value::as_f64).unwrap_or(f64::NAN));
        let worst = values.reduce(|worst, value| match self.bound {
            _ if worst.is_nan() || value.is_nan() => f64::NAN,
            Bound::Most(_) => worst.max(value),
            Bound::Least(_) => worst.min(value),
        })?;
        let kept = match self.bound {
            Bound::Most(bound) => worst <= bound,
            Bound::Least(bound) => worst >= bound,
        };
        Some(Verdict {
            budget: self,
            worst,
            kept,
        })
    }
}

impl Verdict<'_> {
    /// In words: what, the bound, the worst.
    pub(crate) fn line(&self) -> String {
        let (sign, bound) = self.bound();
        let of = self
            .budget
            .of
            .iter()
            .map(|(column, holds)| format!("{column} {holds}"));
        let of: Vec<String> = of.collect();
        let of = if of.is_empty() {
            String::new()
        } else {
            format!(" ({})", of.join(", "))
        };
        let word = if self.kept { "kept" } else { "**broken**" };
        format!(
            "{}{of} {sign} {bound}: {} – {word}",
            self.budget.column, self.worst
        )
    }

    /// For the report's file.
    pub(crate) fn json(&self) -> Value {
        let (sign, bound) = self.bound();
        let of: serde_json::Map<String, Value> = self
            .budget
            .of
            .iter()
            .map(|(column, holds)| ((*column).to_owned(), json!(holds)))
            .collect();
        json!({ "column": self.budget.column, "of": of, "must be": sign, "bound": bound, "worst": self.worst, "kept": self.kept })
    }

    fn bound(&self) -> (&'static str, f64) {
        match self.budget.bound {
            Bound::Most(bound) => ("≤", bound),
            Bound::Least(bound) => ("≥", bound),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Budget;
    use crate::report::{Row, row};

    fn rows() -> Vec<Row> {
        [(1, json!(0.5)), (50, json!(3.0)), (200, json!(9.0))]
            .map(|(jobs, p99)| row([("jobs", json!(jobs)), ("p99 ms", p99)]))
            .into()
    }

    fn kept(budget: &Budget, rows: &[Row]) -> Option<bool> {
        budget.judge(rows).map(|verdict| verdict.kept)
    }

    #[test]
    fn the_worst_row_that_is_meant_counts() {
        assert_eq!(kept(&Budget::most("p99 ms", 9.0, &[]), &rows()), Some(true));
        assert_eq!(kept(&Budget::most("p99 ms", 8.9, &[]), &rows()), Some(false));
        let of_one = Budget::most("p99 ms", 1.0, &[("jobs", "1")]);
        assert_eq!(kept(&of_one, &rows()), Some(true));
        assert_eq!(kept(&Budget::least("p99 ms", 1.0, &[]), &rows()), Some(false));
    }

    #[test]
    fn what_was_not_measured_is_not_judged_and_what_is_no_number_is_broken() {
        assert_eq!(
            kept(&Budget::most("p99 ms", 1.0, &[("jobs", "7")]), &rows()),
            None
        );
        let mut rows = rows();
        rows[0]["p99 ms"] = Value::Null;
        assert_eq!(kept(&Budget::most("p99 ms", 10.0, &[]), &rows), Some(false));
        assert_eq!(kept(&Budget::least("gone", 10.0, &[]), &rows), Some(false));
    }
}
