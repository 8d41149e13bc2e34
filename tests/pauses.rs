//! The queue as those who run a server meet it: what is in it, and its pauses, over HTTP and by the command line, over a
//! restart, and as viewers see it.

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use livedraft::access::{NewKey, Scope, Token};
use livedraft::app::App;
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::config::Config;
use livedraft::hub::HubOptions;
use livedraft::server::ServerOptions;
use serde_json::{Value as Json, json};

use crate::backend_contract::{epoch, submission};
use crate::durable::Folder;
use crate::harness::{House, house_over, options};
use crate::serving::Serving;

fn key(id: &str, scopes: &[Scope]) -> NewKey {
    NewKey::make(
        id,
        "one",
        scopes.iter().copied().collect(),
        clock::secret().unwrap(),
    )
    .unwrap()
}

/// A server with the key of one who runs it, and that of a tenant who may do all else.
fn house() -> (House, Token, Token) {
    let (root, user) = (
        key("root", &[Scope::Admin]),
        key("user", &[Scope::Submit, Scope::Read, Scope::Cancel]),
    );
    let options = ServerOptions {
        keys: vec![root.entry, user.entry],
        ..options()
    };
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    (
        house_over(engine, options, HubOptions::default()),
        root.token,
        user.token,
    )
}

async fn ask(house: &House, method: &str, path: &str, key: &Token) -> (u16, Json) {
    let request = Serving::http().request(method.parse().unwrap(), house.url(path));
    let response = request.bearer_auth(key.reveal()).send().await.unwrap();
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

fn described(answer: &Json) {
    let page: Json = serde_json::from_str(include_str!("../proto/openapi.json")).unwrap();
    let schema = json!({"$ref": "#/components/schemas/queue", "components": page["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator
        .validate(answer)
        .unwrap_or_else(|error| panic!("{error}: {answer}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_is_shown_paused_and_let_go_on() {
    let (house, root, _) = house();
    house.engine.submit(submission()).await.unwrap();
    let (status, told) = ask(&house, "GET", "/v1/queue", &root).await;
    described(&told);
    assert_eq!(
        (status, &told["queued"], &told["paused"]),
        (200, &json!(1), &json!(false))
    );
    let (status, told) = ask(&house, "POST", "/v1/queue/pause?tenant=a%20b", &root).await;
    assert_eq!((status, &told["paused_tenants"]), (200, &json!(["a b"])));
    let (_, told) = ask(&house, "POST", "/v1/queue/pause", &root).await;
    described(&told);
    assert_eq!(
        (&told["paused"], &told["paused_tenants"]),
        (&json!(true), &json!(["a b"]))
    );
    assert!(
        house
            .engine
            .claim(clock::nonce(), epoch())
            .await
            .unwrap()
            .is_none()
    );
    let response = Serving::http()
        .get(house.url("/metrics"))
        .bearer_auth(root.reveal());
    let metrics = response.send().await.unwrap().text().await.unwrap();
    for line in [
        r#"livedraft_paused{of="queue"} 1"#,
        r#"livedraft_paused{of="tenants"} 1"#,
    ] {
        assert!(metrics.contains(line), "{line}");
    }
    ask(&house, "POST", "/v1/queue/resume?tenant=a%20b", &root).await;
    let (_, told) = ask(&house, "POST", "/v1/queue/resume", &root).await;
    assert_eq!(
        (&told["paused"], &told["paused_tenants"]),
        (&json!(false), &json!([]))
    );
    assert!(
        house
            .engine
            .claim(clock::nonce(), epoch())
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_run_the_server_pauses_nothing() {
    let (house, root, user) = house();
    for (method, path) in [
        ("GET", "/v1/queue"),
        ("POST", "/v1/queue/pause"),
        ("POST", "/v1/queue/resume?tenant=two"),
    ] {
        let (status, told) = ask(&house, method, path, &user).await;
        assert_eq!(
            (status, &told["code"]),
            (403, &json!("forbidden")),
            "{method} {path}"
        );
    }
    let long = format!("/v1/queue/pause?tenant={}", "x".repeat(129));
    for path in ["/v1/queue/pause?tenant=", "/v1/queue/resume?other=1", &long] {
        let (status, told) = ask(&house, "POST", path, &root).await;
        assert_eq!((status, &told["code"]), (400, &json!("bad_request")), "{path}");
    }
    assert_eq!(house.engine.paused().await.unwrap(), Paused::default());
}

fn livedraft(house: &House, key: &Token, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_livedraft"))
        .args(arguments)
        .stdin(Stdio::null())
        .env("LIVEDRAFT_URL", format!("ws://{}", house.running.addr()))
        .env("LIVEDRAFT_KEY", key.reveal())
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_pauses_and_resumes() {
    let (house, root, user) = house();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_owned()).unwrap();
    let output = livedraft(&house, &root, &["pause", "--tenant", "größe & co"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(
        text(&output.stdout).ends_with("paused\tgröße & co\n"),
        "{output:?}"
    );
    let output = livedraft(&house, &root, &["pause"]);
    assert!(text(&output.stderr).contains("livedraft resume"), "{output:?}");
    assert!(house.engine.paused().await.unwrap().all);
    livedraft(&house, &root, &["resume"]);
    livedraft(&house, &root, &["resume", "--tenant", "größe & co"]);
    assert_eq!(house.engine.paused().await.unwrap(), Paused::default());
    let shown: Json = serde_json::from_slice(&livedraft(&house, &root, &["queue", "--json"]).stdout).unwrap();
    described(&shown);
    assert_eq!(livedraft(&house, &user, &["pause"]).status.code(), Some(2));
}

/// A pause is there after a restart, and what is in line with it.
#[tokio::test]
async fn a_pause_survives_a_restart() {
    let folder = Folder::new("pauses");
    let open = async || {
        let store = folder.store().await;
        Embedded::open(EngineOptions::default(), store).await.unwrap()
    };
    let engine = open().await;
    engine.submit(submission()).await.unwrap();
    engine.pause(None, true).await.unwrap();
    engine.pause(Some("two"), true).await.unwrap();
    engine.pause(Some("one"), true).await.unwrap();
    engine.pause(Some("one"), false).await.unwrap();
    engine.close().await;
    drop(engine);
    let engine = open().await;
    let paused = engine.paused().await.unwrap();
    assert!(
        paused.all && paused.tenants.iter().eq([&Arc::from("two")]),
        "{paused:?}"
    );
    assert!(engine.claim(clock::nonce(), epoch()).await.unwrap().is_none());
    engine.pause(None, false).await.unwrap();
    engine.close().await;
    drop(engine);
    let engine = open().await;
    assert!(engine.claim(clock::nonce(), epoch()).await.unwrap().is_some());
    engine.close().await;
}

/// Who views a job that waits sees that it waits, and then goes on with it, as if nothing had been.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn viewers_of_a_paused_job_see_nothing_odd() {
    let mut config = Config::default();
    config.parts.store.ephemeral = true;
    config.parts.server.bind = "127.0.0.1:0".parse().unwrap();
    config.parts.tenants.running_max = 1;
    let app = App::start(config.parts).await.unwrap();
    let url = |path: &str| format!("http://{}{path}", app.addr());
    let post = async |path: &str, body: Json| -> Json {
        let response = Serving::http().post(url(path)).json(&body).send().await.unwrap();
        response.json().await.unwrap()
    };
    post("/v1/queue/pause", json!({})).await;
    let request = json!({"model": "scripted", "input": "x", "schema": {"type": "object"},
        "script": {"tokens_per_second": 0}});
    let mut jobs = Vec::new();
    for _ in 0..3 {
        jobs.push(
            post("/v1/jobs", request.clone()).await["job_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
    }
    let view = |job: &str| Serving::http().get(url(&format!("/v1/jobs/{job}/events"))).send();
    let first = view(&jobs[0]).await.unwrap();
    post("/v1/queue/resume", json!({})).await;
    for told in [
        first.text().await.unwrap(),
        view(&jobs[1]).await.unwrap().text().await.unwrap(),
        view(&jobs[2]).await.unwrap().text().await.unwrap(),
    ] {
        assert!(told.contains("job.completed"), "{told}");
        assert!(
            !told.contains("recovering") && !told.contains("waiting"),
            "{told}"
        );
    }
    app.stop().await;
}
