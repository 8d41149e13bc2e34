//! One delivery, top to bottom: claim → prepare → attempt → judge → settle.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::watch;
use tokio::time::Instant;

use super::attempt::{Answer, Attempt, Stopped, Terms};
use super::budget::{Allowance, Budget};
use super::call::Call;
use super::conversation::{self, Fault};
use super::cost;
use super::course::{Begun, Course, Way};
use super::doom::Doom;
use super::guard::Bounds;
use super::hooks;
use super::items;
use super::journal::{Closed, Journal, Opening};
use super::judge::{self, Broken, Verdict};
use super::ladder::{self, Stands};
use super::lease::Signal;
use super::open::{Opened, Tries};
use super::outside;
use super::prepare::{Prepared, Preparing, Unfit};
use super::route::Route;
use super::splice;
use super::{Worker, WorkerOptions};
use crate::backend::Claim;
use crate::clock;
use crate::event::{End, EndError, Timings};
use crate::hex;
use crate::job::{JobSpec, Message, Outcome, Plan, Reason};
use crate::llm::{Finish, LlmErrorKind, Request, Stream};
use crate::metrics;
use crate::partial::Value;
use crate::schema::dialect::Dialect;

/// A job in a worker's hands.
pub(super) struct Delivery {
    pub(super) options: WorkerOptions,
    pub(super) spec: Arc<JobSpec>,
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
}

