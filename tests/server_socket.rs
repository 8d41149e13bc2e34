//! Sockets against a whole server, job by hand.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::Duration;

use livedraft::clock;
use livedraft::hub::HubOptions;
use livedraft::job::{JobId, Outcome};
use livedraft::server::ServerOptions;
use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::{self, Message};
use uuid::Uuid;

use crate::harness::{Client, Hands, create, house, house_with, options, request};

const EMPTY: &str = r#"["",{},0]"#;

fn uuid(number: u128) -> JobId {
    JobId::new(Uuid::from_u128(
        0x0199_0000_0000_7000_8000_0000_0000_0000 + number,
    ))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_from_its_acceptance_to_its_end() {
    let house = house();
    let mut client = house.fresh().await;
    let welcome = client.expect("welcome").await;
    assert_eq!(welcome["models"], json!(["scripted"]));
    let (job, accepted) = client.create().await;
    assert_eq!(accepted["tag"], job.tag().as_str());
    assert_eq!((&accepted["seq"], &accepted["ahead"]), (&json!(1), &json!(0)));

    let mut hands = house.claim().await;
    assert_eq!(hands.job, job);
    assert_eq!(client.expect("job.status").await["status"], "running");
    hands.attempt(1).await;
    assert_eq!(client.expect("job.attempt").await["reason"], "first");
    let first = hands.patch(EMPTY).await;
    assert_eq!(client.told().await, first, "a patch is forwarded as it is");
    let second = hands.patch(r#"["/name","Al",0]"#).await;
    assert_eq!(client.told().await, second);
    hands.finish(Outcome::Completed).await;
    let end = client.expect("job.completed").await;
    assert_eq!(end["value"], json!({"name": "Al"}));
    assert_eq!(end["seq"], hands.position.seq);
    // The viewer is gone with its end: the job may be watched anew, and is told by a snapshot and its end.
    client
        .send(json!({"type": "job.attach", "job_id": job.to_string()}))
        .await;
    assert_eq!(client.expect("job.attached").await["resumed"], false);
    assert_eq!(
        client.expect("job.snapshot").await["value"],
        json!({"name": "Al"})
    );
    client.expect("job.completed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_cannot_be_taken_are_answered_by_code() {
    let house = house();
    let mut client = house.client().await;
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let mut wrong = request();
    wrong["colour"] = json!(1);
    let mut model = request();
    model["model"] = json!("skripted");
    let cases = [
        ("nonsense".to_owned(), "bad_json", None),
        (format!(r#"{{"type":"ping","a":{deep}}}"#), "too_deep", None),
        (
            json!({"type": "job.crate"}).to_string(),
            "bad_request",
            Some("/type"),
        ),
        (
            json!({"type": "job.create", "ref": "r", "request": wrong}).to_string(),
            "bad_request",
            None,
        ),
        (
            json!({"type": "job.create", "ref": "r", "request": model}).to_string(),
            "unknown_model",
            Some("/request/model"),
        ),
        (
            json!({"type": "job.get", "ref": "r", "job_id": uuid(1).to_string()}).to_string(),
            "not_found",
            None,
        ),
        (
            json!({"type": "job.attach", "ref": "r", "job_id": uuid(1).to_string()}).to_string(),
            "not_found",
            None,
        ),
        (
            json!({"type": "job.cancel", "ref": "r", "job_id": "no id"}).to_string(),
            "not_found",
            None,
        ),
        (
            json!({"type": "job.detach", "ref": "r", "job_id": uuid(1).to_string()}).to_string(),
            "not_found",
            None,
        ),
    ];
    for (text, code, path) in cases {
        let has_ref = text.contains("\"ref\"");
        client.text(text.clone()).await;
        let error = client.expect("error").await;
        assert_eq!(error["code"], code, "{text}: {error}");
        if let Some(path) = path {
            assert_eq!(error["path"], path, "{error}");
        }
        assert_eq!(error["ref"] == "r", has_ref, "{error}");
    }
    client.send(json!({"type": "ping"})).await;
    client.expect("pong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_broken_again_and_again_close_the_socket() {
    let house = house();
    let mut client = house.client().await;
    for _ in 0..10 {
        client.text("{".to_owned()).await;
    }
    let (code, told) = client.closed().await;
    assert_eq!((code, told.len()), (Some(1008), 10));

    let mut client = house.client().await;
    for _ in 0..3 {
        let binary = Message::binary(vec![1, 2, 3]);
        futures_util::SinkExt::send(&mut client.socket, binary)
            .await
            .unwrap();
    }
    let (code, told) = client.closed().await;
    assert_eq!((code, told.len()), (Some(1003), 3));
    assert_eq!(told[0]["code"], "binary_not_supported");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_talks_too_fast_is_told_to_wait() {
    let mut slow = options();
    slow.limits.messages_per_second_max = 1;
    let house = house_with(slow, HubOptions::default());
    let mut client = house.client().await;
    for _ in 0..3 {
        client.send(json!({"type": "ping"})).await;
    }
    client.expect("pong").await;
    client.expect("pong").await;
    let error = client.expect("error").await;
    assert_eq!(error["code"], "rate_limited");
    assert!(error["retry_after_ms"].as_u64().unwrap() <= 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_is_answered_and_a_close_is_echoed() {
    let house = house();
    let mut client = house.client().await;
    let ping = Message::Ping("beat".into());
    futures_util::SinkExt::send(&mut client.socket, ping)
        .await
        .unwrap();
    assert_eq!(client.frame().await, Message::Pong("beat".into()));
    let close = tungstenite::protocol::CloseFrame {
        code: 4_321.into(),
        reason: "done".into(),
    };
    client.socket.close(Some(close)).await.unwrap();
    assert_eq!(client.closed().await.0, Some(4_321));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_client_is_pinged_and_lives_by_its_pongs() {
    let quick = ServerOptions {
        // Long enough that a busy machine lets its client answer.
        heartbeat_ms: 250,
        ..options()
    };
    let house = house_with(quick, HubOptions::default());
    let mut client = house.client().await;
    // Reading answers pings, so the socket lives as long as it is read.
    for _ in 0..3 {
        assert!(matches!(client.frame().await, Message::Ping(_)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_viewers_are_told_the_same_and_a_late_one_gets_one_snapshot() {
    let house = house();
    let (mut one, mut two) = (house.client().await, house.client().await);
    let (job, _) = one.create().await;
    two.send(json!({"type": "job.attach", "ref": "a", "job_id": job.to_string()}))
        .await;
    let attached = two.expect("job.attached").await;
    assert_eq!(
        (&attached["ref"], &attached["resumed"]),
        (&json!("a"), &json!(false))
    );
    assert_eq!(two.expect("job.snapshot").await["seq"], 1);

    let mut hands = house.claim().await;
    hands.attempt(1).await;
    hands.patch(EMPTY).await;
    hands.patch(r#"["/name","A",0],["l"]"#).await;
    let mut frames = Vec::new();
    for _ in 0..4 {
        frames.push(one.told().await);
    }
    for frame in &frames {
        assert_eq!(&two.told().await, frame);
    }
    let mut late = house.client().await;
    late.send(json!({"type": "job.attach", "job_id": job.to_string()}))
        .await;
    late.expect("job.attached").await;
    let snapshot = late.expect("job.snapshot").await;
    assert_eq!(snapshot["value"], json!({"name": "Al"}));
    assert_eq!(snapshot["cursor"], "/name");
    let frame = hands.patch(r#"["ma"]"#).await;
    assert_eq!(late.told().await, frame, "the tail goes on behind the snapshot");

    // One who was there comes back by the tail alone.
    let held = json!({"epoch": snapshot["epoch"], "seq": hands.position.seq - 1});
    let mut back = house.client().await;
    back.send(json!({"type": "job.attach", "job_id": job.to_string(), "position": held}))
        .await;
    assert_eq!(back.expect("job.attached").await["resumed"], true);
    assert_eq!(back.told().await, frame);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_is_told_again_to_one_who_holds_it() {
    let house = house();
    let mut client = house.client().await;
    let (job, _) = client.create().await;
    let mut hands = house.claim().await;
    hands.finish(Outcome::Failed).await;
    client.expect("job.status").await;
    let end = client.expect("job.failed").await;
    let position = json!({"epoch": end["epoch"], "seq": end["seq"]});
    client
        .send(json!({"type": "job.attach", "job_id": job.to_string(), "position": position}))
        .await;
    assert_eq!(client.expect("job.attached").await["resumed"], true);
    assert_eq!(client.expect("job.failed").await, end);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_follows_a_detach() {
    let house = house();
    let mut client = house.client().await;
    let (job, _) = client.create().await;
    client
        .send(json!({"type": "job.detach", "ref": "d", "job_id": job.to_string()}))
        .await;
    assert_eq!(client.expect("job.detached").await["ref"], "d");
    let mut hands = house.claim().await;
    hands.attempt(1).await;
    hands.patch(EMPTY).await;
    let state = state_at(&mut client, &hands).await;
    assert_eq!(state["status"], "running");
    assert_eq!(state["value"], json!({}));
}

/// Asks for the state until the server has heard of all that was written; nothing else may come between.
async fn state_at(client: &mut Client, hands: &Hands) -> Json {
    loop {
        client
            .send(json!({"type": "job.get", "ref": "g", "job_id": hands.job.to_string()}))
            .await;
        let state = client.expect("job.state").await;
        assert_eq!(state["ref"], "g");
        if state["seq"] == hands.position.seq {
            return state;
        }
        // Slower than the limit on messages.
        clock::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_job_is_cancelled_at_once_and_a_running_one_asked() {
    let house = house();
    let mut client = house.client().await;
    let (job, _) = client.create().await;
    let cancel = json!({"type": "job.cancel", "ref": "x", "job_id": job.to_string()});
    client.send(cancel.clone()).await;
    let mut kinds = [client.json().await, client.json().await];
    kinds.sort_by_key(|message| message["type"].to_string());
    assert_eq!(kinds[0]["type"], "job.cancelled");
    assert_eq!(kinds[1]["type"], "job.cancelling");
    client.send(cancel).await;
    assert_eq!(client.expect("job.cancelling").await["already"], "cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_another_tenant_are_unknown() {
    let house = house();
    house.keep(uuid(7), "other").await;
    let mut client = house.client().await;
    for kind in ["job.attach", "job.get", "job.cancel"] {
        let mut answers = Vec::new();
        for job in [uuid(7), uuid(8)] {
            client
                .send(json!({"type": kind, "job_id": job.to_string()}))
                .await;
            answers.push(client.expect("error").await);
        }
        assert_eq!(answers[0], answers[1], "{kind}");
    }
    assert_eq!(house.claim().await.job, uuid(7), "it was not cancelled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_job_of_the_same_tag_is_told_by_its_id() {
    let house = house();
    let (first, second) = (uuid(1), uuid(1 + (1 << 40)));
    assert_eq!(first.tag(), second.tag());
    let mut client = house.client().await;
    for (job, tag) in [(first, json!(first.tag().as_str())), (second, Json::Null)] {
        house.keep(job, "default").await;
        client
            .send(json!({"type": "job.attach", "job_id": job.to_string()}))
            .await;
        assert_eq!(client.expect("job.attached").await["tag"], tag);
        client.expect("job.snapshot").await;
    }
    for job in [first, second] {
        let mut hands = house.claim().await;
        assert_eq!(hands.job, job);
        client.expect("job.status").await;
        let frame = hands.patch(EMPTY).await;
        if job == first {
            assert_eq!(client.told().await, frame);
        } else {
            let patch = client.expect("job.patch").await;
            assert_eq!(patch["job_id"], second.to_string());
            assert_eq!(patch["ops"], json!([["", {}, 0]]));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_names_its_job_again() {
    let house = house();
    let mut client = house.client().await;
    let mut message = create("k");
    message["idempotency_key"] = json!("once");
    client.send(message.clone()).await;
    let accepted = client.expect("job.accepted").await;
    let mut other = house.client().await;
    other.send(message.clone()).await;
    let again = other.expect("job.accepted").await;
    assert_eq!(again["job_id"], accepted["job_id"]);
    assert_eq!(again["existing"], true);
    other.expect("job.snapshot").await;
    message["request"]["input"] = json!("Something else?");
    other.send(message).await;
    let conflict = other.expect("error").await;
    assert_eq!(conflict["code"], "idempotency_conflict");
    assert_eq!(conflict["job_id"], accepted["job_id"]);
    assert_eq!(conflict["path"], "/idempotency_key");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_a_snapshot_and_keeps_its_socket() {
    const PATCHES: usize = 300;
    let house = house();
    let mut client = house.client().await;
    client.send(create("c")).await;
    client.expect("job.accepted").await;
    let mut hands = house.claim().await;
    hands.attempt(1).await;
    hands.patch(EMPTY).await;
    // More than the two kernels' buffers hold, while nobody reads.
    for number in 0..PATCHES {
        let text = format!("{number:>65535}");
        hands.patch(&format!(r#"["/name","{text}",0]"#)).await;
    }
    hands.finish(Outcome::Completed).await;
    let (mut patches, mut snapshots, mut seq) = (0, 0, 1);
    let end = loop {
        let message = client.json().await;
        let told = message.get("s").unwrap_or(&message["seq"]).as_u64().unwrap();
        assert!(told >= seq, "seq {told} after {seq}");
        seq = told;
        match message["type"].as_str() {
            None => patches += 1,
            Some("job.snapshot") => snapshots += 1,
            Some("job.completed") => break message,
            Some(_) => {}
        }
    };
    assert!(
        snapshots > 0 && patches < PATCHES,
        "{snapshots} snapshots, {patches} patches"
    );
    assert_eq!(end["seq"], hands.position.seq);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn states_asked_at_once_are_all_told_in_their_turn() {
    let house = house();
    let mut client = house.client().await;
    let (job, _) = client.create().await;
    client
        .send(json!({"type": "job.detach", "job_id": job.to_string()}))
        .await;
    client.expect("job.detached").await;
    let mut hands = house.claim().await;
    let text = "x".repeat(256 * 1024);
    hands.patch(&format!(r#"["",{{"name":"{text}"}},0]"#)).await;
    state_at(&mut client, &hands).await;
    let get = |reference: usize| json!({"type": "job.get", "ref": reference.to_string(), "job_id": job.to_string()});
    for reference in 0..32 {
        client.send(get(reference)).await;
    }
    for reference in 0..32 {
        let state = client.expect("job.state").await;
        assert_eq!(state["ref"], reference.to_string());
        assert_eq!(state["value"]["name"], text);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reader_that_does_not_read_at_all_is_dropped() {
    let impatient = ServerOptions {
        send_timeout_ms: 1_000,
        connections_max: 2,
        ..options()
    };
    let house = house_with(impatient, HubOptions::default());
    let mut deaf = house.client().await;
    let (job, _) = deaf.create().await;
    let mut reader = house.client().await;
    reader
        .send(json!({"type": "job.attach", "job_id": job.to_string()}))
        .await;
    reader.expect("job.attached").await;
    reader.expect("job.snapshot").await;
    let mut hands = house.claim().await;
    reader.expect("job.status").await;
    let text = "x".repeat(64 * 1024);
    // There is always more to tell, and one who hears it. The place of the other is free once it was dropped.
    while tokio_tungstenite::connect_async(house.request()).await.is_err() {
        let frame = hands.patch(&format!(r#"["",{{"name":"{text}"}},0]"#)).await;
        assert_eq!(reader.told().await, frame);
    }
    let (code, told) = deaf.closed().await;
    assert_eq!(code, Some(1013), "the close frame is the last it reads");
    assert!(!told.is_empty());
    reader.send(json!({"type": "ping"})).await;
    reader.expect("pong").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_says_goodbye_and_refuses_who_comes() {
    let house = house();
    let mut clients = vec![house.client().await, house.client().await];
    let (job, _) = clients[0].create().await;
    let drained = house.running.leave();
    let left = async {
        let mut said = Vec::new();
        for client in &mut clients {
            said.push(client.closed().await);
        }
        said
    };
    let ((), said) = tokio::join!(drained, left);
    for (code, told) in said {
        assert_eq!(code, Some(1012));
        assert_eq!(told.last().unwrap()["type"], "goodbye");
        assert!(told.last().unwrap()["reconnect_after_ms"].is_u64());
    }
    match tokio_tungstenite::connect_async(house.request()).await {
        Err(tungstenite::Error::Http(response)) => {
            assert_eq!(response.status(), 503);
            let body: Json = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
            assert_eq!(body["code"], "draining");
            assert!(response.headers().contains_key("retry-after"));
        }
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(house.claim().await.job, job, "the job goes on");
    house.running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_gate_looks_at_subprotocol_origin_and_count() {
    let house = house_with(
        ServerOptions {
            connections_max: 1,
            ..options()
        },
        HubOptions::default(),
    );
    let host = house.running.addr().to_string();
    let try_with = |name: &'static str, value: String| {
        let mut request = house.request();
        request.headers_mut().insert(name, value.parse().unwrap());
        tokio_tungstenite::connect_async(request)
    };
    let refused = |answer| match answer {
        Err(tungstenite::Error::Http(response)) => {
            let response: tungstenite::http::Response<Option<Vec<u8>>> = *response;
            let body: Json = serde_json::from_slice(response.body().as_ref().unwrap()).unwrap();
            (
                response.status().as_u16(),
                body["code"].as_str().unwrap().to_owned(),
            )
        }
        Err(other) => panic!("not refused by HTTP: {other}"),
        Ok(_) => panic!("not refused"),
    };
    let unspoken = try_with("sec-websocket-protocol", "soap, livedraft.v9.json".to_owned()).await;
    assert_eq!(refused(unspoken), (400, "unsupported_subprotocol".to_owned()));
    let foreign = try_with("origin", "https://elsewhere.example".to_owned()).await;
    assert_eq!(refused(foreign), (403, "origin_not_allowed".to_owned()));
    let own = try_with("origin", format!("http://{host}")).await.unwrap();
    assert!(own.1.headers().get("sec-websocket-protocol").is_none());
    let one_too_many = try_with("sec-websocket-protocol", "livedraft.v1.json".to_owned()).await;
    assert_eq!(refused(one_too_many), (503, "unavailable".to_owned()));
    drop(own);
    let (_, response) = loop {
        let offer = "soap, livedraft.v1.json".to_owned();
        if let Ok(open) = try_with("sec-websocket-protocol", offer).await {
            break open;
        }
    };
    assert_eq!(response.headers()["sec-websocket-protocol"], "livedraft.v1.json");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deliver_gives_each_viewer_its_look() {
    let house = house();
    let mut client = house.client().await;
    let mut message = create("c");
    message["deliver"] = json!({"as": "snapshot", "unseen": "null", "notes": true});
    client.send(message).await;
    client.expect("job.accepted").await;
    assert_eq!(client.expect("job.snapshot").await["status"], "queued");
    let mut hands = house.claim().await;
    client.expect("job.status").await;
    hands.note("thinking").await;
    assert_eq!(client.expect("job.note").await["text"], "thinking");
    hands.patch(r#"["",{"size":3},0]"#).await;
    let value = client.expect("job.snapshot").await["value"].clone();
    assert_eq!(value, json!({"size": 3, "name": null}));
}
