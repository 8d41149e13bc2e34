//! Sockets that submit jobs at a pace of their own, whatever the server does.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::viewer::Viewer;
use crate::{Outcome, clock};

/// Submissions of one load.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// What each asks for.
    pub(crate) request: Value,
    /// Submissions a second, of all sockets together.
    pub(crate) rate: u64,
    /// How many in all.
    pub(crate) jobs: u64,
    /// Whether the sockets stay until their jobs have ended.
    pub(crate) to_the_end: bool,
}

/// What became of them.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    /// Microseconds from the moment a submission was due to its acceptance.
    pub(crate) delays: Vec<u64>,
    /// The same to a refusal.
    pub(crate) refusals: Vec<u64>,
    /// Refused ones, those of them that were not told when to come again, and what one was told.
    pub(crate) refused: u64,
    pub(crate) without_time: u64,
    pub(crate) refusal: Option<String>,
    /// Jobs that have completed.
    pub(crate) completed: u64,
    /// Jobs that have ended otherwise.
    pub(crate) failed: u64,
}

impl Answers {
    fn answered(&self) -> u64 {
        self.delays.len() as u64 + self.refused
    }

    fn ended(&self) -> u64 {
        self.completed + self.failed + self.refused
    }

    fn take(&mut self, text: &str, due: &[u64]) -> Outcome<()> {
        let now = clock::micros();
        let message: Value = serde_json::from_str(text)?;
        let since = |answer: &Value| -> Outcome<u64> {
            let index: usize = answer["ref"].as_str().unwrap_or_default().parse()?;
            let due = due.get(index).ok_or("an answer to no question")?;
            Ok(now.saturating_sub(*due))
        };
        match message["type"].as_str() {
            Some("job.accepted") => self.delays.push(since(&message)?),
            Some("error") => {
                self.refusals.push(since(&message)?);
                self.refused += 1;
                self.without_time += u64::from(message["retry_after_ms"].is_null());
                self.refusal = Some(text.to_owned());
            }
            Some("job.completed") => self.completed += 1,
            Some("job.failed" | "job.cancelled" | "job.incomplete") => self.failed += 1,
            _ => {}
        }
        Ok(())
    }

    fn add(&mut self, other: Self) {
        self.delays.extend(other.delays);
        self.refusals.extend(other.refusals);
        self.refused += other.refused;
        self.without_time += other.without_time;
        self.refusal = self.refusal.take().or(other.refusal);
        self.completed += other.completed;
        self.failed += other.failed;
    }
}

/// Submits from `sockets` sockets in turns, each at its share of the rate.
pub(crate) async fn submit(sockets: u32, server: SocketAddr, load: &Load) -> Outcome<Answers> {
    let mut viewers = Vec::new();
    for _ in 0..sockets {
        viewers.push(Viewer::connect([127, 0, 0, 1], server).await?);
    }
    let between = Duration::from_secs(1) / u32::try_from(load.rate)?;
    let mut submitting = JoinSet::new();
    for (turn, viewer) in (0..sockets).zip(viewers) {
        let share =
            load.jobs / u64::from(sockets) + u64::from(u64::from(turn) < load.jobs % u64::from(sockets));
        let ticks = clock::ticks(between * turn, between * sockets);
        submitting.spawn(one_socket(viewer, ticks, share, load.clone()));
    }
    let mut all = Answers::default();
    for answers in submitting.join_all().await {
        all.add(answers?);
    }
    Ok(all)
}

async fn one_socket(
    mut viewer: Viewer,
    mut ticks: tokio::time::Interval,
    share: u64,
    load: Load,
) -> Outcome<Answers> {
    let (mut answers, mut due) = (Answers::default(), Vec::new());
    loop {
        let done = if load.to_the_end {
            answers.ended()
        } else {
            answers.answered()
        };
        if done >= share {
            return Ok(answers);
        }
        tokio::select! {
            at = ticks.tick(), if (due.len() as u64) < share => {
                let reference = due.len().to_string();
                due.push(clock::micros_at(at));
                let message = json!({
                    "type": "job.create", "ref": reference, "request": load.request, "deliver": { "as": "final" },
                });
                viewer.send(&message).await?;
            }
            text = viewer.text() => answers.take(&text?, &due)?,
        }
    }
}
