//! Refusals as HTTP answers: `{code, message, path?, retry_after_ms?}` with the code's status.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, HttpResponseBuilder};

use super::ask::Refusal;
use crate::metrics;
use crate::wire::{BadMessage, Code, ErrorMessage};

/// The answer that tells a refusal.
pub(super) fn answer(refusal: &ErrorMessage) -> HttpResponse {
    let code = Code::named(&refusal.code).unwrap_or(Code::Internal);
    let status = StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    with_status(status, refusal)
}

/// The same under another status, for refusals that only HTTP knows.
pub(super) fn with_status(status: StatusCode, refusal: &ErrorMessage) -> HttpResponse {
    metrics::all().errors.one(["http", &refusal.code]);
    let mut response = HttpResponseBuilder::new(status);
    if let Some(retry_after_ms) = refusal.retry_after_ms {
        // RFC 9110 §10.2.3: whole seconds.
        response.insert_header((header::RETRY_AFTER, retry_after_ms.div_ceil(1_000).to_string()));
    }
    let mut response = response.json(refusal);
    if status == StatusCode::UNAUTHORIZED {
        ask_for_key(&mut response);
    }
    response
}

/// Says that a key is asked for (RFC 9110 §11.6.1, RFC 6750 §3).
pub(super) fn ask_for_key(response: &mut HttpResponse) {
    let challenge = header::HeaderValue::from_static("Bearer realm=\"livedraft\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
}

/// A body that cannot be taken.
pub(super) fn bad(fault: BadMessage) -> Refusal {
    let BadMessage {
        code, path, message, ..
    } = fault;
    Box::new(ErrorMessage {
        path,
        ..*super::ask::refusal(code, message)
    })
}

/// There is no such route.
pub(super) fn no_route() -> HttpResponse {
    answer(&super::ask::refusal(Code::NotFound, "there is no such route"))
}

/// The route is there, the method is not (RFC 9110 §15.5.6).
pub(super) fn no_method(allowed: &'static str) -> HttpResponse {
    let refusal = super::ask::refusal(
        Code::BadRequest,
        format!("the route takes another method: {allowed}"),
    );
    let mut response = with_status(StatusCode::METHOD_NOT_ALLOWED, &refusal);
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, header::HeaderValue::from_static(allowed));
    response
}

/// The request is no WebSocket handshake, or one of another version, which the answer's headers then tell.
pub(super) fn no_handshake(error: &actix_web::Error) -> HttpResponse {
    let said = error.error_response();
    let refusal = super::ask::refusal(Code::BadRequest, format!("no socket can be opened: {error}"));
    let mut response = with_status(said.status(), &refusal);
    for (name, value) in said.headers() {
        if name != header::CONTENT_LENGTH && name != header::CONTENT_TYPE {
            response.headers_mut().insert(name.clone(), value.clone());
        }
    }
    response
}
