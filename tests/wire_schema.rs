//! `proto/schema/*.json` take what the code writes, and refuse what it refuses.

use livedraft::wire::{ClientMessage, Limits, ServerMessage};
use proptest::prelude::*;
use proptest::test_runner::Config;
use serde_json::{Value as Json, json};

use crate::wire_docs::examples;
use crate::wire_samples::{CLIENT_TYPES, SERVER_TYPES, client_edges, server_edges};
use crate::wire_strategies::{client_message, server_message};

const CLIENT: &str = include_str!("../proto/schema/client.schema.json");
const SERVER: &str = include_str!("../proto/schema/server.schema.json");

fn parsed(schema: &str) -> Json {
    serde_json::from_str(schema).expect("a schema is JSON")
}

fn compiled(schema: &Json) -> jsonschema::Validator {
    jsonschema::validator_for(schema).expect("a schema")
}

/// The server's schema, closed: a member that it does not name is refused.
fn server_closed() -> jsonschema::Validator {
    fn close(schema: &mut Json) {
        match schema {
            Json::Object(members) => {
                members.values_mut().for_each(close);
                if members.get("properties").is_some_and(Json::is_object) {
                    members.insert("additionalProperties".to_owned(), json!(false));
                }
            }
            Json::Array(items) => items.iter_mut().for_each(close),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut schema = parsed(SERVER);
    close(&mut schema);
    compiled(&schema)
}

fn takes(validator: &jsonschema::Validator, text: &str) -> Result<(), String> {
    // A number that no double holds is a draft's right, but not something this validator can read.
    if text.contains("1e400") {
        return Ok(());
    }
    let message: Json = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
    validator
        .validate(&message)
        .map_err(|error| format!("{error}: {text}"))
}

proptest! {
    #![proptest_config(Config { failure_persistence: None, ..Config::with_cases(8) })]

    #[test]
    fn what_the_code_writes_is_taken(
        clients in proptest::collection::vec(client_message(), 64),
        servers in proptest::collection::vec(server_message(), 64),
    ) {
        let (client, server) = (compiled(&parsed(CLIENT)), server_closed());
        for message in clients {
            prop_assert_eq!(takes(&client, &message.encode().expect("encodes")), Ok(()));
        }
        for message in servers {
            prop_assert_eq!(takes(&server, &message.encode().expect("encodes")), Ok(()));
        }
    }
}

#[test]
fn edges_and_examples_are_taken() {
    let (client, server) = (compiled(&parsed(CLIENT)), server_closed());
    let clients = client_edges()
        .into_iter()
        .map(|message| message.encode().expect("encodes"));
    for text in clients.chain(examples("client")) {
        assert_eq!(takes(&client, &text), Ok(()));
    }
    let servers = server_edges()
        .into_iter()
        .map(|message| message.encode().expect("encodes"));
    for text in servers.chain(examples("server")) {
        assert_eq!(takes(&server, &text), Ok(()));
    }
}

#[test]
fn the_schemas_name_every_type() {
    for (schema, types) in [(CLIENT, CLIENT_TYPES), (SERVER, SERVER_TYPES)] {
        let schema = parsed(schema);
        let named: Vec<_> = schema["oneOf"].as_array().expect("a list").iter().collect();
        let listed: Vec<_> = types
            .iter()
            .map(|kind| json!({"$ref": format!("#/$defs/{kind}")}))
            .collect();
        assert_eq!(named, listed.iter().collect::<Vec<_>>());
    }
}

#[test]
fn what_the_server_refuses_its_schema_refuses() {
    let client = compiled(&parsed(CLIENT));
    let request = r#"{"model":"m","schema":{}}"#;
    let refused = [
        "[]".to_owned(),
        "{}".to_owned(),
        r#"{"type":7}"#.to_owned(),
        r#"{"type":"job.create"}"#.to_owned(),
        r#"{"type":"job.applaud"}"#.to_owned(),
        r#"{"type":"ping","x":1}"#.to_owned(),
        r#"{"type":"auth"}"#.to_owned(),
        r#"{"type":"job.get","job_id":7}"#.to_owned(),
        r#"{"type":"job.get","job_id":"x","id":"y"}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","position":{"epoch":"12","seq":1}}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","position":{"epoch":"0123456789abcdef","seq":-1}}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","deliver":{"as":"fields"}}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","deliver":{"form":"patch"}}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","deliver":null}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","deliver":["patch"]}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","deliver":{"as":{"patch":null}}}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","position":["0123456789abcdef",1]}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"x","position":{"epoch":"0123456789abcdef","seq":1,"at":2}}"#
            .to_owned(),
        format!(r#"{{"type":"job.create","request":{request},"wrap":"iterable"}}"#),
        r#"{"type":"job.create","request":{"model":"m","schema":{},"flush_ms":-1}}"#.to_owned(),
        r#"{"type":"job.create","request":{"model":"m","schema":{},"mode":"xml"}}"#.to_owned(),
        r#"{"type":"job.create","request":{"model":"m","schema":{},"sampling":{"top_k":1}}}"#.to_owned(),
        r#"{"type":"job.create","request":{"model":"m","schema":{},"messages":[{"role":"boss"}]}}"#
            .to_owned(),
        r#"{"type":"job.create","request":{"model":"m","schema":{},"script":{"speed":1}}}"#.to_owned(),
    ];
    for text in &refused {
        assert!(takes(&client, text).is_err(), "the schema takes {text}");
        assert!(
            ClientMessage::decode(text, &Limits::default()).is_err(),
            "the server takes {text}"
        );
    }
    let taken = format!(r#"{{"type":"job.create","ref":null,"request":{request}}}"#);
    assert_eq!(takes(&client, &taken), Ok(()));
    assert!(ClientMessage::decode(&taken, &Limits::default()).is_ok());
}

#[test]
fn the_closed_schema_refuses_a_member_that_nobody_named() {
    let text = r#"{"type":"goodbye","reconnect_after_ms":5,"because":"why not"}"#;
    assert!(takes(&server_closed(), text).is_err());
    assert_eq!(
        takes(&compiled(&parsed(SERVER)), text),
        Ok(()),
        "the published one leaves room"
    );
    assert!(ServerMessage::decode(text).is_ok());
}
