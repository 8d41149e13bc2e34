//! Verdicts from outside on valid values, and jobs that do not go on without viewers: through the whole house.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::time::Duration;

use livedraft::backend::embedded::Embedded;
use livedraft::backend::{EventLog, Fenced, JobQueue, Ruled, Start};
use livedraft::clock;
use livedraft::event::{End, Epoch, Event};
use livedraft::job::*;
use livedraft::llm::ProvidersOptions;
use serde_json::{Value as Json, json};

use crate::conversation_node::Node;
use crate::conversation_socket::Socket;
use crate::durable::{Folder, claimed, next, patch, submission};
use crate::harness::statuses;
use crate::llm_openai::server::{Server, options};
use crate::splice::{House, Job, calls, says};

fn epoch() -> Epoch {
    Epoch::new(clock::nonce())
}

fn error(path: &str, message: &str) -> AttemptError {
    AttemptError {
        path: path.to_owned(),
        keyword: "refused".to_owned(),
        message: message.to_owned(),
        value: None,
    }
}

fn user(members: &Json) -> Json {
    let mut request = json!({
        "model": "test/m", "input": "Ada", "flush_ms": 0, "mode": "json_schema", "verdict_ms": 60_000,
        "schema": { "title": "User", "type": "object", "required": ["name", "age", "mail"], "properties": {
            "name": { "type": "string" }, "age": { "type": "integer" }, "mail": { "type": "string" },
        } },
    });
    let members = members.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(members);
    request
}

const FIRST: &str = r#"{"name":"Ada Lovelace, of London","age":36,"mail":"ada"}"#;

/// Hears on until the job's value waits for a verdict.
async fn waits(job: &mut Job<'_>) {
    loop {
        let entry = job.next().await;
        match &entry.event {
            Event::Status(change) if change.reason.as_deref() == Some("verdict") => {
                assert_eq!(change.status, JobState::Waiting);
                assert!(change.until_ms.is_some());
                return;
            }
            Event::End(end) => panic!("a verdict was due: {end:?}"),
            _ => {}
        }
    }
}

pub(crate) async fn rule(job: &Job<'_>, attempt: u32, ruling: Ruling) -> Ruled {
    let ruled = job
        .house
        .engine
        .rule(job.id, epoch(), Some(attempt), ruling)
        .await;
    ruled.unwrap().unwrap()
}

#[tokio::test]
async fn what_is_not_accepted_is_asked_for_by_its_places() {
    for mode in ["json_schema", "json", "md_json", "tools"] {
        let fenced = |text: &str| format!("```json\n{text}\n```");
        let right = r#"{"fix_1":"ada@example.org"}"#;
        let acts = match mode {
            "tools" => vec![calls(FIRST), calls(right)],
            "md_json" => vec![says(&fenced(FIRST)), says(&fenced(right))],
            _ => vec![says(FIRST), says(right)],
        };
        let server = Server::start(acts).await;
        let house = House::start_with(ProvidersOptions {
            scripted: false,
            remote: vec![options(&server.base)],
            ..ProvidersOptions::default()
        });
        let mut job = house.submit(user(&json!({ "mode": mode }))).await;
        waits(&mut job).await;
        let errors = vec![error("/mail", "is no address:\nit lacks an @")];
        assert_eq!(
            rule(&job, 1, Ruling::Reask(errors)).await,
            Ruled::Taken(1),
            "{mode}"
        );
        waits(&mut job).await;
        let begun = &job.begun[1];
        assert_eq!((begun.reason, begun.reset), (Reason::Invalid, false), "{mode}");
        assert_eq!(begun.at, ["/mail"], "{mode}");
        assert_eq!(begun.errors[0].value.as_deref(), Some("\"ada\""), "{mode}");
        assert_eq!(rule(&job, 2, Ruling::Accept).await, Ruled::Taken(2), "{mode}");
        let end = job.end().await;
        assert_eq!(
            (end.outcome, end.attempts.len()),
            (Outcome::Completed, 2),
            "{mode}"
        );
        assert_eq!(end.best, None, "{mode}");
        let value = json!({"name": "Ada Lovelace, of London", "age": 36, "mail": "ada@example.org"});
        assert_eq!(job.value(), value, "{mode}");
        // The model keeps its own answer, and is told what somebody found.
        let (_, asked) = server.request(1);
        let messages = asked["messages"].as_array().unwrap();
        let [.., own, said] = messages.as_slice() else {
            panic!("messages")
        };
        assert_eq!(own["role"], "assistant", "{mode}");
        assert!(own.to_string().contains("Ada Lovelace"), "{mode}: {own}");
        let said = said["content"].as_str().unwrap();
        let line = "fix_1 is for /mail. Wrong there: /mail: is no address: it lacks an @ (it is \"ada\")";
        assert!(said.contains(line), "{mode}: {said}");
        assert!(
            said.starts_with("The answer fits the schema, but it is wrong at these places"),
            "{said}"
        );
    }
}

