//! A worker's delivery where things go wrong around it: cancels, lost answers, lost writes, an engine that is gone.

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::fault::{FaultRates, Faulty};
use livedraft::backend::{Backend, EventLog, JobQueue, Submission};
use livedraft::clock;
use livedraft::event::{End, Entry, Epoch, Event};
use livedraft::hub::{Hub, HubOptions, Replica};
use livedraft::job::{JobId, JobState, Outcome};
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::submit::{Admission, AdmissionOptions, Offered};
use livedraft::wire::Deliver;
use livedraft::worker::{Worker, WorkerOptions};
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::llm_openai::server::{Act, STREAM_HEAD, Server, options};

const LONG: Duration = Duration::from_secs(300);
/// The worker is told at once, long before the reaper would end the job.
const SOON_MS: u64 = 1_000;

/// An engine, a bad line to it, and a worker at the other end.
struct Bench {
    engine: Arc<Embedded>,
    line: Arc<Faulty>,
    drain: watch::Sender<bool>,
    worker: JoinHandle<()>,
}

impl Bench {
    fn start(providers: ProvidersOptions) -> Self {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let line = Faulty::new(Arc::clone(&engine) as Arc<dyn Backend>, FaultRates::default());
        let providers = Arc::new(Providers::new(providers).expect("providers"));
        let (drain, draining) = watch::channel(false);
        let worker = Worker::new(
            Arc::clone(&line) as Arc<dyn Backend>,
            providers,
            Arc::default(),
            WorkerOptions::default(),
        );
        tokio::spawn(Arc::clone(&worker).heartbeat());
        let worker = tokio::spawn(worker.run(draining));
        Self {
            engine,
            line,
            drain,
            worker,
        }
    }

    /// Submits a job and hears its log from the beginning.
    async fn submit(&self, spec: Json) -> (JobId, mpsc::Receiver<Arc<Entry>>) {
        let id = JobId::new(clock::job_uuid());
        let live = self.engine.subscribe(id).await.expect("the engine");
        let submission = Submission {
            id,
            epoch: Epoch::new(clock::nonce()),
            tenant: "default".into(),
            spec: Arc::new(serde_json::from_value(spec).expect("a spec")),
            shape: Arc::default(),
            idempotency: None,
        };
        self.engine.submit(submission).await.expect("the engine");
        (id, live)
    }

    async fn cancel(&self, job: JobId) {
        let epoch = Epoch::new(clock::nonce());
        self.engine.cancel(job, epoch).await.expect("the engine");
    }
}

