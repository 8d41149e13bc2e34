//! What happens to the connection: what is sent, when it closes, how long silence may last.

use livedraft::clock;
use livedraft::job::{Message, Role};
use livedraft::llm::{Chunk, Finish, LlmErrorKind, Probe, Sampling, probe};
use serde_json::json;
use tokio::net::TcpListener;

use super::server::{
    Act, KEY, STREAM_HEAD, Seen, Server, answer, options, provider, request, rest, stream_of,
};
use super::{DONE, delta, finish, played};

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
    assert_eq!(stream.next().await, Some(Ok(Chunk::Text("hi".into()))));
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
        assert_eq!(stream.next().await, Some(Ok(Chunk::Text("hi".into()))));
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
async fn a_probe_asks_for_the_models_and_reads_the_clock() {
    let act = answer(
        "401 Unauthorized",
        "date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
        "no",
    );
    let server = Server::start(vec![act, answer("200 OK", "", "{}")]).await;
    let first = probe(&options(&server.base)).await.unwrap();
    let clock_ms = Some(784_111_777_000);
    assert_eq!(
        first,
        Probe {
            status: 401,
            clock_ms
        }
    );
    assert_eq!(probe(&options(&server.base)).await.unwrap().status, 200);
    let asked = server.requests.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /v1/models http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains(&format!("authorization: bearer {KEY}\r\n")),
        "{asked}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_probe_does_not_wait_for_ever() {
    let silent = Act {
        pieces: Vec::new(),
        hold: true,
    };
    let server = Server::start(vec![silent]).await;
    let error = probe(&options(&server.base)).await.unwrap_err();
    assert_eq!(error.kind, LlmErrorKind::FirstByteTimeout);
    assert!(!error.message.contains(KEY));
}
