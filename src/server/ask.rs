//! What only the world knows, asked on the engine's runtime and with the rights of one tenant.
//!
//! A job of another tenant is answered exactly as an unknown one. One that the engine has let go of is told from the
//! archive, by the same copy that viewers of any other see.

use std::sync::Arc;

use tokio::sync::Notify;

use super::node::Node;
use crate::access::Identity;
use crate::archive::Recalled;
use crate::backend::{BackendError, Cancelled, JobFacts, Reading, Ruled, Start};
use crate::clock;
use crate::event::{Entry, Epoch, Event, Lineage, Position};
use crate::hub::{Replica, Viewer, WatchError};
use crate::job::{JobId, JobSpec, JobState, Ruling};
use crate::metrics;
use crate::session::Accepted;
use crate::submit::{Kept, Refused};
use crate::wire::{Code, Deliver, ErrorMessage, JobAttempts, JobRuled, JobStateNow, NO_SUCH_JOB};

/// A refusal, as a socket tells it and as HTTP does.
pub(super) type Refusal = Box<ErrorMessage>;

/// A refusal by its code.
pub(super) fn refusal(code: Code, message: impl Into<String>) -> Refusal {
    Box::new(ErrorMessage {
        reference: None,
        job_id: None,
        code: code.name().to_owned(),
        message: message.into(),
        path: None,
        retry_after_ms: None,
    })
}

/// The one answer for jobs that are unknown, past their retention, or another tenant's.
pub(super) fn not_found() -> Refusal {
    refusal(Code::NotFound, NO_SUCH_JOB)
}

pub(super) fn draining(node: &Node) -> Refusal {
    Box::new(ErrorMessage {
        retry_after_ms: Some(node.reconnect_after_ms().max(node.options.retry_after_ms)),
        ..*refusal(
            Code::Draining,
            "this server is going down: come again, another one will answer",
        )
    })
}

pub(super) fn unavailable(node: &Node, message: String) -> Refusal {
    Box::new(ErrorMessage {
        retry_after_ms: Some(node.options.retry_after_ms),
        ..*refusal(Code::Unavailable, message)
    })
}

pub(super) fn backend(node: &Node, error: &BackendError) -> Refusal {
    match error {
        BackendError::Unavailable(_) | BackendError::NoRoom(_) => unavailable(node, error.to_string()),
        BackendError::Corrupt(_) => {
            tracing::error!(%error, "the engine's answer cannot be read");
            refusal(Code::Internal, "the job cannot be read")
        }
    }
}

pub(super) fn refused(refused: Refused) -> Refusal {
    let Refused {
        code,
        path,
        message,
        retry_after_ms,
        job,
    } = refused;
    Box::new(ErrorMessage {
        reference: None,
        job_id: job.map(|job| job.to_string()),
        code: code.to_owned(),
        message,
        path,
        retry_after_ms,
    })
}

/// Too much in too short a time.
pub(super) fn too_fast(what: &str, per_second: u32, retry_after_ms: u64) -> Refusal {
    Box::new(ErrorMessage {
        retry_after_ms: Some(retry_after_ms),
        ..*refusal(
            Code::RateLimited,
            format!("more than {per_second} {what}: wait as told"),
        )
    })
}

/// Whether a tenant may submit now: asked before a body is read.
pub(super) fn may_submit(node: &Node, who: &Identity) -> Result<(), Refusal> {
    let may = match node.is_draining() {
        true => Err(draining(node)),
        false => node.may_submit(who),
    };
    may.inspect_err(|refusal| metrics::all().submits.one([&refusal.code]))
}

/// Keeps a job of a tenant that [may submit](may_submit), or finds the one its key names. Paths in a refusal point into the request.
pub(super) async fn submit(
    node: &Node,
    who: &Identity,
    spec: JobSpec,
    key: Option<String>,
) -> Result<Accepted, Refusal> {
    let began = clock::now();
    let answer = keep(node, who, spec, key).await;
    let word = match &answer {
        Ok(Accepted { existing: false, .. }) => "accepted",
        Ok(Accepted { existing: true, .. }) => "existing",
        Err(refusal) => &refusal.code,
    };
    metrics::all().submits.one([word]);
    metrics::all().submit_seconds.took(clock::now() - began);
    answer
}

