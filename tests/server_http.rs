//! The HTTP twin and server-sent events against a whole server, job by hand.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use livedraft::backend::JobQueue;
use livedraft::job::Outcome;
use livedraft::server::{ServerOptions, StartError, start};
use reqwest::{Client, Response};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{House, house, house_with, options, request};

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000001";

fn client() -> Client {
    // A second test finds it installed already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().no_proxy().build().unwrap()
}

async fn post(house: &House, path: &str, body: impl Into<String>) -> Response {
    client()
        .post(house.url(path))
        .body(body.into())
        .send()
        .await
        .unwrap()
}

async fn get(house: &House, path: &str) -> Response {
    client().get(house.url(path)).send().await.unwrap()
}

async fn created(house: &House) -> String {
    let response = post(house, "/v1/jobs", request().to_string()).await;
    assert_eq!(response.status(), 201);
    let body: Json = response.json().await.unwrap();
    body["job_id"].as_str().unwrap().to_owned()
}

/// An event stream, read event by event.
struct Events {
    response: Response,
    text: String,
}

#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: Option<String>,
    data: String,
}

impl Events {
    async fn open(house: &House, path: &str, last: Option<&str>) -> Self {
        let mut request = client().get(house.url(path));
        if let Some(last) = last {
            request = request.header("Last-Event-ID", last);
        }
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        assert_eq!(response.headers()["cache-control"], "no-cache, no-transform");
        assert_eq!(response.headers()["x-accel-buffering"], "no");
        Self {
            response,
            text: String::new(),
        }
    }

    /// The next block of lines; `None` at the end of the stream.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let rest = self.text.split_off(end + 2);
                return Some(std::mem::replace(&mut self.text, rest));
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Event> {
        let block = self.block().await?;
        let field = |name: &str| {
            let mut lines = block.lines();
            lines.find_map(|line| Some(line.strip_prefix(name)?.to_owned()))
        };
        Some(Event {
            name: field("event: ").unwrap(),
            id: field("id: "),
            data: field("data: ").unwrap(),
        })
    }

