//! Sub-path re-asks and continuations as sockets see them: those who watch from the beginning, come in the middle, or
//! return to it.

use std::cmp::Ordering;
use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::conversation_node::Node;
use crate::conversation_socket::Socket;

const BAD: [&str; 2] = ["/head/date", "/body/text"];

/// A job whose first answer is wrong at two places, of which one is long.
fn wrong() -> Json {
    create(json!({ "invalid_attempts": 1, "invalid_at": BAD, "text_chars": 600 }))
}

/// A job whose first answer breaks off within a long text.
fn cut(prefill: &str) -> Json {
    create(json!({ "cut_at_percent": 40, "fault_attempts": 1, "prefill": prefill, "text_chars": 900 }))
}

fn create(mut script: Json) -> Json {
    let schema = json!({
        "type": "object", "required": ["head", "body", "tail"], "properties": {
            "head": { "type": "object", "required": ["date"], "properties": { "date": { "type": "string", "format": "date" } } },
            "body": { "type": "object", "required": ["text"], "properties": { "text": { "type": "string" } } },
            "tail": { "type": "array", "items": { "type": "string" } },
        },
    });
    script["tokens_per_second"] = json!(400);
    json!({ "type": "job.create", "ref": "c", "request":
        { "model": "scripted", "input": "x", "schema": schema, "mode": "json", "flush_ms": 0, "script": script } })
}

/// A socket and the one job it watches.
struct Viewer {
    socket: Socket,
    job: String,
}

impl Viewer {
    /// Submits a job and hears on to where its second attempt begins, which is given.
    async fn behind_the_first(address: SocketAddr, create: &Json) -> (Self, Json) {
        let mut socket = Socket::open(address).await.unwrap();
        socket.send_text(create.to_string()).await.unwrap();
        let mut viewer = Self {
            socket,
            job: String::new(),
        };
        let accepted = viewer.until("job.accepted").await;
        viewer.job = accepted["job_id"].as_str().unwrap().to_owned();
        let first = viewer.until("job.attempt").await;
        assert_eq!(first["reset"], true, "{first}");
        let second = viewer.until("job.attempt").await;
        assert_eq!(second["reset"], false, "{second}");
        (viewer, second)
    }

    /// Submits the job and hears on into the middle of the splice.
    async fn in_the_middle(address: SocketAddr) -> Self {
        let (viewer, second) = Self::behind_the_first(address, &wrong()).await;
        let mut at: Vec<&str> = second["at"]
            .as_array()
            .unwrap()
            .iter()
            .map(|at| at.as_str().unwrap())
            .collect();
        at.sort_unstable();
        assert_eq!(at, ["/body/text", "/head/date"]);
        viewer
    }

    /// The next message of a type; the patch frame has none.
    async fn until(&mut self, kind: &str) -> Json {
        loop {
            let message = self.socket.next().await.unwrap();
            let is_end = ["job.completed", "job.cancelled", "job.failed", "job.incomplete"];
            let told = message["type"].as_str().unwrap_or("patch").to_owned();
            if told == kind {
                return message;
            }
            assert!(!is_end.contains(&&*told), "{kind} was due: {message}");
        }
    }

    /// One who comes now.
    async fn late(address: SocketAddr, job: &str) -> (Self, Json) {
        let mut late = Self {
            socket: Socket::open(address).await.unwrap(),
            job: job.to_owned(),
        };
        late.send(json!({ "type": "job.attach", "ref": "l", "job_id": job }))
            .await;
        let snapshot = late.until("job.snapshot").await;
        (late, snapshot)
    }

    /// Goes away, and returns to where it was.
    async fn leave_and_return(&mut self) {
        let leave = json!({ "type": "job.detach", "ref": "d", "job_id": self.job });
        self.send(leave).await;
        self.until("job.detached").await;
        let state = self.state();
        let position = json!({ "epoch": state["epoch"], "seq": state["seq"] });
        let attach = json!({ "type": "job.attach", "ref": "a", "job_id": self.job, "position": position });
        self.send(attach).await;
        let attached = self.until("job.attached").await;
        assert_eq!(attached["resumed"], true, "{attached}");
    }

