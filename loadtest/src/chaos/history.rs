//! What clients saw, kept as they saw it, to be judged when all is over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What the reader is called that comes to each job when all is over.
pub(crate) const LATE: &str = "late reader";

/// One job from outside.
#[derive(Clone, Debug, Default)]
pub(crate) struct JobHistory {
    /// What it was submitted under.
    pub(crate) key: String,
    /// Every id that an acceptance of that key named.
    pub(crate) ids: Vec<String>,
    /// The most re-asks it may have.
    pub(crate) reasks: u64,
    /// The last seq of its log when its cancel had been acknowledged, where it was; read from where the log lies.
    pub(crate) cancelled_at: Option<u64>,
    /// What its viewers saw.
    pub(crate) views: Vec<View>,
}

/// What one viewer saw of one job, over all its sockets.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    /// Who it is, for people.
    pub(crate) name: String,
    pub(crate) steps: Vec<Step>,
    /// The longest time between two things that it saw of the job, microseconds.
    pub(crate) silence: u64,
    /// How often it was told that what it sees may be late.
    pub(crate) degraded: u64,
}

/// One thing that a viewer saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// It is on a new socket, and goes on from what it holds, or from nothing.
    Attached { resumed: bool },
    /// An event of the log: a patch, a status, an attempt, a note, an end.
    Event {
        position: Position,
        kind: String,
        /// As it came.
        text: String,
        /// The folded state behind it.
        state: String,
    },
    /// A state that replaced what it held.
    Snapshot { position: Position, state: String },
    /// What came did not fit what it held.
    Misfit(String),
    /// The job is not known any more.
    Gone(String),
    /// It was given up: no end came in time.
    GivenUp,
    /// What the end says of the value is not what is held.
    WrongValue(String),
}

/// Epoch and seq.
pub(crate) type Position = (String, u64);

/// What failovers have taken, by the ids of jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Toll {
    /// Jobs that the new master does not know.
    pub(crate) lost: BTreeSet<String>,
    /// Jobs that it knows, and that stand elsewhere there.
    pub(crate) set_back: BTreeSet<String>,
}

impl Toll {
    /// A master is left that `had` these jobs, for a replica that has `kept` those, each where it stands.
    pub(crate) fn take(&mut self, had: &BTreeMap<String, String>, kept: &BTreeMap<String, String>) {
        for (job, at) in had {
            match kept.get(job) {
                None => self.lost.insert(job.clone()),
                Some(kept) if kept != at => self.set_back.insert(job.clone()),
                Some(_) => false,
            };
        }
    }
}

impl JobHistory {
    /// Whether one of its ids is among these.
    pub(crate) fn is_among(&self, jobs: &BTreeSet<String>) -> bool {
        self.ids.iter().any(|id| jobs.contains(id))
    }
}

impl View {
    /// The end it saw, if it saw one: where, what, and the message.
    pub(crate) fn end(&self) -> Option<(&Position, &str, &str)> {
        self.steps.iter().find_map(|step| match step {
            Step::Event {
                position, kind, text, ..
            } if is_end(kind) => Some((position, kind.as_str(), text.as_str())),
            _ => None,
        })
    }
}

/// Whether a message of this kind ends its job.
pub(crate) fn is_end(kind: &str) -> bool {
    matches!(kind, "completed" | "failed" | "cancelled" | "incomplete")
}

/// The kind of a message: its type without `job.`; a patch frame has none.
pub(crate) fn kind(message: &Value) -> &str {
    let kind = message["type"].as_str().unwrap_or("patch");
    kind.strip_prefix("job.").unwrap_or(kind)
}
