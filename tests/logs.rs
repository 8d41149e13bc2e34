//! What is logged: a line for each request and each end of a job, and never what a client or a model said.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use serde_json::{Value as Json, json};

use crate::serving::{Serving, until};

/// Planted in everything that must not be logged; each ends otherwise, so that a leak names itself.
const PLANTED: &str = "zq7planted";

fn planted(what: &str) -> String {
    format!("{PLANTED}-{what}")
}

/// A request full of secrets, for a model.
fn request(model: &str) -> Json {
    json!({
        "model": model,
        "input": planted("prompt"),
        "schema": {
            "type": "object",
            "description": planted("description"),
            "properties": {planted("name"): {"const": planted("value")}, "age": {"type": "integer"}},
            "required": [planted("name"), "age"],
        },
        "metadata": {planted("metadata"): planted("metadata")},
        "sampling": {"stop": [planted("stop")]},
    })
}

/// Speaks with a server about secrets, in order and out of it. Gives the ids of the jobs that ended.
async fn talk(serving: &Serving) -> Vec<String> {
    let mut client = serving.client().await;
    client
        .send(json!({"type": "auth", "token": planted("token")}))
        .await;
    let mut jobs = Vec::new();
    let mut fine = request("scripted");
    fine["script"] = json!({"tokens_per_second": 0, "invalid_attempts": 1, "think": true});
    for (request, end) in [(fine, "job.completed"), (request("openai/gpt"), "job.failed")] {
        let create = json!({"type": "job.create", "ref": planted("ref"), "idempotency_key": planted(end), "request": request});
        client.send(create).await;
        jobs.push(
            until(&mut client, "job.accepted").await["job_id"]
                .as_str()
                .unwrap()
                .to_owned(),
        );
        until(&mut client, end).await;
    }
    let refused = [
        planted("no json"),
        format!(r#"{{"type":"{}"}}"#, planted("type")),
        json!({"type": "job.create", "request": {"model": "scripted", "input": "x", "schema": {}, "mode": planted("mode")}})
            .to_string(),
        json!({"type": "job.create", "request": {"model": "scripted", "input": "x", "schema": {"type": planted("t")}}}).to_string(),
        json!({"type": "job.get", "job_id": planted("id")}).to_string(),
        json!({"type": "job.get", "job_id": "x", planted("member"): 1}).to_string(),
    ];
    for text in refused {
        client.text(text).await;
        until(&mut client, "error").await;
    }
    let http = Serving::http();
    for path in ["/v1/jobs", "/v1/jobs/x/cancel", &format!("/{}", planted("path"))] {
        let post = http
            .post(serving.url(path))
            .header("authorization", planted("bearer"));
        post.body(planted("body")).send().await.unwrap();
    }
    let query = format!(
        "/v1/jobs/{}/events?{}={}",
        jobs[0],
        planted("query"),
        planted("query")
    );
    assert_eq!(serving.get(&query).await.status(), 400);
    assert_eq!(serving.get(&format!("/v1/jobs/{}", jobs[0])).await.status(), 200);
    client.socket.close(None).await.unwrap();
    client.closed().await;
    jobs
}

async fn logged(arguments: &[&str], level: &str) -> (Vec<String>, Vec<String>) {
    // Nobody listens there: the call fails, with the key in hand.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}/v1", listener.local_addr().unwrap());
    drop(listener);
    let key = planted("key");
    let settings = [
        ("OPENAI_API_KEY", &*key),
        ("OPENAI_BASE_URL", &*base),
        ("LIVEDRAFT_LOG", level),
    ];
    let serving = Serving::start(arguments, &settings);
    let jobs = talk(&serving).await;
    serving.terminate();
    let (code, lines) = serving.ended();
    assert_eq!(code, Some(0));
    let leaks: Vec<_> = lines.iter().filter(|line| line.contains(PLANTED)).collect();
    assert!(leaks.is_empty(), "at {level}: {leaks:#?}");
    (jobs, lines)
}

#[tokio::test]
#[cfg(unix)]
async fn secrets_reach_no_log_at_any_level() {
    for level in ["info", "trace", "trace,livedraft=trace"] {
        let (_, lines) = logged(&[], level).await;
        assert!(
            lines.iter().any(|line| line.contains("a job has ended")),
            "{lines:#?}"
        );
    }
}

#[tokio::test]
#[cfg(unix)]
async fn json_lines_tell_each_request_and_each_end_with_their_ids() {
    let (jobs, lines) = logged(&["--log-format", "json"], "info").await;
    let lines: Vec<Json> = lines
        .iter()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let of = |words: &str| -> Vec<&Json> { lines.iter().filter(|line| line["message"] == words).collect() };
    let ends = of("a job has ended");
    assert_eq!(ends.len(), 2, "{lines:#?}");
    for (end, (job, outcome, code)) in ends.iter().zip([
        (&jobs[0], "completed", ""),
        (&jobs[1], "failed", "provider_connect"),
    ]) {
        assert_eq!(
            (&end["job"], &end["outcome"], &end["code"]),
            (&json!(job), &json!(outcome), &json!(code))
        );
        assert!(end["total_ms"].is_u64() && end["level"] == "INFO", "{end}");
    }
    assert_eq!(ends[0]["attempts"], 2);
    let accepted = of("a job was accepted");
    let connection = accepted[0]["connection"].as_str().unwrap();
    assert_eq!(
        accepted
            .iter()
            .map(|line| line["job"].as_str().unwrap())
            .collect::<Vec<_>>(),
        jobs
    );
    let requests = of("a request was answered");
    let told: Vec<_> = requests
        .iter()
        .map(|line| {
            (
                line["method"].as_str().unwrap(),
                line["route"].as_str().unwrap(),
                line["status"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("GET", "/v1/ws", 101),
            ("POST", "/v1/jobs", 400),
            ("POST", "/v1/jobs/{job}/cancel", 404),
            ("POST", "other", 404),
            ("GET", "/v1/jobs/{job}/events", 400),
            ("GET", "/v1/jobs/{job}", 200),
        ]
    );
    assert_eq!(
        requests[0]["connection"], connection,
        "the socket's line names it"
    );
    assert_eq!(requests[5]["job"], json!(jobs[0]));
    let ended = of("a socket ends");
    assert_eq!(ended[0]["connection"], connection);
}
