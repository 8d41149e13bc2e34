//! How the models of a provider do, as this node has seen it: whether one may be asked now.
//!
//! A model that answered 429 is left alone until the time it named. One that fails again and again is not asked until a
//! while has passed, and then by one call alone:
//!
//! ```text
//!           faults ≥ their share, or first bytes that never came
//!  closed ──────────────────────────────────────────────────────▶ open
//!    ▲                                                             │ breaker.open_ms
//!    └── its first piece ── half-open: one probe ◀─────────────────┘
//!                               └── it fails ──▶ open
//! ```

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::chunk::{LlmError, LlmErrorKind};
use super::kind::Kind;
use super::news::{News, Teller};
use crate::clock;
use crate::metrics::all;
use crate::recent::Recent;

/// Bytes of a model's name in the mean: clients choose names where a provider takes any.
const NAME_BYTES: usize = 256;
/// By how much more a model is blocked than was told before, so that it is told again.
const TOLD_AGAIN: Duration = Duration::from_millis(500);
/// Characters of a name that are logged.
const NAME_CHARS_MAX: usize = 128;

/// When a model is given up for a while.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BreakerOptions {
    /// How far back calls count. Default: 30 s.
    pub window: Duration,
    /// Calls of a model within the window before their faults are weighed. Default: 10.
    pub calls_min: u32,
    /// The share of them that must have failed, percent. Default: 50.
    pub faults_percent: u32,
    /// Calls one after the other whose first byte did not come in time. Default: 3.
    pub timeouts: u32,
    /// How long such a model is not asked. Default: 15 s.
    pub open: Duration,
    /// Models of a provider that are remembered; of one that does well there is nothing to remember. Default: 256.
    pub models_max: usize,
}

impl Default for BreakerOptions {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(30),
            calls_min: 10,
            faults_percent: 50,
            timeouts: 3,
            open: Duration::from_secs(15),
            models_max: 256,
        }
    }
}

/// Why a model is not asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Barred {
    /// What keeps it.
    pub by: Bar,
    /// Until when, where that is known: a probe may take as long as it takes.
    pub until: Option<Instant>,
}

/// What keeps a model from being asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bar {
    /// It said that it was asked too often.
    RateLimited,
    /// It failed again and again.
    Broken,
}

/// What is known of the models of one provider.
#[derive(Debug)]
pub(super) struct Health {
    provider: String,
    kind: Kind,
    options: BreakerOptions,
    teller: Teller,
    /// Only of those that did not do well.
    models: Mutex<Recent<String, Model>>,
}

#[derive(Debug, Default)]
struct Model {
    blocked_until: Option<Instant>,
    breaker: Breaker,
}

#[derive(Debug, Default)]
struct Breaker {
    state: State,
    /// First bytes that did not come in time, one after the other.
    timeouts: u32,
    /// Two halves of the window; the older one is dropped when the younger is full.
    halves: [Half; 2],
    began: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Half {
    calls: u32,
    faults: u32,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Closed,
    Open {
        until: Instant,
        _shown: Shown,
    },
    Probing {
        _shown: Shown,
    },
}

/// One more on the gauge, as long as it lives.
#[derive(Debug)]
struct Shown(String);

impl Shown {
    fn new(provider: &str) -> Self {
        all().breakers_open.up([provider]);
        Self(provider.to_owned())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        all().breakers_open.down([&self.0]);
    }
}

/// Leave to ask a model once; what came of it is told to it.
#[derive(Debug)]
pub struct Pass {
    /// `None` for a model that is always well.
    health: Option<Arc<Health>>,
    model: String,
    /// Whether it is the one call that is to find out.
    is_probe: bool,
    /// Whether the answer has begun.
    began: bool,
}

impl Pass {
    /// To a model of which nothing is remembered.
    pub(super) fn free() -> Self {
        Self {
            health: None,
            model: String::new(),
            is_probe: false,
            began: false,
        }
    }

    /// A piece of the answer came.
    pub(super) fn answered(&mut self) {
        if !std::mem::replace(&mut self.began, true)
            && let Some(health) = &self.health
        {
            health.answered(&self.model, self.is_probe);
            self.is_probe = false;
        }
    }

