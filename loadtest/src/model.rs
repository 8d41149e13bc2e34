//! An OpenAI-compatible model server on the loopback: every token is one event, one chunk and one write.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Outcome;
use crate::answer::Answer;
use crate::clock;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// A running model server; it ends with the runtime.
#[derive(Debug)]
pub(crate) struct Model {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    answer: Answer,
    gate: watch::Sender<bool>,
    asked: watch::Sender<usize>,
    phase: AtomicU32,
}

impl Model {
    /// Listens on a free port. Answers begin when [`Self::open`] is called.
    pub(crate) async fn start(answer: Answer) -> Outcome<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            answer,
            gate: watch::Sender::new(false),
            asked: watch::Sender::new(0),
            phase: AtomicU32::new(0),
        });
        tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared })
    }

    /// What the server under measurement is given as base URL.
    pub(crate) fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Returns when `jobs` requests have come in all.
    pub(crate) async fn asked(&self, jobs: usize) -> Outcome<()> {
        let mut asked = self.shared.asked.subscribe();
        asked.wait_for(|count| *count >= jobs).await?;
        Ok(())
    }

    /// Lets the answers flow, those that wait and those to come.
    pub(crate) fn open(&self) {
        self.shared.gate.send_replace(true);
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // An error is the other side's leaving; the viewers tell what came of the job.
        tokio::spawn(async move {
            let _ = serve(stream, &shared).await;
        });
    }
}

async fn serve(stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    while read_request(&mut stream).await? {
        answer(stream.get_mut(), shared).await?;
    }
    Ok(())
}

/// Reads one request and forgets it; false at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<bool> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let header = line.trim_end().to_ascii_lowercase();
        if let Some(value) = header.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        if header.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(true)
}

async fn answer(stream: &mut TcpStream, shared: &Shared) -> std::io::Result<()> {
    stream.write_all(HEAD.as_bytes()).await?;
    // A comment: the first byte is there, the first token is not.
    event(stream, ": waiting").await?;
    shared.asked.send_modify(|count| *count += 1);
    // The sender lives in `shared`, so the gate cannot be gone.
    let _ = shared.gate.subscribe().wait_for(|open| *open).await;
    let mut ticks = shared
        .answer
        .every()
        .map(|every| clock::ticks(shared.phase(every), every));
    for index in 0.. {
        if let Some(ticks) = &mut ticks {
            ticks.tick().await;
        }
        let Some(token) = shared.answer.token(index, clock::micros()) else {
            break;
        };
        event(stream, &format!("data: {}", chunk(&token, None))).await?;
    }
    event(stream, &format!("data: {}", chunk("", Some("stop")))).await?;
    event(stream, "data: [DONE]").await?;
    stream.write_all(b"0\r\n\r\n").await
}

impl Shared {
    /// Where in the interval the next answer ticks: jobs that began together do not speak in chorus.
    fn phase(&self, every: Duration) -> Duration {
        let step = self.phase.fetch_add(1, Ordering::Relaxed);
        every * (step * 7 % 10) / 10
    }
}

/// One event in one chunk in one write.
async fn event(stream: &mut TcpStream, text: &str) -> std::io::Result<()> {
    let chunk = format!("{:x}\r\n{text}\n\n\r\n", text.len() + 2);
    stream.write_all(chunk.as_bytes()).await
}

fn chunk(token: &str, finish: Option<&str>) -> String {
    json!({
        "id": "load", "object": "chat.completion.chunk", "created": 0, "model": "load",
        "choices": [{ "index": 0, "delta": { "content": token }, "finish_reason": finish }],
    })
    .to_string()
}
