//! The OpenAI-compatible provider against a server that says exactly what the test wants.
#![allow(clippy::unwrap_used)]

mod connection;
pub(crate) mod server;

use livedraft::job::Usage;
use livedraft::llm::{
    Chunk, Finish, LlmError, LlmErrorKind, Models, Providers, ProvidersError, ProvidersOptions,
    RemoteOptions, Secret,
};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use self::server::{Act, KEY, STREAM_HEAD, Server, answer, options, provider, request, rest, stream_of};

/// What one act makes of one request.
async fn played(act: Act) -> Result<Vec<Result<Chunk<'static>, LlmError>>, LlmError> {
    let server = Server::start(vec![act]).await;
    let mut stream = provider(options(&server.base)).open(&request()).await?;
    Ok(rest(&mut stream).await)
}

async fn chunks(body: &str) -> Vec<Result<Chunk<'static>, LlmErrorKind>> {
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

fn text(text: &str) -> Result<Chunk<'_>, LlmErrorKind> {
    Ok(Chunk::Text(text.into()))
}

fn call<'a>(
    index: u32,
    id: Option<&'a str>,
    name: Option<&'a str>,
    arguments: &'a str,
) -> Result<Chunk<'a>, LlmErrorKind> {
    Ok(Chunk::Call {
        index,
        id: id.map(Into::into),
        name: name.map(Into::into),
        arguments: arguments.into(),
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
        Ok(Chunk::Text("{\"ä".into())),
        Ok(Chunk::Text("😀\"}".into())),
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
        (hello.clone() + &finish("stop")[..30], cut.clone()),
    ];
    for (body, end) in cases {
        assert_eq!(chunks(&body).await, [text("hi"), end], "{body}");
    }
    assert_eq!(chunks("").await, [cut]);
}

/// Who reads only now and then knows by it that it is time to read.
#[tokio::test]
async fn a_finish_is_known_before_what_follows_it() {
    let body = delta(&json!({"content": "hi"})) + &finish("stop");
    let server = Server::start(vec![Act {
        pieces: vec![STREAM_HEAD.into(), body.into()],
        hold: true,
    }])
    .await;
    let mut stream = provider(options(&server.base)).open(&request()).await.unwrap();
    assert!(!stream.is_ending());
    assert_eq!(stream.next().await.unwrap().unwrap(), Chunk::Text("hi".into()));
    assert!(stream.is_ending());
}

#[tokio::test]
async fn comments_that_never_end_do_not_keep_an_answer_open() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}/v1/", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 8_192]).await.unwrap() > 0);
        let answer = STREAM_HEAD.to_owned() + &delta(&json!({"content": "hi"})) + &finish("stop");
        socket.write_all(answer.as_bytes()).await.unwrap();
        while socket.write_all(b": still here\n\n").await.is_ok() {}
    });
    let options = RemoteOptions {
        after_finish_ms: 20,
        ..options(&base)
    };
    let mut stream = provider(options).open(&request()).await.unwrap();
    let told: Result<Vec<_>, _> = rest(&mut stream).await.into_iter().collect();
    assert_eq!(
        told.unwrap(),
        [Chunk::Text("hi".into()), Chunk::Finish(Finish::Stop)]
    );
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
    assert_eq!(told[0], Ok(Chunk::Text("hi".into())));
    assert_eq!(told[1].as_ref().unwrap_err().kind, LlmErrorKind::Cut);
}

