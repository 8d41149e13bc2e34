//! One line per request, and its count.

use actix_web::HttpMessage;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header;
use actix_web::middleware::Next;

use crate::clock;
use crate::job::JobId;
use crate::metrics;

/// Asked every few seconds by machines: their requests are counted, and logged for who asks for `debug`.
const QUIET: [&str; 3] = ["/livez", "/readyz", "/metrics"];

/// The socket that a request has opened, by its `connection_id`: laid into the request for its line.
pub(super) struct Connection(pub(super) String);

/// Tells the route, not the path: what a client wrote there may be anything. Of a path's and an answer's job the id is
/// told where it is one. The time is that of the answer's head: a stream goes on after it.
pub(super) async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, actix_web::Error> {
    let began = clock::now();
    let method = known(request.method().as_str());
    let response = next.call(request).await?;
    let request = response.request();
    let route = request.match_pattern().unwrap_or_else(|| "other".to_owned());
    let status = response.status();
    metrics::all().http_requests.one([&route, status.as_str()]);
    let took_ms = u64::try_from((clock::now() - began).as_millis()).unwrap_or(u64::MAX);
    let job = request
        .match_info()
        .get("job")
        .map(str::to_owned)
        .or_else(|| created(&response));
    let job = job.and_then(|job| job.parse::<JobId>().ok());
    let job = job.map(tracing::field::display);
    let status = status.as_u16();
    if QUIET.contains(&&*route) {
        tracing::debug!(method, route, status, took_ms, "a request was answered");
    } else {
        let extensions = request.extensions();
        let connection = extensions.get::<Connection>().map(|Connection(id)| &**id);
        tracing::info!(
            method,
            route,
            status,
            took_ms,
            job,
            connection,
            "a request was answered"
        );
    }
    Ok(response)
}

/// The job that the answer names as made.
fn created(response: &ServiceResponse<impl MessageBody>) -> Option<String> {
    let location = response.headers().get(header::LOCATION)?.to_str().ok()?;
    location.strip_prefix("/v1/jobs/").map(str::to_owned)
}

/// The methods that are told by name; a client may invent any other.
fn known(method: &str) -> &'static str {
    let known = [
        "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT",
    ];
    known.into_iter().find(|name| *name == method).unwrap_or("other")
}
