//! The lease and the log in a small world, all of it: every order of claims, writes, lost answers, leases that run out,
//! cancels, live messages and one failover that loses writes, claims, or only what one token wrote. With all rules
//! nothing breaks; without any one of them the checker finds how, and the shortest way it found is kept here.
//!
//! `LEASE_MODEL=whole cargo test --release --test it -- lease_model --nocapture` goes through the whole of it, with up
//! to 2.8 million states, and looks for the ways anew. `LEASE_WALKS=n` walks n seeds over each engine, `LEASE_WALK=n` the nth.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    unreachable_pub,
    reason = "a test stops where it fails; the states are counted aloud"
)]

mod replay;
mod store;
mod world;

use std::collections::HashMap;
use std::sync::Arc;

use stateright::{Checker as _, Expectation, HasDiscoveries, Model as _};

use self::replay::{Engine, Real};
use self::store::{At, Rules};
use self::world::{State, Step, World};
use crate::redis_server::RedisServer;

/// Steps that the checker looks ahead by default: all of some ten thousand states.
const DEPTH: usize = 8;
const WALKS: u64 = 1_500;
const REDIS_WALKS: u64 = 150;
const STEPS: u32 = 40;

fn world(rules: Rules) -> World {
    World {
        rules,
        claims: 2,
        texts: 1,
        failovers: 1,
    }
}

fn is_whole() -> bool {
    std::env::var("LEASE_MODEL").is_ok_and(|what| what == "whole")
}

/// What breaks without a rule, and the shortest way there.
fn broken() -> Vec<(Rules, &'static str, Vec<Step>)> {
    use Step::*;
    let at = |epoch, seq| At { epoch, seq };
    vec![
        (
            Rules::NoToken,
            "only the holder of the lease writes",
            vec![Claim(0), Reap, ClaimUnheard, Finish(0), Send(0), SendUnheard(0)],
        ),
        (
            Rules::CountedToken,
            "only the holder of the lease writes",
            vec![
                Claim(0),
                Finish(0),
                Failover,
                ClaimUnheard,
                Send(0),
                SendUnheard(0),
            ],
        ),
        (
            Rules::NoParent,
            "a viewer holds what the log had",
            vec![
                Claim(0),
                Say(0),
                Send(0),
                Reap,
                Failover,
                ClaimUnheard,
                Reap,
                Poll,
                Hear(at(3, 4)),
            ],
        ),
        (
            Rules::PollBySeq,
            "a poll leaves nobody behind",
            vec![ClaimUnheard, Failover, ClaimUnheard, Hear(at(2, 2)), Poll],
        ),
        (
            Rules::ClaimNamedTwice,
            "only the holder of the lease writes",
            vec![
                ClaimUnheard,
                Replicate,
                Reap,
                Claim(1),
                Finish(1),
                Failover,
                Send(1),
                SendUnheard(1),
            ],
        ),
        (
            Rules::EndToldAtOnce,
            "nobody sees two ends",
            vec![Cancel, Poll, Failover, Cancel, Poll],
        ),
    ]
}

/// The property that does not hold in a state.
fn fails(world: &World, state: &State) -> Option<&'static str> {
    let properties = world.properties();
    let mut always = properties
        .iter()
        .filter(|one| one.expectation == Expectation::Always);
    let broken = always.find(|one| !(one.condition)(world, state));
    broken.map(|one| one.name)
}

fn follow(world: &World, way: &[Step]) -> State {
    let mut state = world.init_states().remove(0);
    for step in way {
        let mut steps = Vec::new();
        world.actions(&state, &mut steps);
        if steps.contains(step) {
            state = world.next_state(&state, *step).unwrap_or(state);
        }
    }
    state
}

#[test]
fn with_all_rules_nothing_breaks() {
    let depth = if is_whole() { usize::MAX } else { DEPTH };
    let texts = if is_whole() { 1..=2 } else { 1..=1 };
    for texts in texts {
        let world = World {
            texts,
            ..world(Rules::All)
        };
        let checker = world
            .clone()
            .checker()
            .threads(2)
            .target_max_depth(depth)
            .spawn_bfs()
            .join();
        println!("{texts} texts: {} states", checker.unique_state_count());
        if is_whole() {
            checker.assert_properties();
        }
        for property in world.properties() {
            if property.expectation == Expectation::Always {
                checker.assert_no_discovery(property.name);
            }
        }
        assert!(checker.unique_state_count() > 10_000);
    }
}