fn spec(script: &Json) -> Json {
    json!({"model": "scripted", "input": "x", "flush_ms": 0, "script": script, "schema":
        {"type": "object", "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}, "required": ["name", "age"]}})
}

async fn heard(live: &mut mpsc::Receiver<Arc<Entry>>, kind: &str) -> Arc<Entry> {
    let heard = async {
        loop {
            let entry = live.recv().await.expect("the engine lives");
            if entry.event.kind() == kind {
                return entry;
            }
        }
    };
    tokio::time::timeout(LONG, heard).await.expect("it comes")
}

async fn end(live: &mut mpsc::Receiver<Arc<Entry>>) -> End {
    match &heard(live, "end").await.event {
        Event::End(end) => (**end).clone(),
        _ => unreachable!(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancel_while_an_answer_is_lost_ends_the_job_at_once() {
    let bench = Bench::start(ProvidersOptions::default());
    let (job, mut live) = bench.submit(spec(&json!({"tokens_per_second": 5}))).await;
    heard(&mut live, "patch").await;
    bench.line.set(FaultRates {
        answers_lost: 1_000,
        ..FaultRates::default()
    });
    heard(&mut live, "patch").await;
    let asked = clock::now_ms();
    bench.cancel(job).await;
    bench.line.set(FaultRates::default());
    assert_eq!(end(&mut live).await.outcome, Outcome::Cancelled);
    assert!(
        clock::now_ms() - asked < SOON_MS,
        "by its worker, not by the reaper"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_after_lost_writes_ends_the_job_at_once() {
    let bench = Bench::start(ProvidersOptions::default());
    let (job, mut live) = bench.submit(spec(&json!({"tokens_per_second": 5}))).await;
    heard(&mut live, "patch").await;
    let before = bench.engine.state();
    heard(&mut live, "patch").await;
    bench.engine.restore(before);
    let asked = clock::now_ms();
    bench.cancel(job).await;
    assert_eq!(end(&mut live).await.outcome, Outcome::Cancelled);
    assert!(
        clock::now_ms() - asked < SOON_MS,
        "by its worker, not by the reaper"
    );
}

#[tokio::test(start_paused = true)]
async fn a_worker_goes_down_though_its_engine_is_gone() {
    let bench = Bench::start(ProvidersOptions::default());
    let (_job, mut live) = bench.submit(spec(&json!({"tokens_per_second": 5}))).await;
    heard(&mut live, "patch").await;
    bench.line.set(FaultRates {
        refused: 1_000,
        ..FaultRates::default()
    });
    bench.drain.send_replace(true);
    tokio::time::timeout(LONG, bench.worker)
        .await
        .expect("a lease that ran out is worked on no more")
        .expect("it did not panic");
}

#[tokio::test(start_paused = true)]
async fn the_first_change_goes_at_once_in_every_mode() {
    let bench = Bench::start(ProvidersOptions::default());
    for mode in ["tools", "json_schema", "md_json"] {
        let mut spec = spec(&json!({"tokens_per_second": 5}));
        spec["mode"] = json!(mode);
        spec["flush_ms"] = json!(10_000);
        let (_job, mut live) = bench.submit(spec).await;
        let asked = clock::now_ms();
        heard(&mut live, "patch").await;
        let waited = clock::now_ms() - asked;
        // The fence is three tokens long.
        assert!(waited < 1_000, "{mode}: {waited} ms");
    }
}

#[tokio::test]
async fn long_thoughts_do_not_pile_up_in_the_log() {
    let thought = json!({"choices": [{"index": 0, "delta": {"reasoning": "x".repeat(1_000)}}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    let mut body = format!("data: {thought}\n\n").repeat(200);
    body += &format!("data: {stop}\n\ndata: [DONE]\n\n");
    let (bench, job, _server, end) = asked(body, "m").await;
    assert_eq!(
        end.error.map(|error| error.code).as_deref(),
        Some("invalid_output")
    );
    let reading = bench.engine.read(job, None).await;
    let reading = reading.expect("the engine").expect("the job");
    let bytes: usize = reading.tail.iter().map(|entry| entry.event.bytes()).sum();
    assert!(bytes < 32 * 1024, "{bytes} bytes stand in the tail");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_of_a_job_that_is_gone_is_told_so() {
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    let empty = engine.state();
    let hub = Hub::new(Arc::clone(&engine) as Arc<dyn Backend>, HubOptions::default());
    let bench = Bench {
        line: Faulty::new(Arc::clone(&engine) as Arc<dyn Backend>, FaultRates::default()),
        engine,
        drain: watch::channel(false).0,
        worker: tokio::spawn(std::future::ready(())),
    };
    let (job, _live) = bench.submit(spec(&json!({}))).await;
    let wake = Arc::new(Notify::new());
    let watched = hub.watch(job, None, Deliver::default(), &wake).await;
    let mut viewer = watched.expect("the engine").expect("the job");
    assert_eq!(viewer.take(clock::now_ms(), 1_024).len(), 1, "the state as it is");
    bench.engine.restore(empty);
    let gone = async {
        while !viewer.is_over() {
            wake.notified().await;
            viewer.take(clock::now_ms(), 1_024);
        }
    };
    tokio::time::timeout(LONG, gone).await.expect("it is woken");
    assert!(viewer.is_gone());
}

#[tokio::test(start_paused = true)]
async fn who_comes_to_what_is_viewed_here_asks_the_engine_nothing() {
    let bench = Bench::start(ProvidersOptions::default());
    let (job, _live) = bench.submit(spec(&json!({}))).await;
    let hub = Hub::new(Arc::clone(&bench.line) as Arc<dyn Backend>, HubOptions::default());
    let wake = Arc::new(Notify::new());
    let deliver = Deliver::default();
    let join = async |tenant: &str| hub.join(job, tenant, None, deliver, &wake).await;
    assert!(join("default").await.is_none(), "nobody views it here yet");
    let first = hub.watch(job, None, deliver, &wake).await;
    let _first = first.expect("the engine").expect("the job");
    bench.line.set(FaultRates {
        refused: 1_000,
        ..FaultRates::default()
    });
    let mut second = join("default").await.expect("it is viewed here");
    assert!(!second.take(clock::now_ms(), 1 << 20).is_empty());
    assert!(join("another").await.is_none(), "a job of another tenant");
}

/// A job at a server that streams this body, asked in mode `tools` and never again.
async fn asked(body: String, model: &str) -> (Bench, JobId, Server, End) {
    let act = Act {
        pieces: vec![STREAM_HEAD.into(), body.into_bytes()],
        hold: false,
    };
    let server = Server::start(vec![act]).await;
    let bench = Bench::start(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    let (job, mut live) = bench.submit(tools(model)).await;
    let end = end(&mut live).await;
    (bench, job, server, end)
}

/// A job in mode `tools` that is never asked again.
fn tools(model: &str) -> Json {
    let mut spec = spec(&json!({}));
    let members = spec.as_object_mut().expect("an object");
    members.remove("script");
    for (name, value) in [
        ("model", json!(model)),
        ("max_reasks", json!(0)),
        ("mode", json!("tools")),
    ] {
        members.insert(name.to_owned(), value);
    }
    spec
}

fn calls(calls: &[(&str, &str)]) -> String {
    let piece = |(id, arguments): &(&str, &str)| {
        let call = json!({"index": 0, "id": id, "function": {"name": "extract", "arguments": arguments}});
        format!(
            "data: {}\n\n",
            json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]})
        )
    };
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    calls.iter().map(piece).collect::<String>() + &format!("data: {stop}\n\ndata: [DONE]\n\n")
}

#[tokio::test]
async fn the_first_call_that_shows_something_is_the_draft() {
    let (ada, bob) = (r#"{"name":"Ada","age":36}"#, r#"{"name":"Bob","age":7}"#);
    for (told, value) in [
        (calls(&[("a", ada), ("b", bob)]), ada),
        (calls(&[("a", ""), ("b", bob)]), bob),
    ] {
        let (bench, job, _server, end) = asked(told, "m").await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        let hub = Hub::new(
            Arc::clone(&bench.engine) as Arc<dyn Backend>,
            HubOptions::default(),
        );
        let state = hub
            .look(job, Replica::state)
            .await
            .expect("the engine")
            .expect("the job");
        assert_eq!(
            state.value.map(|value| value.get().to_owned()).as_deref(),
            Some(value)
        );
    }
}

#[tokio::test]
async fn a_provider_takes_its_own_name_off_once() {
    let told = calls(&[("a", "{}")]);
    for (model, at_the_provider) in [("m", "m"), ("test/m", "m"), ("test/test/m", "test/m")] {
        let (_bench, _job, server, _end) = asked(told.clone(), model).await;
        assert_eq!(server.request(0).1["model"], at_the_provider, "{model}");
    }
}

#[tokio::test]
async fn words_in_place_of_a_call_are_kept_in_the_conversation() {
    let words =
        json!({"choices": [{"index": 0, "delta": {"content": "I would say Ada"}, "finish_reason": "stop"}]});
    let told = [
        format!("data: {words}\n\n"),
        calls(&[("a", r#"{"name":"Ada","age":36}"#)]),
    ];
    let acts = told.map(|body| Act {
        pieces: vec![STREAM_HEAD.into(), body.into_bytes()],
        hold: false,
    });
    let server = Server::start(acts.to_vec()).await;
    let bench = Bench::start(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    let mut spec = tools("m");
    spec["max_reasks"] = json!(1);
    let (_job, mut live) = bench.submit(spec).await;
    assert_eq!(end(&mut live).await.outcome, Outcome::Completed);
    let messages = server.request(1).1["messages"].to_string();
    assert!(messages.contains("I would say Ada"), "{messages}");
    assert!(!messages.contains("empty"), "{messages}");
}

#[tokio::test(start_paused = true)]
async fn a_submission_whose_answer_is_lost_is_sent_again() {
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    let line = Faulty::new(Arc::clone(&engine) as Arc<dyn Backend>, FaultRates::default());
    let door = Admission::new(
        Arc::clone(&line) as Arc<dyn Backend>,
        Arc::default(),
        AdmissionOptions::default(),
        Arc::new(|_: &str| Ok(Offered::default())),
    );
    line.set(FaultRates {
        answers_lost: 1_000,
        ..FaultRates::default()
    });
    let spec = serde_json::from_value(spec(&json!({}))).expect("a spec");
    let submitting = door.submit("default", spec, None);
    let healing = async {
        while engine.stats().await.expect("the engine").queued == 0 {
            clock::sleep(Duration::from_millis(1)).await;
        }
        line.set(FaultRates::default());
    };
    let (kept, ()) = tokio::join!(submitting, healing);
    let kept = kept.expect("it is kept");
    let last = engine.positions(&[kept.id]).await.expect("the engine");
    assert_eq!(last, [kept.position], "told as it was kept");
    assert_eq!(engine.stats().await.expect("the engine").queued, 1, "once");
}

#[tokio::test]
async fn the_state_of_a_watched_job_is_the_log_s() {
    let engine = Arc::new(Embedded::new(EngineOptions::default()));
    let hub = Hub::new(Arc::clone(&engine) as Arc<dyn Backend>, HubOptions::default());
    let bench = Bench {
        line: Faulty::new(Arc::clone(&engine) as Arc<dyn Backend>, FaultRates::default()),
        engine,
        drain: watch::channel(false).0,
        worker: tokio::spawn(std::future::ready(())),
    };
    let (job, _live) = bench.submit(spec(&json!({}))).await;
    let wake = Arc::new(Notify::new());
    let _viewer = hub
        .watch(job, None, Deliver::default(), &wake)
        .await
        .expect("the engine");
    // On one thread, the replica hears of it only after this.
    bench.cancel(job).await;
    let state = hub
        .look(job, Replica::state)
        .await
        .expect("the engine")
        .expect("the job");
    assert_eq!(state.status, JobState::Cancelled);
}