    async fn expect(&mut self, name: &str) -> Event {
        let event = self.next().await.expect("an event");
        assert_eq!(event.name, name, "{event:?}");
        event
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_created_read_and_cancelled() {
    let house = house();
    let body = request().to_string();
    let keyed = |key: &str| {
        let post = client().post(house.url("/v1/jobs")).body(body.clone());
        post.header("Idempotency-Key", key).send()
    };
    let first = keyed("once").await.unwrap();
    assert_eq!(first.status(), 201);
    let location = first.headers()["location"].to_str().unwrap().to_owned();
    let first: Json = first.json().await.unwrap();
    assert_eq!((&first["seq"], &first["ahead"]), (&json!(1), &json!(0)));
    assert!(first.get("existing").is_none());
    let again = keyed("once").await.unwrap();
    assert_eq!(again.status(), 200);
    let again: Json = again.json().await.unwrap();
    assert_eq!(
        (&again["job_id"], &again["existing"]),
        (&first["job_id"], &json!(true))
    );

    let state: Json = get(&house, &location).await.json().await.unwrap();
    assert_eq!(state["status"], "queued");
    assert!(state.get("ref").is_none());
    let cancelled = post(&house, &format!("{location}/cancel"), "").await;
    assert_eq!(cancelled.status(), 202);
    let cancelled: Json = cancelled.json().await.unwrap();
    assert_eq!(cancelled, json!({"job_id": first["job_id"]}));
    let again = post(&house, &format!("{location}/cancel"), "").await;
    assert_eq!(again.json::<Json>().await.unwrap()["already"], "cancelled");
    let state: Json = get(&house, &location).await.json().await.unwrap();
    assert_eq!(state["status"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_json_with_their_status() {
    let house = house_with(
        ServerOptions {
            body_bytes_max: 4_096,
            ..options()
        },
        livedraft::hub::HubOptions::default(),
    );
    let mut model = request();
    model["model"] = json!("skripted");
    let mut key = request();
    key["idempotency_key"] = json!("k".repeat(300));
    let posts = [
        ("/v1/jobs", "nonsense".to_owned(), 400, "bad_json"),
        ("/v1/jobs", "{}".to_owned(), 400, "bad_request"),
        ("/v1/jobs", model.to_string(), 422, "unknown_model"),
        ("/v1/jobs", key.to_string(), 400, "bad_request"),
        ("/v1/jobs", " ".repeat(5_000), 413, "payload_too_large"),
        ("/v1/models", String::new(), 405, "bad_request"),
        ("/nowhere", String::new(), 404, "not_found"),
    ];
    for (path, body, status, code) in posts {
        let response = post(&house, path, body).await;
        assert_eq!(response.status(), status, "{path} {code}");
        let body: Json = response.json().await.unwrap();
        assert_eq!(body["code"], code, "{body}");
        assert!(
            body["message"]
                .as_str()
                .is_some_and(|message| !message.is_empty())
        );
    }
    let events = format!("/v1/jobs/{UNKNOWN}/events");
    let gets = [
        (format!("/v1/jobs/{UNKNOWN}"), 404, "not_found"),
        ("/v1/jobs/no-id".to_owned(), 404, "not_found"),
        (events.clone(), 404, "not_found"),
        (format!("{events}?as=song"), 400, "bad_request"),
        (format!("{events}?starting_after=here"), 400, "bad_request"),
    ];
    for (path, status, code) in gets {
        let response = get(&house, &path).await;
        assert_eq!(response.status(), status, "{path}");
        assert_eq!(response.json::<Json>().await.unwrap()["code"], code, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_say_its_length_is_limited_too() {
    let house = house_with(
        ServerOptions {
            body_bytes_max: 4_096,
            ..options()
        },
        livedraft::hub::HubOptions::default(),
    );
    let chunks = futures_util::stream::iter((0..8).map(|_| Ok::<_, std::io::Error>(vec![b' '; 1_024])));
    let body = reqwest::Body::wrap_stream(chunks);
    let post = client().post(house.url("/v1/jobs")).body(body);
    assert_eq!(post.send().await.unwrap().status(), 413);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_as_events_to_its_end() {
    let house = house();
    let job = created(&house).await;
    let path = format!("/v1/jobs/{job}/events");
    let mut events = Events::open(&house, &path, None).await;
    let snapshot = events.expect("job.snapshot").await;
    assert_eq!(
        serde_json::from_str::<Json>(&snapshot.data).unwrap()["status"],
        "queued"
    );
    let mut hands = house.claim().await;
    assert_eq!(
        hands.position.to_string(),
        events.expect("job.status").await.id.unwrap()
    );
    let frame = hands.patch(r#"["",{"name":"A"},0]"#).await;
    let patch = events.expect("patch").await;
    assert_eq!(patch.data, frame);
    let held = patch.id.unwrap();
    assert_eq!(held, hands.position.to_string());
    drop(events);

    let next = hands.patch(r#"["/name","l"]"#).await;
    for (path, last) in [
        (path.clone(), Some(held.as_str())),
        (format!("{path}?starting_after={held}"), None),
    ] {
        let mut back = Events::open(&house, &path, last).await;
        assert_eq!(back.expect("patch").await.data, next, "by tail");
    }
    let mut back = Events::open(&house, &path, Some(&held)).await;
    hands.finish(Outcome::Completed).await;
    back.expect("patch").await;
    let end = back.expect("job.completed").await;
    assert_eq!(
        serde_json::from_str::<Json>(&end.data).unwrap()["value"],
        json!({"name": "Al"})
    );
    assert_eq!(back.next().await, None, "the stream ends after the end");

    let again = client()
        .get(house.url(&path))
        .header("Last-Event-ID", end.id.unwrap())
        .send();
    assert_eq!(again.await.unwrap().status(), 204);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_says_how_it_is_told() {
    let house = house();
    let job = created(&house).await;
    let mut hands = house.claim().await;
    hands.patch(r#"["",{"size":3},0]"#).await;
    hands.finish(Outcome::Completed).await;
    let path = format!("/v1/jobs/{job}/events?as=final&unseen=null&notes=true&interval_ms=5");
    let mut events = Events::open(&house, &path, None).await;
    let end = events.expect("job.completed").await;
    let value = serde_json::from_str::<Json>(&end.data).unwrap()["value"].clone();
    assert_eq!(value["size"], 3);
    assert_eq!(events.next().await, None);
}

/// Numbers that a double would change, one that it would not print so, and one that it keeps.
const NUMBERS: &str = "[12345678901234567890.10,1.0,-0,1e400,9007199254740993,0.1]";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_keep_their_digits_in_every_message() {
    let house = house();
    let job = created(&house).await;
    let path = format!("/v1/jobs/{job}/events");
    let mut live = Events::open(&house, &path, None).await;
    live.expect("job.snapshot").await;
    let mut quoting = Events::open(&house, &format!("{path}?bigints=string"), None).await;
    quoting.expect("job.snapshot").await;
    let mut filling = Events::open(&house, &format!("{path}?bigints=string&unseen=null"), None).await;
    filling.expect("job.snapshot").await;

    let mut hands = house.claim().await;
    hands.patch(&format!(r#"["",{{"n":{NUMBERS}}},0]"#)).await;
    let quoted = r#"["12345678901234567890.10",1.0,-0,"1e400","9007199254740993",0.1]"#;
    let plain = format!(r#"{{"n":{NUMBERS}}}"#);
    let strings = format!(r#"{{"n":{quoted}}}"#);
    assert!(next(&mut live, "patch").await.contains(&plain));
    assert!(next(&mut quoting, "patch").await.contains(&strings));
    let filled = next(&mut filling, "patch").await;
    assert!(filled.contains("null") && filled.contains(quoted), "{filled}");

    for (query, value) in [
        ("", &plain),
        ("?bigints=number", &plain),
        ("?bigints=string", &strings),
    ] {
        let mut late = Events::open(&house, &format!("{path}{query}"), None).await;
        let snapshot = next(&mut late, "job.snapshot").await;
        assert!(snapshot.contains(value.as_str()), "{query} {snapshot}");
    }
    let now = get(&house, &format!("/v1/jobs/{job}"))
        .await
        .text()
        .await
        .unwrap();
    assert!(now.contains(&plain), "{now}");

    hands.finish(Outcome::Completed).await;
    for (events, value) in [
        (&mut live, &plain),
        (&mut quoting, &strings),
        (&mut filling, &strings),
    ] {
        let end = next(events, "job.completed").await;
        assert!(end.contains(&format!(r#""value":{value}"#)), "{end}");
    }
    let done = get(&house, &format!("/v1/jobs/{job}"))
        .await
        .text()
        .await
        .unwrap();
    assert!(done.contains(&plain), "{done}");
}

/// The data of the next event of a name; what stands before it is passed over.
async fn next(events: &mut Events, name: &str) -> String {
    loop {
        let event = events.next().await.expect("an event");
        if event.name == name {
            return event.data;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_stream_is_kept_alive_by_comments() {
    let talkative = ServerOptions {
        sse_comment_ms: 1,
        ..options()
    };
    let house = house_with(talkative, livedraft::hub::HubOptions::default());
    let job = created(&house).await;
    let mut events = Events::open(&house, &format!("/v1/jobs/{job}/events"), None).await;
    events.expect("job.snapshot").await;
    assert_eq!(events.block().await.unwrap(), ":\n\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_streams_and_refuses_jobs() {
    let house = house();
    assert_eq!(get(&house, "/livez").await.status(), 200);
    assert_eq!(get(&house, "/readyz").await.status(), 200);
    let models: Json = get(&house, "/v1/models").await.json().await.unwrap();
    assert_eq!(models, json!({"models": ["scripted"]}));
    let job = created(&house).await;
    let mut events = Events::open(&house, &format!("/v1/jobs/{job}/events"), None).await;
    events.expect("job.snapshot").await;
    house.running.leave().await;
    assert!(events.block().await.unwrap().starts_with("retry: "));
    assert_eq!(events.block().await, None);
    let refused = post(&house, "/v1/jobs", request().to_string()).await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Json>().await.unwrap()["code"], "draining");
    assert_eq!(get(&house, "/readyz").await.status(), 503);
    assert_eq!(get(&house, "/livez").await.status(), 200);
    assert_eq!(house.engine.stats().await.unwrap().queued, 1);
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_others_can_reach_is_refused_unless_allowed() {
    let house = house();
    let parts = house.parts.clone();
    let public = ServerOptions {
        bind: ([0, 0, 0, 0], 0).into(),
        ..options()
    };
    let refused = start(public.clone(), parts.clone());
    assert!(matches!(refused, Err(StartError::Public(_))), "{refused:?}");
    let allowed = ServerOptions {
        allow_public: true,
        ..public
    };
    start(allowed, parts.clone()).unwrap().stop().await;
    let taken = ServerOptions {
        bind: house.running.addr(),
        ..options()
    };
    let refused = start(taken, parts);
    assert!(matches!(refused, Err(StartError::Bind { .. })), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_make_and_end_no_jobs() {
    let house = house();
    let job = created(&house).await;
    for path in ["/v1/jobs".to_owned(), format!("/v1/jobs/{job}/cancel")] {
        for (origin, status) in [
            ("https://elsewhere.example", 403),
            ("null", 403),
            (&*house.url(""), if path == "/v1/jobs" { 201 } else { 202 }),
        ] {
            let post = client().post(house.url(&path)).body(request().to_string());
            let response = post.header("Origin", origin).send().await.unwrap();
            assert_eq!(response.status(), status, "{path} from {origin}");
            let body: Json = response.json().await.unwrap();
            assert_eq!(body["code"] == "origin_not_allowed", status == 403, "{body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn methods_are_told_and_head_is_got() {
    let house = house();
    let job = created(&house).await;
    for path in ["/livez", "/readyz", "/v1/models", &format!("/v1/jobs/{job}")] {
        let head = client().head(house.url(path)).send().await.unwrap();
        assert_eq!(head.status(), 200, "{path}");
        assert_eq!(head.text().await.unwrap(), "", "{path}");
    }
    for (path, allowed) in [
        ("/v1/jobs", "GET, HEAD, POST"),
        ("/v1/models", "GET, HEAD"),
        ("/v1/ws", "GET"),
    ] {
        let put = client().put(house.url(path)).send().await.unwrap();
        assert_eq!(
            (put.status().as_u16(), &put.headers()["allow"]),
            (405, &allowed.parse().unwrap())
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_handshake_is_told_as_every_refusal() {
    let house = house();
    let plain = get(&house, "/v1/ws").await;
    assert_eq!(plain.status(), 400);
    assert_eq!(plain.json::<Json>().await.unwrap()["code"], "bad_request");
    let old = client()
        .get(house.url("/v1/ws"))
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "12")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==");
    let mut elder = TcpStream::connect(house.running.addr()).await.unwrap();
    let head = "GET /v1/ws HTTP/1.0\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    elder.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    elder.read_to_string(&mut answer).await.unwrap();
    assert!(
        answer.contains(" 400 ") && answer.contains("bad_request"),
        "{answer}"
    );
    let old = old.send().await.unwrap();
    assert_eq!(old.status(), 426);
    assert_eq!(old.headers()["sec-websocket-version"], "13");
    assert_eq!(old.json::<Json>().await.unwrap()["code"], "bad_request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let impatient = ServerOptions {
        body_timeout_ms: 50,
        ..options()
    };
    let house = house_with(impatient, livedraft::hub::HubOptions::default());
    let mut stream = TcpStream::connect(house.running.addr()).await.unwrap();
    let head = b"POST /v1/jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
    assert!(answer.contains("did not come"), "{answer}");
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_nobody_reads_is_ended() {
    let impatient = ServerOptions {
        send_timeout_ms: 200,
        connections_max: 1,
        ..options()
    };
    let house = house_with(impatient, livedraft::hub::HubOptions::default());
    let job = created(&house).await;
    let path = format!("/v1/jobs/{job}/events");
    let mut deaf = TcpStream::connect(house.running.addr()).await.unwrap();
    let head = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    deaf.write_all(head.as_bytes()).await.unwrap();
    deaf.readable().await.unwrap();
    let mut hands = house.claim().await;
    let text = "x".repeat(64 * 1024);
    // There is always more to tell. The one place is free once the stream was ended.
    while get(&house, &path).await.status() != 200 {
        hands.patch(&format!(r#"["",{{"name":"{text}"}},0]"#)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upgrade_has_no_body() {
    let house = house();
    for (body, status) in [
        ("Content-Length: 5\r\n\r\nhello", 400),
        ("Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 400),
        ("Content-Length: 0\r\n\r\n", 101),
    ] {
        let mut stream = TcpStream::connect(house.running.addr()).await.unwrap();
        let head = "GET /v1/ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        stream
            .write_all(format!("{head}{body}").as_bytes())
            .await
            .unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        let told = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(told, format!("HTTP/1.1 {status}"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_in_a_header_is_visible_ascii() {
    let house = house();
    let request = json!({"model": "scripted", "schema": {}, "input": "x"});
    for (key, status) in [("a b", 400), ("a\tb", 400), ("~a-1!", 201)] {
        let asked = client()
            .post(house.url("/v1/jobs"))
            .header("Idempotency-Key", key);
        let answer = asked.body(request.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), status, "{key:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_idempotency_key_names_no_job() {
    let house = house();
    let request = || json!({"model": "scripted", "schema": {}, "input": "x"});
    let mut in_body = request();
    in_body["idempotency_key"] = json!("");
    let post = || client().post(house.url("/v1/jobs"));
    for asked in [
        post().header("Idempotency-Key", "").body(request().to_string()),
        post().body(in_body.to_string()),
    ] {
        let refused = asked.send().await.unwrap();
        assert_eq!(refused.status(), 400);
        let told: Json = refused.json().await.unwrap();
        assert_eq!(
            [&told["code"], &told["path"]],
            ["bad_request", "/idempotency_key"]
        );
        assert!(
            told["message"].as_str().unwrap().contains("leave it out"),
            "{told}"
        );
    }
    let mut socket = house.client().await;
    socket
        .send(json!({"type": "job.create", "ref": "r", "idempotency_key": "", "request": request()}))
        .await;
    let told = socket.expect("error").await;
    assert_eq!([&told["path"], &told["ref"]], ["/idempotency_key", "r"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_s_query_is_refused_by_field_bound_and_what_came() {
    let house = house();
    for (query, field, words) in [
        ("limit=0", "/limit", ["\"0\"", "from 1 to"]),
        ("limit=-1", "/limit", ["\"-1\"", "from 1 to"]),
        ("limit=99999999999", "/limit", ["99999999999", "to 4294967295"]),
        ("since_ms=soon", "/since_ms", ["soon", "from 0 to"]),
        ("until_ms=1.5", "/until_ms", ["1.5", "from 0 to"]),
        ("status=done", "/status", ["done", "`completed`"]),
        ("cursor=x", "/cursor", ["\"x\"", "`next`"]),
    ] {
        let refused = get(&house, &format!("/v1/jobs?{query}")).await;
        assert_eq!(refused.status(), 400, "{query}");
        let told: Json = refused.json().await.unwrap();
        assert_eq!(told["path"], field, "{told}");
        let message = told["message"].as_str().unwrap();
        assert!(words.iter().all(|word| message.contains(word)), "{told}");
    }
}
