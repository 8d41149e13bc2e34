//! `proto/openapi.json` describes the HTTP face that is there: its routes, codes, limits and answers.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};

use livedraft::job::{JobSpec, Outcome, Priority, SpecLimits};
use livedraft::wire::{Code, Limits, decode_request};
use serde_json::{Value as Json, json};

use crate::harness::{House, archived_house, options, request};
use crate::serving::Serving;
use crate::wire_docs::examples;

const PAGE: &str = include_str!("../proto/openapi.json");
const CLIENT: &str = include_str!("../proto/schema/client.schema.json");
const SERVER: &str = include_str!("../proto/schema/server.schema.json");
/// The routes as they are registered.
const ROUTES: &str = include_str!("../src/server/http.rs");

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).expect("JSON")
}

/// A validator for one of the page's components.
fn component(name: &str) -> jsonschema::Validator {
    let page = parsed(PAGE);
    let schema = json!({"$ref": format!("#/components/schemas/{name}"), "components": page["components"]});
    jsonschema::validator_for(&schema).expect("a schema")
}

#[test]
fn every_route_is_described_and_nothing_else() {
    // A route is registered as `only("/path", "METHODS", …)`, on one line or on three.
    let code = ROUTES.split("only(").skip(1).filter_map(|call| {
        let mut words = call.split('"');
        let (path, methods) = (words.nth(1)?, words.nth(1)?);
        let methods = methods.split(", ").filter(|method| *method != "HEAD");
        let methods: BTreeSet<_> = methods.map(str::to_lowercase).collect();
        path.starts_with('/').then(|| (path.to_owned(), methods))
    });
    let page = parsed(PAGE);
    let told = page["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys().cloned().collect();
            (path.clone(), methods)
        });
    let (code, told): (BTreeMap<_, BTreeSet<_>>, BTreeMap<_, _>) = (code.collect(), told.collect());
    assert_eq!(told, code);
    assert!(code.len() >= 10);
}

#[test]
fn the_codes_are_the_codes() {
    let told = parsed(PAGE)["components"]["schemas"]["problem"]["properties"]["code"]["enum"].clone();
    let code: Vec<_> = Code::all().map(Code::name).collect();
    assert_eq!(told, json!(code));
}

