//! Following a job over sockets that break: against a peer that says what each test tells it to.
#![allow(clippy::unwrap_used, reason = "a broken conversation is a broken test")]

use futures_util::{SinkExt as _, StreamExt as _};
use livedraft::client::{Client, ClientError, Following, Patience, Update};
use livedraft::partial::Value;
use livedraft::wire::{Deliver, JobCreate, Limits, ServerMessage, Welcome};
use serde_json::{Value as Json, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, header};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const JOB: &str = "0193a4c6-7d1e-7000-8000-000000000001";
const EPOCH: &str = "00000000000000e1";

/// A server that is played by the test.
struct Peer {
    listener: TcpListener,
}

/// One socket of it.
struct Played(WebSocketStream<TcpStream>);

impl Peer {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener }
    }

    /// A client with short waits.
    fn client(&self) -> Client {
        let url = format!("ws://{}", self.listener.local_addr().unwrap());
        Client::new(url).patience(Patience {
            tries_max: 3,
            first: Duration::from_millis(1),
            longest: Duration::from_millis(2),
        })
    }

    /// Answers the next connection's upgrade by these bytes, and closes.
    async fn answers(&self, bytes: &str) {
        let (mut tcp, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
        tcp.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn accept(&self) -> Played {
        let (tcp, _) = self.listener.accept().await.unwrap();
        #[allow(clippy::result_large_err, reason = "the signature is the crate's")]
        let chosen = |request: &Request, mut response: Response| {
            assert_eq!(
                request.headers()[header::SEC_WEBSOCKET_PROTOCOL],
                "livedraft.v1.json"
            );
            assert_eq!(request.uri().path(), "/v1/ws");
            let chosen = HeaderValue::from_static("livedraft.v1.json");
            response
                .headers_mut()
                .insert(header::SEC_WEBSOCKET_PROTOCOL, chosen);
            Ok(response)
        };
        let mut played = Played(tokio_tungstenite::accept_hdr_async(tcp, chosen).await.unwrap());
        let welcome = ServerMessage::Welcome(Box::new(Welcome {
            connection_id: "c".to_owned(),
            version: "0".to_owned(),
            heartbeat_ms: 20_000,
            limits: Limits::default(),
            models: vec!["scripted".to_owned()],
        }));
        played
            .0
            .send(Message::text(welcome.encode().unwrap()))
            .await
            .unwrap();
        played
    }
}

impl Played {
    async fn hears(&mut self) -> Json {
        let frame = self.0.next().await.unwrap().unwrap();
        serde_json::from_str(frame.to_text().unwrap()).unwrap()
    }

    async fn says(&mut self, messages: &[Json]) {
        for message in messages {
            self.0.send(Message::text(message.to_string())).await.unwrap();
        }
    }

    async fn closes(mut self, code: u16) {
        let frame = CloseFrame {
            code: code.into(),
            reason: "told".into(),
        };
        self.0.close(Some(frame)).await.unwrap();
    }
}

fn create() -> JobCreate {
    let request = json!({"model": "scripted", "input": "x", "schema": {"type": "object"}});
    JobCreate {
        reference: None,
        idempotency_key: None,
        request: serde_json::from_value(request).unwrap(),
        deliver: Deliver::default(),
    }
}

fn accepted() -> Json {
    json!({"type": "job.accepted", "ref": "watch", "job_id": JOB, "tag": "abcdef", "epoch": EPOCH, "seq": 1, "ahead": 0})
}

fn attached(resumed: bool) -> Json {
    json!({"type": "job.attached", "ref": "watch", "job_id": JOB, "tag": "abcdef", "resumed": resumed})
}

fn patch(seq: u64, ops: &Json) -> Json {
    json!({"j": "abcdef", "s": seq, "o": ops})
}

fn end(seq: u64, kind: &str) -> Json {
    json!({"type": kind, "job_id": JOB, "epoch": EPOCH, "seq": seq, "attempt": 1,
        "usage": {"input_tokens": 1, "output_tokens": 1}, "attempts": [], "timings": {"total_ms": 1}})
}

fn refusal(code: &str) -> Json {
    json!({"type": "error", "ref": "watch", "code": code, "message": "told", "retry_after_ms": 1})
}

async fn begin(client: &Client) -> Result<Following, ClientError> {
    let connection = client.connect().await?;
    client.create(connection, create()).await
}

/// Everything that happens until the end, as words.
async fn to_the_end(mut following: Following) -> (Vec<&'static str>, Result<Following, ClientError>) {
    let mut told = Vec::new();
    loop {
        match following.next().await {
            Ok(Some(Update::Message(..))) => told.push("message"),
            Ok(Some(Update::Lost { .. })) => told.push("lost"),
            Ok(Some(Update::Reopened)) => told.push("reopened"),
            Ok(None) => return (told, Ok(following)),
            Err(error) => return (told, Err(error)),
        }
    }
}

fn value(following: &Following) -> String {
    following.follower().value().map(Value::to_json).unwrap()
}

#[tokio::test]
async fn a_lost_socket_is_resumed_by_position() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        let create = first.hears().await;
        assert_eq!(create["type"], "job.create");
        assert!(
            create["idempotency_key"]
                .as_str()
                .is_some_and(|key| key.len() == 32)
        );
        first.says(&[accepted(), patch(2, &json!([["", "Ad", 0]]))]).await;
        drop(first);
        let mut second = peer.accept().await;
        let attach = second.hears().await;
        assert_eq!(attach["type"], "job.attach");
        assert_eq!(attach["position"], json!({"epoch": EPOCH, "seq": 2}));
        second
            .says(&[attached(true), patch(3, &json!([["a"]])), end(4, "job.completed")])
            .await;
        second
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let ((told, following), _server) = tokio::join!(viewer, server);
    let following = following.unwrap();
    assert_eq!(
        told,
        [
            "message", "message", "lost", "reopened", "message", "message", "message"
        ]
    );
    assert_eq!(value(&following), "\"Ada\"");
    let tally = following.follower().tally();
    assert_eq!(
        (tally.resumed, tally.snapshots, tally.lost, tally.duplicated),
        (1, 0, 0, 0)
    );
}

