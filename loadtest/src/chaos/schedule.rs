//! What is done to the fleet and when: decided by the seed alone, before anything runs, so that a seed is a replay.

use std::fmt;
use std::time::Duration;

use super::dice::Dice;
use super::pair::Old;
use super::proxy::Way;

/// Gateways, and workers, of the fleet.
pub(crate) const GATEWAYS: usize = 2;
pub(crate) const WORKERS: usize = 2;

/// Between the begins of two deeds, ms.
const BETWEEN_MS: (u64, u64) = (200, 1_500);

/// When a replacement begins, and the time that each process gets to leave.
const REPLACEMENT: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(4));

/// A process of the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Gateway(usize),
    Worker(usize),
    Redis,
}

/// A way between two processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    /// Between clients and a gateway.
    Clients(usize),
    /// Between a gateway and Redis.
    GatewayToRedis(usize),
    /// Between a worker and Redis.
    WorkerToRedis(usize),
}

/// What is done, from its begin to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// `kill -9`; at the end another process is started in its place. Redis starts on what it kept.
    Kill(Target),
    /// `SIGSTOP`; at the end `SIGCONT`.
    Stop(Target),
    /// `SIGTERM`; at the end it must have left by itself, and another is started in its place.
    Drain(Target),
    /// A way is made bad; at the end good again.
    Spoil(Link, Way),
    /// Its replica hears nothing more of Redis, and takes over at the end.
    FailOver(Old),
    /// Another process is started in its place whose wall clock is so many seconds off; at the end, one whose clock is right.
    Skew(Target, i64),
    /// Redis closes all connections that hear live messages.
    Unsubscribe,
    /// Redis has no memory left; at the end it has.
    Fill,
}

/// A deed and its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planned {
    pub(crate) deed: Deed,
    /// From the run's begin.
    pub(crate) begins: Duration,
    pub(crate) lasts: Duration,
}

impl Planned {
    pub(crate) fn ends(&self) -> Duration {
        self.begins + self.lasts
    }
}

/// The deeds of a seed, in the order of their begins. All begin within `length`, and end soon behind it.
pub(crate) fn draw(seed: u64, length: Duration) -> Vec<Planned> {
    let mut dice = Dice::new(seed, 1);
    let mut planned: Vec<Planned> = Vec::new();
    let mut begins = Duration::from_millis(dice.within(500, 1_500));
    while begins < length {
        let drawn = one(&mut dice);
        let busy = |other: &&Planned| other.ends() > begins && touches(&other.deed, &drawn.0);
        // Two things at once to one process would be one thing with an end in between.
        if planned.iter().find(busy).is_none() {
            planned.push(Planned {
                deed: drawn.0,
                begins,
                lasts: drawn.1,
            });
            if matches!(drawn.0, Deed::Drain(_)) && dice.percent(30) {
                begins = rolling(&mut planned, begins, drawn.1);
            }
        }
        begins += Duration::from_millis(dice.within(BETWEEN_MS.0, BETWEEN_MS.1));
    }
    planned
}

/// Every process in order, one after the other, as a deployment does it; the time behind the last.
fn rolling(planned: &mut Vec<Planned>, begins: Duration, lasts: Duration) -> Duration {
    let all = (0..GATEWAYS)
        .map(Target::Gateway)
        .chain((0..WORKERS).map(Target::Worker));
    let free = planned.iter().map(Planned::ends).max();
    let mut at = free.unwrap_or(begins).max(begins);
    for target in all {
        planned.push(Planned {
            deed: Deed::Drain(target),
            begins: at,
            lasts,
        });
        at += lasts;
    }
    at
}

/// The replacement of every process, and nothing else.
pub(crate) fn replacement() -> Vec<Planned> {
    let mut planned = Vec::new();
    rolling(&mut planned, REPLACEMENT.0, REPLACEMENT.1);
    planned
}

fn one(dice: &mut Dice) -> (Deed, Duration) {
    let gateway = dice.within(0, GATEWAYS as u64 - 1) as usize;
    let worker = dice.within(0, WORKERS as u64 - 1) as usize;
    let target = dice.one_of(&[
        Target::Worker(worker),
        Target::Worker(worker),
        Target::Gateway(gateway),
    ]);
    let link = dice.one_of(&[
        Link::Clients(gateway),
        Link::GatewayToRedis(gateway),
        Link::WorkerToRedis(worker),
    ]);
    let slow = Way::Slow(Duration::from_millis(dice.within(5, 150)));
    let ways = [
        slow,
        Way::Frozen,
        Way::BlackHole,
        Way::Cut,
        Way::Reset,
        Way::HalfClosed,
        Way::Deaf,
        Way::Deaf,
    ];
    // Live messages go no other way than those from a Redis.
    let many = ways.len() - if matches!(link, Link::Clients(_)) { 2 } else { 0 };
    let way = dice.one_of(&ways[..many]);
    let old = dice.one_of(&[Old::Killed, Old::Demoted]);
    let off = dice.one_of(&[-3_600, 3_600]);
    let (deed, lasts) = match dice.within(1, 100) {
        1..=20 => (Deed::Kill(target), (100, 2_000)),
        21..=32 => (Deed::Stop(target), (200, 6_000)),
        33..=39 => (Deed::Kill(Target::Redis), (50, 1_500)),
        40..=44 => (Deed::Stop(Target::Redis), (100, 2_500)),
        45..=52 => (Deed::Drain(target), (1_500, 3_000)),
        53..=59 => (Deed::FailOver(old), (50, 1_000)),
        60..=65 => (Deed::Skew(target, off), (1_500, 4_000)),
        66..=70 => (Deed::Unsubscribe, (10, 20)),
        71..=75 => (Deed::Fill, (100, 2_500)),
        _ => (Deed::Spoil(link, way), (100, 5_000)),
    };
    (deed, Duration::from_millis(dice.within(lasts.0, lasts.1)))
}