    /// The call failed.
    pub(super) fn failed(&mut self, error: &LlmError) {
        let Some(health) = &self.health else { return };
        if error.kind.is_fault() {
            health.failed(&self.model, error.kind, self.is_probe);
            self.is_probe = false;
        }
    }
}

/// A probe that was dropped, or refused by no fault of the provider's, has found nothing out: the next call is one.
impl Drop for Pass {
    fn drop(&mut self) {
        if let (true, Some(health)) = (self.is_probe, &self.health) {
            health.change(&self.model, |breaker| breaker.open(health, clock::now()));
        }
    }
}

/// As much of a name as a line of the log takes.
fn shown(model: &str) -> String {
    model.chars().take(NAME_CHARS_MAX).collect()
}

impl Health {
    pub(super) fn new(provider: &str, kind: Kind, options: BreakerOptions, teller: Teller) -> Self {
        Self {
            provider: provider.to_owned(),
            kind,
            teller,
            models: Mutex::new(Recent::new(
                options.models_max,
                options.models_max.saturating_mul(NAME_BYTES),
            )),
            options,
        }
    }

    /// Leave to ask `model` now.
    pub(super) fn admit(self: &Arc<Self>, model: &str) -> Result<Pass, Barred> {
        let now = clock::now();
        let mut pass = Pass {
            health: Some(Arc::clone(self)),
            model: model.to_owned(),
            ..Pass::free()
        };
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        for name in [self.limit_of(model), model] {
            if let Some(until) = models.get(&name.to_owned()).and_then(|known| known.blocked_until)
                && until > now
            {
                return Err(Barred {
                    by: Bar::RateLimited,
                    until: Some(until),
                });
            }
        }
        if let Some(known) = models.get(&pass.model) {
            pass.is_probe = known.breaker.admit(self, model, now)?;
        }
        Ok(pass)
    }

    /// Nobody asks `model` for so long.
    pub(super) fn block(&self, model: &str, wait: Duration) {
        let until = clock::now() + wait;
        all().provider_blocks.one([&self.provider]);
        let model = self.limit_of(model);
        let mut is_news = false;
        self.with(model, |known| {
            is_news = known.blocked_until.is_none_or(|told| until > told + TOLD_AGAIN);
            known.blocked_until = known.blocked_until.max(Some(until));
        });
        if is_news {
            self.tell(model, Bar::RateLimited, wait);
        }
    }

    /// Another node has found that `model` is to be left alone for so long.
    pub(super) fn heard(&self, model: &str, bar: Bar, wait: Duration) {
        let until = clock::now() + wait;
        self.with(model, |known| match bar {
            Bar::RateLimited => known.blocked_until = known.blocked_until.max(Some(until)),
            // What this node is about to find out it finds out.
            Bar::Broken if matches!(known.breaker.state, State::Closed) => known.breaker.open(self, until),
            Bar::Broken => {}
        });
    }

    fn tell(&self, model: &str, bar: Bar, wait: Duration) {
        self.teller.tell(News {
            provider: self.provider.clone(),
            model: model.to_owned(),
            bar,
            wait,
        });
    }

    /// Under which name a limit of rate holds: the vendors count by model, a machine of one's own does not.
    fn limit_of<'a>(&self, model: &'a str) -> &'a str {
        match self.kind {
            Kind::OpenAi | Kind::Anthropic | Kind::Gemini | Kind::Responses => model,
            Kind::Ollama => "",
        }
    }

    fn answered(&self, model: &str, is_probe: bool) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nothing is known, there is nothing bad to be weighed against.
        let Some(known) = models.get(&model.to_owned()) else {
            return;
        };
        let breaker = &mut known.breaker;
        breaker.timeouts = 0;
        breaker.weigh(&self.options, clock::now()).calls += 1;
        if is_probe {
            let (provider, model) = (&self.provider, shown(model));
            tracing::info!(%provider, ?model, "the model answers again: it is asked as before");
            *breaker = Breaker::default();
        }
    }

    fn failed(&self, model: &str, kind: LlmErrorKind, is_probe: bool) {
        let now = clock::now();
        let mut is_news = false;
        self.change(model, |breaker| {
            let half = breaker.weigh(&self.options, now);
            half.calls += 1;
            half.faults += 1;
            breaker.timeouts = match kind {
                LlmErrorKind::FirstByteTimeout => breaker.timeouts + 1,
                _ => 0,
            };
            let is_closed = matches!(breaker.state, State::Closed);
            if is_probe || (is_closed && breaker.is_too_much(&self.options)) {
                let (provider, kind, model) = (&self.provider, kind.code(), shown(model));
                let open_ms = u64::try_from(self.options.open.as_millis()).unwrap_or(u64::MAX);
                tracing::warn!(%provider, ?model, kind, open_ms, "the model fails: it is not asked for a while");
                breaker.open(self, now + self.options.open);
                is_news = true;
            }
        });
        if is_news {
            self.tell(model, Bar::Broken, self.options.open);
        }
    }

    fn change(&self, model: &str, change: impl FnOnce(&mut Breaker)) {
        self.with(model, |known| change(&mut known.breaker));
    }

    fn with(&self, model: &str, change: impl FnOnce(&mut Model)) {
        let mut models = self.models.lock().unwrap_or_else(PoisonError::into_inner);
        let name = model.to_owned();
        if let Some(known) = models.get(&name) {
            return change(known);
        }
        let mut known = Model::default();
        change(&mut known);
        let bytes = name.len();
        models.insert(name, known, bytes);
    }
}

