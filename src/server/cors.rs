//! What browsers ask before they let a page of another origin read an answer (Fetch standard, "CORS protocol"). Only
//! for origins that are listed; without cookies, which mean nothing here.

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpResponse, web};

use super::node::Node;

/// Methods that a page may use.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST");
/// Headers that a page may send.
const SENT: HeaderValue =
    HeaderValue::from_static("authorization, content-type, idempotency-key, last-event-id");
/// Headers of an answer that a page may read, beside those that are always so.
const READ: HeaderValue = HeaderValue::from_static("location, retry-after, www-authenticate");
/// How long a browser need not ask again, s.
const KEPT_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// In front of every route, behind the look at the host.
pub(super) async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> actix_web::Result<ServiceResponse<BoxBody>> {
    let Some(origin) = listed(&request) else {
        return Ok(next.call(request).await?.map_into_boxed_body());
    };
    let asks = request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    if asks {
        let mut permission = HttpResponse::new(StatusCode::NO_CONTENT);
        let headers = permission.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, SENT);
        headers.insert(header::ACCESS_CONTROL_MAX_AGE, KEPT_SECONDS);
        allow(headers, origin);
        return Ok(request.into_response(permission));
    }
    let mut response = next.call(request).await?.map_into_boxed_body();
    response
        .headers_mut()
        .insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, READ);
    allow(response.headers_mut(), origin);
    Ok(response)
}

/// The origin of the page that asks, where it is listed.
fn listed(request: &ServiceRequest) -> Option<HeaderValue> {
    let origin = request.headers().get(header::ORIGIN)?;
    let allowed = &request.app_data::<web::Data<Node>>()?.options.allowed_origins;
    let listed = allowed
        .iter()
        .any(|allowed| allowed.as_bytes() == origin.as_bytes());
    listed.then(|| origin.clone())
}

fn allow(headers: &mut HeaderMap, origin: HeaderValue) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
}
