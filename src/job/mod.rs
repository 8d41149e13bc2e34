//! The job: what was asked, where it stands, what it has cost.

mod attempt;
mod check;
mod choice;
mod id;
mod lease;
mod money;
mod plain;
mod reasoning;
mod script;
mod spec;
mod state;
mod template;

pub use attempt::{
    Attempt, AttemptError, AttemptRecord, AttemptUsage, Awaited, Broke, Continuation, Plan, Reason, RuledOn,
    Running, Usage,
};
pub use check::{SpecError, SpecLimits};
pub use choice::{OnBadItem, OnLastViewerGone, OnViolation, Priority, Ruling};
pub use id::{JobId, Tag};
pub use lease::{Lease, LeaseTimes, LeaseToken, backoff_ms};
pub use money::{Money, NoMoney};
pub use plain::Plain;
pub use reasoning::{Effort, Reasoning};
pub use script::{Script, ScriptLimit, ScriptedPrefill};
pub use spec::{
    JobLimits, JobSpec, LenientChoice, Message, ModeChoice, ReaskChoice, Role, SCRIPTED, Sampling, Wrap,
};
pub use state::{Illegal, JobState, Outcome, Transition, next};
pub use template::TemplateLimits;
