//! A fleet of real processes: one Redis, gateways and workers, and clients that find them through a balancer that knows no
//! sessions.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use livedraft::client::{Client, Follower, Following, Patience, Update};
use livedraft::job::{JobState, Outcome};
use livedraft::partial::Value;
use livedraft::wire::{Deliver, JobCreate, ServerMessage};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};

use crate::redis_server::RedisServer;
use crate::serving::Serving;

/// Short, so that a lost worker is noticed soon; the rest is as it is by default.
const TIMES: [&str; 5] = [
    "lease.lease_ms=3000",
    "lease.extend_ms=1000",
    "redis.response_ms=900",
    "worker.reap_tick_ms=200",
    "server.heartbeat_ms=1000",
];

/// One process of the fleet; it ends by force where it is left.
pub(crate) struct Node {
    process: Child,
    /// What it says that it does.
    said: String,
}

impl Node {
    fn start(role: &str, redis: &str, more: &[&str]) -> Self {
        let started = Self::try_start(role, &["--redis", redis], more);
        started.unwrap_or_else(|said| panic!("{role}: {said}"))
    }

    /// The error is what it said before it ended.
    fn try_start(role: &str, redis: &[&str], more: &[&str]) -> Result<Self, String> {
        let mut process = Command::new(env!("CARGO_BIN_EXE_livedraft"))
            .args([role, "--log", "off"])
            .args(redis)
            .args(more)
            .args(TIMES.iter().flat_map(|setting| ["--set", *setting]))
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut talk = BufReader::new(process.stderr.take().unwrap());
        let mut said = String::new();
        talk.read_line(&mut said).unwrap();
        if said.starts_with("livedraft listens") || said.starts_with("livedraft works") {
            // The rest is read too, or a full pipe would hold it up.
            std::thread::spawn(move || talk.lines().for_each(drop));
            return Ok(Self { process, said });
        }
        talk.read_to_string(&mut said).unwrap();
        process.wait().unwrap();
        Err(said)
    }

    /// A worker over what is behind a URL.
    pub(crate) fn worker(redis: &str, more: &[&str]) -> Self {
        Self::start("worker", redis, &[&["--slots", "8"], more].concat())
    }

    /// A gateway over what is behind a URL.
    pub(crate) fn api(redis: &str, more: &[&str]) -> Self {
        Self::start("api", redis, &[&["--bind", "127.0.0.1:0"], more].concat())
    }

    pub(crate) fn address(&self) -> SocketAddr {
        let (_, address) = self.said.split_once("http://").unwrap();
        address.split_whitespace().next().unwrap().parse().unwrap()
    }

    /// Ends it in the way that nobody can prepare for.
    pub(crate) fn kill(self) {}
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Takes each connection to the next gateway that accepts it.
struct Balancer(SocketAddr);

impl Balancer {
    async fn start(gateways: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let turn = Arc::new(AtomicUsize::new(0));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (gateways, turn) = (gateways.clone(), Arc::clone(&turn));
                tokio::spawn(async move {
                    for _ in 0..gateways.len() {
                        let next = turn.fetch_add(1, Ordering::Relaxed) % gateways.len();
                        if let Ok(mut gateway) = TcpStream::connect(gateways[next]).await {
                            let _ = tokio::io::copy_bidirectional(&mut client, &mut gateway).await;
                            return;
                        }
                    }
                });
            }
        });
        Self(address)
    }

    fn client(&self) -> Client {
        client_of(self.0)
    }
}

/// One that comes back soon, and often.
pub(crate) fn client_of(gateway: SocketAddr) -> Client {
    Client::new(format!("ws://{gateway}")).patience(Patience {
        tries_max: 20,
        first: Duration::from_millis(50),
        longest: Duration::from_secs(1),
    })
}

/// What a viewer has been told beside its draft.
#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) statuses: Vec<JobState>,
    /// Reopened sockets that went on behind what was held.
    resumed: usize,
    pub(crate) changes: usize,
    attempts: usize,
}

/// A viewer that follows a job to its end, and what can be seen of it meanwhile.
pub(crate) struct Viewer {
    heard: Arc<Mutex<Heard>>,
    news: tokio::sync::watch::Receiver<usize>,
    task: tokio::task::JoinHandle<Follower>,
}

