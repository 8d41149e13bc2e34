//! What can happen, and how often. Whom it happens to is a number: the same way makes sense in any world, so a failing one
//! can be made shorter.

use livedraft::job::Outcome;
use proptest::collection::vec;
use proptest::prelude::*;

use super::fair::SIZE_MAX;

/// What becomes of a step on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Line {
    Good,
    /// It is not taken.
    Refused,
    /// It is taken, and its answer is lost.
    Unheard,
}

#[derive(Clone, Debug)]
pub(super) enum Step {
    Submit {
        tenant: u8,
        /// A key, and the number of the request that comes with it.
        key: Option<(u8, u8)>,
        /// How much it asks (`spec`).
        size: u8,
        line: Line,
    },
    SubmitAgain,
    Claim(Line),
    ClaimAgain,
    Govern {
        /// How many of its jobs a tenant may have running; 0: any number.
        running_max: u32,
        /// That of the first tenant; the others' is 1.
        weight: u32,
    },
    /// Of one tenant, or of all.
    Pause {
        tenant: Option<u8>,
        paused: bool,
    },
    Extend(u8),
    Begin {
        who: u8,
        line: Line,
    },
    Say {
        who: u8,
        letters: u8,
        trims: bool,
        line: Line,
    },
    Again(u8),
    Defer {
        who: u8,
        /// Whether its value waits for a verdict.
        verdict: bool,
        line: Line,
    },
    Fail {
        who: u8,
        line: Line,
    },
    Finish {
        who: u8,
        outcome: Outcome,
        line: Line,
    },
    Cancel {
        job: u8,
        line: Line,
    },
    Rule {
        job: u8,
        accept: bool,
        named: Option<u8>,
        line: Line,
    },
    Redrive {
        letter: u8,
        line: Line,
    },
    Reap(Line),
    Promote(Line),
    /// So many hundreds of seconds.
    Pass(u8),
    /// What a replica has from now on; what comes behind it is lost by the next failover.
    Save,
    Failover,
    Hear(u8),
    Poll(u8),
    /// A worker says something, and the log loses that.
    Lag(u8),
    /// A worker reaches a value that waits for a verdict.
    Reach(u8),
    /// A job loses every worker that it is given to.
    Poison,
    /// Jobs of some tenants, of some sizes, while a worker takes and ends one after the other.
    Rush(Vec<(u8, u8)>),
}

/// Jobs of a rush that are in line before the first is taken.
const RUSH_BEFORE: usize = 4;

impl Step {
    /// The steps that it is made of: rare things take several that fit each other.
    pub(super) fn parts(self) -> Vec<Self> {
        let line = Line::Good;
        let say = |who| Self::Say {
            who,
            letters: 1,
            trims: false,
            line,
        };
        match self {
            Self::Lag(who) => vec![Self::Save, say(who), Self::Failover, say(who)],
            Self::Reach(who) => {
                let verdict = true;
                vec![
                    Self::Begin { who, line },
                    say(who),
                    Self::Defer { who, verdict, line },
                ]
            }
            Self::Poison => {
                let loss = [Self::Claim(line), Self::Pass(3), Self::Reap(line)];
                loss.iter().cycle().take(2 * loss.len()).cloned().collect()
            }
            Self::Rush(comers) => {
                let served = [
                    Self::Claim(line),
                    Self::Finish {
                        who: 0,
                        outcome: Outcome::Completed,
                        line,
                    },
                ];
                let come = |(number, (tenant, size))| {
                    let submit = Self::Submit {
                        tenant,
                        key: None,
                        size,
                        line,
                    };
                    let served = served.iter().filter(move |_| number >= RUSH_BEFORE).cloned();
                    std::iter::once(submit).chain(served).collect::<Vec<_>>()
                };
                comers.into_iter().enumerate().flat_map(come).collect()
            }
            one => vec![one],
        }
    }
}

fn line() -> impl Strategy<Value = Line> {
    prop_oneof![6 => Just(Line::Good), 1 => Just(Line::Refused), 2 => Just(Line::Unheard)]
}

/// Mostly the worker that was given a job last.
fn who() -> impl Strategy<Value = u8> {
    prop_oneof![3 => Just(0), 1 => Just(1), 1 => 0..8_u8]
}

fn key() -> impl Strategy<Value = Option<(u8, u8)>> {
    proptest::option::of((0..2_u8, 0..2_u8))
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        9 => (0..3_u8, key(), 0..=SIZE_MAX, line())
            .prop_map(|(tenant, key, size, line)| Step::Submit { tenant, key, size, line }),
        2 => Just(Step::SubmitAgain),
        10 => line().prop_map(Step::Claim),
        3 => Just(Step::ClaimAgain),
        2 => (0..3_u32, 1..4_u32).prop_map(|(running_max, weight)| Step::Govern { running_max, weight }),
        2 => (proptest::option::weighted(0.8, 0..3_u8), any::<bool>())
            .prop_map(|(tenant, paused)| Step::Pause { tenant, paused }),
        4 => who().prop_map(Step::Extend),
        5 => (who(), line()).prop_map(|(who, line)| Step::Begin { who, line }),
        16 => (who(), 0..3_u8, proptest::bool::weighted(0.2), line())
            .prop_map(|(who, letters, trims, line)| Step::Say { who, letters, trims, line }),
        5 => who().prop_map(Step::Again),
        5 => (who(), any::<bool>(), line()).prop_map(|(who, verdict, line)| Step::Defer { who, verdict, line }),
        7 => (who(), line()).prop_map(|(who, line)| Step::Fail { who, line }),
        4 => (who(), outcome(), line()).prop_map(|(who, outcome, line)| Step::Finish { who, outcome, line }),
        3 => (any::<u8>(), line()).prop_map(|(job, line)| Step::Cancel { job, line }),
        5 => (any::<u8>(), any::<bool>(), proptest::option::of(0..3_u8), line())
            .prop_map(|(job, accept, named, line)| Step::Rule { job, accept, named, line }),
        5 => (any::<u8>(), line()).prop_map(|(letter, line)| Step::Redrive { letter, line }),
        7 => line().prop_map(Step::Reap),
        5 => line().prop_map(Step::Promote),
        9 => prop_oneof![6 => 1..5_u8, 1 => 20..60_u8].prop_map(Step::Pass),
        4 => Just(Step::Save),
        3 => Just(Step::Failover),
        4 => any::<u8>().prop_map(Step::Hear),
        4 => any::<u8>().prop_map(Step::Poll),
        2 => who().prop_map(Step::Lag),
        6 => who().prop_map(Step::Reach),
        1 => Just(Step::Poison),
        2 => vec((0..3_u8, 0..=SIZE_MAX), 6..16).prop_map(Step::Rush),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        3 => Just(Outcome::Completed),
        1 => Just(Outcome::Incomplete),
        1 => Just(Outcome::Failed),
        2 => Just(Outcome::Cancelled),
    ]
}
