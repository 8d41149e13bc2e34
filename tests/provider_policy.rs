//! Whom a job asks, when again, and what it may spend: retries, limits of rate, breakers, chains, prices, budgets.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use livedraft::clock;
use livedraft::job::{Money, Outcome};
use livedraft::llm::{BreakerOptions, ChainOptions, Price, ProvidersOptions, RemoteOptions};
use livedraft::worker::WorkerOptions;
use serde_json::{Value as Json, json};

use crate::llm_openai::server::{Act, Seen, Server, answer, options, stream_of};
use crate::pipeline::{Node, Watching};

/// A frame with this piece of text.
fn piece(text: &str) -> String {
    let delta = json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": null}]});
    format!("data: {delta}\n\n")
}

fn finished(reason: &str) -> String {
    let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1_000, "completion_tokens": 500,
        "prompt_tokens_details": {"cached_tokens": 400}}});
    format!("data: {finish}\n\ndata: {usage}\n\ndata: [DONE]\n\n")
}

/// A whole answer: Ada, of this age.
fn ada(age: u32) -> Act {
    let text = json!({"name": "Ada", "age": age}).to_string();
    stream_of(&format!("{}{}", piece(&text), finished("stop")))
}

fn busy(seconds: u32) -> Act {
    answer(
        "429 Too Many Requests",
        &format!("retry-after: {seconds}\r\n"),
        "",
    )
}

fn oops() -> Act {
    answer("500 Oops", "", "")
}

fn silent() -> Act {
    Act {
        pieces: Vec::new(),
        hold: true,
    }
}

