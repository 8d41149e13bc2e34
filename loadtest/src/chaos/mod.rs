//! The nemesis: a fleet of real processes, a schedule of deeds against it, viewers that write down what they see, and a
//! checker that judges it when all is over.

mod checker;
mod counters;
mod dice;
mod fleet;
mod history;
mod pair;
mod plan;
mod proxy;
mod push;
mod report;
mod schedule;
mod skew;
mod watcher;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use self::checker::{Broken, Rule};
use self::dice::Dice;
use self::fleet::Fleet;
use self::history::{JobHistory, LATE, Step};
use self::plan::PlannedJob;
use self::schedule::{Deed, Planned, Target};
use self::skew::Clocks;
use self::watcher::{Gateways, Watcher};
use crate::cli::{ChaosArgs, Seeds};
use crate::{Outcome, clock, redis};

/// Behind the last deed: how long jobs may take to come to their ends, also on a machine without a core left.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long the place may be asked for at which a log stood when a cancel was acknowledged.
const LOOKS: Duration = Duration::from_secs(2);
/// Runs that take so long together have met everything that is rare, or they prove nothing of it.
const LONG: Duration = Duration::from_secs(300);
/// Readers, at the same time, that come when all is over.
const LATE_READERS: usize = 16;

/// Runs it, tells what was done and what does not hold; whether all does.
pub(crate) async fn run(args: &ChaosArgs) -> Outcome<bool> {
    let seeds = match (args.seed, args.seeds) {
        (_, Some(Seeds { from, to })) => (from..=to).collect(),
        (Some(seed), None) => vec![seed],
        (None, None) => vec![u64::from(getrandom::u32()?)],
    };
    let length = Duration::from_secs(args.seconds);
    if let [seed] = seeds[..] {
        report::announce(seed, &schedule::draw(seed, length), args.seconds)?;
    }
    let (many, clocks) = (seeds.len() > 1, &Arc::new(Clocks::compile().await?));
    let runs = futures_util::stream::iter(seeds.clone()).map(|seed| async move {
        let planned = schedule::draw(seed, length);
        if many {
            report::begins(seed)?;
        }
        let played = play(&args.server, clocks, seed, &planned, length, args.jobs).await;
        // What befalls one seed is no reason to know nothing of the others.
        Outcome::Ok((seed, report::Told::of(played, &planned)))
    });
    let mut runs = runs.buffer_unordered(args.at_a_time);
    let mut all = report::Told::default();
    while let Some(over) = runs.next().await {
        let (seed, told) = over?;
        if many {
            report::pass_by(seed, &told, args)?;
        }
        all.add(seed, told, many);
    }
    if length * seeds.len() as u32 >= LONG {
        all.must_have_come_about();
    }
    report::tell(&all, &seeds, args)?;
    Ok(all.is_sound())
}

/// What a fleet's replacement did to its jobs.
#[derive(Debug)]
pub(crate) struct Rolled {
    pub(crate) replaced: usize,
    pub(crate) jobs: usize,
    pub(crate) completed: usize,
    pub(crate) resumed: usize,
    pub(crate) lost: usize,
    /// Other rules that do not hold, and processes that left otherwise than they should.
    pub(crate) broken: usize,
    /// Of each viewer that was there: the longest time between two things that it saw, microseconds.
    pub(crate) silences: Vec<u64>,
}

/// Replaces every process of a fleet once, in order, and nothing else.
pub(crate) async fn rolling(server: &Path, jobs: u32) -> Outcome<Rolled> {
    let planned = schedule::replacement();
    let length = planned.iter().map(Planned::ends).max().unwrap_or_default();
    let clocks = Arc::new(Clocks::compile().await?);
    let played = play(server, &clocks, 1, &planned, length, jobs).await?;
    let views = || {
        played
            .jobs
            .iter()
            .flat_map(|job| &job.views)
            .filter(|view| view.name != LATE)
    };
    let ended = |kind: &str| {
        let ends = played
            .jobs
            .iter()
            .filter_map(|job| job.views.iter().find_map(|view| view.end()));
        ends.filter(|(_, end, _)| *end == kind).count()
    };
    let lost = played.broken.iter().filter(|one| one.rule == Rule::Lost).count();
    Ok(Rolled {
        replaced: planned.len(),
        jobs: played.jobs.len(),
        completed: ended("completed") + ended("cancelled"),
        resumed: views()
            .flat_map(|view| &view.steps)
            .filter(|step| matches!(step, Step::Attached { resumed: true }))
            .count(),
        lost,
        broken: played.broken.len() - lost + played.faults.len(),
        silences: views().map(|view| view.silence).collect(),
    })
}

