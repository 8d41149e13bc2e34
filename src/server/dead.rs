//! Dead letters over HTTP: jobs that were given up, of all tenants, and new jobs made of them. For those who run the
//! server (`admin`).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::ask::{self, Refusal, refusal};
use super::http::{created, job_id, on_engine};
use super::list::{number, place};
use super::node::Node;
use super::{admit, problem};
use crate::access::Scope;
use crate::backend::{DeadCursor, DeadLetter, DeadPage};
use crate::event::EndError;
use crate::job::{JobId, JobSpec};
use crate::session::Accepted;
use crate::wire::Code;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    cursor: Option<String>,
    limit: Option<String>,
}

/// What `GET /v1/dead-letters` answers.
#[derive(Serialize)]
struct Letters {
    dead_letters: Vec<Letter>,
    /// The cursor of the next page, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A dead letter, and where one is asked for alone what it asks for.
#[derive(Serialize)]
struct Letter {
    job_id: String,
    tenant: Arc<str>,
    submitted_ms: u64,
    died_ms: u64,
    /// How many attempts there were.
    attempts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<EndError>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Arc<JobSpec>>,
}

impl Letter {
    fn of(letter: DeadLetter, request: Option<Arc<JobSpec>>) -> Self {
        Self {
            job_id: letter.id.to_string(),
            tenant: letter.tenant,
            submitted_ms: letter.submitted_ms,
            died_ms: letter.died_ms,
            attempts: letter.end.attempts.len(),
            error: letter.end.error,
            request,
        }
    }
}

/// `GET /v1/dead-letters`.
pub(super) async fn list(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    let told = async {
        admit::who(&request, &node, Scope::Admin)?;
        let (behind, limit) = asked(&request)?;
        on_engine(&node, move |node| async move {
            let page = node.parts.backend.dead_letters(behind, limit).await;
            page.map_err(|error| ask::backend(&node, &error))
        })
        .await
    };
    match told.await {
        Ok(page) => HttpResponse::Ok().json(Letters {
            next: page.next.map(|next| next.to_string()),
            dead_letters: page
                .letters
                .into_iter()
                .map(|letter| Letter::of(letter, None))
                .collect(),
        }),
        Err(refusal) => problem::answer(&refusal),
    }
}

/// `GET /v1/dead-letters/{job}`.
pub(super) async fn show(
    request: HttpRequest,
    job: web::Path<String>,
    node: web::Data<Node>,
) -> HttpResponse {
    let told = async {
        admit::who(&request, &node, Scope::Admin)?;
        let job = job_id(&job)?;
        on_engine(&node, move |node| async move {
            let found = node.parts.backend.dead_letter(job).await;
            found
                .map_err(|error| ask::backend(&node, &error))?
                .ok_or_else(no_letter)
        })
        .await
    };
    match told.await {
        Ok((letter, request)) => HttpResponse::Ok().json(Letter::of(letter, Some(request.spec))),
        Err(refusal) => problem::answer(&refusal),
    }
}

/// `POST /v1/dead-letters/{job}/redrive`.
pub(super) async fn redrive(
    request: HttpRequest,
    job: web::Path<String>,
    node: web::Data<Node>,
) -> HttpResponse {
    let told = async {
        admit::origin(&request, &node.options)?;
        admit::who(&request, &node, Scope::Admin)?;
        let job = job_id(&job)?;
        on_engine(&node, move |node| async move { redriven(&node, job).await }).await
    };
    match told.await {
        Ok(accepted) => created(accepted),
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn redriven(node: &Node, letter: JobId) -> Result<Accepted, Refusal> {
    if node.is_draining() {
        return Err(ask::draining(node));
    }
    let kept = node.parts.admission.redrive(letter).await;
    let kept = kept.map_err(ask::refused)?.ok_or_else(no_letter)?;
    tracing::info!(%letter, job = %kept.id, "a dead letter is worked on again, as a new job");
    ask::accepted(node, kept).await
}

fn no_letter() -> Refusal {
    refusal(
        Code::NotFound,
        "there is no such dead letter: no job of this id was given up, or it is past `engine.dead_ms`",
    )
}

/// Behind which place, and how many.
fn asked(request: &HttpRequest) -> Result<(Option<DeadCursor>, usize), Refusal> {
    let asked = web::Query::<Asked>::from_query(request.query_string())
        .map_err(|error| refusal(Code::BadRequest, format!("the query cannot be taken: {error}")))?;
    let behind = asked.cursor.as_deref().map(place).transpose()?;
    let limit = match &asked.limit {
        Some(text) => number("limit", text, 1, DeadPage::LETTERS_MAX as u64)?,
        None => DeadPage::LETTERS_MAX as u64,
    };
    Ok((behind, usize::try_from(limit).unwrap_or(usize::MAX)))
}
