//! SIGTERM against a real process: who is refused, who still sees what, what becomes of running jobs, the exit code.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite;

use crate::harness::create;
use crate::serving::{Serving, first_patch, silent, until};

#[tokio::test]
async fn a_job_that_ends_within_the_drain_is_seen_to_end() {
    let serving = Serving::start(&["--log", "off"], &[]);
    let mut idle = serving.client().await;
    let mut viewer = serving.client().await;
    viewer.send(silent()).await;
    let job = until(&mut viewer, "job.accepted").await["job_id"].clone();
    first_patch(&mut viewer).await;
    let path = format!("/v1/jobs/{}/events", job.as_str().unwrap());
    let mut events = serving.get(&path).await;
    assert!(events.chunk().await.unwrap().is_some(), "its snapshot");
    serving.terminate();

    // Who watches nothing is sent away at once; that it happens says that the drain has begun.
    let (code, told) = idle.closed().await;
    assert_eq!(code, Some(1012));
    assert_eq!(told.last().unwrap()["type"], "goodbye");

    let ready = serving.get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let ready: Json = ready.json().await.unwrap();
    assert_eq!(ready, json!({"ready": false, "reasons": ["draining"]}));
    assert_eq!(serving.get("/livez").await.status(), 200);
    let refused = Serving::http()
        .post(serving.url("/v1/jobs"))
        .body(create("d")["request"].to_string());
    let refused = refused.send().await.unwrap();
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(refused.json::<Json>().await.unwrap()["code"], "draining");
    match tokio_tungstenite::connect_async(format!("ws://{}/v1/ws", serving.address)).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 503),
        other => panic!("not refused: {other:?}"),
    }
    assert_eq!(serving.get(&path).await.status(), 503, "no new event stream");
    viewer.send(create("late")).await;
    let refused = until(&mut viewer, "error").await;
    assert_eq!(
        (&refused["code"], &refused["ref"]),
        (&json!("draining"), &json!("late"))
    );

    // The job runs on, and can still be asked for and ended.
    viewer.send(json!({"type": "job.get", "job_id": job})).await;
    assert_eq!(until(&mut viewer, "job.state").await["status"], "running");
    viewer.send(json!({"type": "job.cancel", "job_id": job})).await;
    until(&mut viewer, "job.cancelled").await;
    let (code, told) = viewer.closed().await;
    assert_eq!(code, Some(1012));
    assert_eq!(told.last().unwrap()["type"], "goodbye");
    let mut streamed = String::new();
    while let Some(chunk) = events.chunk().await.unwrap() {
        streamed.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(streamed.contains("event: job.cancelled\n"), "{streamed}");
    assert_eq!(serving.ended().0, Some(0));
}

#[tokio::test]
async fn a_job_that_does_not_end_is_put_back_and_its_viewers_are_told() {
    let serving = Serving::start(&["--log", "off", "--drain-ms", "50"], &[]);
    let mut viewer = serving.client().await;
    viewer.send(silent()).await;
    let job = until(&mut viewer, "job.accepted").await["job_id"].clone();
    first_patch(&mut viewer).await;
    let mut events = serving
        .get(&format!("/v1/jobs/{}/events", job.as_str().unwrap()))
        .await;
    assert!(events.chunk().await.unwrap().is_some(), "its snapshot");
    serving.terminate();
    let (code, told) = viewer.closed().await;
    assert_eq!(code, Some(1012));
    let kinds: Vec<_> = told.iter().map(|message| message["type"].as_str()).collect();
    let waits = told
        .iter()
        .rfind(|message| message["type"] == "job.status")
        .unwrap();
    assert_eq!(
        (&waits["status"], &waits["reason"]),
        (&json!("waiting"), &json!("drain"))
    );
    assert_eq!(kinds.last(), Some(&Some("goodbye")), "{kinds:?}");
    assert!(told.last().unwrap()["reconnect_after_ms"].is_u64());
    let mut streamed = String::new();
    while let Some(chunk) = events.chunk().await.unwrap() {
        streamed.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    assert!(streamed.contains(r#""status":"waiting""#), "{streamed}");
    assert!(streamed.contains("retry: "), "{streamed}");
    assert_eq!(serving.ended().0, Some(0));
}

#[tokio::test]
async fn a_job_goes_on_through_the_drain_to_its_own_end() {
    let serving = Serving::start(&["--log", "off"], &[]);
    let mut viewer = serving.client().await;
    let mut job = create("c");
    job["request"]["script"] = json!({"tokens_per_second": 50, "text_chars": 200});
    viewer.send(job).await;
    first_patch(&mut viewer).await;
    serving.terminate();
    let (code, told) = viewer.closed().await;
    assert_eq!(code, Some(1012));
    let kinds: Vec<_> = told
        .iter()
        .rev()
        .take(2)
        .map(|message| message["type"].as_str())
        .collect();
    assert_eq!(kinds, [Some("goodbye"), Some("job.completed")]);
    assert!(
        told.iter().any(|message| message.get("j").is_some()),
        "it was seen to grow"
    );
    assert_eq!(serving.ended().0, Some(0));
}

#[tokio::test]
async fn a_server_without_work_goes_at_once() {
    let serving = Serving::start(&["--log", "off"], &[]);
    let mut idle = serving.client().await;
    serving.terminate();
    assert_eq!(idle.closed().await.0, Some(1012));
    assert_eq!(serving.ended().0, Some(0));
}
