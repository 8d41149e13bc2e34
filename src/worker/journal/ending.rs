//! The last step of a delivery: the job ends, or goes back.

use std::sync::Arc;

use super::{Closed, Journal, counted, wait_to_resend};
use crate::backend::{Backend, BackendError, Deferral, Failure, Fenced, Write};
use crate::clock;
use crate::event::{End, Epoch, Event, Position, StatusChange};
use crate::job::{JobId, JobState, LeaseToken, Outcome};

impl Journal {
    /// Ends the job; true when this worker's end stands in the log.
    pub(in crate::worker) async fn finish(&mut self, end: End) -> Result<(), Closed> {
        let event = Event::End(Box::new(end));
        self.last_step(event, |journal, write| {
            let (backend, job, token) = (Arc::clone(&journal.backend), journal.job, journal.token);
            Box::pin(async move { backend.finish(job, token, write).await })
        })
        .await
    }

    /// Puts the job back until a time.
    pub(in crate::worker) async fn defer(&mut self, reason: &str, until_ms: u64) -> Result<(), Closed> {
        let status = waiting(reason, until_ms);
        self.last_step(status, |journal, write| {
            let deferral = Deferral {
                write,
                record: journal.record.clone(),
                until_ms,
            };
            let (backend, job, token) = (Arc::clone(&journal.backend), journal.job, journal.token);
            Box::pin(async move { backend.defer(job, token, deferral).await })
        })
        .await
    }

    /// A step that ends the delivery; sent again until it is answered, behind the whole state after a rollback.
    async fn last_step(
        &mut self,
        event: Event,
        step: impl Fn(
            &Self,
            Write,
        ) -> std::pin::Pin<Box<dyn Future<Output = Result<Fenced, BackendError>> + Send>>,
    ) -> Result<(), Closed> {
        let mut write = Write {
            position: self.next(),
            opens: self.abandoned,
            event,
        };
        if write.opens {
            write.position.epoch = Epoch::new(clock::nonce());
        }
        loop {
            let answer = step(self, write.clone()).await;
            match answer.inspect(|fenced| counted((*fenced).into())) {
                Ok(Fenced::Ok | Fenced::Dup) => return Ok(()),
                Ok(Fenced::Lost) => return Err(Closed::Lost),
                Ok(Fenced::Cancel) => return Err(self.cancelled()),
                // What the log has lost is told again first: the end's value is the fold, always.
                Ok(Fenced::RolledBack(last)) => match self.restate(last, &mut None).await {
                    Ok(()) => {
                        write.position = self.next();
                        write.opens = false;
                    }
                    // Of a job that is to be cancelled only the end is taken: it stands on what the log has kept.
                    Err(Closed::Cancelled) if is_cancelled(&write.event) => {
                        write.position = Position {
                            epoch: Epoch::new(clock::nonce()),
                            seq: last.seq + 1,
                        };
                        write.opens = true;
                    }
                    Err(closed) => return Err(closed),
                },
                Err(error) => wait_to_resend(self.job, &error, self.resend).await,
            }
        }
    }
}

fn is_cancelled(event: &Event) -> bool {
    matches!(event, Event::End(end) if end.outcome == Outcome::Cancelled)
}

fn waiting(reason: &str, until_ms: u64) -> Event {
    Event::Status(StatusChange {
        status: JobState::Waiting,
        reason: Some(reason.to_owned()),
        until_ms: Some(until_ms),
    })
}

/// Ends a delivery whose task has died; the log is asked where it ends.
pub(in crate::worker) async fn give_up(
    backend: &dyn Backend,
    job: JobId,
    token: LeaseToken,
    end: End,
    retry_ms: u64,
) {
    let Ok(positions) = backend.positions(&[job]).await else {
        return;
    };
    let Some(Some(last)) = positions.first().copied() else {
        return;
    };
    // In a new epoch: what the task had in flight may have stood there once, and be lost by now.
    let position = Position {
        epoch: Epoch::new(clock::nonce()),
        seq: last.seq + 1,
    };
    let again = Write {
        position,
        opens: true,
        event: waiting("internal", clock::now_ms() + retry_ms),
    };
    if let Err(error) = backend
        .fail(
            job,
            token,
            Failure {
                again,
                retry_ms,
                give_up: Box::new(end),
            },
        )
        .await
    {
        tracing::error!(%job, %error, "a failed delivery cannot be told; its lease will run out");
    }
}
