//! The upgrade: who may open a socket, and in which subprotocol.

use std::sync::Arc;

use actix_web::http::{Version, header};
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};

use super::access::Connection;
use super::ask::{self, Refusal, refusal};
use super::node::Node;
use super::socket::Socket;
use super::{admit, link, problem};
use crate::clock;
use crate::session::FIRST_MESSAGE_BYTES_MAX;
use crate::wire::{Code, SUBPROTOCOL_JSON};

/// Subprotocols that are spoken here.
const SPOKEN: &[&str] = &[SUBPROTOCOL_JSON];

/// `GET /v1/ws`.
pub(super) async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    node: web::Data<Node>,
) -> HttpResponse {
    match open(&request, payload, node.into_inner()).await {
        Ok(response) => response,
        Err(refusal) => problem::answer(&refusal),
    }
}

async fn open(
    request: &HttpRequest,
    payload: web::Payload,
    node: Arc<Node>,
) -> Result<HttpResponse, Refusal> {
    if node.is_draining() {
        return Err(ask::draining(&node));
    }
    let address = admit::address(request, &node.options);
    node.may_arrive(address)?;
    admit::origin(request, &node.options)?;
    let who = admit::shown(request, &node)?;
    // RFC 6455 §4.2.1; an older client would not know what a 101 is.
    if request.version() < Version::HTTP_11 {
        return Err(refusal(
            Code::BadRequest,
            "no socket can be opened below HTTP/1.1",
        ));
    }
    if !speaks(request) {
        return Err(unspoken());
    }
    let place = node.enter(address, "socket")?;
    let limits = link::FrameLimits {
        // What one who is not known yet can make us hold is an `auth`.
        message_bytes_max: match who {
            Some(_) => node.options.limits.message_bytes_max,
            None => FIRST_MESSAGE_BYTES_MAX.min(node.options.limits.message_bytes_max),
        },
        fragments_max: node.options.fragments_max,
    };
    let opened = match link::open(request, payload, SPOKEN, limits).await {
        Ok(opened) => opened,
        Err(error) => return Ok(problem::no_handshake(&error)),
    };
    let link::Opened {
        mut response,
        incoming,
        outgoing,
        last,
    } = opened;
    if who.is_none() {
        // Tells those who can read it that an `auth` is waited for.
        problem::ask_for_key(&mut response);
    }
    let id = format!("{:016x}", clock::nonce());
    request.extensions_mut().insert(Connection(id.clone()));
    let socket = Socket::new(node, id, place, who, incoming, outgoing);
    actix_web::rt::spawn(socket.run(last));
    Ok(response)
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

fn unspoken() -> Refusal {
    let spoken = SPOKEN.join(", ");
    refusal(
        Code::UnsupportedSubprotocol,
        format!("none of the offered subprotocols is spoken here: offer {spoken}"),
    )
}
