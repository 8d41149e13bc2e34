//! Sub-path re-asks through the whole pipeline: what viewers see, what survives, what the model is asked, what it costs.

use std::sync::Arc;
use std::time::Duration;

use livedraft::backend::embedded::{Embedded, EngineOptions};
use livedraft::backend::{Append, Appended, Backend, Deferral, EventLog, Fenced, JobQueue, Start, Write};
use livedraft::clock;
use livedraft::compiler::Compiler;
use livedraft::event::{AttemptBegins, Entry, Epoch, Event, Fold, Position, StatusChange};
use livedraft::hub::{Hub, HubOptions, Replica};
use livedraft::job::{AttemptRecord, JobId, JobSpec, JobState, Outcome, Reason};
use livedraft::llm::{Providers, ProvidersOptions};
use livedraft::partial::Value;
use livedraft::submit::{Admission, AdmissionOptions, Offered};
use livedraft::worker::{Worker, WorkerOptions};
use serde_json::{Value as Json, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::llm_openai::server::{Server, options, stream_of};

const LONG: Duration = Duration::from_secs(600);

/// An engine with a hub and a door, and workers that come and go.
pub(crate) struct House {
    pub(crate) engine: Arc<Embedded>,
    pub(crate) hub: Arc<Hub>,
    admission: Admission,
    providers: Arc<Providers>,
    workers: Vec<JoinHandle<()>>,
    pub(crate) drains: Vec<watch::Sender<bool>>,
}

impl House {
    pub(crate) fn start() -> Self {
        Self::start_with(ProvidersOptions::default())
    }

    pub(crate) fn start_with(models: ProvidersOptions) -> Self {
        let engine = Arc::new(Embedded::new(EngineOptions::default()));
        let backend: Arc<dyn Backend> = Arc::clone(&engine) as Arc<dyn Backend>;
        let admission = Admission::new(
            Arc::clone(&backend),
            Arc::<Compiler>::default(),
            AdmissionOptions::default(),
            Arc::new(|_: &str| Ok(Offered::default())),
        );
        let mut house = Self {
            hub: Hub::new(backend, HubOptions::default()),
            engine,
            admission,
            providers: Arc::new(Providers::new(models).expect("models")),
            workers: Vec::new(),
            drains: Vec::new(),
        };
        house.employ(WorkerOptions::default());
        house
    }

    pub(crate) fn employ(&mut self, options: WorkerOptions) {
        let backend: Arc<dyn Backend> = Arc::clone(&self.engine) as Arc<dyn Backend>;
        let (drain, draining) = watch::channel(false);
        let worker = Worker::new(backend, Arc::clone(&self.providers), Arc::default(), options);
        self.workers.push(tokio::spawn(Arc::clone(&worker).heartbeat()));
        self.workers.push(tokio::spawn(worker.run(draining)));
        self.drains.push(drain);
    }

    /// Every worker dies where it stands.
    pub(crate) fn kill(&mut self) {
        self.workers.drain(..).for_each(|worker| worker.abort());
    }

    pub(crate) async fn submit(&self, request: Json) -> Job<'_> {
        let spec: JobSpec = serde_json::from_value(request).expect("a spec");
        let accepted = self.admission.submit("default", spec, None).await;
        let id = accepted.expect("it is accepted").id;
        self.hear(id).await
    }

    /// Hears a job from now on.
    pub(crate) async fn hear(&self, id: JobId) -> Job<'_> {
        // On one thread, nothing is written between the two.
        Job {
            live: self.engine.subscribe(id).await.expect("the engine"),
            fold: fold_of(&self.engine, id).await,
            house: self,
            id,
            begun: Vec::new(),
            steps: Vec::new(),
        }
    }
}

/// A job as one hears it who folds every entry of its log.
pub(crate) struct Job<'h> {
    pub(crate) house: &'h House,
    pub(crate) id: JobId,
    live: mpsc::Receiver<Arc<Entry>>,
    pub(crate) fold: Fold,
    pub(crate) begun: Vec<AttemptBegins>,
    /// The value and the open places behind each change of the attempt that runs.
    pub(crate) steps: Vec<(String, Vec<String>)>,
}

