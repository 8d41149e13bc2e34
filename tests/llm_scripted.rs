//! The scripted model: its values conform, its faults strike where they are asked for, its pace is kept.
#![allow(clippy::unwrap_used)]

mod schemas;

use std::sync::Arc;
use std::time::Duration;

use livedraft::clock;
use livedraft::job::{Message, Reasoning, Role, Script, Usage};
use livedraft::llm::{
    Carrier, Chunk, Finish, LlmErrorKind, Provider, Providers, ProvidersOptions, Request, Sampling,
};
use livedraft::partial;
use livedraft::schema::{Schema, SchemaLimits};
use serde_json::{Value, json};

use self::schemas::{person, table};

fn request(schema: Value, script: Script) -> Request {
    Request {
        model: "scripted".to_owned(),
        messages: vec![Message::text(Role::User, "Extract the person.")],
        tools: None,
        tool_choice: None,
        response_format: None,
        sampling: Sampling::default(),
        reasoning: Reasoning::default(),
        script,
        schema: Arc::new(schema),
        attempt: 1,
        refusals: 0,
        retries: 0,
        carrier: Carrier::Text,
        fenced: false,
    }
}

fn fast() -> Script {
    Script {
        tokens_per_second: 0.0,
        ..Script::default()
    }
}

fn scripted() -> Arc<Provider> {
    let providers = Providers::new(ProvidersOptions::default()).unwrap();
    assert_eq!(providers.models(), ["scripted"]);
    providers.resolve("scripted").unwrap()
}

/// Everything a stream tells.
#[derive(Debug, Default, PartialEq)]
struct Told {
    text: String,
    arguments: String,
    calls: Vec<(Option<String>, Option<String>)>,
    reasoning: String,
    refusal: String,
    usage: Option<Usage>,
    finish: Option<Finish>,
    error: Option<LlmErrorKind>,
    tokens: u64,
}

async fn told(request: &Request) -> Told {
    let mut stream = scripted().open(request).await.unwrap();
    let mut told = Told::default();
    while let Some(chunk) = stream.next().await {
        assert!(
            told.finish.is_none() && told.error.is_none(),
            "something after the end"
        );
        match chunk {
            Ok(Chunk::Text(more)) => told.text += &more,
            Ok(Chunk::Reasoning(more)) => told.reasoning += &more,
            Ok(Chunk::Refusal(more)) => told.refusal += &more,
            Ok(Chunk::Call {
                index,
                id,
                name,
                arguments,
            }) => {
                assert_eq!(index, 0);
                if arguments.is_empty() {
                    told.calls.push((id.map(Into::into), name.map(Into::into)));
                    continue;
                }
                assert_eq!((id, name), (None, None));
                told.arguments += &arguments;
            }
            Ok(Chunk::Usage(usage)) => {
                assert_eq!(told.usage.replace(usage), None);
                continue;
            }
            Ok(Chunk::Finish(finish)) => {
                told.finish = Some(finish);
                continue;
            }
            Err(error) => {
                told.error = Some(error.kind);
                continue;
            }
        }
        told.tokens += 1;
    }
    assert!(stream.next().await.is_none(), "the end is said once more");
    told
}

async fn value(schema: &Value, script: &Script, attempt: u32) -> Value {
    let mut request = request(schema.clone(), script.clone());
    request.attempt = attempt;
    let told = told(&request).await;
    assert_eq!(told.finish, Some(Finish::Stop));
    serde_json::from_str(&told.text).unwrap_or_else(|error| panic!("{error} in {}", told.text))
}

/// Judges with the house's own schema module, and with the validator behind it where ours refuses the schema.
struct Checker {
    ours: Option<Schema>,
    theirs: jsonschema::Validator,
}

impl Checker {
    fn is_valid(&self, value: &Value) -> bool {
        let valid = self.theirs.is_valid(value);
        if let Some(ours) = &self.ours {
            let violations = ours.validate(&partial::parse(&value.to_string()).unwrap());
            assert_eq!(violations.is_empty(), valid, "{violations:?} in {value}");
        }
        valid
    }
}

