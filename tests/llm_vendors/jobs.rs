//! Whole jobs with each kind: what a viewer sees of an answer, of a re-ask, and of each fault.

use livedraft::job::Outcome;
use livedraft::llm::{Kind, ProvidersOptions};
use livedraft::wire::Deliver;
use serde_json::{Value as Json, json};

use super::fixtures::answer as fixture;
use super::{options_of, stream_of};
use crate::llm_openai::server::{Act, Server, answer};
use crate::pipeline::{Node, Watching};

async fn watched(kind: Kind, acts: Vec<Act>, mode: &str) -> (Server, Watching) {
    let server = Server::start(acts).await;
    let mut options = options_of(kind, &server);
    options.name = "fake".to_owned();
    let node = Node::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options],
        ..ProvidersOptions::default()
    });
    let request = json!({
        "model": "fake/m", "input": "Ada, 36", "flush_ms": 0, "mode": mode, "reask": "whole",
        "schema": {"type": "object", "title": "User", "properties": {"name": {"type": "string"},
            "age": {"type": "integer", "minimum": 40}}, "required": ["name", "age"]},
    });
    let job = node.submit(request).await;
    let deliver = Deliver {
        notes: true,
        ..Deliver::default()
    };
    let watching = node.watch(job, deliver).await.watched_out().await;
    (server, watching)
}

/// An answer with this age, in text or in a call.
fn aged(kind: Kind, name: &str, age: &str) -> Act {
    let text = String::from_utf8(fixture(kind, name)).unwrap();
    stream_of(kind, text.replace("36", age).as_bytes())
}

#[tokio::test]
async fn a_value_that_breaks_the_schema_is_asked_for_again_in_the_vendors_shape() {
    for kind in Kind::ALL {
        for (mode, name) in [("json_schema", "text"), ("tools", "tools")] {
            let acts = vec![aged(kind, name, "36"), aged(kind, name, "41")];
            let (server, watching) = watched(kind, acts, mode).await;
            let end = watching.end();
            assert_eq!(end.outcome, Outcome::Completed, "{kind:?} {mode}: {end:?}");
            let value: Json = serde_json::from_str(&watching.value().unwrap()).unwrap();
            assert_eq!(value, json!({"name": "Ada", "age": 41}), "{kind:?} {mode}");
            assert_eq!(end.attempts.len(), 2);
            let again = server.request(1).1.to_string();
            assert!(again.contains("/age"), "{kind:?} {mode}: {again}");
            if mode == "tools" {
                let fault = match kind {
                    Kind::OpenAi | Kind::Ollama => r#""role":"tool""#,
                    Kind::Anthropic => r#""is_error":true"#,
                    Kind::Gemini => r#""response":{"error":"#,
                    Kind::Responses => r#""function_call_output""#,
                };
                assert!(again.contains(fault), "{kind:?}: {again}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_fault_is_told_by_its_own_code_and_what_was_reached_is_kept() {
    let cut = |kind| {
        let body = fixture(kind, "length");
        stream_of(kind, &body[..body.len() / 2])
    };
    let page = |_| answer("200 OK", "content-type: text/html\r\n", "<html>");
    let oops = |_| answer("500 Oops", "", "");
    let fixture_of = |name: &'static str| move |kind| stream_of(kind, &fixture(kind, name));
    type Play<'a> = &'a dyn Fn(Kind) -> Act;
    let malformed = fixture_of("malformed");
    let error = fixture_of("error");
    let length = fixture_of("length");
    let plays: [(&str, Play<'_>, Outcome, &[&str]); 6] = [
        ("cut", &cut, Outcome::Incomplete, &["provider_cut"]),
        ("page", &page, Outcome::Failed, &["provider_bad_stream"]),
        ("oops", &oops, Outcome::Failed, &["provider_server"]),
        ("malformed", &malformed, Outcome::Failed, &["provider_bad_stream"]),
        (
            "error",
            &error,
            Outcome::Failed,
            &["provider_in_stream", "provider_overloaded"],
        ),
        ("length", &length, Outcome::Incomplete, &["length"]),
    ];
    for kind in Kind::ALL {
        for (name, play, outcome, codes) in &plays {
            let (_server, watching) = watched(kind, vec![play(kind)], "json_schema").await;
            let end = watching.end();
            let code = end.error.as_ref().map(|error| &*error.code).unwrap_or_default();
            assert_eq!(end.outcome, *outcome, "{kind:?} {name}: {end:?}");
            assert!(codes.contains(&code), "{kind:?} {name}: {code}");
            if *name == "length" {
                assert_eq!(watching.value().as_deref(), Some(r#"{"name":"A"}"#), "{kind:?}");
            }
        }
    }
}

#[tokio::test]
async fn a_provider_that_is_busy_is_asked_again_without_an_attempt() {
    for kind in Kind::ALL {
        for status in ["429 Too Many Requests", "529 Overloaded"] {
            let acts = vec![answer(status, "retry-after: 0\r\n", ""), aged(kind, "text", "41")];
            let (server, watching) = watched(kind, acts, "json_schema").await;
            let end = watching.end();
            assert_eq!(end.outcome, Outcome::Completed, "{kind:?} {status}: {end:?}");
            assert_eq!(end.attempts.len(), 1, "{kind:?} {status}");
            assert_eq!(server.requests.lock().unwrap().len(), 2);
        }
    }
}

#[tokio::test]
async fn usage_that_is_not_told_is_estimated() {
    for kind in Kind::ALL {
        for (name, is_estimated) in [("text", false), ("no_usage", true)] {
            let (_server, watching) = watched(kind, vec![aged(kind, name, "41")], "json_schema").await;
            let end = watching.end();
            assert_eq!(end.outcome, Outcome::Completed, "{kind:?} {name}: {end:?}");
            assert_eq!(end.usage.estimated, is_estimated, "{kind:?} {name}");
            assert!(end.usage.output_tokens > 0, "{kind:?} {name}");
        }
    }
}

#[tokio::test]
async fn a_refusal_is_no_value() {
    for (kind, codes) in [
        (Kind::OpenAi, "refused"),
        (Kind::Responses, "refused"),
        (Kind::Anthropic, "content_filter"),
        (Kind::Gemini, "content_filter"),
    ] {
        let (_server, watching) = watched(
            kind,
            vec![stream_of(kind, &fixture(kind, "refusal"))],
            "json_schema",
        )
        .await;
        let error = watching.end().error.as_ref().expect("an error");
        assert_eq!(&*error.code, codes, "{kind:?}");
    }
}
