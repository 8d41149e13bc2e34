//! One socket, and what it sees of one job.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::Outcome;
use crate::answer::take_stamps;
use crate::clock;

/// A socket that was welcomed.
#[derive(Debug)]
pub(crate) struct Viewer {
    socket: WebSocketStream<TcpStream>,
}

/// What one viewer saw of one job, from the answer to its request to the end.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Bytes of all frames, headers included.
    pub(crate) bytes: u64,
    /// Patch frames.
    pub(crate) patches: u64,
    /// Snapshots after the first patch: the viewer was too slow.
    pub(crate) conflated: u64,
    /// Microseconds from writing each stamped token to seeing it.
    pub(crate) delays: Vec<u64>,
    text: String,
    taken: usize,
}

impl Viewer {
    /// Connects from `source` and waits for the welcome.
    pub(crate) async fn connect(source: [u8; 4], server: SocketAddr) -> Outcome<Self> {
        Self::connect_over(TcpSocket::new_v4()?, source, server, None).await
    }

    /// The same with a key.
    pub(crate) async fn connect_as(source: [u8; 4], server: SocketAddr, key: &str) -> Outcome<Self> {
        Self::connect_over(TcpSocket::new_v4()?, source, server, Some(key)).await
    }

    /// The same with about `bytes` of room in the kernel for what has come and was not read.
    pub(crate) async fn connect_narrow(source: [u8; 4], server: SocketAddr, bytes: u32) -> Outcome<Self> {
        let tcp = TcpSocket::new_v4()?;
        tcp.set_recv_buffer_size(bytes)?;
        Self::connect_over(tcp, source, server, None).await
    }

    async fn connect_over(
        tcp: TcpSocket,
        source: [u8; 4],
        server: SocketAddr,
        key: Option<&str>,
    ) -> Outcome<Self> {
        tcp.bind((source, 0).into())?;
        let tcp = tcp.connect(server).await?;
        tcp.set_nodelay(true)?;
        let mut request = format!("ws://{server}/v1/ws").into_client_request()?;
        let protocol = HeaderValue::from_static("livedraft.v1.json");
        request.headers_mut().insert("sec-websocket-protocol", protocol);
        if let Some(key) = key {
            let shown = HeaderValue::try_from(format!("Bearer {key}"))?;
            request.headers_mut().insert("authorization", shown);
        }
        // Thousands of these live in one process; the default buffers are 128 KiB each.
        let config = WebSocketConfig::default().read_buffer_size(4 << 10);
        let (socket, _) = tokio_tungstenite::client_async_with_config(request, tcp, Some(config)).await?;
        let mut viewer = Self { socket };
        let welcome: Value = serde_json::from_str(&viewer.text().await?)?;
        match welcome["type"].as_str() {
            Some("welcome") => Ok(viewer),
            _ => Err(format!("no welcome but {welcome}").into()),
        }
    }

    /// Submits a job; its id.
    pub(crate) async fn create(&mut self, request: Value) -> Outcome<(String, Seen)> {
        self.ask(json!({ "type": "job.create", "request": request }))
            .await
    }

    /// Watches a job from now on.
    pub(crate) async fn attach(&mut self, job_id: &str) -> Outcome<Seen> {
        let (_, seen) = self
            .ask(json!({ "type": "job.attach", "job_id": job_id }))
            .await?;
        Ok(seen)
    }

    /// Reads until the job has completed; any other end is an error.
    pub(crate) async fn follow(&mut self, seen: &mut Seen) -> Outcome<()> {
        loop {
            let text = self.text().await?;
            let now = clock::micros();
            if seen.take(&text, now)? {
                return Ok(());
            }
        }
    }

    /// Reads on, which answers pings, until the server closes.
    pub(crate) async fn idle(mut self) -> Outcome<()> {
        loop {
            self.text().await?;
        }
    }

    /// Sends a message without waiting for what it brings.
    pub(crate) async fn send(&mut self, message: &Value) -> Outcome<()> {
        Ok(self.socket.send(Message::text(message.to_string())).await?)
    }

    async fn ask(&mut self, message: Value) -> Outcome<(String, Seen)> {
        self.send(&message).await?;
        let text = self.text().await?;
        let answer: Value = serde_json::from_str(&text)?;
        let Some(job_id) = answer["job_id"].as_str().filter(|_| answer["type"] != "error") else {
            return Err(format!("refused: {text}").into());
        };
        let mut seen = Seen::default();
        seen.count(&text);
        Ok((job_id.to_owned(), seen))
    }

