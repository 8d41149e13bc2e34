//! The socket's bytes: the one seam between us and actix. Everything above it speaks in messages.

use std::time::Duration;

use actix_web::body::BodyStream;
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::ServerOptions;
use super::frame::{self, Decoder, Fault, Message};
use crate::clock;
use crate::metrics;
use crate::wire::Close;

/// Batches that wait for the connection to take them; each is about `take_bytes` at the most.
const BATCHES: usize = 2;

/// The reading half.
pub(super) struct Incoming {
    payload: web::Payload,
    decoder: Decoder,
    fault: Option<Fault>,
    /// Bytes came since it was last said that they do.
    came: bool,
    /// Bytes read so far.
    read: u64,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Message(Message),
    /// A piece of one, no more.
    Part,
    /// Bytes that cannot be read on.
    Fault(Fault),
    /// The connection is gone.
    Gone,
}

/// What bounds the frames of a client.
#[derive(Clone, Copy, Debug)]
pub(super) struct FrameLimits {
    /// Bytes of one message, fragments together.
    pub(super) message_bytes_max: u64,
    /// Fragments of one message.
    pub(super) fragments_max: u32,
}

/// How a socket ends.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ending {
    /// We close.
    Close(Close),
    /// The peer has closed; its code goes back.
    Echo(Option<u16>),
    /// Nothing more can be said.
    Gone,
}

/// The writing half: whole frames, in batches. Dropping it ends the connection once all is written.
pub(super) type Outgoing = mpsc::Sender<Bytes>;

/// Room for one batch more, kept for the close frame: it can be given also where nothing else can.
pub(super) type LastWords = mpsc::OwnedPermit<Bytes>;

/// A socket that is opened by giving the response.
pub(super) struct Opened {
    pub(super) response: HttpResponse,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
    pub(super) last: LastWords,
}

/// Answers an upgrade.
pub(super) async fn open(
    request: &HttpRequest,
    payload: web::Payload,
    protocols: &[&str],
    limits: FrameLimits,
) -> actix_web::Result<Opened> {
    no_body(request)?;
    // Only the handshake is theirs: reading and writing frames is ours, see `frame`.
    let nothing = web::Payload::from_request(request, &mut Payload::None).await?;
    let (response, _, _) = actix_ws::handle_with_protocols(request, nothing, protocols)?;
    let (outgoing, mut batches) = mpsc::channel::<Bytes>(BATCHES + 1);
    let last = outgoing.clone().reserve_owned().await;
    let last = last.map_err(actix_web::error::ErrorInternalServerError)?;
    let body = stream::poll_fn(move |context| {
        batches
            .poll_recv(context)
            .map(|batch| batch.map(Ok::<_, actix_web::Error>))
    });
    let incoming = Incoming {
        payload,
        decoder: Decoder::new(limits.message_bytes_max, limits.fragments_max),
        fault: None,
        came: false,
        read: 0,
    };
    Ok(Opened {
        response: response.set_body(BodyStream::new(body)).map_into_boxed_body(),
        incoming,
        outgoing,
        last,
    })
}

/// What follows an upgrade are frames: a body between the two would be read as such.
fn no_body(request: &HttpRequest) -> actix_web::Result<()> {
    let headers = request.headers();
    let mut lengths = headers.get_all(header::CONTENT_LENGTH);
    let is_empty = |length: &header::HeaderValue| length.to_str().is_ok_and(|text| text.trim() == "0");
    if lengths.all(is_empty) && !headers.contains_key(header::TRANSFER_ENCODING) {
        return Ok(());
    }
    Err(actix_web::error::ErrorBadRequest(
        "an upgrade has no body: leave out Content-Length and Transfer-Encoding",
    ))
}

impl Incoming {
    /// The next message. May be dropped and called again without losing anything.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Some(fault) = self.fault {
                return Heard::Fault(fault);
            }
            match self.decoder.next() {
                Ok(Some(message)) => {
                    self.came = false;
                    return Heard::Message(message);
                }
                Ok(None) if std::mem::take(&mut self.came) => return Heard::Part,
                Ok(None) => {}
                Err(fault) => {
                    self.fault = Some(fault);
                    continue;
                }
            }
            match self.payload.next().await {
                Some(Ok(bytes)) => {
                    self.read += bytes.len() as u64;
                    self.came = true;
                    self.decoder.push(bytes);
                }
                Some(Err(_)) | None => return Heard::Gone,
            }
        }
    }

    /// Takes messages of up to so many bytes from the next one on.
    pub(super) const fn take_messages_of(&mut self, bytes_max: u64) {
        self.decoder.take_messages_of(bytes_max);
    }

    /// Bytes read so far.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// Says the last words behind what waits in `outbox`, and lets the connection go once they are written.
    pub(super) async fn end(
        mut self,
        ending: Ending,
        mut outbox: BytesMut,
        last: LastWords,
        options: &ServerOptions,
    ) {
        let closes = match ending {
            Ending::Close(close) => {
                metrics::all().socket_closes.one([&close.number().to_string()]);
                frame::close(&mut outbox, Some(close.number()), close.reason());
                true
            }
            Ending::Echo(code) => {
                frame::close(&mut outbox, code, "");
                false
            }
            Ending::Gone => return,
        };
        last.send(outbox.freeze());
        if closes {
            let patience = Duration::from_millis(options.close_timeout_ms);
            tokio::select! {
                () = self.linger(options.limits.message_bytes_max / 2) => {}
                () = clock::sleep(patience) => {}
            }
        }
    }

    /// Reads on, with nobody listening, until the peer has closed too or about `bytes` more have come: a connection
    /// that is closed over unread bytes is reset, and the close frame before it may be lost.
    async fn linger(&mut self, bytes: u64) {
        let until = self.read + bytes;
        while self.read <= until {
            match self.next().await {
                Heard::Message(Message::Close(_)) | Heard::Gone => return,
                Heard::Message(_) | Heard::Part => {}
                Heard::Fault(_) => return self.discard(until).await,
            }
        }
    }

    /// The same behind a fault, where nothing can be told apart any more.
    async fn discard(&mut self, until: u64) {
        while self.read <= until {
            match self.payload.next().await {
                Some(Ok(chunk)) => self.read += chunk.len() as u64,
                Some(Err(_)) | None => return,
            }
        }
    }
}
