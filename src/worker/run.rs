//! One delivery, top to bottom: claim → prepare → attempt → judge → settle.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Stopped, Terms};
use super::call::Call;
use super::conversation::Fault;
use super::doom::Doom;
use super::hooks;
use super::items;
use super::journal::{Closed, Journal};
use super::judge::{self, Verdict};
use super::lease::Signal;
use super::outside;
use super::prepare::{Prepared, Preparing, Unfit};
use super::splice::{self, Splice};
use super::{Worker, WorkerOptions};
use crate::backend::Claim;
use crate::clock;
use crate::event::{End, EndError, Timings};
use crate::hex;
use crate::job::{AttemptUsage, JobSpec, Message, Outcome, Reason, Role, Usage};
use crate::llm::{LlmError, LlmErrorKind, Request, Stream};
use crate::partial::{Graft, Value};
use crate::schema::dialect::{self, Dialect};

/// A job in a worker's hands.
pub(super) struct Delivery {
    options: WorkerOptions,
    spec: Arc<JobSpec>,
    preparing: Preparing,
    journal: Journal,
    signal: watch::Receiver<Signal>,
    submitted_ms: u64,
    claimed_ms: u64,
    deadline: Instant,
    /// Whether this delivery has begun an attempt.
    began: bool,
    /// Whether items were taken out of the value.
    dropped: bool,
}

/// What the steps of an attempt lead to.
enum Next {
    /// Another attempt.
    Again,
    /// The end.
    End(Box<End>),
    /// Put back.
    Defer(&'static str, u64),
}

/// Works on a claim until the job ends, is put back, or the lease is gone. Then all of it is dropped where it
/// stands, the provider's connection and the step that waits for an engine's answer too: none of it matters any more.
pub(super) async fn deliver(worker: &Worker, claim: Claim, signal: watch::Receiver<Signal>) {
    let job = claim.id;
    let mut lost = signal.clone();
    let result = tokio::select! {
        biased;
        // An error means that the lease is held anew.
        _ = lost.wait_for(|signal| *signal == Signal::Lost) => Err(Closed::Lost),
        result = see_through(worker, claim, signal) => result,
    };
    if let Err(closed) = result {
        tracing::warn!(%job, %closed, "a delivery was given up");
    }
}

async fn see_through(worker: &Worker, claim: Claim, signal: watch::Receiver<Signal>) -> Result<(), Closed> {
    let mut delivery = Delivery::new(worker, &claim, signal);
    let result = match delivery.preparing.whole(&worker.providers).await {
        Ok(prepared) => delivery.work(&prepared).await,
        Err(Unfit { code, message }) => {
            let end = delivery.end(Outcome::Failed, Some(EndError::new(code, message)), None);
            delivery.journal.finish(end).await
        }
    };
    match result {
        // The log asked for it while an end or a deferral was on its way.
        Err(Closed::Cancelled) => delivery.cancelled().await,
        other => other,
    }
}

impl Delivery {
    fn new(worker: &Worker, claim: &Claim, signal: watch::Receiver<Signal>) -> Self {
        let options = worker.options.clone();
        let journal = Journal::new(Arc::clone(&worker.backend), claim, &options);
        let seconds = claim.spec.limits.seconds.unwrap_or(options.job_seconds);
        let waited_ms = outside::waited_ms(&claim.checkpoint.record);
        let ends_ms = claim.claimed_ms + waited_ms + u64::from(seconds) * 1_000;
        let left = Duration::from_millis(ends_ms.saturating_sub(clock::now_ms()));
        Self {
            options,
            spec: Arc::clone(&claim.spec),
            preparing: Preparing {
                spec: Arc::clone(&claim.spec),
                compiler: Arc::clone(&worker.compiler),
                draft: worker.options.draft,
                splice_places_max: worker.options.splice_places_max,
            },
            journal,
            signal,
            submitted_ms: claim.submitted_ms,
            claimed_ms: claim.claimed_ms,
            deadline: clock::now() + left,
            began: false,
            dropped: false,
        }
    }

    async fn work(&mut self, prepared: &Prepared) -> Result<(), Closed> {
        outside::take_up(&self.preparing, prepared, &mut self.journal).await;
        loop {
            match self.attempt(prepared).await? {
                Next::Again => {}
                Next::End(end) => return self.journal.finish(*end).await,
                Next::Defer(reason, until_ms) => return self.journal.defer(reason, until_ms).await,
            }
        }
    }

