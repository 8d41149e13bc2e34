//! Real processes with a way of its own between any two that speak, and what a nemesis does to them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::pair::Pair;
use super::proxy::{Proxy, Way};
use super::schedule::{Deed, GATEWAYS, Link, Planned, Target, WORKERS};
use super::skew::Skew;
use super::watcher::Gateways;
use crate::node::Node;
use crate::system::Setup;
use crate::{Outcome, clock};

/// Short, so that a lost worker is noticed soon; the rest is as it is by default.
const TIMES: [&str; 6] = [
    "lease.lease_ms=3000",
    "lease.extend_ms=1000",
    "redis.response_ms=900",
    "worker.reap_tick_ms=200",
    "worker.drain_ms=1000",
    "server.heartbeat_ms=1000",
];
/// Jobs that one worker may have.
const SLOTS: u32 = 16;
/// How often a process is started before the fleet is given up that is not there yet.
const TRIES: u32 = 10;
/// Between two looks at what is due, and at who is there.
const TICK: Duration = Duration::from_millis(25);

/// The fleet.
#[derive(Debug)]
pub(crate) struct Fleet {
    binary: PathBuf,
    redis: Pair,
    skew: Skew,
    gateways: Vec<Member>,
    workers: Vec<Member>,
    starting: JoinSet<(Target, Outcome<Node>)>,
    /// What was noticed and nobody had planned.
    pub(crate) faults: Vec<String>,
    /// Whether the replica lags, to take over.
    lags: bool,
    /// Drains that had to be cut short.
    pub(crate) cut_short: usize,
    /// Failovers that did not come about: the replica was not up to its master.
    pub(crate) not_failed_over: usize,
}

/// A place of the fleet, with the process that fills it now.
#[derive(Debug)]
struct Member {
    node: Option<Node>,
    /// From clients; a worker has none.
    clients: Option<Proxy>,
    to_redis: Proxy,
    draining: bool,
    /// Seconds that its wall clock is off.
    off: i64,
}

impl Fleet {
    /// Starts all of it; Redis keeps every write.
    pub(crate) async fn start(binary: &Path) -> Outcome<Self> {
        let mut fleet = Self {
            binary: binary.to_owned(),
            redis: Pair::start().await?,
            skew: Skew::new()?,
            gateways: Vec::new(),
            workers: Vec::new(),
            starting: JoinSet::new(),
            faults: Vec::new(),
            lags: false,
            cut_short: 0,
            not_failed_over: 0,
        };
        for _ in 0..GATEWAYS {
            let mut member = fleet.member().await?;
            member.clients = Some(Proxy::start().await?);
            fleet.gateways.push(member);
        }
        for _ in 0..WORKERS {
            let member = fleet.member().await?;
            fleet.workers.push(member);
        }
        for target in all() {
            fleet.begin(target);
            // On a machine without a core left the first try may be too slow for the process itself.
            for left in (0..TRIES).rev() {
                match fleet.starting.join_next().await.ok_or("nothing starts")?? {
                    (target, Ok(node)) => {
                        fleet.fill(target, node);
                        break;
                    }
                    (target, Err(_)) if left > 0 => fleet.begin(target),
                    (_, Err(error)) => return Err(error),
                }
            }
        }
        Ok(fleet)
    }

    async fn member(&self) -> Outcome<Member> {
        let to_redis = Proxy::start_to_redis().await?;
        to_redis.lead_to(self.redis.master.address());
        Ok(Member {
            node: None,
            clients: None,
            to_redis,
            draining: false,
            off: 0,
        })
    }

    /// Where clients find the gateways.
    pub(crate) fn gateways(&self) -> Gateways {
        let proxies = self.gateways.iter().filter_map(|member| member.clients.as_ref());
        Arc::new(proxies.map(Proxy::address).collect())
    }

    /// Redis itself and its replica, past all ways.
    pub(crate) fn redis(&self) -> &Pair {
        &self.redis
    }

    /// Bytes that never arrived anywhere.
    pub(crate) fn swallowed(&self) -> u64 {
        let members = self.gateways.iter().chain(&self.workers);
        let proxies = members.flat_map(|member| member.clients.iter().chain([&member.to_redis]));
        proxies.map(Proxy::swallowed).sum()
    }

    /// Does all that is planned at its time, and then makes everything good again.
    pub(crate) async fn suffer(&mut self, planned: &[Planned]) -> Outcome<()> {
        let mut due: Vec<(Duration, bool, Deed)> = Vec::new();
        for one in planned {
            due.push((one.begins, true, one.deed));
            due.push((one.ends(), false, one.deed));
        }
        // An end goes before a begin of the same moment.
        due.sort_by_key(|(at, begins, _)| (*at, *begins));
        let begun = clock::micros();
        for (at, begins, deed) in due {
            while u128::from(clock::micros() - begun) < at.as_micros() {
                self.tend()?;
                clock::sleep(TICK).await;
            }
            if begins {
                self.begin_deed(deed).await?;
            } else {
                self.end_deed(deed).await?;
            }
        }
        while self.members().any(|member| member.node.is_none()) {
            self.tend()?;
            clock::sleep(TICK).await;
        }
        Ok(())
    }