/// An answer that begins, and breaks off.
fn half() -> Act {
    stream_of(&piece(r#"{"name":"A"#))
}

/// The same, and then nothing for ever.
fn stalled() -> Act {
    Act { hold: true, ..half() }
}

fn named(name: &str, server: &Server) -> RemoteOptions {
    RemoteOptions {
        name: name.to_owned(),
        ..options(&server.base)
    }
}

fn only(remote: Vec<RemoteOptions>) -> ProvidersOptions {
    ProvidersOptions {
        scripted: false,
        remote,
        ..ProvidersOptions::default()
    }
}

fn chain(remote: Vec<RemoteOptions>) -> ProvidersOptions {
    let models = remote.iter().map(|one| format!("{}/m", one.name)).collect();
    ProvidersOptions {
        chains: vec![ChainOptions {
            name: "best".to_owned(),
            models,
        }],
        ..only(remote)
    }
}

fn priced(mut options: RemoteOptions) -> RemoteOptions {
    *options.prices.entry("*") = Price {
        input: money("2"),
        cached_input: Some(money("0.5")),
        output: money("10"),
        reasoning: None,
    };
    options
}

fn money(text: &str) -> Money {
    text.parse().unwrap()
}

fn request(model: &str) -> Json {
    json!({
        "model": model, "input": "Ada, 36", "flush_ms": 0, "reask": "whole",
        "schema": {"type": "object", "title": "User", "properties": {"name": {"type": "string"},
            "age": {"type": "integer", "minimum": 18}}, "required": ["name", "age"]},
    })
}

fn asked(server: &Server) -> usize {
    server.requests.lock().unwrap().len()
}

fn code(watching: &Watching) -> &str {
    let error = watching.end().error.as_ref();
    error.map(|error| &*error.code).unwrap_or_default()
}

fn warnings(watching: &Watching) -> usize {
    let told = watching.told.iter();
    told.filter(|told| told.starts_with("warning: ")).count()
}

#[tokio::test(start_paused = true)]
async fn a_fault_that_passes_is_met_by_another_call_of_the_same_attempt() {
    let mut server = Server::start(vec![oops(), oops(), silent(), oops(), ada(36)]).await;
    let node = Node::start_with(only(vec![named("a", &server)]));
    let watching = node.follow(request("a/m")).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed, "{:?}", watching.story);
    assert_eq!((watching.end().attempts.len(), asked(&server)), (1, 5));
    assert_eq!(warnings(&watching), 4, "{:?}", watching.told);
    // The call that was given up may have been paid for.
    assert!(watching.end().usage.estimated);
    assert!(watching.end().usage.input_tokens > 1_000);
    server.saw(Seen::Closed).await;

    let server = Server::start(vec![oops()]).await;
    let node = Node::start_with(only(vec![named("a", &server)]));
    let watching = node.follow(request("a/m")).await.watched_out().await;
    assert_eq!((code(&watching), asked(&server)), ("provider_server", 5));
    assert_eq!(watching.end().attempts, []);
}

#[tokio::test(start_paused = true)]
async fn a_wait_ends_at_once_where_the_job_does() {
    let server = Server::start(vec![answer("503 Busy", "retry-after: 9\r\n", "")]).await;
    let node = Node::start_with(only(vec![named("a", &server)]));
    let began = clock::now();
    let watching = node.follow(request("a/m")).await.until("note warning").await;
    node.cancel(watching.job).await;
    let watching = watching.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Cancelled);
    assert!(clock::now() - began < Duration::from_secs(9));

    let watching = node.follow(request("a/m")).await.until("note warning").await;
    let began = clock::now();
    node.drain();
    // It is put back, for whoever is there next.
    watching.until("waiting (drain)").await;
    // Running jobs have their time first, and no more.
    assert!(clock::now() - began <= WorkerOptions::default().drain);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_asked_too_often_is_left_alone_by_all() {
    let limited = Server::start(vec![busy(20), ada(36)]).await;
    let other = Server::start(vec![ada(37)]).await;
    let worker = WorkerOptions {
        slots: 1,
        ..WorkerOptions::default()
    };
    let node = Node::start_of(only(vec![named("a", &limited), named("b", &other)]), worker);
    let began = clock::now();
    let first = node
        .follow(request("a/m"))
        .await
        .until("waiting (rate_limited)")
        .await;
    let second = node
        .follow(request("a/m"))
        .await
        .until("waiting (rate_limited)")
        .await;
    assert_eq!(asked(&limited), 1, "the second was not sent");
    // The one slot is free for others, and so is another model of the same provider.
    for model in ["b/m", "a/n"] {
        let watching = node.follow(request(model)).await.watched_out().await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{model}");
    }
    assert!(clock::now() - began < Duration::from_secs(20));
    for watching in [first, second] {
        let watching = watching.watched_out().await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{:?}", watching.story);
        assert_eq!(watching.end().attempts.len(), 1, "a deferral burns none");
    }
    assert!(clock::now() - began >= Duration::from_secs(20));
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_rate_that_outlasts_the_job_ends_it() {
    let server = Server::start(vec![busy(30)]).await;
    let node = Node::start_with(only(vec![named("a", &server)]));
    let mut short = request("a/m");
    short["limits"] = json!({"seconds": 10});
    for _ in 0..2 {
        let watching = node.follow(short.clone()).await.watched_out().await;
        assert_eq!(code(&watching), "provider_rate_limited");
    }
    assert_eq!(asked(&server), 1, "the second was not sent");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_fails_again_and_again_is_not_asked_until_a_probe_succeeds() {
    let acts: Vec<Act> = [vec![oops(); 4], vec![ada(36)]].concat();
    let server = Server::start(acts).await;
    let models = ProvidersOptions {
        breaker: BreakerOptions {
            calls_min: 4,
            ..BreakerOptions::default()
        },
        ..only(vec![named("a", &server)])
    };
    let worker = WorkerOptions {
        retries_max: 1,
        ..WorkerOptions::default()
    };
    let node = Node::start_of(models, worker);
    for _ in 0..2 {
        let watching = node.follow(request("a/m")).await.watched_out().await;
        assert_eq!(code(&watching), "provider_server");
    }
    let mut short = request("a/m");
    short["limits"] = json!({"seconds": 1});
    let watching = node.follow(short).await.watched_out().await;
    assert_eq!((code(&watching), asked(&server)), ("provider_unavailable", 4));
    let waits = node
        .follow(request("a/m"))
        .await
        .until("waiting (unavailable)")
        .await;
    let watching = waits.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed, "{:?}", watching.story);
    assert_eq!(asked(&server), 5, "one probe");
    let watching = node.follow(request("a/m")).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_next_of_a_chain_is_asked_within_the_attempt_before_the_first_change() {
    let hopeless = Server::start(vec![answer("401 Unauthorized", "", "")]).await;
    let limited = Server::start(vec![busy(600)]).await;
    let good = Server::start(vec![ada(36)]).await;
    let mut last = named("c", &good);
    last.dialect = livedraft::llm::DialectChoice::Always(livedraft::schema::dialect::Dialect::Json);
    let node = Node::start_with(chain(vec![named("a", &hopeless), named("b", &limited), last]));
    for calls in 1..3 {
        let watching = node.follow(request("best")).await.watched_out().await;
        let end = watching.end();
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", watching.told);
        let models: Vec<_> = end
            .attempts
            .iter()
            .map(|attempt| attempt.model.as_deref())
            .collect();
        assert_eq!(models, [Some("c/m")]);
        assert_eq!(warnings(&watching), 2, "{:?}", watching.told);
        assert_eq!(asked(&good), calls);
    }
    assert_eq!(asked(&limited), 1, "known to be limited, it was passed over");
    let format = &good.request(0).1["response_format"]["type"];
    assert_eq!(format, "json_object", "asked in its own mode");
}

#[tokio::test(start_paused = true)]
async fn behind_the_first_change_the_next_of_a_chain_is_another_attempt() {
    let cut = Server::start(vec![half()]).await;
    let good = Server::start(vec![ada(36)]).await;
    let node = Node::start_with(chain(vec![named("a", &cut), named("b", &good)]));
    let watching = node.follow(request("best")).await.watched_out().await;
    let story = [
        "running",
        "attempt 1 (first)",
        "patch",
        "note warning",
        "attempt 2 (provider)",
        "patch",
        "completed",
    ];
    assert_eq!(watching.story, story, "{:?}", watching.told);
    let models: Vec<_> = watching
        .end()
        .attempts
        .iter()
        .map(|one| one.model.clone().unwrap())
        .collect();
    assert_eq!(models, ["a/m", "b/m"]);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_answer_in_calls_is_asked_again_of_one_without_tools() {
    let call = |age: u32| {
        let arguments = json!({"name": "Ada", "age": age}).to_string();
        let frame = json!({"choices": [{"index": 0, "delta": {"tool_calls": [{"index": 0, "id": "call_1",
            "function": {"name": "User", "arguments": arguments}}]}, "finish_reason": null}]});
        stream_of(&format!("data: {frame}\n\n{}", finished("tool_calls")))
    };
    let first = Server::start(vec![call(3), oops()]).await;
    let second = Server::start(vec![ada(36)]).await;
    let mut tools = named("a", &first);
    tools.dialect = livedraft::llm::DialectChoice::Always(livedraft::schema::dialect::Dialect::Tools);
    let node = Node::start_with(chain(vec![tools, named("b", &second)]));
    let watching = node.follow(request("best")).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed, "{:?}", watching.told);
    let turns = second.request(0).1["messages"].clone();
    let roles: Vec<_> = turns
        .as_array()
        .unwrap()
        .iter()
        .map(|turn| turn["role"].clone())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user"], "{turns}");
    assert!(turns[1]["tool_calls"].is_null() && turns[1]["content"].as_str().unwrap().contains("\"age\":3"));
    assert!(turns[2]["content"].as_str().unwrap().contains("/age"), "{turns}");
}

#[tokio::test(start_paused = true)]
async fn the_next_of_a_chain_mends_the_same_places() {
    let wrong = piece(r#"{"name":"Ada","age":3,"note":""}"#);
    let wrong = stream_of(&format!("{wrong}{}", finished("stop")));
    let cut = stream_of("");
    let mended = stream_of(&format!("{}{}", piece(r#"{"fix_1":36}"#), finished("stop")));
    for acts in [vec![mended.clone()], vec![cut, mended]] {
        let last = Server::start(acts).await;
        let broken = Server::start(vec![wrong.clone(), oops()]).await;
        let node = Node::start_with(chain(vec![named("a", &broken), named("b", &last)]));
        let mut by_places = request("best");
        by_places["reask"] = json!("auto");
        by_places["schema"]["properties"]["note"] = json!({"type": "string"});
        let watching = node.follow(by_places).await.watched_out().await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{:?}", watching.told);
        let story: Vec<_> = watching
            .story
            .iter()
            .filter(|word| word.starts_with("attempt"))
            .collect();
        assert_eq!(
            story,
            ["attempt 1 (first)", "attempt 2 (invalid, kept)"],
            "{:?}",
            watching.told
        );
        let models: Vec<_> = watching
            .end()
            .attempts
            .iter()
            .map(|one| one.model.clone().unwrap())
            .collect();
        assert_eq!(models, ["a/m", "b/m"]);
        assert_eq!(
            watching.value().as_deref(),
            Some(r#"{"name":"Ada","age":36,"note":""}"#)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_costs_is_told_exactly_and_of_a_dropped_one_estimated() {
    let server = Server::start(vec![ada(3), ada(36), stalled(), silent()]).await;
    let node = Node::start_with(only(vec![priced(named("a", &server))]));
    let watching = node.follow(request("a/m")).await.watched_out().await;
    // 600 × 2 + 400 × 0.5 + 500 × 10, by a million.
    let costs: Vec<_> = watching.end().attempts.iter().map(|one| one.usage.cost).collect();
    assert_eq!(costs, [Some(money("0.0064")); 2]);
    assert_eq!(watching.end().usage.cost, Some(money("0.0128")));
    assert!(!watching.end().usage.estimated);

    // Dropped behind the first change, and before the first byte.
    for (word, attempts) in [("patch", 1), ("running", 0)] {
        let watching = node.follow(request("a/m")).await.until(word).await;
        while asked(&server) < 4 - attempts {
            tokio::task::yield_now().await;
        }
        node.cancel(watching.job).await;
        let watching = watching.watched_out().await;
        let end = watching.end();
        assert_eq!(
            (end.outcome, end.attempts.len()),
            (Outcome::Cancelled, attempts),
            "{word}"
        );
        assert!(
            end.usage.estimated && end.usage.input_tokens > 0,
            "{word}: {end:?}"
        );
        assert!(end.usage.cost > Some(money("0")), "{word}: {end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_cost_is_told_only_where_all_of_it_is_known() {
    let (cut, good) = (
        Server::start(vec![half()]).await,
        Server::start(vec![ada(36)]).await,
    );
    let node = Node::start_with(chain(vec![named("a", &cut), priced(named("b", &good))]));
    let watching = node.follow(request("best")).await.watched_out().await;
    let costs: Vec<_> = watching.end().attempts.iter().map(|one| one.usage.cost).collect();
    assert_eq!(costs, [None, Some(money("0.0064"))]);
    assert_eq!(watching.end().usage.cost, None);
}

async fn spent(acts: Vec<Act>, limits: Json) -> (Server, Watching) {
    let server = Server::start(acts).await;
    let node = Node::start_with(only(vec![priced(named("a", &server))]));
    let mut bounded = request("a/m");
    bounded["limits"] = limits;
    let watching = node.follow(bounded).await.watched_out().await;
    (server, watching)
}

#[tokio::test(start_paused = true)]
async fn a_job_ends_where_its_budget_does() {
    // After an invalid answer of 1,500 tokens and 0.0064, nothing is left for another prompt.
    for limits in [
        json!({"total_tokens": 1_500}),
        json!({"cost": "0.0064"}),
        json!({"attempts": 1}),
    ] {
        let (server, watching) = spent(vec![ada(3), ada(36)], limits.clone()).await;
        let end = watching.end();
        assert_eq!(
            (end.outcome, code(&watching)),
            (Outcome::Incomplete, "budget_exceeded"),
            "{limits}"
        );
        assert_eq!(asked(&server), 1, "{limits}");
        assert_eq!(end.error.as_ref().unwrap().errors[0].path, "/age", "{limits}");
        assert_eq!(
            watching.value().as_deref(),
            Some(r#"{"name":"Ada","age":3}"#),
            "the draft is kept"
        );
    }
    let (server, watching) = spent(vec![ada(36)], json!({"total_tokens": 10})).await;
    assert_eq!(
        (code(&watching), asked(&server)),
        ("budget_exceeded", 0),
        "not even the prompt"
    );
    let (_, watching) = spent(
        vec![ada(3), ada(36)],
        json!({"total_tokens": 9_000, "cost": "1", "attempts": 2}),
    )
    .await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_provider_is_told_what_is_left_and_one_that_does_not_hear_is_dropped() {
    let max = |server: &Server| server.request(0).1["max_tokens"].as_u64();
    let long = piece(&format!(r#"{{"name":"{}"#, "x".repeat(8_000)));
    let endless = || Act {
        hold: true,
        ..stream_of(&long)
    };
    let (mut server, watching) = spent(vec![endless()], json!({"total_tokens": 500})).await;
    assert!(max(&server).unwrap() < 500);
    assert_eq!(code(&watching), "budget_exceeded");
    assert!(watching.value().unwrap().len() > 8_000, "what was read is kept");
    assert!(watching.end().usage.estimated);
    server.saw(Seen::Closed).await;
    // 0.001 buys 100 tokens of the answer, less the prompt.
    let (server, _) = spent(vec![endless()], json!({"cost": "0.001"})).await;
    assert!(max(&server).unwrap() < 100);
    // Stopped by what it was told: that is the budget's end too.
    let short = stream_of(&format!("{}{}", piece(r#"{"name":"A"#), finished("length")));
    let (_, watching) = spent(vec![short.clone()], json!({"total_tokens": 500})).await;
    assert_eq!(code(&watching), "budget_exceeded");
    let (server, watching) = spent(vec![short], json!({"total_tokens": 100_000})).await;
    assert_eq!((code(&watching), max(&server)), ("length", None));
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_could_not_be_kept_is_refused() {
    let node = Node::start();
    for (limits, path) in [
        (json!({"cost": "0"}), "/limits/cost"),
        (json!({"total_tokens": 0}), "/limits/total_tokens"),
        (json!({"attempts": 65}), "/limits/attempts"),
        (json!({"cost": "0.5"}), "/limits/cost"),
    ] {
        let mut bounded = request("scripted");
        bounded["limits"] = limits;
        let refused = node.refusal(bounded).await;
        assert_eq!(
            (refused.code, refused.path.as_deref()),
            ("bad_request", Some(path)),
            "{refused}"
        );
    }
}
