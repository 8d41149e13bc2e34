//! Modes in the shape of each vendor: what is asked, what is said to a wrong answer, and what takes the place of a mode
//! that does not do.

use std::fs;
use std::path::Path;

use livedraft::job::Outcome;
use livedraft::llm::{DialectChoice, Kind, MODE_ROWS, ProvidersOptions, RemoteOptions};
use livedraft::schema::dialect::{Dialect, MODES, Taken};
use livedraft::wire::Deliver;
use serde_json::{Value as Json, json};

use super::fixtures::answer as fixture;
use super::{options_of, stream_of};
use crate::llm_openai::server::{Act, Server, answer};
use crate::pipeline::{Node, Watching};

fn node(options: RemoteOptions) -> Node {
    let remote = vec![RemoteOptions {
        name: "fake".to_owned(),
        ..options
    }];
    Node::start_with(ProvidersOptions {
        scripted: false,
        remote,
        ..ProvidersOptions::default()
    })
}

fn request(members: &Json) -> Json {
    let mut request = json!({
        "model": "fake/m", "input": "Ada, 36", "flush_ms": 0,
        "schema": {"type": "object", "title": "User", "properties": {"name": {"type": "string"},
            "age": {"type": "integer", "minimum": 40}}, "required": ["name", "age"]},
    });
    for (name, value) in members.as_object().unwrap() {
        request[name] = value.clone();
    }
    request
}

async fn watched(node: &Node, members: &Json) -> Watching {
    let job = node.submit(request(members)).await;
    let deliver = Deliver {
        notes: true,
        ..Deliver::default()
    };
    node.watch(job, deliver).await.watched_out().await
}

/// The warnings that were told.
fn warnings(watching: &Watching) -> String {
    let told = watching
        .told
        .iter()
        .filter_map(|told| told.strip_prefix("warning: "));
    told.collect::<Vec<_>>().join("\n")
}

fn completed(watching: &Watching) -> Json {
    let end = watching.end();
    assert_eq!(end.outcome, Outcome::Completed, "{end:?}");
    serde_json::from_str(&watching.value().unwrap()).unwrap()
}

/// An answer in the carrier of a mode.
fn said(kind: Kind, mode: &str, age: &str) -> Act {
    let name = if mode.starts_with("tools") {
        "tools"
    } else {
        "text"
    };
    let text = String::from_utf8(fixture(kind, name)).unwrap();
    stream_of(kind, text.replace("36", age).as_bytes())
}

/// The conversation in a body, whatever the vendor calls it.
fn conversation(body: &Json) -> Json {
    let names = ["messages", "contents", "input"];
    let told = names.iter().find_map(|name| body.get(*name));
    told.unwrap_or_else(|| panic!("no conversation in {body}"))
        .clone()
}

/// What is said to a value that breaks the schema, to one that is no JSON, and to none at all: the wrong answer is kept,
/// and answered where it stood.
#[tokio::test]
async fn re_asks_are_as_recorded() {
    let mut now = serde_json::Map::new();
    for kind in Kind::ALL {
        for mode in [
            "tools",
            "tools_strict",
            "json_schema",
            "json_schema_strict",
            "json",
            "md_json",
        ] {
            let plays = [
                ("whole", json!({"reask": "whole"}), said(kind, mode, "36")),
                ("places", json!({}), said(kind, mode, "36")),
                ("no JSON", json!({}), said(kind, mode, "nul")),
            ];
            for (name, members, wrong) in plays {
                // Of a call that comes whole, what is no JSON makes the frame none.
                let whole = mode.starts_with("tools") && matches!(kind, Kind::Gemini | Kind::Ollama);
                if whole && name == "no JSON" {
                    continue;
                }
                let places = name == "places";
                let mut members = members;
                members["mode"] = json!(mode);
                members["max_reasks"] = json!(if places { 2 } else { 1 });
                let server = Server::start(vec![wrong, said(kind, mode, "41")]).await;
                let node = node(options_of(kind, &server));
                let _ = watched(&node, &members).await;
                let told = conversation(&server.request(1).1);
                now.insert(format!("{} {mode}, {name}", kind.word()), told);
            }
        }
    }
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/llm/reasks.json");
    let recorded: Json =
        serde_json::from_str(&fs::read_to_string(home).unwrap_or_default()).unwrap_or_default();
    let now = Json::Object(now);
    let written = serde_json::to_string_pretty(&now).unwrap();
    assert!(!written.contains("://"), "an address in a re-ask: {written}");
    assert!(now == recorded, "now:\n{written}");
}

