//! A socket that says back what it hears, for conformance suites: the server's own frames, links, limits and closes
//! (`frame`, `link`), without a session above them.

use std::net::SocketAddr;

use actix_web::{HttpRequest, HttpResponse, web};
use bytes::BytesMut;

use super::frame::{self, Message};
use super::link::{self, Ending, FrameLimits, Heard, Incoming, LastWords, Outgoing};
use super::{Launched, ServerOptions, StartError, launch, problem};

/// An echo that runs.
#[derive(Debug)]
pub struct Echo(Launched);

/// Listens at `/`, with the settings of the server.
///
/// # Errors
/// The address is public without permission or cannot be had.
pub fn echo(options: ServerOptions) -> Result<Echo, StartError> {
    let data = web::Data::new(options.clone());
    let routes = move |config: &mut web::ServiceConfig| {
        config.app_data(data.clone()).route("/", web::get().to(upgrade));
    };
    launch(options, routes).map(Echo)
}

impl Echo {
    /// The address it listens on.
    pub const fn addr(&self) -> SocketAddr {
        self.0.address
    }

    /// Stops listening. Returns when its threads have ended.
    pub async fn stop(self) {
        self.0.stop().await;
    }
}

async fn upgrade(
    request: HttpRequest,
    payload: web::Payload,
    options: web::Data<ServerOptions>,
) -> HttpResponse {
    let limits = FrameLimits {
        message_bytes_max: options.limits.message_bytes_max,
        fragments_max: options.fragments_max,
    };
    let opened = match link::open(&request, payload, &[], limits).await {
        Ok(opened) => opened,
        Err(error) => return problem::no_handshake(&error),
    };
    actix_web::rt::spawn(run(opened.incoming, opened.outgoing, opened.last, options));
    opened.response
}

async fn run(mut incoming: Incoming, outgoing: Outgoing, last: LastWords, options: web::Data<ServerOptions>) {
    let mut out = BytesMut::new();
    let ending = loop {
        match incoming.next().await {
            Heard::Message(Message::Text(text)) => frame::text(&mut out, &text),
            Heard::Message(Message::Binary(payload)) => frame::binary(&mut out, &payload),
            Heard::Message(Message::Ping(payload)) => frame::pong(&mut out, &payload),
            Heard::Message(Message::Pong) | Heard::Part => {}
            Heard::Message(Message::Close(code)) => break Ending::Echo(code),
            Heard::Fault(fault) => break Ending::Close(fault.close()),
            Heard::Gone => break Ending::Gone,
        }
        // It waits for room, so what it holds is one message.
        if !out.is_empty() && outgoing.send(out.split().freeze()).await.is_err() {
            break Ending::Gone;
        }
    };
    incoming.end(ending, out, last, &options).await;
}
