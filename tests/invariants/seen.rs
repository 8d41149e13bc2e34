//! What must hold of what is seen: of an engine at one moment, and of all that was ever seen of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use livedraft::backend::{Reading, Stats};
use livedraft::event::{Entry, Event, Fold, Position};
use livedraft::job::{JobId, JobState};
use livedraft::partial::Value;

use super::store::{Job, Said, Store};
use super::{DELIVERIES_MAX, LOSSES_MAX};

/// An engine at one moment.
#[derive(Default)]
pub(super) struct Look {
    pub(super) stats: Stats,
    pub(super) jobs: BTreeMap<JobId, Stands>,
    pub(super) letters: BTreeSet<JobId>,
    /// Of a Redis: in which indexes each job is.
    pub(super) indexed: Option<BTreeMap<JobId, Indexed>>,
}

/// Where a job stands, and its log.
pub(super) struct Stands {
    pub(super) state: JobState,
    pub(super) snapshot: u64,
    pub(super) fold: Fold,
    pub(super) reading: Reading,
}

/// The indexes of a shard that a job is in; `given`: by the nonce of its token.
#[derive(PartialEq, Debug)]
pub(super) struct Indexed {
    pub(super) ready: bool,
    pub(super) line: bool,
    pub(super) lease: bool,
    pub(super) given: bool,
    pub(super) wait: bool,
    pub(super) ended: bool,
    pub(super) dead: bool,
    pub(super) cancel: bool,
}

/// All that was ever seen, whatever an engine has lost since.
#[derive(Clone, Default)]
pub(super) struct Seen {
    bytes: HashMap<(JobId, Position), Arc<Entry>>,
    drafts: HashMap<(JobId, Position), Option<String>>,
    /// Where the log of a job ended when its cancel was acknowledged: of what the engine still knows.
    cancelled: BTreeMap<JobId, u64>,
}

impl Seen {
    pub(super) fn cancelled(&mut self, job: JobId, seq: u64) {
        self.cancelled.entry(job).or_insert(seq);
    }

    /// What was acknowledged is lost with what was written; what was seen is not.
    pub(super) fn fail_over(&mut self, then: Self) {
        self.cancelled = then.cancelled;
    }

    pub(super) fn known(&self) -> impl Iterator<Item = JobId> {
        let known: BTreeSet<JobId> = self.drafts.keys().map(|(job, _)| *job).collect();
        known.into_iter()
    }

    /// Who holds a position holds what the log had there (I10).
    pub(super) fn must_have_been(&self, job: JobId, at: Position, value: &Option<Value>) {
        let held = value.as_ref().map(Value::to_json);
        assert_eq!(Some(&held), self.drafts.get(&(job, at)), "{at} of {job}");
    }

    /// (epoch, seq) → bytes, and → draft, for ever (I3).
    fn note(&mut self, job: JobId, stands: &Stands) {
        for entry in &stands.reading.tail {
            let known = self
                .bytes
                .entry((job, entry.position))
                .or_insert_with(|| Arc::clone(entry));
            assert_eq!(known, entry, "{} of {job} has two meanings", entry.position);
        }
        let draft = stands.fold.value.as_ref().map(Value::to_json);
        let at = (job, stands.reading.last);
        let known = self.drafts.entry(at).or_insert_with(|| draft.clone());
        assert_eq!(*known, draft, "{} of {job} has two drafts", at.1);
    }
}

/// All of it, behind a step.
pub(super) fn must_hold(store: &Store, look: &Look, seen: &mut Seen) {
    seen.cancelled.retain(|job, _| store.jobs.contains_key(job));
    for (id, job) in &store.jobs {
        let stands = &look.jobs[id];
        is_as_it_should_be(*id, job, stands);
        is_a_log(*id, stands);
        seen.note(*id, stands);
        if let Some(at) = seen.cancelled.get(id) {
            ends_behind(*id, *at, stands);
        }
        is_bounded(*id, job);
    }
    let stats = &look.stats;
    let tenants = store.paused.iter().flatten().count();
    assert_eq!(
        (stats.paused, stats.paused_tenants),
        (store.paused.contains(&None), tenants)
    );
    let counts = [
        stats.queued,
        stats.running,
        stats.waiting,
        stats.ended,
        stats.dead,
    ];
    assert_eq!(counts, store.counts(), "in line, running, waiting, ended, dead");
    let dead = store.jobs.iter().filter(|(_, job)| job.dead).map(|(id, _)| *id);
    assert_eq!(look.letters, dead.collect(), "dead letters");
    let tokens: BTreeSet<u64> = store
        .jobs
        .values()
        .filter(|job| job.state == JobState::Running)
        .filter_map(nonce)
        .collect();
    assert!(
        tokens.iter().eq(store.given.keys()),
        "one token is current of each job that runs (I1)"
    );
    for (id, indexed) in look.indexed.iter().flatten() {
        assert_eq!(*indexed, should_be(&store.jobs[id]), "indexes of {id} (I5)");
    }
}