impl Breaker {
    /// Whether the call that is let through is the probe.
    fn admit(&mut self, health: &Health, model: &str, now: Instant) -> Result<bool, Barred> {
        let barred = |until| Barred {
            by: Bar::Broken,
            until,
        };
        match self.state {
            State::Closed => Ok(false),
            State::Open { until, .. } if until > now => Err(barred(Some(until))),
            State::Open { .. } => {
                let (provider, model) = (&health.provider, shown(model));
                tracing::info!(%provider, ?model, "one call finds out whether the model answers again");
                self.state = State::Probing {
                    _shown: Shown::new(provider),
                };
                Ok(true)
            }
            State::Probing { .. } => Err(barred(None)),
        }
    }

    fn open(&mut self, health: &Health, until: Instant) {
        *self = Self {
            state: State::Open {
                until,
                _shown: Shown::new(&health.provider),
            },
            ..Self::default()
        };
    }

    /// The half of the window that is on.
    fn weigh(&mut self, options: &BreakerOptions, now: Instant) -> &mut Half {
        let half = options.window / 2;
        let began = *self.began.get_or_insert(now);
        if now >= began + options.window {
            self.halves = [Half::default(); 2];
            self.began = Some(now);
        } else if now >= began + half {
            self.halves = [Half::default(), self.halves[0]];
            self.began = Some(began + half);
        }
        &mut self.halves[0]
    }

