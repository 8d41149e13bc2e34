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

/// What is told of one run, or of all.
#[derive(Debug, Default)]
pub(super) struct Told {
    seconds: f64,
    jobs: usize,
    gone: usize,
    set_back: usize,
    done: BTreeMap<String, u64>,
    counted: BTreeMap<String, u64>,
    seen: BTreeMap<String, u64>,
    faults: Vec<String>,
    /// The first of them in words.
    broken: Vec<String>,
    lost: usize,
    duplicated: usize,
    others: usize,
    schedule: Vec<String>,
}

impl Told {
    /// Of a run that is over, or that could not be gone on with, which is a fault of it.
    pub(super) fn of(played: Outcome<Played>, planned: &[Planned]) -> Self {
        let schedule = planned.iter().map(Planned::to_string).collect();
        let played = match played {
            Ok(played) => played,
            Err(error) => {
                return Self {
                    faults: vec![error.to_string()],
                    schedule,
                    ..Self::default()
                };
            }
        };
        let of = |rule: Rule| played.broken.iter().filter(|one| one.rule == rule).count();
        let (lost, duplicated) = (of(Rule::Lost), of(Rule::Duplicated));
        let words = |one: &Broken| one.to_string().chars().take(WORDS).collect();
        let mut done = played.done;
        done.insert("bytes swallowed".to_owned(), played.swallowed);
        Self {
            seconds: played.seconds,
            jobs: played.jobs.len(),
            gone: played.gone,
            set_back: played.set_back,
            done,
            counted: played.counted,
            seen: seen(&played.jobs),
            faults: played.faults,
            broken: played.broken.iter().take(WRITTEN_OUT).map(words).collect(),
            lost,
            duplicated,
            others: played.broken.len() - lost - duplicated,
            schedule,
        }
    }

    pub(super) fn is_sound(&self) -> bool {
        self.lost + self.duplicated + self.others + self.faults.len() == 0
    }

    /// Adds another seed's; where there are many, its faults and what it broke are told with it.
    pub(super) fn add(&mut self, seed: u64, other: Self, many: bool) {
        let named = |words: String| match many {
            true => format!("seed {seed}: {words}"),
            false => words,
        };
        self.seconds += other.seconds;
        self.jobs += other.jobs;
        self.gone += other.gone;
        self.set_back += other.set_back;
        let counts = [
            (&mut self.done, other.done),
            (&mut self.counted, other.counted),
            (&mut self.seen, other.seen),
        ];
        for (mine, theirs) in counts {
            for (what, count) in theirs {
                *mine.entry(what).or_default() += count;
            }
        }
        self.faults.extend(other.faults.into_iter().map(named));
        let room = WRITTEN_OUT.saturating_sub(self.broken.len());
        self.broken.extend(other.broken.into_iter().take(room).map(named));
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.others += other.others;
        self.schedule.extend(other.schedule);
    }

    /// What is rare and never came about is a fault of the run.
    pub(super) fn must_have_come_about(&mut self) {
        let never = self.counted.iter().filter(|(_, count)| **count == 0);
        let never = never.map(|(what, _)| format!("never: {what}"));
        self.faults.extend(never);
    }

    fn verdict(&self) -> String {
        format!(
            "{} lost, {} duplicated, {} other rules broken",
            self.lost, self.duplicated, self.others
        )
    }

    fn wrong(&self) -> String {
        let faults = self.faults.iter().map(|fault| format!("FAULT {fault}\n"));
        let broken = self.broken.iter().map(|words| format!("BROKEN {words}\n"));
        faults.chain(broken).collect()
    }
}

/// Of several seeds, one that begins: one that never ends is known by that.
pub(super) fn begins(seed: u64) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "seed {seed} begins")?;
    Ok(out.flush()?)
}

/// Of several seeds, one that is over: a line, and all that is wrong with it.
pub(super) fn pass_by(seed: u64, told: &Told, args: &ChaosArgs) -> Outcome<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "seed {seed}, {:.0} s: {} jobs, {}",
        told.seconds,
        told.jobs,
        told.verdict()
    )?;
    if !told.is_sound() {
        let again = format!(
            "again: --seed {seed} --seconds {} --jobs {}",
            args.seconds, args.jobs
        );
        writeln!(out, "{again}\n{}\n{}", told.schedule.join("\n"), told.wrong())?;
    }
    Ok(out.flush()?)
}

/// Writes it to stdout, and to the file.
pub(super) fn tell(told: &Told, seeds: &[u64], args: &ChaosArgs) -> Outcome<()> {
    let which = match seeds {
        [seed] => format!("seed {seed}"),
        _ => format!("{} seeds", seeds.len()),
    };
    let mut text = format!(
        "\n{which}, {:.0} s: {} jobs accepted, {} of them lost and {} set back by a failover\n",
        told.seconds, told.jobs, told.gone, told.set_back
    );
    let counts = [
        ("done to it", &told.done),
        ("counted by it", &told.counted),
        ("seen of it", &told.seen),
    ];
    for (title, counts) in counts {
        let lines: Vec<String> = counts
            .iter()
            .map(|(what, count)| format!("{count} {what}"))
            .collect();
        writeln!(text, "{title}: {}", lines.join(", "))?;
    }
    writeln!(text, "{}{}", told.wrong(), told.verdict())?;
    write!(std::io::stdout().lock(), "{text}")?;
    let whole = json!({
        "unix_seconds": clock::unix_seconds(), "machine": process::machine(), "seeds": seeds,
        "seconds": rounded(told.seconds, 1), "jobs": told.jobs, "gone": told.gone, "set_back": told.set_back, "done": told.done, "counted": told.counted, "seen": told.seen,
        "lost": told.lost, "duplicated": told.duplicated, "others": told.others, "faults": told.faults,
        "broken": told.broken, "schedule": told.schedule,
    });
    let Some(file) = &args.out else { return Ok(()) };
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, format!("{whole:#}\n"))?;
    Ok(std::fs::write(file.with_extension("md"), text.trim_start())?)
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
        let late = job.views.iter().map(|view| view.degraded).sum();
        count("times a viewer was told that what it sees may be late", late);
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
