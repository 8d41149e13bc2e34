//! `GET /v1/jobs`: what became of a tenant's jobs.

use std::str::FromStr;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;

use super::ask::{self, Refusal, refusal, unavailable};
use super::http::on_engine;
use super::node::Node;
use super::{admit, problem};
use crate::access::Scope;
use crate::archive::{Page, Query};
use crate::job::JobState;
use crate::wire::{Code, ErrorMessage};

/// How much of a value that cannot be read comes back, in characters.
const SHOWN_MAX: usize = 64;

/// The query of the list; each field is read by itself, so that a refusal can name it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    status: Option<String>,
    model: Option<String>,
    since_ms: Option<String>,
    until_ms: Option<String>,
    cursor: Option<String>,
    limit: Option<String>,
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
    let turn = Arc::clone(&node.lists).try_acquire_owned();
    let turn = turn.map_err(|_| {
        let most = node.options.lists_max;
        unavailable(
            node,
            format!("{most} lists are being made, as many as may: come again later"),
        )
    })?;
    let page = on_engine(node, |node| async move {
        // Held as long as the list is made, also where nobody waits for it any more.
        let _turn = turn;
        page(&node, who.tenant(), query).await
    });
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
    Ok(page.stand(now.map_err(|error| ask::backend(node, &error))?))
}

fn query(request: &HttpRequest) -> Result<Query, Refusal> {
    let wrong = |message: String| refusal(Code::BadRequest, format!("the query cannot be taken: {message}"));
    let Asked {
        status,
        model,
        since_ms,
        until_ms,
        cursor,
        limit,
    } = web::Query::<Asked>::from_query(request.query_string())
        .map_err(|error| wrong(error.to_string()))?
        .into_inner();
    let whole = |field, text: Option<String>, min, max| match text {
        Some(text) => number(field, &text, min, max).map(Some),
        None => Ok(None),
    };
    let limit = whole("limit", limit, 1, u32::MAX.into())?;
    Ok(Query {
        status: status.map(|text| state(&text)).transpose()?,
        model,
        since_ms: whole("since_ms", since_ms, 0, u64::MAX)?,
        until_ms: whole("until_ms", until_ms, 0, u64::MAX)?,
        cursor: cursor.map(|text| place(&text)).transpose()?,
        limit: limit.and_then(|limit| u32::try_from(limit).ok()),
    })
}

pub(super) fn number(field: &str, text: &str, min: u64, max: u64) -> Result<u64, Refusal> {
    let number = text.parse().ok();
    let wanted = format!("a whole number from {min} to {max}");
    number
        .filter(|number| (min..=max).contains(number))
        .ok_or_else(|| no_value(field, text, &wanted))
}

fn state(text: &str) -> Result<JobState, Refusal> {
    // No state's word is longer, and the refusal repeats what it read.
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    let read = JobState::deserialize(shown.into_deserializer());
    read.map_err(|error: ValueError| no_value("status", text, &error.to_string()))
}

/// The place behind which a page begins.
pub(super) fn place<T: FromStr>(text: &str) -> Result<T, Refusal> {
    let read = text.parse();
    read.map_err(|_| {
        no_value(
            "cursor",
            text,
            "the `next` of the page before, or none for the first page",
        )
    })
}

/// A field that cannot be read: which, what it may be, and what came.
fn no_value(field: &str, text: &str, wanted: &str) -> Refusal {
    let shown: String = text.chars().take(SHOWN_MAX).collect();
    Box::new(ErrorMessage {
        path: Some(format!("/{field}")),
        ..*refusal(
            Code::BadRequest,
            format!("the query cannot be taken: {field}={shown:?} is not what it may be: {wanted}"),
        )
    })
}
