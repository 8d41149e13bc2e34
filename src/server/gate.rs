//! The upgrade: who may open a socket, and in which subprotocol.

use actix_web::http::{StatusCode, Version, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

use super::access::Connection;
use super::ask::{self, refusal};
use super::node::Node;
use super::socket::Socket;
use super::{link, problem};
use crate::clock;
use crate::wire::{Code, ErrorMessage, SUBPROTOCOL_JSON};

/// Subprotocols that are spoken here.
const SPOKEN: &[&str] = &[SUBPROTOCOL_JSON];

/// `GET /v1/ws`.
pub(super) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
) -> HttpResponse {
    let node = node.into_inner();
    if node.is_draining() {
        return problem::answer(&ask::draining(&node));
    }
    if !same_origin(&request) {
        return problem::foreign_origin();
    }
    // RFC 6455 §4.2.1; an older client would not know what a 101 is.
    if request.version() < Version::HTTP_11 {
        return problem::answer(&refusal(
            Code::BadRequest,
            "no socket can be opened below HTTP/1.1",
        ));
    }
    if !speaks(&request) {
        return unspoken();
    }
    let Some(place) = node.enter("socket") else {
        return full();
    };
    let limit = node.options.limits.message_bytes_max;
    let opened = match link::open(&request, payload, SPOKEN, limit).await {
        Ok(opened) => opened,
        Err(error) => return problem::no_handshake(&error),
    };
    let link::Opened {
        response,
        incoming,
        outgoing,
        last,
    } = opened;
    let id = format!("{:016x}", clock::nonce());
    request.extensions_mut().insert(Connection(id.clone()));
    let socket = Socket::new(node, id, place, incoming, outgoing);
    actix_web::rt::spawn(socket.run(last));
    response
}

/// Whether a browser's page asks its own host. Programs that are no browsers send no `Origin` and pass.
pub(super) fn same_origin(request: &HttpRequest) -> bool {
    let Some(origin) = request.headers().get(header::ORIGIN) else {
        return true;
    };
    let host = request
        .headers()
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    let authority = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"))
        .map(|(_, authority)| authority);
    matches!((authority, host), (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host))
}

/// Whether nothing is offered, or something that is spoken here.
fn speaks(request: &HttpRequest) -> bool {
    let mut offered = request
        .headers()
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .map(str::trim)
        .peekable();
    offered.peek().is_none() || offered.any(|name| SPOKEN.contains(&name))
}

fn unspoken() -> HttpResponse {
    let spoken = SPOKEN.join(", ");
    problem::answer(&refusal(
        Code::UnsupportedSubprotocol,
        format!("none of the offered subprotocols is spoken here: offer {spoken}"),
    ))
}

/// As many connections as may be are open.
pub(super) fn full() -> HttpResponse {
    let refusal = ErrorMessage {
        retry_after_ms: Some(1_000),
        ..*refusal(Code::Unavailable, "as many connections as may be are open")
    };
    problem::with_status(StatusCode::SERVICE_UNAVAILABLE, &refusal)
}
