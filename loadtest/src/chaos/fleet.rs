//! Real processes with a way of its own between any two that speak, and what a nemesis does to them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::task::JoinSet;

use super::counters::{Counted, Counters};
use super::pair::Pair;
use super::proxy::{Proxy, Way};
use super::schedule::{Deed, GATEWAYS, Link, Planned, Target, WORKERS};
use super::skew::{Clocks, Skew};
use super::watcher::Gateways;
use crate::node::Node;
use crate::system::Setup;
use crate::{Outcome, clock};

/// Times are short, so that a lost worker is noticed soon, and workers tell what they count; the rest is as it is by default.
const SETTINGS: [&str; 8] = [
    "server.status_bind=127.0.0.1:0",
    "lease.lease_ms=3000",
    "lease.extend_ms=1000",
    "redis.response_ms=900",
    "worker.reap_tick_ms=200",
    "worker.drain_ms=1000",
    "server.heartbeat_ms=1000",
    "hub.degraded_ms=1000",
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
    clocks: Arc<Clocks>,
    gateways: Vec<Member>,
    workers: Vec<Member>,
    starting: JoinSet<Started>,
    /// What was noticed and nobody had planned.
    pub(crate) faults: Vec<String>,
    /// What its processes count.
    counters: Counters,
    /// Whether the replica lags, to take over.
    lags: bool,
    /// What was done to it, and how often: what was planned and found nobody to be done to is not among it.
    pub(crate) done: BTreeMap<String, u64>,
}

/// A place of the fleet, with the process that fills it now.
#[derive(Debug)]
struct Member {
    node: Option<Node>,
    /// From clients; a worker has none.
    clients: Option<Proxy>,
    to_redis: Proxy,
    draining: bool,
    /// Of its last start, or of what ended it behind that: a process of an earlier start does not fill it.
    number: u64,
    /// Seconds that its wall clock is off.
    off: i64,
    /// That clock.
    skew: Option<Skew>,
    /// Why the last start came to nothing.
    failed: Option<String>,
}

/// A start that is over.
#[derive(Debug)]
struct Started {
    target: Target,
    number: u64,
    node: Outcome<Node>,
}