impl Viewer {
    pub(crate) fn of(mut following: Following) -> Self {
        let heard = Arc::new(Mutex::new(Heard::default()));
        let (tell, news) = tokio::sync::watch::channel(0);
        let seen = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Some(update) = following.next().await.unwrap() {
                let mut heard = seen.lock().unwrap();
                if let Update::Message(received, _) = update {
                    match &received.message {
                        ServerMessage::Status(status) => heard.statuses.push(status.event.status),
                        ServerMessage::Attached(attached) => heard.resumed += usize::from(attached.resumed),
                        ServerMessage::Patch(_) => heard.changes += 1,
                        ServerMessage::Attempt(_) => heard.attempts += 1,
                        _ => {}
                    }
                }
                drop(heard);
                tell.send_modify(|turn| *turn += 1);
            }
            following.close().await
        });
        Self { heard, news, task }
    }

    /// Waits until what was heard is so.
    pub(crate) async fn until(&mut self, what: &str, holds: impl Fn(&Heard) -> bool) {
        loop {
            if holds(&self.heard.lock().unwrap()) {
                return;
            }
            assert!(self.news.changed().await.is_ok(), "the job ended before: {what}");
        }
    }

    fn changes(&self) -> usize {
        self.heard.lock().unwrap().changes
    }

    pub(crate) async fn end(self) -> (Follower, Heard) {
        let follower = self.task.await.unwrap();
        let heard = std::mem::take(&mut *self.heard.lock().unwrap());
        (follower, heard)
    }
}

fn create() -> JobCreate {
    let request = json!({"request": {"model": "scripted", "input": "x", "flush_ms": 10,
        "schema": {"type": "object", "properties": {"a": {"type": "string"}, "n": {"type": "integer"}}, "required": ["a", "n"]},
        "script": {"tokens_per_second": 40, "text_chars": 1_600}}});
    serde_json::from_value(request).unwrap()
}

/// A job's creator, and its id.
pub(crate) async fn submit(client: &Client) -> (Viewer, String) {
    let connection = client.connect().await.unwrap();
    let mut job = client.create(connection, create()).await.unwrap();
    while job.follower().job_id().is_none() {
        job.next().await.unwrap().unwrap();
    }
    let id = job.follower().job_id().unwrap().to_owned();
    (Viewer::of(job), id)
}

fn same_end(ends: &[(Follower, Heard)]) {
    let value = |follower: &Follower| follower.value().map(Value::to_json);
    for (follower, _) in ends {
        let end = follower.end().expect("an end");
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        assert_eq!(value(follower), value(&ends[0].0));
        assert_eq!(follower.position(), ends[0].0.position());
        assert_eq!(follower.tally().duplicated, 0);
    }
}

#[tokio::test]
async fn a_job_survives_its_worker_and_a_gateway() {
    let redis = RedisServer::start();
    let (first, second) = (Node::api(&redis.url(), &[]), Node::api(&redis.url(), &[]));
    let balancer = Balancer::start(vec![first.address(), second.address()]).await;
    let lost = Node::worker(&redis.url(), &[]);
    let client = balancer.client();
    let (mut creator, job) = submit(&client).await;
    // The balancer takes turns: these two are on both gateways.
    let mut viewers = Vec::new();
    for _ in 0..2 {
        viewers.push(Viewer::of(client.follow(&job, Deliver::default()).await.unwrap()));
    }
    creator.until("a draft", |heard| heard.changes > 3).await;
    let _other = Node::worker(&redis.url(), &[]);
    lost.kill();
    creator
        .until("recovering", |heard| {
            heard.statuses.contains(&JobState::Recovering)
        })
        .await;
    let before = creator.changes();
    creator
        .until("the draft moves again", |heard| heard.changes > before + 3)
        .await;
    first.kill();
    let before = creator.changes();
    creator
        .until("the draft moves on", |heard| heard.changes > before + 3)
        .await;
    viewers.push(creator);
    let mut ends = Vec::new();
    for viewer in viewers {
        ends.push(viewer.end().await);
    }
    same_end(&ends);
    let resumed: usize = ends.iter().map(|(_, heard)| heard.resumed).sum();
    assert!(
        resumed > 0,
        "nobody went on from where it was on the other gateway"
    );
    let attempts = ends.iter().map(|(_, heard)| heard.attempts).max();
    assert!(
        attempts >= Some(2),
        "the takeover is told as an attempt: {attempts:?}"
    );
}

