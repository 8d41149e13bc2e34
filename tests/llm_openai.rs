//! The OpenAI-compatible provider against a server that says exactly what the test wants.
#![allow(clippy::unwrap_used)]

use std::sync::{Arc, Mutex};

use livedraft::clock;
use livedraft::job::Script;
use livedraft::job::{Message, Role, Usage};
use livedraft::llm::{
    Carrier, Chunk, Finish, LlmError, LlmErrorKind, Models, OpenAiOptions, Provider, Providers,
    ProvidersError, ProvidersOptions, Request, Sampling, Secret, Stream,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

const KEY: &str = "sk-very-secret";

/// What the server does with one request: the pieces it writes, and whether it then waits for the client to close.
#[derive(Clone)]
struct Act {
    pieces: Vec<Vec<u8>>,
    hold: bool,
}

#[derive(Debug, PartialEq)]
enum Seen {
    Connection,
    Request,
    Closed,
}

struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Server {
    /// Plays the acts, one a request, the last one for ever.
    async fn start(acts: Vec<Act>) -> Self {
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

    async fn saw(&mut self, what: Seen) {
        while self.seen.recv().await.expect("the server lives") != what {}
    }

    fn request(&self, at: usize) -> (String, Value) {
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
        if body.len() >= length.unwrap().unwrap() {
            return Some(text);
        }
    }
}

const STREAM_HEAD: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nconnection: close\r\n\r\n";

/// An event stream that ends by closing.
fn stream_of(body: &str) -> Act {
    Act {
        pieces: vec![STREAM_HEAD.into(), body.into()],
        hold: false,
    }
}

fn answer(status: &str, headers: &str, body: &str) -> Act {
    let length = body.len();
    let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
    Act {
        pieces: vec![text.into()],
        hold: true,
    }
}

fn options(base: &str) -> OpenAiOptions {
    OpenAiOptions {
        key: Some(Secret::new(KEY)),
        ..OpenAiOptions::new("test", base)
    }
}

fn provider(options: OpenAiOptions) -> Arc<Provider> {
    let providers = Providers::new(ProvidersOptions {
        scripted: false,
        openai: vec![options],
    });
    providers.unwrap().resolve("test/m").unwrap()
}

fn request() -> Request {
    Request {
        model: "test/m".to_owned(),
        messages: vec![Message::text(Role::User, "hello")],
        tools: None,
        tool_choice: None,
        response_format: None,
        sampling: Sampling::default(),
        script: Script::default(),
        schema: Arc::new(json!({})),
        attempt: 1,
        carrier: Carrier::Text,
        fenced: false,
    }
}

async fn rest(stream: &mut Stream) -> Vec<Result<Chunk, LlmError>> {
    let mut chunks = Vec::new();
    while let Some(chunk) = stream.next().await {
        chunks.push(chunk);
    }
    assert!(stream.next().await.is_none());
    chunks
}

/// What one act makes of one request.
async fn played(act: Act) -> Result<Vec<Result<Chunk, LlmError>>, LlmError> {
    let server = Server::start(vec![act]).await;
    let mut stream = provider(options(&server.base)).open(&request()).await?;
    Ok(rest(&mut stream).await)
}

async fn chunks(body: &str) -> Vec<Result<Chunk, LlmErrorKind>> {
    let chunks = played(stream_of(body)).await.unwrap();
    chunks
        .into_iter()
        .map(|chunk| chunk.map_err(|error| error.kind))
        .collect()
}

fn event(value: &Value) -> String {
    format!("data: {value}\n\n")
}

fn delta(delta: &Value) -> String {
    event(&json!({"choices": [{"index": 0, "delta": delta, "finish_reason": null}]}))
}

fn finish(reason: &str) -> String {
    event(&json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]}))
}