impl Fleet {
    /// Starts all of it; Redis keeps every write.
    pub(crate) async fn start(binary: &Path, clocks: Arc<Clocks>) -> Outcome<Self> {
        let mut fleet = Self {
            binary: binary.to_owned(),
            redis: Pair::start().await?,
            clocks,
            gateways: Vec::new(),
            workers: Vec::new(),
            starting: JoinSet::new(),
            faults: Vec::new(),
            counters: Counters::default(),
            lags: false,
            done: BTreeMap::new(),
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
            fleet.begin(target)?;
            // On a machine without a core left the first try may be too slow for the process itself.
            for left in (0..TRIES).rev() {
                match fleet.starting.join_next().await.ok_or("nothing starts")??.node {
                    Ok(node) => {
                        fleet.fill(target, node);
                        break;
                    }
                    Err(_) if left > 0 => fleet.begin(target)?,
                    Err(error) => return Err(error),
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
            number: 0,
            off: 0,
            skew: None,
            failed: None,
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

    /// What is rare and came about, as all processes have counted that ever were; asked once more of those that are.
    pub(crate) async fn counted(&mut self) -> Counted {
        self.ask_counters();
        self.counters.sum().await
    }

    fn ask_counters(&mut self) {
        for target in all() {
            let member = self.of(target);
            let address = member.node.as_ref().and_then(Node::address);
            let number = member.number;
            if let Some(address) = address {
                self.counters.ask((target, number), address);
            }
        }
    }

    /// Does all that is planned at its time, and then makes everything good again; a place that is empty for as long as
    /// `patience` behind that is a fault.
    pub(crate) async fn suffer(&mut self, planned: &[Planned], patience: Duration) -> Outcome<()> {
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
        let over = clock::micros();
        while self.members().any(|member| member.node.is_none()) {
            if u128::from(clock::micros() - over) > patience.as_micros() {
                self.tell_empty();
                break;
            }
            self.tend()?;
            clock::sleep(TICK).await;
        }
        Ok(())
    }

    fn tell_empty(&mut self) {
        for target in all() {
            let member = self.of(target);
            if member.node.is_none() {
                let why = member.failed.take();
                let why = why.unwrap_or_else(|| "it is still starting".to_owned());
                self.faults.push(format!("{target} does not start again: {why}"));
            }
        }
    }

    fn did(&mut self, what: &str, times: u64) {
        *self.done.entry(what.to_owned()).or_default() += times;
    }

    async fn begin_deed(&mut self, deed: Deed) -> Outcome<()> {
        let times = match deed {
            Deed::Kill(Target::Redis) => self.redis.master.kill().map(|()| 1)?,
            Deed::Stop(Target::Redis) => self.redis.master.signal(Signal::STOP).map(|()| 1)?,
            // Redis is never drained: it has nobody to hand over to. Its clock is nobody's business but its own.
            Deed::Drain(Target::Redis) | Deed::Skew(Target::Redis, _) => 0,
            // It is done at its end, where the replica is up to its master now.
            Deed::FailOver(_) => {
                self.lags = self.redis.lag().await?;
                0
            }
            Deed::Unsubscribe => closed(&self.redis.master.ask("CLIENT KILL TYPE pubsub").await?)?,
            Deed::Fill => {
                self.redis.master.ask("CONFIG SET maxmemory 1").await?;
                1
            }
            Deed::Kill(target) => u64::from(self.empty(target)),
            // It is done once the process has asked what time it is.
            Deed::Skew(target, off) => {
                self.replace(target, off)?;
                0
            }
            Deed::Stop(target) => u64::from(self.signal(target, Signal::STOP)),
            Deed::Drain(target) => {
                self.of(target).draining = true;
                u64::from(self.signal(target, Signal::TERM))
            }
            Deed::Spoil(link, way) => {
                self.way(link, way);
                1
            }
        };
        if times > 0 {
            self.did(deed.kind(), times);
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
                    self.did(deed.kind(), 1);
                } else {
                    self.did("failovers to a replica that was not up, left out", 1);
                }
            }
            Deed::Fill => drop(self.redis.master.ask("CONFIG SET maxmemory 0").await?),
            Deed::Skew(target, _) => {
                self.judge_clock(target, deed.kind())?;
                self.replace(target, 0)?;
            }
            Deed::Kill(target) => self.begin(target)?,
            Deed::Stop(target) => drop(self.signal(target, Signal::CONT)),
            Deed::Drain(target) => self.end_drain(target)?,
            Deed::Spoil(link, _) => self.way(link, Way::Good),
        }
        Ok(())
    }

    fn end_drain(&mut self, target: Target) -> Outcome<()> {
        let member = self.of(target);
        member.draining = false;
        let left = match &mut member.node {
            Some(node) => node.ended()?,
            None => None,
        };
        let was_there = self.empty(target);
        match left {
            Some(status) if !status.success() => {
                let fault = format!("{target} was drained and left with {status}");
                self.faults.push(fault);
            }
            Some(_) => {}
            None if was_there => self.did("drains cut short", 1),
            None => {}
        }
        self.begin(target)
    }

    /// A process with a clock that is off was there: whether it went by that.
    fn judge_clock(&mut self, target: Target, kind: &str) -> Outcome<()> {
        let member = self.of(target);
        let Some(skew) = member.skew.as_ref().filter(|_| member.node.is_some()) else {
            return Ok(());
        };
        if skew.took_hold()? {
            self.did(kind, 1);
        } else {
            let fault = format!("{target} has never asked the clock that was put in front of it");
            self.faults.push(fault);
        }
        Ok(())
    }

    /// Notices who left by itself, and fills places whose new process is ready; tries again where it could not start.
    fn tend(&mut self) -> Outcome<()> {
        if self.counters.is_due() {
            self.ask_counters();
        }
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
                self.begin(target)?;
            }
        }
        while let Some(started) = self.starting.try_join_next() {
            let Started { target, number, node } = started?;
            // What was started before the last deed there ends here.
            if number != self.of(target).number {
                continue;
            }
            match node {
                Ok(node) => self.fill(target, node),
                // It looks for Redis when it starts, and that may be away just now.
                Err(error) => {
                    self.of(target).failed = Some(error.to_string());
                    self.begin(target)?;
                }
            }
        }
        Ok(())
    }

    /// Begins to start a process for a place.
    fn begin(&mut self, target: Target) -> Outcome<()> {
        let role = match target {
            Target::Gateway(_) => "api",
            Target::Worker(_) | Target::Redis => "worker",
        };
        let setup = SETTINGS
            .iter()
            .fold(Setup::default(), |setup, time| setup.with(time));
        let setup = Setup {
            slots: SLOTS,
            ..setup
        };
        let off = self.of(target).off;
        let skew = (off != 0).then(|| self.clocks.off_by(off)).transpose()?;
        let variables = skew.iter().flat_map(Skew::variables).collect::<Vec<_>>();
        let member = self.of(target);
        member.skew = skew;
        member.number += 1;
        let (number, redis) = (member.number, member.to_redis.address());
        let (binary, arguments) = (self.binary.clone(), setup.quiet_arguments(role, redis));
        self.starting.spawn(async move {
            let name = target.to_string();
            let started =
                tokio::task::spawn_blocking(move || Node::start_with(&name, &binary, &arguments, &variables))
                    .await;
            Started {
                target,
                number,
                node: started.unwrap_or_else(|error| Err(error.into())),
            }
        });
        Ok(())
    }

    /// Kills the process of a place, or lets the one that is starting end when it is there; whether there was one.
    fn empty(&mut self, target: Target) -> bool {
        let member = self.of(target);
        member.number += 1;
        member.node.take().is_some()
    }

