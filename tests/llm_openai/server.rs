//! A server that says exactly what a test wants, and tells when its client is gone.

use std::sync::{Arc, Mutex};

use livedraft::job::{Message, Reasoning, Role, Script};
use livedraft::llm::{
    Carrier, Chunk, LlmError, Provider, Providers, ProvidersOptions, RemoteOptions, Request, Sampling,
    Secret, Stream,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

pub(crate) const KEY: &str = "sk-very-secret";

/// What the server does with one request: the pieces it writes, and whether it then waits for the client to close.
#[derive(Clone)]
pub(crate) struct Act {
    pub(crate) pieces: Vec<Vec<u8>>,
    pub(crate) hold: bool,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Seen {
    Connection,
    Request,
    Closed,
}

pub(crate) struct Server {
    pub(crate) base: String,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    pub(crate) seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    /// Plays the acts, one a request, the last one for ever.
    pub(crate) async fn start(acts: Vec<Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1/", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (tell, seen) = mpsc::unbounded_channel();
        let log = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = tell.send(Seen::Connection);
                tokio::spawn(serve(socket, acts.clone(), Arc::clone(&log), tell.clone()));
            }
        });
        Self { base, requests, seen }
    }

    pub(crate) async fn saw(&mut self, what: Seen) {
        while self.seen.recv().await.expect("the server lives") != what {}
    }

    pub(crate) fn request(&self, at: usize) -> (String, Value) {
        let text = self.requests.lock().unwrap()[at].clone();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), serde_json::from_str(body).unwrap())
    }
}

async fn serve(
    mut socket: TcpStream,
    acts: Vec<Act>,
    log: Arc<Mutex<Vec<String>>>,
    tell: mpsc::UnboundedSender<Seen>,
) {
    socket.set_nodelay(true).unwrap();
    while let Some(request) = read_request(&mut socket).await {
        let number = {
            let mut log = log.lock().unwrap();
            log.push(request);
            log.len() - 1
        };
        let _ = tell.send(Seen::Request);
        let act = acts[number.min(acts.len() - 1)].clone();
        for piece in &act.pieces {
            if socket.write_all(piece).await.is_err() {
                break;
            }
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
        }
        if !act.hold {
            return;
        }
    }
    let _ = tell.send(Seen::Closed);
}

async fn read_request(socket: &mut TcpStream) -> Option<String> {
    let mut bytes = Vec::new();
    loop {
        let mut part = [0; 4096];
        let count = socket.read(&mut part).await.ok().filter(|count| *count > 0)?;
        bytes.extend_from_slice(&part[..count]);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length")
                .then(|| value.trim().parse::<usize>())
        });
        if body.len() >= length.map_or(0, Result::unwrap) {
            return Some(text);
        }
    }
}

pub(crate) const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";

/// An event stream that ends by closing.
pub(crate) fn stream_of(body: &str) -> Act {
    Act {
        pieces: vec![STREAM_HEAD.into(), body.into()],
        hold: false,
    }
}

pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
    Act {
        pieces: vec![text.into()],
        hold: true,
    }
}

pub(crate) fn options(base: &str) -> RemoteOptions {
    RemoteOptions {
        key: Some(Secret::new(KEY)),
        ..RemoteOptions::new("test", base)
    }
}

pub(crate) fn provider(options: RemoteOptions) -> Arc<Provider> {
    let providers = Providers::new(ProvidersOptions {
        scripted: false,
        remote: vec![options],
        ..ProvidersOptions::default()
    });
    providers.unwrap().resolve("test/m").unwrap()
}

pub(crate) fn request() -> Request {
    Request {
        model: "test/m".to_owned(),
        messages: vec![Message::text(Role::User, "hello")],
        tools: None,
        tool_choice: None,
        response_format: None,
        sampling: Sampling::default(),
        reasoning: Reasoning::default(),
        script: Script::default(),
        schema: Arc::new(json!({})),
        attempt: 1,
        refusals: 0,
        retries: 0,
        carrier: Carrier::Text,
        fenced: false,
    }
}

pub(crate) async fn rest(stream: &mut Stream) -> Vec<Result<Chunk<'static>, LlmError>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk.map(Chunk::into_owned));
    }
    assert!(stream.next().await.is_none());
    chunks
}
