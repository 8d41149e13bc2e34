//! An OpenAI-compatible model server on the loopback. Paced, every token is one event, one chunk and one write; in
//! bursts many share a write. The model's name says what goes wrong.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::Outcome;
use crate::answer::Answer;
use crate::clock;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// What a token is put between, in an event of its own.
const EVENT: (&str, &str) = (
    r#"data: {"id":"load","object":"chat.completion.chunk","created":0,"model":"load","choices":[{"index":0,"delta":{"content":"#,
    r#"},"finish_reason":null}]}"#,
);
const STOP: &str = r#"data: {"id":"load","object":"chat.completion.chunk","created":0,"model":"load","choices":[{"index":0,"delta":{"content":""},"finish_reason":"stop"}]}"#;

/// Where an answer with a fault goes wrong: behind so many tokens.
const FAULT_AFTER: usize = 10;

/// What goes wrong with an answer, by the name of the model that is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// `load`: nothing.
    None,
    /// `load-cut`: the connection closes in the middle.
    Cut,
    /// `load-hang`: nothing follows any more.
    Hang,
    /// `load-length`: the limit of tokens is met.
    Length,
    /// `load-broken`: a line that is no JSON.
    Broken,
    /// `load-error`: an error in the stream.
    Error,
    /// `load-429`, `load-500`: refused before the stream, with that status.
    Refused(u16),
}

impl Fault {
    fn of(model: &str) -> Self {
        match model.rsplit_once('-').map(|(_, fault)| fault) {
            Some("cut") => Self::Cut,
            Some("hang") => Self::Hang,
            Some("length") => Self::Length,
            Some("broken") => Self::Broken,
            Some("error") => Self::Error,
            Some("429") => Self::Refused(429),
            Some("500") => Self::Refused(500),
            _ => Self::None,
        }
    }
}

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
    while let Some(body) = read_request(&mut stream).await? {
        let request: Value = serde_json::from_slice(&body).unwrap_or_default();
        let fault = Fault::of(request["model"].as_str().unwrap_or_default());
        if !answer(stream.get_mut(), shared, fault).await? {
            break;
        }
    }
    Ok(())
}

/// The body of one request; nothing at the end of the connection.
async fn read_request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Vec<u8>>> {
    let (mut line, mut length) = (String::new(), 0);
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(None);
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
    Ok(Some(body))
}

