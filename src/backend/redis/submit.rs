//! How a job comes in: of a client's request, or of a dead letter's.

use super::Redis;
use super::gather::Item;
use super::log::{tell, text};
use super::reply::{Parts, unreadable};
use crate::backend::drain::Pace;
use crate::backend::own::{estimate, status};
use crate::backend::{BackendError, Full, Submission, Submitted, Write};
use crate::clock;
use crate::event::Position;
use crate::hex;
use crate::job::{JobId, JobState, Priority};

impl Redis {
    /// An id of a job in this shard, or in any whose server answers.
    pub(super) fn draw_in(&self, shard: Option<usize>) -> JobId {
        let answering = |shard: &usize| !self.is_silent(*shard);
        let of: Vec<usize> = match shard {
            Some(shard) => vec![shard],
            None => (0..self.keys.count()).filter(answering).collect(),
        };
        loop {
            let id = JobId::new(clock::job_uuid());
            if of.is_empty() || of.contains(&self.keys.shard_of(id)) {
                return id;
            }
        }
    }

    /// Keeps a job; `None` where it is to be made of a dead letter that is none.
    pub(super) async fn keep(
        &self,
        submission: Submission,
        letter: Option<JobId>,
    ) -> Result<Option<Submitted>, BackendError> {
        let id = submission.id;
        let shard = self.keys.shard_of(id);
        let (key, request) = match &submission.idempotency {
            None => (String::new(), String::new()),
            Some(given) if self.keys.shard_of_name(&submission.tenant, &given.key) == shard => {
                (given.key.to_string(), hex::encode(&given.request))
            }
            Some(_) => return Err(unreadable("a job with a key whose id was not drawn for it")),
        };
        let first = Write {
            position: Position {
                epoch: submission.epoch,
                seq: 1,
            },
            opens: true,
            event: status(JobState::Queued, None, None),
        };
        let asked = submission.spec.bytes();
        let mut item = Item::new();
        item.arg(id.to_string()).arg(submission.epoch.to_string());
        item.arg(&*submission.tenant)
            .arg(text(&*submission.spec)?)
            .arg(text(&*submission.shape)?);
        item.arg(key).arg(request);
        item.arg(asked).arg(estimate(asked));
        let unviewed_ms = submission.spec.on_last_viewer_gone.cancel_after_ms();
        item.arg(unviewed_ms.map_or_else(String::new, |ms| ms.to_string()));
        item.arg(letter.map_or_else(String::new, |letter| letter.to_string()));
        item.arg(band(submission.spec.priority));
        let mut parts = Parts::of(self.gathers.submissions.send(shard, item).await?)?;
        let mut told = submitted(&mut parts, || tell(id, &first), first.position)?;
        match &mut told {
            Some(Submitted::New { durable, .. }) => *durable = self.is_accepted(id).await?,
            Some(Submitted::Existing { job, durable }) => *durable = self.is_accepted(*job).await?,
            _ => {}
        }
        Ok(told)
    }
}

fn submitted(
    parts: &mut Parts,
    kept: impl FnOnce(),
    position: Position,
) -> Result<Option<Submitted>, BackendError> {
    match parts.next::<String>()?.as_str() {
        "new" => {
            kept();
            Ok(Some(Submitted::New {
                position,
                ahead: parts.next()?,
                durable: true,
            }))
        }
        // As it was answered: its submitter holds the empty state there, wherever the log stands by now.
        "again" => Ok(Some(Submitted::New {
            position,
            ahead: 0,
            durable: true,
        })),
        "existing" => Ok(Some(Submitted::Existing {
            job: parts.parse()?,
            durable: true,
        })),
        "conflict" => Ok(Some(Submitted::Conflict(parts.parse()?))),
        "full" => {
            let of = full(&parts.next::<String>()?)?;
            let waiting = parts.next()?;
            let pace = Pace {
                jobs: parts.next()?,
                ms: parts.next()?,
            };
            Ok(Some(Submitted::Full {
                retry_after_ms: pace.retry_after_ms(waiting),
                of,
            }))
        }
        "none" => Ok(None),
        other => Err(unreadable(other)),
    }
}

/// The band of a priority in its tenant's line, behind that of jobs that lost their worker.
fn band(priority: Priority) -> usize {
    1 + priority.rank()
}

fn full(word: &str) -> Result<Full, BackendError> {
    match word {
        "jobs" => Ok(Full::Jobs),
        "bytes" => Ok(Full::Bytes),
        "tenant" => Ok(Full::Tenant),
        "wait" => Ok(Full::Wait),
        other => Err(unreadable(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::drain::{KNOWN_MS, LEFT_MIN, PERIOD_MS};

    #[test]
    fn scripts_and_callers_have_the_same_numbers() {
        let line = include_str!("lua/line.lua");
        for told in [
            format!("local NORMAL = {}\n", band(Priority::default())),
            format!("local PERIOD_MS, LEFT_MIN, KNOWN_MS = {PERIOD_MS}, {LEFT_MIN}, {KNOWN_MS}\n"),
        ] {
            assert!(line.contains(&told), "{told}");
        }
    }
}
