//! What may come over HTTP, upgrades included; byte by byte, so that nothing is mended on the way.

use livedraft::hub::HubOptions;
use livedraft::server::ServerOptions;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Fault, bad_requests, broken_row, changed};
use crate::harness::{House, house, house_with, options};

const UNKNOWN: &str = "/v1/jobs/01990000-0000-7000-8000-000000000001";
const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

struct Row {
    what: &'static str,
    request: String,
    status: u16,
    /// What the body says; `None` where actix answers before us, without one.
    fault: Option<Fault>,
}

fn row(what: &'static str, request: String, status: u16, fault: Fault) -> Row {
    Row {
        what,
        request,
        status,
        fault: Some(fault),
    }
}

fn fault(code: &'static str, says: &[&'static str]) -> Fault {
    Fault {
        code,
        path: None,
        says: says.to_vec(),
    }
}

/// A query that cannot be taken, and where.
fn fault_at(path: &'static str, says: &'static str) -> Fault {
    Fault {
        path: Some(path),
        ..fault("bad_request", &[says])
    }
}

fn post(headers: &str, body: &str) -> String {
    let length = body.len();
    format!("POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n")
}

fn bodies() -> Vec<Row> {
    let good = changed(&json!({}));
    let with_key = changed(&json!({"idempotency_key": "a"})).to_string();
    let twice = r#"{"model":"scripted","model":"scripted"}"#;
    let deep = format!(r#"{{"schema":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    let key = |says: &[&'static str]| super::fault("bad_request", "/idempotency_key", says);
    let long = format!("Idempotency-Key: {}\r\n", "k".repeat(257));
    vec![
        row(
            "no JSON",
            post("", "nonsense"),
            400,
            fault("bad_json", &["line 1 column"]),
        ),
        row(
            "no body",
            post("", ""),
            400,
            fault("bad_json", &["line 1 column 0"]),
        ),
        row(
            "a list",
            post("", "[]"),
            400,
            fault("bad_json", &["one JSON object"]),
        ),
        row(
            "a name told twice",
            post("", twice),
            400,
            fault("bad_json", &["stands twice"]),
        ),
        row(
            "nesting over the limit",
            post("", &deep),
            400,
            fault("too_deep", &["127 deep"]),
        ),
        row(
            "a body over the limit",
            post("", &" ".repeat(1_048_577)),
            413,
            fault("payload_too_large", &["1048576 bytes"]),
        ),
        row(
            "a key that is too long",
            post(&long, &good.to_string()),
            400,
            key(&["256 bytes"]),
        ),
        row(
            "two keys that differ",
            post("Idempotency-Key: b\r\n", &with_key),
            400,
            key(&["differ"]),
        ),
        row(
            "a key that is no text",
            post("", &changed(&json!({"idempotency_key": 5})).to_string()),
            400,
            key(&["a string"]),
        ),
        row(
            "a page of another origin",
            post("Origin: https://evil.example\r\n", &good.to_string()),
            403,
            fault("origin_not_allowed", &["allowed_origins"]),
        ),
    ]
}

/// The rows of requests, as bodies.
fn requests() -> Vec<Row> {
    bad_requests()
        .map(|(what, request, fault)| {
            let code = livedraft::wire::Code::named(fault.code).unwrap();
            row(what, post("", &request.to_string()), code.status(), fault)
        })
        .collect()
}

fn routes() -> Vec<Row> {
    let events = format!("{UNKNOWN}/events");
    let other_method = get("/v1/jobs", "").replace("GET", "DELETE");
    let strange = get("/livez", "").replace("localhost", "evil.example");
    vec![
        row(
            "no such route",
            get("/nowhere", ""),
            404,
            fault("not_found", &["no such route"]),
        ),
        row(
            "another method",
            other_method,
            405,
            fault("bad_request", &["POST"]),
        ),
        row(
            "a host that is not ours",
            strange,
            421,
            fault("host_not_allowed", &["allowed_hosts"]),
        ),
        row(
            "an unknown job",
            get(UNKNOWN, ""),
            404,
            fault("not_found", &["no such job"]),
        ),
        row(
            "an id that is none",
            get("/v1/jobs/..%2f..", ""),
            404,
            fault("not_found", &["no such job"]),
        ),
        row(
            "an id that is no UTF-8",
            get("/v1/jobs/%ff%fe", ""),
            404,
            fault("not_found", &["no such job"]),
        ),
        row(
            "events of an unknown job",
            get(&events, ""),
            404,
            fault("not_found", &["no such job"]),
        ),
        row(
            "a form that is none",
            get(&format!("{events}?as=song"), ""),
            400,
            fault_at("", "query"),
        ),
        row(
            "a query that is not known",
            get(&format!("{events}?colour=red"), ""),
            400,
            fault_at("", "colour"),
        ),
        row(
            "a position that is none",
            get(&format!("{events}?starting_after=here"), ""),
            400,
            fault_at("/starting_after", "<epoch>.<seq>"),
        ),
    ]
}

fn heads() -> Vec<Row> {
    let events = format!("{UNKNOWN}/events");
    vec![
        row(
            "a last event that is none",
            get(&events, "Last-Event-ID: here\r\n"),
            400,
            fault("bad_request", &["<epoch>.<seq>"]),
        ),
        bare("a request line that is none", "NONSENSE\r\n\r\n".to_owned(), 400),
        bare(
            "a header without a colon",
            "GET / HTTP/1.1\r\nnonsense\r\n\r\n".to_owned(),
            400,
        ),
        bare(
            "a head that is too long",
            get("/livez", &format!("X-Long: {}\r\n", "x".repeat(200_000))),
            431,
        ),
        bare(
            "two lengths",
            "POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}"
                .to_owned(),
            400,
        ),
    ]
}

/// Found by actix before it asks us, and it lets nobody have a say: the status is right, there is no body.
fn bare(what: &'static str, request: String, status: u16) -> Row {
    Row {
        what,
        request,
        status,
        fault: None,
    }
}

fn upgrades() -> Vec<Row> {
    let with = |headers: &str| get("/v1/ws", &format!("{UPGRADE}{headers}"));
    let without = |name: &str| {
        let kept: Vec<&str> = UPGRADE
            .split_inclusive("\r\n")
            .filter(|line| !line.starts_with(name))
            .collect();
        get("/v1/ws", &kept.concat())
    };
    let old = with("").replace("HTTP/1.1", "HTTP/1.0");
    let version = with("").replace("Version: 13", "Version: 7");
    vec![
        row(
            "a foreign origin",
            with("Origin: https://evil.example\r\n"),
            403,
            fault("origin_not_allowed", &["allowed_origins"]),
        ),
        row(
            "an origin of no page",
            with("Origin: null\r\n"),
            403,
            fault("origin_not_allowed", &[]),
        ),
        row(
            "an unknown subprotocol",
            with("Sec-WebSocket-Protocol: soap\r\n"),
            400,
            fault("unsupported_subprotocol", &["offer livedraft.v1.json"]),
        ),
        row("an older HTTP", old, 400, fault("bad_request", &["HTTP/1.1"])),
        row(
            "no key of the handshake",
            without("Sec-WebSocket-Key"),
            400,
            fault("bad_request", &["no socket can be opened"]),
        ),
        row(
            "no upgrade",
            without("Upgrade"),
            400,
            fault("bad_request", &["no socket can be opened"]),
        ),
        row(
            "another version of the handshake",
            version,
            426,
            fault("bad_request", &["no socket can be opened"]),
        ),
    ]
}

async fn hold(house: &House, row: &Row) {
    let what = row.what;
    let (told, head, body) = ask(house, &row.request).await;
    assert_eq!(told, row.status, "{what}: {head} {body}");
    let Some(fault) = &row.fault else {
        assert_eq!(body, "", "{what}");
        return;
    };
    assert!(head.contains("content-type: application/json"), "{what}: {head}");
    let body: Json = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{what}: {error} {body}"));
    fault.check(what, &body);
}

/// Status, header lines and body of the one answer.
async fn ask(house: &House, request: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(house.running.addr()).await.unwrap();
    let (mut read, mut write) = stream.split();
    // It may answer before it has read all.
    let send = async {
        let _ = write.write_all(request.as_bytes()).await;
    };
    let mut answer = Vec::new();
    let receive = async {
        let mut chunk = vec![0; 65_536];
        while !is_whole(&answer) {
            match read.read(&mut chunk).await {
                Ok(0) | Err(_) => break,
                Ok(count) => answer.extend_from_slice(&chunk[..count]),
            }
        }
    };
    tokio::join!(send, receive);
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head.to_ascii_lowercase(), body.to_owned())
}

