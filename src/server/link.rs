//! The socket's bytes: the one seam between us and actix. Everything above it speaks in messages.

use actix_web::body::BodyStream;
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, HttpResponse, web};
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;

use super::frame::{Decoder, Fault, Message};

/// Batches that wait for the connection to take them; each is about `take_bytes` at the most.
const BATCHES: usize = 2;

/// The reading half.
pub(super) struct Incoming {
    payload: web::Payload,
    decoder: Decoder,
    /// Bytes read so far.
    read: u64,
}

/// What was heard.
#[derive(Debug)]
pub(super) enum Heard {
    /// A message.
    Message(Message),
    /// Bytes that cannot be read on.
    Fault(Fault),
    /// The connection is gone.
    Gone,
}

/// The writing half: whole frames, in batches. Dropping it ends the connection once all is written.
pub(super) type Outgoing = mpsc::Sender<Bytes>;

/// Answers an upgrade: the response to give, and the two halves.
pub(super) async fn open(
    request: &HttpRequest,
    payload: web::Payload,
    protocols: &[&str],
    message_bytes_max: u64,
) -> actix_web::Result<(HttpResponse, Incoming, Outgoing)> {
    // Only the handshake is theirs: reading and writing frames is ours, see `frame`.
    let nothing = web::Payload::from_request(request, &mut Payload::None).await?;
    let (response, _, _) = actix_ws::handle_with_protocols(request, nothing, protocols)?;
    let (outgoing, mut batches) = mpsc::channel::<Bytes>(BATCHES);
    let body = stream::poll_fn(move |context| {
        batches
            .poll_recv(context)
            .map(|batch| batch.map(Ok::<_, actix_web::Error>))
    });
    let incoming = Incoming {
        payload,
        decoder: Decoder::new(message_bytes_max),
        read: 0,
    };
    Ok((
        response.set_body(BodyStream::new(body)).map_into_boxed_body(),
        incoming,
        outgoing,
    ))
}

impl Incoming {
    /// The next message. May be dropped and called again without losing anything.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            match self.decoder.next() {
                Ok(Some(message)) => return Heard::Message(message),
                Ok(None) => {}
                Err(fault) => return Heard::Fault(fault),
            }
            match self.payload.next().await {
                Some(Ok(bytes)) => {
                    self.read += bytes.len() as u64;
                    self.decoder.push(bytes);
                }
                Some(Err(_)) | None => return Heard::Gone,
            }
        }
    }

    /// Bytes read so far.
    pub(super) const fn read(&self) -> u64 {
        self.read
    }

    /// Reads on without looking until the peer is gone or `bytes` more have come: a connection that is closed over
    /// unread bytes is reset, and the close frame before it may be lost.
    pub(super) async fn discard(&mut self, mut bytes: u64) {
        while let Some(Ok(chunk)) = self.payload.next().await {
            self.read += chunk.len() as u64;
            match bytes.checked_sub(chunk.len() as u64) {
                Some(left) => bytes = left,
                None => return,
            }
        }
    }
}
