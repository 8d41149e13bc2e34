//! What the processes of a fleet count of what is rare: asked of each again and again, so that little of it goes with one that
//! is killed.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;

use super::schedule::Target;
use crate::{clock, http};

/// Between two questions to a process, microseconds.
const EVERY: u64 = 1_000_000;
/// One that is stopped, or has just left, answers nothing.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is rare, and how its samples begin.
const SELDOM: [(&str, &str); 9] = [
    (
        "writes that were sent again and known",
        r#"livedraft_writes_answered_total{answer="dup"}"#,
    ),
    (
        "writes that were rolled back",
        r#"livedraft_writes_answered_total{answer="rolled_back"}"#,
    ),
    (
        "zombies that were refused",
        r#"livedraft_writes_answered_total{answer="lost"}"#,
    ),
    (
        "workers told of a cancel by a write",
        r#"livedraft_writes_answered_total{answer="cancel"}"#,
    ),
    ("leases that ran out", "livedraft_leases_lost_total"),
    ("takeovers", r#"livedraft_attempts_total{reason="worker_lost"}"#),
    ("gaps that a node repaired", "livedraft_gaps_total"),
    ("mailboxes that were conflated", "livedraft_conflations_total"),
    (
        "viewers whose position the log had left",
        r#"livedraft_resumes_total{by="state"}"#,
    ),
];

/// What was counted, by name.
pub(super) type Counted = BTreeMap<String, u64>;

/// A process: its place, and the number of its start there.
type Process = (Target, u64);

#[derive(Debug, Default)]
pub(super) struct Counters {
    asked: JoinSet<(Process, Option<Counted>)>,
    last: HashMap<Process, Counted>,
    /// When processes are to be asked again, by our clock.
    due: u64,
}

impl Counters {
    /// Whether it is time to ask again.
    pub(super) fn is_due(&mut self) -> bool {
        let now = clock::micros();
        let due = now >= self.due;
        if due {
            self.due = now + EVERY;
        }
        due
    }

    /// Asks a process; what it says is taken when it comes.
    pub(super) fn ask(&mut self, process: Process, address: SocketAddr) {
        self.asked.spawn(async move {
            let told = tokio::time::timeout(PATIENCE, http::get(address, "/metrics")).await;
            let text = told.ok().and_then(Result::ok).map(|(_, text)| text);
            (process, text.map(|text| read(&text)))
        });
        while let Some(Ok(answer)) = self.asked.try_join_next() {
            self.take(answer);
        }
    }

    /// What was counted by all processes that ever were.
    pub(super) async fn sum(&mut self) -> Counted {
        while let Some(answer) = self.asked.join_next().await {
            if let Ok(answer) = answer {
                self.take(answer);
            }
        }
        let mut sum: Counted = SELDOM.iter().map(|(name, _)| ((*name).to_owned(), 0)).collect();
        for (name, count) in self.last.values().flatten() {
            *sum.entry(name.clone()).or_default() += count;
        }
        sum
    }

    fn take(&mut self, (process, counted): (Process, Option<Counted>)) {
        if let Some(counted) = counted {
            self.last.insert(process, counted);
        }
    }
}

/// The samples that are looked for in a page of metrics.
fn read(page: &str) -> Counted {
    let mut counted = Counted::new();
    for line in page.lines() {
        let Some((name, _)) = SELDOM.iter().find(|(_, begins)| line.starts_with(begins)) else {
            continue;
        };
        let value = line
            .rsplit(' ')
            .next()
            .and_then(|value| value.parse::<f64>().ok());
        *counted.entry((*name).to_owned()).or_default() += value.unwrap_or_default() as u64;
    }
    counted
}

#[cfg(test)]
mod tests {
    use super::read;

    #[test]
    fn samples_are_found_on_a_page() {
        let page = "# HELP livedraft_gaps_total Times.\n# TYPE livedraft_gaps_total counter\nlivedraft_gaps_total 3\n\
            livedraft_writes_answered_total{answer=\"dup\"} 4\nlivedraft_writes_answered_total{answer=\"new\"} 5\n\
            livedraft_leases_lost_total 1\n";
        let counted = read(page);
        assert_eq!(counted["gaps that a node repaired"], 3);
        assert_eq!(counted["writes that were sent again and known"], 4);
        assert_eq!(counted["leases that ran out"], 1);
        assert_eq!(counted.len(), 3);
    }
}
