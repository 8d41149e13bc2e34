//! `GET /v1/jobs/{id}/events`: a viewer without input, as server-sent events.

use std::sync::Arc;
use std::time::Duration;

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use tokio::sync::Notify;

use super::ask::{self, Refusal, refusal};
use super::node::{Node, Phase, Place};
use super::standing::Phases;
use super::{admit, http, problem};
use crate::access::{Identity, Scope};
use crate::clock;
use crate::event::Position;
use crate::hub::{Told, Viewer};
use crate::job::JobId;
use crate::metrics;
use crate::wire::{Code, decode_events_query};

/// A stream of events and its viewer; dropping it drops the viewer.
struct Events {
    node: Arc<Node>,
    who: Arc<Identity>,
    viewer: Viewer,
    wake: Arc<Notify>,
    phases: Phases,
    over: bool,
    _place: Place,
}

/// `GET /v1/jobs/{id}/events`.
pub(super) async fn events(
    request: HttpRequest,
    job: web::Path<String>,
    node: web::Data<Node>,
) -> HttpResponse {
    match open(&request, &job, &node.into_inner()).await {
        Ok(response) => response,
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn open(request: &HttpRequest, job: &str, node: &Arc<Node>) -> Result<HttpResponse, Refusal> {
    if node.is_draining() {
        return Err(ask::draining(node));
    }
    let address = admit::address(request, &node.options);
    node.may_arrive(address)?;
    let who = admit::who(request, node, Scope::Read)?;
    let job = http::job_id(job)?;
    let (deliver, starting_after) = decode_events_query(request.query_string()).map_err(problem::bad)?;
    let held = match last_event_id(request)? {
        Some(held) => held,
        None => starting_after,
    };
    if let Some(held) = held
        && has_seen_the_end(node, &who, job, held).await?
    {
        // The status that tells an EventSource to stay away.
        return Ok(HttpResponse::NoContent().finish());
    }
    let place = node.enter(address, "events")?;
    let wake = Arc::new(Notify::new());
    let woken = Arc::clone(&wake);
    let asks = Arc::clone(&who);
    let watch = |node: Arc<Node>| async move { ask::watch(&node, &asks, job, held, deliver, &woken).await };
    let viewer = http::on_engine(node, watch).await?;
    ask::came_back(&viewer, held);
    let events = Events {
        node: Arc::clone(node),
        who,
        viewer,
        wake,
        phases: node.phases(),
        over: false,
        _place: place,
    };
    let body = stream::unfold(events, |mut events| async move {
        let bytes = events.next().await?;
        Some((Ok::<_, actix_web::Error>(bytes), events))
    });
    Ok(HttpResponse::Ok()
        .insert_header((header::CONTENT_TYPE, "text/event-stream"))
        .insert_header((header::CACHE_CONTROL, "no-cache, no-transform"))
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(body))
}

/// What a reconnecting client says that it holds: it comes back to the same address, so this goes before
/// `starting_after`, also where it is empty.
fn last_event_id(request: &HttpRequest) -> Result<Option<Option<Position>>, Refusal> {
    let Some(header) = request.headers().get("last-event-id") else {
        return Ok(None);
    };
    let text = header.to_str().unwrap_or_default();
    let held = (!text.is_empty()).then(|| text.parse()).transpose();
    held.map(Some)
        .map_err(|error: crate::event::BadPosition| refusal(Code::BadRequest, error.to_string()))
}

async fn has_seen_the_end(
    node: &Arc<Node>,
    who: &Arc<Identity>,
    job: JobId,
    held: Position,
) -> Result<bool, Refusal> {
    let who = Arc::clone(who);
    let state = http::on_engine(node, |node| async move { ask::state(&node, &who, job).await }).await?;
    Ok(state.status.is_end() && state.epoch == held.epoch && state.seq == held.seq)
}

impl Events {
    /// The next bytes; `None` once the end was told.
    async fn next(&mut self) -> Option<Bytes> {
        if self.over {
            return None;
        }
        let mut leaving = false;
        let silent = Duration::from_millis(self.node.options.sse_comment_ms);
        let comment = clock::now() + silent;
        loop {
            if !self.node.access.holds(&self.who, clock::now_ms()) {
                // What it would be told when it comes again, it can be told then.
                self.over = true;
                return None;
            }
            let told = self.viewer.take(clock::now_ms(), self.node.options.take_bytes);
            self.over = self.viewer.is_over();
            if !told.is_empty() {
                let bytes = encode(&told);
                metrics::all().frames_out.add(told.len());
                metrics::all().bytes_out.add(bytes.len());
                return Some(bytes);
            }
            if self.over {
                return None;
            }
            if leaving {
                self.over = true;
                // Says when to come back; what comes after is another server's.
                return Some(format!("retry: {}\n\n", self.node.reconnect_after_ms().max(1)).into());
            }
            let due = self
                .viewer
                .due_ms()
                .map(|due| Duration::from_millis(due.saturating_sub(clock::now_ms())));
            tokio::select! {
                () = self.wake.notified() => {}
                () = clock::sleep(due.unwrap_or(silent)), if due.is_some() => {}
                () = clock::sleep_until(comment) => return Some(Bytes::from_static(b":\n\n")),
                // What was written before the node leaves is told first.
                () = self.phases.reached(Phase::Leaving) => leaving = true,
            }
        }
    }
}

fn encode(told: &[Told]) -> Bytes {
    let mut out = BytesMut::with_capacity(told.iter().map(|told| told.text.len() + 96).sum());
    for told in told {
        put(&mut out, "event: ", told.name);
        if let Some(position) = told.position {
            put(&mut out, "id: ", &position.to_string());
        }
        // Line ends between the tokens of a JSON text mean nothing; in an event each begins a line of data.
        for line in told.text.split(['\n', '\r']) {
            put(&mut out, "data: ", line);
        }
        out.put_u8(b'\n');
    }
    out.freeze()
}

fn put(out: &mut BytesMut, field: &str, value: &str) {
    out.put_slice(field.as_bytes());
    out.put_slice(value.as_bytes());
    out.put_u8(b'\n');
}