#[tokio::test]
async fn reasons_for_the_end() {
    for (reason, expected) in [
        ("length", Finish::Length),
        ("model_length", Finish::Length),
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
    for (calls_max, taken) in [(3, true), (2, false)] {
        let server = Server::start(vec![stream_of(&body)]).await;
        let mut options = options(&server.base);
        options.calls_max = calls_max;
        let mut stream = provider(options).open(&request()).await.unwrap();
        let told = rest(&mut stream).await;
        assert_eq!(told.iter().all(Result::is_ok), taken, "{calls_max}: {told:?}");
    }
}

#[tokio::test]
async fn calls_that_share_an_index_are_told_apart() {
    let piece = |id: Option<&str>, name: Option<&str>, arguments: &str| {
        delta(
            &json!({"tool_calls": [{"index": 0, "id": id, "function": {"name": name, "arguments": arguments}}]}),
        )
    };
    let whole =
        piece(Some("a"), Some("f"), "{}") + &piece(Some("b"), Some("f"), "{}") + &finish("tool_calls");
    let expected = [
        call(0, Some("a"), Some("f"), "{}"),
        call(0, Some("b"), Some("f"), "{}"),
        Ok(Chunk::Finish(Finish::ToolCalls)),
    ];
    assert_eq!(chunks(&whole).await, expected, "each whole, all at index 0");
    let redrawn = piece(Some("a"), Some("f"), "{") + &piece(Some("b"), None, "}") + &finish("tool_calls");
    let expected = [
        call(0, Some("a"), Some("f"), "{"),
        call(0, None, None, "}"),
        Ok(Chunk::Finish(Finish::ToolCalls)),
    ];
    assert_eq!(chunks(&redrawn).await, expected, "a new id for each piece");
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
        cost: None,
    };
    let expected = [
        Ok(Chunk::Reasoning("hm".into())),
        Ok(Chunk::Reasoning("hm".into())),
        Ok(Chunk::Refusal("no".into())),
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
        assert_eq!(told[0], Ok(Chunk::Text("a".into())));
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
    for error in [
        r#"{"error":{"message":"?","type":"insufficient_quota","code":"insufficient_quota"}}"#,
        r#"{"error":{"message":"?","type":"insufficient_quota","param":null,"code":null}}"#,
    ] {
        let used_up = answer("429 Too Many Requests", "retry-after: 3\r\n", error);
        assert_eq!(played(used_up).await.unwrap_err().kind, Kind::Quota);
    }
    let unpaid = answer("402 Payment Required", "", "");
    assert_eq!(played(unpaid).await.unwrap_err().kind, Kind::Quota);
    let page = answer(
        "502 Bad Gateway",
        "content-type: text/html\r\n",
        "<html>secret page</html>",
    );
    assert_eq!(played(page).await.unwrap_err().message, "test: HTTP 502");
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
    assert_eq!(told[0], Ok(Chunk::Text("{}".into())));
    assert_eq!(told[2], Ok(Chunk::Finish(Finish::Stop)));
    let told = played(json(r#"{"error": {"message": "late"}}"#)).await.unwrap();
    assert_eq!(told[0].as_ref().unwrap_err().kind, LlmErrorKind::InStream);
}

#[test]
fn keys_are_not_shown_and_bad_options_are_refused() {
    let options = options("http://example.com/v1");
    assert!(!format!("{options:?}").contains("secret"));
    assert!(!format!("{:?}", provider(options)).contains("secret"));
    assert_eq!(Secret::new(KEY).to_string(), "[redacted]");
    for base in ["nowhere", "ftp://a/", "http://u:p@a/v1", "http://a/v1?key=x"] {
        let error = Providers::new(one(RemoteOptions::new("test", base))).unwrap_err();
        assert!(matches!(error, ProvidersError::BaseUrl { .. }), "{error}");
    }
    let mut odd = RemoteOptions::new("test", "http://a/v1");
    odd.key = Some(Secret::new("a\nb"));
    assert_eq!(
        Providers::new(one(odd)).unwrap_err(),
        ProvidersError::Key("test".to_owned())
    );
    let reserved = RemoteOptions::new("scripted", "http://a/v1");
    assert_eq!(
        Providers::new(one(reserved)).unwrap_err(),
        ProvidersError::Name("scripted".to_owned())
    );
}

fn one(options: RemoteOptions) -> ProvidersOptions {
    ProvidersOptions {
        scripted: false,
        remote: vec![options],
        ..ProvidersOptions::default()
    }
}

#[test]
fn models_find_their_provider() {
    let mut cloud = RemoteOptions::new("cloud", "http://a/v1");
    cloud.models = Models::Only(vec!["gpt-big".to_owned(), "vendor/small".to_owned()]);
    let local = RemoteOptions::new("local", "http://b/v1");
    let closed = Providers::new(ProvidersOptions {
        scripted: true,
        remote: vec![cloud.clone()],
        ..ProvidersOptions::default()
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
        remote: vec![cloud, local],
        ..ProvidersOptions::default()
    })
    .unwrap();
    assert_eq!(open.models(), ["gpt-big", "vendor/small", "local/*"]);
    assert_eq!(found(&open, "gpt-big"), pair("cloud", "gpt-big"));
    assert_eq!(found(&open, "local/llama"), pair("local", "llama"));
    assert_eq!(found(&open, "qwen"), pair("local", "qwen"));
    assert!(open.resolve("scripted").is_err());
}