impl Job<'_> {
    /// The next entry, folded in.
    pub(crate) async fn next(&mut self) -> Arc<Entry> {
        let entry = tokio::time::timeout(LONG, self.live.recv()).await;
        let entry = entry.expect("it goes on").expect("the engine lives");
        self.fold.apply(&entry).expect("it folds");
        match &entry.event {
            Event::Attempt(begins) => {
                self.begun.push(begins.clone());
                self.steps.clear();
                self.steps.push(self.step());
            }
            Event::Patch(_) => self.steps.push(self.step()),
            Event::Status(_) | Event::Note(_) | Event::Hook(_) | Event::State(_) | Event::End(_) => {}
        }
        entry
    }

    fn step(&self) -> (String, Vec<String>) {
        (self.value().to_string(), self.fold.at.clone())
    }

    pub(crate) fn value(&self) -> Json {
        let value = self.fold.value.as_ref();
        value.map_or(Json::Null, |value| {
            serde_json::from_str(&value.to_json()).expect("JSON")
        })
    }

    /// Hears on until so many attempts have begun, and then that many patches came.
    pub(crate) async fn until(&mut self, attempts: usize, patches: usize) {
        while self.begun.len() < attempts {
            self.next().await;
        }
        let mut heard = 0;
        while heard < patches {
            heard += usize::from(matches!(self.next().await.event, Event::Patch(_)));
        }
    }

    /// Hears on to the end, which tells what was folded, as does one who comes now.
    pub(crate) async fn end(&mut self) -> livedraft::event::End {
        loop {
            let entry = self.next().await;
            let Event::End(end) = &entry.event else { continue };
            if let Some(told) = &end.sha256 {
                use sha2::Digest as _;
                let text = self.fold.value.as_ref().map(Value::to_json).unwrap_or_default();
                let digest = sha2::Sha256::digest(text.as_bytes());
                let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                assert_eq!(*told, hash, "the end is the fold's: {text}");
            }
            let now = self.house.hub.look(self.id, Replica::state).await;
            let now = now.expect("the engine").expect("the job");
            assert_eq!(
                now.value.map(|value| value.get().to_owned()),
                self.fold.value.as_ref().map(Value::to_json),
                "one who comes late"
            );
            return (**end).clone();
        }
    }
}

pub(crate) fn report() -> Json {
    json!({
        "type": "object", "title": "Report", "required": ["title", "author", "rows", "summary"],
        "properties": {
            "title": { "type": "string" },
            "author": { "type": "object", "required": ["name", "mail"], "properties": {
                "name": { "type": "string" }, "mail": { "type": "string" },
            } },
            "rows": { "type": "array", "items": { "type": "object", "required": ["item", "price"], "properties": {
                "item": { "type": "string" }, "price": { "type": "number", "minimum": 0, "maximum": 1000 },
            } } },
            "summary": { "type": "string" },
        },
    })
}

/// A job whose first answer is wrong at these places.
fn request(bad: &[&str], members: &Json) -> Json {
    let mut request = json!({
        "model": "scripted", "input": "x", "schema": report(), "flush_ms": 0,
        "script": { "invalid_attempts": 1, "invalid_at": bad, "tokens_per_second": 20 },
    });
    for (name, value) in members.as_object().expect("members") {
        match value {
            Json::Object(inner) if name == "script" => {
                request["script"]
                    .as_object_mut()
                    .expect("a script")
                    .extend(inner.clone());
            }
            _ => request[name] = value.clone(),
        }
    }
    request
}

/// The value without what is at these places.
fn without(text: &str, places: &[&str]) -> Json {
    let mut value: Json = serde_json::from_str(text).expect("JSON");
    for place in places {
        let (parent, name) = place.rsplit_once('/').expect("a pointer");
        match value.pointer_mut(parent) {
            Some(Json::Object(members)) => {
                members.shift_remove(name);
            }
            Some(Json::Array(items)) => items[name.parse::<usize>().expect("an index")] = Json::Null,
            _ => panic!("{place} is not there"),
        }
    }
    value
}

