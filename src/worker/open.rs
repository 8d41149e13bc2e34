//! The calls of an attempt up to the first change of the value: opening them, waiting between them, and what follows one
//! that failed.

use std::time::Duration;

use super::call::Call;
use super::course::Way;
use super::journal::Closed;
use super::judge;
use super::lease::Signal;
use super::policy::{self, After};
use super::prepare::Prepared;
use super::run::{Asking, Delivery, Next};
use crate::clock;
use crate::event::EndError;
use crate::job::{Outcome, Reason};
use crate::llm::{Bar, Barred, LlmError, LlmErrorKind, Request, Stream};
use crate::metrics;

/// How far an attempt has come without an answer.
#[derive(Clone, Copy, Default)]
pub(super) struct Tries {
    /// Calls that were made again.
    pub(super) retries: u32,
    /// Once viewers were told of the attempt: which way it takes.
    pub(super) told: Option<Way>,
    /// The first time at which a model may be asked that was barred.
    barred: Option<tokio::time::Instant>,
}

/// What came of opening a call.
pub(super) enum Opened {
    /// The answer is on its way.
    Stream(Box<Stream>),
    /// There is none.
    Failed(LlmError),
    /// The model is to be left alone.
    Barred(Barred),
    /// Something else has come over it.
    Next(Next),
}

impl Delivery {
    /// Opens the stream; a cancel drops the provider's connection also before the first byte.
    pub(super) async fn open(
        &mut self,
        asked: &Prepared,
        request: &Request,
        call: &mut Call<'_>,
    ) -> Result<Opened, Closed> {
        let target = &asked.target;
        let pass = match target.provider.admit(target.model_name()) {
            Ok(pass) => pass,
            Err(barred) => return Ok(Opened::Barred(barred)),
        };
        let interrupted = tokio::select! {
            biased;
            signal = interrupted(&mut self.signal) => Some(signal),
            () = clock::sleep_until(self.deadline) => None,
            opened = target.provider.open_with(pass, request) => {
                call.opened(&opened);
                return Ok(match opened {
                    Ok(stream) => Opened::Stream(Box::new(stream)),
                    Err(error) => Opened::Failed(error),
                });
            }
        };
        // The model may have read the prompt by now, and somebody pays for that.
        self.count_dropped(asked, request);
        match interrupted {
            Some(signal) => self.yield_to(signal).map(Opened::Next),
            None => Ok(Opened::Next(self.late())),
        }
    }

    /// Waits, unless something comes over it.
    async fn pause(&mut self, wait: Duration) -> Result<Option<Next>, Closed> {
        tokio::select! {
            biased;
            signal = interrupted(&mut self.signal) => self.yield_to(signal).map(Some),
            () = clock::sleep(wait) => Ok(None),
        }
    }

    /// What has come over the delivery by now.
    pub(super) fn overtaken(&self) -> Result<Option<Next>, Closed> {
        let signal = *self.signal.borrow();
        match signal {
            Signal::Go if clock::now() < self.deadline => Ok(None),
            Signal::Go => Ok(Some(self.late())),
            signal => self.yield_to(signal).map(Some),
        }
    }

    fn yield_to(&self, signal: Signal) -> Result<Next, Closed> {
        match signal {
            Signal::Cancel => Err(Closed::Cancelled),
            Signal::Drain => Ok(self.drain()),
            Signal::Lost | Signal::Go => Err(Closed::Lost),
        }
    }

    /// A call failed before anything was told of its value; `None` where another follows within the attempt.
    pub(super) async fn unanswered(
        &mut self,
        asking: &Asking<'_>,
        error: &LlmError,
        tries: &mut Tries,
    ) -> Result<Option<Next>, Closed> {
        let asked = asking.asked;
        self.hook_failed(asking, error).await?;
        self.leave_alone(asked, error);
        let left = self.deadline.saturating_duration_since(clock::now());
        let can_fall_back = self.route.next().is_some();
        match policy::after(&self.options, error, tries.retries, can_fall_back, left) {
            After::Retry(wait) => {
                tries.retries += 1;
                let provider = asked.target.provider.name();
                metrics::all().provider_retries.one([provider, error.kind.code()]);
                let (n, most, ms) = (tries.retries, self.options.retries_max, wait.as_millis());
                let warning = format!("{error}; asked again in {ms} ms, {n} of {most}");
                self.journal.warn(warning).await?;
                self.pause(wait).await
            }
            After::Fallback => self.fall_back(asked, &error.to_string()).await.map(|()| None),
            After::Defer(word, wait) => Ok(Some(self.put_back(word, wait, *tries))),
            After::End => {
                let (outcome, error) = judge::provider(error);
                Ok(Some(self.ends(outcome, error)))
            }
        }
    }

