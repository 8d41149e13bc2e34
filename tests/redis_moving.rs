//! Slots of a Cluster that are on their way to another master: some keys of a part are there already, others are not; and
//! servers that name each other.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::fmt::Debug;

use livedraft::backend::embedded::EngineOptions;
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::{Epoch, Event};
use livedraft::job::JobId;

use crate::redis_cluster::{again, give_back};
use crate::redis_engine::{behind, claim, end, epoch, patch, submission, write};
use crate::redis_faults::hasty;
use crate::redis_server::{RedisCluster, say};

/// How often a step is sent on, or again, that nobody takes.
const TURNS_MAX: u64 = 16;

/// Another job of the same part.
fn beside(engine: &Redis, job: JobId) -> Submission {
    Submission {
        id: engine.draw_beside(job),
        ..submission(engine, "one", None)
    }
}

/// An answer, or none for now; anything else is none that may be given.
fn in_time<T: Debug>(told: Result<T, BackendError>) -> Option<T> {
    match told {
        Ok(told) => Some(told),
        Err(BackendError::Unavailable(_)) => None,
        Err(error) => panic!("{error:?}"),
    }
}

/// Steps on a part that are sent again until they are answered, as everybody in the house sends them.
struct Sender<'a> {
    engine: &'a Redis,
    /// Running deliveries, and how much each has said.
    writers: Vec<(Claim, u64)>,
    /// All that was accepted.
    jobs: Vec<JobId>,
    submits: Submission,
    claims: (u64, Epoch),
    /// The one that the claim gives.
    in_line: Option<JobId>,
    answered: usize,
}

impl Sender<'_> {
    /// Every step once, all at the same time.
    async fn send_all(&mut self) {
        let engine = self.engine;
        let appends = futures_util::future::join_all(self.writers.iter().map(|(held, said)| async move {
            let next = patch(
                held,
                said + 1,
                if *said == 0 { r#"["","a",0]"# } else { r#"["b"]"# },
            );
            in_time(engine.append(held.id, held.token(), &next).await)
        }));
        let leases: Vec<_> = self
            .writers
            .iter()
            .map(|(held, _)| (held.id, held.token()))
            .collect();
        let (appended, submitted, claimed, extended) = tokio::join!(
            appends,
            engine.submit(self.submits.clone()),
            engine.claim(self.claims.0, self.claims.1),
            engine.extend(&leases),
        );
        for ((held, said), told) in self.writers.iter_mut().zip(appended) {
            if let Some(told) = told {
                assert!(
                    matches!(told, Appended::Ok | Appended::Dup),
                    "{}: {told:?}",
                    held.id
                );
                *said += 1;
                self.answered += 1;
            }
        }
        if let Some(told) = in_time(submitted) {
            assert!(matches!(told, Submitted::New { .. }), "{told:?}");
            self.jobs.push(self.submits.id);
            self.submits = beside(engine, self.submits.id);
        }
        if let Some(told) = in_time(claimed) {
            if self.in_line.is_some() {
                assert_eq!(told.as_ref().map(|claim| claim.id), self.in_line.take());
            }
            if let Some(told) = told {
                self.writers.push((told, 0));
            }
            self.claims = (clock::nonce(), epoch());
        }
        for told in in_time(extended).into_iter().flatten() {
            assert!(matches!(told, Extended::Until(_) | Extended::Unknown), "{told:?}");
        }
        self.look().await;
    }

    /// What is there is never told to be unknown.
    async fn look(&mut self) {
        let (engine, jobs) = (self.engine, &self.jobs);
        let (positions, states, stats, reaped, promoted) = tokio::join!(
            engine.positions(jobs),
            engine.states(jobs),
            engine.stats(),
            async { engine.reap(100, &mut epoch).await },
            async { engine.promote(100, &mut epoch).await },
        );
        assert!(in_time(positions).is_none_or(|told| told.iter().all(Option::is_some)));
        assert!(in_time(states).is_none_or(|told| told.iter().all(Option::is_some)));
        in_time(stats);
        assert!(in_time(reaped).is_none_or(|told| told == Reaped::default()));
        assert!(in_time(promoted).is_none_or(|told| told == 0));
        for told in futures_util::future::join_all(jobs.iter().map(|job| engine.read(*job, None))).await {
            assert!(in_time(told).is_none_or(|told| told.is_some()));
        }
        for told in futures_util::future::join_all(jobs.iter().map(|job| engine.facts(*job))).await {
            assert!(in_time(told).is_none_or(|told| told.is_some()));
        }
    }

    /// Whatever is in line is claimed, and all that runs comes to its end; each log is whole, and ends once.
    async fn all_end(self) {
        let engine = self.engine;
        let mut writers = self.writers;
        while writers.len() + 1 < self.jobs.len() {
            let (nonce, epoch) = (clock::nonce(), epoch());
            writers.extend(again(|| engine.claim(nonce, epoch)).await.map(|claim| (claim, 0)));
        }
        for (held, said) in &writers {
            let last = write(behind(held.position, said + 1), end());
            let told = again(|| engine.finish(held.id, held.token(), last.clone())).await;
            assert_eq!(told, Fenced::Ok, "{}", held.id);
            let reading = again(|| engine.read(held.id, None)).await.unwrap();
            let seqs: Vec<u64> = reading.tail.iter().map(|entry| entry.position.seq).collect();
            let all: Vec<u64> = (1..=held.position.seq + said + 1).collect();
            assert_eq!(seqs, all, "{}", held.id);
            let ends = reading
                .tail
                .iter()
                .filter(|entry| matches!(entry.event, Event::End(_)));
            assert_eq!(ends.count(), 1);
        }
        let stats = again(|| engine.stats()).await;
        assert_eq!((stats.queued, stats.running, stats.waiting), (0, 0, 0));
        assert_eq!(stats.ended, self.jobs.len());
    }
}

