//! A client's socket in a conversation. It folds what it is told, and holds the server to what every conversation
//! must keep: known messages, rising seqs, silence behind an end, an end's value that is the fold's.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use livedraft::event::Position;
use livedraft::partial::Value;
use livedraft::wire::{JobEnd, SUBPROTOCOL_JSON, ServerMessage};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::fold_vectors::{Client, told};

/// One job as this socket knows it.
#[derive(Default)]
struct Watched {
    client: Client,
    tag: Option<String>,
    /// The seq of the last message; the next is above it.
    seq: u64,
    over: bool,
}

pub(crate) struct Socket {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether unseen members were asked for as `null`: then the fold is not what an end tells.
    fills: bool,
    jobs: BTreeMap<String, Watched>,
}

impl Socket {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, String> {
        let mut request = format!("ws://{address}/v1/ws")
            .into_client_request()
            .map_err(text)?;
        let protocol = SUBPROTOCOL_JSON.parse().expect("a header");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        let (stream, response) = tokio_tungstenite::connect_async(request).await.map_err(text)?;
        let chosen = response.headers().get("sec-websocket-protocol");
        if chosen.is_none_or(|chosen| chosen != SUBPROTOCOL_JSON) {
            return Err(format!("the subprotocol is {chosen:?}"));
        }
        Ok(Self {
            stream,
            fills: false,
            jobs: BTreeMap::new(),
        })
    }

    pub(crate) async fn send_text(&mut self, message: String) -> Result<(), String> {
        let asked = serde_json::from_str::<Json>(&message).unwrap_or_default();
        self.fills |= asked["deliver"]["unseen"] == "null";
        self.stream.send(Message::text(message)).await.map_err(text)
    }

    /// Sends a text frame of any bytes.
    pub(crate) async fn send_bytes(&mut self, bytes: Vec<u8>) -> Result<(), String> {
        let frame = Frame::message(bytes, OpCode::Data(Data::Text), true);
        self.stream.send(Message::Frame(frame)).await.map_err(text)
    }

    pub(crate) async fn send_binary(&mut self, message: String) -> Result<(), String> {
        self.stream
            .send(Message::binary(message.into_bytes()))
            .await
            .map_err(text)
    }

    pub(crate) async fn close(&mut self) -> Result<(), String> {
        self.stream.close(None).await.map_err(text)
    }

    /// The next message, folded in.
    pub(crate) async fn next(&mut self) -> Result<Json, String> {
        match self.frame().await? {
            Message::Text(message) => {
                let fault = |fault| format!("{fault}: {message}");
                self.hear(&message).map_err(fault)?;
                serde_json::from_str(&message).map_err(|error| fault(error.to_string()))
            }
            other => Err(format!("a text message was due, not {other:?}")),
        }
    }

    /// The close that is due now.
    pub(crate) async fn closed(&mut self) -> Result<(u16, String), String> {
        match self.frame().await? {
            Message::Close(Some(close)) => Ok((close.code.into(), close.reason.to_string())),
            other => Err(format!("a close with a number was due, not {other:?}")),
        }
    }

    /// The folded state of a job, as the fold vectors write it; `null` where there is none.
    pub(crate) fn state(&self, job: &str) -> Json {
        let fold = self
            .jobs
            .get(job)
            .and_then(|watched| watched.client.fold.as_ref());
        serde_json::from_str(&told(fold).to_json()).expect("JSON")
    }

    async fn frame(&mut self) -> Result<Message, String> {
        loop {
            match self.stream.next().await {
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                Some(Ok(message)) => return Ok(message),
                Some(Err(error)) => return Err(error.to_string()),
                None => return Err("the connection was lost".to_owned()),
            }
        }
    }

