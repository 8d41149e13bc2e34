//! Who comes first: the jobs in line, fair between tenants by what their jobs cost.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queueing", 1996): each tenant has a virtual time, which
//! goes on by the cost of a job over the tenant's weight as that is given to a worker, and the tenant that is furthest
//! behind is served. One that comes back begins where the line is: it has saved nothing up. Within a tenant jobs go by
//! their band, and in a band by when they came. A tenant that may not be served, because it is paused or has as many
//! running as it may, stands aside and holds nobody up.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::backend::{Paused, Shares};
use crate::job::{JobId, Priority};

/// What a unit of cost moves the virtual time of a tenant of weight 1.
const UNIT: u64 = 1_000_000;
/// Tenants without jobs whose virtual time is kept, as it is ahead of the line's.
const RESTING_MAX: usize = 10_000;
/// The band of jobs that lost their worker; those of priorities come behind it.
const RECOVERED: usize = 0;
const BANDS: usize = RECOVERED + 1 + Priority::COUNT;

/// The line.
#[derive(Clone, Debug, Default)]
pub(super) struct Line {
    shares: Shares,
    paused: Paused,
    tenants: HashMap<Arc<str>, Tenant>,
    /// Tenants that may be served, by their virtual time.
    ring: BTreeSet<(u64, Arc<str>)>,
    /// Those of them that have jobs that lost their worker, by when the first came back.
    back: BTreeSet<(u64, Arc<str>)>,
    /// Tenants that have nothing here and are ahead of the line, by their virtual time.
    resting: BTreeSet<(u64, Arc<str>)>,
    /// All jobs in line, by when they came.
    places: BTreeMap<u64, JobId>,
    spots: HashMap<JobId, Spot>,
    /// The virtual time of the line: that of the tenant that was served last.
    pace: u64,
    /// How many ever came.
    came: u64,
}

/// A job that comes into line.
#[derive(Clone, Debug)]
pub(super) struct Comer {
    pub(super) job: JobId,
    pub(super) tenant: Arc<str>,
    pub(super) priority: Priority,
    /// Whether it comes back because it lost its worker.
    pub(super) recovered: bool,
    /// What is charged when it is given to a worker, tokens; 0 where that was done before.
    pub(super) cost: u64,
}

/// Where a job stands in line.
#[derive(Clone, Debug)]
struct Spot {
    tenant: Arc<str>,
    band: usize,
    came: u64,
}

#[derive(Clone, Debug, Default)]
struct Tenant {
    /// Its jobs in line by when they came, with their cost.
    bands: [BTreeMap<u64, (JobId, u64)>; BANDS],
    running: HashSet<JobId>,
    /// Its jobs that have not ended, running ones included.
    unended: usize,
    /// Its virtual time.
    at: u64,
}

impl Tenant {
    fn in_line(&self) -> usize {
        self.bands.iter().map(BTreeMap::len).sum()
    }

    fn is_idle(&self) -> bool {
        self.unended == 0 && self.running.is_empty() && self.in_line() == 0
    }

    /// When its first job that lost its worker came back.
    fn back_since(&self) -> Option<u64> {
        self.bands[RECOVERED].keys().next().copied()
    }

    fn take(&mut self) -> Option<(usize, JobId, u64)> {
        let (band, jobs) = self
            .bands
            .iter_mut()
            .enumerate()
            .find(|(_, jobs)| !jobs.is_empty())?;
        let (_, (job, cost)) = jobs.pop_first()?;
        Some((band, job, cost))
    }
}

fn band(priority: Priority) -> usize {
    RECOVERED + 1 + priority.rank()
}

impl Line {
    /// A job has come that has not ended.
    pub(super) fn arrived(&mut self, tenant: &Arc<str>) {
        self.resting.remove(&(self.at(tenant), Arc::clone(tenant)));
        self.tenants.entry(Arc::clone(tenant)).or_default().unended += 1;
    }