    /// The model is to be left alone: the next of the chain is asked, or the job waits, holding no slot.
    pub(super) async fn barred(
        &mut self,
        asked: &Prepared,
        barred: Barred,
        tries: &mut Tries,
    ) -> Result<Option<Next>, Closed> {
        let (word, code, why) = match barred.by {
            Bar::RateLimited => (
                "rate_limited",
                "provider_rate_limited",
                "is asked too often, and left alone for a while",
            ),
            Bar::Broken => (
                "unavailable",
                "provider_unavailable",
                "fails again and again, and is not asked for a while",
            ),
        };
        let why = format!("{} {why}", asked.target);
        let now = clock::now();
        let until = barred.until.unwrap_or(now + self.options.rate_limit_wait);
        let until = tries.barred.map_or(until, |first| first.min(until));
        tries.barred = Some(until);
        if self.route.next().is_some() {
            return self.fall_back(asked, &why).await.map(|()| None);
        }
        let wait = until.saturating_duration_since(now);
        if until >= self.deadline {
            return Ok(Some(self.ends(Outcome::Failed, EndError::new(code, why))));
        }
        let wait = wait + policy::spread(&self.options, wait);
        Ok(Some(self.put_back(word, wait, *tries)))
    }

    /// An answer broke off behind its first change: where there is a next model, that is asked from now on.
    pub(super) async fn broken_off(&mut self, asked: &Prepared, error: &LlmError) -> Result<bool, Closed> {
        self.leave_alone(asked, error);
        if self.route.next().is_none() {
            return Ok(false);
        }
        self.fall_back(asked, &error.to_string()).await?;
        Ok(true)
    }

    async fn fall_back(&mut self, asked: &Prepared, why: &str) -> Result<(), Closed> {
        let Some(next) = self.route.next() else {
            return Ok(());
        };
        let warning = format!("{why}; {next} is asked instead");
        metrics::all()
            .provider_fallbacks
            .one([asked.target.provider.name()]);
        self.route.advance();
        self.journal.warn(warning).await
    }

    /// What a provider says of its limit holds for all jobs of this node.
    fn leave_alone(&self, asked: &Prepared, error: &LlmError) {
        if error.kind == LlmErrorKind::RateLimited {
            let wait = policy::busy_wait(&self.options, error);
            asked.target.provider.block(asked.target.model_name(), wait);
        }
    }

    fn put_back(&mut self, word: &'static str, wait: Duration, tries: Tries) -> Next {
        let record = &mut self.journal.record;
        record.refusals += 1;
        if tries.told.is_some() {
            record.why = Some(Reason::Provider);
        }
        deferred(word, wait)
    }

    /// An answer that its provider broke off is gone on with, once that has had time.
    pub(super) async fn give_time(&mut self, error: &LlmError) -> Result<Next, Closed> {
        let left = self.deadline.saturating_duration_since(clock::now());
        match policy::behind(&self.options, error, self.journal.record.continuation.made, left) {
            After::Retry(wait) => Ok(self.pause(wait).await?.unwrap_or(Next::Again)),
            After::Defer(word, wait) => Ok(deferred(word, wait)),
            After::Fallback | After::End => {
                let (outcome, error) = judge::provider(error);
                Ok(self.ends(outcome, error))
            }
        }
    }
}

fn deferred(word: &'static str, wait: Duration) -> Next {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Next::Defer(word, clock::now_ms().saturating_add(wait_ms))
}

/// What comes over a delivery; for ever pending while nothing does.
async fn interrupted(signal: &mut tokio::sync::watch::Receiver<Signal>) -> Signal {
    match signal.wait_for(|signal| *signal != Signal::Go).await {
        Ok(signal) => *signal,
        Err(_) => Signal::Lost,
    }
}