fn checker(schema: &Value) -> Checker {
    let options = jsonschema::options().should_validate_formats(true);
    Checker {
        ours: Schema::compile(schema, &SchemaLimits::default()).ok(),
        theirs: options.build(schema).expect("the table holds valid schemas"),
    }
}

#[tokio::test(start_paused = true)]
async fn values_conform_to_their_schema() {
    let mut judged = 0;
    for schema in table() {
        let checker = checker(&schema);
        judged += usize::from(checker.ours.is_some());
        for seed in 0..40 {
            let value = value(&schema, &Script { seed, ..fast() }, 1).await;
            assert!(checker.is_valid(&value), "seed {seed}: {value} for {schema}");
        }
    }
    assert!(
        judged * 10 > table().len() * 9,
        "our own module judged only {judged}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalid_attempt_is_well_formed_and_violates_and_the_next_one_is_the_same_value_made_right() {
    let breakable = [
        person(),
        json!({"type": "array", "items": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}),
        json!({"type": "string"}),
        json!({"enum": ["a", "b"]}),
        json!({"type": "object", "required": ["a"]}),
        json!({"type": "object", "properties": {"a": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
            "required": ["a"]}),
        json!({"type": "object", "properties": {"deep": {"type": "object", "properties": {"er": {"type": "string",
            "enum": ["x"]}}, "required": ["er"]}}, "required": ["deep"]}),
    ];
    for schema in breakable {
        let checker = checker(&schema);
        for seed in 0..20 {
            let script = Script {
                seed,
                invalid_attempts: 2,
                ..fast()
            };
            let wrong = value(&schema, &script, 2).await;
            let right = value(&schema, &script, 3).await;
            assert!(!checker.is_valid(&wrong), "seed {seed}: {wrong} for {schema}");
            assert!(checker.is_valid(&right), "seed {seed}: {right} for {schema}");
            assert_eq!(right, value(&schema, &fast_with(seed), 1).await);
            assert_eq!(differences(&right, &wrong), 1, "{right} and {wrong}");
        }
    }
}

/// In how many places two values differ.
fn differences(left: &Value, right: &Value) -> usize {
    match (left, right) {
        (Value::Object(left), Value::Object(right)) => {
            let missing = left.keys().filter(|key| !right.contains_key(*key)).count();
            let both = left
                .iter()
                .filter_map(|(key, value)| Some((value, right.get(key)?)));
            missing + both.map(|(left, right)| differences(left, right)).sum::<usize>()
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => left
            .iter()
            .zip(right)
            .map(|(left, right)| differences(left, right))
            .sum(),
        _ => usize::from(left != right),
    }
}

fn fast_with(seed: u64) -> Script {
    Script { seed, ..fast() }
}

#[tokio::test(start_paused = true)]
async fn the_same_words_every_time_and_others_for_another_seed() {
    let first = told(&request(person(), fast_with(1))).await;
    assert_eq!(first, told(&request(person(), fast_with(1))).await);
    assert_ne!(first.text, told(&request(person(), fast_with(2))).await.text);
    assert_eq!(first.usage.map(|usage| usage.output_tokens), Some(first.tokens));
    assert_eq!(first.tokens, first.text.chars().count().div_ceil(4) as u64);
}

#[tokio::test(start_paused = true)]
async fn a_person_reads_like_one() {
    let value = value(&person(), &fast(), 1).await;
    let (name, email) = (value["name"].as_str().unwrap(), value["email"].as_str().unwrap());
    assert_eq!(name.split(' ').count(), 2);
    assert!(email.ends_with("@example.com") && email.contains('.'), "{email}");
    let bio = value["bio"].as_str().unwrap();
    assert!(
        (60..=80).contains(&bio.chars().count()) && bio.ends_with('.'),
        "{bio}"
    );
}

#[tokio::test(start_paused = true)]
async fn lengths_follow_the_script() {
    let schema = json!({"type": "array", "items": {"type": "object", "properties": {"body": {"type": "string"}},
        "required": ["body"]}});
    let script = Script {
        items: 1_000,
        text_chars: 500,
        ..fast()
    };
    let value = value(&schema, &script, 1).await;
    assert_eq!(value.as_array().unwrap().len(), 1_000);
    let chars = value[999]["body"].as_str().unwrap().chars().count();
    assert!((480..=500).contains(&chars), "{chars}");
}

#[tokio::test(start_paused = true)]
async fn a_greedy_script_is_bounded() {
    let schema = json!({"type": "array", "items": {"type": "object", "properties": {"body": {"type": "string"}},
        "required": ["body"]}});
    let script = Script {
        items: 100_000,
        text_chars: 1_000_000,
        token_chars: 10_000,
        ..fast()
    };
    let told = told(&request(schema, script)).await;
    assert!(told.text.len() < 10 << 20, "{}", told.text.len());
    assert_eq!(told.finish, Some(Finish::Stop));
}

#[tokio::test(start_paused = true)]
async fn the_pace_is_kept_on_an_absolute_schedule() {
    let start = clock::now();
    let script = Script {
        tokens_per_second: 50.0,
        ..Script::default()
    };
    let told = told(&request(person(), script)).await;
    let expected = Duration::from_millis(20) * u32::try_from(told.tokens).unwrap();
    let late = start.elapsed().saturating_sub(expected);
    assert!(
        start.elapsed() >= expected && late <= Duration::from_millis(2),
        "{late:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_of_next_loses_nothing() {
    let request = request(person(), Script::default());
    let whole = told(&request).await.text;
    let mut stream = scripted().open(&request).await.unwrap();
    let (mut text, mut dropped) = (String::new(), 0);
    loop {
        tokio::select! {
            biased;
            chunk = stream.next() => match chunk {
                Some(Ok(Chunk::Text(more))) => text += &more,
                Some(_) => {}
                None => break,
            },
            () = clock::sleep(Duration::from_millis(3)) => dropped += 1,
        }
    }
    assert_eq!(text, whole);
    assert!(dropped > 100, "the test never dropped a call");
}

#[tokio::test(start_paused = true)]
async fn early_ends_strike_after_their_tokens() {
    type Case = (fn(&mut Script), Option<Finish>, Option<LlmErrorKind>);
    let cases: [Case; 3] = [
        (
            |script| script.stop_by_length_after = Some(5),
            Some(Finish::Length),
            None,
        ),
        (|script| script.cut_after = Some(5), None, Some(LlmErrorKind::Cut)),
        (
            |script| script.error_after = Some(5),
            None,
            Some(LlmErrorKind::InStream),
        ),
    ];
    for (fault, finish, error) in cases {
        let mut script = fast();
        fault(&mut script);
        script.fault_attempts = Some(1);
        let mut request = request(person(), script);
        let told_first = told(&request).await;
        assert_eq!((told_first.finish, told_first.error), (finish.clone(), error));
        assert_eq!(told_first.tokens, 5);
        assert_eq!(told_first.usage.is_some(), finish.is_some());
        request.attempt = 2;
        assert_eq!(told(&request).await.finish, Some(Finish::Stop));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_on_output_tokens_ends_by_length() {
    let mut request = request(person(), fast());
    request.sampling.max_output_tokens = Some(3);
    let told = told(&request).await;
    assert_eq!((told.tokens, told.finish), (3, Some(Finish::Length)));
}

#[tokio::test(start_paused = true)]
async fn a_hang_is_silent_for_ever() {
    for (after, before_silence) in [(0, 0), (2, 2)] {
        let script = Script {
            hang_after: Some(after),
            ..fast()
        };
        let mut stream = scripted().open(&request(person(), script)).await.unwrap();
        for _ in 0..before_silence {
            assert!(matches!(stream.next().await, Some(Ok(Chunk::Text(_)))));
        }
        let day = Duration::from_secs(86_400);
        assert!(tokio::time::timeout(day, stream.next()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn a_tool_call_is_announced_and_carries_the_value() {
    let mut request = request(
        person(),
        Script {
            think: true,
            prose: true,
            ..fast()
        },
    );
    request.carrier = Carrier::Tools;
    request.tools =
        Some(json!([{"type": "function", "function": {"name": "person", "parameters": person()}}]));
    let told = told(&request).await;
    assert_eq!(
        told.calls,
        [(Some("call_scripted_1".to_owned()), Some("person".to_owned()))]
    );
    assert_eq!((told.text.as_str(), told.finish), ("", Some(Finish::ToolCalls)));
    assert!(checker(&person()).is_valid(&serde_json::from_str(&told.arguments).unwrap()));
    assert!(!told.reasoning.is_empty());
    let usage = told.usage.unwrap();
    assert_eq!(
        usage.reasoning_tokens,
        told.reasoning.chars().count().div_ceil(4) as u64
    );
    assert_eq!(usage.output_tokens, told.tokens);
}

#[tokio::test(start_paused = true)]
async fn parallel_calls_carry_the_items_of_a_list() {
    let list = json!({"type": "object", "properties": {"tasks": {"type": "array", "items": person()}}, "required": ["tasks"]});
    for items in [0, 3] {
        let mut request = request(list.clone(), Script { items, ..fast() });
        request.carrier = Carrier::ParallelTools;
        request.tools =
            Some(json!([{"type": "function", "function": {"name": "person", "parameters": person()}}]));
        let mut stream = scripted().open(&request).await.unwrap();
        let mut calls: Vec<(String, String)> = Vec::new();
        while let Some(chunk) = stream.next().await {
            if let Chunk::Call {
                index,
                name,
                arguments,
                ..
            } = chunk.unwrap()
            {
                let index = usize::try_from(index).unwrap();
                calls.resize_with(calls.len().max(index + 1), Default::default);
                calls[index].0.push_str(&name.unwrap_or_default());
                calls[index].1.push_str(&arguments);
            }
        }
        if items == 0 {
            assert_eq!(calls, [("no_items".to_owned(), "{}".to_owned())]);
            continue;
        }
        assert_eq!(calls.len(), 3);
        for (name, arguments) in &calls {
            assert_eq!(name, "person");
            assert!(
                checker(&person()).is_valid(&serde_json::from_str(arguments).unwrap()),
                "{arguments}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn prose_and_thoughts_stand_around_a_fenced_answer() {
    let mut request = request(
        person(),
        Script {
            think: true,
            prose: true,
            ..fast()
        },
    );
    let told_prose = told(&request).await;
    assert!(told_prose.text.starts_with("<think>\n") && told_prose.reasoning.is_empty());
    let (before, rest) = told_prose.text.split_once("```json\n").unwrap();
    let (body, after) = rest.split_once("\n```").unwrap();
    assert!(before.contains("</think>") && after.len() > 10);
    assert!(checker(&person()).is_valid(&serde_json::from_str(body).unwrap()));
    request.script = fast();
    request.fenced = true;
    let told_fenced = told(&request).await.text;
    assert!(told_fenced.starts_with("```json\n{") && told_fenced.ends_with("}\n```"));
}

#[tokio::test(start_paused = true)]
async fn broken_answers_refusals_and_rate_limits() {
    let mut request = request(
        person(),
        Script {
            broken_attempts: 1,
            ..fast()
        },
    );
    let told_broken = told(&request).await;
    assert!(
        !told_broken.text.contains(['{', '[', '"']),
        "{}",
        told_broken.text
    );
    request.script = Script {
        refuse: true,
        ..fast()
    };
    let told_refusal = told(&request).await;
    assert!(told_refusal.text.is_empty() && !told_refusal.refusal.is_empty());
    assert_eq!(told_refusal.finish, Some(Finish::Stop));
    request.script = Script {
        rate_limited_attempts: 1,
        ..fast()
    };
    let refused = scripted().open(&request).await.unwrap_err();
    assert_eq!(
        (refused.kind, refused.status),
        (LlmErrorKind::RateLimited, Some(429))
    );
    assert!(refused.retry_after.is_some());
    request.refusals = 1;
    assert_eq!(told(&request).await.finish, Some(Finish::Stop));
    (request.refusals, request.attempt) = (0, 2);
    assert_eq!(told(&request).await.finish, Some(Finish::Stop));
}

#[tokio::test(start_paused = true)]
async fn hostile_schemas_come_to_an_end() {
    let hostile = [
        json!({"$ref": "#"}),
        json!({"allOf": [{"$ref": "#"}, {"$ref": "#"}]}),
        json!({"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}),
        json!({"type": "array", "items": {"$ref": "#"}, "minItems": 2}),
        json!({"type": "array", "items": {"type": "array", "items": {"const": "x".repeat(1_000)}, "minItems": 1e300}}),
        json!({"type": "string", "minLength": 1e300}),
        json!({"type": "string", "pattern": "(((a{9999}){9999}){9999})"}),
        json!({"type": "string", "pattern": "("}),
        json!({"type": "number", "minimum": 1e308, "maximum": -1e308, "multipleOf": 1e-300}),
        json!({"$ref": "#/nowhere"}),
        json!({"$ref": "https://example.com/elsewhere"}),
        json!(false),
        json!({"type": "array", "minItems": 1e6, "items": {"const": "x".repeat(100_000)}}),
        json!({"type": "array", "minItems": 5_000, "items": {"allOf": vec![json!({"anyOf": [{"minimum": 1},
            {"maximum": 9}, {"type": "integer"}]}); 12]}}),
        json!({"type": "object", "additionalProperties": {"const": "x".repeat(1_000)}, "minProperties": 1e300, "required": 3, "properties": []}),
    ];
    for schema in hostile {
        let script = Script {
            token_chars: 10_000,
            ..fast()
        };
        let told = told(&request(schema.clone(), script)).await;
        assert!(serde_json::from_str::<Value>(&told.text).is_ok(), "{schema}");
    }
}

#[test]
fn a_script_is_read_strictly_and_checked() {
    assert_eq!(serde_json::from_str::<Script>("{}").unwrap(), Script::default());
    assert!(serde_json::from_str::<Script>(r#"{"hang": 3}"#).is_err());
    let script: Script = serde_json::from_str(r#"{"tokens_per_second": 1e6, "hang_after": 0}"#).unwrap();
    assert_eq!((script.hang_after, script.check()), (Some(0), Ok(())));
    for (member, text) in [
        ("tokens_per_second", r#"{"tokens_per_second": 1000001}"#),
        ("tokens_per_second", r#"{"tokens_per_second": -1}"#),
        ("token_chars", r#"{"token_chars": 0}"#),
        ("items", r#"{"items": 100001}"#),
        ("text_chars", r#"{"text_chars": 1000001}"#),
    ] {
        let script: Script = serde_json::from_str(text).unwrap();
        assert_eq!(script.check().unwrap_err().member, member);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_read_in_a_task_of_its_own() {
    let mut stream = scripted().open(&request(person(), fast())).await.unwrap();
    let first = tokio::spawn(async move { stream.next().await.map(|chunk| chunk.map(Chunk::into_owned)) });
    let first = first.await.unwrap();
    assert_eq!(first, Some(Ok(Chunk::Text("{\"na".into()))));
}

#[tokio::test]
async fn a_large_value_is_written_off_the_reactor() {
    let schema = json!({"type": "array", "items": {"type": "string"}});
    let script = Script {
        items: 20_000,
        ..fast()
    };
    let request = request(schema, script);
    let provider = scripted();
    let mut open = std::pin::pin!(provider.open(&request));
    let first =
        std::future::poll_fn(|context| std::task::Poll::Ready(open.as_mut().poll(context).is_pending()));
    assert!(first.await, "nobody on this thread waits while it is written");
    assert!(open.await.is_ok());
}

#[tokio::test]
async fn counts_of_nothing_come_to_an_end() {
    let pattern = "^(((((()?){9}){900}){900}){900}){900}$";
    let schema = json!({"type": "string", "pattern": pattern});
    assert!(
        Schema::compile(&schema, &SchemaLimits::default()).is_ok(),
        "a client may ask for it"
    );
    let told = told(&request(schema, fast())).await;
    assert_eq!(told.finish, Some(Finish::Stop));
}
