//! What only the world knows, asked on the engine's runtime and with the rights of one tenant.
//!
//! A job of another tenant is answered exactly as an unknown one.

use std::sync::Arc;

use tokio::sync::Notify;

use super::node::Node;
use crate::access::Identity;
use crate::backend::{BackendError, Cancelled};
use crate::clock;
use crate::event::{Epoch, Position};
use crate::hub::{Viewer, WatchError};
use crate::job::{JobId, JobSpec, JobState};
use crate::metrics;
use crate::session::Accepted;
use crate::submit::Refused;
use crate::wire::{Code, Deliver, ErrorMessage, JobStateNow, NO_SUCH_JOB};

/// A refusal, as a socket tells it and as HTTP does.
pub(super) type Refusal = Box<ErrorMessage>;

/// When to ask again where the engine could not be asked, ms.
const AGAIN_MS: u64 = 1_000;

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
        retry_after_ms: Some(node.reconnect_after_ms().max(AGAIN_MS)),
        ..*refusal(
            Code::Draining,
            "this server is going down: come again, another one will answer",
        )
    })
}

pub(super) fn unavailable(message: String) -> Refusal {
    Box::new(ErrorMessage {
        retry_after_ms: Some(AGAIN_MS),
        ..*refusal(Code::Unavailable, message)
    })
}

fn backend(error: &BackendError) -> Refusal {
    match error {
        BackendError::Unavailable(_) => unavailable(error.to_string()),
        BackendError::Corrupt(_) => {
            tracing::error!(%error, "the engine's answer cannot be read");
            refusal(Code::Internal, "the job cannot be read")
        }
    }
}

fn refused(refused: Refused) -> Refusal {
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

/// Keeps a job, or finds the one its key names. Paths in a refusal point into the request.
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
    if node.is_draining() {
        return Err(draining(node));
    }
    node.may_submit(who)?;
    let kept = node
        .parts
        .admission
        .submit(who.tenant(), spec, key)
        .await
        .map_err(refused)?;
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
    })
}

async fn last(node: &Node, job: JobId) -> Result<Position, Refusal> {
    let positions = node
        .parts
        .backend
        .positions(&[job])
        .await
        .map_err(|error| backend(&error))?;
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

/// Makes a viewer of a job of the tenant.
pub(super) async fn watch(
    node: &Node,
    who: &Identity,
    job: JobId,
    held: Option<Position>,
    deliver: Deliver,
    wake: &Arc<Notify>,
) -> Result<Viewer, Refusal> {
    own(node, who, job).await?;
    match node.parts.hub.watch(job, held, deliver, wake).await {
        Ok(viewer) => viewer.ok_or_else(not_found),
        Err(WatchError::Backend(error)) => Err(backend(&error)),
        Err(WatchError::Full(_)) => Err(unavailable("this node watches as many jobs as it may".to_owned())),
    }
}

/// Asks for the end of a job of the tenant; the end it had already, if it had one.
pub(super) async fn cancel(node: &Node, who: &Identity, job: JobId) -> Result<Option<JobState>, Refusal> {
    own(node, who, job).await?;
    let cancelled = node
        .parts
        .backend
        .cancel(job, Epoch::new(clock::nonce()))
        .await
        .map_err(|error| backend(&error))?;
    match cancelled {
        None => Err(not_found()),
        Some(Cancelled::Now | Cancelled::Requested) => Ok(None),
        Some(Cancelled::Already(state)) => Ok(Some(state)),
    }
}

/// The state and value of a job of the tenant now.
pub(super) async fn state(node: &Node, who: &Identity, job: JobId) -> Result<Box<JobStateNow>, Refusal> {
    own(node, who, job).await?;
    let state = node.parts.hub.state(job).await.map_err(|error| backend(&error))?;
    state.map(Box::new).ok_or_else(not_found)
}

/// The one way to a job: nothing of it is read before this has said whose it is.
async fn own(node: &Node, who: &Identity, job: JobId) -> Result<(), Refusal> {
    let facts = node.parts.hub.facts(job).await.map_err(|error| backend(&error))?;
    let owned = facts.is_some_and(|facts| facts.tenant == *who.tenant());
    if owned { Ok(()) } else { Err(not_found()) }
}
