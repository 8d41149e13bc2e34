//! Sub-path re-asks as sockets see them: those who watch from the beginning, come in the middle, or return to it.

use std::net::SocketAddr;

use serde_json::{Value as Json, json};

use crate::conversation_node::Node;
use crate::conversation_socket::Socket;

const BAD: [&str; 2] = ["/head/date", "/body/text"];

/// A job whose first answer is wrong at two places, of which one is long.
fn create() -> Json {
    let schema = json!({
        "type": "object", "required": ["head", "body", "tail"], "properties": {
            "head": { "type": "object", "required": ["date"], "properties": { "date": { "type": "string", "format": "date" } } },
            "body": { "type": "object", "required": ["text"], "properties": { "text": { "type": "string" } } },
            "tail": { "type": "array", "items": { "type": "string" } },
        },
    });
    let script =
        json!({ "invalid_attempts": 1, "invalid_at": BAD, "tokens_per_second": 400, "text_chars": 600 });
    json!({ "type": "job.create", "ref": "c", "request":
        { "model": "scripted", "input": "x", "schema": schema, "flush_ms": 0, "script": script } })
}

/// A socket and the one job it watches.
struct Viewer {
    socket: Socket,
    job: String,
}

impl Viewer {
    /// Submits the job and hears on into the middle of the splice.
    async fn in_the_middle(address: SocketAddr) -> Self {
        let mut socket = Socket::open(address).await.unwrap();
        socket.send_text(create().to_string()).await.unwrap();
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
    let mut late = Viewer {
        socket: Socket::open(node.address()).await.unwrap(),
        job: early.job.clone(),
    };
    late.send(json!({ "type": "job.attach", "ref": "l", "job_id": early.job }))
        .await;
    let snapshot = late.until("job.snapshot").await;
    assert_eq!((&snapshot["attempt"], late.stands()), (&json!(2), stands.clone()));

    // One who goes away and returns goes on from where it was.
    let position = json!({ "epoch": early.state()["epoch"], "seq": early.state()["seq"] });
    early
        .send(json!({ "type": "job.detach", "ref": "d", "job_id": early.job }))
        .await;
    early.until("job.detached").await;
    let state = early.state();
    let position = if state["seq"] == position["seq"] {
        position
    } else {
        json!({ "epoch": state["epoch"], "seq": state["seq"] })
    };
    let attach = json!({ "type": "job.attach", "ref": "a", "job_id": early.job, "position": position });
    early.send(attach).await;
    let attached = early.until("job.attached").await;
    assert_eq!(attached["resumed"], true, "{attached}");

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