/// Whether two deeds are done to the same thing.
fn touches(one: &Deed, other: &Deed) -> bool {
    fn target(deed: &Deed) -> Option<Target> {
        match deed {
            Deed::Kill(target) | Deed::Stop(target) | Deed::Drain(target) | Deed::Skew(target, _) => {
                Some(*target)
            }
            Deed::FailOver(_) | Deed::Unsubscribe | Deed::Fill => Some(Target::Redis),
            Deed::Spoil(..) => None,
        }
    }
    match (one, other) {
        (Deed::Spoil(one, _), Deed::Spoil(other, _)) => one == other,
        _ => target(one).is_some() && target(one) == target(other),
    }
}

impl Deed {
    /// What kind it is, to count it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Kill(Target::Redis) => "Redis killed and started again",
            Self::Kill(_) => "processes killed",
            Self::Stop(_) => "processes stopped for a while",
            Self::Drain(_) => "processes drained and replaced",
            Self::FailOver(Old::Killed) => "failovers from a Redis that was killed",
            Self::FailOver(Old::Demoted) => "failovers from a Redis that was demoted",
            Self::Skew(..) => "processes replaced by ones with a clock an hour off",
            Self::Unsubscribe => "subscriptions closed by Redis",
            Self::Fill => "times Redis was full",
            Self::Spoil(_, Way::Deaf) => "ways without live messages",
            Self::Spoil(_, Way::Slow(_)) => "ways slowed",
            Self::Spoil(_, Way::Frozen) => "ways frozen",
            Self::Spoil(_, Way::BlackHole) => "ways into a black hole",
            Self::Spoil(_, Way::Cut | Way::Good) => "ways cut",
            Self::Spoil(_, Way::Reset) => "ways reset",
            Self::Spoil(_, Way::HalfClosed) => "ways half-closed",
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gateway(number) => write!(out, "api {}", number + 1),
            Self::Worker(number) => write!(out, "worker {}", number + 1),
            Self::Redis => write!(out, "redis"),
        }
    }
}

impl fmt::Display for Planned {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (self.begins.as_secs_f64(), self.lasts.as_millis());
        write!(out, "{at:>7.2} s for {lasts:>5} ms: ")?;
        match self.deed {
            Deed::Kill(target) => write!(out, "kill -9 {target}"),
            Deed::Stop(target) => write!(out, "SIGSTOP {target}"),
            Deed::Drain(target) => write!(out, "SIGTERM {target}"),
            Deed::Spoil(link, way) => write!(out, "{way:?} {link:?}"),
            Deed::FailOver(old) => write!(out, "failover, the old Redis {old:?}"),
            Deed::Skew(target, off) => write!(out, "{target} with its clock {off} s off"),
            Deed::Unsubscribe => write!(out, "CLIENT KILL TYPE pubsub"),
            Deed::Fill => write!(out, "maxmemory 1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use super::{draw, touches};

    const LENGTH: Duration = Duration::from_secs(60);

    #[test]
    fn a_seed_is_a_replay() {
        assert_eq!(draw(7, LENGTH), draw(7, LENGTH));
        assert_ne!(draw(7, LENGTH), draw(8, LENGTH));
    }

    #[test]
    fn nothing_is_done_twice_at_once_to_one_thing() {
        for seed in 0..200 {
            let planned = draw(seed, LENGTH);
            for (at, one) in planned.iter().enumerate() {
                for other in &planned[at + 1..] {
                    let both = other.begins < one.ends() && one.begins < other.ends();
                    assert!(
                        !both || !touches(&one.deed, &other.deed),
                        "seed {seed}: {one} and {other}"
                    );
                }
            }
        }
    }

    #[test]
    fn everything_is_done_by_some_seed() {
        let kinds: BTreeSet<&str> = (0..50)
            .flat_map(|seed| draw(seed, LENGTH))
            .map(|planned| planned.deed.kind())
            .collect();
        assert_eq!(kinds.len(), 16, "{kinds:?}");
    }
}