#[test]
fn every_rule_is_needed() {
    for (rules, what, way) in broken() {
        assert_eq!(
            fails(&world(rules), &follow(&world(rules), &way)),
            Some(what),
            "{rules:?}"
        );
        assert_eq!(
            fails(&world(Rules::All), &follow(&world(Rules::All), &way)),
            None,
            "{rules:?}"
        );
        if is_whole() {
            let checker = world(rules)
                .checker()
                .finish_when(HasDiscoveries::AnyFailures)
                .spawn_bfs()
                .join();
            let found = checker.discovery(what).map(stateright::Path::into_actions);
            println!("without {rules:?}: {found:?}");
            assert!(found.is_some(), "{rules:?}");
        }
    }
}

/// Takes the steps that are picked, here and in the engine, and counts the answers.
async fn walk(
    world: &World,
    engine: Engine,
    answers: &mut HashMap<&'static str, u32>,
    mut pick: impl FnMut(&[Step]) -> Option<Step>,
) {
    let mut state = world.init_states().remove(0);
    let (mut real, mut way) = (Real::new(engine).await, Vec::new());
    loop {
        let mut steps = Vec::new();
        world.actions(&state, &mut steps);
        let Some(step) = pick(&steps) else { return };
        way.push(step);
        let after = world.next_state(&state, step).unwrap_or_else(|| state.clone());
        real.take(&state, step, &after, &way).await;
        if let Some(answer) = after.answer {
            *answers.entry(answer.name()).or_default() += 1;
        }
        state = after;
    }
}

/// The ways that broke what lacked a rule, and random ones by their seeds: an engine with all rules does on them as the model
/// does, and a node's replica too. Where nothing is stored an end is told at once, so this world's is.
async fn walks(seeds: std::ops::Range<u64>, engine: impl AsyncFn() -> Engine) {
    let world = world(Rules::EndToldAtOnce);
    let mut answers = HashMap::new();
    for (_, _, way) in broken() {
        let mut way = way.into_iter();
        let pick = |steps: &[Step]| way.find(|step| steps.contains(step));
        walk(&world, engine().await, &mut answers, pick).await;
    }
    for seed in seeds.clone() {
        println!("walk {seed} (again: LEASE_WALK={seed})");
        let (mut left, mut dice) = (STEPS, seed);
        let pick = |steps: &[Step]| {
            left -= 1;
            let any = usize::try_from(throw(&mut dice) % steps.len() as u64).unwrap();
            (left > 0).then(|| steps[any])
        };
        walk(&world, engine().await, &mut answers, pick).await;
    }
    println!("{answers:?}");
    for answer in ["ok", "dup", "rolled back", "lost"] {
        assert!(
            seeds.end - seeds.start == 1 || answers.contains_key(answer),
            "{answer}: never in {seeds:?}"
        );
    }
}

/// A number that the seed decides, and nothing else that draws (SplitMix64; Steele, Lea and Flood 2014).
const fn throw(dice: &mut u64) -> u64 {
    *dice = dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*dice ^ (*dice >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// All of them, or the one that is asked for.
fn seeds(usual: u64) -> std::ops::Range<u64> {
    let number = |name| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse().expect("a number"))
    };
    let only = number("LEASE_WALK").map(|seed: u64| seed..seed + 1);
    only.unwrap_or(0..number("LEASE_WALKS").unwrap_or(usual))
}

#[tokio::test]
async fn the_engine_and_a_replica_do_as_the_model_does() {
    walks(seeds(WALKS), async || Engine::embedded()).await;
}

#[tokio::test]
async fn the_scripts_and_a_replica_do_as_the_model_does() {
    let server = Arc::new(RedisServer::start());
    walks(seeds(REDIS_WALKS), async || Engine::over(&server).await).await;
}
