//! One socket of any of the systems.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::system::Talk;
use crate::viewer::{Seen, Viewer};
use crate::{Outcome, clock};

/// How long a peer may take to listen, microseconds, and how often that is tried.
const STARTS_US: u64 = 10_000_000;
const AGAIN: Duration = Duration::from_millis(20);

/// A socket that is ready to be asked on.
#[derive(Debug)]
pub(crate) enum Socket {
    Ours(Viewer),
    Other(Other),
}

/// One of a peer: plain messages over a WebSocket, or as events of socket.io (Engine.IO 4, socket.io 5).
#[derive(Debug)]
pub(crate) struct Other {
    socket: WebSocketStream<TcpStream>,
    socket_io: bool,
}

impl Socket {
    /// Connects and shakes hands.
    pub(crate) async fn connect(talk: Talk, source: [u8; 4], server: SocketAddr) -> Outcome<Self> {
        if talk == Talk::Livedraft {
            return Ok(Self::Ours(Viewer::connect(source, server).await?));
        }
        let tcp = tcp(source, server).await?;
        let socket_io = talk == Talk::SocketIo;
        let path = if socket_io {
            "socket.io/?EIO=4&transport=websocket"
        } else {
            "ws"
        };
        let config = WebSocketConfig::default()
            .read_buffer_size(4 << 10)
            .max_message_size(None)
            .max_frame_size(None);
        let url = format!("ws://{server}/{path}");
        let (socket, _) = tokio_tungstenite::client_async_with_config(url, tcp, Some(config)).await?;
        let mut other = Other { socket, socket_io };
        if socket_io {
            // `0{…}` opens, `40` joins the namespace, `40{…}` is its answer.
            other.packet('0').await?;
            other.socket.send(Message::text("40")).await?;
            other.packet('4').await?;
        }
        Ok(Self::Other(other))
    }

    /// Submits a job; its id. `request` is what livedraft is asked, `shape` what the others know it by.
    pub(crate) async fn create(&mut self, request: Value, shape: &str) -> Outcome<(String, Seen)> {
        match self {
            Self::Ours(viewer) => viewer.create(request).await,
            Self::Other(other) => other.ask(&json!({ "create": shape })).await,
        }
    }

    /// Watches a job.
    pub(crate) async fn attach(&mut self, job: &str) -> Outcome<Seen> {
        match self {
            Self::Ours(viewer) => viewer.attach(job).await,
            Self::Other(other) => Ok(other.ask(&json!({ "watch": job })).await?.1),
        }
    }

    /// Reads until the job has completed; any other end is an error.
    pub(crate) async fn follow(&mut self, seen: &mut Seen) -> Outcome<()> {
        let other = match self {
            Self::Ours(viewer) => return viewer.follow(seen).await,
            Self::Other(other) => other,
        };
        loop {
            let (text, message) = other.message().await?;
            seen.take_other(&text, &message, clock::micros());
            match message["end"].as_str() {
                Some("completed") => return Ok(()),
                Some(_) => return Err(format!("the job ended otherwise: {message}").into()),
                None => {}
            }
        }
    }

    /// Reads on, which answers pings, until the server closes.
    pub(crate) async fn idle(self) -> Outcome<()> {
        match self {
            Self::Ours(viewer) => viewer.idle().await,
            Self::Other(mut other) => loop {
                other.message().await?;
            },
        }
    }
}

/// A connection; one that says where it will listen may not do so yet.
async fn tcp(source: [u8; 4], server: SocketAddr) -> Outcome<TcpStream> {
    let begun = clock::micros();
    loop {
        let tcp = TcpSocket::new_v4()?;
        tcp.bind((source, 0).into())?;
        match tcp.connect(server).await {
            Ok(tcp) => {
                tcp.set_nodelay(true)?;
                return Ok(tcp);
            }
            Err(error) if clock::micros() - begun > STARTS_US => return Err(error.into()),
            Err(_) => clock::sleep(AGAIN).await,
        }
    }
}

impl Other {
    async fn ask(&mut self, question: &Value) -> Outcome<(String, Seen)> {
        let text = if self.socket_io {
            format!("42{}", json!(["m", question]))
        } else {
            question.to_string()
        };
        self.socket.send(Message::text(text)).await?;
        let (text, answer) = self.message().await?;
        let job = answer["job"]
            .as_str()
            .ok_or_else(|| format!("no job in {text}"))?;
        Ok((job.to_owned(), Seen::default()))
    }

    /// The next message, as it came and as it is meant.
    async fn message(&mut self) -> Outcome<(Utf8Bytes, Value)> {
        if !self.socket_io {
            let text = self.text().await?;
            let message = serde_json::from_str(&text)?;
            return Ok((text, message));
        }
        let text = self.packet('4').await?;
        let event = text
            .strip_prefix("42")
            .ok_or_else(|| format!("no event: {text}"))?;
        let mut event: Value = serde_json::from_str(event)?;
        Ok((text, event[1].take()))
    }

    /// The next packet of a kind of Engine.IO; pings are answered.
    async fn packet(&mut self, kind: char) -> Outcome<Utf8Bytes> {
        loop {
            let text = self.text().await?;
            match text.chars().next() {
                Some('2') => self.socket.send(Message::text("3")).await?,
                Some(found) if found == kind => return Ok(text),
                _ => return Err(format!("not a packet of kind {kind}: {text}").into()),
            }
        }
    }

    async fn text(&mut self) -> Outcome<Utf8Bytes> {
        while let Some(message) = self.socket.next().await {
            if let Message::Text(text) = message? {
                return Ok(text);
            }
        }
        Err("the peer closed the socket".into())
    }
}