    /// A job has ended, or was not kept.
    pub(super) fn gone(&mut self, tenant: &Arc<str>) {
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.unended -= 1;
        }
        self.let_rest(tenant);
    }

    /// Puts a job in line that has arrived before.
    pub(super) fn enter(&mut self, comer: Comer) {
        let Comer {
            job,
            tenant,
            priority,
            recovered,
            cost,
        } = comer;
        self.stand_aside(&tenant);
        let came = self.came;
        self.came += 1;
        let band = if recovered { RECOVERED } else { band(priority) };
        self.places.insert(came, job);
        let own = self.tenants.entry(Arc::clone(&tenant)).or_default();
        own.bands[band].insert(came, (job, cost));
        self.stand(&tenant);
        self.spots.insert(job, Spot { tenant, band, came });
    }

    /// Takes a job out of line; nothing where it is not in it.
    pub(super) fn leave(&mut self, job: JobId) {
        let Some(Spot { tenant, band, came }) = self.spots.remove(&job) else {
            return;
        };
        self.places.remove(&came);
        self.stand_aside(&tenant);
        if let Some(own) = self.tenants.get_mut(&tenant) {
            own.bands[band].remove(&came);
        }
        self.stand(&tenant);
    }

    /// Whether a worker would be given a job.
    pub(super) fn has_next(&self) -> bool {
        !self.paused.all && !self.ring.is_empty()
    }

    /// Gives the next job to a worker, and charges its tenant: one that lost its worker before all others, else of the
    /// tenant that was served least; and what was charged, tokens.
    pub(super) fn next(&mut self) -> Option<(JobId, u64)> {
        if self.paused.all {
            return None;
        }
        let first = self.back.first().or_else(|| self.ring.first())?;
        let tenant = Arc::clone(&first.1);
        let weight = u64::from(self.shares.of(&tenant).weight.max(1));
        self.stand_aside(&tenant);
        let own = self.tenants.get_mut(&tenant)?;
        let (band, job, cost) = own.take()?;
        own.running.insert(job);
        let at = own.at;
        own.at = own.at.saturating_add(cost.saturating_mul(UNIT) / weight);
        if let Some(spot) = self.spots.remove(&job) {
            self.places.remove(&spot.came);
        }
        if band != RECOVERED {
            self.go_on(at);
        }
        self.stand(&tenant);
        Some((job, cost))
    }

    /// A delivery is over: its slot is free.
    pub(super) fn release(&mut self, tenant: &Arc<str>, job: JobId) {
        self.stand_aside(tenant);
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.running.remove(&job);
        }
        self.stand(tenant);
        self.let_rest(tenant);
    }

    /// A job has cost more or less than its tenant was charged for it, tokens.
    pub(super) fn correct(&mut self, tenant: &Arc<str>, charged: u64, cost: u64) {
        let weight = u64::from(self.shares.of(tenant).weight.max(1));
        let moved = |tokens: u64| tokens.saturating_mul(UNIT) / weight;
        self.stand_aside(tenant);
        if let Some(own) = self.tenants.get_mut(tenant) {
            let at = own.at.saturating_add(moved(cost)).saturating_sub(moved(charged));
            own.at = at.max(self.pace);
        }
        self.stand(tenant);
    }

    /// What tenants may have from now on.
    pub(super) fn govern(&mut self, shares: Shares) {
        self.shares = shares;
        self.stand_all();
    }

    /// Pauses or resumes a tenant, or the whole line; false where as many are paused as may.
    pub(super) fn pause(&mut self, tenant: Option<&str>, paused: bool) -> bool {
        let set = self.paused.set(tenant, paused);
        self.stand_all();
        set
    }

    pub(super) const fn paused(&self) -> &Paused {
        &self.paused
    }

    pub(super) const fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Jobs in line.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// The job that is in line for the longest time.
    pub(super) fn oldest(&self) -> Option<JobId> {
        self.places.values().next().copied()
    }

    /// Jobs of a tenant that have not ended and do not run.
    pub(super) fn queued(&self, tenant: &str) -> usize {
        self.tenants
            .get(tenant)
            .map_or(0, |own| own.unended - own.running.len())
    }

    /// Jobs in line before one that would come now: all but those of its own tenant that it goes before.
    pub(super) fn ahead(&self, tenant: &str, priority: Priority) -> usize {
        let own = self.tenants.get(tenant);
        let behind = own.map_or(0, |own| {
            own.bands[band(priority) + 1..].iter().map(BTreeMap::len).sum()
        });
        self.len() - behind
    }

    /// About how many jobs are given out before one that would come now, where the tenants that are served now are
    /// served in turn.
    pub(super) fn turns(&self, tenant: &str, priority: Priority) -> usize {
        let own = self.tenants.get(tenant);
        let before = own.map_or(0, |own| {
            own.bands[..=band(priority)].iter().map(BTreeMap::len).sum()
        });
        let is_on = own.is_some_and(|own| self.may(tenant, own));
        let others = self.ring.len() - usize::from(is_on);
        ((before + 1) * (others + 1) - 1).min(self.ahead(tenant, priority))
    }

    fn at(&self, tenant: &str) -> u64 {
        self.tenants.get(tenant).map_or(0, |own| own.at)
    }

    /// Whether the tenant may be served.
    fn may(&self, tenant: &str, own: &Tenant) -> bool {
        let most = self.shares.of(tenant).running_max as usize;
        let has_slot = most == 0 || own.running.len() < most;
        has_slot && own.in_line() > 0 && !self.paused.tenants.contains(tenant)
    }

    /// Takes a tenant off the ring while it changes.
    fn stand_aside(&mut self, tenant: &Arc<str>) {
        let Some(own) = self.tenants.get(tenant) else {
            return;
        };
        self.ring.remove(&(own.at, Arc::clone(tenant)));
        if let Some(since) = own.back_since() {
            self.back.remove(&(since, Arc::clone(tenant)));
        }
    }

    /// Puts a tenant on the ring, if it may be served. One that comes back begins where the line is.
    fn stand(&mut self, tenant: &Arc<str>) {
        let Some(own) = self.tenants.get(tenant) else {
            return;
        };
        if !self.may(tenant, own) {
            return;
        }
        let (at, since) = (own.at.max(self.pace), own.back_since());
        if let Some(own) = self.tenants.get_mut(tenant) {
            own.at = at;
        }
        self.ring.insert((at, Arc::clone(tenant)));
        if let Some(since) = since {
            self.back.insert((since, Arc::clone(tenant)));
        }
    }

    fn stand_all(&mut self) {
        let tenants: Vec<Arc<str>> = self.tenants.keys().map(Arc::clone).collect();
        for tenant in &tenants {
            self.stand_aside(tenant);
            self.stand(tenant);
        }
    }

    /// The line goes on to there: who rests and is no longer ahead of it is forgotten.
    fn go_on(&mut self, at: u64) {
        self.pace = self.pace.max(at);
        while self.resting.first().is_some_and(|(at, _)| *at <= self.pace) {
            self.forget_first();
        }
    }

    /// A tenant without jobs is kept only while it is ahead of the line.
    fn let_rest(&mut self, tenant: &Arc<str>) {
        let Some(own) = self.tenants.get(tenant).filter(|own| own.is_idle()) else {
            return;
        };
        if own.at <= self.pace {
            self.tenants.remove(tenant);
            return;
        }
        self.resting.insert((own.at, Arc::clone(tenant)));
        if self.resting.len() > RESTING_MAX {
            self.forget_first();
        }
    }

    fn forget_first(&mut self) {
        if let Some((_, tenant)) = self.resting.pop_first() {
            self.tenants.remove(&tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;
    use crate::backend::Share;

    const TENANTS: [&str; 4] = ["a", "b", "c", "d"];
    const COST_MAX: u64 = 5_000;

    fn tenant(name: &str) -> Arc<str> {
        name.into()
    }

    /// A line, and beside it what is known of each job.
    #[derive(Default)]
    struct World {
        line: Line,
        number: u128,
        jobs: HashMap<JobId, Comer>,
        running: Vec<JobId>,
        served: HashMap<Arc<str>, u64>,
    }

    impl World {
        fn come(&mut self, name: &str, priority: u32, cost: u64) -> JobId {
            self.number += 1;
            let comer = Comer {
                job: JobId::new(uuid::Uuid::from_u128(self.number)),
                tenant: tenant(name),
                priority: Priority(priority),
                recovered: false,
                cost,
            };
            self.line.arrived(&comer.tenant);
            self.line.enter(comer.clone());
            self.jobs.insert(comer.job, comer.clone());
            comer.job
        }

        fn serve(&mut self) -> Option<JobId> {
            let (job, _) = self.line.next()?;
            let own = &self.jobs[&job];
            *self.served.entry(Arc::clone(&own.tenant)).or_default() += own.cost;
            self.running.push(job);
            Some(job)
        }

        fn end(&mut self, at: usize) {
            let job = self.running.swap_remove(at);
            let Some(own) = self.jobs.remove(&job) else { return };
            self.line.release(&own.tenant, job);
            self.line.gone(&own.tenant);
        }

        /// Its worker is lost.
        fn lose(&mut self, at: usize) {
            let job = self.running.swap_remove(at);
            let Some(own) = self.jobs.get_mut(&job) else {
                return;
            };
            (own.recovered, own.cost) = (true, 0);
            self.line.release(&own.tenant, job);
            self.line.enter(own.clone());
        }

        fn runs(&self, name: &str) -> usize {
            let own = |job: &&JobId| &*self.jobs[*job].tenant == name;
            self.running.iter().filter(own).count()
        }
    }

    fn shares(own: &[(&str, Share)]) -> Shares {
        Shares {
            each: Share::default(),
            own: own.iter().map(|(name, share)| (tenant(name), *share)).collect(),
        }
    }

    proptest! {
        /// Between two tenants that have jobs in line all the time, what was served for each differs by no more than twice
        /// the greatest cost, over their weights.
        #[test]
        fn backlogged_tenants_are_served_alike(
            costs in prop::collection::vec((1..=COST_MAX, 1..=COST_MAX, 1..=9_u32), 50..200),
            weight in 1..5_u32,
            others in prop::collection::vec((0..2_usize, 1..=COST_MAX), 0..50),
        ) {
            let mut world = World::default();
            world.line.govern(shares(&[("a", Share { weight, ..Share::default() })]));
            // Others come and go; they change nothing between the two.
            for (who, cost) in others {
                world.come(TENANTS[2 + who], 5, cost);
            }
            for (one, other, priority) in &costs {
                world.come("a", *priority, *one);
                world.come("b", 5, *other);
            }
            let (a, b) = (tenant("a"), tenant("b"));
            while world.line.queued("a") > world.runs("a") && world.line.tenants[&a].in_line() > 0
                && world.line.tenants[&b].in_line() > 0
            {
                world.serve();
                let served = |name: &Arc<str>| world.served.get(name).copied().unwrap_or(0);
                let (one, other) = (served(&a) / u64::from(weight), served(&b));
                prop_assert!(one.abs_diff(other) <= 2 * COST_MAX, "{one} {other}");
            }
        }

        /// Whatever happens, no tenant has more running than it may, none is served that is paused, one that lost its worker
        /// goes before those that did not, and in the end every job was served.
        #[test]
        fn nobody_has_more_than_it_may_and_nothing_is_lost(
            steps in prop::collection::vec((0..8_u8, any::<Index>(), 1..=9_u32, 1..=COST_MAX), 1..200),
            most in 1..4_u32,
        ) {
            let mut world = World::default();
            let capped = Share { running_max: most, ..Share::default() };
            world.line.govern(shares(&[("a", capped), ("b", Share { running_max: 1, ..capped })]));
            let mut came = 0;
            let mut ended = 0;
            for (step, index, priority, cost) in steps {
                let name = TENANTS[index.index(TENANTS.len())];
                match step {
                    0..3 => {
                        world.come(name, priority, cost);
                        came += 1;
                    }
                    3..5 => {
                        let back = world.line.back.first().map(|(_, tenant)| Arc::clone(tenant));
                        if let Some(job) = world.serve() {
                            let own = &world.jobs[&job];
                            prop_assert!(!world.line.paused.has(Some(&own.tenant)));
                            prop_assert!(back.is_none_or(|tenant| tenant == own.tenant && own.recovered));
                        }
                    }
                    5 if !world.running.is_empty() => {
                        world.end(index.index(world.running.len()));
                        ended += 1;
                    }
                    6 if !world.running.is_empty() => world.lose(index.index(world.running.len())),
                    7 => {
                        let paused = world.line.paused.has(Some(name));
                        prop_assert!(world.line.pause(Some(name), !paused));
                    }
                    _ => {}
                }
                prop_assert!(world.runs("a") <= most as usize && world.runs("b") <= 1);
                prop_assert_eq!(world.line.len() + world.running.len(), world.jobs.len());
                let names = world.line.ring.iter().filter(|(at, name)| world.line.at(name) != *at).count();
                prop_assert_eq!(names, 0, "the ring has every tenant at its own time");
            }
            for name in TENANTS {
                world.line.pause(Some(name), false);
            }
            while let Some(at) = world.serve().map(|_| 0).or((!world.running.is_empty()).then_some(0)) {
                world.end(at);
                ended += 1;
            }
            prop_assert_eq!(came, ended);
            prop_assert_eq!((world.line.len(), world.line.spots.len(), world.line.ring.len()), (0, 0, 0));
            prop_assert!(world.line.tenants.len() == world.line.resting.len());
        }
    }

    #[test]
    fn one_who_comes_back_has_saved_nothing_up() {
        let mut world = World::default();
        for _ in 0..20 {
            world.come("a", 5, 1_000);
        }
        for _ in 0..10 {
            world.serve();
        }
        for _ in 0..10 {
            world.come("b", 5, 1_000);
        }
        for _ in 0..6 {
            world.serve();
        }
        assert!((2..=4).contains(&world.runs("b")), "{}", world.runs("b"));
    }

    #[test]
    fn a_tenant_that_has_gone_is_forgotten_once_the_line_has_passed_it() {
        let mut world = World::default();
        world.come("a", 5, 3_000);
        world.serve();
        world.end(0);
        assert!(world.line.resting.len() == 1, "it is ahead of the line");
        // Back before that, it has not become cheaper.
        world.come("a", 5, 1_000);
        for _ in 0..6 {
            world.come("b", 5, 1_000);
        }
        let first: Vec<JobId> = (0..3).filter_map(|_| world.serve()).collect();
        assert!(first.iter().all(|job| &*world.jobs[job].tenant == "b"));
        while world.serve().is_some() {}
        while !world.running.is_empty() {
            world.end(0);
        }
        assert!(world.line.tenants.len() <= 2);
    }

    #[test]
    fn what_a_job_has_cost_is_put_right() {
        let mut world = World::default();
        for _ in 0..4 {
            world.come("a", 5, 1_000);
            world.come("b", 5, 1_000);
        }
        let first = world.serve().map(|job| Arc::clone(&world.jobs[&job].tenant));
        let dear = first.unwrap_or_else(|| tenant("a"));
        world.line.correct(&dear, 1_000, 4_000);
        for _ in 0..3 {
            let next = world.serve().map(|job| Arc::clone(&world.jobs[&job].tenant));
            assert_ne!(next, Some(Arc::clone(&dear)));
        }
    }

    #[test]
    fn priorities_are_a_tenants_own() {
        let mut world = World::default();
        let low = world.come("a", 1, 1_000);
        let middle = world.come("a", 5, 1_000);
        let (high, later) = (world.come("a", 9, 1_000), world.come("a", 9, 1_000));
        assert_eq!(world.line.ahead("a", Priority(5)), 3);
        assert_eq!(world.line.ahead("a", Priority(1)), 4);
        assert_eq!(
            world.line.ahead("b", Priority(9)),
            4,
            "another tenant's do not step aside"
        );
        assert_eq!(world.line.turns("b", Priority(1)), 1);
        for wanted in [high, later, middle, low] {
            assert_eq!(world.serve(), Some(wanted));
        }
    }
}