const REFUSED: &str = r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":"response_format","code":null}}"#;
const BAD_SCHEMA: &str = r#"{"error":{"message":"Invalid schema for response_format 'User': In context=('properties', 'age'), 'minimum' is not permitted.","type":"invalid_request_error","code":"invalid_json_schema"}}"#;

fn refusal(body: &str) -> Act {
    answer("400 Bad Request", "content-type: application/json\r\n", body)
}

#[tokio::test]
async fn a_mode_that_is_refused_gives_way_and_is_remembered() {
    let right = || said(Kind::OpenAi, "tools", "41");
    let server = Server::start(vec![refusal(REFUSED), right(), right()]).await;
    let node = node(options_of(Kind::OpenAi, &server));
    let first = watched(&node, &json!({})).await;
    assert_eq!(completed(&first), json!({"name": "Ada", "age": 41}));
    assert_eq!(first.end().attempts.len(), 1, "a refusal burns no attempt");
    let told = warnings(&first);
    assert!(
        told.contains(
            "asked in mode `tools`, for the provider has refused mode `json_schema`: fake: HTTP 400"
        ),
        "{told}"
    );
    assert!(server.request(0).1.get("response_format").is_some());
    assert!(server.request(1).1.get("tools").is_some());
    let second = watched(&node, &json!({})).await;
    assert_eq!(completed(&second), json!({"name": "Ada", "age": 41}));
    assert_eq!(server.requests.lock().unwrap().len(), 3);
    assert!(server.request(2).1.get("tools").is_some());
    assert!(warnings(&second).is_empty(), "{}", warnings(&second));
    // Who names the mode gets it, or the refusal.
    let asked = watched(&node, &json!({"mode": "json_schema"})).await;
    assert!(server.request(3).1.get("response_format").is_some());
    drop(asked);
}