/// The keys of a part go one by one while it is worked on: what is asked of it is answered or `unavailable`, nothing is lost,
/// nothing is done twice, and all goes on where the slot is then.
#[tokio::test]
async fn a_part_that_is_half_moved_loses_nothing() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let ended = submission(&engine, "one", None);
    engine.submit(ended.clone()).await.unwrap();
    let held = claim(&engine).await;
    let last = write(behind(held.position, 1), end());
    engine.finish(held.id, held.token(), last).await.unwrap();
    let mut jobs = vec![ended.id];
    for _ in 0..3 {
        let one = beside(&engine, ended.id);
        engine.submit(one.clone()).await.unwrap();
        jobs.push(one.id);
    }
    let (told, quiet) = (claim(&engine).await, claim(&engine).await);
    engine
        .append(told.id, told.token(), &patch(&told, 1, r#"["","a",0]"#))
        .await
        .unwrap();
    let (from, slot) = cluster.place_of_job(ended.id);
    let to = (from + 1) % 3;
    let mut sender = Sender {
        engine: &engine,
        in_line: jobs
            .iter()
            .copied()
            .find(|job| ![ended.id, told.id, quiet.id].contains(job)),
        writers: vec![(told, 1), (quiet, 0)],
        submits: beside(&engine, ended.id),
        jobs,
        claims: (clock::nonce(), epoch()),
        answered: 0,
    };
    cluster.begin_move(slot, from, to);
    sender.send_all().await;
    for (count, key) in cluster.keys_at(slot, from).iter().enumerate() {
        cluster.move_key(key, from, to);
        if count % 3 == 0 {
            sender.send_all().await;
        }
    }
    // What has come since then, if anything.
    for key in cluster.keys_at(slot, from) {
        cluster.move_key(&key, from, to);
    }
    sender.send_all().await;
    cluster.move_slot(slot, to);
    let during = sender.answered;
    while sender.in_line.is_some() || sender.answered < during + 2 {
        sender.send_all().await;
    }
    sender.all_end().await;
    assert!(cluster.keys_at(slot, from).is_empty());
    let refused: String = say(&cluster.nodes[from], "INFO errorstats");
    assert!(refused.contains("errorstat_TRYAGAIN:count="), "{refused}");
    give_back(&cluster, &engine, slot, from).await;
}

/// Who only asks where jobs stand follows a slot, too.
#[tokio::test]
async fn who_only_looks_follows_a_slot_that_has_moved() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let one = submission(&engine, "one", None);
    engine.submit(one.clone()).await.unwrap();
    let (from, slot) = cluster.place_of_job(one.id);
    let to = (from + 1) % 3;
    cluster.move_keys(slot, from, to);
    let known = |told: Vec<Option<livedraft::event::Position>>| told[0].is_some();
    let jobs = [one.id];
    assert!(known(engine.positions(&jobs).await.unwrap()));
    cluster.move_slot(slot, to);
    assert!(known(again(|| engine.positions(&jobs)).await));
    assert!(again(|| engine.facts(one.id)).await.is_some());
    give_back(&cluster, &engine, slot, from).await;
}

/// Two masters that each say that the other one has a slot: whoever asks is told so after a few turns, and the step is taken
/// once they agree.
#[tokio::test]
async fn a_step_that_is_sent_in_circles_comes_to_an_end() {
    let cluster = RedisCluster::shared().await;
    let engine = cluster.engine(&hasty(), EngineOptions::default()).await;
    let one = submission(&engine, "one", None);
    engine.submit(one.clone()).await.unwrap();
    let (from, slot) = cluster.place_of_job(one.id);
    let to = (from + 1) % 3;
    cluster.clear();
    let names = |place: usize, owner: usize| {
        let owner: String = say(&cluster.nodes[owner], "CLUSTER MYID");
        let node = &cluster.nodes[place];
        let () = say(node, &format!("CLUSTER SETSLOT {slot} NODE {owner}"));
        let () = say(node, "CONFIG RESETSTAT");
    };
    names(from, to);
    names(to, from);
    let told = engine.submit(one.clone()).await;
    assert!(
        matches!(&told, Err(BackendError::Unavailable(why)) if why.starts_with("Moved: ")),
        "{told:?}"
    );
    let sent = [from, to].map(|place| {
        let told: String = say(&cluster.nodes[place], "INFO errorstats");
        let count = told
            .split_once("errorstat_MOVED:count=")
            .and_then(|(_, rest)| rest.split(['\r', '\n']).next()?.parse::<u64>().ok());
        count.unwrap_or(0)
    });
    assert!(sent.iter().all(|count| *count > 0), "{sent:?}");
    assert!(sent.iter().sum::<u64>() <= TURNS_MAX, "{sent:?}");
    cluster.move_slot(slot, from);
    let told = again(|| engine.submit(one.clone())).await;
    assert!(matches!(told, Submitted::New { .. }), "{told:?}");
}