async fn keep(node: &Node, who: &Identity, spec: JobSpec, key: Option<String>) -> Result<Accepted, Refusal> {
    let kept = node
        .parts
        .admission
        .submit(who.tenant(), spec, key)
        .await
        .map_err(refused)?;
    accepted(node, kept).await
}

/// What is told of a job that is kept, or that was there.
pub(super) async fn accepted(node: &Node, kept: Kept) -> Result<Accepted, Refusal> {
    let existing = kept.position.is_none();
    let position = match kept.position {
        Some(position) => position,
        None => last(node, kept.id).await?,
    };
    Ok(Accepted {
        job: kept.id,
        position,
        ahead: kept.ahead,
        existing,
        durable: kept.durable,
    })
}

async fn last(node: &Node, job: JobId) -> Result<Position, Refusal> {
    let positions = node
        .parts
        .backend
        .positions(&[job])
        .await
        .map_err(|error| backend(node, &error))?;
    positions.into_iter().next().flatten().ok_or_else(|| {
        Box::new(ErrorMessage {
            job_id: Some(job.to_string()),
            ..*refusal(
                Code::NotFound,
                "the key was used for a job that is past its retention: use a new key",
            )
        })
    })
}

/// A client that came back with a position is counted, by how it goes on.
pub(super) fn came_back(viewer: &Viewer, held: Option<Position>) {
    if held.is_some() {
        let by = if viewer.resumed() { "tail" } else { "state" };
        metrics::all().resumes.one([by]);
    }
}

/// Makes a viewer of a job of the tenant.
pub(super) async fn watch(
    node: &Node,
    who: &Identity,
    job: JobId,
    held: Option<Position>,
    deliver: Deliver,
    wake: &Arc<Notify>,
) -> Result<Viewer, Refusal> {
    let hub = &node.parts.hub;
    if let Some(viewer) = hub.join(job, who.tenant(), held, deliver, wake).await {
        return Ok(viewer);
    }
    let viewer = match own(node, who, job).await? {
        Found::Engine => hub.watch(job, held, deliver, wake).await,
        Found::Archive(copy) => hub.watch_copy(*copy, held, deliver, wake).await,
    };
    match viewer {
        Ok(viewer) => viewer.ok_or_else(not_found),
        Err(WatchError::Backend(error)) => Err(backend(node, &error)),
        Err(WatchError::Full(_)) => Err(unavailable(
            node,
            "this node watches as many jobs as it may".to_owned(),
        )),
    }
}

/// Asks for the end of a job of the tenant; the end it had already, if it had one.
pub(super) async fn cancel(node: &Node, who: &Identity, job: JobId) -> Result<Option<JobState>, Refusal> {
    if let Found::Archive(copy) = own(node, who, job).await? {
        return Ok(copy.end().map(|(_, end)| end.outcome.into()));
    }
    let cancelled = node
        .parts
        .backend
        .cancel(job, Epoch::new(clock::nonce()))
        .await
        .map_err(|error| backend(node, &error))?;
    match cancelled {
        None => Err(not_found()),
        Some(Cancelled::Now | Cancelled::Requested) => Ok(None),
        Some(Cancelled::Already(state)) => Ok(Some(state)),
    }
}

/// Gives the verdict on the value of a job of the tenant. Paths in a refusal point into the message.
pub(super) async fn rule(
    node: &Node,
    who: &Identity,
    job: JobId,
    attempt: Option<u32>,
    ruling: Ruling,
) -> Result<JobRuled, Refusal> {
    let accepted = ruling == Ruling::Accept;
    let ruled = match own(node, who, job).await? {
        Found::Archive(copy) => copy.end().map(|(_, end)| Ruled::NotDue(end.outcome.into())),
        Found::Engine => {
            node.parts.admission.check_ruling(&ruling).map_err(refused)?;
            let epoch = Epoch::new(clock::nonce());
            let ruled = node.parts.backend.rule(job, epoch, attempt, ruling).await;
            ruled.map_err(|error| backend(node, &error))?
        }
    };
    match ruled.ok_or_else(not_found)? {
        Ruled::Taken(attempt) => Ok(JobRuled {
            reference: None,
            job_id: job.to_string(),
            attempt,
            accepted,
        }),
        Ruled::NotDue(state) => Err(no_verdict(job, not_due(state))),
        Ruled::Other(due) => Err(no_verdict(
            job,
            format!("the value of attempt {due} waits for a verdict, not that of another one"),
        )),
    }
}