    /// Asks the model once and judges what it says.
    async fn attempt(&mut self, prepared: &Prepared) -> Result<Next, Closed> {
        let splice = self.splice(prepared).await;
        let (part, graft) = splice.map(|splice| (splice.asked, splice.graft)).unzip();
        let asked = part.as_ref().unwrap_or(prepared);
        let request = asked.request(&self.journal.record);
        let asked_at = clock::now();
        let mut call = Call::new(asked.provider.name());
        let stream = match self.open(asked, &request, &mut call).await? {
            Ok(stream) => stream,
            Err(next) => return Ok(next),
        };
        let reason = self.reason();
        let reopened = graft.as_ref().map(Graft::reopened);
        self.journal.begin(reason, reopened).await?;
        self.began = true;
        if self.spec.hooks {
            let hook = hooks::request(&self.journal.record, asked, &request, asked_at);
            self.journal.tell(hook).await?;
        }
        let terms = Terms {
            carrier: request.carrier,
            window: Duration::from_millis(u64::from(self.spec.flush_ms)),
            deadline: self.deadline,
            note_bytes_max: self.options.note_bytes_max,
            refusal_bytes_max: self.options.refusal_bytes_max,
            asked: asked_at,
            hooks: self.spec.hooks,
        };
        let for_places = graft.is_some();
        let (draft, closing) = asked.draft(graft);
        let (places_max, reasks) = (self.options.splice_places_max, self.journal.record.reasks);
        let doom = Doom::new(&self.spec, asked, &closing, places_max, reasks, for_places);
        let attempt = Attempt::new(&mut self.journal, &mut self.signal, draft, closing, doom, terms);
        let answer = attempt.run(stream).await;
        call.stopped(
            answer
                .as_ref()
                .map(|answer| &answer.stopped)
                .map_err(|closed| *closed),
        );
        let answer = answer?;
        self.count(&request, &answer);
        let verdict = judge::judge(&prepared.schema, &answer).await;
        // Of a job that is to be cancelled only its end is taken.
        if self.spec.hooks && !matches!(verdict, Verdict::Cancelled) {
            let hook = hooks::attempt_end(&self.journal.record, &answer, &verdict, asked_at);
            self.journal.tell(hook).await?;
        }
        self.settle(prepared, asked.dialect, &answer, verdict).await
    }

    /// What the next attempt is asked for, where the record says that it is not the whole.
    async fn splice(&mut self, whole: &Prepared) -> Option<Splice> {
        let places = self.journal.record.splice.clone()?;
        let (base, held) = (self.journal.record.best.as_deref(), self.journal.reached());
        let made = match base.zip(held.cloned()) {
            Some((base, held)) => Splice::prepare(&self.preparing, whole, base, held, &places).await,
            None => None,
        };
        if made.is_none() {
            // The conversation has asked for the places already.
            let record = &mut self.journal.record;
            record.splice = None;
            let text = dialect::reask_whole(whole.dialect);
            record.conversation.push(Message::text(Role::User, text));
        }
        made
    }

    /// Why the attempt that now begins is made.
    fn reason(&self) -> Reason {
        let record = &self.journal.record;
        match (record.n, &record.mends) {
            (0, _) => Reason::First,
            (_, Some(_)) => Reason::Invalid,
            (_, None) => Reason::WorkerLost,
        }
    }

    /// Opens the stream; a cancel drops the provider's connection also before the first byte. Nothing has been told
    /// of the attempt yet, so a refusal by rate burns none.
    async fn open(
        &mut self,
        prepared: &Prepared,
        request: &Request,
        call: &mut Call<'_>,
    ) -> Result<Result<Stream, Next>, Closed> {
        loop {
            let signal = *self.signal.borrow_and_update();
            match signal {
                Signal::Go => {}
                Signal::Cancel => return Err(Closed::Cancelled),
                Signal::Lost => return Err(Closed::Lost),
                Signal::Drain => return Ok(Err(self.drain())),
            }
            tokio::select! {
                biased;
                changed = self.signal.changed() => if changed.is_err() { return Err(Closed::Lost) },
                () = clock::sleep_until(self.deadline) => return Ok(Err(self.late())),
                opened = prepared.provider.open(request) => {
                    call.opened(&opened);
                    return Ok(opened.map_err(|error| self.refused(&error)));
                }
            }
        }
    }

    /// The provider did not begin: too busy puts the job back, anything else ends it.
    fn refused(&mut self, error: &LlmError) -> Next {
        let busy = matches!(error.kind, LlmErrorKind::RateLimited | LlmErrorKind::Overloaded);
        let wait = error
            .retry_after
            .unwrap_or(self.options.rate_limit_wait)
            .min(self.options.rate_limit_wait_max);
        if busy && clock::now() + wait < self.deadline {
            self.journal.record.refusals += 1;
            let until = clock::now_ms() + u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            return Next::Defer("rate_limited", until);
        }
        match judge::provider(error) {
            Verdict::Ends(outcome, error) => self.ends(outcome, error),
            Verdict::Valid(_) | Verdict::Invalid(..) | Verdict::Cancelled | Verdict::Drain => self.late(),
        }
    }

    fn late(&self) -> Next {
        self.ends(
            Outcome::Incomplete,
            EndError::new("time_limit", "the job's time is over"),
        )
    }

    fn drain(&self) -> Next {
        Next::Defer("drain", clock::now_ms())
    }

