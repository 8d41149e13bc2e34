//! What operators and their machines ask: does the process turn, should it be sent work, what has it counted.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::{StatusCode, header};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use super::node::{Node, Phase};
use super::{admit, http, problem};
use crate::access::Scope;
use crate::backend::{Backend, Stats};
use crate::clock;
use crate::metrics::{self, all};

/// What `/readyz` answers.
#[derive(Serialize)]
struct Readiness {
    ready: bool,
    /// Why not: `starting`, `draining`, `engine_unavailable`.
    reasons: Vec<&'static str>,
}

/// `GET /livez`: this thread turns. It asks nothing of anybody, so it says nothing about the engine.
pub(super) async fn live() -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .body("ok")
}

/// `GET /readyz`: whether new work should be sent here.
pub(super) async fn ready(node: web::Data<Node>) -> HttpResponse {
    let mut reasons = Vec::new();
    match node.phase() {
        Phase::Starting => reasons.push("starting"),
        Phase::Serving => {}
        Phase::Draining | Phase::Leaving => reasons.push("draining"),
    }
    if !answers(&node).await {
        reasons.push("engine_unavailable");
    }
    let ready = reasons.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    HttpResponse::build(status)
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .json(Readiness { ready, reasons })
}

/// `GET /metrics`: everything that was counted. Where the engine is silent, what it alone knows is left as it was. It
/// speaks of all tenants: where keys are configured, one with the scope `admin` is asked for.
pub(super) async fn metrics(request: HttpRequest, node: web::Data<Node>) -> HttpResponse {
    if let Err(refusal) = admit::who(&request, &node, Scope::Admin) {
        return problem::answer(&refusal);
    }
    if let Some(stats) = stats(&node).await {
        tell(stats);
    }
    all().draining.set(f64::from(u8::from(node.is_draining())));
    HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, metrics::CONTENT_TYPE))
        .insert_header((header::CACHE_CONTROL, "no-store"))
        .body(metrics::render())
}

fn tell(stats: Stats) {
    let jobs = &all().jobs;
    jobs.set(["queued"], stats.queued as f64);
    jobs.set(["running"], stats.running as f64);
    jobs.set(["waiting"], stats.waiting as f64);
    jobs.set(["ended"], stats.ended as f64);
    jobs.set(["dead"], stats.dead as f64);
    all().paused.set(["queue"], f64::from(u8::from(stats.paused)));
    all().paused.set(["tenants"], stats.paused_tenants as f64);
    let since = stats
        .oldest_queued_ms
        .map_or(0, |at| clock::now_ms().saturating_sub(at));
    all().queue_age.set(Duration::from_millis(since).as_secs_f64());
}

/// Whether the engine can be asked at the moment, be it in a part.
async fn answers(node: &Arc<Node>) -> bool {
    let asked = in_time(node, |backend| async move { backend.answers().await.ok() });
    asked.await.is_some()
}

/// What the engine holds; `None` where it does not say in time.
async fn stats(node: &Arc<Node>) -> Option<Stats> {
    in_time(node, |backend| async move { backend.stats().await.ok() }).await
}

async fn in_time<T: Send + 'static, F>(
    node: &Arc<Node>,
    ask: impl FnOnce(Arc<dyn Backend>) -> F + Send + 'static,
) -> Option<T>
where
    F: Future<Output = Option<T>> + Send,
{
    let patience = Duration::from_millis(node.options.ready_timeout_ms);
    let asked = http::on_engine(node, move |node| async move {
        Ok(tokio::select! {
            told = ask(Arc::clone(&node.parts.backend)) => told,
            () = clock::sleep(patience) => None,
        })
    });
    asked.await.ok().flatten()
}