#[tokio::test]
async fn a_socket_lost_before_the_answer_repeats_the_request_under_its_key() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        let told = first.hears().await;
        drop(first);
        let mut second = peer.accept().await;
        assert_eq!(second.hears().await, told);
        let mut existing = accepted();
        existing["existing"] = json!(true);
        let snapshot = json!({"type": "job.snapshot", "job_id": JOB, "epoch": EPOCH, "seq": 3, "status": "running",
            "attempt": 1, "attempts": [], "value": "Ada", "at": []});
        second.says(&[existing, snapshot, end(4, "job.completed")]).await;
        second
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let ((_, following), _server) = tokio::join!(viewer, server);
    assert_eq!(value(&following.unwrap()), "\"Ada\"");
}

#[tokio::test]
async fn a_misfit_is_healed_by_a_snapshot_on_the_same_socket() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut only = peer.accept().await;
        only.hears().await;
        only.says(&[accepted(), patch(2, &json!([["/nowhere", "x"]]))])
            .await;
        let attach = only.hears().await;
        assert_eq!(attach["type"], "job.attach");
        assert_eq!(attach.get("position"), None);
        let snapshot = json!({"type": "job.snapshot", "job_id": JOB, "epoch": EPOCH, "seq": 3, "status": "running",
            "attempt": 1, "attempts": [], "value": "Ada", "cursor": "", "at": [""]});
        only.says(&[
            attached(false),
            snapshot,
            patch(4, &json!([["!"]])),
            end(5, "job.completed"),
        ])
        .await;
        only
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let ((told, following), _server) = tokio::join!(viewer, server);
    let following = following.unwrap();
    assert!(!told.contains(&"lost"));
    assert_eq!(value(&following), "\"Ada!\"");
    assert_eq!(following.follower().tally().lost, 1);
}

#[tokio::test]
async fn a_cancel_is_told_again_on_a_new_socket() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        first.says(&[accepted()]).await;
        assert_eq!(first.hears().await["type"], "job.cancel");
        first.closes(1012).await;
        let mut second = peer.accept().await;
        assert_eq!(second.hears().await["type"], "job.attach");
        second.says(&[attached(true)]).await;
        assert_eq!(second.hears().await["type"], "job.cancel");
        second.says(&[end(2, "job.cancelled")]).await;
        second
    };
    let viewer = async {
        let mut following = begin(&client).await.unwrap();
        following.next().await.unwrap();
        following.cancel().await.unwrap();
        to_the_end(following).await
    };
    let ((_, following), _server) = tokio::join!(viewer, server);
    let end = following.unwrap().follower().end().unwrap().outcome;
    assert_eq!(end, livedraft::job::Outcome::Cancelled);
}

#[tokio::test]
async fn a_goodbye_names_the_wait() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        first
            .says(&[accepted(), json!({"type": "goodbye", "reconnect_after_ms": 7})])
            .await;
        first.closes(1012).await;
    };
    let viewer = async {
        let mut following = begin(&client).await.unwrap();
        loop {
            match following.next().await.unwrap().unwrap() {
                Update::Lost { cause, wait } => break (cause, wait),
                Update::Message(..) | Update::Reopened => {}
            }
        }
    };
    let ((cause, wait), ()) = tokio::join!(viewer, server);
    assert!(
        matches!(cause, ClientError::Closed { code: Some(1012), .. }),
        "{cause}"
    );
    assert_eq!(wait, Duration::from_millis(7));
}

