//! The main job inside one process: admission, engine, worker, scripted model, hub; no sockets.

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{Backend, EventLog, JobQueue};
use livedraft::clock;
use livedraft::compiler::Compiler;
use livedraft::event::{Epoch, Fold};
use livedraft::hub::{Hub, HubOptions, Replica, Viewer};
use livedraft::job::{JobId, JobSpec, JobState, Outcome, Reason};
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::partial::Value;
use livedraft::submit::{Admission, AdmissionOptions, Offered, Refused};
use livedraft::wire::{Assembly, Bigints, Deliver, Form, JobEnd, ServerMessage, Unseen};
use livedraft::worker::{Worker, WorkerOptions};
use serde_json::{Value as Json, json};
use tokio::sync::{Notify, watch};

use crate::llm_openai::server::{Server, options, stream_of};

/// One node: everything but the sockets.
pub(crate) struct Node {
    engine: Arc<Embedded>,
    hub: Arc<Hub>,
    admission: Admission,
    drain: watch::Sender<bool>,
}

impl Node {
    pub(crate) fn start() -> Self {
        Self::start_with(ProvidersOptions::default())
    }

    /// A node with these models.
    pub(crate) fn start_with(models: ProvidersOptions) -> Self {
        Self::start_of(models, WorkerOptions::default())
    }

    /// And with a worker of these options.
    pub(crate) fn start_of(models: ProvidersOptions, worker: WorkerOptions) -> Self {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let backend: Arc<dyn Backend> = Arc::clone(&engine) as Arc<dyn Backend>;
        let providers = Arc::new(Providers::new(models).expect("models"));
        let hub = Hub::new(Arc::clone(&backend), HubOptions::default());
        let offered = Arc::clone(&providers);
        let compiler = Arc::<Compiler>::default();
        let admission = Admission::new(
            Arc::clone(&backend),
            Arc::clone(&compiler),
            AdmissionOptions::default(),
            Arc::new(move |model| {
                offered
                    .route(model)
                    .map(|targets| Offered {
                        is_priced: targets.iter().all(|target| target.price().is_some()),
                    })
                    .map_err(|unknown| unknown.nearest)
            }),
        );
        let (drain, draining) = watch::channel(false);
        let worker = Worker::new(backend, providers, compiler, worker);
        tokio::spawn(Arc::clone(&worker).heartbeat());
        tokio::spawn(worker.run(draining));
        Self {
            engine,
            hub,
            admission,
            drain,
        }
    }

    pub(crate) async fn submit(&self, request: Json) -> JobId {
        let spec: JobSpec = serde_json::from_value(request).expect("a spec");
        self.admission
            .submit("default", spec, None)
            .await
            .expect("it is accepted")
            .id
    }

    /// Submits a job and misses nothing of it.
    pub(crate) async fn follow(&self, request: Json) -> Watching {
        let spec: JobSpec = serde_json::from_value(request).expect("a spec");
        let kept = self.admission.submit("default", spec, None).await;
        let kept = kept.expect("it is accepted");
        let position = kept.position.expect("it is new");
        let wake = Arc::new(Notify::new());
        let notes = Deliver {
            notes: true,
            ..Deliver::default()
        };
        let viewer = self.hub.watch(kept.id, Some(position), notes, &wake).await;
        Watching {
            job: kept.id,
            fold: Some(Fold::submitted(position)),
            ..Watching::new(viewer.expect("the engine").expect("the job"), wake)
        }
    }

    pub(crate) async fn cancel(&self, job: JobId) {
        self.engine
            .cancel(job, Epoch::new(clock::nonce()))
            .await
            .expect("the engine");
    }

    pub(crate) fn drain(&self) {
        let _ = self.drain.send(true);
    }

    pub(crate) async fn refusal(&self, request: Json) -> Refused {
        let spec: JobSpec = serde_json::from_value(request).expect("a spec");
        let answer = self.admission.submit("default", spec, None).await;
        answer.expect_err("it is refused")
    }