#[tokio::test]
async fn nothing_is_lost_with_a_redis_that_comes_back() {
    let mut redis = RedisServer::start_with(&["--save", "", "--appendonly", "yes"]);
    let gateway = Node::api(&redis.url(), &[]);
    let _worker = Node::worker(&redis.url(), &[]);
    let balancer = Balancer::start(vec![gateway.address()]).await;
    let client = balancer.client();
    let (mut creator, job) = submit(&client).await;
    creator.until("a draft", |heard| heard.changes > 3).await;
    redis.kill();
    // While it is away nothing hangs: the answer says when to come again.
    let refused = refusal(gateway.address()).await;
    assert_eq!((refused.0, refused.1.as_str()), (503, "unavailable"));
    redis.start_again();
    let viewer = Viewer::of(client.follow(&job, Deliver::default()).await.unwrap());
    let ends = [creator.end().await, viewer.end().await];
    same_end(&ends);
}

/// A Redis that keeps nothing comes back without its jobs: who watches one is told so, and who works on it stops.
#[tokio::test]
async fn what_a_redis_has_lost_is_told_and_let_go() {
    let mut redis = RedisServer::start();
    let gateway = Node::api(&redis.url(), &[]);
    let at = ["--slots", "8", "--status-bind", "127.0.0.1:0"];
    let worker = Node::start("worker", &redis.url(), &at);
    let client = client_of(gateway.address());
    let connection = client.connect().await.unwrap();
    let mut following = client.create(connection, create()).await.unwrap();
    while !matches!(following.next().await.unwrap(), Some(Update::Message(told, _)) if matches!(told.message, ServerMessage::Patch(_)))
    {
    }
    redis.kill();
    redis.start_again();
    let told = loop {
        match following.next().await {
            Ok(happened) => assert!(happened.is_some(), "the job has ended"),
            Err(error) => break error.to_string(),
        }
    };
    assert!(told.contains("not_found"), "{told}");
    let url = format!("http://{}/metrics", worker.address());
    let refused = "livedraft_writes_answered_total{answer=\"lost\"} ";
    let counted = async || {
        let answer = Serving::http().get(&url).send().await.unwrap();
        answer.text().await.unwrap()
    };
    while !counted().await.contains(refused) {}
}