    async fn begin_deed(&mut self, deed: Deed) -> Outcome<()> {
        match deed {
            Deed::Kill(Target::Redis) => self.redis.master.kill()?,
            Deed::Stop(Target::Redis) => self.redis.master.signal(Signal::STOP)?,
            // Redis is never drained: it has nobody to hand over to. Its clock is nobody's business but its own.
            Deed::Drain(Target::Redis) | Deed::Skew(Target::Redis, _) => {}
            Deed::FailOver(_) => self.lags = self.redis.lag().await?,
            Deed::Unsubscribe => drop(self.redis.master.ask("CLIENT KILL TYPE pubsub").await?),
            Deed::Fill => drop(self.redis.master.ask("CONFIG SET maxmemory 1").await?),
            Deed::Kill(target) => self.of(target).node = None,
            Deed::Skew(target, off) => self.replace(target, off),
            Deed::Stop(target) => self.signal(target, Signal::STOP),
            Deed::Drain(target) => {
                self.of(target).draining = true;
                self.signal(target, Signal::TERM);
            }
            Deed::Spoil(link, way) => self.way(link, way),
        }
        Ok(())
    }

    async fn end_deed(&mut self, deed: Deed) -> Outcome<()> {
        match deed {
            Deed::Kill(Target::Redis) => self.redis.master.start_again().await?,
            Deed::Stop(Target::Redis) => self.redis.master.signal(Signal::CONT)?,
            Deed::Drain(Target::Redis) | Deed::Skew(Target::Redis, _) | Deed::Unsubscribe => {}
            Deed::FailOver(old) => {
                if std::mem::take(&mut self.lags) {
                    let address = self.redis.fail_over(old).await?;
                    self.members().for_each(|member| member.to_redis.lead_to(address));
                } else {
                    self.not_failed_over += 1;
                }
            }
            Deed::Fill => drop(self.redis.master.ask("CONFIG SET maxmemory 0").await?),
            Deed::Skew(target, _) => self.replace(target, 0),
            Deed::Kill(target) => self.begin(target),
            Deed::Stop(target) => self.signal(target, Signal::CONT),
            Deed::Drain(target) => {
                let member = self.of(target);
                let left = match &mut member.node {
                    Some(node) => node.ended()?,
                    None => None,
                };
                member.node = None;
                member.draining = false;
                match left {
                    Some(status) if !status.success() => {
                        self.faults
                            .push(format!("{target} was drained and left with {status}"));
                    }
                    Some(_) => {}
                    None => self.cut_short += 1,
                }
                self.begin(target);
            }
            Deed::Spoil(link, _) => self.way(link, Way::Good),
        }
        Ok(())
    }

    /// Notices who left by itself, and fills places whose new process is ready; tries again where it could not start.
    fn tend(&mut self) -> Outcome<()> {
        for target in all() {
            let member = self.of(target);
            if member.draining {
                continue;
            }
            let left = match &mut member.node {
                Some(node) => node.ended()?,
                None => None,
            };
            if let Some(status) = left {
                self.faults
                    .push(format!("{target} left by itself, with {status}"));
                self.of(target).node = None;
                self.begin(target);
            }
        }
        while let Some(started) = self.starting.try_join_next() {
            match started? {
                (target, Ok(node)) => self.fill(target, node),
                // It looks for Redis when it starts, and that may be away just now.
                (target, Err(_)) => self.begin(target),
            }
        }
        Ok(())
    }

    /// Begins to start a process for a place.
    fn begin(&mut self, target: Target) {
        let role = match target {
            Target::Gateway(_) => "api",
            Target::Worker(_) | Target::Redis => "worker",
        };
        let setup = TIMES
            .iter()
            .fold(Setup::default(), |setup, time| setup.with(time));
        let setup = Setup {
            slots: SLOTS,
            ..setup
        };
        let (redis, off) = (self.of(target).to_redis.address(), self.of(target).off);
        let variables = if off == 0 {
            Vec::new()
        } else {
            self.skew.variables(off)
        };
        let (binary, arguments) = (self.binary.clone(), setup.quiet_arguments(role, redis));
        self.starting.spawn(async move {
            let name = target.to_string();
            let started =
                tokio::task::spawn_blocking(move || Node::start_with(&name, &binary, &arguments, &variables))
                    .await;
            (target, started.unwrap_or_else(|error| Err(error.into())))
        });
    }

    /// Kills a process; one whose clock is so far off takes its place.
    fn replace(&mut self, target: Target, off: i64) {
        let member = self.of(target);
        (member.node, member.off) = (None, off);
        self.begin(target);
    }

    fn fill(&mut self, target: Target, node: Node) {
        let member = self.of(target);
        if let (Some(proxy), Some(address)) = (&member.clients, node.address()) {
            proxy.lead_to(address);
        }
        member.node = Some(node);
    }

    fn signal(&mut self, target: Target, signal: Signal) {
        // A place that is empty just now has nobody to be told; one that left meanwhile is noticed otherwise.
        if let Some(node) = &self.of(target).node {
            let _ = node.signal(signal);
        }
    }

    fn way(&mut self, link: Link, way: Way) {
        match link {
            Link::Clients(number) => {
                if let Some(proxy) = &self.gateways[number].clients {
                    proxy.make(way);
                }
            }
            Link::GatewayToRedis(number) => self.gateways[number].to_redis.make(way),
            Link::WorkerToRedis(number) => self.workers[number].to_redis.make(way),
        }
    }

    fn of(&mut self, target: Target) -> &mut Member {
        match target {
            Target::Gateway(number) => &mut self.gateways[number],
            Target::Worker(number) => &mut self.workers[number],
            // Redis has no place among them; deeds on it are told apart before.
            Target::Redis => &mut self.workers[0],
        }
    }

    fn members(&self) -> impl Iterator<Item = &Member> {
        self.gateways.iter().chain(&self.workers)
    }
}

fn all() -> impl Iterator<Item = Target> {
    let gateways = (0..GATEWAYS).map(Target::Gateway);
    gateways.chain((0..WORKERS).map(Target::Worker))
}