    /// Kills a process; one whose clock is so far off takes its place.
    fn replace(&mut self, target: Target, off: i64) -> Outcome<()> {
        self.empty(target);
        self.of(target).off = off;
        self.begin(target)
    }

    fn fill(&mut self, target: Target, node: Node) {
        let member = self.of(target);
        if let (Some(proxy), Some(address)) = (&member.clients, node.address()) {
            proxy.lead_to(address);
        }
        member.node = Some(node);
    }

    /// Whether there is a process that was told: a place may be empty just now, and one that left meanwhile is noticed
    /// otherwise.
    fn signal(&mut self, target: Target, signal: Signal) -> bool {
        let node = self.of(target).node.as_ref();
        node.is_some_and(|node| node.signal(signal).is_ok())
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

/// How many connections Redis says that it has closed.
fn closed(answer: &str) -> Outcome<u64> {
    Ok(answer.trim_start_matches(':').trim().parse()?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::{Path, PathBuf};
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::{Clocks, Fleet, TICK};
    use crate::chaos::schedule::{Deed, Planned, Target};
    use crate::clock;
    use crate::folder::Folder;

    const WORKER: Target = Target::Worker(0);

    fn program(at: &Path, text: &str) {
        // In another's place, for nobody starts a file that is being written.
        let new = at.with_extension("new");
        fs::write(&new, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, at).unwrap();
    }

    /// A fleet of processes that do nothing; one whose clock is off is ready once `go` is there.
    async fn of_stand_ins(folder: &Folder) -> (Fleet, PathBuf) {
        let (binary, go) = (folder.path().join("stand-in"), folder.path().join("go"));
        let waits = format!("while [ -n \"$CLOCK_FILE\" ] && [ ! -e {} ]", go.display());
        program(
            &binary,
            &format!("{waits}; do sleep 0.01; done; echo 'livedraft works' >&2; exec sleep 1000"),
        );
        let clocks = Arc::new(Clocks::compile().await.unwrap());
        (Fleet::start(&binary, clocks).await.unwrap(), go)
    }

    async fn until(fleet: &mut Fleet, is: impl Fn(&mut Fleet) -> bool) {
        while !is(fleet) {
            fleet.tend().unwrap();
            clock::sleep(TICK).await;
        }
    }

    #[tokio::test]
    async fn what_was_started_for_a_place_before_its_last_deed_does_not_fill_it() {
        let folder = Folder::new().unwrap();
        let (mut fleet, go) = of_stand_ins(&folder).await;
        fleet.replace(WORKER, 3_600).unwrap();
        fleet.replace(WORKER, 0).unwrap();
        until(&mut fleet, |fleet| fleet.of(WORKER).node.is_some()).await;
        fs::write(&go, "").unwrap();
        until(&mut fleet, |fleet| fleet.starting.is_empty()).await;
        let pid = fleet.of(WORKER).node.as_ref().unwrap().pid();
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap();
        assert!(!String::from_utf8_lossy(&environment).contains("CLOCK_FILE"));
        // One that is killed before it is there is not there.
        fleet.replace(WORKER, 3_600).unwrap();
        fleet.begin_deed(Deed::Kill(WORKER)).await.unwrap();
        until(&mut fleet, |fleet| fleet.starting.is_empty()).await;
        assert!(fleet.of(WORKER).node.is_none());
        assert_eq!(fleet.done.get(Deed::Kill(WORKER).kind()), None);
    }

    #[tokio::test]
    async fn a_place_that_stays_empty_is_a_fault_that_says_why() {
        let folder = Folder::new().unwrap();
        let (mut fleet, _) = of_stand_ins(&folder).await;
        program(&fleet.binary.clone(), "echo 'no disk left' >&2; exit 1");
        let kill = Planned {
            deed: Deed::Kill(WORKER),
            begins: Duration::ZERO,
            lasts: Duration::ZERO,
        };
        fleet.suffer(&[kill], Duration::from_millis(200)).await.unwrap();
        let [fault] = &fleet.faults[..] else {
            panic!("{:?}", fleet.faults);
        };
        assert!(fault.starts_with("worker 1 does not start again: "), "{fault}");
        assert_eq!(fleet.done.get(kill.deed.kind()), Some(&1));
    }

    #[tokio::test]
    async fn subscriptions_are_counted_that_redis_says_it_has_closed() {
        let folder = Folder::new().unwrap();
        let (mut fleet, _) = of_stand_ins(&folder).await;
        fleet.begin_deed(Deed::Unsubscribe).await.unwrap();
        assert_eq!(fleet.done.get(Deed::Unsubscribe.kind()), None);
        let redis = fleet.redis().master.address();
        let mut subscriber = TcpStream::connect(redis).await.unwrap();
        subscriber.write_all(b"SUBSCRIBE one\r\n").await.unwrap();
        subscriber.read_u8().await.unwrap();
        fleet.begin_deed(Deed::Unsubscribe).await.unwrap();
        assert_eq!(fleet.done.get(Deed::Unsubscribe.kind()), Some(&1));
    }
}