#[tokio::test(start_paused = true)]
async fn only_the_bad_places_reopen_in_every_mode() {
    let house = House::start();
    for mode in ["auto", "tools", "json_schema", "json", "md_json"] {
        for script in [json!({}), json!({"prose": mode == "md_json", "think": true})] {
            let bad = ["/rows/1/price", "/author/name"];
            let mut job = house
                .submit(request(&bad, &json!({"mode": mode, "script": script})))
                .await;
            let end = job.end().await;
            assert_eq!(end.outcome, Outcome::Completed, "{mode}: {:?}", end.error);
            let [first, second] = &job.begun[..] else {
                panic!("{mode}: {:?}", job.begun);
            };
            assert_eq!((first.reason, first.reset), (Reason::First, true));
            assert_eq!((second.reason, second.reset), (Reason::Invalid, false), "{mode}");
            let mut reopened = second.at.clone();
            reopened.sort();
            assert_eq!(reopened, ["/author/name", "/rows/1/price"]);
            assert_eq!(second.errors.len(), 2);
            assert!(job.steps.len() > 3, "it is seen growing: {:?}", job.steps);
            let stands = without(&job.steps[0].0, &bad);
            for (value, at) in &job.steps {
                assert_eq!(without(value, &bad), stands, "{mode}");
                assert!(at.iter().all(|open| bad.contains(&&**open)), "{mode}: {at:?}");
            }
            assert_eq!(job.steps.last().map(|(_, at)| at.len()), Some(0));
            assert_ne!(job.steps[0].0, job.value().to_string(), "something was mended");
            assert_eq!(end.attempts.len(), 2, "both are paid for");
            assert!(end.attempts[1].usage.output_tokens * 2 < end.attempts[0].usage.output_tokens);
        }
    }
}

/// A member that is missing comes into its object; the others stay where they are.
#[tokio::test(start_paused = true)]
async fn a_missing_member_is_asked_for_alone() {
    let house = House::start();
    // The script breaks an object by leaving its last required member out.
    let mut job = house.submit(request(&["/author"], &json!({}))).await;
    let end = job.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(
        (job.begun[1].reset, &job.begun[1].at[..]),
        (false, &["/author".to_owned()][..])
    );
    assert_eq!(job.begun[1].errors[0].keyword, "required");
    assert!(job.value()["author"]["mail"].is_string());
}

