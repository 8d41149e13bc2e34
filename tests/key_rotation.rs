//! Keys that end: by their time, and by being taken out of the configuration of a server that runs.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![cfg(unix)]

use std::fs;
use std::path::PathBuf;

use livedraft::access::{NewKey, Scope, Token};
use livedraft::clock;
use livedraft::hub::HubOptions;
use livedraft::server::ServerOptions;
use serde_json::{Value as Json, json};

use crate::harness::{Client, create, house_with, options};
use crate::redis_server::RedisServer;
use crate::serving::Serving;

fn made(id: &str) -> NewKey {
    let random = clock::secret().unwrap();
    NewKey::make(id, "acme", Scope::ALL.into_iter().collect(), random).unwrap()
}

async fn status(url: &str, key: &Token) -> (u16, String) {
    let get = Serving::http().get(url).bearer_auth(key.reveal());
    let answer = get.send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_whose_time_is_over_is_an_unknown_one() {
    let (mut over, going, unknown) = (made("over"), made("going"), made("unknown"));
    over.entry.expires = Some("2020-01-01T00:00:00+02:00".parse().unwrap());
    let options = ServerOptions {
        keys: vec![over.entry.clone(), going.entry.clone()],
        ..options()
    };
    let house = house_with(options, HubOptions::default());
    let url = house.url("/v1/models");
    let strange = status(&url, &unknown.token).await;
    assert_eq!(strange.0, 401);
    assert_eq!(status(&url, &over.token).await, strange);
    let refused = async |key: &NewKey| {
        let mut client = house.fresh().await;
        client
            .send(json!({"type": "auth", "token": key.token.reveal()}))
            .await;
        client.closed().await
    };
    let strange_too = refused(&unknown).await;
    assert_eq!(strange_too.0, Some(4401));
    assert_eq!(refused(&over).await, strange_too);
    // One that goes while its socket is open and its stream is read: both end.
    let mut client = house.client_with(&going.token).await;
    let (job, _) = client.create().await;
    let events = house.url(&format!("/v1/jobs/{job}/events"));
    let events = Serving::http().get(events).bearer_auth(going.token.reveal());
    let stream = events.send().await.unwrap();
    house.running.rekey(&[over.entry]).unwrap();
    assert_eq!(status(&url, &going.token).await, strange);
    client.send(json!({"type": "ping"})).await;
    assert_eq!(client.closed().await, strange_too);
    house.claim().await.attempt(1).await;
    let rest = stream.text().await.unwrap();
    assert!(
        !rest.contains("job.attempt"),
        "nothing of the job is told any more: {rest}"
    );
}

/// A configuration that is written anew; taken away at the end.
struct File(PathBuf);

impl File {
    fn write(&self, keys: &[&NewKey], more: &str) {
        let entry = |key: &&NewKey| {
            let (id, hash) = (&key.entry.id, &key.entry.sha256);
            format!("[keys.{id}]\nsha256 = \"{hash}\"\ntenant = \"acme\"\n")
        };
        let text: String = keys.iter().map(entry).collect();
        fs::write(&self.0, text + more).unwrap();
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// What a configuration may say of tenants.
const ONE_WAITS: &str = "[tenants]\nqueued_max = 1\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tenants_may_have_is_read_again_where_there_are_no_keys() {
    let path = std::env::temp_dir().join(format!("livedraft-tenants-{}.toml", std::process::id()));
    let file = File(path);
    file.write(&[], "");
    let serving = Serving::start(&["--config", file.0.to_str().unwrap()], &[]);
    file.write(&[], ONE_WAITS);
    serving.signal("HUP");
    let told = serving.line("what tenants may have");
    assert!(told.contains("were read again"), "{told}");
    serving.signal("TERM");
    assert_eq!(serving.ended().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_reads_its_keys_again() {
    let (old, new) = (made("old"), made("new"));
    let path = std::env::temp_dir().join(format!("livedraft-worker-keys-{}.toml", std::process::id()));
    let file = File(path);
    file.write(&[&old], "");
    let redis = RedisServer::start();
    let at = ["--status-bind", "127.0.0.1:0", "--redis", &redis.url()];
    let config = ["worker", "--config", file.0.to_str().unwrap()];
    let worker = Serving::start_as(&[&config[..], &at].concat(), &[]);
    let url = worker.url("/metrics");
    let known = async |key: &NewKey| status(&url, &key.token).await.0 == 200;
    assert!(known(&old).await && !known(&new).await);
    file.write(&[&new], "");
    worker.signal("HUP");
    worker.line("were read again");
    assert!(known(&new).await && !known(&old).await);
    worker.terminate();
    assert_eq!(worker.ended().0, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_read_again_while_the_server_runs() {
    let (old, stays, new) = (made("old"), made("stays"), made("new"));
    let path = std::env::temp_dir().join(format!("livedraft-keys-{}.toml", std::process::id()));
    let file = File(path);
    file.write(&[&old, &stays], "");
    let serving = Serving::start(&["--config", file.0.to_str().unwrap()], &[]);
    let url = serving.url("/v1/models");
    let known = async |keys: [&NewKey; 3]| {
        let mut known = Vec::new();
        for key in keys {
            known.push(status(&url, &key.token).await.0 == 200);
        }
        known
    };
    let all = [&old, &stays, &new];
    assert_eq!(known(all).await, [true, true, false]);
    let open = async |key: &NewKey| {
        let url = format!("ws://{}/v1/ws", serving.address);
        let (socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let mut client = Client { socket };
        client
            .send(json!({"type": "auth", "token": key.token.reveal()}))
            .await;
        client.expect("welcome").await;
        client
    };
    let (mut of_old, mut of_stays) = (open(&old).await, open(&stays).await);

    // What is not sound changes nothing, and is told.
    file.write(&[&new], "[keys.bad]\nsha256 = \"x\"\n[server]\nnonsense = 1\n");
    serving.signal("HUP");
    assert!(serving.line("nonsense").contains("is no key"));
    serving.line("stay as they were");
    file.write(&[], ONE_WAITS);
    serving.signal("HUP");
    assert!(serving.line("stay as they were").contains("no key is left"));
    assert_eq!(known(all).await, [true, true, false]);
    // Neither what else the file said.
    let ask = async |path: &str, body: Json| {
        let post = Serving::http().post(serving.url(path)).json(&body);
        let answer = post.bearer_auth(stays.token.reveal()).send().await.unwrap();
        answer.status().as_u16()
    };
    let job = || json!({"model": "scripted", "input": "x", "schema": {"type": "number"}});
    assert_eq!(ask("/v1/queue/pause", json!({})).await, 200);
    for _ in 0..2 {
        assert_eq!(ask("/v1/jobs", job()).await, 201);
    }

    file.write(&[&stays, &new], ONE_WAITS);
    serving.signal("HUP");
    serving.line("were read again");
    assert_eq!(known(all).await, [false, true, true]);
    assert_eq!(ask("/v1/jobs", job()).await, 503, "two wait");
    file.write(&[&stays, &new], "");
    serving.signal("HUP");
    serving.line("were read again");
    of_stays.send(create("c")).await;
    of_stays.expect("job.accepted").await;
    of_old.send(create("c")).await;
    let (code, told) = of_old.closed().await;
    assert_eq!((code, &told[0]["code"]), (Some(4401), &json!("unauthorized")));
    serving.signal("TERM");
    assert_eq!(serving.ended().0, Some(0));
}