    pub(crate) async fn watch(&self, job: JobId, deliver: Deliver) -> Watching {
        let wake = Arc::new(Notify::new());
        let viewer = self
            .hub
            .watch(job, None, deliver, &wake)
            .await
            .expect("the engine")
            .expect("the job");
        Watching {
            job,
            ..Watching::new(viewer, wake)
        }
    }
}

/// A viewer that folds what it is told.
pub(crate) struct Watching {
    pub(crate) job: JobId,
    viewer: Viewer,
    wake: Arc<Notify>,
    pub(crate) fold: Option<Fold>,
    parts: Assembly,
    end: Option<JobEnd>,
    pub(crate) names: Vec<&'static str>,
    /// Notes as `kind: text`, and each change as `patch`, in order; changes that follow each other are one.
    pub(crate) told: Vec<String>,
    /// What happened, a word each: what a viewer that misses nothing sees, in order. Changes that follow each other are
    /// one.
    pub(crate) story: Vec<String>,
}

impl Watching {
    fn new(viewer: Viewer, wake: Arc<Notify>) -> Self {
        Self {
            job: JobId::new(clock::job_uuid()),
            viewer,
            wake,
            fold: None,
            parts: Assembly::default(),
            end: None,
            names: Vec::new(),
            told: Vec::new(),
            story: Vec::new(),
        }
    }

    /// Until something of its story is this.
    pub(crate) async fn until(mut self, word: &str) -> Self {
        while !self.story.iter().any(|told| told == word) {
            assert!(self.end.is_none(), "it ended: {:?}", self.story);
            self.step().await;
        }
        self
    }

    pub(crate) async fn watched_out(mut self) -> Self {
        while self.end.is_none() {
            self.step().await;
        }
        self
    }

    async fn step(&mut self) {
        let told = self.viewer.take(clock::now_ms(), 64 * 1024);
        if told.is_empty() {
            self.wake.notified().await;
        }
        for frame in told {
            self.names.push(frame.name);
            self.hear(ServerMessage::decode(&frame.text).expect("a message"));
        }
    }

    fn tell(&mut self, word: String) {
        if word != "patch" || self.story.last().is_none_or(|last| last != "patch") {
            self.story.push(word);
        }
    }

    fn hear(&mut self, message: ServerMessage) {
        match &message {
            ServerMessage::Note(note) => self.tell(format!("note {}", word(&note.event.kind))),
            ServerMessage::Patch(_) => self.tell("patch".to_owned()),
            ServerMessage::Attempt(attempt) => {
                let begins = &attempt.event;
                let reset = if begins.reset { "" } else { ", kept" };
                self.tell(format!(
                    "attempt {} ({}{reset})",
                    begins.attempt,
                    word(&begins.reason)
                ));
            }
            ServerMessage::Status(status) => match &status.event.reason {
                Some(reason) => self.tell(format!("{} ({reason})", status.event.status)),
                None => self.tell(status.event.status.to_string()),
            },
            ServerMessage::End(end) => {
                let code = end.error.as_ref().map(|error| error.code.as_str());
                let outcome = JobState::from(end.outcome);
                self.tell(code.map_or(outcome.to_string(), |code| format!("{outcome} ({code})")));
            }
            _ => {}
        }
        match message {
            ServerMessage::Snapshot(snapshot) => {
                if let Some(fold) = self.parts.take(*snapshot).expect("whole parts") {
                    self.fold = Some(fold);
                }
            }
            ServerMessage::Note(note) => {
                let kind = serde_json::to_value(note.event.kind).expect("a word");
                self.told
                    .push(format!("{}: {}", kind.as_str().expect("a word"), note.event.text));
            }
            ServerMessage::Patch(patch) => {
                if self.told.last().is_none_or(|last| last != "patch") {
                    self.told.push("patch".to_owned());
                }
                let text = serde_json::to_string(&patch).expect("JSON");
                self.fold
                    .as_mut()
                    .expect("a snapshot came first")
                    .patch(&text)
                    .expect("it folds");
            }
            ServerMessage::Attempt(attempt) => {
                if let Some(fold) = &mut self.fold {
                    fold.begin(&attempt.event);
                }
            }
            ServerMessage::End(end) => self.end = Some(*end),
            _ => {}
        }
    }

