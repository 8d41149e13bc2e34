//! One delivery, top to bottom: claim → prepare → attempt → judge → settle.

use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Stopped, Terms};
use super::budget::{Allowance, Budget};
use super::call::Call;
use super::conversation::Fault;
use super::doom::Doom;
use super::hooks;
use super::items;
use super::journal::{Closed, Journal};
use super::judge::{self, Verdict};
use super::lease::Signal;
use super::open::{Opened, Tries};
use super::outside;
use super::prepare::{Prepared, Preparing, Unfit};
use super::route::Route;
use super::splice::{self, Splice};
use super::{Worker, WorkerOptions};
use crate::backend::Claim;
use crate::clock;
use crate::event::{End, EndError, Timings};
use crate::hex;
use crate::job::{JobSpec, Message, Outcome, Reason, Role};
use crate::llm::{Finish, Request};
use crate::partial::{Graft, Value};
use crate::schema::Closing;
use crate::schema::dialect::{self, Dialect};

/// A job in a worker's hands.
pub(super) struct Delivery {
    pub(super) options: WorkerOptions,
    spec: Arc<JobSpec>,
    pub(super) route: Route,
    preparing: Preparing,
    budget: Budget,
    pub(super) journal: Journal,
    pub(super) signal: watch::Receiver<Signal>,
    submitted_ms: u64,
    claimed_ms: u64,
    pub(super) deadline: Instant,
    /// Whether viewers have not been told of the attempt yet.
    pub(super) is_untold: bool,
    /// Bytes that another worker had read of an answer whose cost nobody has counted.
    pub(super) lost_bytes: Option<usize>,
    /// Whether items were taken out of the value.
    dropped: bool,
}

/// What the steps of an attempt lead to.
pub(super) enum Next {
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
    match delivery.work().await {
        // The log asked for it while an end or a deferral was on its way.
        Err(Closed::Cancelled) => delivery.cancelled().await,
        other => other,
    }
}

impl Delivery {
    fn new(worker: &Worker, claim: &Claim, signal: watch::Receiver<Signal>) -> Self {
        let options = worker.options.clone();
        let checkpoint = &claim.checkpoint;
        let counted = checkpoint.record.usage.last().map_or(0, |last| last.n);
        let journal = Journal::new(Arc::clone(&worker.backend), claim, &options);
        let seconds = claim.spec.limits.seconds.unwrap_or(options.job_seconds);
        let waited_ms = outside::waited_ms(&claim.checkpoint.record);
        let ends_ms = claim.claimed_ms + waited_ms + u64::from(seconds) * 1_000;
        let left = Duration::from_millis(ends_ms.saturating_sub(clock::now_ms()));
        Self {
            lost_bytes: (counted < checkpoint.record.n).then_some(checkpoint.raw.len()),
            spec: Arc::clone(&claim.spec),
            route: Route::of(&worker.providers, &claim.spec.model),
            budget: Budget::of(&claim.spec.limits, &options),
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
            is_untold: true,
            dropped: false,
            options,
        }
    }

    async fn work(&mut self) -> Result<(), Closed> {
        loop {
            match self.attempt().await? {
                Next::Again => {}
                Next::End(end) => return self.journal.finish(*end).await,
                Next::Defer(reason, until_ms) => return self.journal.defer(reason, until_ms).await,
            }
        }
    }

    /// Calls the model until it answers, or no call is left, and judges what it says.
    async fn attempt(&mut self) -> Result<Next, Closed> {
        if let Err(error) = self.budget.attempt(&self.journal.record) {
            return Ok(self.ends(Outcome::Incomplete, error));
        }
        self.is_untold = true;
        let mut tries = Tries::default();
        loop {
            let prepared = match self.route.prepared(&self.preparing).await {
                Ok(prepared) => prepared,
                Err(Unfit { code, message }) => {
                    return Ok(self.ends(Outcome::Failed, EndError::new(code, message)));
                }
            };
            outside::take_up(&self.preparing, &prepared, &mut self.journal).await;
            self.count_lost(&prepared);
            self.tell_modes(&prepared).await?;
            if let Some(next) = self.call(&prepared, &mut tries).await? {
                return Ok(next);
            }
        }
    }