#[tokio::test]
async fn a_server_that_cannot_answer_now_is_tried_again() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        first
            .says(&[accepted(), json!({"type": "goodbye", "reconnect_after_ms": 1})])
            .await;
        first.closes(1012).await;
        // It still goes down; then it is gone in mid-handshake; then another one is there.
        peer.answers(
            "HTTP/1.1 503 Service Unavailable\r\nretry-after: 0\r\ncontent-length: 36\r\n\r\n\
             {\"code\":\"draining\",\"message\":\"told\"}",
        )
        .await;
        peer.answers("").await;
        let mut second = peer.accept().await;
        assert_eq!(second.hears().await["type"], "job.attach");
        second.says(&[attached(true), end(2, "job.completed")]).await;
        second.hears().await;
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let (told, following) = tokio::select! {
        seen = viewer => seen,
        () = server => panic!("nothing more is said"),
    };
    following.unwrap();
    let lost = told.iter().filter(|told| **told == "lost").count();
    assert_eq!(lost, 3, "{told:?}");
}

#[tokio::test]
async fn an_endless_wait_that_a_server_asks_for_is_cut() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        let mut endless = refusal("queue_full");
        endless["retry_after_ms"] = json!(u64::MAX);
        first.says(&[endless]).await;
        first
    };
    let viewer = async { begin(&client).await.unwrap().next().await.unwrap() };
    let (update, _server) = tokio::join!(viewer, server);
    assert!(
        matches!(update, Some(Update::Lost { wait, .. }) if wait == Duration::from_secs(300)),
        "{update:?}"
    );
}

/// What is said of the job in answer to nothing ends it; a conflict that names it does not.
#[tokio::test]
async fn a_job_that_is_known_no_more_ends_it() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let of_job = |code: &str| json!({"type": "error", "job_id": JOB, "code": code, "message": "m"});
    let server = async {
        let mut socket = peer.accept().await;
        socket.hears().await;
        let conflict = of_job("verdict_conflict");
        let patch = patch(2, &json!([["", "a", 0]]));
        socket
            .says(&[accepted(), conflict, patch, of_job("not_found")])
            .await;
        socket
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let (_socket, (told, following)) = tokio::join!(server, viewer);
    assert_eq!(told, ["message"; 3], "what came before it");
    match following.unwrap_err() {
        ClientError::Answer(error) => assert_eq!(error.code, "not_found"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn refusals_end_it_unless_they_may_pass() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        first.says(&[refusal("queue_full")]).await;
        let mut second = peer.accept().await;
        second.hears().await;
        second.says(&[refusal("schema_invalid")]).await;
        second
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let ((told, following), _server) = tokio::join!(viewer, server);
    assert_eq!(told, ["lost", "reopened"]);
    match following.unwrap_err() {
        ClientError::Answer(error) => assert_eq!(error.code, "schema_invalid"),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_close_that_says_so_is_final() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let server = async {
        let mut first = peer.accept().await;
        first.hears().await;
        first.closes(1008).await;
    };
    let viewer = async { to_the_end(begin(&client).await.unwrap()).await };
    let ((told, following), ()) = tokio::join!(viewer, server);
    assert!(told.is_empty());
    assert!(matches!(
        following.unwrap_err(),
        ClientError::Closed { code: Some(1008), .. }
    ));
}

#[tokio::test]
async fn patience_is_bounded() {
    let peer = Peer::listen().await;
    let client = peer.client();
    let mut first = None;
    let mut following = {
        let server = async { first = Some(peer.accept().await) };
        let (following, ()) = tokio::join!(begin(&client), server);
        following.unwrap()
    };
    drop((first, peer));
    let mut lost = 0;
    let error = loop {
        match following.next().await {
            Ok(Some(Update::Lost { .. })) => lost += 1,
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(lost, 3);
    assert!(matches!(error, ClientError::GaveUp { tries: 3, .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_and_somebody_else_are_told_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = Client::new(format!("ws://{address}"));
    let other = async {
        let (tcp, _) = listener.accept().await.unwrap();
        tcp.writable().await.unwrap();
        tcp.try_write(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n")
            .unwrap();
        tcp
    };
    let (refused, _tcp) = tokio::join!(client.connect(), other);
    assert!(matches!(refused.unwrap_err(), ClientError::Refused { .. }));
    drop(listener);
    let unreachable = client.connect().await.unwrap_err();
    assert!(
        matches!(unreachable, ClientError::Unreachable { .. }),
        "{unreachable}"
    );
}
