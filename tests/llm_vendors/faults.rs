//! What goes wrong on the way, played in the wire format of each kind: what the attempt is told, and that the
//! provider sees its connection close.

use std::time::Duration;

use livedraft::llm::{Chunk, Finish, Kind, LlmError, LlmErrorKind, RemoteOptions};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::fixtures::{answer as fixture, tell, told};
use super::{head, options_of, provider_of, stream_of};
use crate::llm_openai::server::{Act, KEY, Seen, Server, answer, options, provider, request, rest};

async fn played(kind: Kind, act: Act) -> Result<Vec<Result<Chunk<'static>, LlmError>>, LlmError> {
    let server = Server::start(vec![act]).await;
    let mut stream = provider_of(kind, &server).open(&request()).await?;
    Ok(rest(&mut stream).await)
}

/// An error's body as each vendor writes it.
fn complaint(kind: Kind, message: &str, word: &str) -> String {
    match kind {
        Kind::OpenAi | Kind::Responses => {
            json!({"error": {"message": message, "type": word, "param": null, "code": null}})
        }
        Kind::Anthropic => json!({"type": "error", "error": {"type": word, "message": message}}),
        Kind::Gemini => json!({"error": {"code": 400, "message": message, "status": word}}),
        Kind::Ollama => json!({ "error": message }),
    }
    .to_string()
}

#[tokio::test]
async fn statuses_are_the_same_errors_from_everyone() {
    use LlmErrorKind as Is;
    for kind in Kind::ALL {
        for (status, is) in [
            ("400 Bad Request", Is::BadRequest),
            ("401 Unauthorized", Is::Unauthorized),
            ("404 Not Found", Is::UnknownModel),
            ("429 Too Many Requests", Is::RateLimited),
            ("500 Oops", Is::Server),
            ("503 Busy", Is::Overloaded),
            ("529 Overloaded", Is::Overloaded),
        ] {
            let body = complaint(kind, &format!("no: {KEY}"), "oops");
            let act = answer(
                status,
                "retry-after: 3\r\ncontent-type: application/json\r\n",
                &body,
            );
            let error = played(kind, act).await.unwrap_err();
            assert_eq!(error.kind, is, "{kind:?} {status}");
            assert_eq!(
                error.retry_after,
                Some(Duration::from_secs(3)),
                "{kind:?} {status}"
            );
            let code = &status[..3];
            assert_eq!(
                error.message,
                format!("test: HTTP {code}: no: [redacted]"),
                "{kind:?}"
            );
        }
    }
}

#[tokio::test]
async fn vendors_have_words_of_their_own_for_some_faults() {
    let delay = r#"{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34s"}]}}"#;
    let busy = played(Kind::Gemini, answer("429 Too Many Requests", "", delay)).await;
    let busy = busy.unwrap_err();
    assert_eq!(
        (busy.kind, busy.retry_after),
        (LlmErrorKind::RateLimited, Some(Duration::from_secs(34)))
    );
    let key = r#"{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    let key = played(Kind::Gemini, answer("400 Bad Request", "", key)).await;
    assert_eq!(key.unwrap_err().kind, LlmErrorKind::Unauthorized);
    let quota = complaint(Kind::Responses, "m", "insufficient_quota");
    let quota = played(Kind::Responses, answer("429 Too Many Requests", "", &quota)).await;
    assert_eq!(quota.unwrap_err().kind, LlmErrorKind::Quota);
}

#[tokio::test]
async fn what_is_no_stream_is_not_read_as_one() {
    for kind in Kind::ALL {
        for media in [
            "text/html",
            "application/pdf",
            "application/vnd.amazon.eventstream",
        ] {
            let act = answer(
                "200 OK",
                &format!("content-type: {media}\r\n"),
                "<html>login</html>",
            );
            let error = played(kind, act).await.unwrap_err();
            assert_eq!(error.kind, LlmErrorKind::BadStream, "{kind:?} {media}");
            assert!(!error.message.contains("login"), "{error}");
        }
        let late = answer(
            "200 OK",
            "content-type: application/json\r\n",
            &complaint(kind, "late", "oops"),
        );
        let told = played(kind, late).await.unwrap();
        let error = told[0].as_ref().unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::InStream, "{kind:?}");
        assert!(error.message.ends_with("late"), "{error}");
    }
}

