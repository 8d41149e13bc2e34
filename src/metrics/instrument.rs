//! The kinds of instruments, thin over `prometheus_client`.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry};

/// Upper bounds of the buckets of every histogram, seconds; one more takes what is above.
const BUCKETS: [f64; 18] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0,
    600.0,
];

/// What an instrument does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// It only rises.
    Counter,
    /// It rises and falls.
    Gauge,
    /// It counts in buckets.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One row of the list of instruments.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
    /// The name, as it is exposed; of a histogram without `_bucket`, `_sum` and `_count`.
    pub name: &'static str,
    /// What it does.
    pub kind: Kind,
    /// What it counts in.
    pub unit: &'static str,
    /// Its labels.
    pub labels: &'static [&'static str],
    /// What it says.
    pub meaning: &'static str,
}

/// A counter.
#[derive(Clone, Debug, Default)]
pub struct Count(Counter);

impl Count {
    /// One more.
    pub fn one(&self) {
        self.0.inc();
    }

    /// So many more.
    pub fn add(&self, more: usize) {
        self.0.inc_by(more as u64);
    }
}

/// A gauge.
#[derive(Clone, Debug, Default)]
pub struct Level(Gauge<f64, AtomicU64>);

impl Level {
    /// One more.
    pub fn up(&self) {
        self.0.inc();
    }

    /// One less.
    pub fn down(&self) {
        self.0.dec();
    }

    /// It stands here now.
    pub fn set(&self, level: f64) {
        self.0.set(level);
    }
}

/// A histogram of times.
#[derive(Clone, Debug)]
pub struct Times(Histogram);

impl Default for Times {
    fn default() -> Self {
        Self(Histogram::new(BUCKETS))
    }
}

impl Times {
    /// It took so long.
    pub fn took(&self, time: Duration) {
        self.0.observe(time.as_secs_f64());
    }

    /// It took so long, ms.
    pub fn took_ms(&self, time_ms: u64) {
        self.took(Duration::from_millis(time_ms));
    }
}

type Set<const N: usize> = [(&'static str, String); N];

/// Counters told apart by labels.
#[derive(Clone, Debug)]
pub struct Counts<const N: usize>(&'static [&'static str], Family<Set<N>, Counter>);

impl<const N: usize> Counts<N> {
    /// One more of these.
    pub fn one(&self, values: [&str; N]) {
        self.add(values, 1);
    }

    /// So many more of these.
    pub fn add(&self, values: [&str; N], more: u64) {
        self.1.get_or_create(&set(self.0, values)).inc_by(more);
    }
}

/// Gauges told apart by labels.
#[derive(Clone, Debug)]
pub struct Levels<const N: usize>(&'static [&'static str], Family<Set<N>, Gauge<f64, AtomicU64>>);

impl<const N: usize> Levels<N> {
    /// One more of these.
    pub fn up(&self, values: [&str; N]) {
        self.1.get_or_create(&set(self.0, values)).inc();
    }

    /// One less of these.
    pub fn down(&self, values: [&str; N]) {
        self.1.get_or_create(&set(self.0, values)).dec();
    }

    /// These stand here now.
    pub fn set(&self, values: [&str; N], level: f64) {
        self.1.get_or_create(&set(self.0, values)).set(level);
    }
}

/// Histograms of times told apart by labels.
#[derive(Clone, Debug)]
pub struct TimesBy<const N: usize>(
    &'static [&'static str],
    Family<Set<N>, Histogram, fn() -> Histogram>,
);

impl<const N: usize> TimesBy<N> {
    /// One of these took so long.
    pub fn took(&self, values: [&str; N], time: Duration) {
        self.1
            .get_or_create(&set(self.0, values))
            .observe(time.as_secs_f64());
    }
}

fn set<const N: usize>(names: &[&'static str], values: [&str; N]) -> Set<N> {
    std::array::from_fn(|at| (names[at], values[at].to_owned()))
}

/// What the list makes of a row.
pub(super) trait Instrument {
    const KIND: Kind;
    fn enter(row: &Row, registry: &mut Registry) -> Self;
}

/// Registers a metric under a row. The client appends `_total` to the names of counters itself.
fn register(row: &Row, metric: impl Metric, registry: &mut Registry) {
    let name = match row.kind {
        Kind::Counter => row.name.trim_end_matches("_total"),
        Kind::Gauge | Kind::Histogram => row.name,
    };
    registry.register(name, row.meaning.trim_end_matches('.'), metric);
}

impl Instrument for Count {
    const KIND: Kind = Kind::Counter;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let counter = Counter::default();
        register(row, counter.clone(), registry);
        Self(counter)
    }
}

impl Instrument for Level {
    const KIND: Kind = Kind::Gauge;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let gauge = Gauge::default();
        register(row, gauge.clone(), registry);
        Self(gauge)
    }
}

impl Instrument for Times {
    const KIND: Kind = Kind::Histogram;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let times = Self::default();
        register(row, times.0.clone(), registry);
        times
    }
}

impl<const N: usize> Instrument for Counts<N> {
    const KIND: Kind = Kind::Counter;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let family = Family::default();
        register(row, family.clone(), registry);
        Self(row.labels, family)
    }
}

impl<const N: usize> Instrument for Levels<N> {
    const KIND: Kind = Kind::Gauge;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let family = Family::default();
        register(row, family.clone(), registry);
        Self(row.labels, family)
    }
}

impl<const N: usize> Instrument for TimesBy<N> {
    const KIND: Kind = Kind::Histogram;
    fn enter(row: &Row, registry: &mut Registry) -> Self {
        let make: fn() -> Histogram = || Histogram::new(BUCKETS);
        let family = Family::new_with_constructor(make);
        register(row, family.clone(), registry);
        Self(row.labels, family)
    }
}

/// The registry as text. Writing into a `String` does not fail.
pub(super) fn text(registry: &Registry) -> String {
    let mut text = String::with_capacity(32 * 1024);
    if let Err(error) = prometheus_client::encoding::text::encode(&mut text, registry) {
        text.clear();
        // A comment is the only thing a scraper would not take for a value.
        let _ = writeln!(text, "# {error}\n# EOF");
    }
    text
}
