//! Jobs that were given up, as those who run a server meet them: over HTTP and by the command line, and after a restart.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use livedraft::access::{NewKey, Scope, Token};
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::*;
use livedraft::clock;
use livedraft::event::*;
use livedraft::hub::HubOptions;
use livedraft::job::*;
use livedraft::server::ServerOptions;
use serde_json::{Value as Json, json};

use crate::backend_contract::StandingTime;
use crate::durable::Folder;
use crate::harness::{House, house_over, options};
use crate::serving::Serving;

const UNKNOWN: &str = "01990000-0000-7000-8000-000000000001";

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

/// An engine that gives a job up at its first fault.
fn strict() -> EngineOptions {
    EngineOptions {
        deliveries_max: 1,
        ..EngineOptions::default()
    }
}

fn submission(tenant: &str, id: JobId) -> Submission {
    let spec = r#"{"model":"scripted","input":"x","schema":{"type":"object"},"metadata":{"a":"b"}}"#;
    Submission {
        id,
        epoch: epoch(),
        tenant: tenant.into(),
        spec: Arc::new(serde_json::from_str(spec).unwrap()),
        shape: Arc::default(),
        idempotency: None,
    }
}

/// A job that is given up.
async fn dead(engine: &Embedded, tenant: &str) -> JobId {
    let claim = running(engine, tenant).await;
    give_up(engine, &claim).await;
    claim.id
}

async fn running(engine: &Embedded, tenant: &str) -> Claim {
    let own = submission(tenant, JobId::new(clock::job_uuid()));
    engine.submit(own).await.unwrap();
    engine.claim(clock::nonce(), epoch()).await.unwrap().unwrap()
}

async fn give_up(engine: &Embedded, claim: &Claim) {
    let position = Position {
        seq: claim.position.seq + 1,
        ..claim.position
    };
    let waiting = StatusChange {
        status: JobState::Waiting,
        reason: Some("internal".to_owned()),
        until_ms: None,
    };
    let give_up = End {
        outcome: Outcome::Failed,
        error: Some(EndError::new("internal", "it failed again and again")),
        sha256: None,
        best: None,
        usage: Usage::default(),
        attempts: Vec::new(),
        timings: Timings::default(),
        durable: true,
    };
    let failure = Failure {
        again: Write {
            position,
            opens: false,
            event: Event::Status(waiting),
        },
        retry_ms: 0,
        give_up: Box::new(give_up),
    };
    let told = engine.fail(claim.id, claim.token(), failure).await.unwrap();
    assert_eq!(told, Fenced::Ok);
}

fn key(id: &str, tenant: &str, scopes: &[Scope]) -> NewKey {
    let random = clock::secret().unwrap();
    NewKey::make(id, tenant, scopes.iter().copied().collect(), random).unwrap()
}

