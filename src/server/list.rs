//! `GET /v1/jobs`: what became of a tenant's jobs.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::ask::{self, Refusal, refusal, unavailable};
use super::http::on_engine;
use super::node::Node;
use super::{admit, problem};
use crate::access::Scope;
use crate::archive::{Page, Query};
use crate::job::{JobId, JobState};
use crate::wire::Code;

/// The query of the list.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    status: Option<JobState>,
    model: Option<String>,
    since_ms: Option<u64>,
    until_ms: Option<u64>,
    cursor: Option<String>,
    limit: Option<u32>,
}

/// `GET /v1/jobs`.
pub(super) async fn list(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    match listed(&request, &node.into_inner()).await {
        Ok(response) => response,
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn listed(request: &HttpRequest, node: &Arc<Node>) -> Result<HttpResponse, Refusal> {
    let who = admit::who(request, node, Scope::Read)?;
    let query = query(request)?;
    let page = on_engine(node, |node| async move { page(&node, who.tenant(), query).await });
    Ok(HttpResponse::Ok().json(page.await?))
}

/// What the archive knows, and where jobs stand that have not ended, by one question to the engine.
async fn page(node: &Node, tenant: &str, query: Query) -> Result<Page, Refusal> {
    let Some(archive) = &node.parts.archive else {
        return Err(unavailable(node, "this server keeps no list of jobs".to_owned()));
    };
    // Who has been told of a submission or an end finds it in the list.
    if let Err(error) = archive.drain().await {
        // The outbox's own turns warn; anybody can ask for lists.
        tracing::debug!(%error, "a list may lack what has happened last");
    }
    let page = archive
        .list(tenant, query)
        .await
        .map_err(|error| unavailable(node, error.to_string()))?;
    let unended = page.unended();
    if unended.is_empty() {
        return Ok(page);
    }
    let now = node.parts.backend.states(&unended).await;
    Ok(page.stand(&now.map_err(|error| ask::backend(node, &error))?))
}

fn query(request: &HttpRequest) -> Result<Query, Refusal> {
    let wrong = |message: String| refusal(Code::BadRequest, format!("the query cannot be taken: {message}"));
    let asked = web::Query::<Asked>::from_query(request.query_string())
        .map_err(|error| wrong(error.to_string()))?
        .into_inner();
    let cursor: Option<JobId> = match asked.cursor {
        Some(cursor) => {
            let read = cursor.parse();
            Some(read.map_err(|_| wrong("a cursor is the `next` of the page before".to_owned()))?)
        }
        None => None,
    };
    Ok(Query {
        status: asked.status,
        model: asked.model,
        since_ms: asked.since_ms,
        until_ms: asked.until_ms,
        cursor,
        limit: asked.limit,
    })
}