/// Whether head and body have come.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer).to_ascii_lowercase();
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    length.is_some_and(|length| body.len() >= length.parse::<usize>().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_bad_request_is_answered_by_the_table() {
    let house = house();
    let groups = [
        ("bodies", bodies()),
        ("requests and schemas", requests()),
        ("routes", routes()),
        ("heads", heads()),
        ("upgrades", upgrades()),
    ];
    let (mut all, mut broken) = (0, 0);
    for (name, rows) in groups {
        println!("{name}: {} rows", rows.len());
        all += rows.len();
        for row in &rows {
            broken += broken_row(hold(&house, row)).await;
        }
    }
    println!("in all: {all} rows");
    assert_eq!(broken, 0, "rows do not hold, see above");
    let (status, ..) = ask(&house, &get("/livez", "")).await;
    assert_eq!(status, 200, "it lives on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_without_room_says_when_to_come_again() {
    let none = ServerOptions {
        connections_max: 0,
        ..options()
    };
    let house = house_with(none, HubOptions::default());
    let events = format!("{UNKNOWN}/events");
    for request in [get("/v1/ws", UPGRADE), get(&events, "")] {
        let (status, head, body) = ask(&house, &request).await;
        assert_eq!(status, 503, "{head}");
        assert!(head.contains("\r\nretry-after: 1"), "{head}");
        fault("unavailable", &["as many connections"])
            .check("no room", &serde_json::from_str(&body).unwrap());
    }
}
