//! What may come over an open socket.

use std::sync::Arc;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::hub::HubOptions;
use livedraft::job::{JobId, Outcome};
use livedraft::server::ServerOptions;
use livedraft::wire::Limits;
use serde_json::{Value as Json, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::{Fault, bad_requests, broken_row, of_schema};
use crate::harness::{House, house, house_over, house_with, options};
use crate::server_guard::{FIN, LIMIT, MASKED, TEXT, frame, masked, upgraded};

const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const UNKNOWN: &str = "01990000-0000-7000-8000-000000000001";

/// What comes, as frames, and what is answered.
struct Row {
    what: String,
    bytes: Vec<u8>,
    /// What is told; whatever else comes before it is passed over.
    told: Option<Told>,
    /// The number the socket closes with; else it lives on.
    closes: Option<u16>,
}

enum Told {
    Error(Fault),
    /// Where the protocol answers with no error: a message of this type with these members.
    Message(&'static str, Json),
}

fn text(text: &str) -> Vec<u8> {
    masked(FIN | TEXT, text.as_bytes())
}

fn row(
    what: &str,
    message: &str,
    code: &'static str,
    path: Option<&'static str>,
    says: &[&'static str],
) -> Row {
    let says = says.to_vec();
    Row {
        what: what.to_owned(),
        bytes: text(message),
        told: Some(Told::Error(Fault { code, path, says })),
        closes: None,
    }
}

fn closing(what: &str, bytes: Vec<u8>, number: u16) -> Row {
    Row {
        what: what.to_owned(),
        bytes,
        told: None,
        closes: Some(number),
    }
}

fn told(what: &str, bytes: Vec<u8>, kind: &'static str, members: Json) -> Row {
    Row {
        what: what.to_owned(),
        bytes,
        told: Some(Told::Message(kind, members)),
        closes: None,
    }
}

/// The row, and then the socket closes.
fn and_closes(row: Row, number: u16) -> Row {
    Row {
        closes: Some(number),
        ..row
    }
}

/// The row, with frames before what it is about.
fn after(before: &[Vec<u8>], row: Row) -> Row {
    let mut bytes = before.concat();
    bytes.extend(row.bytes);
    Row { bytes, ..row }
}

fn sizes_and_texts() -> Vec<Row> {
    let gigabyte = vec![FIN | TEXT, MASKED | 127, 0, 0, 0, 0, 0x40, 0, 0, 0];
    let half = vec![b' '; LIMIT / 2 + 1];
    vec![
        closing("a frame that declares 1 GiB", gigabyte, 1009),
        closing(
            "a message over the limit",
            masked(FIN | TEXT, &vec![b' '; LIMIT + 1]),
            1009,
        ),
        closing(
            "fragments over the limit together",
            [masked(TEXT, &half), masked(FIN, &half)].concat(),
            1009,
        ),
        closing("text that is not UTF-8", masked(FIN | TEXT, &[0xC3, 0x28]), 1007),
        closing(
            "half a character at the end",
            masked(FIN | TEXT, &[b'"', 0xC3]),
            1007,
        ),
    ]
}

fn framing() -> Vec<Row> {
    let long_ping = vec![FIN | 0x9, MASKED | 126, 0, 200, 1, 2, 3, 4];
    let binary = || masked(FIN | BINARY, b"{}");
    let one_binary = Row {
        bytes: binary(),
        ..row(
            "a binary frame",
            "",
            "binary_not_supported",
            None,
            &["send JSON as text"],
        )
    };
    let three = Row {
        bytes: binary().repeat(3),
        ..row(
            "three of them",
            "",
            "binary_not_supported",
            None,
            &["text frames"],
        )
    };
    vec![
        closing(
            "a frame that is not masked",
            vec![FIN | TEXT, 2, b'{', b'}'],
            1002,
        ),
        closing("a reserved bit", masked(FIN | 0x40 | TEXT, b"{}"), 1002),
        closing("an unknown opcode", masked(FIN | 0x5, b""), 1002),
        closing("a long control frame", long_ping, 1002),
        closing("a control frame in fragments", masked(0x9, b""), 1002),
        closing("a continuation of nothing", masked(FIN, b"{}"), 1002),
        closing(
            "a message inside another",
            [masked(TEXT, b"{"), masked(FIN | TEXT, b"{}")].concat(),
            1002,
        ),
        closing(
            "a length that is written too long",
            vec![FIN | TEXT, MASKED | 126, 0, 5],
            1002,
        ),
        closing(
            "a close code that may not be sent",
            masked(FIN | CLOSE, &[0x03, 0xED]),
            1002,
        ),
        closing(
            "a close reason that is not UTF-8",
            masked(FIN | CLOSE, &[0x03, 0xE8, 0xC3, 0x28]),
            1007,
        ),
        closing(
            "more fragments than may be",
            [masked(TEXT, b""), masked(0, b"").repeat(4_096)].concat(),
            1008,
        ),
        one_binary,
        and_closes(three, 1003),
    ]
}

fn texts_that_are_no_json() -> Vec<Row> {
    vec![
        row("no JSON", "nonsense", "bad_json", None, &["line 1 column"]),
        row(
            "no JSON on a later line",
            "{\"type\":\n\n  oops}",
            "bad_json",
            None,
            &["line 3 column"],
        ),
        row("no text at all", "", "bad_json", None, &["line 1 column 0"]),
        row(
            "half a message",
            r#"{"type":"pi"#,
            "bad_json",
            None,
            &["line 1 column"],
        ),
        row(
            "two messages",
            r#"{"type":"ping"}{"type":"ping"}"#,
            "bad_json",
            None,
            &["trailing"],
        ),
        row(
            "JSON that is no object",
            "[]",
            "bad_json",
            None,
            &["one JSON object"],
        ),
        row(
            "a number beyond any double",
            r#"{"type":"ping","a":1e999}"#,
            "bad_json",
            None,
            &["out of range"],
        ),
        row(
            "half a surrogate pair",
            r#"{"type":"\ud800"}"#,
            "bad_json",
            None,
            &["line 1 column"],
        ),
        row(
            "a control character in a string",
            "{\"type\":\"\u{1}\"}",
            "bad_json",
            None,
            &["control character"],
        ),
    ]
}

fn names_and_depths() -> Vec<Row> {
    let deep = |depth: usize| {
        format!(
            r#"{{"type":"ping","a":{}{}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        )
    };
    let nonsense = text("nonsense");
    vec![
        row(
            "nesting over the limit",
            &deep(200),
            "too_deep",
            None,
            &["127 deep", "line 1 column"],
        ),
        row(
            "the first depth that is too much",
            &deep(127),
            "too_deep",
            None,
            &["127 deep"],
        ),
        row(
            "the last depth that is not",
            &deep(126),
            "bad_request",
            Some("/a"),
            &["unknown member"],
        ),
        row(
            "a name told twice",
            r#"{"type":"ping","type":"ping"}"#,
            "bad_json",
            None,
            &["\"type\" stands twice"],
        ),
        row(
            "a name told twice, deep within",
            r#"{"type":"job.create","request":{"schema":{"a":1,"a":1}}}"#,
            "bad_json",
            None,
            &["\"a\" stands twice"],
        ),
        and_closes(
            after(
                &[nonsense.repeat(9)],
                row(
                    "ten messages that cannot be taken",
                    "nonsense",
                    "bad_json",
                    None,
                    &[],
                ),
            ),
            1008,
        ),
    ]
}

fn envelopes() -> Vec<Row> {
    let bad = |what, message: &str, path, says: &[&'static str]| {
        row(what, message, "bad_request", Some(path), says)
    };
    let long = json!({"type": "job.get", "job_id": UNKNOWN, "ref": "r".repeat(129)}).to_string();
    let key =
        json!({"type": "job.create", "idempotency_key": "k".repeat(257), "request": of_schema(&json!({}))});
    vec![
        bad("no type", "{}", "/type", &["missing", "job.create"]),
        bad(
            "a type that is no word",
            r#"{"type":5}"#,
            "/type",
            &["must be a string"],
        ),
        bad(
            "a type that is not known",
            r#"{"type":"job.crate"}"#,
            "/type",
            &["did you mean \"job.create\"", "job.attach"],
        ),
        bad(
            "an unknown member",
            r#"{"type":"job.get","job_id":"x","colour":1}"#,
            "/colour",
            &["known are ref, job_id"],
        ),
        bad("a missing member", r#"{"type":"job.get"}"#, "", &["job_id"]),
        bad(
            "a ref that is no text",
            r#"{"type":"job.get","job_id":"x","ref":1}"#,
            "/ref",
            &["a string"],
        ),
        bad("a ref that is too long", &long, "/ref", &["128 bytes"]),
        bad(
            "a key that is too long",
            &key.to_string(),
            "/idempotency_key",
            &["256 bytes"],
        ),
        bad(
            "a form that is none",
            r#"{"type":"job.attach","job_id":"x","deliver":{"as":"snapshots"}}"#,
            "/deliver/as",
            &["did you mean \"snapshot\""],
        ),
        bad(
            "an interval below nothing",
            r#"{"type":"job.attach","job_id":"x","deliver":{"interval_ms":-1}}"#,
            "/deliver/interval_ms",
            &["-1"],
        ),
        bad(
            "an epoch that is none",
            r#"{"type":"job.attach","job_id":"x","position":{"epoch":"no","seq":1}}"#,
            "/position/epoch",
            &["sixteen hexadecimal"],
        ),
        bad(
            "a seq that is none",
            r#"{"type":"job.attach","job_id":"x","position":{"epoch":"00c0ffee00c0ffee","seq":-1}}"#,
            "/position/seq",
            &["-1"],
        ),
    ]
}

/// The rows of requests, as messages.
fn requests() -> Vec<Row> {
    let in_message = |path: &str| -> &'static str {
        // The table lives as long as the test.
        Box::leak(format!("/request{path}").into_boxed_str())
    };
    bad_requests()
        .map(|(what, request, fault)| {
            let message = json!({"type": "job.create", "ref": "r", "request": request}).to_string();
            row(
                what,
                &message,
                fault.code,
                fault.path.map(in_message),
                &fault.says,
            )
        })
        .collect()
}

fn jobs(ended: JobId) -> Vec<Row> {
    let message = |kind: &str, job: &str| json!({"type": kind, "ref": "r", "job_id": job}).to_string();
    let missing = |what: &str, kind: &str, job: &str| {
        row(
            what,
            &message(kind, job),
            "not_found",
            None,
            &["no such job", "retention"],
        )
    };
    let ended = ended.to_string();
    let at = |epoch: &str, seq: u64| {
        let position = json!({"epoch": epoch, "seq": seq});
        text(&json!({"type": "job.attach", "job_id": ended, "position": position}).to_string())
    };
    let create = |input: &str| {
        let request = json!({"model": "scripted", "input": input, "schema": {}});
        json!({"type": "job.create", "idempotency_key": "one", "request": request}).to_string()
    };
    let conflict = row(
        "a key used with another request",
        &create("b"),
        "idempotency_conflict",
        Some("/idempotency_key"),
        &["use a new key"],
    );
    vec![
        missing("a watch of an unknown job", "job.attach", UNKNOWN),
        missing("a watch of no id", "job.attach", "no id"),
        missing("the state of an unknown job", "job.get", UNKNOWN),
        missing("a cancel of an unknown job", "job.cancel", UNKNOWN),
        missing("a detach of what is not watched", "job.detach", &ended),
        // No error: what was asked for is so.
        told(
            "a cancel of an ended job",
            text(&message("job.cancel", &ended)),
            "job.cancelling",
            json!({"already": "completed"}),
        ),
        // No error: a position that leads nowhere is answered by a snapshot that replaces.
        told(
            "a position ahead of the log",
            at("00c0ffee00c0ffee", 1 << 40),
            "job.attached",
            json!({"resumed": false}),
        ),
        told(
            "a position of another line",
            at("0000000000000001", 1),
            "job.attached",
            json!({"resumed": false}),
        ),
        after(&[text(&create("a"))], conflict),
    ]
}

/// Rows for a server that has little of everything.
fn scarce() -> Vec<Row> {
    let create = json!({"type": "job.create", "ref": "r", "request": of_schema(&json!({}))}).to_string();
    let ping = text(r#"{"type":"ping"}"#);
    vec![
        after(
            &[ping.repeat(10)],
            row(
                "messages over the rate",
                r#"{"type":"ping"}"#,
                "rate_limited",
                None,
                &["5 messages a second", "wait"],
            ),
        ),
        and_closes(
            after(
                &[ping.repeat(30)],
                row("and on and on", r#"{"type":"ping"}"#, "rate_limited", None, &[]),
            ),
            1008,
        ),
        after(
            &[text(&create)],
            row(
                "a job where the queue is full",
                &create,
                "queue_full",
                None,
                &["come again"],
            ),
        ),
    ]
}

fn no_viewers() -> Vec<Row> {
    let message =
        |kind: &str, member: &str, value: Json| json!({"type": kind, "ref": "r", member: value}).to_string();
    vec![
        row(
            "a job where nobody may watch",
            &message("job.create", "request", of_schema(&json!({}))),
            "too_many_viewers",
            None,
            &["watches 0 jobs", "detach one"],
        ),
        row(
            "a watch where nobody may watch",
            &message("job.attach", "job_id", json!(UNKNOWN)),
            "too_many_viewers",
            None,
            &["detach one"],
        ),
        row(
            "a request where none may wait",
            &message("job.get", "job_id", json!(UNKNOWN)),
            "too_many_pending",
            None,
            &["await one"],
        ),
    ]
}

/// Reads on to the answer; then a ping shows that the socket lives on, or a close that it does not.
async fn hold(house: &House, row: &Row) {
    let what = row.what.as_str();
    let mut stream = upgraded(house).await;
    // It may close before it has read all.
    let _ = stream.write_all(&row.bytes).await;
    match &row.told {
        None => {}
        Some(Told::Error(fault)) => {
            let told = next_of(&mut stream, "error", what).await;
            fault.check(what, &told);
        }
        Some(Told::Message(kind, members)) => {
            let told = next_of(&mut stream, kind, what).await;
            for (name, value) in members.as_object().unwrap() {
                assert_eq!(&told[name], value, "{what}: {told}");
            }
        }
    }
    match row.closes {
        Some(number) => assert_eq!(closed(&mut stream).await, Some(number), "{what}"),
        None => {
            stream.write_all(&masked(FIN | 0x9, b"alive?")).await.unwrap();
            loop {
                let (opcode, payload) = frame(&mut stream)
                    .await
                    .unwrap_or_else(|| panic!("{what}: it is gone"));
                assert_ne!(opcode, CLOSE, "{what}");
                if opcode == 0xA && payload == b"alive?" {
                    break;
                }
            }
        }
    }
}

async fn next_of(stream: &mut TcpStream, kind: &str, what: &str) -> Json {
    loop {
        let (opcode, payload) = frame(stream)
            .await
            .unwrap_or_else(|| panic!("{what}: no {kind} came"));
        assert_ne!(opcode, CLOSE, "{what}: it closes before a {kind}");
        if opcode != TEXT {
            continue;
        }
        let told: Json = serde_json::from_slice(&payload).unwrap();
        if told["type"] == kind {
            return told;
        }
    }
}

async fn closed(stream: &mut TcpStream) -> Option<u16> {
    crate::server_guard::close_code(stream).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_message_is_answered_by_the_table() {
    let plain = house();
    let mut client = plain.client().await;
    let (ended, _) = client.create().await;
    let mut hands = plain.claim().await;
    hands.attempt(1).await;
    hands.finish(Outcome::Completed).await;
    client.expect("job.status").await;

    let with = |limits| ServerOptions { limits, ..options() };
    let slow = Limits {
        messages_per_second_max: 5,
        ..Limits::default()
    };
    let none = Limits {
        viewers_max: 0,
        pending_max: 0,
        ..Limits::default()
    };
    let short = EngineOptions {
        queued_max: 1,
        ..EngineOptions::default()
    };
    let scarce_house = house_over(Arc::new(Embedded::new(short)), with(slow), HubOptions::default());
    let closed_house = house_with(with(none), HubOptions::default());
    let groups = [
        ("sizes and texts", &plain, sizes_and_texts()),
        ("framing", &plain, framing()),
        ("JSON", &plain, texts_that_are_no_json()),
        ("names and depths", &plain, names_and_depths()),
        ("envelopes", &plain, envelopes()),
        ("requests and schemas", &plain, requests()),
        ("jobs and positions", &plain, jobs(ended)),
        ("rates and the queue", &scarce_house, scarce()),
        ("viewers and requests", &closed_house, no_viewers()),
    ];
    let (mut all, mut broken) = ([0, 0], 0);
    for (name, house, rows) in groups {
        let mut counts = [0, 0];
        for row in &rows {
            broken += broken_row(hold(house, row)).await;
            counts[usize::from(row.closes.is_some())] += 1;
        }
        println!(
            "{name}: {} rows, {} sockets live on, {} close",
            rows.len(),
            counts[0],
            counts[1]
        );
        all = [all[0] + counts[0], all[1] + counts[1]];
    }
    println!(
        "in all: {} rows, {} sockets live on, {} close",
        all[0] + all[1],
        all[0],
        all[1]
    );
    assert_eq!(broken, 0, "rows do not hold, see above");
}
