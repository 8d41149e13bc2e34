//! Answers that are not heard to their end, what is told of an answer while it comes, and hooks.
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::sync::Arc;

use livedraft::event::{Entry, Event, Hook, HookKind, NoteKind};
use livedraft::job::*;
use livedraft::llm::ProvidersOptions;
use serde_json::{Value as Json, json};
use tokio::sync::Notify;

use crate::llm_openai::server::{Act, STREAM_HEAD, Seen, Server, options};
use crate::splice::{House, Job, says};

fn user(members: &Json) -> Json {
    let mut request = json!({
        "model": "test/m", "input": "Ada", "flush_ms": 0, "mode": "json_schema",
        "schema": { "title": "User", "type": "object", "required": ["name", "age"], "properties": {
            "name": { "type": "string" }, "age": { "type": "integer" },
        } },
    });
    let members = members.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(members);
    request
}

const RIGHT: &str = r#"{"name":"Ada Lovelace, of London","age":36}"#;

/// The beginning of an answer that goes on for ever, until its reader has gone.
fn begins(text: &str) -> Act {
    let chunk = json!({"choices": [{"index": 0, "delta": {"content": text}}]});
    Act {
        pieces: vec![STREAM_HEAD.into(), format!("data: {chunk}\n\n").into()],
        hold: true,
    }
}

async fn house(acts: Vec<Act>) -> (Server, House) {
    let server = Server::start(acts).await;
    let house = House::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![options(&server.base)],
        ..ProvidersOptions::default()
    });
    (server, house)
}

/// All entries of a job to its end.
async fn heard(job: &mut Job<'_>) -> Vec<Arc<Entry>> {
    let mut entries = Vec::new();
    loop {
        let entry = job.next().await;
        entries.push(Arc::clone(&entry));
        if matches!(entry.event, Event::End(_)) {
            return entries;
        }
    }
}

fn end(entries: &[Arc<Entry>]) -> livedraft::event::End {
    match &entries.last().unwrap().event {
        Event::End(end) => (**end).clone(),
        other => panic!("an end was due: {other:?}"),
    }
}

