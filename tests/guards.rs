//! What an answer is held against and counted by, where it is only a part of the value: what stands, what was given, and
//! what comes nowhere.

use livedraft::event::{Event, HookKind};
use livedraft::job::{AttemptError, Money, Outcome, Ruling};
use livedraft::llm::{
    BreakerOptions, ChainOptions, Prefill, PrefillChoice, Price, ProvidersOptions, RemoteOptions,
};
use livedraft::partial::{Draft, DraftOptions, Value};
use livedraft::worker::WorkerOptions;
use serde_json::{Value as Json, json};

use crate::llm_openai::server::{Act, Server, answer, options, stream_of};
use crate::splice::{House, says};

/// An answer in these pieces, and how it stops.
fn told(pieces: &[&str], finish: &str) -> String {
    let frame = |piece: &&str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] });
        format!("data: {chunk}\n\n")
    };
    let stop = json!({ "choices": [{ "index": 0, "delta": {}, "finish_reason": finish }] });
    let frames: String = pieces.iter().map(frame).collect();
    format!("{frames}data: {stop}\n\ndata: [DONE]\n\n")
}

fn cut(text: &str) -> Act {
    stream_of(&told(&[text], "length"))
}

/// An answer that begins, and then nothing for ever.
fn stalls(text: &str) -> Act {
    let whole = told(&[text], "stop");
    let (begun, _) = whole.split_once("\n\n").expect("a frame");
    Act {
        hold: true,
        ..stream_of(&format!("{begun}\n\n"))
    }
}

fn remote(server: &Server, name: &str) -> RemoteOptions {
    RemoteOptions {
        name: name.to_owned(),
        ..options(&server.base)
    }
}

fn house(remote: Vec<RemoteOptions>) -> House {
    let models = remote.iter().map(|one| format!("{}/m", one.name)).collect();
    House::start_with(ProvidersOptions {
        scripted: false,
        remote,
        chains: vec![ChainOptions {
            name: "chain".to_owned(),
            models,
        }],
        // A model that fails again and again is asked on.
        breaker: BreakerOptions {
            calls_min: u32::MAX,
            ..BreakerOptions::default()
        },
    })
}

fn goes_on(server: &Server, name: &str) -> RemoteOptions {
    RemoteOptions {
        prefill: PrefillChoice::Always(Prefill::ContinueFinalMessage),
        ..remote(server, name)
    }
}

fn request(schema: &Json, members: &Json) -> Json {
    let mut request =
        json!({ "model": "chain", "input": "x", "flush_ms": 0, "mode": "json_schema", "schema": schema });
    let members = members.as_object().expect("members").clone();
    request.as_object_mut().expect("a request").extend(members);
    request
}

fn closed_person() -> Json {
    json!({
        "type": "object", "additionalProperties": false, "maxProperties": 3, "minProperties": 2,
        "required": ["name", "age", "mail"],
        "properties": { "name": { "type": "string" }, "age": { "type": "integer" }, "mail": { "type": "string" } },
    })
}

