//! What operators read: `/readyz`, `/metrics`, and the page that explains them.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::job::Outcome;
use livedraft::metrics::{CONTENT_TYPE, Row, TABLE};
use livedraft::server::{Parts, start};
use serde_json::{Value as Json, json};

use crate::harness::{House, create, house, options};
use crate::serving::{Serving, until};

const PAGE: &str = include_str!("../docs/operations.md");

async fn get(address: SocketAddr, path: &str) -> reqwest::Response {
    Serving::http()
        .get(format!("http://{address}{path}"))
        .send()
        .await
        .unwrap()
}

/// Every sample: its name with labels as written, and its value.
async fn samples(address: SocketAddr) -> BTreeMap<String, f64> {
    let response = get(address, "/metrics").await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], CONTENT_TYPE);
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"));
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            (sample.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// The row that a sample belongs to.
fn row(sample: &str) -> &'static Row {
    let name = sample.split('{').next().unwrap();
    let row = TABLE.iter().find(|row| {
        let parts = ["_bucket", "_sum", "_count"].map(|part| format!("{}{part}", row.name));
        row.name == name || (row.kind.word() == "histogram" && parts.iter().any(|part| part == name))
    });
    row.unwrap_or_else(|| panic!("{sample} is of no row"))
}

fn labels(sample: &str) -> Vec<&str> {
    let Some((_, labels)) = sample.split_once('{') else {
        return Vec::new();
    };
    let pairs = labels.trim_end_matches('}').split("\",");
    pairs
        .map(|pair| pair.split('=').next().unwrap())
        .filter(|name| *name != "le")
        .collect()
}

#[test]
fn the_page_tells_every_instrument() {
    let (_, behind) = PAGE
        .split_once("<!-- metrics -->\n")
        .expect("the marker is there");
    let table: Vec<_> = behind
        .lines()
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .collect();
    let told = |row: &Row| {
        let labels: Vec<_> = row.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() {
            "–".to_owned()
        } else {
            labels.join(", ")
        };
        format!(
            "| `{}` | {} | {} | {labels} | {} |",
            row.name,
            row.kind.word(),
            row.unit,
            row.meaning
        )
    };
    let code: Vec<_> = TABLE.iter().map(told).collect();
    assert_eq!(
        table,
        code,
        "docs/operations.md should hold:\n{}",
        code.join("\n")
    );
}

