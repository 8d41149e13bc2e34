//! What was done to the system, what clients saw of it, and what does not hold.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};

use super::Played;
use super::checker::{Broken, Rule};
use super::history::{JobHistory, Step};
use super::schedule::Planned;
use crate::cli::ChaosArgs;
use crate::report::rounded;
use crate::{Outcome, clock, process};

/// So many broken rules are written out.
const WRITTEN_OUT: usize = 20;
/// Of one, so many bytes.
const WORDS: usize = 1_000;

/// Says what will be done, before it is: a run that hangs can be replayed too.
pub(super) fn announce(seed: u64, planned: &[Planned], seconds: u64) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "seed {seed} (again: --seed {seed} --seconds {seconds})")?;
    for one in planned {
        writeln!(out, "{one}")?;
    }
    Ok(out.flush()?)
}

/// Writes it to stdout, and to the file.
pub(super) fn tell(told: &Played, planned: &[Planned], args: &ChaosArgs) -> Outcome<()> {
    let (done, seen, broken) = (done(told, planned), seen(&told.jobs), &told.broken);
    let of = |rule: Rule| broken.iter().filter(|one| one.rule == rule).count();
    let (lost, duplicated) = (of(Rule::Lost), of(Rule::Duplicated));
    let mut text = format!(
        "\nseed {}, {:.0} s: {} jobs accepted\n",
        told.seed,
        told.seconds,
        told.jobs.len()
    );
    for (title, counts) in [("done to it", &done), ("seen of it", &seen)] {
        let lines: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        writeln!(text, "{title}: {}", lines.join(", "))?;
    }
    for fault in &told.faults {
        writeln!(text, "FAULT {fault}")?;
    }
    for one in broken.iter().take(WRITTEN_OUT) {
        let words: String = one.to_string().chars().take(WORDS).collect();
        writeln!(text, "BROKEN {words}")?;
    }
    let others = broken.len() - lost - duplicated;
    writeln!(
        text,
        "{lost} lost, {duplicated} duplicated, {others} other rules broken"
    )?;
    write!(std::io::stdout().lock(), "{text}")?;
    let whole = json!({
        "unix_seconds": clock::unix_seconds(), "machine": process::machine(), "seed": told.seed,
        "seconds": rounded(told.seconds, 1), "jobs": told.jobs.len(), "done": done, "seen": seen,
        "lost": lost, "duplicated": duplicated, "faults": told.faults,
        "broken": broken.iter().take(WRITTEN_OUT).map(Broken::to_string).collect::<Vec<_>>(),
        "schedule": planned.iter().map(Planned::to_string).collect::<Vec<_>>(),
    });
    let Some(file) = &args.out else { return Ok(()) };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, format!("{whole:#}\n"))?;
    Ok(std::fs::write(file.with_extension("md"), text.trim_start())?)
}

fn done(told: &Played, planned: &[Planned]) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for one in planned {
        *counts.entry(one.deed.kind().to_owned()).or_default() += 1;
    }
    counts.insert("drains cut short".to_owned(), told.cut_short as u64);
    counts.insert("bytes swallowed".to_owned(), told.swallowed);
    counts
}

/// What came of it, by what it was; a rare one that is not among them did not happen.
fn seen(jobs: &[JobHistory]) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    let mut count = |what: &str, many: u64| *counts.entry(what.to_owned()).or_default() += many;
    for job in jobs {
        count(
            "cancels acknowledged and looked at",
            u64::from(job.cancelled_at.is_some()),
        );
        let end = job.views.iter().find_map(|view| view.end());
        if let Some((_, kind, text)) = end {
            let end: Value = serde_json::from_str(text).unwrap_or_default();
            let code = end["error"]["code"]
                .as_str()
                .filter(|code| *code != kind)
                .unwrap_or_default();
            count(format!("jobs {kind} {code}").trim_end(), 1);
        }
        count("viewers", job.views.len() as u64);
        for step in job.views.iter().flat_map(|view| &view.steps) {
            match step {
                Step::Attached { resumed: true } => count("sockets that went on", 1),
                Step::Attached { resumed: false } => count("sockets that began with a state", 1),
                Step::Snapshot { .. } => count("states", 1),
                Step::Event { kind, .. } => count(&format!("{kind} messages"), 1),
                Step::Misfit(_) | Step::Gone(_) | Step::GivenUp | Step::WrongValue(_) => {}
            }
        }
        // Of each position once: how often a job had another attempt, and why.
        let creator = job.views.first().map_or(&[][..], |view| view.steps.as_slice());
        for step in creator {
            if let Step::Event { kind, text, .. } = step
                && kind == "attempt"
            {
                let attempt: Value = serde_json::from_str(text).unwrap_or_default();
                count(
                    &format!("attempts ({})", attempt["reason"].as_str().unwrap_or_default()),
                    1,
                );
            }
        }
    }
    counts
}