    fn is_too_much(&self, options: &BreakerOptions) -> bool {
        let of = |count: fn(&Half) -> u32| self.halves.iter().map(count).sum::<u32>();
        let (calls, faults) = (of(|half| half.calls), of(|half| half.faults));
        let share = u64::from(faults) * 100 >= u64::from(calls) * u64::from(options.faults_percent);
        self.timeouts >= options.timeouts || (calls >= options.calls_min && share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health() -> Arc<Health> {
        Arc::new(Health::new(
            "a",
            Kind::OpenAi,
            BreakerOptions::default(),
            Teller::default(),
        ))
    }

    fn fail(health: &Arc<Health>, kind: LlmErrorKind) {
        health
            .admit("m")
            .unwrap()
            .failed(&LlmError::new(kind, "it failed"));
    }

    fn is_open(health: &Arc<Health>) -> bool {
        matches!(health.admit("m"), Err(Barred { by: Bar::Broken, .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn faults_open_it_one_probe_closes_it() {
        let health = health();
        for _ in 0..9 {
            fail(&health, LlmErrorKind::Server);
            assert!(!is_open(&health));
        }
        fail(&health, LlmErrorKind::Server);
        assert!(is_open(&health));
        assert!(health.admit("other").is_ok(), "one model is not another");
        clock::sleep(Duration::from_secs(15)).await;
        let mut probe = health.admit("m").unwrap();
        assert_eq!(health.admit("m").unwrap_err().until, None, "one probe alone");
        probe.answered();
        assert!(!is_open(&health));
        // What was weighed before is forgotten.
        fail(&health, LlmErrorKind::Server);
        assert!(!is_open(&health));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_that_fails_opens_it_again_and_one_that_is_dropped_says_nothing() {
        let health = health();
        for _ in 0..3 {
            fail(&health, LlmErrorKind::FirstByteTimeout);
        }
        assert!(is_open(&health));
        clock::sleep(Duration::from_secs(15)).await;
        fail(&health, LlmErrorKind::Connect);
        assert!(is_open(&health));
        clock::sleep(Duration::from_secs(15)).await;
        drop(health.admit("m").unwrap());
        let mut refused = health.admit("m").unwrap();
        refused.failed(&LlmError::new(LlmErrorKind::BadRequest, "no"));
        drop(refused);
        health.admit("m").unwrap().answered();
        assert!(!is_open(&health));
    }

    #[tokio::test(start_paused = true)]
    async fn old_faults_and_those_of_the_request_do_not_count() {
        let health = health();
        for _ in 0..9 {
            fail(&health, LlmErrorKind::Cut);
        }
        clock::sleep(Duration::from_secs(30)).await;
        fail(&health, LlmErrorKind::Cut);
        for _ in 0..100 {
            fail(&health, LlmErrorKind::BadRequest);
        }
        assert!(!is_open(&health));
        for _ in 0..13 {
            health.admit("m").unwrap().answered();
        }
        for _ in 0..9 {
            fail(&health, LlmErrorKind::Cut);
            assert!(!is_open(&health), "fewer than half");
        }
        for _ in 0..2 {
            fail(&health, LlmErrorKind::FirstByteTimeout);
            health.admit("m").unwrap().answered();
        }
        assert!(!is_open(&health), "not one after the other");
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_of_rate_is_the_models_or_the_machines() {
        let vendor = health();
        vendor.block("m", Duration::from_secs(5));
        vendor.block("m", Duration::from_secs(1));
        let barred = vendor.admit("m").unwrap_err();
        assert_eq!(
            (barred.by, barred.until),
            (Bar::RateLimited, Some(clock::now() + Duration::from_secs(5)))
        );
        assert!(vendor.admit("n").is_ok());
        clock::sleep(Duration::from_secs(5)).await;
        assert!(vendor.admit("m").is_ok());
        let machine = Arc::new(Health::new(
            "b",
            Kind::Ollama,
            BreakerOptions::default(),
            Teller::default(),
        ));
        machine.block("m", Duration::from_secs(5));
        assert!(machine.admit("n").is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_node_finds_another_keeps_to() {
        let (teller, other) = (Teller::default(), health());
        let mut news = teller.hear();
        let own = Arc::new(Health::new("a", Kind::OpenAi, BreakerOptions::default(), teller));
        own.block("m", Duration::from_secs(5));
        own.block("m", Duration::from_secs(5));
        for _ in 0..3 {
            own.failed("n", LlmErrorKind::FirstByteTimeout, false);
        }
        while let Ok(News {
            provider,
            model,
            bar,
            wait,
        }) = news.try_recv()
        {
            assert_eq!(provider, "a");
            other.heard(&model, bar, wait);
        }
        assert_eq!(other.admit("m").unwrap_err().by, Bar::RateLimited);
        assert_eq!(other.admit("n").unwrap_err().by, Bar::Broken);
        assert!(other.admit("o").is_ok());
        clock::sleep(Duration::from_secs(15)).await;
        assert!(other.admit("m").is_ok());
        let mut probe = other.admit("n").unwrap();
        other.heard("n", Bar::Broken, Duration::from_secs(15));
        probe.answered();
        assert!(!is_open(&other), "what a node finds out itself it goes by");
    }

    #[tokio::test(start_paused = true)]
    async fn the_gauge_tells_which_are_open() {
        let health = Arc::new(Health::new(
            "gauged",
            Kind::OpenAi,
            BreakerOptions::default(),
            Teller::default(),
        ));
        let line = |level: &str| format!("livedraft_breakers_open{{provider=\"gauged\"}} {level}\n");
        for _ in 0..3 {
            fail(&health, LlmErrorKind::FirstByteTimeout);
        }
        assert!(crate::metrics::render().contains(&line("1.0")));
        clock::sleep(Duration::from_secs(15)).await;
        let mut probe = health.admit("m").unwrap();
        assert!(crate::metrics::render().contains(&line("1.0")));
        probe.answered();
        assert!(crate::metrics::render().contains(&line("0.0")));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let options = BreakerOptions {
            models_max: 4,
            ..BreakerOptions::default()
        };
        let health = Arc::new(Health::new("c", Kind::OpenAi, options, Teller::default()));
        for model in 0..100 {
            health.block(&model.to_string(), Duration::from_secs(5));
        }
        health.block(&"x".repeat(NAME_BYTES * 4), Duration::from_secs(5));
        assert!(health.admit(&"x".repeat(NAME_BYTES * 4)).is_ok());
        assert!(health.admit("0").is_ok());
        assert!(health.admit("99").is_err());
    }
}
