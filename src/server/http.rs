//! The HTTP twin of the socket's verbs.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard, web};
use futures_util::StreamExt;
use serde::Serialize;

use super::ask::{self, Refusal, refusal};
use super::node::Node;
use super::{admit, dead, events, gate, health, list, problem, queue, reading};
use crate::access::Scope;
use crate::clock;
use crate::event::Epoch;
use crate::job::{JobId, JobState, Ruling};
use crate::session::Accepted;
use crate::wire::{
    BadMessage, Code, EMPTY_KEY, ErrorMessage, Limits, RulingError, decode_accept, decode_reask,
    decode_request,
};

/// What `POST /v1/jobs` answers.
#[derive(Serialize)]
struct Created {
    job_id: String,
    tag: String,
    epoch: Epoch,
    seq: u64,
    ahead: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    existing: bool,
    #[serde(skip_serializing_if = "Clone::clone")]
    durable: bool,
}

/// What a cancel answers.
#[derive(Serialize)]
struct Cancelling {
    job_id: String,
    /// The end the job had already.
    #[serde(skip_serializing_if = "Option::is_none")]
    already: Option<JobState>,
}

#[derive(Serialize)]
struct Models<'a> {
    models: &'a [String],
}

/// A path that is asked by these methods alone.
fn only(path: &str, allowed: &'static str, route: Route) -> Resource {
    let other = web::to(move || std::future::ready(problem::no_method(allowed)));
    web::resource(path).route(route).default_service(other)
}

fn readable() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// The routes.
pub(super) fn routes(config: &mut web::ServiceConfig) {
    config
        .service(only("/v1/ws", "GET", web::get().to(gate::upgrade)))
        .service(only("/v1/jobs", "GET, HEAD, POST", web::post().to(create)).route(readable().to(list::list)))
        .service(only("/v1/jobs/{job}", "GET, HEAD", readable().to(state)))
        .service(only(
            "/v1/jobs/{job}/attempts",
            "GET, HEAD",
            readable().to(attempts),
        ))
        .service(only("/v1/jobs/{job}/cancel", "POST", web::post().to(cancel)))
        .service(only("/v1/jobs/{job}/accept", "POST", web::post().to(accept)))
        .service(only("/v1/jobs/{job}/reask", "POST", web::post().to(reask)))
        .service(only(
            "/v1/jobs/{job}/events",
            "GET",
            web::get().to(events::events),
        ))
        .service(only("/v1/dead-letters", "GET, HEAD", readable().to(dead::list)))
        .service(only(
            "/v1/dead-letters/{job}",
            "GET, HEAD",
            readable().to(dead::show),
        ))
        .service(only(
            "/v1/dead-letters/{job}/redrive",
            "POST",
            web::post().to(dead::redrive),
        ))
        .service(only("/v1/queue", "GET, HEAD", readable().to(queue::show)))
        .service(only("/v1/queue/pause", "POST", web::post().to(queue::pause)))
        .service(only("/v1/queue/resume", "POST", web::post().to(queue::resume)))
        .service(only("/v1/models", "GET, HEAD", readable().to(models)))
        .service(only("/v1/openapi.json", "GET, HEAD", readable().to(openapi)))
        .configure(status_routes);
}

/// Those of them that say how the node is.
pub(super) fn status_routes(config: &mut web::ServiceConfig) {
    config
        .service(only("/livez", "GET, HEAD", readable().to(health::live)))
        .service(only("/readyz", "GET, HEAD", readable().to(health::ready)))
        .service(only("/metrics", "GET, HEAD", readable().to(health::metrics)))
        .default_service(web::to(|| std::future::ready(problem::no_route())));
}

/// The page that describes these routes to machines.
const OPENAPI: &str = include_str!("../../proto/openapi.json");

async fn openapi() -> HttpResponse {
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "application/json"))
        .body(OPENAPI)
}