/// An answer that came although none was to: at those who have one form for both, it is one.
#[tokio::test]
async fn answers_that_are_not_streamed() {
    let whole = |body: &str| answer("200 OK", "content-type: application/json\r\n", body);
    let gemini = r#"{"candidates":[{"content":{"parts":[{"text":"{}"}]},"finishReason":"STOP"}]}"#;
    let ollama = r#"{"message":{"content":"{}"},"done":true,"done_reason":"stop"}"#;
    for (kind, body) in [(Kind::Gemini, gemini), (Kind::Ollama, ollama)] {
        assert_eq!(
            played(kind, whole(body)).await.unwrap(),
            [Ok(Chunk::Text("{}".into())), Ok(Chunk::Finish(Finish::Stop))]
        );
    }
    let message = r#"{"type":"message","content":[{"type":"text","text":"{}"}],"stop_reason":"end_turn"}"#;
    let response = r#"{"object":"response","status":"completed","error":null,"output":[]}"#;
    for (kind, body) in [(Kind::Anthropic, message), (Kind::Responses, response)] {
        let told = played(kind, whole(body)).await.unwrap();
        assert_eq!(
            told[0].as_ref().unwrap_err().kind,
            LlmErrorKind::BadStream,
            "{kind:?}"
        );
    }
}

/// Every answer over a socket, as it is read without one.
#[tokio::test]
async fn faults_inside_a_stream_come_behind_what_was_told() {
    for kind in Kind::ALL {
        for name in [
            "text",
            "error",
            "malformed",
            "length",
            "refusal",
            "two_calls",
            "no_usage",
        ] {
            let act = stream_of(kind, &fixture(kind, name));
            let lines: Vec<String> = played(kind, act).await.unwrap().iter().map(tell).collect();
            assert_eq!(lines, told(kind, name), "{kind:?} {name}");
        }
    }
}

/// With chunks announced, a close is a fault of HTTP itself.
#[tokio::test]
async fn a_connection_cut_at_every_byte_is_a_cut() {
    for kind in Kind::ALL {
        let body = fixture(kind, "no_usage");
        let head = head(kind).replace("connection: close", "transfer-encoding: chunked");
        let acts: Vec<Act> = (0..body.len())
            .map(|length| Act {
                pieces: vec![
                    format!("{head}{:x}\r\n", body.len() + 1).into(),
                    body[..length].into(),
                ],
                hold: false,
            })
            .collect();
        let count = acts.len();
        let server = Server::start(acts).await;
        let provider = provider_of(kind, &server);
        let mut cuts = 0;
        for length in 0..count {
            let mut stream = provider.open(&request()).await.unwrap();
            let told = rest(&mut stream).await;
            match told.last().unwrap() {
                Ok(Chunk::Finish(Finish::Stop)) => {
                    assert!(told.len() > 1, "{kind:?} up to {length}");
                }
                Err(error) => {
                    assert_eq!(error.kind, LlmErrorKind::Cut, "{kind:?} up to {length}");
                    cuts += 1;
                }
                other => panic!("{kind:?} up to {length}: {other:?}"),
            }
        }
        assert!(cuts > 100, "{kind:?}: {cuts}");
    }
}

#[tokio::test]
async fn a_connection_that_is_reset_is_a_cut() {
    for kind in Kind::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let options = RemoteOptions {
            kind,
            ..options(&format!("http://{}/v1", listener.local_addr().unwrap()))
        };
        let (reset, to_be_reset) = oneshot::channel::<()>();
        let body = fixture(kind, "length");
        let half = body[..body.len() / 2].to_vec();
        tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut asked = [0; 64 << 10];
            let _ = socket.read(&mut asked).await.unwrap();
            socket.write_all(head(kind).as_bytes()).await.unwrap();
            socket.write_all(&half).await.unwrap();
            let _ = to_be_reset.await;
            socket.set_zero_linger().unwrap();
        });
        let mut stream = provider(options).open(&request()).await.unwrap();
        drop(reset);
        let last = rest(&mut stream).await.pop().unwrap();
        assert_eq!(last.unwrap_err().kind, LlmErrorKind::Cut, "{kind:?}");
    }
}

