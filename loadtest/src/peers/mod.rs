//! The peers, side by side with livedraft in the same window: the ratio table.

mod cases;
mod queue;
mod socket;
mod system;

use serde_json::json;

use self::cases::Case;
use self::system::{Installed, PEERS};
use crate::Outcome;
use crate::cli::PeersArgs;
use crate::report::{self, Row, Table, rounded};
use crate::weather::Watch;

/// The column of multiples.
const RATIO: &str = "times livedraft";

/// The cases, in the order in which they are run; within one the systems take turns.
const CASES: [Case; 6] = [
    Case::Document(20),
    Case::Paced(1, 0),
    Case::Paced(8, 33),
    Case::Fanout(100),
    Case::Fanout(1_000),
    Case::Idle(1_000),
];

/// Installs, runs, prints, writes.
pub(crate) async fn run(args: &PeersArgs) -> Outcome<bool> {
    let installed = Installed::install(&args.server)?;
    let mut tables = Vec::new();
    for case in CASES {
        let watch = Watch::begin();
        let mut rows = Vec::new();
        for peer in PEERS {
            rows.push(case.row(peer, &installed, args.seconds).await);
        }
        put_ratios(&mut rows, case.measure());
        tables.push(table(case.name(), rows, watch));
    }
    let watch = Watch::begin();
    let mut rows = queue::rows(&installed).await?;
    put_ratios(&mut rows, "jobs/s");
    tables.push(table("empty jobs, claimed and finished".to_owned(), rows, watch));
    let about = json!({ "engines": ["fleet"], "seconds": args.seconds });
    report::tell(&tables, &about, &args.out)?;
    // A peer that could not be measured is a gap in the table, ours is a failure.
    let ours_failed = |table: &Table| table.rows.first().is_some_and(|row| row.contains_key("remark"));
    Ok(!tables.iter().any(ours_failed))
}

fn table(scenario: String, rows: Vec<Row>, watch: Watch) -> Table {
    Table {
        scenario,
        about: "One gateway, one worker, one Redis that keeps nothing; CPU of all of them. The first row is livedraft's.",
        keys: &["peer"],
        budgets: &[],
        rows,
        weather: watch.end(),
    }
}

/// Each row's figure over that of the first.
fn put_ratios(rows: &mut [Row], column: &str) {
    let first = rows.first().and_then(|row| row.get(column)?.as_f64());
    for row in rows {
        let own = row.get(column).and_then(serde_json::Value::as_f64);
        if let (Some(first), Some(own)) = (first, own) {
            row.shift_insert(1, RATIO.to_owned(), rounded(own / first, 2));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{RATIO, put_ratios};
    use crate::report::row;

    #[test]
    fn what_was_not_measured_has_no_ratio() {
        let mut rows = [
            row([("peer", json!("livedraft")), ("CPU s", json!(0.2))]),
            row([("peer", json!("relay")), ("CPU s", json!(0.5))]),
            row([("peer", json!("other")), ("remark", json!("not done"))]),
        ];
        put_ratios(&mut rows, "CPU s");
        assert_eq!(rows[0][RATIO], 1.0);
        assert_eq!(rows[1][RATIO], 2.5);
        assert!(!rows[2].contains_key(RATIO));
    }
}