    /// One call of the model; `None` where another follows in the same attempt.
    async fn call(&mut self, prepared: &Prepared, tries: &mut Tries) -> Result<Option<Next>, Closed> {
        let splice = self.splice(prepared).await;
        let (part, graft) = splice.map(|splice| (splice.asked, splice.graft)).unzip();
        if tries.told.is_some_and(|is_part| is_part != part.is_some()) {
            // What viewers were told of the attempt no longer holds.
            self.journal.record.why = Some(Reason::Provider);
            return Ok(Some(Next::Again));
        }
        let asked = part.as_ref().unwrap_or(prepared);
        let mut request = asked.request(&self.journal.record);
        request.retries = tries.retries;
        let allowance = match self.budget.call(&self.journal.record, asked, &mut request) {
            Ok(allowance) => allowance,
            Err(error) => return Ok(Some(self.ends(Outcome::Incomplete, error))),
        };
        let asked_at = clock::now();
        let mut call = Call::new(asked.target.provider.name());
        let stream = match self.open(asked, &request, &mut call).await? {
            Opened::Stream(stream) => *stream,
            Opened::Failed(error) => {
                self.count_failed(asked, &request, &error);
                if self.route.lower(&self.preparing, &error).await {
                    return Ok(None);
                }
                return self.unanswered(asked, &error, tries).await;
            }
            Opened::Barred(barred) => {
                call.spared();
                return self.barred(asked, barred, tries).await;
            }
            Opened::Next(next) => return Ok(Some(next)),
        };
        prepared.taken();
        if tries.told.replace(part.is_some()).is_none() {
            self.begin(graft.as_ref()).await?;
        }
        self.tell_request(asked, &request, asked_at).await?;
        let terms = self.terms(&request, allowance, asked_at);
        let for_places = graft.is_some();
        let (draft, closing) = asked.draft(graft);
        let doom = self.doom(asked, &closing, for_places);
        let attempt = Attempt::new(&mut self.journal, &mut self.signal, draft, closing, doom, terms);
        let answer = attempt.run(stream).await;
        call.stopped(
            answer
                .as_ref()
                .map(|answer| &answer.stopped)
                .map_err(|closed| *closed),
        );
        let mut answer = answer?;
        self.count(asked, &request, &answer);
        if allowance.is_cut && matches!(answer.stopped, Stopped::Finish(Finish::Length)) {
            answer.stopped = Stopped::Budget;
        }
        if let Stopped::Provider(error) = &answer.stopped {
            let next = if self.journal.told() {
                self.broken_off(asked, error).await?
            } else {
                return self.unanswered(asked, error, tries).await;
            };
            if next.is_some() {
                self.tell_end(&answer, None, asked_at).await?;
                return Ok(next);
            }
        }
        let verdict = judge::judge(&prepared.schema, &answer).await;
        self.tell_end(&answer, Some(&verdict), asked_at).await?;
        let next = self.settle(prepared, asked.dialect, &answer, verdict).await?;
        Ok(Some(next))
    }

    fn doom(&self, asked: &Prepared, closing: &Arc<Closing>, for_places: bool) -> Doom {
        let (places_max, reasks) = (self.options.splice_places_max, self.journal.record.reasks);
        Doom::new(&self.spec, asked, closing, places_max, reasks, for_places)
    }

    /// Tells how the model was asked, where hooks are told.
    async fn tell_request(
        &mut self,
        asked: &Prepared,
        request: &Request,
        asked_at: Instant,
    ) -> Result<(), Closed> {
        if !self.spec.hooks {
            return Ok(());
        }
        let hook = hooks::request(&self.journal.record, asked, request, asked_at);
        self.journal.tell(hook).await
    }

    /// Tells which mode took the place of another; one who takes a job over says nothing that was said before.
    async fn tell_modes(&mut self, prepared: &Prepared) -> Result<(), Closed> {
        let is_known = self.journal.record.n > 0 && self.route.is_first() && !prepared.is_lowered();
        for warning in self.route.take_warnings() {
            if !is_known {
                self.journal.warn(warning).await?;
            }
        }
        Ok(())
    }

    async fn begin(&mut self, graft: Option<&Graft>) -> Result<(), Closed> {
        let reason = self.reason();
        self.journal.begin(reason, graft.map(Graft::reopened)).await?;
        self.is_untold = false;
        Ok(())
    }

    /// Tells what an answer came to, where hooks are told; of a job that is to be cancelled only its end is taken.
    async fn tell_end(
        &mut self,
        answer: &Answer,
        verdict: Option<&Verdict>,
        asked_at: Instant,
    ) -> Result<(), Closed> {
        if !self.spec.hooks || matches!(answer.stopped, Stopped::Cancelled) {
            return Ok(());
        }
        let hook = hooks::attempt_end(&self.journal.record, answer, verdict, asked_at);
        self.journal.tell(hook).await
    }

    fn terms(&self, request: &Request, allowance: Allowance, asked: Instant) -> Terms {
        Terms {
            carrier: request.carrier,
            window: Duration::from_millis(u64::from(self.spec.flush_ms)),
            deadline: self.deadline,
            note_bytes_max: self.options.note_bytes_max,
            refusal_bytes_max: self.options.refusal_bytes_max,
            paid_bytes_max: allowance.bytes(),
            asked,
            hooks: self.spec.hooks,
        }
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
    fn reason(&mut self) -> Reason {
        let record = &mut self.journal.record;
        match (record.n, &record.mends, record.why.take()) {
            (0, ..) => Reason::First,
            (_, Some(_), _) => Reason::Invalid,
            (_, None, Some(why)) => why,
            (_, None, None) => Reason::WorkerLost,
        }
    }

    pub(super) fn late(&self) -> Next {
        self.ends(
            Outcome::Incomplete,
            EndError::new("time_limit", "the job's time is over"),
        )
    }

    pub(super) fn drain(&self) -> Next {
        Next::Defer("drain", clock::now_ms())
    }

    pub(super) fn ends(&self, outcome: Outcome, error: EndError) -> Next {
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
            usage: record.total(),
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
