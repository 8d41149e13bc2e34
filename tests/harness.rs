//! A whole server in this process, and hands to do a worker's work: claim, append, finish.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use livedraft::access::Token;
use livedraft::archive::{Archive, ArchiveOptions};
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{
    Append, Appended, Backend, BackendError, Deferral, EventLog, Fenced, JobQueue, Submission, Write,
};
use livedraft::clock;
use livedraft::event::{
    AttemptBegins, End, EndError, Epoch, Event, Note, NoteKind, Position, StatusChange, Timings,
};
use livedraft::hub::{Hub, HubOptions};
use livedraft::job::{
    AttemptRecord, AttemptUsage, JobId, JobState, LeaseToken, Money, Outcome, Reason, Usage,
};
use livedraft::schema::{Schema, SchemaLimits};
use livedraft::server::{Parts, Running, ServerOptions, start};
use livedraft::store::{Store, StoreOptions};
use livedraft::submit::{Admission, AdmissionOptions, Offered};
use serde_json::{Value as Json, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// An engine, a hub, a door and a server over them.
pub(crate) struct House {
    pub(crate) engine: Arc<Embedded>,
    pub(crate) parts: Parts,
    pub(crate) running: Running,
}

/// A socket's client.
pub(crate) struct Client {
    pub(crate) socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// One who holds a job's lease.
pub(crate) struct Hands {
    engine: Arc<Embedded>,
    pub(crate) job: JobId,
    token: LeaseToken,
    pub(crate) position: Position,
}

/// A patch frame of these ops, comma-separated.
pub(crate) fn frame(job: JobId, seq: u64, ops: &str) -> String {
    format!(r#"{{"j":"{}","s":{seq},"o":[{ops}]}}"#, job.tag())
}

/// Where jobs stand, without why.
pub(crate) fn statuses(told: Result<Vec<Option<StatusChange>>, BackendError>) -> Vec<Option<JobState>> {
    let told = told.expect("an engine that answers");
    told.into_iter()
        .map(|change| change.map(|change| change.status))
        .collect()
}

pub(crate) fn options() -> ServerOptions {
    ServerOptions {
        bind: SocketAddr::from(([127, 0, 0, 1], 0)),
        ..ServerOptions::default()
    }
}

pub(crate) fn house() -> House {
    house_with(options(), HubOptions::default())
}

pub(crate) fn house_with(options: ServerOptions, hub: HubOptions) -> House {
    house_over(Arc::new(Embedded::new(EngineOptions::default())), options, hub)
}

/// A house whose engine keeps few jobs that have ended; what it lets go of is in the archive, which is given too.
pub(crate) async fn archived_house(options: ServerOptions, retained_max: usize) -> (House, Archive) {
    let store = Arc::new(Store::open(&StoreOptions::ephemeral()).await.unwrap());
    let engine = EngineOptions {
        retained_max,
        ..EngineOptions::default()
    };
    let engine = Arc::new(Embedded::open(engine, Arc::clone(&store)).await.unwrap());
    let archive = Archive::new(store, ArchiveOptions::default());
    let house = house_of(engine, Some(archive.clone()), options, HubOptions::default());
    (house, archive)
}

pub(crate) fn house_over(engine: Arc<Embedded>, options: ServerOptions, hub: HubOptions) -> House {
    house_of(engine, None, options, hub)
}

pub(crate) fn house_of(
    engine: Arc<Embedded>,
    archive: Option<Archive>,
    options: ServerOptions,
    hub: HubOptions,
) -> House {
    let backend: Arc<dyn Backend> = engine.clone();
    let offered = Arc::new(|model: &str| match model {
        "scripted" => Ok(Offered::default()),
        _ => Err(Some("scripted".to_owned())),
    });
    let admission = Admission::new(
        Arc::clone(&backend),
        Arc::default(),
        AdmissionOptions::default(),
        offered,
    );
    let parts = Parts {
        hub: Hub::new(Arc::clone(&backend), hub),
        admission: Arc::new(admission),
        backend,
        archive,
        models: vec!["scripted".to_owned()],
        runtime: tokio::runtime::Handle::current(),
    };
    let running = start(options, parts.clone()).expect("a free port");
    running.ready();
    House {
        engine,
        parts,
        running,
    }
}

impl House {
    /// Keeps a job under an id of the test's choice, for any tenant.
    pub(crate) async fn keep(&self, id: JobId, tenant: &str) {
        let schema = Schema::compile(&request()["schema"], &SchemaLimits::default()).unwrap();
        let submission = Submission {
            id,
            epoch: Epoch::new(clock::nonce()),
            tenant: tenant.into(),
            spec: Arc::new(serde_json::from_value(request()).unwrap()),
            shape: Arc::new(schema.shape()),
            idempotency: None,
        };
        self.engine.submit(submission).await.unwrap();
    }

    pub(crate) fn request(&self) -> Request {
        format!("ws://{}/v1/ws", self.running.addr())
            .into_client_request()
            .unwrap()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.addr())
    }

    /// A socket that shows a key on its upgrade and whose welcome was read.
    pub(crate) async fn client_with(&self, key: &Token) -> Client {
        let mut request = self.request();
        let shown = format!("Bearer {}", key.reveal()).parse().unwrap();
        request.headers_mut().insert("authorization", shown);
        let (socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let mut client = Client { socket };
        client.expect("welcome").await;
        client
    }

    /// A socket whose welcome was read.
    pub(crate) async fn client(&self) -> Client {
        let mut client = self.fresh().await;
        assert_eq!(client.json().await["type"], "welcome");
        client
    }

    pub(crate) async fn fresh(&self) -> Client {
        let (socket, _) = tokio_tungstenite::connect_async(self.request()).await.unwrap();
        Client { socket }
    }

    /// Has the engine let go of what is past its retention.
    pub(crate) async fn forget(&self) {
        let mut epoch = || Epoch::new(clock::nonce());
        self.engine.promote(10, &mut epoch).await.unwrap();
    }

    /// Claims the next job, which is there.
    pub(crate) async fn claim(&self) -> Hands {
        let claim = self
            .engine
            .claim(clock::nonce(), Epoch::new(clock::nonce()))
            .await
            .unwrap()
            .expect("a job in line");
        Hands {
            engine: Arc::clone(&self.engine),
            job: claim.id,
            token: claim.token(),
            position: claim.position,
        }
    }
}

pub(crate) fn request() -> Json {
    json!({
        "model": "scripted",
        "input": "What is it?",
        "schema": {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}},
    })
}

pub(crate) fn create(reference: &str) -> Json {
    json!({"type": "job.create", "ref": reference, "request": request()})
}

impl Client {
    pub(crate) async fn send(&mut self, message: Json) {
        self.text(message.to_string()).await;
    }

    pub(crate) async fn text(&mut self, text: String) {
        self.socket.send(Message::text(text)).await.unwrap();
    }

    /// The next frame; the socket is open.
    pub(crate) async fn frame(&mut self) -> Message {
        self.socket.next().await.expect("a frame").expect("no error")
    }

    /// The next text frame, as it is.
    pub(crate) async fn told(&mut self) -> String {
        loop {
            match self.frame().await {
                Message::Text(text) => return text.to_string(),
                Message::Ping(_) => {}
                other => panic!("not a text: {other:?}"),
            }
        }
    }

    pub(crate) async fn json(&mut self) -> Json {
        serde_json::from_str(&self.told().await).unwrap()
    }

    /// The next message, which is of this type.
    pub(crate) async fn expect(&mut self, kind: &str) -> Json {
        let message = self.json().await;
        assert_eq!(message["type"], kind, "{message}");
        message
    }

    /// Reads on to the end of the socket; the code of its close frame, and what was told before.
    pub(crate) async fn closed(&mut self) -> (Option<u16>, Vec<Json>) {
        let mut told = Vec::new();
        let mut code = None;
        while let Some(frame) = self.socket.next().await {
            match frame {
                Ok(Message::Text(text)) => told.push(serde_json::from_str(&text).unwrap()),
                Ok(Message::Close(close)) => code = close.map(|close| close.code.into()),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        (code, told)
    }

    /// Creates a job and reads its acceptance and its first status.
    pub(crate) async fn create(&mut self) -> (JobId, Json) {
        self.send(create("c")).await;
        let accepted = self.expect("job.accepted").await;
        (accepted["job_id"].as_str().unwrap().parse().unwrap(), accepted)
    }
}

impl Hands {
    fn next(&self) -> Position {
        Position {
            seq: self.position.seq + 1,
            ..self.position
        }
    }

    pub(crate) async fn append(&mut self, event: Event) {
        let write = Write {
            position: self.next(),
            opens: false,
            event,
        };
        self.position = write.position;
        let append = Append {
            write,
            raw: String::new(),
            raw_anew: false,
            record: None,
            snapshot: None,
        };
        let answer = self.engine.append(self.job, self.token, &append).await.unwrap();
        assert_eq!(answer, Appended::Ok);
    }

    /// Appends a patch of these ops, comma-separated; gives the frame.
    pub(crate) async fn patch(&mut self, ops: &str) -> String {
        let frame = frame(self.job, self.next().seq, ops);
        self.append(Event::Patch(frame.as_str().into())).await;
        frame
    }

    pub(crate) async fn attempt(&mut self, attempt: u32) {
        self.append(Event::Attempt(AttemptBegins {
            attempt,
            reason: if attempt == 1 {
                Reason::First
            } else {
                Reason::Invalid
            },
            reset: true,
            at: Vec::new(),
            errors: Vec::new(),
        }))
        .await;
    }

    pub(crate) async fn note(&mut self, text: &str) {
        self.append(Event::Note(Note {
            kind: NoteKind::Text,
            text: text.to_owned(),
            errors: Vec::new(),
        }))
        .await;
    }

    /// Puts the job back until a time.
    pub(crate) async fn defer(&mut self, until_ms: u64) {
        let status = StatusChange {
            status: JobState::Waiting,
            reason: Some("rate_limited".to_owned()),
            until_ms: Some(until_ms),
        };
        let deferral = Deferral {
            write: Write {
                position: self.next(),
                opens: false,
                event: Event::Status(status),
            },
            record: AttemptRecord::default(),
            until_ms,
        };
        let answer = self.engine.defer(self.job, self.token, deferral).await.unwrap();
        assert_eq!(answer, Fenced::Ok);
    }

    pub(crate) async fn finish(&mut self, outcome: Outcome) {
        self.finish_at_cost(outcome, &[]).await;
    }

    /// Ends the job; its attempts have put out so many tokens each, three millionths the token.
    pub(crate) async fn finish_at_cost(&mut self, outcome: Outcome, tokens: &[u64]) {
        let cost = |(n, tokens): (u32, &u64)| AttemptUsage {
            n,
            model: Some("fake/m".to_owned()),
            usage: Usage {
                output_tokens: *tokens,
                cost: Some(Money::micros(3 * tokens)),
                ..Usage::default()
            },
            repairs: 0,
        };
        let attempts: Vec<AttemptUsage> = (1..).zip(tokens).map(cost).collect();
        let error = (outcome != Outcome::Completed).then(|| EndError::new("internal", "by hand"));
        let end = End {
            outcome,
            error,
            sha256: None,
            best: None,
            usage: attempts
                .iter()
                .fold(Usage::default(), |sum, attempt| sum.plus(attempt.usage)),
            attempts,
            timings: Timings::default(),
            durable: true,
        };
        let write = Write {
            position: self.next(),
            opens: false,
            event: Event::End(Box::new(end)),
        };
        self.position = write.position;
        let answer = self.engine.finish(self.job, self.token, write).await.unwrap();
        assert_eq!(answer, Fenced::Ok);
    }
}
