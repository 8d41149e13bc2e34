//! The contract of an engine, as to tenants: who comes first, how many may run and wait, and who is paused. Over every
//! engine, as `backend_contract` runs its cases.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::job::*;

use crate::backend_contract::{
    Line, StandingTime, Time, again, behind, contract, durable, end, epoch, over_parts, patch_at,
    redis_as_user_of_the_page, submission, waiting, write,
};
use crate::redis_server::{RedisCluster, RedisServer, as_user_of_the_page};

fn options() -> EngineOptions {
    EngineOptions {
        queued_max: 100,
        line_wait_max_ms: 60_000,
        ..EngineOptions::default()
    }
}

/// Who comes first does so in its part.
const fn shards_of(_case: &str) -> u32 {
    1
}

fn of(tenant: &str, priority: u32) -> Submission {
    let spec = format!(r#"{{"model":"scripted","input":"x","schema":{{}},"priority":{priority}}}"#);
    Submission {
        tenant: tenant.into(),
        spec: Arc::new(serde_json::from_str(&spec).unwrap()),
        ..submission()
    }
}

fn share(weight: u32, running_max: u32, queued_max: u32) -> Share {
    Share {
        weight,
        running_max,
        queued_max,
    }
}

impl Line {
    async fn govern(&self, each: Share, own: &[(&str, Share)]) {
        let own: BTreeMap<Arc<str>, Share> =
            own.iter().map(|(name, share)| ((*name).into(), *share)).collect();
        let shares = Shares { each, own };
        again(|| self.0.govern(&shares)).await;
    }

    async fn pause(&self, tenant: Option<&str>, paused: bool) -> bool {
        again(|| self.0.pause(tenant, paused)).await
    }

    async fn come(&self, tenant: &str) -> JobId {
        let own = of(tenant, 5);
        let told = self.submit(&own).await;
        assert!(matches!(told, Submitted::New { .. }), "{told:?}");
        own.id
    }

    /// Whose job is given next.
    async fn next(&self) -> Option<(Claim, String)> {
        let claim = self.claim().await?;
        let facts = again(|| self.0.facts(claim.id)).await.expect("it is there");
        Some((claim, facts.tenant.to_string()))
    }

    async fn end_by(&self, claim: &Claim, tokens: u64) {
        let Event::End(mut end) = end(Outcome::Completed) else {
            unreachable!()
        };
        end.usage.output_tokens = tokens;
        let told = self
            .finish(claim, write(behind(claim.position, 1), Event::End(end)))
            .await;
        assert!(matches!(told, Fenced::Ok | Fenced::Dup), "{told:?}");
    }

    /// How many of so many that are given next are whose; each ends at once.
    async fn serve(&self, count: usize) -> BTreeMap<String, usize> {
        let mut served = BTreeMap::new();
        for _ in 0..count {
            let (claim, tenant) = self.next().await.expect("in line");
            *served.entry(tenant).or_default() += 1;
            // As much as was thought.
            self.end_by(&claim, 1_000).await;
        }
        served
    }
}

contract! {
    /// Two tenants that wait are served in turn, whoever of them came first.
    async fn tenants_are_served_in_turn(line: &Line) {
        for _ in 0..10 {
            line.come("one").await;
        }
        for _ in 0..10 {
            line.come("two").await;
        }
        let served = line.serve(8).await;
        assert!(served.values().all(|count| (3..=5).contains(count)), "{served:?}");
        assert_eq!(line.serve(12).await.len(), 2);
        assert_eq!(line.stats().await.queued, 0);
    }

    /// One of twice the weight is served twice as much.
    async fn a_weight_is_kept(line: &Line) {
        line.govern(Share::default(), &[("two", share(2, 0, 0))]).await;
        for _ in 0..14 {
            line.come("one").await;
            line.come("two").await;
        }
        let served = line.serve(15).await;
        assert!((9..=11).contains(&served["two"]), "{served:?}");
    }

    /// One whose jobs have cost more than was thought waits for the others.
    async fn what_a_job_has_cost_counts(line: &Line) {
        for _ in 0..6 {
            line.come("one").await;
            line.come("two").await;
        }
        let (claim, dear) = line.next().await.expect("in line");
        line.end_by(&claim, 4_000).await;
        let served = line.serve(3).await;
        assert_eq!(served.get(&dear), None, "{served:?}");
    }

    /// Jobs that end before a model has said anything have had a worker, too: whoever has many of them lets others in.
    async fn jobs_that_cost_nothing_take_turns(line: &Line) {
        for _ in 0..6 {
            line.come("one").await;
            line.come("two").await;
        }
        let mut served = BTreeMap::<String, u32>::new();
        for _ in 0..6 {
            let (claim, tenant) = line.next().await.expect("in line");
            *served.entry(tenant).or_default() += 1;
            line.end_by(&claim, 0).await;
        }
        assert!(served.len() == 2 && served.values().all(|count| *count == 3), "{served:?}");
    }

    /// A figure that is out of all reason is a provider's, and no end of fairness.
    async fn an_absurd_figure_is_not_believed(line: &Line) {
        line.come("one").await;
        let (claim, _) = line.next().await.expect("in line");
        line.end_by(&claim, u64::MAX).await;
        for _ in 0..6 {
            line.come("one").await;
            line.come("two").await;
        }
        assert_eq!(line.serve(6).await.get("one"), None, "it has had much");
        // As soon as it is served, and the line is where it is, both are served in turn.
        line.serve(1).await;
        for _ in 0..6 {
            line.come("two").await;
        }
        let served = line.serve(6).await;
        assert!(served.values().all(|count| (2..=4).contains(count)), "{served:?}");
    }

    /// Within a tenant the higher priority goes first, and of the same who came first; another tenant sees nothing of it.
    async fn priorities_hold_within_a_tenant(line: &Line) {
        let all = [of("one", 1), of("one", 5), of("one", 9)];
        let mut aheads = Vec::new();
        for own in &all {
            let Submitted::New { ahead, .. } = line.submit(own).await else { panic!("new") };
            aheads.push(ahead);
        }
        // A submission that was sent again is not counted anew.
        for (ahead, counted) in aheads.iter().zip([0, 0, 0]) {
            assert_eq!(*ahead, counted, "those of its own that it goes before are not ahead of it");
        }
        line.pass(Duration::from_secs(1)).await;
        let later = of("one", 9);
        line.submit(&later).await;
        let other = of("two", 1);
        let Submitted::New { ahead, .. } = line.submit(&other).await else { panic!("new") };
        assert!(ahead == 4 || ahead == 0, "all of another's are: {ahead}");
        let mut order = Vec::new();
        let mut others = Vec::new();
        for place in 0..5 {
            let claim = line.claim().await.expect("in line");
            if claim.id == other.id { others.push(place) } else { order.push(claim.id) }
        }
        assert_eq!(order, [all[2].id, later.id, all[1].id, all[0].id]);
        assert!(others[0] <= 1, "between tenants a priority says nothing: {others:?}");
    }

    /// A job keeps its priority over a wait; one that lost its worker goes before all.
    async fn a_priority_is_kept(line: &Line) {
        let low = of("one", 1);
        line.submit(&low).await;
        let claim = line.claim().await.expect("in line");
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: AttemptRecord::default(), until_ms: 0 };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        let middle = of("one", 5);
        line.submit(&middle).await;
        line.promote().await;
        let first = line.claim().await.expect("in line");
        assert_eq!(first.id, middle.id);
        assert_eq!(line.claim().await.expect("in line").id, low.id);
        line.pass(Duration::from_secs(5)).await;
        line.extend(&first).await;
        line.pass(Duration::from_secs(11)).await;
        line.reap().await;
        line.submit(&of("one", 9)).await;
        assert_eq!(line.claim().await.expect("it was lost").id, low.id);
    }

    /// A tenant never has more running than it may, however its jobs end, and holds no other up.
    async fn no_tenant_has_more_running_than_it_may(line: &Line) {
        line.govern(Share::default(), &[("one", share(1, 2, 0))]).await;
        for _ in 0..8 {
            line.come("one").await;
        }
        line.come("two").await;
        let mut held = Vec::new();
        while let Some((claim, tenant)) = line.next().await {
            if tenant == "one" { held.push(claim) } else { line.end_by(&claim, 1_000).await }
        }
        assert_eq!(held.len(), 2, "two of its own, and the other's");
        assert!(line.claim().await.is_none() && line.stats().await.queued == 6);

        // By an end.
        line.end_by(&held.remove(0), 1_000).await;
        held.push(line.claim().await.expect("a slot is free"));
        assert!(line.claim().await.is_none());
        // By a wait.
        let claim = held.remove(0);
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: AttemptRecord::default(), until_ms: u64::MAX };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        held.push(line.claim().await.expect("a slot is free"));
        assert!(line.claim().await.is_none());
        // By a fault.
        let claim = held.remove(0);
        let Event::End(give_up) = end(Outcome::Failed) else { unreachable!() };
        let failure = Failure { again: waiting(behind(claim.position, 1)), retry_ms: 3_600_000, give_up };
        again(|| line.0.fail(claim.id, claim.token(), failure.clone())).await;
        held.push(line.claim().await.expect("a slot is free"));
        assert!(line.claim().await.is_none());
        // By a cancel, once the job has ended.
        let claim = held.remove(0);
        line.cancel(claim.id).await;
        assert!(line.claim().await.is_none(), "it runs still");
        line.pass(Duration::from_secs(6)).await;
        line.extend(&held[0]).await;
        line.reap().await;
        held.push(line.claim().await.expect("a slot is free"));
        assert!(line.claim().await.is_none());
        assert_eq!(line.stats().await.running, 2);
    }

    /// A job that lost its worker waits for a slot as others do.
    async fn a_takeover_keeps_to_what_a_tenant_may_have(line: &Line) {
        line.govern(share(1, 1, 0), &[]).await;
        let lost = line.come("one").await;
        line.come("one").await;
        let claim = line.claim().await.expect("in line");
        assert_eq!(claim.id, lost);
        line.pass(Duration::from_secs(16)).await;
        assert!(line.claim().await.is_none(), "it is held until it is taken back");
        line.reap().await;
        let again_claim = line.claim().await.expect("it was lost");
        assert_eq!(again_claim.id, lost, "before the other");
        assert!(line.claim().await.is_none());
        let zombie = line.append(&claim, &patch_at(&claim, behind(claim.position, 1), r#"["",1,0]"#)).await;
        assert_eq!(zombie, Appended::Lost);
        assert_eq!(line.stats().await.running, 1);
    }

    /// What a tenant may have can be changed at any time.
    async fn what_a_tenant_may_have_can_be_changed(line: &Line) {
        line.govern(share(1, 1, 0), &[]).await;
        for _ in 0..5 {
            line.come("one").await;
        }
        let first = line.claim().await.expect("in line");
        assert!(line.claim().await.is_none());
        line.govern(share(1, 3, 0), &[]).await;
        let more = [line.claim().await.expect("more may run"), line.claim().await.expect("more may run")];
        assert!(line.claim().await.is_none());
        // Nothing is taken from whom has more than it may now.
        line.govern(share(1, 1, 0), &[("two", share(1, 1, 0))]).await;
        line.end_by(&first, 1_000).await;
        line.end_by(&more[0], 1_000).await;
        assert!(line.claim().await.is_none(), "one runs still");
        line.end_by(&more[1], 1_000).await;
        assert!(line.claim().await.is_some());
    }

    /// The jobs of one tenant that wait are bounded, and leave room for others.
    async fn what_a_tenant_has_waiting_is_bounded(line: &Line) {
        line.govern(share(1, 0, 2), &[("big", share(1, 0, 3))]).await;
        line.come("one").await;
        line.come("one").await;
        let told = line.submit(&of("one", 9)).await;
        assert!(matches!(told, Submitted::Full { of: Full::Tenant, retry_after_ms: 1_000.. }), "{told:?}");
        for _ in 0..3 {
            line.come("big").await;
        }
        assert!(matches!(line.submit(&of("big", 5)).await, Submitted::Full { of: Full::Tenant, .. }));
        // What runs does not wait, what was put back does.
        let (claim, tenant) = line.next().await.expect("in line");
        let own = line.come(&tenant).await;
        let deferral = Deferral { write: waiting(behind(claim.position, 1)), record: AttemptRecord::default(), until_ms: u64::MAX };
        again(|| line.0.defer(claim.id, claim.token(), deferral.clone())).await;
        line.cancel(own).await;
        assert!(matches!(line.submit(&of(&tenant, 5)).await, Submitted::Full { of: Full::Tenant, .. }));
        line.cancel(claim.id).await;
        line.come(&tenant).await;
    }

    /// Where jobs leave the line too slowly for another one, it is refused, and told when to come again.
    async fn a_line_that_is_too_slow_takes_no_more(line: &Line) {
        for _ in 0..90 {
            line.come("one").await;
        }
        // Longer than what is counted, wherever its windows begin.
        for _ in 0..12 {
            line.serve(1).await;
            line.pass(Duration::from_secs(1)).await;
        }
        // About one job in a second: who comes behind seventy-eight waits longer than a minute.
        let told = line.submit(&of("one", 5)).await;
        let Submitted::Full { of: Full::Wait, retry_after_ms } = told else { panic!("{told:?}") };
        assert!((10_000..=60_000).contains(&retry_after_ms), "{retry_after_ms}");
        // One that goes before all of them, and a tenant whose turn comes soon, need not wait so long.
        line.submit(&of("one", 9)).await;
        assert_eq!(line.claim().await.map(|claim| claim.spec.priority), Some(Priority::FIRST));
        line.come("two").await;
        // How fast jobs leave is not known for ever.
        line.pass(Duration::from_secs(3_700)).await;
        line.come("one").await;
    }

    /// Nor is one of a line that hardly moves, where that is known.
    async fn a_line_that_hardly_moves_takes_few(line: &Line) {
        for _ in 0..12 {
            line.come("one").await;
        }
        for _ in 0..7 {
            line.serve(1).await;
            line.pass(Duration::from_secs(30)).await;
        }
        // One in half a minute, and five are before it.
        let told = line.submit(&of("one", 5)).await;
        assert!(matches!(told, Submitted::Full { of: Full::Wait, retry_after_ms: 60_000 }), "{told:?}");
    }

    /// Hours in which nobody waited make no line slow.
    async fn time_without_jobs_is_not_slow(line: &Line) {
        for _ in 0..8 {
            line.come("one").await;
            line.serve(1).await;
            line.pass(Duration::from_secs(600)).await;
        }
        for _ in 0..12 {
            line.come("one").await;
        }
    }

    /// While a tenant is paused what it has in line waits, lost jobs too; what runs goes on, and others are served.
    async fn a_tenant_can_be_paused(line: &Line) {
        let lost = line.come("one").await;
        let claim = line.claim().await.expect("in line");
        line.append(&claim, &patch_at(&claim, behind(claim.position, 1), r#"["","a",0]"#)).await;
        assert!(line.pause(Some("one"), true).await);
        assert!(line.pause(Some("one"), true).await, "twice is once");
        let kept = line.come("one").await;
        let other = line.come("two").await;
        assert!(matches!(line.extend(&claim).await, Extended::Until(_)));
        let appended = line.append(&claim, &patch_at(&claim, behind(claim.position, 2), r#"["b"]"#)).await;
        assert!(matches!(appended, Appended::Ok | Appended::Dup));
        let first = line.claim().await.expect("another's");
        assert_eq!(first.id, other);
        line.end_by(&first, 1_000).await;
        assert!(line.claim().await.is_none());
        let paused = again(|| line.0.paused()).await;
        assert!(!paused.all && paused.tenants.iter().eq([&Arc::from("one")]), "{paused:?}");
        assert_eq!((line.stats().await.paused, line.stats().await.paused_tenants), (false, 1));
        line.pass(Duration::from_secs(16)).await;
        line.reap().await;
        assert_eq!(line.fold(lost).await.status, JobState::Recovering);
        assert!(line.claim().await.is_none(), "a lost job waits, too");
        assert!(line.pause(Some("one"), false).await);
        assert_eq!(line.claim().await.expect("it goes on").id, lost);
        assert_eq!(line.claim().await.expect("it goes on").id, kept);
        assert_eq!(again(|| line.0.paused()).await, Paused::default());
    }

    /// While the queue is paused nobody is served; jobs are taken, and end by a cancel.
    async fn the_queue_can_be_paused(line: &Line) {
        line.come("one").await;
        let claim = line.claim().await.expect("in line");
        assert!(line.pause(None, true).await);
        let (kept, cancelled) = (line.come("one").await, line.come("two").await);
        assert!(line.claim().await.is_none());
        let told = line.cancel(cancelled).await;
        assert!(matches!(told, Some(Cancelled::Now | Cancelled::Already(JobState::Cancelled))));
        line.end_by(&claim, 1_000).await;
        assert!(line.claim().await.is_none());
        let stats = line.stats().await;
        assert_eq!((stats.queued, stats.paused, stats.paused_tenants), (1, true, 0));
        assert!(line.pause(None, false).await);
        assert_eq!(line.claim().await.expect("it goes on").id, kept);
        assert!(!line.stats().await.paused);
    }
}

/// A claim that is sent again gives the same job, also where the queue was paused meanwhile: it runs.
#[tokio::test(start_paused = true)]
async fn a_claim_knows_itself_also_while_paused() {
    let line = Line(Arc::new(Embedded::new(options())), Time::Ours);
    line.come("one").await;
    let (nonce, epoch) = (clock::nonce(), epoch());
    let first = again(|| line.0.claim(nonce, epoch)).await.unwrap();
    line.pause(None, true).await;
    let told = again(|| line.0.claim(nonce, epoch)).await.unwrap();
    assert_eq!((told.id, told.token()), (first.id, first.token()));
}

/// As many tenants are paused as may; those that are may be named again.
#[tokio::test]
async fn pauses_are_bounded() {
    let server = RedisServer::start();
    let engines: [Arc<dyn Backend>; 2] = [
        Arc::new(Embedded::new(options())),
        Arc::new(server.engine(2, options()).await),
    ];
    for engine in engines {
        engine.pause(None, true).await.unwrap();
        for number in 0..Paused::TENANTS_MAX {
            assert!(engine.pause(Some(&format!("t{number}")), true).await.unwrap());
        }
        assert!(!engine.pause(Some("one more"), true).await.unwrap());
        assert!(engine.pause(Some("t0"), true).await.unwrap());
        assert!(engine.pause(Some("t0"), false).await.unwrap());
        assert!(engine.pause(Some("one more"), true).await.unwrap());
        let paused = engine.paused().await.unwrap();
        assert!(paused.all && paused.tenants.len() == Paused::TENANTS_MAX);
    }
}

/// Over several shards the jobs of a tenant that run are at most one less than there are shards above what it may have, and
/// all of them are worked on.
#[tokio::test]
async fn over_shards_a_bound_has_little_slack() {
    let server = RedisServer::start();
    let line = Line(Arc::new(server.engine(4, options()).await), Time::Theirs(server));
    line.govern(share(1, 2, 0), &[]).await;
    for _ in 0..24 {
        line.come("one").await;
    }
    let (mut ended, mut running) = (0, Vec::new());
    while ended < 24 {
        while let Some(claim) = line.claim().await {
            running.push(claim);
        }
        assert!((1..=2 + 3).contains(&running.len()), "{}", running.len());
        for claim in running.drain(..) {
            line.end_by(&claim, 1_000).await;
            ended += 1;
        }
    }
}
