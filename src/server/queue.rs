//! The queue over HTTP: how much there is of what, and its pauses. For those who run the server (`admin`).

use std::collections::BTreeSet;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::ask::{self, Refusal, refusal};
use super::http::on_engine;
use super::node::Node;
use super::{admit, problem};
use crate::access::{Scope, TENANT_BYTES_MAX};
use crate::backend::Paused;
use crate::wire::Code;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    tenant: Option<String>,
}

/// What `GET /v1/queue` answers, and a pause.
#[derive(Serialize)]
struct Queue {
    queued: usize,
    running: usize,
    waiting: usize,
    ended: usize,
    dead: usize,
    /// When the job was submitted that is in line for the longest time.
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_queued_ms: Option<u64>,
    /// Whether nobody is given a worker.
    paused: bool,
    /// Who else is given none.
    paused_tenants: BTreeSet<Arc<str>>,
}

/// `GET /v1/queue`.
pub(super) async fn show(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let told = async {
        admit::who(&request, &node, Scope::Admin)?;
        on_engine(&node, |node| async move { queue(&node).await }).await
    };
    answer(told.await)
}

/// `POST /v1/queue/pause`.
pub(super) async fn pause(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    answer(set(&request, &node, true).await)
}

/// `POST /v1/queue/resume`.
pub(super) async fn resume(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    answer(set(&request, &node, false).await)
}

async fn set(request: &HttpRequest, node: &Arc<Node>, paused: bool) -> Result<Queue, Refusal> {
    admit::origin(request, &node.options)?;
    admit::who(request, node, Scope::Admin)?;
    let tenant = tenant(request)?;
    on_engine(node, move |node| async move {
        let set = node.parts.backend.pause(tenant.as_deref(), paused).await;
        if !set.map_err(|error| ask::backend(&node, &error))? {
            return Err(full());
        }
        tracing::info!(tenant, paused, "the queue was paused or let go on");
        queue(&node).await
    })
    .await
}

async fn queue(node: &Node) -> Result<Queue, Refusal> {
    let engine = &node.parts.backend;
    let silent = |error| ask::backend(node, &error);
    let stats = engine.stats().await.map_err(silent)?;
    let Paused { all, tenants } = engine.paused().await.map_err(silent)?;
    Ok(Queue {
        queued: stats.queued,
        running: stats.running,
        waiting: stats.waiting,
        ended: stats.ended,
        dead: stats.dead,
        oldest_queued_ms: stats.oldest_queued_ms,
        paused: all,
        paused_tenants: tenants,
    })
}

fn answer(told: Result<Queue, Refusal>) -> HttpResponse {
    match told {
        Ok(queue) => HttpResponse::Ok().json(queue),
        Err(refusal) => problem::answer(&refusal),
    }
}

fn tenant(request: &HttpRequest) -> Result<Option<String>, Refusal> {
    let wrong = |message: String| refusal(Code::BadRequest, format!("the query cannot be taken: {message}"));
    let Asked { tenant } = web::Query::<Asked>::from_query(request.query_string())
        .map_err(|error| wrong(error.to_string()))?
        .into_inner();
    match &tenant {
        Some(name) if name.is_empty() || name.len() > TENANT_BYTES_MAX => Err(wrong(format!(
            "a tenant's name has 1 to {TENANT_BYTES_MAX} bytes, not {}; without `tenant` the whole queue is meant",
            name.len()
        ))),
        _ => Ok(tenant),
    }
}

fn full() -> Refusal {
    refusal(
        Code::BadRequest,
        format!(
            "{} tenants are paused, as many as may: let one go on first, or pause the whole queue",
            Paused::TENANTS_MAX
        ),
    )
}