fn no_verdict(job: JobId, message: String) -> Refusal {
    Box::new(ErrorMessage {
        job_id: Some(job.to_string()),
        ..*refusal(Code::VerdictConflict, message)
    })
}

fn not_due(state: JobState) -> String {
    if state.is_end() {
        format!("the job has ended as {state}: no verdict changes that")
    } else {
        format!("no value of the job waits for a verdict: it is {state}")
    }
}

/// The state and value of a job of the tenant now.
pub(super) async fn state(node: &Node, who: &Identity, job: JobId) -> Result<Box<JobStateNow>, Refusal> {
    look(node, who, job, Replica::state).await.map(Box::new)
}

/// The attempts of a job of the tenant: why each was made, and what it came to once that is known.
pub(super) async fn attempts(node: &Node, who: &Identity, job: JobId) -> Result<JobAttempts, Refusal> {
    look(node, who, job, Replica::attempts).await
}

async fn look<T>(node: &Node, who: &Identity, job: JobId, see: impl Fn(&Replica) -> T) -> Result<T, Refusal> {
    if let Found::Archive(copy) = own(node, who, job).await? {
        return Ok(see(&copy));
    }
    let seen = node.parts.hub.look(job, see).await;
    seen.map_err(|error| backend(node, &error))?.ok_or_else(not_found)
}

/// Where a job of the tenant was found.
enum Found {
    /// The engine has it.
    Engine,
    /// The engine has let go of it; this is the copy that the archive kept.
    Archive(Box<Replica>),
}

/// The one way to a job: nothing of it is read before this has said whose it is.
async fn own(node: &Node, who: &Identity, job: JobId) -> Result<Found, Refusal> {
    let facts = node
        .parts
        .hub
        .facts(job)
        .await
        .map_err(|error| backend(node, &error))?;
    if facts.is_some_and(|facts| facts.tenant == *who.tenant()) {
        return Ok(Found::Engine);
    }
    // Another tenant's is looked for like an unknown one: its refusal takes as long.
    let Some(archive) = &node.parts.archive else {
        return Err(not_found());
    };
    let recalled = archive.recall(who.tenant(), job).await;
    let recalled = recalled.map_err(|error| unavailable(node, error.to_string()))?;
    let (facts, reading) = as_read(recalled.ok_or_else(not_found)?);
    let copy = node.parts.hub.copy(facts, &reading);
    let copy = copy.map_err(|error| backend(node, &error))?;
    Ok(Found::Archive(Box::new(copy)))
}

/// What the archive kept of a job, as the engine would have read it: the state before the end, and the end.
fn as_read(recalled: Recalled) -> (Arc<JobFacts>, Reading) {
    let Recalled {
        job,
        tenant,
        shape,
        before,
        position,
        end,
    } = recalled;
    let held = before.position;
    let mut lineage = Lineage::default();
    lineage.open(held.epoch, 0);
    let opens = position.epoch != held.epoch;
    if opens {
        lineage.open(position.epoch, held.seq);
    }
    let end = Entry {
        position,
        opens: opens.then_some(Some(held.epoch)),
        event: Event::End(Box::new(end)),
    };
    let reading = Reading {
        lineage,
        last: position,
        start: Start::Snapshot(Arc::new(before)),
        tail: vec![Arc::new(end)],
    };
    let facts = JobFacts {
        id: job,
        tenant,
        shape,
        unviewed_ms: None,
    };
    (Arc::new(facts), reading)
}
