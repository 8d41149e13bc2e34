//! `GET /v1/jobs`: what became of a tenant's jobs.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;

use super::ask::{Refusal, refusal, unavailable};
use super::http::on_engine;
use super::node::Node;
use super::{admit, problem};
use crate::access::Scope;
use crate::archive::Query;
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
    let page = on_engine(node, |node| async move {
        let Some(archive) = &node.parts.archive else {
            return Err(unavailable("this server keeps no list of jobs".to_owned()));
        };
        let listed = archive.list(who.tenant(), query).await;
        listed.map_err(|error| unavailable(error.to_string()))
    });
    Ok(HttpResponse::Ok().json(page.await?))
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
