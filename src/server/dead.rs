//! Dead letters over HTTP: jobs that were given up, of all tenants, and new jobs made of them. For those who run the
//! server (`admin`).

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::ask::{self, Refusal, refusal};
use super::http::{created, job_id, on_engine};
use super::list::number;
use super::node::Node;
use super::{admit, problem};
use crate::access::Scope;
use crate::backend::DeadLetter;
use crate::event::EndError;
use crate::job::{JobId, JobSpec};
use crate::session::Accepted;
use crate::wire::Code;

/// Letters of one answer.
const LETTERS_MAX: u64 = 100;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    limit: Option<String>,
}

/// What `GET /v1/dead-letters` answers.
#[derive(Serialize)]
struct Letters {
    dead_letters: Vec<Letter>,
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
        let limit = limit(&request)?;
        on_engine(&node, move |node| async move {
            let letters = node.parts.backend.dead_letters(limit).await;
            letters.map_err(|error| ask::backend(&node, &error))
        })
        .await
    };
    match told.await {
        Ok(letters) => HttpResponse::Ok().json(Letters {
            dead_letters: letters
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

fn limit(request: &HttpRequest) -> Result<usize, Refusal> {
    let asked = web::Query::<Asked>::from_query(request.query_string())
        .map_err(|error| refusal(Code::BadRequest, format!("the query cannot be taken: {error}")))?;
    let limit = match &asked.limit {
        Some(text) => number("limit", text, 1, LETTERS_MAX)?,
        None => LETTERS_MAX,
    };
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}