#[tokio::test(start_paused = true)]
async fn a_bad_item_is_mended_alone_where_each_was_a_call() {
    let house = House::start();
    for mode in ["tools", "json"] {
        let members = json!({
            "mode": mode, "wrap": "iterable", "script": { "items": 6 },
            "schema": { "title": "User", "type": "object", "required": ["name", "age"],
                        "properties": { "name": { "type": "string" }, "age": { "type": "integer" } } },
        });
        let mut job = house.submit(request(&["/tasks/4/age"], &members)).await;
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed, "{mode}: {:?}", end.error);
        assert_eq!((job.begun.len(), job.begun[1].reset), (2, false), "{mode}");
        assert_eq!(job.begun[1].at, ["/tasks/4/age"], "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_at_the_root_is_spliced_too() {
    let house = House::start();
    let schema = json!({ "type": "array", "items": { "type": "string" } });
    let members = json!({ "schema": schema, "script": { "items": 8 } });
    let mut job = house.submit(request(&["/3"], &members)).await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!(
        (job.begun[1].reset, &job.begun[1].at[..]),
        (false, &["/3".to_owned()][..])
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_bad_again_is_asked_again_until_the_reasks_are_used_up() {
    let house = House::start();
    let script = json!({ "invalid_attempts": 2, "invalid_at": ["/rows/0/price", "/author/name", "/fix_2"] });
    let mut job = house.submit(request(&[], &json!({ "script": script }))).await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    let resets: Vec<bool> = job.begun.iter().map(|begins| begins.reset).collect();
    assert_eq!(resets, [true, false, false]);
    assert_eq!((job.begun[1].at.len(), job.begun[2].at.len()), (2, 1));
    assert!(job.begun[1].at.contains(&job.begun[2].at[0]));

    let script = json!({ "invalid_attempts": 9, "invalid_at": ["/rows/0/price", "/fix_1"] });
    let members = json!({ "script": script, "max_reasks": 2 });
    let mut job = house.submit(request(&[], &members)).await;
    let end = job.end().await;
    assert_eq!((end.outcome, job.begun.len()), (Outcome::Failed, 3));
    let error = end.error.expect("an error");
    assert_eq!(
        error.errors[0].path, "/rows/0/price",
        "told by its place in the value"
    );
    assert_eq!(
        end.best.map(|best| best.len()),
        Some(job.value().to_string().len())
    );
}

#[tokio::test(start_paused = true)]
async fn the_whole_is_asked_again_where_that_is_wanted_or_places_do_not_do() {
    let mut house = House::start();
    let mut job = house
        .submit(request(&["/rows/1/price"], &json!({ "reask": "whole" })))
        .await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!((job.begun.len(), job.begun[1].reset), (2, true));
    // The root's own fault.
    let schema = json!({ "type": "object", "properties": { "a": { "type": "string" } } });
    let mut job = house
        .submit(request(&[""], &json!({ "schema": schema, "mode": "json" })))
        .await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!((job.begun.len(), job.begun[1].reset), (2, true));
    drop(job);
    // A worker that is told to.
    house.kill();
    house.employ(WorkerOptions {
        splice_places_max: 0,
        ..WorkerOptions::default()
    });
    let mut job = house.submit(request(&["/rows/1/price"], &json!({}))).await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!((job.begun.len(), job.begun[1].reset), (2, true));
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_is_lost_in_the_middle_is_taken_over() {
    let bad = ["/author", "/summary", "/rows/1/price"];
    for patches in [0, 1, 4, 9] {
        let mut house = House::start();
        let id = {
            let mut job = house.submit(request(&bad, &json!({}))).await;
            job.until(2, patches).await;
            job.id
        };
        house.kill();
        house.employ(WorkerOptions::default());
        let mut job = house.hear(id).await;
        let held = job.value().to_string();
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        let estimated: Vec<bool> = end.attempts.iter().map(|one| one.usage.estimated).collect();
        assert_eq!(estimated, [false, true, false], "what was lost was paid for, too");
        let [again] = &job.begun[..] else {
            panic!("{:?}", job.begun)
        };
        assert_eq!(
            (again.reason, again.reset),
            (Reason::WorkerLost, false),
            "after {patches}"
        );
        // What has come is not asked for again.
        assert!((1..=3).contains(&again.at.len()), "{:?}", again.at);
        let changed = ["/author/mail", "/summary", "/rows/1/price"];
        let stands = |value: &str| {
            let mut value: Json = serde_json::from_str(value).expect("JSON");
            for place in changed {
                let (parent, name) = place.rsplit_once('/').expect("a pointer");
                let around = value.pointer_mut(parent).and_then(Json::as_object_mut);
                around.expect("an object").shift_remove(name);
            }
            value
        };
        for (value, _) in &job.steps {
            assert_eq!(stands(value), stands(&held), "after {patches}");
        }
    }
}

pub(crate) async fn fold_of(engine: &Embedded, id: JobId) -> Fold {
    let reading = engine.read(id, None).await.expect("the engine").expect("the job");
    let Start::Snapshot(state) = &reading.start else {
        panic!("who holds nothing gets a state")
    };
    let mut fold = (**state).clone();
    for entry in &reading.tail {
        fold.apply(entry).expect("it folds");
    }
    fold
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_goes_down_in_the_middle_hands_on() {
    let mut house = House::start();
    let id = {
        let mut job = house.submit(request(&["/summary"], &json!({}))).await;
        job.until(2, 3).await;
        job.id
    };
    house.drains[0].send_replace(true);
    house.employ(WorkerOptions::default());
    let mut job = house.hear(id).await;
    let end = job.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert!(job.begun.iter().all(|begins| !begins.reset), "{:?}", job.begun);
}

#[tokio::test(start_paused = true)]
async fn a_log_that_loses_writes_in_the_middle_is_told_the_whole_state() {
    let house = House::start();
    for later in [0, 1, 3] {
        let mut job = house.submit(request(&["/summary", "/author"], &json!({}))).await;
        job.until(2, 2).await;
        let before = house.engine.state();
        job.until(2, later + 1).await;
        house.engine.restore(before);
        // What is heard now stands on what the log has kept, until the state replaces it.
        job.fold = fold_of(&house.engine, job.id).await;
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
        assert_eq!(job.fold.attempt, 2, "the same attempt went on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_in_the_middle_holds_what_stands() {
    let house = House::start();
    let script = json!({ "text_chars": 40_000, "token_chars": 400, "think": true });
    let mut job = house
        .submit(request(&["/summary"], &json!({ "script": script })))
        .await;
    job.until(2, 0).await;
    loop {
        let entry = job.next().await;
        let told = fold_of(&house.engine, job.id).await;
        assert_eq!(told.value, job.fold.value);
        assert_eq!(told.at, job.fold.at);
        if matches!(entry.event, Event::End(_)) {
            break;
        }
    }
    assert_eq!(job.begun.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cancel_in_the_middle_keeps_what_stands() {
    let house = House::start();
    let mut job = house.submit(request(&["/summary"], &json!({}))).await;
    job.until(2, 3).await;
    let epoch = Epoch::new(clock::nonce());
    house.engine.cancel(job.id, epoch).await.expect("the engine");
    let end = job.end().await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    let (first, last) = (&job.steps[0].0, job.value().to_string());
    assert_eq!(without(first, &["/summary"]), without(&last, &["/summary"]));
    assert_eq!(end.best.as_deref(), Some(&**first), "the last whole answer");
}

/// An answer of a provider that carries it in its text.
pub(crate) fn says(text: &str) -> crate::llm_openai::server::Act {
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]});
    stream_of(&format!("data: {chunk}\n\ndata: {stop}\n\ndata: [DONE]\n\n"))
}

/// An answer of a provider that calls the tool.
pub(crate) fn calls(arguments: &str) -> crate::llm_openai::server::Act {
    let call = json!({"index": 0, "id": "c", "function": {"name": "User", "arguments": arguments}});
    let chunk = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    let stop = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]});
    stream_of(&format!("data: {chunk}\n\ndata: {stop}\n\ndata: [DONE]\n\n"))
}

fn user(mode: &str) -> Json {
    json!({
        "model": "test/m", "input": "Ada", "flush_ms": 0, "mode": mode, "max_reasks": 3,
        "schema": { "title": "User", "type": "object", "required": ["name", "age", "mail"], "properties": {
            "name": { "type": "string" }, "age": { "type": "integer" }, "mail": { "type": "string" },
        } },
    })
}

const WRONG: &str = r#"{"name":"Ada Lovelace, of London","age":"36"}"#;
const RIGHT: &str = r#"{"fix_1":"ada@example.org","fix_2":36}"#;

async fn played(
    request: Json,
    acts: Vec<crate::llm_openai::server::Act>,
) -> (Server, Vec<AttemptBegins>, Json) {
    let server = Server::start(acts).await;
    let house = House::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    let mut job = house.submit(request).await;
    let end = job.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let (begun, value) = (job.begun.clone(), job.value());
    drop(job);
    (server, begun, value)
}

#[tokio::test]
async fn a_provider_is_asked_for_the_places_and_keeps_its_own_answer() {
    for mode in ["json_schema", "json", "md_json", "tools"] {
        let acts = match mode {
            "tools" => vec![calls(WRONG), calls(RIGHT)],
            "md_json" => vec![
                says(&format!("```json\n{WRONG}\n```")),
                says(&format!("So:\n```json\n{RIGHT}\n```")),
            ],
            _ => vec![says(WRONG), says(RIGHT)],
        };
        let (server, begun, value) = played(user(mode), acts).await;
        let expected = json!({"name": "Ada Lovelace, of London", "age": 36, "mail": "ada@example.org"});
        assert_eq!(value, expected, "{mode}");
        let mut at = begun[1].at.clone();
        at.sort();
        assert_eq!(at, ["", "/age"], "{mode}: the missing one comes into the root");
        let (_, asked) = server.request(1);
        let places = |schema: &Json| {
            assert_eq!(schema["required"], json!(["fix_1", "fix_2"]), "{mode}: {asked}");
            assert_eq!(schema["properties"]["fix_2"]["type"], "integer", "{mode}");
            assert_eq!(
                schema["properties"]["fix_2"]["description"], "For /age.",
                "{mode}"
            );
        };
        match mode {
            "tools" => {
                let tool = &asked["tools"][0]["function"];
                assert_eq!(tool["name"], "User");
                places(&tool["parameters"]);
            }
            "json_schema" => places(&asked["response_format"]["json_schema"]["schema"]),
            _ => {
                let system = asked["messages"][0]["content"].as_str().expect("a text");
                let schema = &system[system.find('{').expect("a schema")..];
                places(&serde_json::from_str(schema).expect("JSON"));
            }
        }
        let messages = asked["messages"].as_array().expect("messages");
        let [own, last] = &messages[messages.len() - 2..] else {
            panic!("{mode}: {messages:?}")
        };
        assert_eq!(own["role"], "assistant", "{mode}");
        assert!(
            own.to_string().contains("Ada Lovelace"),
            "{mode}: its own answer stays: {own}"
        );
        assert_eq!(last["role"], if mode == "tools" { "tool" } else { "user" });
        let said = last["content"].as_str().expect("a text");
        for part in [
            "fix_2 is for /age. Wrong there: /age: must be an integer (it is \"36\")",
            "fix_1 is for /mail.",
            "the member \"mail\" is missing",
            "these members alone",
        ] {
            assert!(said.contains(part), "{mode}: {said}");
        }
    }
}

#[tokio::test]
async fn a_splice_that_fails_leads_to_the_whole() {
    let whole = r#"{"name":"Ada Lovelace","age":36,"mail":"a@b"}"#;
    for (answer, why, once_more) in [
        ("I cannot do that.", "no JSON", true),
        (r#"{"fix_2": 36, "fix_1": "a"#, "cut", true),
        (whole, "nobody asked for that", false),
        ("{}", "nothing in it", false),
        ("[36]", "no object", false),
    ] {
        let (server, begun, value) = played(user("json"), vec![says(WRONG), says(answer), says(whole)]).await;
        let resets: Vec<bool> = begun.iter().map(|begins| begins.reset).collect();
        // What could not be read is asked for once more.
        let expected = if once_more {
            &[true, false, false, true][..]
        } else {
            &[true, false, true]
        };
        assert_eq!(resets, expected, "{why}");
        assert_eq!(value["name"], "Ada Lovelace", "{why}");
        let (_, asked) = server.request(resets.len() - 1);
        let system = asked["messages"][0]["content"].as_str().expect("a text");
        assert!(!system.contains("fix_1"), "{why}: {system}");
        let last = asked["messages"]
            .as_array()
            .and_then(|all| all.last())
            .expect("a message");
        assert!(last.to_string().contains("whole corrected JSON"), "{why}: {last}");
        assert!(
            begun[2].errors.iter().all(|error| !error.path.contains("fix_")),
            "{why}"
        );
    }
}

#[tokio::test]
async fn places_that_were_left_out_are_asked_for_again() {
    let acts = vec![says(WRONG), says(r#"{"fix_1":"a@b"}"#), says(r#"{"fix_1":36}"#)];
    let (_server, begun, value) = played(user("json"), acts).await;
    assert_eq!(
        value,
        json!({"name": "Ada Lovelace, of London", "age": 36, "mail": "a@b"})
    );
    assert_eq!(
        (begun[2].reset, &begun[2].at[..]),
        (false, &["/age".to_owned()][..])
    );
}

#[tokio::test]
async fn repairs_of_a_splice_are_told_by_their_place() {
    let mut request = user("json");
    request["lenient"] = json!("auto");
    let acts = vec![says(WRONG), says(r#"{"fix_1": "a@b", "fix_2": 36,}"#), says("{}")];
    let (_server, begun, value) = played(request, acts).await;
    assert_eq!((begun.len(), &value["mail"]), (2, &json!("a@b")));
}

/// What lies deep in the value has less depth of its own left.
#[tokio::test]
async fn what_is_spliced_keeps_to_the_depth_of_the_whole() {
    let schema = json!({ "type": "object", "properties": { "kid": { "$ref": "#" }, "v": { "type": "array" }, "pad": true } });
    let nested = |levels: usize, v: &str| {
        let (open, close) = ("{\"kid\":".repeat(levels), "}".repeat(levels));
        format!("{open}{{\"pad\":\"{}\",\"v\":{v}}}{close}", "x".repeat(100))
    };
    let list = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let mut request = user("json");
    request["schema"] = schema;
    // The place has 61 segments, and 100 levels are the limit: that leaves 39 from there on.
    let acts = |levels: usize| {
        let fix = format!(r#"{{"fix_1":{}}}"#, list(levels));
        vec![says(&nested(60, "1")), says(&fix), says(&nested(0, "[]"))]
    };
    let (_server, begun, _) = played(request.clone(), acts(39)).await;
    assert_eq!((begun.len(), begun[1].reset), (2, false));
    let (_server, begun, _) = played(request, acts(40)).await;
    let resets: Vec<bool> = begun.iter().map(|begins| begins.reset).collect();
    assert_eq!(resets, [true, false, false, true]);
    let error = &begun[2].errors[0];
    assert!(
        error.keyword.contains("depth") && error.path.starts_with("/kid/kid"),
        "{error:?}"
    );
}

/// Claims the job, tells [`WRONG`] as its first answer, and puts it back with this record.
async fn answered_once(engine: &Embedded, record: AttemptRecord) {
    let claim = engine.claim(1, Epoch::new(clock::nonce())).await;
    let claim = claim.expect("the engine").expect("the job");
    let write = |seq: u64, event: Event| Write {
        position: Position {
            seq: claim.position.seq + seq,
            ..claim.position
        },
        opens: false,
        event,
    };
    let begins = AttemptBegins {
        attempt: 1,
        reason: Reason::First,
        reset: true,
        at: Vec::new(),
        errors: Vec::new(),
    };
    let (tag, seq) = (claim.id.tag(), claim.position.seq + 2);
    let frame = format!(r#"{{"j":"{tag}","s":{seq},"o":[["",{WRONG},0]]}}"#);
    for (seq, event) in [(1, Event::Attempt(begins)), (2, Event::Patch(frame.into()))] {
        let append = Append {
            write: write(seq, event),
            raw: String::new(),
            raw_anew: false,
            record: None,
            snapshot: None,
        };
        let answer = engine.append(claim.id, claim.token(), &append).await;
        assert_eq!(answer.expect("the engine"), Appended::Ok);
    }
    let status = StatusChange {
        status: JobState::Waiting,
        reason: None,
        until_ms: Some(0),
    };
    let deferral = Deferral {
        write: write(3, Event::Status(status)),
        record,
        until_ms: 0,
    };
    let put_back = engine.defer(claim.id, claim.token(), deferral).await;
    assert_eq!(put_back.expect("the engine"), Fenced::Ok);
}

/// Where viewers hold something else than the record says, nothing can be spliced.
#[tokio::test]
async fn a_record_that_does_not_fit_the_draft_leads_to_the_whole() {
    let server = Server::start(vec![says(r#"{"name":"Ada","age":36,"mail":"a@b"}"#)]).await;
    let mut house = House::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    house.kill();
    let id = house.submit(user("json")).await.id;
    let record = AttemptRecord {
        n: 1,
        best: Some(WRONG.replace("Ada", "Bob")),
        mends: Some(Vec::new()),
        splice: Some(vec!["/age".to_owned()]),
        ..AttemptRecord::default()
    };
    answered_once(&house.engine, record).await;
    house.employ(WorkerOptions::default());
    let mut job = house.hear(id).await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!((job.begun.len(), job.begun[0].reset), (1, true));
    let asked = server.request(0).1["messages"].to_string();
    assert!(
        asked.contains("These places cannot be taken alone. Answer again with the whole"),
        "{asked}"
    );
}

/// The figure: one bad field of a report of 20 KB; `--nocapture` shows it.
#[expect(clippy::print_stdout, reason = "a figure is to be seen")]
#[tokio::test(start_paused = true)]
async fn one_bad_field_costs_a_tenth_of_the_whole_at_most() {
    let house = House::start();
    let mut cost = [0; 2];
    for (cost, reask) in cost.iter_mut().zip(["auto", "whole"]) {
        let script = json!({ "items": 165, "text_chars": 100, "tokens_per_second": 0 });
        let members = json!({ "reask": reask, "script": script });
        let mut job = house.submit(request(&["/rows/60/item"], &members)).await;
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed);
        let bytes = job.value().to_string().len();
        assert!((18_000..24_000).contains(&bytes), "{bytes} bytes");
        let [first, again] = &end.attempts[..] else {
            panic!("{:?}", end.attempts)
        };
        println!(
            "{reask}: {bytes} bytes; tokens out: first {}, re-ask {}; re-ask in {}",
            first.usage.output_tokens, again.usage.output_tokens, again.usage.input_tokens
        );
        *cost = again.usage.output_tokens;
    }
    let [places, whole] = cost;
    assert!(places * 10 <= whole, "{places} of {whole} tokens");
}