/// A server with the key of one who runs it, and that of a tenant who may do all else.
fn house() -> (House, Token, Token) {
    let root = key("root", "ops", &[Scope::Admin]);
    let user = key("user", "one", &[Scope::Submit, Scope::Read, Scope::Cancel]);
    let options = ServerOptions {
        keys: vec![root.entry, user.entry],
        ..options()
    };
    let engine = Arc::new(Embedded::new(strict()));
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

fn described(component: &str, answer: &Json) {
    let page: Json = serde_json::from_str(include_str!("../proto/openapi.json")).unwrap();
    let schema =
        json!({"$ref": format!("#/components/schemas/{component}"), "components": page["components"]});
    let validator = jsonschema::validator_for(&schema).unwrap();
    validator
        .validate(answer)
        .unwrap_or_else(|error| panic!("{component}: {error}: {answer}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dead_letters_are_listed_shown_and_redriven() {
    let (house, root, user) = house();
    let (status, none) = ask(&house, "GET", "/v1/dead-letters", &root).await;
    assert_eq!((status, none), (200, json!({"dead_letters": []})));
    let (first, second) = (dead(&house.engine, "one").await, dead(&house.engine, "two").await);

    let (_, all) = ask(&house, "GET", "/v1/dead-letters", &root).await;
    described("dead_letters", &all);
    let letters = all["dead_letters"].as_array().unwrap();
    let told: Vec<_> = letters
        .iter()
        .map(|letter| letter["job_id"].as_str().unwrap())
        .collect();
    assert_eq!(told, [second.to_string(), first.to_string()]);
    assert_eq!(
        (&letters[1]["tenant"], &letters[1]["error"]["code"]),
        (&json!("one"), &json!("internal"))
    );
    assert_eq!(all.get("next"), None, "it is the last page");
    let (_, newest) = ask(&house, "GET", "/v1/dead-letters?limit=1", &root).await;
    described("dead_letters", &newest);
    assert_eq!(newest["dead_letters"], json!([letters[0]]));
    let next = newest["next"].as_str().unwrap();
    let behind = format!("/v1/dead-letters?limit=1&cursor={next}");
    let (status, oldest) = ask(&house, "GET", &behind, &root).await;
    assert_eq!(
        (status, oldest),
        (200, json!({"dead_letters": [letters[1]]})),
        "{next}"
    );

    let path = format!("/v1/dead-letters/{first}");
    let (_, shown) = ask(&house, "GET", &path, &root).await;
    described("dead_letter", &shown);
    assert_eq!(shown["request"]["input"], "x");

    let (status, made) = ask(&house, "POST", &format!("{path}/redrive"), &root).await;
    assert_eq!(status, 201, "{made}");
    described("created", &made);
    let (status, again) = ask(&house, "POST", &format!("{path}/redrive"), &root).await;
    assert_eq!(
        (status, &again["job_id"], &again["existing"]),
        (200, &made["job_id"], &json!(true))
    );
    // It is the tenant's own job, asks for the same, and names what it is made of.
    let job = made["job_id"].as_str().unwrap();
    let (status, _) = ask(&house, "GET", &format!("/v1/jobs/{job}"), &user).await;
    assert_eq!(status, 200);
    let claim = house
        .engine
        .claim(clock::nonce(), epoch())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(claim.id.to_string(), job);
    let metadata = serde_json::to_value(&claim.spec.metadata).unwrap();
    assert_eq!(metadata, json!({"a": "b", "redrive_of": first.to_string()}));
    let (status, _) = ask(&house, "GET", &path, &root).await;
    assert_eq!(status, 404, "it is none any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_run_the_server_hears_nothing_of_dead_letters() {
    let (house, root, user) = house();
    let own = dead(&house.engine, "one").await;
    let letter = format!("/v1/dead-letters/{own}");
    for (method, path) in [
        ("GET", "/v1/dead-letters"),
        ("GET", letter.as_str()),
        ("POST", &format!("{letter}/redrive")),
    ] {
        let (status, told) = ask(&house, method, path, &user).await;
        assert_eq!(
            (status, &told["code"]),
            (403, &json!("forbidden")),
            "{method} {path}"
        );
    }
    assert_eq!(
        house.engine.dead_letters(None, 10).await.unwrap().letters.len(),
        1
    );
    for (method, path, expected) in [
        ("GET", format!("/v1/dead-letters/{UNKNOWN}"), (404, "not_found")),
        ("GET", "/v1/dead-letters/none".to_owned(), (404, "not_found")),
        (
            "POST",
            format!("/v1/dead-letters/{UNKNOWN}/redrive"),
            (404, "not_found"),
        ),
        ("GET", "/v1/dead-letters?limit=0".to_owned(), (400, "bad_request")),
        (
            "GET",
            "/v1/dead-letters?limit=101".to_owned(),
            (400, "bad_request"),
        ),
        ("GET", "/v1/dead-letters?other=1".to_owned(), (400, "bad_request")),
    ] {
        let (status, told) = ask(&house, method, &path, &root).await;
        assert_eq!(
            (status, told["code"].as_str().unwrap()),
            expected,
            "{method} {path}"
        );
    }
}

/// A cursor that is none is told of by its place, what came, and what it may be.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_of_dead_letters_that_is_none_is_refused() {
    let (house, root, _) = house();
    let long = format!("1.{UNKNOWN}0");
    let signed = format!("%2B1.{UNKNOWN}");
    for cursor in [
        "",
        "x",
        "1",
        UNKNOWN,
        "1.x",
        ".",
        &long,
        &signed,
        "99999999999999999999.x",
    ] {
        let (status, told) = ask(&house, "GET", &format!("/v1/dead-letters?cursor={cursor}"), &root).await;
        described("problem", &told);
        assert_eq!((status, &told["code"]), (400, &json!("bad_request")), "{cursor}");
        assert_eq!(told["path"], "/cursor", "{cursor}");
        let message = told["message"].as_str().unwrap();
        assert!(
            message.contains("cursor=") && message.contains("`next`"),
            "{message}"
        );
    }
    let good = format!("/v1/dead-letters?cursor=0.{UNKNOWN}");
    assert_eq!(
        ask(&house, "GET", &good, &root).await,
        (200, json!({"dead_letters": []}))
    );
}

/// A dead letter is there after a restart, and so is what became of it.
#[tokio::test]
async fn dead_letters_survive_a_restart() {
    let folder = Folder::new("dead-letters");
    let open = async || Embedded::open(strict(), folder.store().await).await.unwrap();
    let engine = open().await;
    let letter = dead(&engine, "one").await;
    engine.close().await;
    drop(engine);
    let engine = open().await;
    let letters = engine.dead_letters(None, 10).await.unwrap().letters;
    assert_eq!(letters.len(), 1);
    let error = letters[0].end.error.as_ref().map(|error| error.code.as_str());
    assert_eq!((letters[0].id, error), (letter, Some("internal")));
    let (_, request) = engine.dead_letter(letter).await.unwrap().unwrap();
    let new = Submission {
        spec: request.spec,
        ..submission("one", JobId::new(clock::job_uuid()))
    };
    let told = engine.redrive(letter, new.clone()).await.unwrap();
    assert!(matches!(told, Some(Submitted::New { .. })), "{told:?}");
    engine.close().await;
    drop(engine);
    let engine = open().await;
    assert!(engine.dead_letters(None, 10).await.unwrap().letters.is_empty());
    assert_eq!(
        engine.redriven(letter).await.unwrap(),
        Some(Submitted::existing(new.id))
    );
    let claim = engine.claim(clock::nonce(), epoch()).await.unwrap().unwrap();
    assert_eq!((claim.id, &claim.spec), (new.id, &new.spec));
    engine.close().await;
}

/// Pages go on over a restart, also those of a millisecond.
#[tokio::test(start_paused = true)]
async fn a_cursor_of_dead_letters_survives_a_restart() {
    let _time = StandingTime::keep();
    let folder = Folder::new("dead-letter-pages");
    let open = async || Embedded::open(strict(), folder.store().await).await.unwrap();
    let engine = open().await;
    let mut claims = Vec::new();
    for _ in 0..5 {
        claims.push(running(&engine, "one").await);
    }
    for claim in claims.iter().rev() {
        give_up(&engine, claim).await;
    }
    let all = engine.dead_letters(None, 10).await.unwrap().letters;
    assert_eq!(all.len(), 5);
    let first = engine.dead_letters(None, 2).await.unwrap();
    engine.close().await;
    drop(engine);
    let engine = open().await;
    assert_eq!(engine.dead_letters(None, 2).await.unwrap(), first);
    let others = engine.dead_letters(first.next, 10).await.unwrap();
    assert_eq!((&others.letters[..], others.next), (&all[2..], None));
    engine.close().await;
}

fn livedraft(house: &House, key: Option<&Token>, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_livedraft"));
    command.args(arguments).stdin(Stdio::null());
    command.env("LIVEDRAFT_URL", format!("ws://{}", house.running.addr()));
    command.env_remove("LIVEDRAFT_KEY");
    if let Some(key) = key {
        command.env("LIVEDRAFT_KEY", key.reveal());
    }
    command.output().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_lists_shows_and_redrives() {
    let (house, root, user) = house();
    let letter = dead(&house.engine, "one").await.to_string();
    let told = |output: &Output| String::from_utf8(output.stdout.clone()).unwrap();
    let list = livedraft(&house, Some(&root), &["dead"]);
    assert_eq!(list.status.code(), Some(0), "{list:?}");
    let line = told(&list);
    let fields: Vec<&str> = line.trim_end().split('\t').collect();
    assert_eq!((fields[0], fields[1], fields[3]), (letter.as_str(), "one", "0"));
    assert_eq!(fields[4], "internal: it failed again and again");
    let shown: Json =
        serde_json::from_str(&told(&livedraft(&house, Some(&root), &["dead", &letter]))).unwrap();
    assert_eq!(shown["request"]["input"], "x");
    let made = livedraft(&house, Some(&root), &["redrive", &letter]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let again = livedraft(&house, Some(&root), &["redrive", &letter]);
    assert_eq!(told(&made), told(&again), "the same new job");
    let claim = house
        .engine
        .claim(clock::nonce(), epoch())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(told(&made).trim_end(), claim.id.to_string());
    assert_eq!(told(&livedraft(&house, Some(&root), &["dead"])), "");
    for (key, arguments) in [
        (Some(&user), &["dead"][..]),
        (None, &["dead"]),
        (Some(&root), &["redrive", UNKNOWN]),
        (Some(&root), &["redrive", "../jobs"]),
    ] {
        assert_eq!(
            livedraft(&house, key, arguments).status.code(),
            Some(2),
            "{arguments:?}"
        );
    }
}

/// As many as are asked for, from as many pages as they take; and from where an answer before ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_command_line_goes_from_page_to_page() {
    let (house, root, _) = house();
    let mut all = Vec::new();
    for _ in 0..105 {
        all.insert(0, dead(&house.engine, "one").await.to_string());
    }
    let list = |arguments: &[&str]| {
        let output = livedraft(&house, Some(&root), &[&["dead"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let (told, said) = (output.stdout, output.stderr);
        (String::from_utf8(told).unwrap(), String::from_utf8(said).unwrap())
    };
    let ids = |told: &str| -> Vec<String> {
        let first = told.lines().map(|line| line.split('\t').next().unwrap());
        first.map(str::to_owned).collect()
    };
    let (told, said) = list(&["--limit", "1000"]);
    assert_eq!((ids(&told), said.as_str()), (all.clone(), ""));
    let (told, said) = list(&["--limit", "103"]);
    assert_eq!(ids(&told), all[..103]);
    let cursor = said.trim_end().rsplit(' ').next().unwrap();
    let (told, _) = list(&["--cursor", cursor]);
    assert_eq!(ids(&told), all[103..]);

    let (document, _) = list(&["--limit", "103", "--json"]);
    let document: Json = serde_json::from_str(&document).unwrap();
    described("dead_letters", &document);
    assert_eq!(document["next"], cursor);
    assert_eq!(document["dead_letters"].as_array().unwrap().len(), 103);
    for cursor in ["x&limit=1", "x"] {
        let refused = livedraft(&house, Some(&root), &["dead", "--cursor", cursor]);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    }
}