fn text(text: &str) -> Result<Chunk, LlmErrorKind> {
    Ok(Chunk::Text(text.to_owned()))
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Result<Chunk, LlmErrorKind> {
    Ok(Chunk::Call {
        index,
        id: id.map(str::to_owned),
        name: name.map(str::to_owned),
        arguments: arguments.to_owned(),
    })
}

const DONE: &str = "data: [DONE]\n\n";

#[tokio::test]
async fn every_cut_of_the_bytes_gives_the_same_chunks() {
    let body = [
        ": hello\r\n\r\n".to_owned(),
        delta(&json!({"role": "assistant", "content": ""})),
        delta(&json!({"content": "{\"ä"})).replace('\n', "\r\n"),
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\n".to_owned(),
        "data: {\"choices\":[{\"delta\":{\"content\":\"\\ude00\\\"}\"}}]}\n\n".to_owned(),
        finish("stop"),
        event(&json!({"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 7}})),
        DONE.to_owned(),
    ]
    .concat();
    let usage = Usage {
        input_tokens: 5,
        output_tokens: 7,
        ..Usage::default()
    };
    let expected = [
        Ok(Chunk::Text("{\"ä".to_owned())),
        Ok(Chunk::Text("😀\"}".to_owned())),
        Ok(Chunk::Usage(usage)),
        Ok(Chunk::Finish(Finish::Stop)),
    ];
    let acts: Vec<Act> = (0..=body.len())
        .map(|cut| Act {
            pieces: vec![
                STREAM_HEAD.into(),
                body.as_bytes()[..cut].into(),
                body.as_bytes()[cut..].into(),
            ],
            hold: false,
        })
        .collect();
    let count = acts.len();
    let server = Server::start(acts).await;
    let provider = provider(options(&server.base));
    for cut in 0..count {
        let mut stream = provider.open(&request()).await.unwrap();
        assert_eq!(rest(&mut stream).await, expected, "cut at {cut}");
    }
    assert_eq!(server.requests.lock().unwrap().len(), count);
}

#[tokio::test]
async fn ends_with_and_without_the_finish_frame() {
    let hello = delta(&json!({"content": "hi"}));
    let stop = Ok(Chunk::Finish(Finish::Stop));
    let cut = Err(LlmErrorKind::Cut);
    let cases = [
        (hello.clone() + &finish("stop") + DONE, stop.clone()),
        (hello.clone() + &finish("stop"), stop.clone()),
        (hello.clone() + finish("stop").trim_end(), stop.clone()),
        (hello.clone() + &finish("stop") + "data: [DONE]", stop),
        (hello.clone() + DONE, cut.clone()),
        (hello.clone(), cut.clone()),
        (
            hello.clone() + &finish("stop")[..30],
            Err(LlmErrorKind::BadStream),
        ),
    ];
    for (body, end) in cases {
        assert_eq!(chunks(&body).await, [text("hi"), end], "{body}");
    }
    assert_eq!(chunks("").await, [cut]);
}

#[tokio::test]
async fn a_connection_that_breaks_inside_a_chunk_is_a_cut() {
    let hello = delta(&json!({"content": "hi"}));
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let act = Act {
        pieces: vec![format!("{head}{:x}\r\n{hello}", hello.len() + 9).into()],
        hold: false,
    };
    let told = played(act).await.unwrap();
    assert_eq!(told[0], Ok(Chunk::Text("hi".to_owned())));
    assert_eq!(told[1].as_ref().unwrap_err().kind, LlmErrorKind::Cut);
}

#[tokio::test]
async fn reasons_for_the_end() {
    for (reason, expected) in [
        ("length", Finish::Length),
        ("content_filter", Finish::ContentFilter),
        ("tool_calls", Finish::ToolCalls),
        ("moon", Finish::Other("moon".to_owned())),
    ] {
        assert_eq!(
            chunks(&(finish(reason) + DONE)).await,
            [Ok(Chunk::Finish(expected))]
        );
    }
}

#[tokio::test]
async fn parallel_calls_by_index() {
    let calls = |calls: Value| delta(&json!({ "tool_calls": calls }));
    let body = [
        calls(
            json!([{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]),
        ),
        calls(
            json!([{"index": 0, "id": "a", "function": {"arguments": "{\"x"}}, {"index": 1, "id": "b",
            "function": {"name": "g", "arguments": "{}"}}]),
        ),
        calls(json!([{"index": 0, "id": null, "function": {"name": null, "arguments": "\":1}"}}])),
        calls(json!([{"index": 2, "id": "c", "function": {"name": "h", "arguments": {"whole": true}}}])),
        finish("tool_calls"),
    ]
    .concat();
    let expected = [
        call(0, Some("a"), Some("f"), ""),
        call(0, None, None, "{\"x"),
        call(1, Some("b"), Some("g"), "{}"),
        call(0, None, None, "\":1}"),
        call(2, Some("c"), Some("h"), "{\"whole\":true}"),
        Ok(Chunk::Finish(Finish::ToolCalls)),
    ];
    assert_eq!(chunks(&body).await, expected);
    let many = calls(json!([{"index": 4_000_000_000_u32, "function": {"arguments": "{"}}]));
    assert_eq!(chunks(&many).await, [Err(LlmErrorKind::BadStream)]);
}

#[tokio::test]
async fn reasoning_refusal_and_details_of_usage() {
    let body = [
        delta(&json!({"reasoning_content": "hm", "content": null})),
        delta(&json!({"reasoning": "hm", "reasoning_content": null})),
        delta(&json!({"refusal": "no"})),
        event(&json!({"choices": [{"index": 1, "delta": {"content": "another choice"}}], "usage": null})),
        event(
            &json!({"choices": [{"delta": {}, "finish_reason": "stop"}], "usage": {"prompt_tokens": 1,
            "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 4}}}),
        ),
    ]
    .concat();
    let usage = Usage {
        input_tokens: 1,
        output_tokens: 2,
        reasoning_tokens: 4,
        cached_input_tokens: 3,
        estimated: false,
    };
    let expected = [
        Ok(Chunk::Reasoning("hm".to_owned())),
        Ok(Chunk::Reasoning("hm".to_owned())),
        Ok(Chunk::Refusal("no".to_owned())),
        Ok(Chunk::Usage(usage)),
        Ok(Chunk::Finish(Finish::Stop)),
    ];
    assert_eq!(chunks(&body).await, expected);
}

#[tokio::test]
async fn half_a_pair_that_stays_alone_is_refused() {
    let half = "data: {\"choices\":[{\"delta\":{\"content\":\"\\ud83d\"}}]}\n\n".to_owned();
    let bad = Err(LlmErrorKind::BadStream);
    assert_eq!(
        chunks(&(half.clone() + &delta(&json!({"content": "x"})))).await,
        std::slice::from_ref(&bad)
    );
    assert_eq!(chunks(&(half.clone() + &finish("stop") + DONE)).await, [bad]);
    assert_eq!(
        chunks(&(half + &finish("length") + DONE)).await,
        [Ok(Chunk::Finish(Finish::Length))]
    );
}

#[tokio::test]
async fn errors_inside_a_stream_are_told_without_the_key() {
    for error in [
        json!({"error": {"message": format!("bad key {KEY}"), "code": 502}}),
        json!({"error": format!("bad key {KEY}")}),
        json!({"object": "error", "message": format!("bad key {KEY}"), "code": 400}),
        json!({"choices": [], "error": {"message": format!("bad key {KEY}"), "type": "x"}}),
    ] {
        let told = played(stream_of(&(delta(&json!({"content": "a"})) + &event(&error))))
            .await
            .unwrap();
        let failure = told[1].as_ref().unwrap_err();
        assert_eq!((told.len(), failure.kind), (2, LlmErrorKind::InStream));
        assert!(
            failure.message.starts_with("test: ") && failure.message.contains("bad key [redacted]"),
            "{failure}"
        );
    }
}

#[tokio::test]
async fn malformed_frames_and_limits() {
    assert_eq!(chunks("data: {oops\n\n").await, [Err(LlmErrorKind::BadStream)]);
    assert_eq!(chunks("data: [1]\n\n").await, [Err(LlmErrorKind::BadStream)]);
    let long = delta(&json!({"content": "a"})) + &delta(&json!({"content": "x".repeat(5_000)}));
    let server = Server::start(vec![stream_of(&long)]).await;
    for (line, event) in [(4_096, 1 << 20), (1 << 20, 4_096)] {
        let mut options = options(&server.base);
        options.line_bytes_max = line;
        options.event_bytes_max = event;
        let mut stream = provider(options).open(&request()).await.unwrap();
        let told = rest(&mut stream).await;
        assert_eq!(told[0], Ok(Chunk::Text("a".to_owned())));
        assert_eq!(told[1].as_ref().unwrap_err().kind, LlmErrorKind::BadStream);
    }
}

#[tokio::test]
async fn statuses_become_kinds() {
    use LlmErrorKind as Kind;
    let cases = [
        ("400 Bad Request", Kind::BadRequest),
        ("401 Unauthorized", Kind::Unauthorized),
        ("403 Forbidden", Kind::Unauthorized),
        ("404 Not Found", Kind::UnknownModel),
        ("422 Unprocessable", Kind::BadRequest),
        ("429 Too Many Requests", Kind::RateLimited),
        ("500 Oops", Kind::Server),
        ("502 Bad Gateway", Kind::Server),
        ("503 Busy", Kind::Overloaded),
        ("529 Overloaded", Kind::Overloaded),
    ];
    for (status, kind) in cases {
        let body = json!({"error": {"message": format!("no: {KEY}\n{}", "x".repeat(900))}}).to_string();
        let act = answer(
            status,
            "retry-after: 3\r\ncontent-type: application/json\r\n",
            &body,
        );
        let error = played(act).await.unwrap_err();
        assert_eq!(
            (error.kind, error.retry_after.map(|wait| wait.as_secs())),
            (kind, Some(3)),
            "{status}"
        );
        assert_eq!(error.status, status[..3].parse().ok());
        assert!(error.message.contains("no: [redacted] x"), "{error}");
        assert!(error.message.chars().count() < 450);
    }
    let unknown = answer(
        "400 No",
        "",
        r#"{"error":{"message":"?","code":"model_not_found"}}"#,
    );
    assert_eq!(played(unknown).await.unwrap_err().kind, Kind::UnknownModel);
    let page = answer(
        "502 Bad Gateway",
        "content-type: text/html\r\n",
        "<html>secret page</html>",
    );
    assert_eq!(played(page).await.unwrap_err().message, "test: HTTP 502");
}

#[tokio::test]
async fn an_endless_error_body_is_read_up_to_its_limit() {
    let mut act = answer("500 Oops", "", &"x".repeat(100_000));
    act.hold = true;
    let mut server = Server::start(vec![act]).await;
    let error = provider(options(&server.base))
        .open(&request())
        .await
        .unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::Server);
    server.saw(Seen::Closed).await;
}

#[tokio::test]
async fn answers_that_are_no_stream() {
    let html = answer("200 OK", "content-type: text/html\r\n", "<html>login</html>");
    assert_eq!(played(html).await.unwrap_err().kind, LlmErrorKind::BadStream);
    let whole = json!({"choices": [{"message": {"role": "assistant", "content": "{}"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2}});
    let json = |body: &str| answer("200 OK", "content-type: application/json\r\n", body);
    let told = played(json(&whole.to_string())).await.unwrap();
    assert_eq!(told.len(), 3);
    assert_eq!(told[0], Ok(Chunk::Text("{}".to_owned())));
    assert_eq!(told[2], Ok(Chunk::Finish(Finish::Stop)));
    let told = played(json(r#"{"error": {"message": "late"}}"#)).await.unwrap();
    assert_eq!(told[0].as_ref().unwrap_err().kind, LlmErrorKind::InStream);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let elsewhere = Server::start(vec![stream_of(&finish("stop"))]).await;
    let act = answer(
        "307 Temporary Redirect",
        &format!("location: {}\r\n", elsewhere.base),
        "",
    );
    let error = played(act).await.unwrap_err();
    assert_eq!((error.kind, error.status), (LlmErrorKind::BadRequest, Some(307)));
    assert!(elsewhere.requests.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_request_says_what_was_asked() {
    let server = Server::start(vec![stream_of(&finish("stop"))]).await;
    let mut full = request();
    full.tools =
        Some(json!([{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": 2}}}]));
    full.tool_choice = Some(json!("required"));
    full.response_format = Some(json!({"type": "json_object"}));
    full.sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.25),
        seed: Some(-1),
        max_output_tokens: Some(9),
        stop: vec!["END".to_owned()],
    };
    full.messages.push(Message {
        tool_call_id: Some("a".to_owned()),
        ..Message::text(Role::Tool, "wrong")
    });
    let provider = provider(options(&server.base));
    for request in [&full, &request()] {
        rest(&mut provider.open(request).await.unwrap()).await;
    }
    let (head, body) = server.request(0);
    assert!(
        head.starts_with("POST /v1/chat/completions HTTP/1.1\r\n"),
        "{head}"
    );
    assert!(
        head.to_lowercase()
            .contains(&format!("authorization: bearer {KEY}"))
    );
    let expected = json!({
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}, {"role": "tool", "content": "wrong", "tool_call_id": "a"}],
        "stream": true, "stream_options": {"include_usage": true},
        "tools": full.tools, "tool_choice": "required", "response_format": {"type": "json_object"},
        "temperature": 0.5, "top_p": 0.25, "seed": -1, "max_tokens": 9, "stop": ["END"],
    });
    assert_eq!(body.to_string(), expected.to_string());
    let (_, body) = server.request(1);
    assert_eq!(
        body.as_object().unwrap().len(),
        4,
        "what is not asked is not sent: {body}"
    );
}

#[tokio::test]
async fn cancelling_closes_the_connection_before_the_first_byte_and_after() {
    let silent = Act {
        pieces: vec![],
        hold: true,
    };
    let headers_only = Act {
        pieces: vec![STREAM_HEAD.into()],
        hold: true,
    };
    let mut running = stream_of(&delta(&json!({"content": "hi"})));
    running.hold = true;

    let mut server = Server::start(vec![silent]).await;
    let asked = provider(options(&server.base));
    let mut opening = tokio::spawn(async move { asked.open(&request()).await.map(drop) });
    tokio::select! {
        () = server.saw(Seen::Request) => {}
        answer = &mut opening => panic!("answered: {answer:?}"),
    }
    opening.abort();
    server.saw(Seen::Closed).await;

    let mut server = Server::start(vec![headers_only]).await;
    drop(provider(options(&server.base)).open(&request()).await.unwrap());
    server.saw(Seen::Closed).await;

    let mut server = Server::start(vec![running]).await;
    let mut stream = provider(options(&server.base)).open(&request()).await.unwrap();
    assert_eq!(stream.next().await, Some(Ok(Chunk::Text("hi".to_owned()))));
    drop(stream);
    server.saw(Seen::Closed).await;
}

#[tokio::test]
async fn silence_has_its_limits() {
    let mut server = Server::start(vec![Act {
        pieces: vec![],
        hold: true,
    }])
    .await;
    let asked = provider(options(&server.base));
    let mut opening = tokio::spawn(async move { asked.open(&request()).await.map(drop) });
    tokio::select! {
        () = server.saw(Seen::Request) => {}
        answer = &mut opening => panic!("answered: {answer:?}"),
    }
    // From here on nothing but time can happen, so time passes at once.
    tokio::time::pause();
    let before = clock::now();
    let error = opening.await.unwrap().unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::FirstByteTimeout);
    assert!(before.elapsed().as_secs() >= 55);
    server.saw(Seen::Closed).await;
}

#[tokio::test]
async fn headers_alone_do_not_count_as_a_first_byte() {
    let act = Act {
        pieces: vec![STREAM_HEAD.into()],
        hold: true,
    };
    let server = Server::start(vec![act]).await;
    let mut stream = provider(options(&server.base)).open(&request()).await.unwrap();
    tokio::time::pause();
    let before = clock::now();
    let told = rest(&mut stream).await;
    assert!(before.elapsed().as_secs() <= 60, "the time of the headers counts");
    assert_eq!(told[0].as_ref().unwrap_err().kind, LlmErrorKind::FirstByteTimeout);
}

#[tokio::test]
async fn a_stream_that_falls_silent_is_idle_and_a_finished_one_is_done() {
    for (tail, end) in [
        ("", Err(LlmErrorKind::IdleTimeout)),
        (finish("stop").as_str(), Ok(Chunk::Finish(Finish::Stop))),
    ] {
        let mut act = stream_of(&(delta(&json!({"content": "hi"})) + tail));
        act.hold = true;
        let mut server = Server::start(vec![act]).await;
        let mut stream = provider(options(&server.base)).open(&request()).await.unwrap();
        assert_eq!(stream.next().await, Some(Ok(Chunk::Text("hi".to_owned()))));
        tokio::time::pause();
        let last = stream.next().await.unwrap().map_err(|error| error.kind);
        tokio::time::resume();
        assert_eq!(last, end);
        assert!(stream.next().await.is_none());
        server.saw(Seen::Closed).await;
    }
}

#[tokio::test]
async fn a_call_of_next_that_is_dropped_loses_nothing() {
    let body: String = (0..200)
        .map(|at| delta(&json!({"content": format!("{at},")})))
        .collect::<String>()
        + &finish("stop");
    let mut act = stream_of("");
    act.pieces.extend(body.as_bytes().chunks(7).map(<[u8]>::to_vec));
    let server = Server::start(vec![act]).await;
    let mut stream = provider(options(&server.base)).open(&request()).await.unwrap();
    let (mut told, mut dropped) = (String::new(), 0);
    loop {
        tokio::select! {
            biased;
            chunk = stream.next() => match chunk {
                Some(Ok(Chunk::Text(more))) => told += &more,
                Some(other) => assert_eq!(other, Ok(Chunk::Finish(Finish::Stop))),
                None => break,
            },
            () = tokio::task::yield_now() => dropped += 1,
        }
    }
    assert_eq!(told, (0..200).map(|at| format!("{at},")).collect::<String>());
    assert!(dropped > 0, "the test never dropped a call");
}

#[tokio::test]
async fn a_connection_is_used_again_after_done() {
    let body = finish("stop") + DONE;
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let act = Act {
        pieces: vec![format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len()).into()],
        hold: true,
    };
    let mut server = Server::start(vec![act]).await;
    let provider = provider(options(&server.base));
    for _ in 0..3 {
        let told = rest(&mut provider.open(&request()).await.unwrap()).await;
        assert_eq!(told, [Ok(Chunk::Finish(Finish::Stop))]);
        // The pool takes the connection back in a task of its own.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }
    let mut connections = 0;
    while let Ok(seen) = server.seen.try_recv() {
        connections += usize::from(seen == Seen::Connection);
    }
    assert_eq!(connections, 1);
}

#[tokio::test]
async fn nobody_there_is_told_without_the_address() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = provider(options(&format!("http://{address}/v1")))
        .open(&request())
        .await
        .unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::Connect);
    assert!(!error.message.contains(&address.port().to_string()), "{error}");
}

#[test]
fn keys_are_not_shown_and_bad_options_are_refused() {
    let options = options("http://example.com/v1");
    assert!(!format!("{options:?}").contains("secret"));
    assert!(!format!("{:?}", provider(options)).contains("secret"));
    assert_eq!(Secret::new(KEY).to_string(), "[redacted]");
    for base in ["nowhere", "ftp://a/", "http://u:p@a/v1", "http://a/v1?key=x"] {
        let error = Providers::new(one(OpenAiOptions::new("test", base))).unwrap_err();
        assert!(matches!(error, ProvidersError::BaseUrl { .. }), "{error}");
    }
    let mut odd = OpenAiOptions::new("test", "http://a/v1");
    odd.key = Some(Secret::new("a\nb"));
    assert_eq!(
        Providers::new(one(odd)).unwrap_err(),
        ProvidersError::Key("test".to_owned())
    );
    let reserved = OpenAiOptions::new("scripted", "http://a/v1");
    assert_eq!(
        Providers::new(one(reserved)).unwrap_err(),
        ProvidersError::Name("scripted".to_owned())
    );
}

fn one(options: OpenAiOptions) -> ProvidersOptions {
    ProvidersOptions {
        scripted: false,
        openai: vec![options],
    }
}

#[test]
fn models_find_their_provider() {
    let mut cloud = OpenAiOptions::new("cloud", "http://a/v1");
    cloud.models = Models::Only(vec!["gpt-big".to_owned(), "vendor/small".to_owned()]);
    let local = OpenAiOptions::new("local", "http://b/v1");
    let closed = Providers::new(ProvidersOptions {
        scripted: true,
        openai: vec![cloud.clone()],
    })
    .unwrap();
    assert_eq!(closed.models(), ["scripted", "gpt-big", "vendor/small"]);
    let found = |providers: &Providers, model: &str| {
        providers
            .resolve(model)
            .map(|provider| (provider.name().to_owned(), provider.model_name(model).to_owned()))
    };
    let pair = |name: &str, model: &str| Ok((name.to_owned(), model.to_owned()));
    assert_eq!(found(&closed, "scripted"), pair("scripted", "scripted"));
    assert_eq!(found(&closed, "cloud/gpt-big"), pair("cloud", "gpt-big"));
    assert_eq!(found(&closed, "vendor/small"), pair("cloud", "vendor/small"));
    let unknown = closed.resolve("gpt-bog").unwrap_err();
    assert_eq!(unknown.nearest.as_deref(), Some("gpt-big"));
    assert_eq!(
        unknown.to_string(),
        "unknown model `gpt-bog`, did you mean `gpt-big`?"
    );
    assert_eq!(closed.resolve("something else").unwrap_err().nearest, None);
    let open = Providers::new(ProvidersOptions {
        scripted: false,
        openai: vec![cloud, local],
    })
    .unwrap();
    assert_eq!(open.models(), ["gpt-big", "vendor/small", "local/*"]);
    assert_eq!(found(&open, "gpt-big"), pair("cloud", "gpt-big"));
    assert_eq!(found(&open, "local/llama"), pair("local", "llama"));
    assert_eq!(found(&open, "qwen"), pair("local", "qwen"));
    assert!(open.resolve("scripted").is_err());
}