#[test]
fn names_say_what_they_count() {
    for row in TABLE {
        let counts = row.kind.word() == "counter";
        assert_eq!(row.name.ends_with("_total"), counts, "{}", row.name);
        assert!(
            row.kind.word() != "histogram" || row.name.ends_with("_seconds"),
            "{}",
            row.name
        );
        assert!(
            row.name.starts_with("livedraft_") || row.name.starts_with("process_"),
            "{}",
            row.name
        );
        let same = TABLE.iter().filter(|other| other.name == row.name).count();
        assert_eq!(same, 1, "{}", row.name);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_counted_from_its_submission_to_its_end() {
    let house = house();
    let before = samples(house.running.addr()).await;
    let mut client = house.client().await;
    let (job, _) = client.create().await;
    let mut hands = house.claim().await;
    client.expect("job.status").await;
    hands.attempt(1).await;
    client.expect("job.attempt").await;
    let frame = hands.patch(r#"["",{"name":"Ada"},0]"#).await;
    assert_eq!(client.told().await, frame);
    client.text("{".to_owned()).await;
    client.expect("error").await;
    let meanwhile = samples(house.running.addr()).await;
    hands.finish(Outcome::Failed).await;
    client.expect("job.failed").await;
    let after = samples(house.running.addr()).await;

    // Other tests of this process count too: at least these.
    let rose = |sample: &str, by: f64| {
        let from = before.get(sample).copied().unwrap_or_default();
        let to = after.get(sample).copied().unwrap_or_default();
        assert!(to >= from + by, "{sample}: {from} → {to}");
    };
    rose("livedraft_jobs_accepted_total", 1.0);
    rose(r#"livedraft_submits_total{answer="accepted"}"#, 1.0);
    rose("livedraft_submit_seconds_count", 1.0);
    rose("livedraft_schema_compile_seconds_count", 1.0);
    rose("livedraft_claims_total", 1.0);
    rose(r#"livedraft_attempts_total{reason="first"}"#, 1.0);
    rose("livedraft_patches_total", 1.0);
    rose("livedraft_patch_bytes_total", frame.len() as f64);
    rose(
        r#"livedraft_jobs_ended_total{outcome="failed",code="internal"}"#,
        1.0,
    );
    rose("livedraft_job_total_seconds_count", 1.0);
    rose(r#"livedraft_errors_total{face="socket",code="bad_json"}"#, 1.0);
    rose(r#"livedraft_connections_opened_total{kind="socket"}"#, 1.0);
    rose("livedraft_frames_out_total", 4.0);
    rose("livedraft_bytes_out_total", frame.len() as f64);
    rose(
        r#"livedraft_http_requests_total{route="/metrics",status="200"}"#,
        1.0,
    );
    for open in [
        r#"livedraft_connections{kind="socket"}"#,
        "livedraft_viewers",
        "livedraft_watched_jobs",
    ] {
        assert!(meanwhile[open] >= 1.0, "{open}");
    }
    assert!(after.contains_key(r#"livedraft_jobs{state="ended"}"#));
    assert!(cfg!(not(target_os = "linux")) || after["process_resident_memory_bytes"] > 1e6);

    for sample in after.keys() {
        let row = row(sample);
        assert_eq!(labels(sample), row.labels, "{sample}");
        assert!(
            !sample.contains(&job.to_string()) && !sample.contains("default"),
            "{sample}"
        );
    }
    house.running.stop().await;
}

/// In a process of its own the counts are exact.
#[tokio::test]
async fn one_job_is_counted_once_everywhere() {
    let serving = Serving::start(&["--log", "off"], &[]);
    let mut client = serving.client().await;
    let mut job = create("c");
    job["request"]["lenient"] = json!("on");
    job["request"]["script"] = json!({"tokens_per_second": 0, "invalid_attempts": 1, "sloppy_attempts": 2});
    client.send(job).await;
    let end = until(&mut client, "job.completed").await;
    let counted = samples(serving.address.parse().unwrap()).await;
    let repairs: f64 = end["attempts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|one| one["repairs"].as_f64())
        .sum();
    assert!(repairs > 0.0, "{end}");
    for (sample, count) in [
        ("livedraft_jobs_accepted_total", 1.0),
        (r#"livedraft_submits_total{answer="accepted"}"#, 1.0),
        (r#"livedraft_jobs{state="ended"}"#, 1.0),
        (r#"livedraft_jobs{state="running"}"#, 0.0),
        ("livedraft_queue_oldest_seconds", 0.0),
        ("livedraft_claims_total", 1.0),
        ("livedraft_leases_lost_total", 0.0),
        (r#"livedraft_attempts_total{reason="first"}"#, 1.0),
        (r#"livedraft_attempts_total{reason="invalid"}"#, 1.0),
        ("livedraft_attempt_seconds_count", 2.0),
        (
            r#"livedraft_provider_opens_total{provider="scripted",outcome="ok"}"#,
            2.0,
        ),
        (
            r#"livedraft_provider_open_seconds_count{provider="scripted"}"#,
            2.0,
        ),
        (
            r#"livedraft_provider_answers_total{provider="scripted",outcome="finish"}"#,
            2.0,
        ),
        (r#"livedraft_jobs_ended_total{outcome="completed",code=""}"#, 1.0),
        (
            r#"livedraft_tokens_total{direction="in"}"#,
            end["usage"]["input_tokens"].as_f64().unwrap(),
        ),
        (
            r#"livedraft_tokens_total{direction="out"}"#,
            end["usage"]["output_tokens"].as_f64().unwrap(),
        ),
        ("livedraft_repairs_total", repairs),
        ("livedraft_job_queue_seconds_count", 1.0),
        ("livedraft_job_first_change_seconds_count", 1.0),
        ("livedraft_job_total_seconds_count", 1.0),
        (r#"livedraft_connections{kind="socket"}"#, 1.0),
        ("livedraft_draining", 0.0),
    ] {
        assert_eq!(counted.get(sample), Some(&count), "{sample} in {counted:#?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_says_why_not() {
    let House { parts, .. } = house();
    let line = Faulty::new(
        Arc::new(Embedded::new(EngineOptions::default())),
        FaultRates::default(),
    );
    let parts = Parts {
        backend: line.clone(),
        ..parts
    };
    let running = start(options(), parts).unwrap();
    let address = running.addr();
    let ready = async || {
        let response = get(address, "/readyz").await;
        let status = response.status().as_u16();
        let body: Json = response.json().await.unwrap();
        assert_eq!(body["ready"], status == 200);
        (status, body["reasons"].clone())
    };
    assert_eq!(ready().await, (503, json!(["starting"])));
    running.ready();
    assert_eq!(ready().await, (200, json!([])));
    line.set(FaultRates {
        refused: 1_000,
        ..FaultRates::default()
    });
    assert_eq!(ready().await, (503, json!(["engine_unavailable"])));
    assert_eq!(get(address, "/livez").await.status(), 200, "the process turns");
    assert_eq!(
        get(address, "/metrics").await.status(),
        200,
        "the rest is still told"
    );
    running.begin_drain();
    assert_eq!(ready().await, (503, json!(["draining", "engine_unavailable"])));
    running.stop().await;
}