#[tokio::test]
async fn silence_at_each_stage_has_its_limit_and_closes_the_connection() {
    for kind in Kind::ALL {
        // Nothing at all.
        let silent = Act {
            pieces: Vec::new(),
            hold: true,
        };
        let mut server = Server::start(vec![silent]).await;
        let asked = provider_of(kind, &server);
        let mut opening = tokio::spawn(async move { asked.open(&request()).await.map(drop) });
        tokio::select! {
            () = server.saw(Seen::Request) => {}
            answer = &mut opening => panic!("answered: {answer:?}"),
        }
        tokio::time::pause();
        let error = opening.await.unwrap().unwrap_err();
        tokio::time::resume();
        assert_eq!(error.kind, LlmErrorKind::FirstByteTimeout, "{kind:?}");
        server.saw(Seen::Closed).await;

        // The head, and the head with the first text.
        let body = fixture(kind, "text");
        for (said, is) in [
            (&body[..0], LlmErrorKind::FirstByteTimeout),
            (&body[..body.len() - 60], LlmErrorKind::IdleTimeout),
        ] {
            let mut act = stream_of(kind, said);
            act.hold = true;
            let mut server = Server::start(vec![act]).await;
            let mut stream = provider_of(kind, &server).open(&request()).await.unwrap();
            if is == LlmErrorKind::IdleTimeout {
                for expected in &told(kind, "text")[..1] {
                    assert_eq!(&tell(&stream.next().await.unwrap()), expected);
                }
            }
            tokio::time::pause();
            let last = rest(&mut stream).await.pop().unwrap();
            tokio::time::resume();
            let kind_told = last.map_err(|error| error.kind);
            // OpenAI and Gemini may have said their finish by then.
            if kind_told != Ok(Chunk::Finish(Finish::Stop)) {
                assert_eq!(kind_told, Err(is), "{kind:?}");
            }
            server.saw(Seen::Closed).await;
        }
    }
}

#[tokio::test]
async fn cancelling_closes_the_connection_at_each_stage() {
    for kind in Kind::ALL {
        let silent = Act {
            pieces: Vec::new(),
            hold: true,
        };
        let mut server = Server::start(vec![silent]).await;
        let asked = provider_of(kind, &server);
        let mut opening = tokio::spawn(async move { asked.open(&request()).await.map(drop) });
        tokio::select! {
            () = server.saw(Seen::Request) => {}
            answer = &mut opening => panic!("answered: {answer:?}"),
        }
        opening.abort();
        server.saw(Seen::Closed).await;

        let mut running = stream_of(kind, &fixture(kind, "length")[..]);
        running.pieces[1].truncate(fixture(kind, "length").len() / 2);
        running.hold = true;
        let mut server = Server::start(vec![running]).await;
        drop(provider_of(kind, &server).open(&request()).await.unwrap());
        server.saw(Seen::Closed).await;
    }
}

/// Older models of Gemini tell their finish with every piece; the answer is over with the connection.
#[tokio::test]
async fn a_finish_that_more_follows_is_none() {
    let kind = Kind::Gemini;
    let body = fixture(kind, "stop_each");
    let mut act = stream_of(kind, b"");
    let text = String::from_utf8(body).unwrap();
    act.pieces
        .extend(text.split_inclusive("\r\n\r\n").map(|piece| piece.into()));
    let server = Server::start(vec![act]).await;
    let mut options = options_of(kind, &server);
    options.after_finish_ms = 0;
    let mut stream = provider(options).open(&request()).await.unwrap();
    let lines: Vec<String> = rest(&mut stream).await.iter().map(tell).collect();
    assert_eq!(lines, told(kind, "stop_each"));
}

/// What says that it is over is not waited for: the connection goes back to the pool.
#[tokio::test]
async fn the_last_frame_ends_the_answer() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Gemini) {
        let mut act = stream_of(kind, &fixture(kind, "text"));
        act.pieces[0] = head(kind).replace("connection: close\r\n", "").into();
        act.hold = true;
        let server = Server::start(vec![act]).await;
        let mut options = options_of(kind, &server);
        (options.idle_ms, options.after_finish_ms) = (3_600_000, 3_600_000);
        let mut stream = provider(options).open(&request()).await.unwrap();
        let lines: Vec<String> = rest(&mut stream).await.iter().map(tell).collect();
        assert_eq!(lines, told(kind, "text"), "{kind:?}");
    }
}