    pub(crate) fn value(&self) -> Option<String> {
        self.fold
            .as_ref()
            .and_then(|fold| fold.value.as_ref())
            .map(Value::to_json)
    }

    pub(crate) fn end(&self) -> &JobEnd {
        self.end.as_ref().expect("it has ended")
    }
}

fn word(value: &impl serde::Serialize) -> String {
    let json = serde_json::to_value(value).expect("a word");
    json.as_str().expect("a word").to_owned()
}

fn user() -> Json {
    json!({"type":"object","title":"User","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0}},"required":["name","age"]})
}

fn request(script: &Json) -> Json {
    json!({"model":"scripted","input":"Ada, 36","schema":user(),"flush_ms":0,"script":script})
}

/// A long window is about what viewers are told, and not about when an answer is over.
#[tokio::test(start_paused = true)]
async fn an_answer_is_over_when_it_is_also_in_a_long_window() {
    let node = Node::start();
    let mut slow = request(&json!({"tokens_per_second": 2, "token_chars": 1}));
    slow["flush_ms"] = json!(0);
    let begun = clock::now();
    node.follow(slow.clone()).await.watched_out().await;
    let lasts = begun.elapsed();
    slow["flush_ms"] = json!(10_000);
    let begun = clock::now();
    node.follow(slow).await.watched_out().await;
    let (lasted, most) = (begun.elapsed(), lasts + Duration::from_millis(100));
    assert!(
        lasts > Duration::from_secs(10),
        "{lasts:?}: no window has ended before"
    );
    assert!(lasted < most, "{lasted:?}, not {lasts:?}");
}

#[tokio::test(start_paused = true)]
async fn a_job_is_completed_and_every_viewer_folds_the_value() {
    let node = Node::start();
    let job = node.submit(request(&json!({}))).await;
    let early = node.watch(job, Deliver::default()).await;
    let filled = node
        .watch(
            job,
            Deliver {
                unseen: Unseen::Null,
                ..Deliver::default()
            },
        )
        .await;
    let whole = node
        .watch(
            job,
            Deliver {
                form: Form::Snapshot,
                ..Deliver::default()
            },
        )
        .await;
    let last = node
        .watch(
            job,
            Deliver {
                form: Form::Final,
                ..Deliver::default()
            },
        )
        .await;
    let (early, filled, whole, last) = tokio::join!(
        early.watched_out(),
        filled.watched_out(),
        whole.watched_out(),
        last.watched_out()
    );
    let late = node.watch(job, Deliver::default()).await.watched_out().await;
    assert_eq!(early.end().outcome, Outcome::Completed, "{:?}", early.end().error);
    let value = early.value().expect("a value");
    for other in [&filled, &whole, &late] {
        assert_eq!(other.value().as_ref(), Some(&value));
    }
    assert_eq!(last.names, ["job.completed"]);
    assert_eq!(
        last.end().value.as_ref().map(|value| value.get()),
        Some(value.as_str())
    );
    assert_eq!(late.names, ["job.snapshot", "job.completed"]);
    assert!(
        early.names.iter().filter(|name| **name == "patch").count() > 5,
        "{:?}",
        early.names
    );
    assert!(!whole.names.contains(&"patch"));
    assert!(early.end().usage.output_tokens > 0);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_answer_is_asked_again_in_the_same_log() {
    let node = Node::start();
    let job = node.submit(request(&json!({"invalid_attempts": 1}))).await;
    let watching = node.watch(job, Deliver::default()).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
    let attempts = &watching.fold.as_ref().expect("folded").attempts;
    assert_eq!(attempts.len(), 2);
    assert_eq!(
        (attempts[1].reason, attempts[1].errors.is_empty()),
        (Reason::Invalid, false)
    );
    assert_eq!(watching.end().attempts.len(), 2, "both are paid for");
}

#[tokio::test(start_paused = true)]
async fn used_up_reasks_fail_with_the_errors_and_the_best() {
    let node = Node::start();
    let mut request = request(&json!({"invalid_attempts": 9}));
    request["max_reasks"] = json!(1);
    let job = node.submit(request).await;
    let watching = node.watch(job, Deliver::default()).await.watched_out().await;
    let end = watching.end();
    assert_eq!(end.outcome, Outcome::Failed);
    let error = end.error.as_ref().expect("an error");
    assert_eq!(
        (error.code.as_str(), error.errors.is_empty()),
        ("invalid_output", false)
    );
    assert_eq!(watching.fold.as_ref().expect("folded").attempts.len(), 2);
    assert_eq!(
        end.best.as_ref().map(|best| best.get()),
        watching.value().as_deref()
    );
}

#[tokio::test]
async fn numbers_reach_the_end_with_the_digits_that_the_model_wrote() {
    let value = r#"{"n":[12345678901234567890.10,1.0,-0,1e400]}"#;
    let pieces = ["{\"n\":[123456789012", "34567890.1", "0,1.0,-", "0,1e40", "0]}"];
    let mut body: String = pieces
        .iter()
        .map(|piece| {
            let chunk = json!({"choices":[{"index":0,"delta":{"content":piece}}]});
            format!("data: {chunk}\n\n")
        })
        .collect();
    body += "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let server = Server::start(vec![stream_of(&body)]).await;
    let node = Node::start_with(ProvidersOptions {
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    let request = json!({
        "model": "test/m", "input": "numbers", "mode": "json", "flush_ms": 0,
        "schema": {"type":"object","properties":{"n":{"type":"array","items":{"type":"number"}}}},
    });
    let job = node.submit(request).await;
    let quoting = Deliver {
        bigints: Bigints::String,
        ..Deliver::default()
    };
    let plain = node.watch(job, Deliver::default()).await;
    let quoting = node.watch(job, quoting).await;
    let (plain, quoting) = tokio::join!(plain.watched_out(), quoting.watched_out());
    assert_eq!(plain.end().outcome, Outcome::Completed, "{:?}", plain.end().error);
    let quoted = r#"{"n":["12345678901234567890.10",1.0,-0,"1e400"]}"#;
    for (watching, told) in [(plain, value), (quoting, quoted)] {
        assert_eq!(watching.value().as_deref(), Some(told), "the fold");
        let end = watching.end().value.as_ref().map(|value| value.get());
        assert_eq!(end, Some(told), "the end");
    }
}

/// Script → how the job ends. The ends that need no second attempt.
const ENDS: &[(&str, Outcome, &str)] = &[
    (r#"{"stop_by_length_after": 4}"#, Outcome::Incomplete, "length"),
    (r#"{"cut_after": 4}"#, Outcome::Incomplete, "provider_cut"),
    (r#"{"error_after": 4}"#, Outcome::Failed, "provider_in_stream"),
    (r#"{"refuse": true}"#, Outcome::Failed, "refused"),
    (r#"{"hang_after": 4}"#, Outcome::Incomplete, "time_limit"),
    (r#"{"hang_after": 0}"#, Outcome::Incomplete, "time_limit"),
    (r#"{"broken_attempts": 9}"#, Outcome::Failed, "invalid_output"),
];

#[tokio::test(start_paused = true)]
async fn every_end_is_its_own() {
    let node = Node::start();
    for (script, outcome, code) in ENDS {
        let mut request = request(&serde_json::from_str(script).expect("a script"));
        request["limits"] = json!({"seconds": 5});
        let job = node.submit(request).await;
        let watching = node.watch(job, Deliver::default()).await.watched_out().await;
        let end = watching.end();
        let told = end.error.as_ref().map(|error| error.code.as_str());
        assert_eq!((end.outcome, told), (*outcome, Some(*code)), "{script}");
        let reached = end.value.as_ref().map(|value| value.get().to_owned());
        assert_eq!(
            reached,
            watching.value(),
            "{script}: the end keeps what was reached"
        );
        assert!(
            end.usage.estimated || end.usage.output_tokens > 0,
            "{script}: it is said what it cost"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_provider_puts_the_job_back_without_an_attempt() {
    let node = Node::start();
    let job = node.submit(request(&json!({"rate_limited_attempts": 3}))).await;
    let watching = node.watch(job, Deliver::default()).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
    // In line, and three times claimed, put back, and put in line again.
    let statuses = watching
        .names
        .iter()
        .filter(|name| **name == "job.status")
        .count();
    assert!(statuses > 3 * 3, "{:?}", watching.names);
    let fold = watching.fold.as_ref().expect("a draft");
    assert_eq!(
        fold.attempts.len(),
        1,
        "a refusal burns none: {:?}",
        fold.attempts
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancel_stops_a_running_job_and_keeps_the_draft() {
    let node = Node::start();
    for script in [json!({"hang_after": 0}), json!({"tokens_per_second": 5})] {
        let job = node.submit(request(&script)).await;
        let mut watching = node.watch(job, Deliver::default()).await;
        while !watching.names.contains(&"job.attempt") && !watching.names.contains(&"job.snapshot") {
            watching.step().await;
        }
        let asked = clock::now_ms();
        node.engine
            .cancel(job, Epoch::new(clock::nonce()))
            .await
            .expect("the engine");
        let watching = watching.watched_out().await;
        assert_eq!(watching.end().outcome, Outcome::Cancelled);
        assert!(
            clock::now_ms() - asked < 1_000,
            "by the hint, not by the heartbeat"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn markdown_is_read_and_its_prose_becomes_notes() {
    let node = Node::start();
    let mut request = request(&json!({"prose": true, "think": true}));
    request["mode"] = json!("md_json");
    let job = node.submit(request).await;
    let deliver = Deliver {
        notes: true,
        ..Deliver::default()
    };
    let watching = node.watch(job, deliver).await.watched_out().await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
    assert!(watching.names.contains(&"job.note"), "{:?}", watching.names);
}

#[tokio::test(start_paused = true)]
async fn every_mode_leads_to_the_same_value() {
    let node = Node::start();
    let mut values = Vec::new();
    for mode in ["auto", "tools", "json_schema", "json", "md_json"] {
        let mut request = request(&json!({}));
        request["mode"] = json!(mode);
        let job = node.submit(request).await;
        let watching = node.watch(job, Deliver::default()).await.watched_out().await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{mode}");
        values.push(watching.value().expect("a value"));
    }
    values.dedup();
    assert_eq!(values.len(), 1, "{values:?}");
}

#[tokio::test(start_paused = true)]
async fn a_drain_puts_running_jobs_back() {
    let node = Node::start();
    let job = node.submit(request(&json!({"hang_after": 3}))).await;
    let mut watching = node.watch(job, Deliver::default()).await;
    while !watching.names.contains(&"patch") {
        watching.step().await;
    }
    node.drain.send_replace(true);
    while node.engine.stats().await.expect("stats").waiting == 0 {
        watching.step().await;
    }
    let state = node
        .hub
        .look(job, Replica::state)
        .await
        .expect("the engine")
        .expect("the job");
    assert_eq!(state.status, JobState::Waiting);
    let reading = node
        .engine
        .read(job, None)
        .await
        .expect("the engine")
        .expect("the job");
    assert!(reading.tail.iter().all(|entry| entry.event.kind() != "end"));
}