#[tokio::test]
async fn an_answer_of_the_wrong_type_is_dropped_at_once() {
    let (mut server, house) = house(vec![begins(r#"["Ada Love"#), says(RIGHT)]).await;
    let mut job = house.submit(user(&json!({}))).await;
    // It would go on for ever, if it was heard on.
    let entries = heard(&mut job).await;
    server.saw(Seen::Closed).await;
    let end = end(&entries);
    assert_eq!(
        (end.outcome, end.attempts.len()),
        (Outcome::Completed, 2),
        "{:?}",
        end.error
    );
    assert!(end.attempts[0].usage.estimated, "the provider did not say");
    assert_eq!((job.begun[1].reason, job.begun[1].reset), (Reason::Invalid, true));
    let error = &job.begun[1].errors[0];
    assert_eq!((error.path.as_str(), error.keyword.as_str()), ("", "type"));
    // The answer is kept, closed and marked.
    let (_, asked) = server.request(1);
    let [.., own, said] = asked["messages"].as_array().unwrap().as_slice() else {
        panic!("messages")
    };
    serde_json::from_str::<Json>(own["content"].as_str().unwrap()).unwrap();
    let said = said["content"].as_str().unwrap();
    assert!(
        said.starts_with("The answer was cut off there and closed, since"),
        "{said}"
    );
    assert!(said.contains("the whole value: must not be an array"), "{said}");
}

#[tokio::test]
async fn a_form_that_is_none_is_dropped_at_once() {
    let form = |kind: &str| json!({ "type": "object", "properties": { "kind": { "const": kind }, "text": { "type": "string" } }, "required": ["kind", "text"] });
    let schema = json!({ "oneOf": [form("a"), form("b")] });
    let acts = vec![
        begins(r#"{"kind":"c","text":"on and "#),
        says(r#"{"kind":"b","text":"x"}"#),
    ];
    let (mut server, house) = house(acts).await;
    let mut job = house
        .submit(user(&json!({ "schema": schema, "mode": "json" })))
        .await;
    let entries = heard(&mut job).await;
    server.saw(Seen::Closed).await;
    assert_eq!(end(&entries).outcome, Outcome::Completed);
    assert_eq!(job.begun[1].errors[0].path, "/kind");
}

#[tokio::test]
async fn what_may_still_be_healed_is_heard_on() {
    // One place is wrong: it will be asked for alone.
    let bad = r#"{"name":"Ada Lovelace, of London","age":"36"}"#;
    let (_server, one) = house(vec![says(bad), says(r#"{"fix_1":36}"#)]).await;
    let mut job = one.submit(user(&json!({}))).await;
    assert_eq!(end(&heard(&mut job).await).outcome, Outcome::Completed);
    assert!(!job.begun[1].reset);
    // With `finish`, the wrong type too.
    let (_server, other) = house(vec![says(r#"["Ada"]"#), says(RIGHT)]).await;
    let mut job = other.submit(user(&json!({ "on_violation": "finish" }))).await;
    let entries = heard(&mut job).await;
    assert_eq!(end(&entries).outcome, Outcome::Completed);
    assert!(job.begun[1].errors[0].value.is_some(), "judged as a whole");
}

#[tokio::test]
async fn nothing_is_heard_on_for_nothing() {
    let bad = r#"{"age":"36","name":"Ada and "#;
    for members in [
        json!({ "on_violation": "abort", "max_reasks": 1 }),
        json!({ "max_reasks": 0 }),
    ] {
        let (mut server, house) = house(vec![begins(bad), says(RIGHT)]).await;
        let mut job = house.submit(user(&members)).await;
        let entries = heard(&mut job).await;
        server.saw(Seen::Closed).await;
        let end = end(&entries);
        if members["max_reasks"] == 0 {
            let error = end.error.unwrap();
            assert_eq!(
                (end.outcome, error.code.as_str()),
                (Outcome::Failed, "invalid_output")
            );
            assert_eq!(error.errors[0].path, "/age");
            assert_eq!(job.value()["age"], "36", "what was reached is kept");
        } else {
            assert_eq!((end.outcome, job.begun.len()), (Outcome::Completed, 2));
            assert!(job.begun[1].reset, "the whole is asked for");
        }
    }
}

#[tokio::test]
async fn more_bad_places_than_are_asked_for_alone_end_an_answer() {
    let rows: Vec<String> = (0..17).map(|n| format!("\"{n}\"")).collect();
    let schema = json!({ "type": "object", "properties": { "rows": { "type": "array", "items": { "type": "integer" } } } });
    let acts = vec![
        begins(&format!(r#"{{"rows":[{},"#, rows.join(","))),
        says(r#"{"rows":[1]}"#),
    ];
    let (mut server, house) = house(acts).await;
    let mut job = house.submit(user(&json!({ "schema": schema }))).await;
    let entries = heard(&mut job).await;
    server.saw(Seen::Closed).await;
    assert_eq!(end(&entries).outcome, Outcome::Completed);
    assert_eq!((job.begun[1].reset, job.begun[1].errors.len()), (true, 17));
}

#[tokio::test]
async fn an_answer_with_text_around_it_is_heard_to_its_end() {
    for members in [
        json!({ "mode": "md_json" }),
        json!({ "lenient": "auto" }),
        json!({ "lenient": "on" }),
    ] {
        let (_server, house) = house(vec![says("```json\n[\"Ada\"]\n```"), says(RIGHT)]).await;
        let mut job = house.submit(user(&members)).await;
        assert_eq!(end(&heard(&mut job).await).attempts.len(), 2, "{members}");
    }
}

fn hooks(entries: &[Arc<Entry>]) -> Vec<Hook> {
    let hook = |entry: &Arc<Entry>| match &entry.event {
        Event::Hook(hook) => Some((**hook).clone()),
        _ => None,
    };
    entries.iter().filter_map(hook).collect()
}

#[tokio::test]
async fn bad_items_are_told_as_they_close_and_asked_for_alone() {
    let bad = r#"{"tasks":[{"name":"Ada","age":36},{"name":"Bo","age":"x"},{"name":"Cy","age":3}]}"#;
    let (_server, house) = house(vec![says(bad), says(r#"{"fix_1":7}"#)]).await;
    let mut job = house.submit(user(&json!({ "wrap": "iterable" }))).await;
    let entries = heard(&mut job).await;
    assert_eq!(end(&entries).outcome, Outcome::Completed);
    let note = entries.iter().find_map(|entry| match &entry.event {
        Event::Note(note) if note.kind == NoteKind::Invalid => Some(note),
        _ => None,
    });
    let note = note.expect("the bad item is told");
    assert_eq!(note.errors[0].path, "/tasks/1/age");
    assert!(note.text.starts_with("invalid: /tasks/1/age "), "{}", note.text);
    assert_eq!(job.begun[1].at, ["/tasks/1/age"]);
    assert_eq!(job.value()["tasks"][1]["age"], 7);
}

#[tokio::test]
async fn hooks_tell_how_the_model_is_asked_and_what_came_of_it() {
    let bad = r#"{"name":"Ada Lovelace, of London","age":"36"}"#;
    let (_server, one) = house(vec![says(bad), says(r#"{"fix_1":36}"#)]).await;
    let mut job = one
        .submit(user(&json!({ "hooks": true, "limits": { "tokens": 500 } })))
        .await;
    let entries = heard(&mut job).await;
    let told = hooks(&entries);
    let kinds: Vec<(HookKind, u32)> = told.iter().map(|hook| (hook.kind, hook.attempt)).collect();
    use HookKind::{AttemptEnd, FirstToken, Request};
    let each = |attempt| [(Request, attempt), (FirstToken, attempt), (AttemptEnd, attempt)];
    assert_eq!(kinds, [each(1), each(2)].concat());
    let request = &told[0];
    assert_eq!(request.provider.as_deref(), Some("test"));
    assert_eq!(
        (request.model.as_deref(), request.mode.as_deref()),
        (Some("test/m"), Some("json_schema"))
    );
    assert_eq!((request.messages, request.max_tokens), (Some(1), Some(500)));
    assert!(
        request.schema_bytes > Some(100) && request.prompt_bytes > Some(0),
        "{request:?}"
    );
    let ended = &told[2];
    assert_eq!((ended.finish.as_deref(), ended.errors.len()), (Some("stop"), 1));
    assert_eq!(ended.errors[0].path, "/age");
    let total = end(&entries).usage;
    assert_eq!(told[5].total, Some(total));
    assert_eq!(told[2].usage.unwrap().plus(told[5].usage.unwrap()), total);
    // The first token is told before what it brings.
    let first = entries
        .iter()
        .position(|entry| matches!(&entry.event, Event::Hook(hook) if hook.kind == FirstToken));
    let patch = entries
        .iter()
        .position(|entry| matches!(entry.event, Event::Patch(_)));
    assert!(first < patch);
    // Nobody asked for them: the log has none.
    let (_server, other) = house(vec![says(RIGHT)]).await;
    let mut job = other.submit(user(&json!({}))).await;
    assert_eq!(hooks(&heard(&mut job).await), []);
}

#[tokio::test]
async fn only_viewers_that_want_hooks_hear_them() {
    let (_server, house) = house(vec![
        says(r#"{"name":"Ada Lovelace, of London","age":"36"}"#),
        says(r#"{"fix_1":36}"#),
    ])
    .await;
    let mut job = house.submit(user(&json!({ "hooks": true }))).await;
    let first = job.fold.position;
    heard(&mut job).await;
    for (hooks, notes, expected) in [
        (false, false, [0, 0]),
        (true, false, [6, 1]),
        (false, true, [0, 1]),
    ] {
        let deliver = livedraft::wire::Deliver {
            hooks,
            notes,
            ..Default::default()
        };
        // From the first position on, as one who was there.
        let wake = Arc::new(Notify::new());
        let mut viewer = house
            .hub
            .watch(job.id, Some(first), deliver, &wake)
            .await
            .unwrap()
            .unwrap();
        assert!(viewer.resumed());
        let told = viewer.take(0, usize::MAX);
        let count = |name: &str| told.iter().filter(|told| told.name == name).count();
        assert_eq!(
            [count("job.hook"), count("job.note")],
            expected,
            "{hooks} {notes}"
        );
        let seqs: Vec<u64> = told
            .iter()
            .filter_map(|told| told.position)
            .map(|at| at.seq)
            .collect();
        assert!(seqs.is_sorted(), "{seqs:?}");
    }
}

#[tokio::test]
async fn items_that_stay_bad_are_dropped_where_that_is_wanted() {
    let bad =
        r#"{"tasks":[{"name":"Ada","age":"x"},{"name":"Bo","age":1},{"name":"Cy"},{"name":"Di","age":3}]}"#;
    let members = json!({ "wrap": "iterable", "on_bad_item": "drop", "max_reasks": 0 });
    let (_server, one) = house(vec![says(bad)]).await;
    let mut job = one.submit(user(&members)).await;
    let ended = end(&heard(&mut job).await);
    assert_eq!(ended.outcome, Outcome::Completed, "{:?}", ended.error);
    assert_eq!(
        job.value(),
        json!({ "tasks": [{ "name": "Bo", "age": 1 }, { "name": "Di", "age": 3 }] })
    );
    assert_eq!(ended.best.as_deref(), Some(bad), "what was dropped can be seen");
    let hash = ended.sha256.expect("a hash");
    assert_eq!(hash.len(), 64);
    // A root that is a list; one whose rest is too short; one where something else is wrong.
    let list = |least: u32| json!({ "type": "array", "minItems": least, "items": { "type": "integer" } });
    for (schema, text, outcome) in [
        (list(2), r#"[1,"x",3]"#, Outcome::Completed),
        (list(3), r#"[1,"x",3]"#, Outcome::Failed),
        (
            json!({ "type": "array", "maxItems": 1, "items": { "type": "integer" } }),
            r#"[1,"x"]"#,
            Outcome::Failed,
        ),
    ] {
        let (_server, other) = house(vec![says(text)]).await;
        let members = json!({ "schema": schema, "mode": "json", "on_bad_item": "drop", "max_reasks": 0 });
        let mut job = other.submit(user(&members)).await;
        assert_eq!(end(&heard(&mut job).await).outcome, outcome, "{schema}");
    }
    // Without it, the job fails, and keeps all.
    let members = json!({ "wrap": "iterable", "max_reasks": 0, "on_violation": "finish" });
    let (_server, third) = house(vec![says(bad)]).await;
    let mut job = third.submit(user(&members)).await;
    assert_eq!(end(&heard(&mut job).await).outcome, Outcome::Failed);
    assert_eq!(job.value()["tasks"].as_array().map(Vec::len), Some(4));
}
