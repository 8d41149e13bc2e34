//! What a client must not send: names told twice, shapes beside the protocol's, names that mean something to a
//! library; and how much of it comes back.

use livedraft::job::{JobSpec, Message, Role, SpecLimits, Usage};
use livedraft::wire::{BadMessage, ClientMessage, Code, Limits, decode_request};
use serde_json::{Value as Json, json};

fn refusal(text: &str) -> BadMessage {
    match ClientMessage::decode(text, &Limits::default()) {
        Ok(message) => panic!("taken: {text}: {message:?}"),
        Err(fault) => fault,
    }
}

fn create(request: &str) -> String {
    format!(r#"{{"type":"job.create","request":{request}}}"#)
}

fn request(text: &str) -> JobSpec {
    match ClientMessage::decode(&create(text), &Limits::default()) {
        Ok(ClientMessage::Create(create)) => create.request,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn a_name_told_twice_is_bad_json_wherever_it_stands() {
    let envelopes = [
        r#"{"type":"ping","type":"auth"}"#.to_owned(),
        r#"{"type":"ping","typ\u0065":"ping"}"#.to_owned(),
        r#"{"type":"job.get","job_id":"a","job_id":"b"}"#.to_owned(),
        r#"{"type":"job.attach","job_id":"a","deliver":{"notes":true,"notes":false}}"#.to_owned(),
        create(r#"{"model":"m","model":"n","schema":{}}"#),
        create(r#"{"model":"m","schema":{},"metadata":{"k":"1","k":"2"}}"#),
        create(r#"{"model":"m","schema":{"properties":{"a":{},"a":{"type":"null"}}}}"#),
        create(
            r#"{"model":"m","schema":{},"messages":[{"role":"user","content":[{"text":"","text":"x"}]}]}"#,
        ),
    ];
    for text in &envelopes {
        let fault = refusal(text);
        assert_eq!((fault.code, fault.path), (Code::BadJson, None), "{text}");
        assert!(fault.message.contains("twice"), "{}", fault.message);
        assert!(fault.message.contains("line 1 column"), "{}", fault.message);
    }
    let body = r#"{"model":"m","schema":{},"idempotency_key":"a","idempotency_key":"b"}"#;
    assert_eq!(
        decode_request(body, &Limits::default()).unwrap_err().code,
        Code::BadJson
    );
    // The same name in two objects is no repetition.
    let spec =
        request(r#"{"model":"m","schema":{"properties":{"a":{"properties":{"a":{}}},"b":{"title":"a"}}}}"#);
    assert_eq!(spec.schema["properties"]["a"]["properties"]["a"], json!({}));
}

#[test]
fn only_the_shapes_of_the_protocol_are_taken() {
    let position = r#"{"epoch":"0123456789abcdef","seq":1}"#;
    let table = [
        (
            r#"{"type":"job.attach","job_id":"a","deliver":["snapshot"]}"#.to_owned(),
            "/deliver",
        ),
        (
            r#"{"type":"job.attach","job_id":"a","deliver":{"as":{"snapshot":null}}}"#.to_owned(),
            "/deliver/as",
        ),
        (
            r#"{"type":"job.attach","job_id":"a","position":["0123456789abcdef",1]}"#.to_owned(),
            "/position",
        ),
        (
            format!(
                r#"{{"type":"job.attach","job_id":"a","position":{}}}"#,
                position.replace('}', r#","at":2}"#)
            ),
            "/position/at",
        ),
        (create(r#"["m",[],null,{}]"#), "/request"),
        (
            create(r#"{"model":"m","schema":{},"sampling":[1.0]}"#),
            "/request/sampling",
        ),
        (
            create(r#"{"model":"m","schema":{},"limits":[5]}"#),
            "/request/limits",
        ),
        (
            create(r#"{"model":"m","schema":{},"mode":{"tools":null}}"#),
            "/request/mode",
        ),
        (
            create(r#"{"model":"m","schema":{},"messages":[["user","hi"]]}"#),
            "/request/messages/0",
        ),
        (
            create(r#"{"model":"m","schema":{},"script":[]}"#),
            "/request/script",
        ),
    ];
    for (text, path) in &table {
        let fault = refusal(text);
        assert_eq!(
            (fault.code, fault.path.as_deref()),
            (Code::BadRequest, Some(*path)),
            "{text}"
        );
    }
    let attach = format!(r#"{{"type":"job.attach","job_id":"a","position":{position}}}"#);
    assert!(ClientMessage::decode(&attach, &Limits::default()).is_ok());
}

/// The name under which `serde_json` carries raw text between its own types.
const CARRIER: &str = "$serde_json::private::RawValue";

#[test]
fn no_name_means_more_than_itself() {
    let schema = json!({ "properties": { CARRIER: { "const": { CARRIER: "[1]" } } } });
    let spec = request(&json!({ "model": "m", "schema": schema, "input": "x" }).to_string());
    assert_eq!(spec.schema, schema);
    let kept: JobSpec = serde_json::from_str(&serde_json::to_string(&spec).unwrap()).unwrap();
    assert_eq!(kept, spec, "also where the spec is kept as text");
    let content = json!([{ CARRIER: "{}" }]);
    let messages = json!([{ "role": "user", "content": content, "tool_calls": content }]);
    let spec = request(&json!({ "model": "m", "schema": {}, "messages": messages }).to_string());
    assert_eq!(
        (&spec.messages[0].content, spec.messages[0].tool_calls.as_ref()),
        (&content, Some(&content))
    );
    // Text inside text does not lead around the limit of depth.
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let told = ClientMessage::decode(
        &create(&json!({ "model": "m", "schema": { CARRIER: deep } }).to_string()),
        &Limits::default(),
    );
    let Ok(ClientMessage::Create(told)) = told else {
        panic!("{told:?}")
    };
    assert_eq!(told.request.schema[CARRIER], Json::String(deep));
}

#[test]
fn a_refusal_does_not_send_a_megabyte_back() {
    let long = "é".repeat(300_000);
    let table = [
        json!({ "type": "ping", long.clone(): 1 }),
        json!({ "type": "job.get", "job_id": "a", "ref": { "x": long } }),
        json!({ "type": "job.create", "request": { "model": "m", "schema": {}, "flush_ms": long } }),
    ];
    for message in table {
        let fault = refusal(&message.to_string());
        let told = fault.message.len() + fault.path.as_deref().unwrap_or_default().len();
        assert!(told < 2_000, "{told} bytes");
    }
    let twice = format!(r#"{{"{long}":1,"{long}":2}}"#);
    assert!(refusal(&twice).message.len() < 1_000);
}

#[test]
fn all_of_a_prompt_counts() {
    let message = |content: Json, tool_calls: Option<Json>| Message {
        tool_calls,
        ..Message {
            content,
            ..Message::text(Role::Assistant, "")
        }
    };
    let spec = |message: Message| JobSpec {
        messages: vec![message],
        ..request(r#"{"model":"m","schema":{}}"#)
    };
    let long = "x".repeat(2_000);
    let limits = SpecLimits {
        prompt_bytes_max: 1_000,
        ..SpecLimits::default()
    };
    for message in [
        message(json!(long), None),
        message(json!([{ "text": long }]), None),
        message(json!([{ long.clone(): 1 }]), None),
        message(Json::Null, Some(json!([{ "function": { "arguments": long } }]))),
    ] {
        let fault = spec(message).check(&limits).unwrap_err();
        assert_eq!(fault.path, "/messages");
    }
    assert_eq!(spec(message(json!("x"), None)).check(&limits), Ok(()));
    assert_eq!(spec(message(Json::Null, Some(json!([])))).check(&limits), Ok(()));
    // What is no text stays refused beside calls.
    let fault = spec(message(json!(5), Some(json!([]))))
        .check(&limits)
        .unwrap_err();
    assert_eq!(fault.path, "/messages/0/content");
}

#[test]
fn usage_that_a_provider_made_up_does_not_overflow() {
    let most = Usage {
        input_tokens: u64::MAX,
        ..Usage::default()
    };
    assert_eq!(most.plus(most).input_tokens, u64::MAX);
}