/// A call that is made.
pub(super) struct Asking<'a> {
    pub(super) asked: &'a Prepared,
    pub(super) request: &'a Request,
    allowance: Allowance,
    way: Way,
    /// When.
    pub(super) at: Instant,
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
        let record = &checkpoint.record;
        let counted = record.usage.last().map_or(0, |last| last.n);
        // A call before it may have been counted in the same attempt.
        let is_uncounted = record.running.is_some() || counted < record.n;
        let mut journal = Journal::new(Arc::clone(&worker.backend), claim, &options);
        outside::forget_unasked(&mut journal.record);
        let seconds = claim.spec.limits.seconds.unwrap_or(options.job_seconds);
        let waited_ms = outside::waited_ms(&claim.checkpoint.record);
        let ends_ms = claim.claimed_ms + waited_ms + u64::from(seconds) * 1_000;
        let left = Duration::from_millis(ends_ms.saturating_sub(clock::now_ms()));
        Self {
            lost_bytes: is_uncounted.then_some(checkpoint.raw.len()),
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
    async fn call(&mut self, prepared: &Arc<Prepared>, tries: &mut Tries) -> Result<Option<Next>, Closed> {
        let course = match self.charted(prepared, tries).await? {
            ControlFlow::Continue(course) => course,
            ControlFlow::Break(next) => return Ok(Some(next)),
        };
        let way = course.way();
        if tries.told.is_some_and(|told| told != way) {
            // What viewers were told of the attempt no longer holds.
            self.journal.record.why = Some(Reason::Provider);
            return Ok(Some(Next::Again));
        }
        let asked = &course.asked(prepared);
        let mut request = course.request(asked, &self.journal.record);
        request.retries = tries.retries;
        let allowance = match self.budget.call(&self.journal.record, asked, &mut request) {
            Ok(allowance) => allowance,
            Err(error) => return Ok(Some(self.ends(Outcome::Incomplete, error))),
        };
        let asking = Asking {
            asked,
            request: &request,
            allowance,
            way,
            at: clock::now(),
        };
        let mut call = Call::new(asked.target.provider.name());
        let stream = match self.open(asked, &request, &mut call).await? {
            Opened::Stream(stream) => *stream,
            Opened::Failed(error) if way == Way::Prefill && error.kind == LlmErrorKind::BadRequest => {
                // It is not as it was known to be: what is missing can be asked of anyone.
                self.journal.record.continuation.plan = Plan::Residual;
                return Ok(None);
            }
            Opened::Failed(error) => {
                self.count_failed(asked, &request, &error);
                if self.route.lower(&self.preparing, &error).await {
                    return Ok(None);
                }
                return self.unanswered(&asking, &error, tries).await;
            }
            Opened::Barred(barred) => {
                call.spared();
                return self.barred(asked, barred, tries).await;
            }
            Opened::Next(next) => return Ok(Some(next)),
        };
        prepared.taken();
        let is_first = tries.told.replace(way).is_none();
        let begun = course.begin(asked, &self.journal.record);
        let answer = self.listen(&asking, begun, is_first, stream).await;
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
        match &answer.stopped {
            Stopped::Provider(error) if !answer.draft.is_told() => {
                self.unanswered(&asking, error, tries).await
            }
            _ => self.heard(prepared, &asking, &answer).await.map(Some),
        }
    }

    /// How a call comes to the value, or what there is in its place.
    async fn charted(
        &mut self,
        prepared: &Prepared,
        tries: &Tries,
    ) -> Result<ControlFlow<Next, Course>, Closed> {
        let next = match Course::chart(&self.preparing, prepared, &mut self.journal).await {
            Course::Nothing(value) => self.stands(prepared, &value).await?,
            Course::End(broke) => {
                let error = EndError::new(broke.error.keyword, broke.error.message);
                self.ends(Outcome::Incomplete, error)
            }
            course => match self.hindered(tries)? {
                Some(next) => next,
                None => return Ok(ControlFlow::Continue(course)),
            },
        };
        Ok(ControlFlow::Break(next))
    }

    /// What is in the way of a call: something has come over the delivery, or no attempt is left for it.
    fn hindered(&self, tries: &Tries) -> Result<Option<Next>, Closed> {
        if let Some(next) = self.overtaken()? {
            return Ok(Some(next));
        }
        if tries.told.is_some() {
            return Ok(None);
        }
        let spent = self.budget.attempt(&self.journal.record).err();
        Ok(spent.map(|error| self.ends(Outcome::Incomplete, error)))
    }

    /// Tells of the call and reads its answer.
    async fn listen(
        &mut self,
        asking: &Asking<'_>,
        begun: Begun,
        is_first: bool,
        stream: Stream,
    ) -> Result<Answer, Closed> {
        self.journal.record.running = Some(cost::running(asking.asked, asking.request, &begun.opening));
        self.begin(begun.opening, is_first).await?;
        if is_first {
            let way = asking.way.word(self.journal.record.n);
            metrics::all().attempt_ways.one([way]);
        }
        self.hook_request(asking).await?;
        let terms = self.terms(asking);
        let (places_max, reasks) = (self.options.splice_places_max, self.journal.record.reasks);
        let for_places = matches!(asking.way, Way::Splice | Way::Rest);
        let closing = &begun.reading.closing;
        let doom = Doom::new(&self.spec, asking.asked, closing, places_max, reasks, for_places);
        let (journal, signal) = (&mut self.journal, &mut self.signal);
        Attempt::new(journal, signal, begun.reading, doom, terms)
            .run(stream)
            .await
    }

    /// Tells how the model was asked, where hooks are told.
    async fn hook_request(&mut self, asking: &Asking<'_>) -> Result<(), Closed> {
        if !self.spec.hooks {
            return Ok(());
        }
        let hook = hooks::request(self.journal.record.n, asking);
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

    /// Tells viewers of the attempt, with its first call.
    async fn begin(&mut self, opening: Opening, is_first: bool) -> Result<(), Closed> {
        if !is_first {
            self.journal.begin_again(opening);
            return Ok(());
        }
        let reason = self.reason();
        self.journal.begin(reason, opening).await?;
        self.is_untold = false;
        Ok(())
    }

    /// What an answer leads to that viewers have seen something of.
    async fn heard(
        &mut self,
        prepared: &Prepared,
        asking: &Asking<'_>,
        answer: &Answer,
    ) -> Result<Next, Closed> {
        let verdict = judge::judge(&prepared.schema, answer, self.own_limit()).await;
        self.hook_end(answer, &verdict, asking.at).await?;
        let broken = match verdict {
            Verdict::Broken(broken) => broken,
            verdict => return self.settle(prepared, asking.asked.dialect, answer, verdict).await,
        };
        let fell_back = match &answer.stopped {
            Stopped::Provider(error) => self.broken_off(asking.asked, error).await?,
            _ => false,
        };
        let next = self.broken(prepared, answer, broken, fell_back);
        match (&answer.stopped, next) {
            (Stopped::Provider(error), Next::Again) if !fell_back => self.give_time(error).await,
            (_, next) => Ok(next),
        }
    }

    /// Tells what an answer came to, where hooks are told; of a job that is to be cancelled only its end is taken.
    async fn hook_end(
        &mut self,
        answer: &Answer,
        verdict: &Verdict,
        asked_at: Instant,
    ) -> Result<(), Closed> {
        if !self.spec.hooks || matches!(answer.stopped, Stopped::Cancelled) {
            return Ok(());
        }
        let hook = hooks::attempt_end(&self.journal.record, answer, verdict, asked_at);
        self.journal.tell(hook).await
    }

    /// The job's bound on the tokens of an attempt, where it has named no budget that says how many more it may be.
    fn own_limit(&self) -> Option<u32> {
        let limits = &self.spec.limits;
        let has_budget = limits.total_tokens.is_some() || limits.cost.is_some();
        limits.tokens.filter(|_| !has_budget)
    }

    fn terms(&self, asking: &Asking<'_>) -> Terms {
        let options = &self.options;
        Terms {
            carrier: asking.request.carrier,
            window: Duration::from_millis(u64::from(self.spec.flush_ms)),
            beat: options.flush_beat,
            deadline: self.deadline,
            until: clock::now() + Duration::from_secs(u64::from(options.attempt_seconds)),
            bounds: Bounds {
                repeat_bytes_max: options.repeat_bytes_max,
                string_bytes_max: options.string_bytes_max,
                beside_bytes_max: options.beside_bytes_max,
                behind_bytes_max: options.note_bytes_max,
            },
            note_bytes_max: options.note_bytes_max,
            refusal_bytes_max: options.refusal_bytes_max,
            paid_bytes_max: asking.allowance.bytes(),
            asked: asking.at,
            hooks: self.spec.hooks,
        }
    }

    /// A value that broke off where nothing was lacking any more: it is judged as an answer.
    async fn stands(&mut self, prepared: &Prepared, value: &Value) -> Result<Next, Closed> {
        let (_, closing) = prepared.draft();
        let answer = Answer::read_back(value, closing);
        let verdict = judge::judge(&prepared.schema, &answer, None).await;
        self.settle(prepared, prepared.dialect, &answer, verdict).await
    }

    /// Why the attempt that now begins is made.
    fn reason(&mut self) -> Reason {
        let record = &mut self.journal.record;
        let why = record.why.take();
        match (record.n, &record.mends, &record.continuation.because) {
            (0, ..) => Reason::First,
            (_, Some(_), _) => Reason::Invalid,
            (_, None, Some(broke)) => broke.reason,
            (_, None, None) => why.unwrap_or(Reason::WorkerLost),
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
            Verdict::Valid(value) => {
                let turns = conversation::turns(dialect, answer, "", true);
                self.valid(turns, &value)
            }
            Verdict::Invalid(fault, value) => {
                return self.invalid(prepared, dialect, answer, &fault, value).await;
            }
            Verdict::Broken(broken) => self.ends(broken.outcome, broken.error),
            Verdict::Ends(outcome, error) => self.ends(outcome, error),
            Verdict::Cancelled => self.ends(Outcome::Cancelled, cancelled()),
            Verdict::Drain => self.drain(),
        })
    }

    /// Ends the job, or has the value wait for a verdict from outside.
    fn valid(&mut self, turns: Vec<Message>, value: &Value) -> Next {
        let Some(verdict_ms) = self.spec.verdict_ms else {
            return Next::End(Box::new(self.end(Outcome::Completed, None, Some(value))));
        };
        outside::keep(&mut self.journal.record, turns, value);
        Next::Defer("verdict", clock::now_ms() + u64::from(verdict_ms))
    }

    /// What follows an answer that broke off: another rung of the ladder, or the end. `fell_back`: another model is asked
    /// from now on.
    fn broken(&mut self, prepared: &Prepared, answer: &Answer, broken: Broken, fell_back: bool) -> Next {
        let held = self.journal.reached();
        let stands = Stands::of(answer, held, prepared.goes_on());
        let record = &mut self.journal.record;
        let passes = fell_back || !broken.stays;
        if !passes || !ladder::next(record, &broken, stands, self.options.continuations_max) {
            if fell_back {
                ladder::anew(record, &broken);
                return Next::Again;
            }
            return self.ends(broken.outcome, broken.error);
        }
        if record.splice.is_some() {
            record.continuation.plan = match ladder::places_left(record, &answer.draft) {
                Some(left) => {
                    let turns = ladder::ask_left(&answer.draft, &left, prepared.dialect);
                    record.conversation.extend(turns);
                    Plan::Residual
                }
                None => Plan::Whole,
            };
        }
        Next::Again
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
                record.undropped.clone_from(&record.best);
                self.journal.remove(&left.places, left.value.clone()).await?;
                let turns = conversation::turns(dialect, answer, "", true);
                return Ok(self.valid(turns, &left.value));
            }
            let message = format!("no valid answer in {} attempts", record.n);
            let error = EndError {
                errors,
                ..EndError::new("invalid_output", message)
            };
            return Ok(self.ends(Outcome::Failed, error));
        }
        // The last re-ask is for the whole.
        let once_more = (record.reasks + 1 < self.spec.max_reasks)
            .then(|| ladder::once_more(record, answer, fault, [dialect, prepared.dialect]));
        if let Some(turns) = once_more.flatten() {
            record.conversation.extend(turns);
            record.mends = Some(errors);
            return Ok(Next::Again);
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
        record.continuation.settle();
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
            best: record.best_beside(outcome),
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
