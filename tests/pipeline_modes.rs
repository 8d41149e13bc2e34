//! Wrappers, tool calls and repairs through the whole pipeline: what the model is asked, and what viewers are told.

use livedraft::job::{JobSpec, Outcome};
use livedraft::llm::{ProvidersOptions, RemoteOptions};
use livedraft::wire::Deliver;
use serde_json::{Value as Json, json};

use crate::llm_openai::server::{Act, STREAM_HEAD, Server, options};
use crate::pipeline::{Node, Watching};

fn user() -> Json {
    json!({"type":"object","title":"User","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0}},"required":["name","age"]})
}

fn request(members: &Json) -> Json {
    let mut request = json!({"model":"scripted","input":"Ada, 36","schema":user(),"flush_ms":0});
    for (name, value) in members.as_object().expect("members") {
        request[name] = value.clone();
    }
    request
}

async fn watched(node: &Node, request: Json) -> Watching {
    let job = node.submit(request).await;
    let deliver = Deliver {
        notes: true,
        ..Deliver::default()
    };
    node.watch(job, deliver).await.watched_out().await
}

fn value(watching: &Watching) -> Json {
    serde_json::from_str(&watching.value().expect("a value")).expect("JSON")
}

#[tokio::test(start_paused = true)]
async fn a_list_of_items_is_the_same_in_every_mode() {
    let node = Node::start();
    let mut values = Vec::new();
    for mode in ["auto", "tools", "json_schema", "json", "md_json"] {
        let script = json!({"items": 4});
        let watching = watched(
            &node,
            request(&json!({"mode": mode, "wrap": "iterable", "script": script})),
        )
        .await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{mode}");
        values.push(value(&watching));
    }
    assert_eq!(values[0]["tasks"].as_array().map(Vec::len), Some(4));
    values.dedup();
    assert_eq!(values.len(), 1, "{values:?}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_list_is_an_answer_in_every_mode() {
    let node = Node::start();
    for mode in ["tools", "json_schema", "json", "md_json"] {
        let script = json!({"items": 0});
        let watching = watched(
            &node,
            request(&json!({"mode": mode, "wrap": "iterable", "script": script})),
        )
        .await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{mode}");
        assert_eq!(value(&watching), json!({"tasks": []}), "{mode}");
    }
}

#[tokio::test(start_paused = true)]
async fn items_that_are_no_objects_travel_in_one_call() {
    let node = Node::start();
    let members =
        json!({"mode": "tools", "wrap": "iterable", "schema": {"type": "string"}, "script": {"items": 2}});
    let watching = watched(&node, request(&members)).await;
    assert_eq!(watching.end().outcome, Outcome::Completed);
    let tasks = value(&watching)["tasks"].clone();
    assert!(
        tasks[0].is_string() && tasks.as_array().is_some_and(|tasks| tasks.len() == 2),
        "{tasks}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrong_item_is_asked_again_by_its_place() {
    let node = Node::start();
    for mode in ["tools", "json_schema"] {
        let script = json!({"invalid_attempts": 1});
        let watching = watched(
            &node,
            request(&json!({"mode": mode, "wrap": "iterable", "script": script})),
        )
        .await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{mode}");
        let errors = &watching.fold.as_ref().expect("folded").attempts[1].errors;
        assert!(
            errors.iter().all(|error| error.path.starts_with("/tasks")),
            "{mode}: {errors:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_that_was_cut_is_incomplete() {
    let node = Node::start();
    for (fault, code) in [("stop_by_length_after", "length"), ("cut_after", "provider_cut")] {
        // Each item is one token, so the cut lies between two whole calls.
        let script = json!({fault: 2, "items": 5, "token_chars": 1000});
        let members = json!({"mode": "tools", "wrap": "iterable", "script": script});
        let watching = watched(&node, request(&members)).await;
        let end = watching.end();
        let told = end.error.as_ref().map(|error| error.code.as_str());
        assert_eq!((end.outcome, told), (Outcome::Incomplete, Some(code)));
        assert_eq!(value(&watching)["tasks"].as_array().map(Vec::len), Some(2));
    }
}

/// A number is whole only where something else follows, or the model says that it is done.
#[tokio::test(start_paused = true)]
async fn a_root_number_that_was_cut_is_incomplete() {
    let node = Node::start();
    // "```json" and a line's end are eight characters; two digits follow.
    let script = json!({"stop_by_length_after": 10, "token_chars": 1});
    let members = json!({"mode": "md_json", "schema": {"const": 123_456}, "script": script});
    let watching = watched(&node, request(&members)).await;
    let end = watching.end();
    let told = end.error.as_ref().map(|error| error.code.as_str());
    assert_eq!((end.outcome, told), (Outcome::Incomplete, Some("length")));
    assert_eq!(watching.value(), None);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_may_be_missing() {
    let node = Node::start();
    for mode in ["tools", "json_schema", "json", "md_json"] {
        let watching = watched(
            &node,
            request(&json!({"mode": mode, "wrap": "maybe", "script": {}})),
        )
        .await;
        assert_eq!(watching.end().outcome, Outcome::Completed, "{mode}");
        let value = value(&watching);
        let members = value.as_object().expect("an object");
        assert!(
            members
                .keys()
                .all(|name| ["result", "error", "message"].contains(&name.as_str())),
            "{value}"
        );
        assert!(!members.is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn repairs_are_a_choice_and_are_told_and_counted() {
    let node = Node::start();
    for mode in ["tools", "json_schema", "md_json"] {
        for lenient in ["auto", "on"] {
            let members = json!({"mode": mode, "lenient": lenient, "script": {"sloppy_attempts": 1}});
            let watching = watched(&node, request(&members)).await;
            let end = watching.end();
            assert_eq!(
                (end.outcome, end.attempts.len()),
                (Outcome::Completed, 1),
                "{mode} {lenient}"
            );
            assert_eq!(end.attempts[0].repairs, 2, "{mode} {lenient}");
            let warnings: Vec<&str> = watching
                .told
                .iter()
                .filter_map(|told| told.strip_prefix("warning: "))
                .collect();
            let lines = warnings.join("\n");
            assert!(
                lines.starts_with("repaired: comment at byte "),
                "{mode} {lenient}: {lines}"
            );
            assert!(
                lines.contains("\nrepaired: trailing_comma at byte "),
                "{mode} {lenient}: {lines}"
            );
        }
        let members = json!({"mode": mode, "script": {"sloppy_attempts": 1}});
        let watching = watched(&node, request(&members)).await;
        let end = watching.end();
        assert_eq!(
            (end.outcome, end.attempts.len()),
            (Outcome::Completed, 2),
            "{mode}: off is strict"
        );
        assert_eq!(end.attempts[0].repairs, 0);
        assert!(watching.told.iter().all(|told| !told.starts_with("warning")));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_repaired_is_still_judged() {
    let node = Node::start();
    let script = json!({"sloppy_attempts": 9, "invalid_attempts": 1});
    let members = json!({"mode": "tools", "lenient": "auto", "script": script});
    let watching = watched(&node, request(&members)).await;
    let end = watching.end();
    assert_eq!(end.outcome, Outcome::Completed);
    let repairs: Vec<u64> = end.attempts.iter().map(|attempt| attempt.repairs).collect();
    assert_eq!(repairs, [2, 2]);
}

/// A model that says exactly these deltas, in each answer the next of `answers`.
async fn model(answers: &[(&[Json], &str)]) -> (Server, Node) {
    let acts = answers.iter().map(|(deltas, reason)| {
        let told = deltas
            .iter()
            .map(|delta| json!({"choices": [{"index": 0, "delta": delta}]}));
        let finish = json!({"choices": [{"index": 0, "delta": {}, "finish_reason": reason}]});
        let events = told.chain([finish]).map(|event| format!("data: {event}\n\n"));
        let body: String = events.chain(["data: [DONE]\n\n".to_owned()]).collect();
        Act {
            pieces: vec![STREAM_HEAD.into(), body.into_bytes()],
            hold: false,
        }
    });
    let server = Server::start(acts.collect()).await;
    let node = Node::start_with(ProvidersOptions {
        scripted: false,
        remote: vec![RemoteOptions {
            name: "fake".to_owned(),
            ..options(&server.base)
        }],
        ..ProvidersOptions::default()
    });
    (server, node)
}

fn call(index: u32, id: Option<&str>, name: Option<&str>, arguments: &str) -> Json {
    json!({"index": index, "id": id, "function": {"name": name, "arguments": arguments}})
}

fn asked(members: &Json) -> Json {
    let mut request = request(members);
    request["model"] = json!("fake/m");
    let spec: JobSpec = serde_json::from_value(request.clone()).expect("a spec");
    assert_eq!(spec.mode, livedraft::job::ModeChoice::Tools);
    request
}

#[tokio::test]
async fn text_and_thoughts_around_a_call_are_told_in_their_order() {
    let deltas = [
        json!({"content": "Let me see. "}),
        json!({"reasoning_content": "The name is first."}),
        json!({"content": "Here:"}),
        json!({"tool_calls": [call(0, Some("a"), Some("User"), "{\"name\":\"Ada\",")]}),
        json!({"tool_calls": [call(0, None, None, "\"age\":36}")]}),
        json!({"reasoning_content": "That is all."}),
        json!({"content": "Done."}),
    ];
    let (_server, node) = model(&[(&deltas, "tool_calls")]).await;
    let watching = watched(&node, asked(&json!({"mode": "tools", "flush_ms": 50}))).await;
    assert_eq!(
        watching.end().outcome,
        Outcome::Completed,
        "{:?}",
        watching.end().error
    );
    let notes: Vec<&str> = watching
        .told
        .iter()
        .map(String::as_str)
        .filter(|told| *told != "patch")
        .collect();
    assert_eq!(
        notes,
        [
            "text: Let me see. ",
            "reasoning: The name is first.",
            "text: Here:",
            "reasoning: That is all.",
            "text: Done."
        ]
    );
    let first = watching
        .told
        .iter()
        .position(|told| told == "patch")
        .expect("a change");
    assert_eq!(first, 3, "{:?}", watching.told);
    assert_eq!(value(&watching), json!({"name": "Ada", "age": 36}));
}

/// What nobody was shown of a call may be taken back by another: the raw text then begins anew, wherever it stood.
#[tokio::test]
async fn a_call_in_the_place_of_another_begins_the_text_anew() {
    let deltas = [
        json!({"tool_calls": [call(0, Some("a"), Some("User"), "   ")]}),
        json!({"tool_calls": [call(0, Some("b"), Some("User"), "{\"é")]}),
        json!({"tool_calls": [call(0, None, None, "\":1,\"name\":\"Ada\",\"age\":36}")]}),
    ];
    let (_server, node) = model(&[(&deltas, "tool_calls")]).await;
    let watching = watched(
        &node,
        asked(&json!({"mode": "tools", "wrap": "iterable", "flush_ms": 0})),
    )
    .await;
    assert_eq!(
        watching.end().outcome,
        Outcome::Completed,
        "{:?}",
        watching.end().error
    );
    assert_eq!(
        value(&watching),
        json!({"tasks": [{"é": 1, "name": "Ada", "age": 36}]})
    );
}

#[tokio::test]
async fn interleaved_calls_are_items_and_a_wrong_one_is_answered_by_its_id() {
    let wrong = [
        json!({"tool_calls": [call(0, Some("a"), Some("User"), "{\"name\":\"A"), call(1, Some("b"), Some("User"), "")]}),
        json!({"tool_calls": [call(1, None, None, "{\"name\":\"Bo\",\"age\":-1}")]}),
        json!({"tool_calls": [call(0, None, None, "da\",\"age\":36}")]}),
    ];
    let right = [
        json!({"tool_calls": [call(0, Some("c"), Some("User"), "{\"name\":\"Ada\",\"age\":36}")]}),
        json!({"tool_calls": [call(0, Some("d"), Some("User"), "{\"name\":\"Bo\",\"age\":1}")]}),
    ];
    let (server, node) = model(&[(&wrong, "tool_calls"), (&right, "tool_calls")]).await;
    let watching = watched(&node, asked(&json!({"mode": "tools", "wrap": "iterable"}))).await;
    assert_eq!(
        watching.end().outcome,
        Outcome::Completed,
        "{:?}",
        watching.end().error
    );
    let users = json!({"tasks": [{"name": "Ada", "age": 36}, {"name": "Bo", "age": 1}]});
    assert_eq!(value(&watching), users);
    let errors = &watching.fold.as_ref().expect("folded").attempts[1].errors;
    assert_eq!(errors[0].path, "/tasks/1/age");

    let (_, first) = server.request(0);
    let names: Vec<&Json> = first["tools"]
        .as_array()
        .expect("tools")
        .iter()
        .map(|tool| &tool["function"]["name"])
        .collect();
    assert_eq!(
        (names, &first["tool_choice"]),
        (vec![&json!("User"), &json!("no_items")], &json!("required"))
    );
    let (_, second) = server.request(1);
    let turns = second["messages"].as_array().expect("messages");
    let [calls, to_first, to_second] = &turns[turns.len() - 3..] else {
        panic!("{turns:?}")
    };
    let ids: Vec<&Json> = calls["tool_calls"]
        .as_array()
        .expect("calls")
        .iter()
        .map(|call| &call["id"])
        .collect();
    assert_eq!(ids, ["a", "b"]);
    assert_eq!(
        (&to_first["tool_call_id"], &to_second["tool_call_id"]),
        (&json!("a"), &json!("b"))
    );
    assert!(
        to_first["content"]
            .as_str()
            .is_some_and(|text| text.contains("/tasks/1/age")),
        "{to_first}"
    );
}

#[tokio::test]
async fn a_repaired_call_goes_back_as_json() {
    let wrong = [json!({"tool_calls": [call(0, Some("a"), Some("User"), "{name: 'Ada', age: -1,}")]})];
    let right = [json!({"tool_calls": [call(0, Some("b"), Some("User"), "{\"name\":\"Ada\",\"age\":36}")]})];
    let (server, node) = model(&[(&wrong, "tool_calls"), (&right, "tool_calls")]).await;
    let watching = watched(&node, asked(&json!({"mode": "tools", "lenient": "auto"}))).await;
    assert_eq!(
        watching.end().outcome,
        Outcome::Completed,
        "{:?}",
        watching.end().error
    );
    let (_, second) = server.request(1);
    let turns = second["messages"].as_array().expect("messages");
    let call = &turns[turns.len() - 2]["tool_calls"][0]["function"];
    assert_eq!(call["arguments"], json!("{\"name\":\"Ada\",\"age\":-1}"));
}