async fn models(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    match admit::who(&request, &node, Scope::Read) {
        Ok(_) => HttpResponse::Ok().json(Models {
            models: &node.parts.models,
        }),
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn create(request: HttpRequest, payload: web::Payload, node: web::Data<Node>) -> HttpResponse {
    match submitted(&request, payload, &node.into_inner()).await {
        Ok(response) => response,
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn submitted(
    request: &HttpRequest,
    payload: web::Payload,
    node: &Arc<Node>,
) -> Result<HttpResponse, Refusal> {
    admit::origin(request, &node.options)?;
    if node.is_draining() {
        return Err(ask::draining(node));
    }
    let who = admit::who(request, node, Scope::Submit)?;
    let body = body(request, payload, node).await?;
    ask::may_submit(node, &who)?;
    let limits = node.options.limits;
    let read = reading::read(node, body, move |body| decode_request(body, &limits)).await?;
    let (spec, key) = read.map_err(problem::bad)?;
    let key = idempotency_key(request, key, node.options.limits.idempotency_key_bytes_max)?;
    let accepted = on_engine(
        node,
        |node| async move { ask::submit(&node, &who, spec, key).await },
    )
    .await?;
    Ok(created(accepted))
}

/// The answer that tells of a job that is kept now, or was there.
pub(super) fn created(accepted: Accepted) -> HttpResponse {
    let Accepted {
        job,
        position,
        ahead,
        existing,
        durable,
    } = accepted;
    let mut response = if existing {
        HttpResponse::Ok()
    } else {
        HttpResponse::Created()
    };
    response
        .insert_header((header::LOCATION, format!("/v1/jobs/{job}")))
        .json(Created {
            job_id: job.to_string(),
            tag: job.tag().to_string(),
            epoch: position.epoch,
            seq: position.seq,
            ahead,
            existing,
            durable,
        })
}

async fn state(request: HttpRequest, job: web::Path<String>, node: web::Data<Node>) -> HttpResponse {
    let told = async {
        let who = admit::who(&request, &node, Scope::Read)?;
        let job = job_id(&job)?;
        on_engine(&node, |node| async move { ask::state(&node, &who, job).await }).await
    };
    match told.await {
        Ok(state) => HttpResponse::Ok().json(state),
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn attempts(request: HttpRequest, job: web::Path<String>, node: web::Data<Node>) -> HttpResponse {
    let told = async {
        let who = admit::who(&request, &node, Scope::Read)?;
        let job = job_id(&job)?;
        on_engine(&node, |node| async move { ask::attempts(&node, &who, job).await }).await
    };
    match told.await {
        Ok(attempts) => HttpResponse::Ok().json(attempts),
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn cancel(request: HttpRequest, job: web::Path<String>, node: web::Data<Node>) -> HttpResponse {
    let told = async {
        admit::origin(&request, &node.options)?;
        let who = admit::who(&request, &node, Scope::Cancel)?;
        let job = job_id(&job)?;
        on_engine(&node, |node| async move { ask::cancel(&node, &who, job).await }).await
    };
    match told.await {
        Ok(already) => HttpResponse::Accepted().json(Cancelling {
            job_id: job.into_inner(),
            already,
        }),
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn accept(
    request: HttpRequest,
    payload: web::Payload,
    job: web::Path<String>,
    node: web::Data<Node>,
) -> HttpResponse {
    let read = |body: &str, limits: &Limits| Ok((decode_accept(body, limits)?, Ruling::Accept));
    ruled(&request, payload, &job, &node.into_inner(), read).await
}

async fn reask(
    request: HttpRequest,
    payload: web::Payload,
    job: web::Path<String>,
    node: web::Data<Node>,
) -> HttpResponse {
    let read = |body: &str, limits: &Limits| {
        let (attempt, errors) = decode_reask(body, limits)?;
        let errors = errors.into_iter().map(RulingError::told).collect();
        Ok((attempt, Ruling::Reask(errors)))
    };
    ruled(&request, payload, &job, &node.into_inner(), read).await
}

/// The attempt that a verdict names, if it names one, and the verdict.
type Verdict = Result<(Option<u32>, Ruling), BadMessage>;

async fn ruled(
    request: &HttpRequest,
    payload: web::Payload,
    job: &str,
    node: &Arc<Node>,
    read: impl Fn(&str, &Limits) -> Verdict + Send + 'static,
) -> HttpResponse {
    let told = async {
        admit::origin(request, &node.options)?;
        let who = admit::who(request, node, Scope::Submit)?;
        let job = job_id(job)?;
        let body = body(request, payload, node).await?;
        let limits = node.options.limits;
        let verdict = reading::read(node, body, move |body| read(body, &limits)).await?;
        let (attempt, ruling) = verdict.map_err(problem::bad)?;
        on_engine(node, move |node| async move {
            ask::rule(&node, &who, job, attempt, ruling).await
        })
        .await
    };
    match told.await {
        Ok(ruled) => HttpResponse::Ok().json(ruled),
        Err(refusal) => problem::answer(&refusal),
    }
}

/// An id that is none names no job: the same answer as for an unknown one.
pub(super) fn job_id(text: &str) -> Result<JobId, Refusal> {
    text.parse().map_err(|_| ask::not_found())
}

/// Runs an ask on the engine's runtime. It goes on where the client does not wait for its answer.
pub(super) async fn on_engine<T, F>(node: &Arc<Node>, ask: impl FnOnce(Arc<Node>) -> F) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    match node.parts.runtime.spawn(ask(Arc::clone(node))).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::error!(%error, "an answer was lost");
            Err(refusal(Code::Internal, "the request could not be served"))
        }
    }
}

/// Reads a body as text, within the limit.
async fn body(request: &HttpRequest, mut payload: web::Payload, node: &Node) -> Result<String, Refusal> {
    let limit = node.options.body_bytes_max;
    let declared = request
        .headers()
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(too_large(payload, node).await);
    }
    let mut body = Vec::new();
    let late = clock::now() + Duration::from_millis(node.options.body_timeout_ms);
    loop {
        let chunk = tokio::select! {
            chunk = payload.next() => chunk,
            () = clock::sleep_until(late) => return Err(too_late(node)),
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|_| refusal(Code::BadRequest, "the body ends before its length"))?;
        if body.len() + chunk.len() > limit {
            return Err(too_large(payload, node).await);
        }
        body.extend_from_slice(&chunk);
    }
    String::from_utf8(body).map_err(|_| refusal(Code::BadJson, "the body is not UTF-8"))
}

fn too_late(node: &Node) -> Refusal {
    let seconds = node.options.body_timeout_ms.div_ceil(1_000);
    refusal(
        Code::BadRequest,
        format!("the body did not come within {seconds} s"),
    )
}

/// Refuses a body, once its sender has had a while to finish: who is cut off while sending may never read why.
async fn too_large(mut payload: web::Payload, node: &Node) -> Refusal {
    let rest = async { while let Some(Ok(_)) = payload.next().await {} };
    tokio::select! {
        () = rest => {}
        () = clock::sleep(Duration::from_millis(node.options.close_timeout_ms)) => {}
    }
    let limit = node.options.body_bytes_max;
    refusal(
        Code::PayloadTooLarge,
        format!("the body is longer than {limit} bytes"),
    )
}

/// The key, from the body or from the header `Idempotency-Key`.
fn idempotency_key(
    request: &HttpRequest,
    in_body: Option<String>,
    bytes_max: u32,
) -> Result<Option<String>, Refusal> {
    let bad = |message: String| {
        Box::new(ErrorMessage {
            path: Some("/idempotency_key".to_owned()),
            ..*refusal(Code::BadRequest, message)
        })
    };
    let header = match request.headers().get("idempotency-key") {
        None => None,
        Some(value) => Some(
            value
                .to_str()
                .ok()
                .filter(|key| key.bytes().all(|byte| byte.is_ascii_graphic()))
                .ok_or_else(|| {
                    bad("the header Idempotency-Key must be visible ASCII without blanks".to_owned())
                })?
                .to_owned(),
        ),
    };
    let key = match (header, in_body) {
        (Some(header), Some(body)) if header != body => {
            return Err(bad(
                "the header Idempotency-Key and the body's `idempotency_key` differ".to_owned(),
            ));
        }
        (header, body) => header.or(body),
    };
    if key.as_ref().is_some_and(String::is_empty) {
        return Err(bad(EMPTY_KEY.to_owned()));
    }
    if key.as_ref().is_some_and(|key| key.len() > bytes_max as usize) {
        return Err(bad(format!("longer than {bytes_max} bytes")));
    }
    Ok(key)
}
