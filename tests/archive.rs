//! Jobs that have ended, when the engine has let go of them; and lists, that tell where jobs stand now.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;
use std::time::Duration;

use livedraft::archive::{Archive, ArchiveOptions};
use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{EventLog as _, JobQueue as _};
use livedraft::clock;
use livedraft::event::{AttemptBegins, Event, Position};
use livedraft::hub::HubOptions;
use livedraft::job::{AttemptError, JobId, JobState, Outcome, Reason};
use livedraft::store::archive::ArchiveRow;
use livedraft::store::engine::{Batch, OutboxRow};
use livedraft::store::{Store, StoreOptions};
use reqwest::StatusCode;
use serde_json::{Value as Json, json};

use crate::harness::{Client, House, archived_house, house_of, options, statuses};
use crate::serving::Serving;

async fn get(house: &House, path: &str) -> (StatusCode, String) {
    let response = Serving::http().get(house.url(path)).send().await.unwrap();
    (response.status(), response.text().await.unwrap())
}

async fn listed(house: &House, query: &str) -> (Vec<(JobId, String)>, Option<String>) {
    let (status, text) = get(house, &format!("/v1/jobs{query}")).await;
    assert_eq!(status, 200, "{text}");
    let page: Json = serde_json::from_str(&text).unwrap();
    let job = |job: &Json| {
        let text = |name: &str| job[name].as_str().unwrap().to_owned();
        (text("job_id").parse().unwrap(), text("status"))
    };
    let jobs = page["jobs"].as_array().unwrap().iter().map(job).collect();
    (jobs, page["next"].as_str().map(str::to_owned))
}

/// Every page of a list, and how many there were.
async fn all(house: &House, query: &str) -> (Vec<(JobId, String)>, usize) {
    let (mut jobs, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let (page, next) = listed(house, &format!("?{query}{cursor}")).await;
        jobs.extend(page);
        pages += 1;
        match next {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return (jobs, pages),
        }
    }
}

async fn submitted(house: &House) -> JobId {
    let mut client = house.client().await;
    client.create().await.0
}

/// A job with an answer that was invalid and one that is not; its end opens an epoch of its own where it is cancelled.
async fn ended(house: &House, outcome: Outcome) -> (JobId, Position) {
    let job = submitted(house).await;
    let mut hands = house.claim().await;
    assert_eq!(hands.job, job);
    hands.attempt(1).await;
    hands.patch(r#"["",{},0],["/name","A",0]"#).await;
    hands
        .append(Event::Attempt(AttemptBegins {
            attempt: 2,
            reason: Reason::Invalid,
            reset: true,
            at: Vec::new(),
            errors: vec![AttemptError {
                path: "/size".to_owned(),
                keyword: "type".to_owned(),
                message: "\"big\" is not of type \"integer\"".to_owned(),
                value: Some("\"big\"".to_owned()),
            }],
        }))
        .await;
    hands.patch(r#"["",{},0],["/name","Ada",0]"#).await;
    // Longer than an end carries to a viewer that folds, and with digits that a double would lose.
    let long = format!(
        r#"["/text","{}",0],["/size",12345678901234567890.10,0]"#,
        "x".repeat(2_000)
    );
    hands.patch(&long).await;
    let held = hands.position;
    hands.finish_at_cost(outcome, &[7, 9]).await;
    (job, held)
}

/// What is told of a job in every way there is, but for pings and names of connections.
async fn told(house: &House, job: JobId, held: Position) -> Vec<String> {
    let path = format!("/v1/jobs/{job}");
    let mut all = Vec::new();
    let end = Position {
        seq: held.seq + 1,
        ..held
    };
    for path in [
        path.clone(),
        format!("{path}/attempts"),
        format!("{path}/events"),
        format!("{path}/events?unseen=null&bigints=string"),
        format!("{path}/events?as=snapshot&notes=true"),
        format!("{path}/events?as=final"),
        format!("{path}/events?starting_after={held}"),
        format!("{path}/events?starting_after={end}"),
    ] {
        let (status, text) = get(house, &path).await;
        all.push(format!("{path} {status}\n{text}"));
    }
    let client = Serving::http();
    let cancel = client
        .post(house.url(&format!("{path}/cancel")))
        .send()
        .await
        .unwrap();
    all.push(cancel.text().await.unwrap());
    let mut socket = house.client().await;
    let job = job.to_string();
    for ask in [
        json!({"type": "job.get", "ref": "r", "job_id": job}),
        json!({"type": "job.cancel", "ref": "r", "job_id": job}),
        json!({"type": "job.attach", "ref": "r", "job_id": job}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "position": held}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "position": end}),
        json!({"type": "job.attach", "ref": "r", "job_id": job, "deliver": {"as": "final"}}),
    ] {
        all.push(ask.to_string());
        all.extend(answers(&mut socket, ask).await);
    }
    all
}