#[tokio::test]
async fn a_schema_that_is_refused_says_nothing_of_others() {
    let right = || said(Kind::OpenAi, "tools", "41");
    let server = Server::start(vec![refusal(BAD_SCHEMA), right(), refusal(BAD_SCHEMA), right()]).await;
    let node = node(options_of(Kind::OpenAi, &server));
    for _ in 0..2 {
        assert_eq!(completed(&watched(&node, &json!({})).await)["age"], 41);
    }
    assert_eq!(server.requests.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_mode_that_was_named_and_is_refused_ends_the_job() {
    for (body, code) in [
        (REFUSED, "provider_unsupported_mode"),
        (BAD_SCHEMA, "provider_unsupported_schema"),
    ] {
        let server = Server::start(vec![refusal(body)]).await;
        let node = node(options_of(Kind::OpenAi, &server));
        let watching = watched(&node, &json!({"mode": "json_schema"})).await;
        let end = watching.end();
        assert_eq!(end.outcome, Outcome::Failed);
        assert_eq!(end.error.as_ref().map(|error| &*error.code), Some(code));
        assert_eq!(server.requests.lock().unwrap().len(), 1);
    }
}

/// Where nothing is taken, each mode is tried once.
#[tokio::test]
async fn refusals_of_every_mode_end_the_job() {
    let server = Server::start(vec![refusal(REFUSED)]).await;
    let node = node(options_of(Kind::OpenAi, &server));
    let watching = watched(&node, &json!({})).await;
    let end = watching.end();
    assert_eq!(
        end.error.as_ref().map(|error| &*error.code),
        Some("provider_unsupported_mode")
    );
    assert_eq!(
        server.requests.lock().unwrap().len(),
        4,
        "json_schema, tools, json, md_json"
    );
}

#[tokio::test]
async fn what_a_strict_subset_cannot_say_is_told() {
    let server = Server::start(vec![said(Kind::OpenAi, "text", "41")]).await;
    let node = node(RemoteOptions {
        dialect: DialectChoice::Always(Dialect::JsonSchemaStrict),
        ..options_of(Kind::OpenAi, &server)
    });
    let watching = watched(&node, &json!({})).await;
    assert_eq!(completed(&watching)["age"], 41);
    let format = server.request(0).1["response_format"]["json_schema"].clone();
    assert_eq!(format["strict"], true);
    assert_eq!(format["schema"]["additionalProperties"], false);
    assert!(warnings(&watching).is_empty(), "{}", warnings(&watching));
    let schema = json!({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
        "patternProperties": {"^x-": {"type": "string"}}});
    for mode in ["auto", "json_schema_strict"] {
        let watching = watched(&node, &json!({"mode": mode, "schema": schema})).await;
        assert_eq!(completed(&watching)["age"], 41);
        assert_eq!(
            warnings(&watching),
            "asked in mode `json_schema`, not mode `json_schema_strict`: OpenAI's strict subset does not have \
             `patternProperties` at the root",
            "{mode}"
        );
    }
    let last = server.request(2).1["response_format"]["json_schema"].clone();
    assert_eq!((last.get("strict"), &last["schema"]), (None, &schema));
}

#[tokio::test]
async fn null_for_what_is_missing_is_never_shown() {
    let text = String::from_utf8(fixture(Kind::OpenAi, "text")).unwrap();
    let act = stream_of(Kind::OpenAi, text.replace("36", "null").as_bytes());
    for mode in ["json_schema_strict", "json_schema"] {
        let server = Server::start(vec![act.clone()]).await;
        let node = node(options_of(Kind::OpenAi, &server));
        let schema =
            json!({"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}});
        let watching = watched(&node, &json!({"mode": mode, "schema": schema, "max_reasks": 0})).await;
        if mode == "json_schema" {
            assert_eq!(watching.end().outcome, Outcome::Failed);
            continue;
        }
        assert_eq!(completed(&watching), json!({"name": "Ada"}));
        let sent = server.request(0).1["response_format"]["json_schema"]["schema"].clone();
        assert_eq!(sent["required"], json!(["name", "age"]));
        assert_eq!(sent["properties"]["age"]["type"], json!(["integer", "null"]));
    }
}

#[tokio::test]
async fn a_provider_without_a_mode_is_asked_in_the_next() {
    for (kind, named, taken) in [
        (Kind::Ollama, "tools_strict", "tools"),
        (Kind::Gemini, "tools_strict", "tools"),
        (Kind::Ollama, "json_schema_strict", "json_schema"),
    ] {
        let server = Server::start(vec![said(kind, taken, "41")]).await;
        let watching = watched(&node(options_of(kind, &server)), &json!({"mode": named})).await;
        assert_eq!(completed(&watching)["age"], 41, "{kind:?}");
        let expected = format!("asked in mode `{taken}`, not mode `{named}`: the provider does not have it");
        assert_eq!(warnings(&watching), expected);
    }
    // Known by the model's name, and nothing to tell one who left the choice to us.
    let server = Server::start(vec![said(Kind::OpenAi, "tools", "41")]).await;
    let watching = watched(
        &node(options_of(Kind::OpenAi, &server)),
        &json!({"model": "fake/gpt-4-turbo"}),
    )
    .await;
    assert_eq!(
        (completed(&watching)["age"].clone(), warnings(&watching)),
        (json!(41), String::new())
    );
}

#[tokio::test]
async fn context_is_written_into_the_prompt_and_nowhere_else() {
    let server = Server::start(vec![said(Kind::OpenAi, "text", "41")]).await;
    let node = node(options_of(Kind::OpenAi, &server));
    let members = json!({
        "input": null, "context": {"who": "Ada {{ who }}", "rules": ["brief", "exact"]},
        "messages": [
            {"role": "system", "content": "Be {% for rule in rules %}{{ rule }}{% if not loop.last %} and {% endif %}{% endfor %}."},
            {"role": "user", "content": [{"type": "text", "text": "{{ who|upper }}"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,{{x}}"}}]},
        ],
    });
    assert_eq!(completed(&watched(&node, &members).await)["age"], 41);
    let messages = server.request(0).1["messages"].clone();
    assert_eq!(messages[0]["content"], "Be brief and exact.");
    assert_eq!(messages[1]["content"][0]["text"], "ADA {{ WHO }}");
    assert_eq!(
        messages[1]["content"][1]["image_url"]["url"],
        "data:image/png;base64,{{x}}"
    );
}

/// Every kind has a row for every mode but that of parallel calls, which are tools.
#[test]
fn the_table_of_modes_is_whole() {
    for kind in Kind::ALL {
        for mode in MODES.iter().filter(|mode| mode.dialect != Dialect::ParallelTools) {
            let rows = MODE_ROWS
                .iter()
                .filter(|row| row.kind == kind && row.dialect == mode.dialect);
            assert_eq!(rows.count(), 1, "{kind:?} {mode:?}");
            assert_eq!(mode.dialect.mode(), mode);
        }
    }
    let last = MODES.iter().filter(|mode| mode.next.is_none());
    assert_eq!(
        last.map(|mode| mode.dialect).collect::<Vec<_>>(),
        [Dialect::MdJson]
    );
    for row in MODE_ROWS {
        assert_eq!(row.carries.is_empty(), matches!(row.takes, Taken::No), "{row:?}");
    }
}