    /// The next sign of life, with its text if it is a message.
    pub(crate) async fn news(&mut self) -> Outcome<Option<Utf8Bytes>> {
        match self.socket.next().await.transpose()? {
            Some(Message::Text(text)) => Ok(Some(text)),
            Some(Message::Close(_)) | None => Err("the server closed the socket".into()),
            Some(_) => Ok(None),
        }
    }

    /// The next message. May be dropped and called again without losing one.
    pub(crate) async fn text(&mut self) -> Outcome<Utf8Bytes> {
        while let Some(message) = self.socket.next().await {
            if let Message::Text(text) = message? {
                return Ok(text);
            }
        }
        Err("the server closed the socket".into())
    }
}

impl Seen {
    /// Takes what a peer tells: its whole value, or a piece of the model's text.
    pub(crate) fn take_other(&mut self, text: &str, message: &Value, now: u64) {
        self.count(text);
        if let Some(piece) = message["text"].as_str() {
            self.text.push_str(piece);
        } else if let Some(whole) = message["value"]["text"].as_str() {
            self.text = whole.get(self.taken..).unwrap_or_default().to_owned();
        }
        if message.get("text").is_some() || message.get("value").is_some() {
            self.patches += 1;
            self.stamps(now);
        }
    }

    fn count(&mut self, text: &str) {
        // RFC 6455 §5.2: a server's frame has 2 bytes of header, 4 from 126 bytes on, 10 from 64 KiB on.
        let header = match text.len() {
            0..126 => 2,
            126..65_536 => 4,
            _ => 10,
        };
        self.bytes += text.len() as u64 + header;
    }

    /// Takes one message; true if it was the end.
    fn take(&mut self, text: &str, now: u64) -> Outcome<bool> {
        self.count(text);
        let message: Value = serde_json::from_str(text)?;
        if let Some(ops) = message["o"].as_array().or(message["ops"].as_array()) {
            self.patches += 1;
            for op in ops {
                self.op(op);
            }
            self.stamps(now);
            return Ok(false);
        }
        match message["type"].as_str() {
            Some("job.completed") => Ok(true),
            Some("job.failed" | "job.cancelled" | "job.incomplete" | "error") => {
                Err(format!("the job ended otherwise: {text}").into())
            }
            Some("job.snapshot") => {
                self.conflated += u64::from(self.patches > 0);
                let whole = message["value"]["text"].as_str().unwrap_or_default();
                self.text = whole.get(self.taken..).unwrap_or_default().to_owned();
                self.stamps(now);
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    /// Gathers appended and set text: of a stamped answer that is the one string it has.
    fn op(&mut self, op: &Value) {
        let op = op.as_array().map_or(&[][..], Vec::as_slice);
        let text = match op {
            [text] | [_, text] | [_, text, _] => text["text"].as_str().or(text.as_str()),
            _ => None,
        };
        self.text.push_str(text.unwrap_or_default());
    }

    fn stamps(&mut self, now: u64) {
        let before = self.text.len();
        let delays = &mut self.delays;
        take_stamps(&mut self.text, |stamp| delays.push(now.saturating_sub(stamp)));
        self.taken += before - self.text.len();
    }
}

#[cfg(test)]
mod tests {
    use super::Seen;

    #[test]
    fn stamps_are_seen_once_also_behind_a_snapshot() {
        let mut seen = Seen::default();
        let messages = [
            r#"{"j":"abcdef","s":3,"o":[["",{"text":""},0],["/text","000000000010 0000"]]}"#,
            r#"{"j":"abcdef","s":4,"o":[["00000020 "]]}"#,
            r#"{"type":"job.snapshot","value":{"text":"000000000010 000000000020 000000000030 "}}"#,
        ];
        for message in messages {
            assert!(!seen.take(message, 40).unwrap());
        }
        assert_eq!(seen.delays, [30, 20, 10]);
        assert_eq!((seen.patches, seen.conflated), (2, 1));
        assert!(seen.take(r#"{"type":"job.completed"}"#, 41).unwrap());
        assert!(seen.take(r#"{"type":"job.failed"}"#, 41).is_err());
    }
}