    fn ends(&self, outcome: Outcome, error: EndError) -> Next {
        Next::End(Box::new(self.end(outcome, Some(error), None)))
    }

    async fn settle(
        &mut self,
        prepared: &Prepared,
        dialect: Dialect,
        answer: &Answer,
        verdict: Verdict,
    ) -> Result<Next, Closed> {
        Ok(match verdict {
            Verdict::Valid(value) => self.valid(dialect, answer, &value),
            Verdict::Invalid(fault, value) => {
                return self.invalid(prepared, dialect, answer, &fault, value).await;
            }
            Verdict::Ends(outcome, error) => self.ends(outcome, error),
            Verdict::Cancelled => self.ends(Outcome::Cancelled, cancelled()),
            Verdict::Drain => self.drain(),
        })
    }

    /// Ends the job, or has the value wait for a verdict from outside.
    fn valid(&mut self, dialect: Dialect, answer: &Answer, value: &Value) -> Next {
        let Some(verdict_ms) = self.spec.verdict_ms else {
            return Next::End(Box::new(self.end(Outcome::Completed, None, Some(value))));
        };
        outside::keep(&mut self.journal.record, dialect, answer, value);
        Next::Defer("verdict", clock::now_ms() + u64::from(verdict_ms))
    }

    /// Asks again, for the bad places alone where that can heal it, keeping the model's own answer in the conversation,
    /// until the re-asks are used up.
    async fn invalid(
        &mut self,
        prepared: &Prepared,
        dialect: Dialect,
        answer: &Answer,
        fault: &Fault,
        value: Option<Value>,
    ) -> Result<Next, Closed> {
        let record = &mut self.journal.record;
        if let Some(value) = &value {
            record.best = Some(value.to_json());
        }
        let errors = fault.errors(answer);
        if record.reasks >= self.spec.max_reasks {
            if let (Fault::Violations(violations), Some(value)) = (fault, &value)
                && let Some(left) = items::without_bad(&self.spec, &prepared.schema, value, violations).await
            {
                self.journal.remove(&left.places, left.value.clone()).await?;
                self.dropped = true;
                return Ok(self.valid(dialect, answer, &left.value));
            }
            let message = format!("no valid answer in {} attempts", record.n);
            let error = EndError {
                errors,
                ..EndError::new("invalid_output", message)
            };
            return Ok(self.ends(Outcome::Failed, error));
        }
        let places = match (fault, value) {
            // One who did not keep to places once is asked for the whole.
            (Fault::Violations(violations), Some(value)) if !answer.draft.is_bare() => {
                splice::places(&self.preparing, prepared, violations, value).await
            }
            _ => None,
        };
        let record = &mut self.journal.record;
        let turns = fault.reask(dialect, answer, prepared.dialect, places.as_deref());
        record.conversation.extend(turns);
        record.mends = Some(errors);
        record.splice = places.map(|places| places.into_iter().map(|place| place.pointer).collect());
        Ok(Next::Again)
    }

    /// Counts what an attempt has cost, by our estimate where the provider did not say.
    fn count(&mut self, request: &Request, answer: &Answer) {
        let estimate = || Usage::estimate(hooks::prompt_bytes(request), answer.bytes);
        let usage = answer.usage.unwrap_or_else(estimate);
        let n = self.journal.record.n;
        self.journal.record.usage.push(AttemptUsage {
            n,
            usage,
            repairs: answer.repairs as u64,
        });
        let early = answer.closing.violations().len();
        if early > 0 {
            tracing::debug!(job = %self.journal.job, attempt = n, violations = early, "found while the answer streamed");
        }
        if let Stopped::Provider(error) = &answer.stopped {
            let (job, kind) = (self.journal.job, error.kind.code());
            tracing::warn!(%job, attempt = n, kind, "the provider failed");
        }
    }

    async fn cancelled(&mut self) -> Result<(), Closed> {
        let end = self.end(Outcome::Cancelled, Some(cancelled()), None);
        self.journal.finish(end).await
    }

    fn end(&self, outcome: Outcome, error: Option<EndError>, value: Option<&Value>) -> End {
        let record = &self.journal.record;
        let hash = |value: &Value| hex::encode(&Sha256::digest(value.to_json().as_bytes()));
        End {
            outcome,
            error,
            sha256: value.map(hash),
            best: if outcome == Outcome::Completed && !self.dropped {
                None
            } else {
                record.best.clone()
            },
            usage: record
                .usage
                .iter()
                .fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage)),
            attempts: record.usage.clone(),
            timings: Timings {
                queued_ms: Some(self.claimed_ms.saturating_sub(self.submitted_ms)),
                first_change_ms: record.changed_ms.map(|at| at.saturating_sub(self.claimed_ms)),
                total_ms: clock::now_ms().saturating_sub(self.submitted_ms),
            },
            durable: true,
        }
    }
}

fn cancelled() -> EndError {
    EndError::new("cancelled", "the job was cancelled")
}