#[tokio::test]
async fn the_whole_is_asked_for_where_the_root_is_wrong() {
    let server = Server::start(vec![says(FIRST), says(FIRST)]).await;
    let house = House::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    let mut job = house.submit(user(&json!({ "max_reasks": 1 }))).await;
    waits(&mut job).await;
    rule(&job, 1, Ruling::Reask(vec![error("", "is not who was meant")])).await;
    waits(&mut job).await;
    assert!(job.begun[1].reset);
    let (_, asked) = server.request(1);
    let said = asked["messages"].as_array().unwrap().last().unwrap().to_string();
    assert!(said.contains("the whole value: is not who was meant"), "{said}");
    // No re-ask is left.
    rule(&job, 2, Ruling::Reask(vec![error("", "nor is this")])).await;
    let end = job.end().await;
    let told = end.error.unwrap();
    assert_eq!(
        (end.outcome, told.code.as_str()),
        (Outcome::Failed, "invalid_output")
    );
    assert_eq!(told.errors[0].message, "nor is this");
    assert_eq!(end.best.as_deref(), Some(FIRST));
    assert_eq!(job.value(), serde_json::from_str::<Json>(FIRST).unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_no_time_of_the_job_and_takes_no_slot() {
    let house = House::start();
    let request = |members: Json| {
        let mut request = user(&members);
        request["model"] = json!("scripted");
        request
    };
    let mut waiting = house
        .submit(request(
            json!({ "verdict_ms": 500_000, "limits": { "seconds": 5 } }),
        ))
        .await;
    waits(&mut waiting).await;
    assert_eq!(house.engine.stats().await.unwrap().running, 0);
    tokio::time::advance(Duration::from_secs(400)).await;
    rule(&waiting, 1, Ruling::Reask(vec![error("/name", "another")])).await;
    waits(&mut waiting).await;
    // Silence accepts.
    let end = waiting.end().await;
    assert_eq!(end.outcome, Outcome::Completed);
    assert!(end.sha256.is_some());
    assert!(end.timings.total_ms >= 900_000, "{:?}", end.timings);
    drop(waiting);
}

/// A socket with one job that is on its way.
async fn watched(node: &Node, request: Json) -> (Socket, String) {
    let mut socket = Socket::open(node.address()).await.unwrap();
    let create = json!({ "type": "job.create", "ref": "c", "request": request });
    socket.send_text(create.to_string()).await.unwrap();
    let accepted = until(&mut socket, "job.accepted").await;
    let job = accepted["job_id"].as_str().unwrap().to_owned();
    (socket, job)
}

async fn until(socket: &mut Socket, kind: &str) -> Json {
    loop {
        let message = socket.next().await.unwrap();
        if message["type"] == kind {
            return message;
        }
    }
}

async fn until_verdict(socket: &mut Socket) -> Json {
    loop {
        let status = until(socket, "job.status").await;
        if status["reason"] == "verdict" {
            return status;
        }
    }
}

fn scripted(members: &Json) -> Json {
    let mut request = user(members);
    request["model"] = json!("scripted");
    request["script"] = json!({ "tokens_per_second": 0 });
    request
}

async fn send(socket: &mut Socket, message: &Json) {
    socket.send_text(message.to_string()).await.unwrap();
}

fn say(kind: &str, job: &str, attempt: u32, errors: Json) -> Json {
    let mut message = json!({ "type": kind, "ref": "v", "job_id": job, "attempt": attempt });
    if kind == "job.reask" {
        message["errors"] = errors;
    }
    message
}

#[tokio::test]
async fn who_comes_late_sees_what_a_value_waits_for() {
    let node = Node::start();
    let (mut socket, job) = watched(&node, scripted(&json!({}))).await;
    let status = until_verdict(&mut socket).await;
    assert_eq!(status["status"], "waiting");
    let mut late = Socket::open(node.address()).await.unwrap();
    send(&mut late, &json!({ "type": "job.attach", "job_id": job })).await;
    let snapshot = until(&mut late, "job.snapshot").await;
    let told = |message: &Json| ["status", "reason", "until_ms"].map(|member| message[member].clone());
    assert_eq!(told(&snapshot), told(&status));
    send(
        &mut late,
        &json!({ "type": "job.get", "ref": "g", "job_id": job }),
    )
    .await;
    assert_eq!(told(&until(&mut late, "job.state").await), told(&status));
    node.stop().await;
}

#[tokio::test]
async fn sockets_give_verdicts() {
    let node = Node::start();
    let (mut socket, job) = watched(&node, scripted(&json!({}))).await;
    until_verdict(&mut socket).await;
    // One that does not watch the job.
    let mut other = Socket::open(node.address()).await.unwrap();
    for (message, code) in [
        (say("job.accept", &job, 7, json!(null)), "verdict_conflict"),
        (say("job.reask", &job, 1, json!([])), "bad_request"),
    ] {
        send(&mut other, &message).await;
        let refusal = until(&mut other, "error").await;
        let told = (&refusal["code"], &refusal["ref"]);
        assert_eq!(told, (&json!(code), &json!("v")), "{refusal}");
    }
    let name = json!([{ "path": "/name", "message": "somebody else" }]);
    send(&mut other, &say("job.reask", &job, 1, name)).await;
    let ruled = until(&mut other, "job.ruled").await;
    let expected = json!({ "type": "job.ruled", "ref": "v", "job_id": job, "attempt": 1, "accepted": false });
    assert_eq!(ruled, expected);
    let attempt = until(&mut socket, "job.attempt").await;
    let told = (&attempt["reason"], &attempt["at"]);
    assert_eq!(told, (&json!("invalid"), &json!(["/name"])), "{attempt}");
    until_verdict(&mut socket).await;
    let accept = say("job.accept", &job, 2, json!(null));
    send(&mut socket, &accept).await;
    until(&mut socket, "job.completed").await;
    send(&mut socket, &accept).await;
    assert_eq!(until(&mut socket, "job.ruled").await["accepted"], true);
    let no = json!([{ "path": "", "message": "no" }]);
    send(&mut socket, &say("job.reask", &job, 2, no)).await;
    let conflict = until(&mut socket, "error").await;
    assert_eq!(conflict["code"], "verdict_conflict");
    let message = conflict["message"].as_str().unwrap();
    assert!(message.contains("has ended as completed"), "{conflict}");
    node.stop().await;
}

#[tokio::test]
async fn http_gives_verdicts() {
    let node = Node::start();
    let http = reqwest::Client::new();
    let (mut socket, job) = watched(&node, scripted(&json!({}))).await;
    until_verdict(&mut socket).await;
    let post = async |path: &str, body: &str| {
        let url = format!("http://{}/v1/jobs/{path}", node.address());
        let answer = http.post(url).body(body.to_owned()).send().await.unwrap();
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, serde_json::from_str::<Json>(&text).unwrap())
    };
    let (status, refused) = post(
        &format!("{job}/reask"),
        r#"{"errors":[{"path":"name","message":"x"}]}"#,
    )
    .await;
    assert_eq!(
        (status, &refused["path"]),
        (400, &json!("/errors/0/path")),
        "{refused}"
    );
    let (status, _) = post(
        &format!("{job}/reask"),
        r#"{"attempt":1,"errors":[{"path":"/name","message":"x"}]}"#,
    )
    .await;
    assert_eq!(status, 200);
    until_verdict(&mut socket).await;
    let (status, ruled) = post(&format!("{job}/accept"), "").await;
    assert_eq!(
        (status, ruled),
        (200, json!({ "job_id": job, "attempt": 2, "accepted": true }))
    );
    until(&mut socket, "job.completed").await;
    let (status, ruled) = post(&format!("{job}/accept"), r#"{"attempt":2}"#).await;
    assert_eq!(
        (status, &ruled["accepted"]),
        (200, &json!(true)),
        "the same again"
    );
    let (status, late) = post(&format!("{job}/accept"), r#"{"attempt":1}"#).await;
    assert_eq!(
        (status, &late["code"]),
        (409, &json!("verdict_conflict")),
        "{late}"
    );
    let unknown = JobId::new(clock::job_uuid());
    for path in ["accept", "no-uuid/accept", &format!("{unknown}/accept")] {
        let (status, _) = post(path.strip_prefix("accept").map_or(path, |_| "x/accept"), "{}").await;
        assert_eq!(status, 404, "{path}");
    }
    let (status, refused) = post(&format!("{job}/accept"), r#"{"why":1}"#).await;
    assert_eq!((status, &refused["code"]), (400, &json!("bad_request")));
    node.stop().await;
}

/// A job whose value waits in a folder; the engine is closed again.
async fn wait_in(folder: &Folder, verdict_ms: u32) -> JobId {
    let engine = folder.engine().await;
    let mut job = submission(None);
    let mut spec = (*job.spec).clone();
    spec.verdict_ms = Some(verdict_ms);
    job.spec = std::sync::Arc::new(spec);
    engine.submit(job.clone()).await.unwrap();
    let claim = claimed(&engine).await;
    let told = next(claim.position);
    let change = patch(&claim, told, "[\"\",1.50,0]", "1.50");
    engine.append(claim.id, claim.token(), &change).await.unwrap();
    let until_ms = clock::now_ms() + u64::from(verdict_ms);
    let change = livedraft::event::StatusChange {
        status: JobState::Waiting,
        reason: Some("verdict".to_owned()),
        until_ms: Some(until_ms),
    };
    let deferral = livedraft::backend::Deferral {
        write: livedraft::backend::Write {
            position: next(told),
            opens: false,
            event: Event::Status(change),
        },
        record: AttemptRecord {
            n: 1,
            awaited: Some(Awaited {
                attempt: 1,
                sha256: "15".to_owned(),
                turns: Vec::new(),
                since_ms: clock::now_ms(),
            }),
            ..AttemptRecord::default()
        },
        until_ms,
    };
    assert_eq!(
        engine.defer(claim.id, claim.token(), deferral).await,
        Ok(Fenced::Ok)
    );
    engine.close().await;
    job.id
}

async fn end_of(engine: &Embedded, job: JobId) -> Option<End> {
    let reading = engine.read(job, None).await.unwrap().unwrap();
    assert!(matches!(reading.start, Start::Snapshot(_)));
    reading.tail.last().and_then(|entry| match &entry.event {
        Event::End(end) => Some((**end).clone()),
        _ => None,
    })
}

#[tokio::test]
async fn a_value_waits_through_a_restart() {
    let folder = Folder::new("verdict-restart");
    let job = wait_in(&folder, 60_000).await;
    let engine = folder.engine().await;
    assert_eq!(statuses(engine.states(&[job]).await), [Some(JobState::Waiting)]);
    engine.promote(10, &mut epoch).await.unwrap();
    assert_eq!(end_of(&engine, job).await, None, "its time has not come");
    assert_eq!(
        engine.rule(job, epoch(), Some(1), Ruling::Accept).await.unwrap(),
        Some(Ruled::Taken(1))
    );
    let end = end_of(&engine, job).await.unwrap();
    assert_eq!(
        (end.outcome, end.sha256.as_deref()),
        (Outcome::Completed, Some("15"))
    );
    engine.close().await;
    drop(engine);
    // What was said is remembered, too.
    let engine = folder.engine().await;
    assert_eq!(
        engine.rule(job, epoch(), None, Ruling::Accept).await.unwrap(),
        Some(Ruled::Taken(1))
    );
    engine.close().await;
}

#[tokio::test]
async fn silence_through_a_restart_accepts() {
    let folder = Folder::new("verdict-silence");
    let job = wait_in(&folder, 1).await;
    let engine = folder.engine().await;
    while end_of(&engine, job).await.is_none() {
        engine.promote(10, &mut epoch).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!(end_of(&engine, job).await.unwrap().outcome, Outcome::Completed);
    engine.close().await;
}

#[tokio::test]
async fn a_restart_gives_viewers_their_time_to_come_back() {
    let folder = Folder::new("unviewed-restart");
    let engine = folder.engine().await;
    let spec = json!({"model": "scripted", "input": "x", "schema": {}, "on_last_viewer_gone": {"cancel_after_ms": 0}});
    let spec: std::sync::Arc<JobSpec> = std::sync::Arc::new(serde_json::from_value(spec).unwrap());
    let (mut viewed, mut never) = (submission(None), submission(None));
    for job in [&mut viewed, &mut never] {
        job.spec = std::sync::Arc::clone(&spec);
        engine.submit(job.clone()).await.unwrap();
    }
    engine.viewed(viewed.id, 1, true).await.unwrap();
    engine.reap(10, &mut epoch).await.unwrap();
    assert_eq!(end_of(&engine, viewed.id).await, None, "it is viewed");
    engine.close().await;
    drop(engine);
    let engine = folder.engine().await;
    engine.reap(10, &mut epoch).await.unwrap();
    let end = end_of(&engine, viewed.id).await.unwrap();
    assert_eq!(end.error.unwrap().code, "unviewed");
    assert_eq!(end_of(&engine, never.id).await, None, "nobody ever viewed it");
    engine.close().await;
}

#[tokio::test]
async fn a_job_is_cancelled_when_its_last_socket_is_lost() {
    let node = Node::start();
    let members = json!({ "verdict_ms": null, "on_last_viewer_gone": { "cancel_after_ms": 0 } });
    let mut request = scripted(&members);
    request["script"] = json!({ "hang_after": 3 });
    let (mut socket, job) = watched(&node, request.clone()).await;
    until(&mut socket, "job.attempt").await;
    let mut second = Socket::open(node.address()).await.unwrap();
    second
        .send_text(json!({ "type": "job.attach", "job_id": job }).to_string())
        .await
        .unwrap();
    until(&mut second, "job.attached").await;
    // One of two goes, and the job goes on: it answers the one that stays.
    drop(socket);
    second
        .send_text(json!({ "type": "job.get", "job_id": job }).to_string())
        .await
        .unwrap();
    assert_eq!(until(&mut second, "job.state").await["status"], "running");
    second
        .send_text(json!({ "type": "job.detach", "job_id": job }).to_string())
        .await
        .unwrap();
    until(&mut second, "job.detached").await;
    // Asking is no viewing.
    let state = loop {
        second
            .send_text(json!({ "type": "job.get", "job_id": job }).to_string())
            .await
            .unwrap();
        let state = until(&mut second, "job.state").await;
        if state["status"] != "running" {
            break state;
        }
        clock::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (&state["status"], &state["error"]["code"]),
        (&json!("cancelled"), &json!("unviewed"))
    );
    node.stop().await;
}