/// A run that is over.
struct Played {
    seconds: f64,
    jobs: Vec<JobHistory>,
    broken: Vec<Broken>,
    /// What was noticed of processes and nobody had planned.
    faults: Vec<String>,
    /// What was done to the fleet, and how often.
    done: BTreeMap<String, u64>,
    /// What is rare and came about in it, and how often.
    counted: BTreeMap<String, u64>,
    swallowed: u64,
    /// Jobs that a failover has lost.
    gone: usize,
    /// Further ones that it has set back.
    set_back: usize,
}

/// Lets clients work with a fleet that suffers what is planned, and judges what they saw.
async fn play(
    server: &Path,
    clocks: &Arc<Clocks>,
    seed: u64,
    planned: &[Planned],
    length: Duration,
    lines: u32,
) -> Outcome<Played> {
    let mut fleet = Fleet::start(server, Arc::clone(clocks)).await?;
    let last = planned.iter().map(Planned::ends).max().unwrap_or_default();
    let length = length.max(last);
    let begun = clock::micros();
    let scene = Arc::new(Scene {
        seed,
        gateways: fleet.gateways(),
        redis: fleet.redis().found_at(),
        submits_until: begun + micros(length),
        ends_by: begun + micros(length + PATIENCE),
    });
    let mut clients = JoinSet::new();
    for line in 0..lines {
        clients.spawn(Arc::clone(&scene).line(u64::from(line)));
    }
    fleet.suffer(planned, PATIENCE).await?;
    let mut jobs: Vec<JobHistory> = clients.join_all().await.into_iter().flatten().collect();
    read_again(&scene, &mut jobs).await;
    let counted = fleet.counted().await;
    let takeovers_max = 1 + planned.iter().map(|one| workers_lost(&one.deed)).sum::<usize>();
    let toll = &fleet.redis().toll;
    let gone = jobs.iter().filter(|job| job.is_among(&toll.lost));
    let set_back = jobs.iter().filter(|job| job.is_among(&toll.set_back));
    let set_back = set_back.filter(|job| !job.is_among(&toll.lost));
    Ok(Played {
        seconds: (clock::micros() - begun) as f64 / 1e6,
        broken: checker::check(&jobs, takeovers_max, toll),
        gone: gone.count(),
        set_back: set_back.count(),
        jobs,
        counted,
        swallowed: fleet.swallowed(),
        done: std::mem::take(&mut fleet.done),
        faults: std::mem::take(&mut fleet.faults),
    })
}

/// What all clients of a run share.
struct Scene {
    seed: u64,
    gateways: Gateways,
    /// Redis past all ways, where it is now.
    redis: watch::Receiver<SocketAddr>,
    /// Microseconds by our clock.
    submits_until: u64,
    ends_by: u64,
}

impl Scene {
    /// One job after the other until the time is over.
    async fn line(self: Arc<Self>, line: u64) -> Vec<JobHistory> {
        let mut jobs = Vec::new();
        for number in 0.. {
            if clock::micros() >= self.submits_until {
                break;
            }
            let planned = plan::job(self.seed, line, number);
            jobs.extend(self.play(planned, line, number).await);
        }
        jobs
    }

    /// One job with all its clients; nothing where it was never accepted.
    async fn play(&self, planned: PlannedJob, line: u64, number: u64) -> Option<JobHistory> {
        let purpose = 1_000_000_000 + line * 1_000_000 + number * 10;
        let watcher = |name: &str, at: u64| {
            let dice = Dice::new(self.seed, purpose + at);
            Watcher::new(
                name,
                Arc::clone(&self.gateways),
                (line + number + at) as usize,
                dice,
            )
        };
        let mut creator = watcher("creator", 0);
        let (ids, socket) = tokio::select! {
            submitted = creator.submit(&planned.create) => submitted,
            () = clock::sleep_until(self.ends_by) => return None,
        };
        let id = ids.first()?.clone();
        let viewers = planned.viewers.iter().zip(1..).map(|(after, at)| {
            let mut viewer = watcher(&format!("viewer {at}"), at);
            viewer.job = Some(id.clone());
            async move {
                clock::sleep(*after).await;
                self.watch(viewer, None).await
            }
        });
        let cancel = async {
            let mut canceller = watcher("canceller", 9);
            clock::sleep(planned.cancel?).await;
            tokio::select! {
                taken = canceller.cancel(&id) => if taken { self.stands_at(&id).await } else { None },
                () = clock::sleep_until(self.ends_by) => None,
            }
        };
        let (creator, viewers, cancelled_at) =
            tokio::join!(self.watch(creator, Some(socket)), join_all(viewers), cancel);
        let views = [creator]
            .into_iter()
            .chain(viewers)
            .map(|watcher| watcher.view)
            .collect();
        Some(JobHistory {
            key: planned.key,
            ids,
            reasks: plan::REASKS,
            cancelled_at,
            views,
        })
    }