/// Submits over HTTP: the status, the code of the error, and whether it says when to come again.
async fn refusal(gateway: SocketAddr) -> (u16, String) {
    let request = json!({"model": "scripted", "input": "x", "schema": {"type": "string"}});
    let response = Serving::http()
        .post(format!("http://{gateway}/v1/jobs"))
        .json(&request)
        .send()
        .await
        .unwrap();
    let status = response.status().as_u16();
    let told: serde_json::Value = response.json().await.unwrap();
    assert!(
        told["retry_after_ms"].as_u64().is_some_and(|wait| wait > 0),
        "{told}"
    );
    (status, told["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn one_process_over_redis_does_all_of_it() {
    let redis = RedisServer::start();
    let node = Node::start("serve", &redis.url(), &["--bind", "127.0.0.1:0"]);
    let client = Client::new(format!("ws://{}", node.address()));
    let (viewer, _) = submit(&client).await;
    same_end(&[viewer.end().await]);
}

/// A draft that no message carries whole, and no message of the live wire: who comes late, on another gateway, gets parts.
#[tokio::test]
async fn a_large_draft_comes_in_parts() {
    let redis = RedisServer::start();
    let (first, second) = (Node::api(&redis.url(), &[]), Node::api(&redis.url(), &[]));
    let _worker = Node::worker(&redis.url(), &[]);
    let request = json!({"request": {"model": "scripted", "input": "x",
        "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        "script": {"tokens_per_second": 0, "text_chars": 700_000}}});
    let client = Client::new(format!("ws://{}", first.address()));
    let connection = client.connect().await.unwrap();
    let mut job = client
        .create(connection, serde_json::from_value(request).unwrap())
        .await
        .unwrap();
    while job.next().await.unwrap().is_some() {}
    let id = job.follower().job_id().unwrap().to_owned();
    let creator = job.close().await;

    let other = Client::new(format!("ws://{}", second.address()));
    let mut late = other.follow(&id, Deliver::default()).await.unwrap();
    let mut parts = Vec::new();
    while let Some(update) = late.next().await.unwrap() {
        if let Update::Message(received, _) = update
            && let ServerMessage::Snapshot(snapshot) = &received.message
        {
            parts.push((
                snapshot.part,
                snapshot.parts,
                snapshot.text.as_ref().map_or(0, String::len),
            ));
        }
    }
    let count = u32::try_from(parts.len()).unwrap();
    assert!(count > 4, "{parts:?}");
    for (place, (part, of, bytes)) in parts.iter().enumerate() {
        assert_eq!(
            (part.map(|part| part as usize), *of),
            (Some(place + 1), Some(count))
        );
        assert!(*bytes <= 128 * 1024, "{bytes} bytes in a part");
    }
    let late = late.close().await;
    assert!(creator.value().unwrap().to_json().len() > 700_000);
    assert_eq!(
        late.value().map(Value::to_json),
        creator.value().map(Value::to_json)
    );
    assert_eq!(late.end().unwrap().outcome, Outcome::Completed);
}

#[test]
fn what_keeps_a_node_from_starting_is_said_plainly() {
    let said = |role: &str, redis: &[&str], more: &[&str]| match Node::try_start(role, redis, more) {
        Ok(node) => panic!("it started: {}", node.said),
        Err(said) => said,
    };
    assert!(said("worker", &[], &[]).contains("roles of a fleet"));
    assert!(said("api", &[], &[]).contains("roles of a fleet"));

    let mut gone = RedisServer::start();
    gone.kill();
    let nobody = said("worker", &["--redis", &gone.url()], &[]);
    assert!(
        nobody.contains("no Redis answers at redis://127.0.0.1:"),
        "{nobody}"
    );

    let guarded = RedisServer::start_with(&["--save", "", "--requirepass", "s3cret"]);
    for url in [guarded.url(), guarded.url().replace("//", "//me:wr0ng@")] {
        let setting = format!("LIVEDRAFT_REDIS__URL={url}");
        let told = said_with(&setting);
        assert!(told.contains("does not take this user and password"), "{told}");
        assert!(!told.contains("wr0ng"), "{told}");
    }
    let shown = said(
        "worker",
        &["--redis", &guarded.url().replace("//", "//:s3cret@")],
        &[],
    );
    assert!(
        shown.contains("others can see a command's arguments") && !shown.contains("s3cret"),
        "{shown}"
    );

    let evicts = RedisServer::start_with(&["--save", "", "--maxmemory-policy", "allkeys-lru"]);
    let told = said("worker", &["--redis", &evicts.url()], &[]);
    assert!(told.contains("maxmemory-policy allkeys-lru"), "{told}");

    let plain = RedisServer::start();
    let told = said(
        "worker",
        &["--redis", &plain.url().replace("redis://", "rediss://")],
        &[],
    );
    assert!(told.contains("by TLS"), "{told}");

    let first = Node::worker(&plain.url(), &[]);
    let told = said("worker", &["--redis", &plain.url()], &["--set", "redis.shards=4"]);
    assert!(
        told.contains("layout 3 with 1 shards") && told.contains("with 4 shards"),
        "{told}"
    );
    drop(first);
}

/// A worker serves no clients; where it is told to, it says how it is, and only to whom it may.
#[tokio::test]
async fn a_worker_tells_how_it_is() {
    let redis = RedisServer::start();
    let worker = Node::start("worker", &redis.url(), &["--status-bind", "127.0.0.1:0"]);
    let address = worker.address();
    let get = async |path: &str| {
        let url = format!("http://{address}{path}");
        let answer = Serving::http().get(url).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/livez").await.0, 200);
    assert_eq!(
        get("/readyz").await,
        (200, r#"{"ready":true,"reasons":[]}"#.to_owned())
    );
    assert_eq!(get("/v1/jobs").await.0, 404);
    let api = Node::api(&redis.url(), &[]);
    let (viewer, _) = submit(&client_of(api.address())).await;
    viewer.end().await;
    let (status, told) = get("/metrics").await;
    assert_eq!(status, 200);
    assert!(
        told.lines().any(|line| line == "livedraft_claims_total 1"),
        "{told}"
    );

    let open = Node::try_start(
        "worker",
        &["--redis", &redis.url()],
        &["--status-bind", "0.0.0.0:0"],
    );
    let told = open.err().expect("others could reach it");
    assert!(told.contains("no keys are configured"), "{told}");
}

/// What a worker says with one setting of the environment.
fn said_with(setting: &str) -> String {
    let (name, value) = setting.split_once('=').unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_livedraft"))
        .args(["worker", "--log", "off"])
        .env_clear()
        .env(name, value)
        .output()
        .unwrap();
    assert!(!output.status.success());
    String::from_utf8(output.stderr).unwrap()
}
