//! What every viewer saw, and whether they hold the same.

use crate::cli::outline::prose;
use crate::cli::paint::{Row, Tone};
use crate::cli::screen::{Screen, WIDTH};
use crate::cli::words;
use crate::client::Follower;
use crate::job::Outcome;
use crate::partial::Value;

/// The viewers of one scene after its end.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) title: &'static str,
    pub(super) viewers: Vec<Follower>,
}

const COLUMNS: [(&str, usize); 9] = [
    ("job", 4),
    ("viewer", 7),
    ("frames", 8),
    ("bytes", 9),
    ("seq", 10),
    ("snapshots", 11),
    ("resumed", 9),
    ("lost", 6),
    ("duplicated", 12),
];

impl Seen {
    /// Whether every viewer reached a completed end with the same value, nothing lost and nothing twice.
    pub(super) fn agrees(&self) -> bool {
        let values = || self.viewers.iter().map(plain);
        let completed = |viewer: &Follower| {
            let tally = viewer.tally();
            viewer.end().is_some_and(|end| end.outcome == Outcome::Completed)
                && tally.lost == 0
                && tally.duplicated == 0
        };
        self.viewers.iter().all(completed)
            && values().all(|value| value.is_some() && Some(value) == values().next())
    }

    /// The job's id.
    pub(super) fn job_id(&self) -> Option<&str> {
        self.viewers.first().and_then(Follower::job_id)
    }
}

/// The value without the order of its members: a null-filled look has the schema's, the others that of arrival. What
/// the order of the log is was checked by the hash in the end.
fn plain(viewer: &Follower) -> Option<serde_json::Value> {
    viewer
        .value()
        .and_then(|value| serde_json::from_str(&value.to_json()).ok())
}

/// The table, and a verdict a job.
pub(super) fn print(screen: &mut Screen, seen: &[Seen]) {
    let cells = |cells: [String; 9], tone| {
        let pairs = cells.into_iter().zip(COLUMNS);
        let row = pairs.fold(Row::new(), |row, (cell, (_, width))| {
            row.with(tone, &format!("{cell:>width$}"))
        });
        row.clip(WIDTH)
    };
    screen.line(&cells(COLUMNS.map(|(name, _)| name.to_owned()), Tone::Dim));
    for (job, seen) in seen.iter().enumerate() {
        for (viewer, follower) in seen.viewers.iter().enumerate() {
            screen.line(&cells(numbers(job, viewer, follower), Tone::Plain));
        }
    }
    screen.line(&Row::new());
    for (job, seen) in seen.iter().enumerate() {
        verdict(screen, job, seen);
    }
}

fn numbers(job: usize, viewer: usize, follower: &Follower) -> [String; 9] {
    let tally = follower.tally();
    let seq = |position: Option<crate::event::Position>| position.map_or(0, |position| position.seq);
    [
        (job + 1).to_string(),
        (viewer + 1).to_string(),
        tally.frames.to_string(),
        words::bytes(tally.bytes),
        format!("{}–{}", seq(tally.first), seq(tally.last)),
        tally.snapshots.to_string(),
        if tally.resumed > 0 { "yes" } else { "no" }.to_owned(),
        tally.lost.to_string(),
        tally.duplicated.to_string(),
    ]
}

fn verdict(screen: &mut Screen, job: usize, seen: &Seen) {
    let viewers = words::count(seen.viewers.len() as u64, "viewer");
    let row = if seen.agrees() {
        Row::of(Tone::Good, "  ✓ ").with(Tone::Plain, &format!("job {}: {viewers}, one value", job + 1))
    } else {
        Row::of(Tone::Bad, "  ✗ ").with(Tone::Plain, &format!("job {}: {viewers} do not agree", job + 1))
    };
    screen.line(&row.with(Tone::Dim, &format!(" · {}", seen.title)).clip(WIDTH));
    let value = seen.viewers.first().and_then(Follower::value);
    let value = value.map(Value::to_json).unwrap_or_default();
    if !screen.is_live() {
        return screen.line(&Row::of(Tone::Dim, &format!("    {value}")));
    }
    for row in prose(Tone::Dim, &value, WIDTH - 4) {
        screen.line(&Row::of(Tone::Plain, "    ").join(row));
    }
}