/// Answers once; false where the connection does not go on behind it.
async fn answer(stream: &mut TcpStream, shared: &Shared, fault: Fault) -> std::io::Result<bool> {
    if let Fault::Refused(status) = fault {
        let head = format!("HTTP/1.1 {status} No\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).await?;
        return Ok(true);
    }
    // A comment: the first byte is there, the first token is not.
    stream
        .write_all(format!("{HEAD}{}", chunk(": waiting")).as_bytes())
        .await?;
    shared.asked.send_modify(|count| *count += 1);
    // The sender lives in `shared`, so the gate cannot be gone.
    let _ = shared.gate.subscribe().wait_for(|open| *open).await;
    let whole = fault == Fault::None;
    tokens(stream, shared, if whole { usize::MAX } else { FAULT_AFTER }).await?;
    let last = match fault {
        Fault::Cut => return Ok(false),
        Fault::Hang => {
            let mut rest = [0; 64];
            while stream.read(&mut rest).await? > 0 {}
            return Ok(false);
        }
        Fault::Length => STOP.replace("stop", "length"),
        Fault::Broken => "data: {\"choices\":[{".to_owned(),
        Fault::Error => r#"data: {"error":{"message":"the engine failed","type":"server_error"}}"#.to_owned(),
        Fault::None | Fault::Refused(_) => STOP.to_owned(),
    };
    let end = format!("{}{}0\r\n\r\n", chunk(&last), chunk("data: [DONE]"));
    stream.write_all(end.as_bytes()).await?;
    Ok(true)
}

/// Writes the answer's tokens, at most so many, each at its time.
async fn tokens(stream: &mut TcpStream, shared: &Shared, most: usize) -> std::io::Result<()> {
    let every = shared.answer.every();
    let mut ticks = every.map(|every| clock::ticks(shared.phase(every), every));
    let (mut stall, mut text) = (Stall::default(), String::new());
    let mut index = 0;
    while index < most {
        let mut stamp = clock::micros();
        if let (Some(ticks), Some(every)) = (&mut ticks, every) {
            let due = clock::micros_at(ticks.tick().await);
            stamp = stall.stamp(due, clock::micros(), every);
        }
        text.clear();
        let until = most.min(index + shared.answer.burst());
        let burst = (index..until).map_while(|index| shared.answer.token(index, stamp));
        let mut count = 0;
        for token in burst {
            text += &chunk(&format!("{}{}{}", EVENT.0, Value::from(token), EVENT.1));
            count += 1;
        }
        if count == 0 {
            break;
        }
        let begun = clock::micros();
        stream.write_all(text.as_bytes()).await?;
        stall.written(clock::micros() - begun);
        index += count;
    }
    Ok(())
}

/// How long writes were held up by the other side, since the stream was last on time.
///
/// A token that comes late because the one before it could not be written would else be stamped with its own late
/// writing, and the wait be left out of every figure (coordinated omission). One that is late because this process had
/// no time is not: that is no delay of the server's.
#[derive(Debug, Default)]
struct Stall(u64);

impl Stall {
    /// What the token says that was due at `due` and is written at `now`, both microseconds.
    fn stamp(&mut self, due: u64, now: u64, every: Duration) -> u64 {
        let late = now.saturating_sub(due);
        if u128::from(late) < every.as_micros() {
            self.0 = 0;
        }
        now - late.min(self.0)
    }

    fn written(&mut self, took: u64) {
        self.0 += took;
    }
}

impl Shared {
    /// Where in the interval the next answer ticks: jobs that began together do not speak in chorus.
    fn phase(&self, every: Duration) -> Duration {
        let step = self.phase.fetch_add(1, Ordering::Relaxed);
        every * (step * 7 % 10) / 10
    }
}

/// One event in one chunk.
fn chunk(event: &str) -> String {
    format!("{:x}\r\n{event}\n\n\r\n", event.len() + 2)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::Value;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::{EVENT, Fault, Model, STOP, Stall};
    use crate::answer::Answer;

    #[test]
    fn a_token_that_the_reader_held_up_says_when_it_was_due() {
        let every = Duration::from_millis(10);
        let mut stall = Stall::default();
        // On time, and late by our own timer: as it is written.
        assert_eq!(stall.stamp(10_000, 10_400, every), 10_400);
        assert_eq!(stall.stamp(20_000, 45_000, every), 45_000);
        // The write before took 35 ms: the token was due 30 ms ago.
        stall.written(35_000);
        assert_eq!(stall.stamp(30_000, 80_000, every), 45_000);
        assert_eq!(stall.stamp(40_000, 60_000, every), 40_000);
    }

    #[test]
    fn events_are_json() {
        for event in [format!("{}\"a\"{}", EVENT.0, EVENT.1), STOP.to_owned()] {
            let json = event.strip_prefix("data: ").unwrap();
            serde_json::from_str::<Value>(json).unwrap();
        }
    }

    #[test]
    fn the_name_says_what_goes_wrong() {
        let names = ["load", "load-cut", "load-429", "load-length"];
        let faults = [Fault::None, Fault::Cut, Fault::Refused(429), Fault::Length];
        assert_eq!(names.map(Fault::of), faults);
    }

    /// What the server says to one question.
    async fn said(name: &str) -> String {
        let text = r#"{"sections":["one","two","three","four"]}"#.to_owned();
        let model = Model::start(Answer::Document {
            text,
            every: None,
            burst: 3,
        });
        let model = model.await.unwrap();
        model.open();
        let mut stream = TcpStream::connect(model.address).await.unwrap();
        let body = format!("{{\"model\":\"{name}\"}}");
        let request = format!("POST / HTTP/1.1\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn answers_are_whole_unless_the_name_says_otherwise() {
        let whole = said("load").await;
        assert!(whole.contains("[DONE]") && whole.contains("\"stop\""), "{whole}");
        assert_eq!(whole.matches("\"content\":\"").count(), 12, "{whole}");
        let cut = said("load-cut").await;
        assert!(!cut.contains("[DONE]") && cut.contains("\"content\":"), "{cut}");
        assert!(said("load-429").await.starts_with("HTTP/1.1 429 "));
        assert!(said("load-length").await.contains("\"length\""));
        assert!(said("load-error").await.contains("server_error"));
    }
}