    async fn watch(&self, mut watcher: Watcher, socket: Option<crate::viewer::Viewer>) -> Watcher {
        tokio::select! {
            () = watcher.follow(socket) => {}
            () = clock::sleep_until(self.ends_by) => {}
        }
        watcher.give_up();
        watcher
    }

    /// The last seq of a job's log, from where it lies; nothing while Redis does not answer.
    async fn stands_at(&self, job: &str) -> Option<u64> {
        let question = format!("HGET {{livedraft:0}}:job:{job} seq");
        let redis = *self.redis.borrow();
        let answer = tokio::time::timeout(LOOKS, redis::ask(redis, &question)).await;
        answer.ok()?.ok()?.trim().parse().ok()
    }
}

/// One reader more of each job, who comes when all is over.
async fn read_again(scene: &Arc<Scene>, jobs: &mut [JobHistory]) {
    let places = Arc::new(Semaphore::new(LATE_READERS));
    let readers = jobs.iter().enumerate().map(|(at, job)| {
        let (scene, places) = (Arc::clone(scene), Arc::clone(&places));
        let dice = Dice::new(scene.seed, 9_000_000_000 + at as u64);
        let mut reader = Watcher::new(LATE, Arc::clone(&scene.gateways), at, dice);
        reader.job = job.ids.first().cloned();
        async move {
            let _place = places.acquire().await;
            let _ = tokio::time::timeout(PATIENCE, reader.follow(None)).await;
            reader.give_up();
            reader.view
        }
    });
    let views = join_all(readers).await;
    for (job, view) in jobs.iter_mut().zip(views) {
        job.views.push(view);
    }
}

/// How often a deed may cost a job its worker.
fn workers_lost(deed: &Deed) -> usize {
    match deed {
        // Its worker leaves for one whose clock is off, and that one leaves again.
        Deed::Skew(Target::Worker(_), _) => 2,
        Deed::Spoil(schedule::Link::Clients(_) | schedule::Link::GatewayToRedis(_), _)
        | Deed::Kill(Target::Gateway(_))
        | Deed::Stop(Target::Gateway(_))
        | Deed::Drain(Target::Gateway(_))
        | Deed::Skew(Target::Gateway(_) | Target::Redis, _)
        | Deed::Unsubscribe
        | Deed::Fill => 0,
        Deed::Spoil(schedule::Link::WorkerToRedis(_), _)
        | Deed::Kill(Target::Worker(_) | Target::Redis)
        | Deed::Stop(Target::Worker(_) | Target::Redis)
        | Deed::Drain(Target::Worker(_) | Target::Redis)
        | Deed::FailOver(_) => 1,
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::{Deed, Target, run, workers_lost};
    use crate::cli::{ChaosArgs, Seeds};
    use crate::folder::Folder;

    #[tokio::test]
    async fn a_seed_that_cannot_be_gone_on_with_is_a_fault_of_its_own() {
        let folder = Folder::new().unwrap();
        let out = folder.path().join("told.json");
        let args = ChaosArgs {
            seed: None,
            seeds: Some(Seeds { from: 1, to: 2 }),
            at_a_time: 1,
            seconds: 1,
            jobs: 1,
            server: PathBuf::from("/nowhere/livedraft"),
            out: Some(out.clone()),
        };
        assert!(!run(&args).await.unwrap());
        let told: Value = serde_json::from_slice(&std::fs::read(out).unwrap()).unwrap();
        let faults = told["faults"].as_array().unwrap();
        let of = |seed: &str| {
            faults
                .iter()
                .any(|fault| fault.as_str().unwrap().starts_with(seed))
        };
        assert!(
            faults.len() == 2 && of("seed 1: ") && of("seed 2: "),
            "{faults:?}"
        );
    }

    #[test]
    fn a_worker_with_a_clock_that_is_off_is_lost_twice() {
        assert_eq!(workers_lost(&Deed::Skew(Target::Worker(0), 3_600)), 2);
        assert_eq!(workers_lost(&Deed::Skew(Target::Gateway(0), 3_600)), 0);
    }
}