/// All that follows a question, up to the answer of a ping behind it.
async fn answers(socket: &mut Client, ask: Json) -> Vec<String> {
    let attaches = ask["type"] == "job.attach";
    socket.send(ask).await;
    let mut told = Vec::new();
    loop {
        let text = socket.told().await;
        let message: Json = serde_json::from_str(&text).unwrap();
        let kind = message["type"].as_str().unwrap_or("patch").to_owned();
        told.push(text);
        let ends = ["job.completed", "job.failed", "job.cancelled", "job.incomplete"];
        if !attaches || ends.contains(&&*kind) || kind == "error" {
            return told;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_told_alike_before_and_after_the_engine_lets_go_of_it() {
    let (house, archive) = archived_house(options(), 2).await;
    let (completed, failed) = (
        ended(&house, Outcome::Completed).await,
        ended(&house, Outcome::Failed).await,
    );
    let before = [
        told(&house, completed.0, completed.1).await,
        told(&house, failed.0, failed.1).await,
    ];
    assert!(
        before[0][0].contains("12345678901234567890.10"),
        "{}",
        before[0][0]
    );
    let attempts: Json = serde_json::from_str(before[0][1].split_once('\n').unwrap().1).unwrap();
    assert_eq!(attempts["status"], "completed");
    let cost = json!({"input_tokens": 0, "output_tokens": 9, "reasoning_tokens": 0, "cached_input_tokens": 0,
        "cost": "0.000027"});
    assert_eq!(attempts["attempts"][1]["usage"], cost, "{attempts}");
    assert_eq!(attempts["attempts"][1]["model"], "fake/m");
    assert_eq!(attempts["attempts"][1]["errors"][0]["path"], "/size");
    // Two more, and none of the first is left in the engine.
    ended(&house, Outcome::Completed).await;
    ended(&house, Outcome::Completed).await;
    house.forget().await;
    while archive.drain().await.unwrap() {}
    for job in [completed.0, failed.0] {
        assert!(
            house.engine.read(job, None).await.unwrap().is_none(),
            "the engine has it still"
        );
    }
    let list: Json = serde_json::from_str(&get(&house, "/v1/jobs").await.1).unwrap();
    let costs: Vec<_> = list["jobs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|job| &job["usage"]["cost"])
        .collect();
    assert_eq!(costs, ["0.000048"; 4]);
    // Another node, which has seen nothing of them.
    let house = house_of(
        Arc::clone(&house.engine),
        Some(archive),
        options(),
        HubOptions::default(),
    );
    assert_eq!(told(&house, completed.0, completed.1).await, before[0]);
    assert_eq!(told(&house, failed.0, failed.1).await, before[1]);
    // What was before is gone with the log: a snapshot replaces it, and nobody is told that history is gone.
    let old = Position {
        seq: 2,
        ..completed.1
    };
    let mut socket = house.client().await;
    let attach = json!({"type": "job.attach", "job_id": completed.0.to_string(), "position": old});
    let told = answers(&mut socket, attach).await;
    let told: Vec<Json> = told
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
    assert_eq!(told[0]["resumed"], false);
    assert_eq!(told[1]["value"]["name"], "Ada");
    assert_eq!(told[2]["type"], "job.completed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_viewers_of_a_job_share_one_copy_and_copies_are_bounded() {
    let (house, archive) = archived_house(options(), 0).await;
    let (one, _) = ended(&house, Outcome::Completed).await;
    let (other, _) = ended(&house, Outcome::Completed).await;
    house.forget().await;
    while archive.drain().await.unwrap() {}
    // The same engine behind a node that watches one job at a time, and does not let go of it in this test.
    let narrow = HubOptions {
        watched_max: 1,
        poll: Duration::from_secs(600),
        ..HubOptions::default()
    };
    let house = house_of(Arc::clone(&house.engine), Some(archive), options(), narrow);
    let attach = |job: JobId| json!({"type": "job.attach", "job_id": job.to_string()});
    for _ in 0..2 {
        let mut socket = house.client().await;
        let told = answers(&mut socket, attach(one)).await;
        assert!(told[2].contains("job.completed"), "{told:?}");
    }
    let mut socket = house.client().await;
    let told = answers(&mut socket, attach(other)).await;
    assert!(told[0].contains("\"unavailable\""), "{told:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_nobody_worked_on_is_told_after_the_engine_lets_go_of_it() {
    let (house, archive) = archived_house(options(), 0).await;
    let job = submitted(&house).await;
    let mut viewer = house.client().await;
    let attach = json!({"type": "job.attach", "job_id": job.to_string(), "deliver": {"unseen": "null"}});
    viewer.send(attach.clone()).await;
    viewer.expect("job.attached").await;
    let snapshot = viewer.told().await;
    let cancel = Serving::http().post(house.url(&format!("/v1/jobs/{job}/cancel")));
    assert_eq!(cancel.send().await.unwrap().status(), 202);
    let end = viewer.told().await;
    house.forget().await;
    while archive.drain().await.unwrap() {}
    assert!(house.engine.read(job, None).await.unwrap().is_none());
    let house = house_of(
        Arc::clone(&house.engine),
        Some(archive),
        options(),
        HubOptions::default(),
    );
    let mut late = house.client().await;
    let told = answers(&mut late, attach).await;
    assert_eq!(
        told[1..],
        [snapshot, end],
        "its end stands in an epoch of its own"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_tells_where_jobs_stand_now() {
    let (house, _) = archived_house(options(), 10).await;
    let (failed, _) = ended(&house, Outcome::Failed).await;
    let waiting = submitted(&house).await;
    house.claim().await.defer(clock::now_ms() + 60_000).await;
    let running = submitted(&house).await;
    house.claim().await;
    let queued = [submitted(&house).await, submitted(&house).await];
    let stands = [
        (queued[1], "queued"),
        (queued[0], "queued"),
        (running, "running"),
        (waiting, "waiting"),
        (failed, "failed"),
    ];
    let stands = stands.map(|(job, status)| (job, status.to_owned()));
    let (_, page) = get(&house, "/v1/jobs").await;
    let page: Json = serde_json::from_str(&page).unwrap();
    for entry in page["jobs"].as_array().unwrap() {
        let (_, one) = get(&house, &format!("/v1/jobs/{}", entry["job_id"].as_str().unwrap())).await;
        let one: Json = serde_json::from_str(&one).unwrap();
        let why = |of: &Json| (of.get("reason").cloned(), of.get("until_ms").cloned());
        assert_eq!(why(entry), why(&one), "{entry}");
        assert_eq!(
            entry.get("reason").is_some(),
            entry["status"] == "waiting",
            "{entry}"
        );
    }
    assert_eq!(
        listed(&house, "").await,
        (stands.to_vec(), None),
        "newest first, and at once"
    );
    for status in [
        "queued",
        "running",
        "waiting",
        "recovering",
        "failed",
        "completed",
        "cancelled",
        "incomplete",
    ] {
        let expected: Vec<_> = stands
            .iter()
            .filter(|(_, stands)| *stands == status)
            .cloned()
            .collect();
        for limit in [1, 2, 200] {
            let (jobs, _) = all(&house, &format!("status={status}&limit={limit}")).await;
            assert_eq!(jobs, expected, "{status} by {limit}");
        }
    }
    let (all, pages) = all(&house, "limit=2").await;
    assert_eq!((all, pages), (stands.to_vec(), 3));
}

#[tokio::test]
async fn an_end_that_nobody_was_told_has_not_come() {
    let store = Arc::new(Store::open(&StoreOptions::ephemeral()).await.unwrap());
    let engine = Embedded::open(EngineOptions::default(), store).await.unwrap();
    let engine = Arc::new(engine);
    let house = house_of(Arc::clone(&engine), None, options(), HubOptions::default());
    let job = JobId::new(clock::job_uuid());
    house.keep(job, "default").await;
    let mut hands = house.claim().await;
    let mut ending = Box::pin(hands.finish(Outcome::Completed));
    // Its first step is taken; the writer has had no turn on this one thread.
    assert!(futures_util::poll!(&mut ending).is_pending());
    assert_eq!(statuses(engine.states(&[job]).await), [Some(JobState::Running)]);
    ending.await;
    assert_eq!(statuses(engine.states(&[job]).await), [Some(JobState::Completed)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_looks_at_as_many_jobs_as_it_may_and_goes_on_behind_them() {
    let store = Arc::new(Store::open(&StoreOptions::ephemeral()).await.unwrap());
    let engine = Embedded::open(EngineOptions::default(), Arc::clone(&store))
        .await
        .unwrap();
    let few = ArchiveOptions {
        looked_max: 3,
        batch_max: 100,
        ..ArchiveOptions::default()
    };
    let archive = Archive::new(store, few);
    let house = house_of(Arc::new(engine), Some(archive), options(), HubOptions::default());
    let running = submitted(&house).await;
    house.claim().await;
    for _ in 0..7 {
        submitted(&house).await;
    }
    // Eight jobs, three a page, and the one that runs is the oldest.
    let (jobs, pages) = all(&house, "status=running&limit=2").await;
    assert_eq!((jobs, pages), (vec![(running, "running".to_owned())], 3));
    assert_eq!(all(&house, "status=queued&limit=2").await.0.len(), 7);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_the_engine_does_not_know_is_in_no_state() {
    let store = Arc::new(Store::open(&StoreOptions::ephemeral()).await.unwrap());
    let archive = Archive::new(Arc::clone(&store), ArchiveOptions::default());
    let row = |status: &str, ended_ms| ArchiveRow {
        id: JobId::new(clock::job_uuid()).to_string(),
        tenant: "default".to_owned(),
        model: "scripted".to_owned(),
        metadata: "{}".to_owned(),
        status: status.to_owned(),
        submitted_ms: 1,
        ended_ms,
        error_code: None,
        error: None,
        value: None,
        sha256: None,
        best: None,
        usage: Default::default(),
        timings: "null".to_owned(),
        log_end: None,
    };
    // One that never ended, and one that ended before the ends of logs were kept.
    let (lost, old) = (row("queued", None), row("completed", Some(2)));
    let rows = [(lost.clone(), Vec::new()), (old.clone(), Vec::new())];
    store.archive(&rows, &[], &[]).await.unwrap();
    // One that waited in the outbox while the server was made newer.
    let waited = JobId::new(clock::job_uuid());
    let usage = json!({"input_tokens": 0, "output_tokens": 0});
    let end = json!({"outcome": "failed", "usage": usage, "attempts": [], "timings": {"total_ms": 1}});
    let record = json!({"job": waited, "tenant": "default", "model": "scripted", "submitted_ms": 1,
        "ended": {"at_ms": 2, "end": end, "value": "1"}});
    let outbox = OutboxRow {
        id: 1,
        job: waited.to_string(),
        record: record.to_string(),
    };
    let batch = Batch {
        outbox: vec![outbox],
        ..Batch::default()
    };
    store.write(&batch).await.unwrap();
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    let house = house_of(engine, Some(archive), options(), HubOptions::default());
    let (jobs, _) = listed(&house, "").await;
    let statuses: Vec<_> = jobs.iter().map(|(_, status)| status.as_str()).collect();
    assert_eq!(statuses, ["failed", "completed", "unknown"]);
    for status in ["queued", "running", "waiting", "recovering"] {
        assert_eq!(
            listed(&house, &format!("?status={status}")).await,
            (Vec::new(), None)
        );
    }
    for job in [lost.id, old.id, waited.to_string()] {
        assert_eq!(get(&house, &format!("/v1/jobs/{job}")).await.0, 404, "{job}");
    }
}