#[test]
fn what_the_socket_tells_too_is_described_alike() {
    let page = parsed(PAGE);
    let told = &page["components"]["schemas"];
    let (client, server) = (parsed(CLIENT), parsed(SERVER));
    let names = |schema: &Json| -> BTreeSet<String> {
        schema["properties"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect()
    };
    for (here, there) in [
        ("message", "message"),
        ("sampling", "sampling"),
        ("job_limits", "limits"),
        ("script", "script"),
    ] {
        assert_eq!(names(&told[here]), names(&client["$defs"][there]), "{here}");
    }
    let mut request = names(&client["$defs"]["request"]);
    request.insert("idempotency_key".to_owned());
    assert_eq!(names(&told["request"]), request);
    for (here, there) in [
        ("state", "job.state"),
        ("created", "job.accepted"),
        ("cancelling", "job.cancelling"),
        ("ruled", "job.ruled"),
        ("problem", "error"),
    ] {
        let mut there = names(&server["$defs"][there]);
        there.retain(|name| name != "type" && name != "ref");
        assert_eq!(names(&told[here]), there, "{here}");
    }
    let plain = |schema: &Json| schema.to_string().replace("#/components/schemas/", "#/$defs/");
    for name in [
        "status",
        "reason",
        "attempt",
        "errors",
        "usage",
        "timings",
        "end_error",
        "paths",
        "epoch",
        "u32",
        "u64",
    ] {
        assert_eq!(plain(&told[name]), plain(&server["$defs"][name]), "{name}");
    }
    let parameters = page["paths"]["/v1/jobs/{job}/events"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let query = parameters
        .iter()
        .filter(|one| one["in"] == "query" && one["name"] != "starting_after");
    let query: BTreeSet<_> = query
        .map(|one| one["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(query, names(&client["$defs"]["deliver"]));
}

#[test]
fn the_bounds_are_the_defaults() {
    let page = parsed(PAGE);
    let schemas = &page["components"]["schemas"];
    let request = &schemas["request"]["properties"];
    let limits = SpecLimits::default();
    assert_eq!(request["messages"]["maxItems"], limits.messages_max);
    assert_eq!(request["max_reasks"]["maximum"], limits.reasks_max);
    assert_eq!(request["verdict_ms"]["maximum"], limits.verdict_ms_max);
    let unviewed = &request["on_last_viewer_gone"]["oneOf"][1]["properties"]["cancel_after_ms"];
    assert_eq!(unviewed["maximum"], limits.unviewed_ms_max);
    let priority = &request["priority"];
    assert_eq!(priority["minimum"], Priority::LAST.0);
    assert_eq!(priority["maximum"], Priority::FIRST.0);
    assert_eq!(priority["default"], Priority::default().0);
    assert_eq!(request["max_reasks"]["default"], JobSpec::DEFAULT_REASKS);
    assert_eq!(request["flush_ms"]["maximum"], limits.flush_ms_max);
    assert_eq!(request["flush_ms"]["default"], JobSpec::DEFAULT_FLUSH_MS);
    assert_eq!(request["metadata"]["maxProperties"], limits.metadata_max);
    assert_eq!(
        request["metadata"]["propertyNames"]["maxLength"],
        limits.metadata_bytes_max
    );
    let job = &schemas["job_limits"]["properties"];
    assert_eq!(job["tokens"]["maximum"], limits.tokens_max);
    assert_eq!(job["bytes"]["maximum"], limits.answer_bytes_max);
    assert_eq!(job["seconds"]["maximum"], limits.seconds_max);
    assert_eq!(
        request["idempotency_key"]["maxLength"],
        Limits::default().idempotency_key_bytes_max
    );
}

/// A body, and whether it is taken.
fn bodies() -> Vec<(Json, bool)> {
    let with = |member: &str, value: Json| {
        let mut body = request();
        body[member] = value;
        body
    };
    let mut bodies = vec![(request(), true)];
    let taken = [
        ("mode", json!("md_json")),
        ("wrap", Json::Null),
        ("wrap", json!("maybe")),
        ("lenient", json!("auto")),
        ("reask", json!("whole")),
        ("max_reasks", json!(10)),
        ("sampling", json!({"temperature": 2, "seed": -1, "stop": ["x"]})),
        ("limits", json!({"tokens": 1, "bytes": null})),
        ("metadata", json!({"a": "b"})),
        ("script", json!({"hang_after": 0})),
        ("messages", json!([])),
        ("idempotency_key", json!("k")),
    ];
    let refused = [
        ("mode", json!("xml")),
        ("wrap", json!("list")),
        ("lenient", json!(true)),
        ("reask", json!("places")),
        ("max_reasks", json!(11)),
        ("flush_ms", json!(-1)),
        ("sampling", json!({"temperature": 2.1})),
        ("sampling", json!({"stop": ["1", "2", "3", "4", "5"]})),
        ("limits", json!({"tokens": 0})),
        ("limits", json!({"seconds": 3601})),
        ("metadata", json!({"a": 1})),
        ("script", json!({"token_chars": 0})),
        ("script", json!({"speed": 1})),
        ("messages", json!([{"role": "user", "content": "x"}])),
        ("input", Json::Null),
        ("idempotency_key", json!(1)),
        ("other", json!(1)),
    ];
    bodies.extend(
        taken
            .into_iter()
            .map(|(member, value)| (with(member, value), true)),
    );
    bodies.extend(
        refused
            .into_iter()
            .map(|(member, value)| (with(member, value), false)),
    );
    for content in [json!("x"), json!([]), Json::Null, json!(1)] {
        let taken = content.is_string() || content.is_array();
        let body =
            json!({"model": "scripted", "schema": {}, "messages": [{"role": "user", "content": content}]});
        bodies.push((body, taken));
    }
    bodies
}

#[test]
fn what_is_taken_is_what_is_described() {
    let validator = component("request");
    for (body, taken) in bodies() {
        let checked = decode_request(&body.to_string(), &Limits::default())
            .is_ok_and(|(spec, _)| spec.check(&SpecLimits::default()).is_ok());
        assert_eq!(checked, taken, "by the code: {body}");
        assert_eq!(validator.is_valid(&body), taken, "by the page: {body}");
    }
    for text in examples("client") {
        let message = parsed(&text);
        if message["type"] == "job.create" {
            assert!(validator.is_valid(&message["request"]), "{text}");
        }
    }
}

async fn answer(house: &House, method: &str, path: &str, body: String) -> (u16, String, String) {
    let method = method.parse().unwrap();
    let response = Serving::http()
        .request(method, house.url(path))
        .body(body)
        .send()
        .await
        .unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .map(|kind| kind.to_str().unwrap().to_owned());
    (
        response.status().as_u16(),
        kind.unwrap_or_default(),
        response.text().await.unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_as_they_are_described() {
    let (house, _) = archived_house(options(), 10).await;
    let page = parsed(PAGE);
    let keyed = |input: &str| {
        let mut body = request();
        body["idempotency_key"] = json!("k");
        body["input"] = json!(input);
        body.to_string()
    };
    let (status, _, text) = answer(&house, "POST", "/v1/jobs", keyed("one")).await;
    assert_eq!(status, 201);
    let job = parsed(&text)["job_id"].as_str().unwrap().to_owned();
    house.claim().await.finish(Outcome::Failed).await;
    let job = format!("/v1/jobs/{job}");
    let unknown = "/v1/jobs/01990000-0000-7000-8000-000000000001";
    for (method, path, body, expected) in [
        ("POST", "/v1/jobs".to_owned(), keyed("one"), 200),
        ("POST", "/v1/jobs".to_owned(), keyed("two"), 409),
        ("POST", "/v1/jobs".to_owned(), "{".to_owned(), 400),
        ("GET", job.clone(), String::new(), 200),
        ("GET", unknown.to_owned(), String::new(), 404),
        ("GET", format!("{job}/attempts"), String::new(), 200),
        ("GET", format!("{unknown}/attempts"), String::new(), 404),
        ("GET", "/v1/jobs".to_owned(), String::new(), 200),
        ("GET", "/v1/jobs?limit=x".to_owned(), String::new(), 400),
        ("POST", format!("{job}/cancel"), String::new(), 202),
        ("POST", format!("{unknown}/cancel"), String::new(), 404),
        ("GET", format!("{job}/events"), String::new(), 200),
        ("GET", format!("{job}/events?as=none"), String::new(), 400),
        ("GET", "/v1/models".to_owned(), String::new(), 200),
        ("GET", "/v1/ws".to_owned(), String::new(), 400),
        ("GET", "/v1/openapi.json".to_owned(), String::new(), 200),
        ("GET", "/livez".to_owned(), String::new(), 200),
        ("GET", "/readyz".to_owned(), String::new(), 200),
        ("GET", "/metrics".to_owned(), String::new(), 200),
    ] {
        let (status, kind, text) = answer(&house, method, &path, body).await;
        assert_eq!(status, expected, "{method} {path}: {text}");
        let route = path
            .split('?')
            .next()
            .unwrap()
            .replace(&job, "/v1/jobs/{job}")
            .replace(unknown, "/v1/jobs/{job}");
        let responses = &page["paths"][&route][method.to_lowercase()]["responses"];
        let mut response = responses.get(status.to_string()).unwrap_or(&responses["default"]);
        if response.get("$ref").is_some() {
            response = &page["components"]["responses"]["problem"];
        }
        let media = kind.split(';').next().unwrap();
        let content = &response["content"][media];
        assert!(content.is_object(), "{route} {status}: {kind} is not described");
        if let Some(name) = content["schema"]["$ref"].as_str() {
            let name = name.trim_start_matches("#/components/schemas/");
            component(name)
                .validate(&parsed(&text))
                .unwrap_or_else(|error| panic!("{route} {status}: {error}: {text}"));
        }
    }
    let (_, kind, text) = answer(&house, "GET", "/v1/openapi.json", String::new()).await;
    assert_eq!((kind.as_str(), text.as_str()), ("application/json", PAGE));
}