    fn hear(&mut self, message: &str) -> Result<(), String> {
        let read = ServerMessage::decode(message).map_err(text)?;
        let fills = self.fills;
        match &read {
            ServerMessage::Accepted(told) => {
                // An existing job's position is not what the client holds: a snapshot follows.
                let seq = if told.existing { 0 } else { told.seq };
                self.begin(&told.job_id, told.tag.as_ref(), seq)
                    .client
                    .take(message)
            }
            ServerMessage::Attached(told) => {
                self.begin(&told.job_id, told.tag.as_ref(), 0);
                Ok(())
            }
            ServerMessage::Detached(told) => {
                self.watched(&told.job_id)?.over = true;
                Ok(())
            }
            ServerMessage::Patch(patch) => {
                let owner = self
                    .jobs
                    .iter()
                    .find(|(_, watched)| watched.tag.as_ref() == Some(&patch.tag));
                let job = owner
                    .map(|(job, _)| job.clone())
                    .ok_or("a tag that was never told")?;
                self.event(&job, patch.seq, message)
            }
            ServerMessage::LongPatch(told) => self.event(&told.job_id, told.seq, message),
            ServerMessage::Snapshot(told) => {
                let (part, parts) = (told.part.unwrap_or(1), told.parts.unwrap_or(1));
                let seq = told.seq;
                let watched = self.watched(&told.job_id)?;
                if part == parts {
                    watched.seq = seq;
                }
                watched.client.take(message)
            }
            ServerMessage::Status(told) => self.event(&told.job_id, told.seq, message),
            ServerMessage::Attempt(told) => self.event(&told.job_id, told.seq, message),
            ServerMessage::Note(told) => self.event(&told.job_id, told.seq, message),
            ServerMessage::Hook(told) => self.event(&told.job_id, told.seq, message),
            ServerMessage::End(told) => {
                self.event(&told.job_id, told.seq, message)?;
                let watched = self.watched(&told.job_id)?;
                watched.over = true;
                if fills { Ok(()) } else { is_the_fold(told, watched) }
            }
            ServerMessage::Welcome(_)
            | ServerMessage::Cancelling(_)
            | ServerMessage::Ruled(_)
            | ServerMessage::State(_)
            | ServerMessage::Degraded(_)
            | ServerMessage::Error(_)
            | ServerMessage::Goodbye(_)
            | ServerMessage::Pong => Ok(()),
        }
    }

    fn begin(&mut self, job: &str, tag: Option<&String>, seq: u64) -> &mut Watched {
        let watched = self.jobs.entry(job.to_owned()).or_default();
        watched.tag = tag.cloned();
        watched.seq = seq;
        watched.over = false;
        watched
    }

    /// The job, if something of it may come.
    fn watched(&mut self, job: &str) -> Result<&mut Watched, String> {
        let watched = self
            .jobs
            .get_mut(job)
            .ok_or("a job that this socket does not watch")?;
        if watched.over {
            return Err("nothing of the job may follow".to_owned());
        }
        Ok(watched)
    }

    fn event(&mut self, job: &str, seq: u64, message: &str) -> Result<(), String> {
        let watched = self.watched(job)?;
        if seq <= watched.seq {
            return Err(format!("seq {seq} comes after {}", watched.seq));
        }
        watched.seq = seq;
        // A viewer of the final form, or one that came back to the end, holds no state here.
        if watched.client.fold.is_none() {
            return Ok(());
        }
        watched.client.take(message)
    }
}

/// The end tells the value that was folded, or its hash.
fn is_the_fold(end: &JobEnd, watched: &Watched) -> Result<(), String> {
    let Some(fold) = watched.client.fold.as_ref().filter(|fold| fold.attempt > 0) else {
        return Ok(());
    };
    let folded = fold.value.as_ref().map(Value::to_json);
    let hash = |text: &String| -> String {
        let digest = Sha256::digest(text.as_bytes());
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let (told, known) = match (&end.value, &end.sha256) {
        (Some(value), _) => (Some(value.get().to_owned()), folded),
        (None, Some(sha256)) => (Some(sha256.clone()), folded.as_ref().map(hash)),
        (None, None) => (None, folded),
    };
    let Position { seq, .. } = fold.position;
    if told == known {
        Ok(())
    } else {
        Err(format!("the end tells {told:?}, the fold at {seq} is {known:?}"))
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
