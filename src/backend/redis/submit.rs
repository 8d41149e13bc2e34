//! How a job comes in: of a client's request, or of a dead letter's.

use super::Redis;
use super::log::{Written, tell, text};
use super::reply::{Parts, unreadable};
use crate::backend::own::status;
use crate::backend::{BackendError, Submission, Submitted, Write};
use crate::clock;
use crate::event::Position;
use crate::hex;
use crate::job::{JobId, JobState};

/// When to come again where the line is full, ms.
const RETRY_AFTER_MS: u64 = 1_000;
/// What a job is thought to cost beside the text that it asks about, tokens.
const ANSWER_TOKENS: usize = 1_000;
/// Bytes of text that make a token, about.
const TOKEN_BYTES: usize = 4;

impl Redis {
    /// An id of a job in this shard, or in any.
    pub(super) fn draw_in(&self, shard: Option<usize>) -> JobId {
        loop {
            let id = JobId::new(clock::job_uuid());
            if shard.is_none_or(|shard| shard == self.keys.shard_of(id)) {
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
        let mut step = self.on(&self.scripts.submit, shard);
        step.arg(id.to_string()).arg(submission.epoch.to_string());
        step.arg(&*submission.tenant)
            .arg(text(&*submission.spec)?)
            .arg(text(&*submission.shape)?);
        step.arg(key).arg(request);
        step.arg(asked).arg(ANSWER_TOKENS + asked / TOKEN_BYTES);
        step.arg(self.share(self.engine.queued_max))
            .arg(self.share(self.engine.asked_bytes_max));
        step.arg(Written::of(&first)?.payload);
        let unviewed_ms = submission.spec.on_last_viewer_gone.cancel_after_ms();
        step.arg(unviewed_ms.map_or_else(String::new, |ms| ms.to_string()));
        step.arg(letter.map_or_else(String::new, |letter| letter.to_string()));
        self.kept(&mut step);
        let mut parts = Parts::of(self.link.step(&step).await?)?;
        let mut told = submitted(&mut parts, || tell(id, &first), first.position)?;
        match &mut told {
            Some(Submitted::New { durable, .. }) => *durable = self.is_accepted(id).await?,
            // It was promised before, and perhaps not told.
            Some(Submitted::Existing(job)) => drop(self.is_accepted(*job).await?),
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
        "existing" => Ok(Some(Submitted::Existing(parts.parse()?))),
        "conflict" => Ok(Some(Submitted::Conflict(parts.parse()?))),
        "full" => Ok(Some(Submitted::Full {
            retry_after_ms: RETRY_AFTER_MS,
        })),
        "none" => Ok(None),
        other => Err(unreadable(other)),
    }
}