    /// Both hear on until they are at the same place, where they hold the same.
    async fn meets(&mut self, other: &mut Self) {
        loop {
            let (one, two) = (self.state(), other.state());
            let (seq, other_seq) = (one["seq"].as_u64(), two["seq"].as_u64());
            match seq.cmp(&other_seq) {
                Ordering::Less => self.socket.next().await.unwrap(),
                Ordering::Greater => other.socket.next().await.unwrap(),
                Ordering::Equal => {
                    for part in ["epoch", "attempt", "value", "at"] {
                        assert_eq!(one[part], two[part], "{part} at {seq:?}");
                    }
                    return;
                }
            };
        }
    }

    async fn send(&mut self, message: Json) {
        self.socket.send_text(message.to_string()).await.unwrap();
    }

    fn state(&self) -> Json {
        self.socket.state(&self.job)
    }

    /// What stands: the value without the places that are asked for again.
    fn stands(&self) -> Json {
        let mut value = self.state()["value"].clone();
        for place in BAD {
            *value.pointer_mut(place).unwrap() = Json::Null;
        }
        value
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_who_watch_see_only_the_bad_places_change() {
    let node = Node::start();
    let mut early = Viewer::in_the_middle(node.address()).await;
    let stands = early.stands();
    early.until("patch").await;
    assert_eq!(early.stands(), stands);

    // One who comes in the middle holds the same, by a snapshot.
    let (mut late, snapshot) = Viewer::late(node.address(), &early.job).await;
    assert_eq!((&snapshot["attempt"], late.stands()), (&json!(2), stands.clone()));

    // One who goes away and returns goes on from where it was.
    early.leave_and_return().await;

    // The sockets hold each end against what they have folded.
    let mut ends = Vec::new();
    for viewer in [&mut early, &mut late] {
        loop {
            let message = viewer.socket.next().await.unwrap();
            assert_eq!(viewer.stands(), stands, "{message}");
            if message["type"] == "job.completed" {
                ends.push((message["sha256"].clone(), viewer.state()["value"].clone()));
                break;
            }
        }
    }
    assert_eq!(ends[0], ends[1]);
    assert!(ends[0].1.pointer(BAD[1]).unwrap().is_string());
    node.stop().await;
}

/// Whoever watches while an answer is gone on with folds to the same draft: one who was there, one who comes then, and one
/// who returns.
#[tokio::test(flavor = "multi_thread")]
async fn all_who_watch_a_continuation_hold_the_same() {
    let node = Node::start();
    for prefill in ["none", "goes_on"] {
        let (mut early, second) = Viewer::behind_the_first(node.address(), &cut(prefill)).await;
        assert_eq!(second["reason"], "provider", "{second}");
        early.until("patch").await;
        let (mut late, snapshot) = Viewer::late(node.address(), &early.job).await;
        assert_eq!(snapshot["attempt"], 2, "{prefill}: {snapshot}");
        early.meets(&mut late).await;
        early.leave_and_return().await;
        early.until("patch").await;
        early.meets(&mut late).await;
        let stood = early.state();
        assert_eq!(
            (&stood["attempt"], &stood["status"]),
            (&json!(2), &json!("running"))
        );
        // Each socket holds the end against what it has folded.
        let end = early.until("job.completed").await;
        late.until("job.completed").await;
        early.meets(&mut late).await;
        assert_eq!(end["attempts"].as_array().unwrap().len(), 2, "{prefill}: {end}");
        let text = early.state()["value"]["body"]["text"].clone();
        assert!(text.as_str().unwrap().len() > 500, "{prefill}: {text}");
    }
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_in_the_middle_leaves_what_stands() {
    let node = Node::start();
    let mut viewer = Viewer::in_the_middle(node.address()).await;
    viewer.until("patch").await;
    let stands = viewer.stands();
    let cancel = json!({ "type": "job.cancel", "ref": "x", "job_id": viewer.job });
    viewer.send(cancel).await;
    let end = viewer.until("job.cancelled").await;
    assert_eq!(viewer.stands(), stands);
    assert!(end["best"]["head"].is_object(), "the last whole answer: {end}");
    node.stop().await;
}