/// Members that stand come nowhere: that they are said again makes nothing invalid.
#[tokio::test]
async fn what_stands_and_is_said_again_is_no_fault() {
    let again = [r#"{"rest_1":{"name":"Ada Lovelace","age":36,"mail":"a@b"}"#, "}"];
    for on_violation in ["auto", "abort"] {
        let acts = vec![
            cut(r#"{"name":"Ada Lovelace","age":"#),
            stream_of(&told(&again, "stop")),
        ];
        let server = Server::start(acts).await;
        let house = house(vec![remote(&server, "a")]);
        let members = json!({ "on_violation": on_violation, "max_reasks": 0 });
        let mut job = house.submit(request(&closed_person(), &members)).await;
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed, "{on_violation}: {:?}", end.error);
        let expected = json!({ "name": "Ada Lovelace", "age": 36, "mail": "a@b" });
        assert_eq!((job.value(), job.begun.len()), (expected, 2), "{on_violation}");
    }
}

/// What is asked for and wrong ends the answer still.
#[tokio::test]
async fn what_is_added_and_wrong_is_a_fault() {
    for wrong in [
        r#"{"rest_1":{"name":"Ada","age":"36","mail":"a@b"}"#,
        r#"{"rest_1":{"age":36,"mail":"a@b","note":1}"#,
        r#"{"rest_1":{"age":36}"#,
    ] {
        let acts = vec![cut(r#"{"name":"Ada Lovelace","age":"#), stalls(wrong)];
        let server = Server::start(acts).await;
        let house = house(vec![remote(&server, "a")]);
        let members = json!({ "on_violation": "abort", "max_reasks": 0 });
        let mut job = house.submit(request(&closed_person(), &members)).await;
        let end = job.end().await;
        let code = end.error.map(|error| error.code);
        assert_eq!(code.as_deref(), Some("invalid_output"), "{wrong}");
    }
}

/// A text is gone on with only where all of it but its end is what viewers hold.
#[test]
fn a_text_that_reads_otherwise_is_not_gone_on_with() {
    for (text, held, expected) in [
        (r#"{"a":1,"c":"x"#, r#"{"a":1,"c":"x"}"#, true),
        (r#"{"a":1,"c":"x"#, r#"{"a":1,"c":"xyz"}"#, true),
        (r#"{"a":1,"c":"#, r#"{"a":1,"c":12}"#, true),
        (r#"{"a":1,"#, r#"{"a":1,"c":""}"#, true),
        (r#"{"a":[1,{"b":"#, r#"{"a":[1,{"b":"x"}]}"#, true),
        (r#"{"a":[1,"#, r#"{"a":[1,"x"]}"#, true),
        // Nulls that were read as members that are missing, and the other way.
        (r#"{"a":1,"b":null,"c":"x"#, r#"{"a":1,"c":"x"}"#, false),
        (r#"{"a":[{"b":null},{"c":"x"#, r#"{"a":[{},{"c":"x"}]}"#, false),
        (r#"{"a":1,"c":"x"#, r#"{"a":1,"b":null,"c":"x"}"#, false),
        (r#"{"a":[{},{"c":"x"#, r#"{"a":[{"b":null},{"c":"x"}]}"#, false),
        (r#"{"a":[1,2,"#, r#"{"a":[1]}"#, false),
        (r#"{"a":1,"c":"x"#, r#"{"a":2,"c":"x"}"#, false),
        (r#"{"a":1,"c":"x"#, r#"{"a":1,"c":"yes"}"#, false),
        (r#"{"a":{"b":1},"c":"#, r#"{"a":{"b":1,"d":2}}"#, false),
        (r#"{"a":"#, r#"[]"#, false),
    ] {
        let mut draft = Draft::new(DraftOptions::default());
        draft.feed(text.as_bytes());
        let held: Value = held.parse().expect("JSON");
        assert_eq!(draft.go_on_from(&held), expected, "{text} {}", held.to_json());
    }
}

/// A loop in what comes nowhere says nothing of the places that are still to come.
#[tokio::test]
async fn a_loop_beside_all_places_drops_none() {
    let row = json!({ "type": "object", "required": ["id", "text"], "properties": {
        "id": { "type": "integer" }, "text": { "type": "string" } } });
    let schema = json!({ "type": "object", "required": ["rows", "end"], "properties": {
        "rows": { "type": "array", "items": row }, "end": { "type": "string" } } });
    let round = "ha ".repeat(20_000);
    let acts = vec![
        cut(r#"{"rows":[{"id":1,"text":"first"},{"id":2,"#),
        stream_of(&told(
            &[r#"{"rest_1":{"text":"second"},"note":""#, &round],
            "stop",
        )),
        says(r#"{"rest_1":[],"rest_2":{"end":"."}}"#),
    ];
    let server = Server::start(acts).await;
    let house = house(vec![remote(&server, "a")]);
    let mut job = house.submit(request(&schema, &json!({}))).await;
    let end = job.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    assert_eq!(job.begun[2].errors[0].keyword, "repetition");
    let rows = json!([{ "id": 1, "text": "first" }, { "id": 2, "text": "second" }]);
    assert_eq!(job.value(), json!({ "rows": rows, "end": "." }));
}

/// Who was told a maximum counts better than we do.
#[tokio::test]
async fn a_provider_that_was_told_a_maximum_is_heard_to_it() {
    let name = "x".repeat(6_000);
    let schema = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
    for (limits, outcome) in [
        (
            json!({ "tokens": 1_200, "total_tokens": 1_500 }),
            Outcome::Completed,
        ),
        // Nobody was told anything.
        (json!({ "total_tokens": 60_000 }), Outcome::Completed),
        (json!({ "total_tokens": 900 }), Outcome::Completed),
        (json!({ "total_tokens": 300 }), Outcome::Incomplete),
    ] {
        let pieces = [r#"{"name":""#, &name, "\"}"];
        let server = Server::start(vec![stream_of(&told(&pieces, "stop"))]).await;
        let house = house(vec![remote(&server, "a")]);
        let mut job = house
            .submit(request(&schema, &json!({ "limits": limits, "mode": "json" })))
            .await;
        let end = job.end().await;
        assert_eq!(end.outcome, outcome, "{limits}: {:?}", end.error);
    }
}

fn node() -> Json {
    json!({
        "$ref": "#/$defs/node",
        "$defs": { "node": { "type": "object", "required": ["children"], "properties": {
            "children": { "type": "array", "items": { "$ref": "#/$defs/node" } }, "n": { "type": "integer" },
        } } },
    })
}

/// In a document that holds others of its kind, the next level begins as the whole did.
#[tokio::test]
async fn the_next_level_of_a_recursive_document_is_no_beginning_again() {
    for (beginning, rest) in [
        (r#"{"children":["#, r#"{"children":[]}]}"#),
        (r#"{"children":["#, r#"{"children":[]},{"children":[]}]}"#),
        (
            r#"{"children":[{"children":[],"n":1},"#,
            r#"{"children":[],"n":2}]}"#,
        ),
        (r#"{"children":[{"children":[{"#, r#""children":[]}]}]}"#),
    ] {
        let server = Server::start(vec![cut(beginning), says(rest)]).await;
        let house = house(vec![goes_on(&server, "a")]);
        let mut job = house.submit(request(&node(), &json!({}))).await;
        let end = job.end().await;
        assert_eq!(end.outcome, Outcome::Completed, "{beginning}: {:?}", end.error);
        let expected: Json = serde_json::from_str(&format!("{beginning}{rest}")).expect("JSON");
        assert_eq!((job.value(), job.begun.len()), (expected, 2), "{beginning}");
    }
}

/// Where no such thing may stand, it is.
#[tokio::test]
async fn a_beginning_again_is_known_where_the_place_takes_no_such_thing() {
    let schema = json!({ "type": "object", "required": ["title", "n"], "properties": {
        "title": { "type": "string" }, "n": { "type": "object", "required": ["m"], "properties": { "m": { "type": "integer" } } },
    } });
    let whole = r#"{"title":"Monday, of all days","n":{"m":1}}"#;
    let acts = vec![
        cut(r#"{"title":"Monday","n":"#),
        says(whole),
        says(r#"{"rest_1":{"n":{"m":2}}}"#),
    ];
    let server = Server::start(acts).await;
    let house = house(vec![goes_on(&server, "a")]);
    let mut job = house.submit(request(&schema, &json!({}))).await;
    assert_eq!(job.end().await.outcome, Outcome::Completed);
    assert_eq!(job.value(), json!({ "title": "Monday", "n": { "m": 2 } }));
    let counted = livedraft::metrics::render();
    for way in ["whole", "prefill", "residual"] {
        assert!(
            counted.contains(&format!("livedraft_attempt_ways_total{{way=\"{way}\"}}")),
            "{counted}"
        );
    }
    assert_eq!(job.begun[2].errors[0].keyword, "astray");
}

fn priced(options: RemoteOptions, output: &str) -> RemoteOptions {
    let mut options = options;
    *options.prices.entry("*") = Price {
        input: money("1"),
        cached_input: None,
        output: money(output),
        reasoning: None,
    };
    options
}

fn money(text: &str) -> Money {
    text.parse().expect("money")
}

/// A call that its worker was lost with is paid by the model that was asked, for what that has said.
#[tokio::test(start_paused = true)]
async fn what_was_lost_is_counted_once_and_at_its_own_price() {
    let text = "x".repeat(4_000);
    let schema = json!({ "type": "object", "required": ["a", "b"], "properties": {
        "a": { "type": "string" }, "b": { "type": "string" } } });
    let beginning = format!(r#"{{"a":"{text}","b":"beg"#);
    let first = Server::start(vec![answer("401 No", "", ""), answer("401 No", "", "")]).await;
    let second = Server::start(vec![cut(&beginning), stalls("un, "), says("un, and done\"}")]).await;
    let mut house = house(vec![
        priced(goes_on(&first, "a"), "900"),
        priced(goes_on(&second, "b"), "10"),
    ]);
    let id = {
        let mut job = house.submit(request(&schema, &json!({}))).await;
        job.until(2, 1).await;
        job.id
    };
    house.kill();
    house.employ(WorkerOptions::default());
    let end = house.hear(id).await.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let lost = &end.attempts[1];
    assert_eq!(lost.model.as_deref(), Some("b/m"));
    assert!(lost.usage.estimated && lost.usage.output_tokens < 100, "{lost:?}");
    // What was given was read, and is paid as that.
    assert!(lost.usage.input_tokens >= 1_000, "{lost:?}");
    let micros = lost.usage.cost.expect("a price").as_micros();
    assert_eq!(micros, lost.usage.input_tokens + 10 * lost.usage.output_tokens);
}

/// Also where another call of the same attempt had been counted before it.
#[tokio::test(start_paused = true)]
async fn a_call_that_was_lost_behind_another_is_counted() {
    let text = format!(r#"{{"a":"{}"#, "x".repeat(4_000));
    let schema = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "string" } } });
    let fault = stream_of("data: {\"error\":{\"message\":\"down\",\"code\":\"server_error\"}}\n\n");
    let server = Server::start(vec![fault, stalls(&text), says(r#"{"a":"y"}"#)]).await;
    let mut house = house(vec![remote(&server, "a")]);
    let id = {
        let mut job = house.submit(request(&schema, &json!({}))).await;
        job.until(1, 1).await;
        job.id
    };
    house.kill();
    house.employ(WorkerOptions::default());
    let end = house.hear(id).await.end().await;
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let lost = &end.attempts[0].usage;
    assert!(lost.estimated && lost.output_tokens >= 1_000, "{lost:?}");
    assert!(lost.output_tokens < 1_100, "once: {lost:?}");
}

/// What was taken out can be seen, whoever ends the job.
#[tokio::test(start_paused = true)]
async fn items_that_were_dropped_can_be_seen_behind_a_verdict() {
    let schema = json!({ "type": "array", "items": { "type": "integer" } });
    let members = json!({
        "schema": schema, "mode": "json", "on_bad_item": "drop", "max_reasks": 0, "verdict_ms": 60_000,
    });
    let refusal = AttemptError {
        path: String::new(),
        keyword: "refused".to_owned(),
        message: "no".to_owned(),
        value: None,
    };
    for (ruling, outcome) in [
        (Some(Ruling::Accept), Outcome::Completed),
        (None, Outcome::Completed),
        (Some(Ruling::Reask(vec![refusal])), Outcome::Failed),
    ] {
        let server = Server::start(vec![says(r#"[1,"x",3]"#)]).await;
        let house = house(vec![remote(&server, "a")]);
        let mut job = house.submit(request(&json!({}), &members)).await;
        while !matches!(&job.next().await.event, Event::Status(change) if change.reason.as_deref() == Some("verdict"))
        {
        }
        if let Some(ruling) = &ruling {
            crate::verdict::rule(&job, 1, ruling.clone()).await;
        }
        let end = job.end().await;
        assert_eq!((end.outcome, job.value()), (outcome, json!([1, 3])));
        assert_eq!(end.best.as_deref(), Some(r#"[1,"x",3]"#), "{ruling:?}");
    }
}

/// A call that failed is told with its fault, and the one that followed it.
#[tokio::test(start_paused = true)]
async fn hooks_tell_of_calls_that_fail() {
    let fault = answer("503 Busy", "", "");
    let whole = says(r#"{"name":"Ada","age":36,"mail":"a@b"}"#);
    let server = Server::start(vec![fault.clone(), fault, whole]).await;
    let house = house(vec![remote(&server, "a")]);
    let mut job = house
        .submit(request(&closed_person(), &json!({ "hooks": true })))
        .await;
    let mut told = Vec::new();
    let end = loop {
        match &job.next().await.event {
            Event::Hook(hook) if hook.kind == HookKind::Request => told.push((**hook).clone()),
            Event::End(end) => break end.clone(),
            _ => {}
        }
    };
    assert_eq!(end.outcome, Outcome::Completed, "{:?}", end.error);
    let finishes: Vec<bool> = told.iter().map(|hook| hook.finish.is_some()).collect();
    assert_eq!(finishes, [true, true, false], "{told:?}");
    for hook in &told {
        assert_eq!(
            (hook.attempt, hook.model.as_deref()),
            (1, Some("a/m")),
            "{hook:?}"
        );
        assert!(
            hook.prompt_bytes > Some(0) && hook.schema_bytes > Some(100),
            "{hook:?}"
        );
    }
}