fn nonce(job: &Job) -> Option<u64> {
    job.token.map(|token| token.nonce)
}

/// It is what the reference says: every write was that of the current token (I1), and nothing was lost or added (I4).
fn is_as_it_should_be(id: JobId, job: &Job, stands: &Stands) {
    assert_eq!(stands.state, job.state, "{id}");
    assert_eq!(stands.reading.last, job.last(), "{id}");
    assert_eq!(stands.snapshot, job.snapshot, "{id} is trimmed");
    let tail = job.log.iter().filter(|(position, _)| position.seq > job.snapshot);
    assert_eq!(tail.clone().count(), stands.reading.tail.len(), "{id}");
    for ((position, said), entry) in tail.zip(&stands.reading.tail) {
        let kind = match said {
            Said::Status(_) => "status",
            Said::Text(_) => "patch",
            Said::Begin => "attempt",
            Said::State(_) => "state",
            Said::End(_) => "end",
        };
        assert_eq!((entry.position, entry.event.kind()), (*position, kind), "{id}");
    }
    assert_eq!(stands.fold.value, job.draft.clone().map(Value::String), "{id}");
    assert_eq!(stands.fold.status, job.state, "{id}");
    assert_eq!(stands.fold.position, job.last(), "{id}");
}

/// Seqs have no gap (I3), each epoch is opened once, by an entry that names the one before and is no patch (E1, E5), and
/// there is one end, the last entry, exactly where the job has ended (I2).
fn is_a_log(id: JobId, stands: &Stands) {
    let reading = &stands.reading;
    let mut before = stands
        .reading
        .tail
        .first()
        .and_then(|first| first.opens.unwrap_or(Some(first.position.epoch)));
    let mut epochs = BTreeSet::new();
    for (entry, seq) in reading.tail.iter().zip(stands.snapshot + 1..) {
        let epoch = entry.position.epoch;
        assert_eq!(entry.position.seq, seq, "{id} has a gap");
        match entry.opens {
            Some(parent) => {
                assert_eq!(parent, before, "{id} at {seq}");
                assert!(
                    !matches!(entry.event, Event::Patch(_)),
                    "{id}: a patch opens an epoch"
                );
                assert!(epochs.insert(epoch.bits()), "{id}: {epoch} is opened twice");
            }
            None => assert_eq!(Some(epoch), before, "{id} at {seq}"),
        }
        before = Some(epoch);
    }
    assert_eq!(reading.lineage.current(), Some(reading.last.epoch), "{id}");
    let ends = reading
        .tail
        .iter()
        .filter(|entry| matches!(entry.event, Event::End(_)))
        .count();
    assert_eq!(ends, usize::from(stands.state.is_end()), "{id}");
    let last = reading
        .tail
        .last()
        .is_some_and(|last| matches!(last.event, Event::End(_)));
    assert_eq!(last, stands.state.is_end(), "{id}");
}

/// Nothing but the end is written behind an acknowledged cancel (I9).
fn ends_behind(id: JobId, at: u64, stands: &Stands) {
    let mut behind = stands.reading.tail.iter().filter(|entry| entry.position.seq > at);
    assert!(
        behind.all(|entry| matches!(entry.event, Event::End(_))),
        "{id} was cancelled at {at} and goes on"
    );
}

/// Deliveries that fail, and leases lost in a row without progress, are bounded (I11).
fn is_bounded(id: JobId, job: &Job) {
    assert!(job.failed <= DELIVERIES_MAX, "{id} failed {} times", job.failed);
    let mut losses = 0;
    for (_, said) in &job.log {
        match said {
            Said::Status(JobState::Recovering) => losses += 1,
            Said::Text(_) => losses = 0,
            _ => {}
        }
        assert!(losses < LOSSES_MAX, "{id} lost its worker {losses} times");
    }
}

/// Where a Redis has a job: in exactly one of the line, the leases and those that wait (I5).
fn should_be(job: &Job) -> Indexed {
    let runs = job.state == JobState::Running;
    Indexed {
        ready: job.is_ready(),
        line: job.is_ready(),
        lease: runs,
        given: runs,
        wait: job.state == JobState::Waiting,
        ended: job.state.is_end() && !job.dead,
        dead: job.dead,
        cancel: runs && job.cancelled.is_some(),
    }
}
