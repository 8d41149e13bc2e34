//! One who submits much beside some who submit little.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::task::JoinSet;

use super::{PATIENCE, Plan, histogram};
use crate::report::{PROCESSES, Row, ms, rounded, row};
use crate::system::{Setup, System};
use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// The tenants, and how many jobs each submits at once: the first begins, the others come behind its whole line.
const TENANTS: [(&str, usize); 4] = [("heavy", 600), ("one", 60), ("two", 60), ("three", 60)];
/// Jobs worked on at a time.
const SLOTS: u32 = 8;
/// Submissions without an answer yet: fewer than a socket may have.
const UNANSWERED: usize = 30;
/// Messages a second that a socket may send here.
const PACE: &str = "limits.messages_per_second_max=1000";

/// When the jobs of a tenant ended, microseconds.
type Ends = Vec<u64>;

/// Four tenants, one with ten times as many jobs, and eight slots: what each gets while all have some in line.
pub(crate) async fn run(plan: &Plan) -> Outcome<Vec<Row>> {
    let setup = TENANTS
        .iter()
        .fold(Setup::default().with(PACE), |setup, (tenant, _)| {
            let hash: String = Sha256::digest(secret(tenant))
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            setup
                .with(&format!("keys.{tenant}.sha256={hash}"))
                .with(&format!("keys.{tenant}.tenant={tenant}"))
        });
    let setup = Setup {
        slots: SLOTS,
        ..setup
    };
    let system = System::start(&plan.server, plan.engine, &setup).await?;
    let before = system.usage()?;
    let mut working = JoinSet::new();
    for (tenant, jobs) in TENANTS {
        let key = format!("ld_{tenant}_{}", secret(tenant));
        let mut viewer = Viewer::connect_as([127, 0, 0, 1], system.address(), &key).await?;
        // All of it is in line before the next tenant comes.
        let (mut pending, mut sent) = (Pending::default(), 0);
        while pending.accepted < jobs {
            while sent < jobs.min(pending.accepted + UNANSWERED) {
                viewer.send(&create()).await?;
                sent += 1;
            }
            pending.take(&tokio::time::timeout(PATIENCE, viewer.text()).await??)?;
        }
        let all_in_line = clock::micros();
        working.spawn(async move {
            while pending.ends.len() < jobs {
                pending.take(&tokio::time::timeout(PATIENCE, viewer.text()).await??)?;
            }
            Outcome::Ok((tenant, all_in_line, pending.ends))
        });
    }
    let done: Outcome<Vec<(&str, u64, Ends)>> = working.join_all().await.into_iter().collect();
    let done = done?;
    let used = system.usage()?.since(&before);
    // From the moment at which the last has come to the one at which the first has nothing left in line.
    let from = done.iter().map(|(_, begun, _)| *begun).max().unwrap_or(0);
    let until = done
        .iter()
        .filter_map(|(_, _, ends)| ends.iter().max())
        .min()
        .copied()
        .unwrap_or(0);
    let shares: Vec<f64> = done
        .iter()
        .map(|(_, _, ends)| ends.iter().filter(|end| (from..=until).contains(end)).count() as f64)
        .collect();
    let mut rows = Vec::new();
    for ((tenant, begun, ends), share) in done.iter().zip(&shares) {
        let waits: Vec<u64> = ends.iter().map(|end| end.saturating_sub(*begun)).collect();
        let waits = histogram(waits.iter())?;
        rows.push(row([
            ("tenant", json!(tenant)),
            ("jobs", json!(ends.len())),
            ("ended while all had some in line", rounded(*share, 0)),
            ("wait p50 ms", ms(waits.value_at_quantile(0.5))),
            ("last ms", ms(waits.max())),
            ("fairness index", rounded(fairness(&shares), 3)),
        ]));
    }
    if let Some(first) = rows.first_mut() {
        first.insert(PROCESSES.to_owned(), used.cells());
    }
    Ok(rows)
}

/// Jain's index of what each got: 1 if all got the same, 1/n if one got all.
fn fairness(shares: &[f64]) -> f64 {
    let (sum, squares): (f64, f64) = (
        shares.iter().sum(),
        shares.iter().map(|share| share * share).sum(),
    );
    sum * sum / (shares.len() as f64 * squares)
}

#[derive(Default)]
struct Pending {
    accepted: usize,
    ends: Ends,
}

impl Pending {
    fn take(&mut self, text: &str) -> Outcome<()> {
        let message: Value = serde_json::from_str(text)?;
        match message["type"].as_str() {
            Some("job.accepted") => self.accepted += 1,
            Some("job.completed") => self.ends.push(clock::micros()),
            Some("job.failed" | "job.incomplete" | "error") => {
                return Err(format!("a job did not complete: {text}").into());
            }
            _ => {}
        }
        Ok(())
    }
}

fn secret(tenant: &str) -> String {
    format!("load-secret-of-{tenant}")
}

/// A job of some 50 ms.
fn create() -> Value {
    json!({
        "type": "job.create", "deliver": { "as": "final" },
        "request": {
            "model": "scripted", "input": "Ada",
            "schema": { "type": "object", "properties": { "name": { "type": "string" } }, "required": ["name"] },
            "script": { "tokens_per_second": 500 },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::fairness;

    #[test]
    fn the_index_is_jains() {
        assert!((fairness(&[5.0, 5.0, 5.0, 5.0]) - 1.0).abs() < 1e-9);
        assert!((fairness(&[8.0, 0.0, 0.0, 0.0]) - 0.25).abs() < 1e-9);
    }
}
