//! The tables of bad input: what comes, what is answered, and whether the socket lives on.
//!
//! `messages` holds a row for what may come over an open socket, `requests` one for what may come over HTTP, upgrades
//! included. What needs more than bytes to show stands elsewhere: a reader that does not read (1013, `server_socket`),
//! one that answers no ping (1001, `server_guard`), keys and another tenant's jobs (`keys`), addresses and paces
//! (`server_limits`), an engine that fails (`delivery`), a drain (1012, `server_socket`).
#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]
#![allow(clippy::print_stdout, reason = "the tables tell how much they hold")]

mod messages;
mod requests;

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt as _;
use serde_json::{Value as Json, json};

/// What an error must say: its code, the place, and words of its message: the limit, the way out.
struct Fault {
    code: &'static str,
    path: Option<&'static str>,
    says: Vec<&'static str>,
}

impl Fault {
    fn check(&self, what: &str, told: &Json) {
        assert_eq!(told["code"], self.code, "{what}: {told}");
        let path = told.get("path").and_then(Json::as_str);
        assert_eq!(path, self.path, "{what}: {told}");
        let message = told["message"].as_str().unwrap();
        for word in &self.says {
            assert!(message.contains(word), "{what}: {word:?} is not in {message:?}");
        }
        assert!(message.len() < 1_000, "{what}: a refusal is short");
        // How long other requests wait for their answers nobody knows.
        let code = livedraft::wire::Code::named(self.code).unwrap();
        let dated = code.again() && code != livedraft::wire::Code::TooManyPending;
        assert_eq!(
            told.get("retry_after_ms").is_some(),
            dated,
            "{what}: when to come again: {told}"
        );
    }
}

/// 1 where a row does not hold; the others are tried all the same.
async fn broken_row(row: impl Future<Output = ()>) -> usize {
    let held = AssertUnwindSafe(row).catch_unwind().await;
    usize::from(held.is_err())
}

/// A request of this schema.
fn of_schema(schema: &Json) -> Json {
    json!({"model": "scripted", "input": "x", "schema": schema})
}

/// A good request with members put in or, where they are `null`, taken out.
fn changed(changes: &Json) -> Json {
    let mut request = of_schema(&json!({"type": "object"}));
    let members = request.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Json::Null => members.shift_remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    request
}

fn nested(depth: usize) -> Json {
    (1..depth).fold(json!({}), |inner, _| json!({ "not": inner }))
}

/// Unions of one and the same, `levels` deep: the ways double with each.
fn diamond(levels: usize) -> Json {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/L{}", level + 1) });
        defs.insert(format!("L{level}"), json!({ "anyOf": [next.clone(), next] }));
    }
    defs.insert(format!("L{levels}"), json!({ "type": "integer" }));
    json!({ "$defs": defs, "$ref": "#/$defs/L0" })
}

fn members(count: usize, with: impl Fn(usize) -> Json) -> Json {
    let members: serde_json::Map<_, _> = (0..count)
        .map(|index| (format!("m{index}"), with(index)))
        .collect();
    json!({ "type": "object", "properties": members })
}

/// A request that cannot be taken, and its fault; paths point into the request.
type BadRequest = (&'static str, Json, Fault);

fn fault(code: &'static str, path: &'static str, says: &[&'static str]) -> Fault {
    Fault {
        code,
        path: Some(path),
        says: says.to_vec(),
    }
}

/// Every bad request, with what is wrong with its fields or with its schema.
fn bad_requests() -> impl Iterator<Item = BadRequest> {
    let tables = [
        bad_members(),
        bad_prompts(),
        bad_numbers(),
        bad_schemas_by_size(),
        bad_references(),
        bad_patterns(),
    ];
    tables.into_iter().flatten()
}

fn bad_members() -> Vec<BadRequest> {
    let bad = |path, says: &[&'static str]| fault("bad_request", path, says);
    vec![
        (
            "an unknown field",
            changed(&json!({"scheema": "x"})),
            bad("/scheema", &["did you mean \"schema\"", "lenient"]),
        ),
        (
            "an unknown field deeper",
            changed(&json!({"sampling": {"temprature": 1}})),
            bad("/sampling/temprature", &["did you mean \"temperature\""]),
        ),
        (
            "a field of a wrong type",
            changed(&json!({"max_reasks": "two"})),
            bad("/max_reasks", &["u32"]),
        ),
        (
            "a word that is none",
            changed(&json!({"mode": "tool"})),
            bad("/mode", &["did you mean \"tools\"", "md_json"]),
        ),
        (
            "a list for an object",
            changed(&json!({"limits": [1]})),
            bad("/limits", &["an object"]),
        ),
        ("no model", changed(&json!({"model": null})), bad("", &["model"])),
        (
            "no schema",
            changed(&json!({"schema": null})),
            bad("", &["schema"]),
        ),
    ]
}

fn bad_prompts() -> Vec<BadRequest> {
    let bad = |path, says: &[&'static str]| fault("bad_request", path, says);
    vec![
        (
            "no messages",
            changed(&json!({"input": null})),
            bad("/messages", &["give `messages` or `input`"]),
        ),
        (
            "empty messages",
            changed(&json!({"input": null, "messages": []})),
            bad("/messages", &["give `messages` or `input`"]),
        ),
        (
            "messages and input",
            changed(&json!({"messages": [{"role": "user", "content": "x"}]})),
            bad("/input", &["not both"]),
        ),
        (
            "a role that is none",
            changed(&json!({"input": null, "messages": [{"role": "usr", "content": "x"}]})),
            bad("/messages/0/role", &["did you mean \"user\""]),
        ),
        (
            "content that is no text",
            changed(&json!({"input": null, "messages": [{"role": "user", "content": 5}]})),
            bad("/messages/0/content", &["a string or an array"]),
        ),
        (
            "too many messages",
            changed(&json!({"input": null, "messages": vec![json!({"role": "user", "content": "x"}); 257]})),
            bad("/messages", &["257", "256"]),
        ),
        (
            "a prompt that is too long",
            changed(&json!({"input": "x".repeat(524_289)})),
            bad("/messages", &["524289", "524288", "shorten"]),
        ),
    ]
}

fn bad_numbers() -> Vec<BadRequest> {
    let bad = |path, says: &[&'static str]| fault("bad_request", path, says);
    vec![
        (
            "too many tokens",
            changed(&json!({"limits": {"tokens": 128_001}})),
            bad("/limits/tokens", &["1 to 128000"]),
        ),
        (
            "no tokens",
            changed(&json!({"limits": {"tokens": 0}})),
            bad("/limits/tokens", &["1 to 128000"]),
        ),
        (
            "too many bytes",
            changed(&json!({"limits": {"bytes": 8_388_609}})),
            bad("/limits/bytes", &["1 to 8388608"]),
        ),
        (
            "too long a time",
            changed(&json!({"limits": {"seconds": 3_601}})),
            bad("/limits/seconds", &["1 to 3600"]),
        ),
        (
            "too many re-asks",
            changed(&json!({"max_reasks": 11})),
            bad("/max_reasks", &["0 to 10"]),
        ),
        (
            "a negative count",
            changed(&json!({"max_reasks": -1})),
            bad("/max_reasks", &["-1"]),
        ),
        (
            "too long a window",
            changed(&json!({"flush_ms": 10_001})),
            bad("/flush_ms", &["0 to 10000"]),
        ),
        (
            "too hot",
            changed(&json!({"sampling": {"temperature": 2.5}})),
            bad("/sampling/temperature", &["0 to 2"]),
        ),
        (
            "too many stops",
            changed(&json!({"sampling": {"stop": ["a", "b", "c", "d", "e"]}})),
            bad("/sampling/stop", &["at most 4"]),
        ),
        (
            "metadata that is no text",
            changed(&json!({"metadata": {"a": 1}})),
            bad("/metadata/a", &["string"]),
        ),
        (
            "metadata that is too long",
            changed(&json!({"metadata": {"a": "x".repeat(1_025)}})),
            bad("/metadata", &["1024"]),
        ),
        (
            "a model that is not offered",
            changed(&json!({"model": "skripted"})),
            fault("unknown_model", "/model", &["did you mean \"scripted\""]),
        ),
        (
            "stage directions beyond their range",
            changed(&json!({"script": {"items": 100_001}})),
            bad("/script/items", &["100000"]),
        ),
    ]
}

fn bad_schemas_by_size() -> Vec<BadRequest> {
    let row = |what, schema: Json, code, path, says: &[&'static str]| {
        (what, of_schema(&schema), fault(code, path, says))
    };
    vec![
        row(
            "a schema that is none",
            json!(5),
            "schema_invalid",
            "/schema",
            &["an object or a boolean"],
        ),
        row(
            "a schema that is too long",
            json!({"description": "x".repeat(262_144)}),
            "schema_too_large",
            "/schema",
            &["262144 bytes", "$defs"],
        ),
        row(
            "a schema that is too deep",
            nested(65),
            "schema_too_large",
            "/schema",
            &["64", "$defs"],
        ),
        row(
            "too many subschemas",
            members(5_000, |_| json!({})),
            "schema_too_large",
            "/schema/properties/m4999",
            &["5000", "split"],
        ),
        row(
            "a type that is none",
            json!({"properties": {"a": {"type": "strin"}}}),
            "schema_invalid",
            "/schema/properties/a/type",
            &["strin"],
        ),
        row(
            "a dialect that is not known",
            json!({"$schema": "https://example.org/own"}),
            "schema_invalid",
            "/schema/$schema",
            &["2020-12 and draft 7"],
        ),
    ]
}

fn bad_references() -> Vec<BadRequest> {
    let row = |what, schema: Json, code, path, says: &[&'static str]| {
        (what, of_schema(&schema), fault(code, path, says))
    };
    vec![
        row(
            "a reference that leaves",
            json!({"items": {"$ref": "https://example.org/s.json"}}),
            "schema_remote_ref",
            "/schema/items/$ref",
            &["only #/", "$defs"],
        ),
        row(
            "a reference to a file",
            json!({"$ref": "file:///etc/passwd"}),
            "schema_remote_ref",
            "/schema/$ref",
            &["only #/"],
        ),
        row(
            "a reference to nothing",
            json!({"$ref": "#/$defs/none"}),
            "schema_invalid",
            "/schema/$ref",
            &["leads to nothing"],
        ),
        row(
            "a reference to itself",
            json!({"$ref": "#"}),
            "schema_invalid",
            "/schema",
            &["recursion must go through"],
        ),
        row(
            "references that multiply",
            diamond(20),
            "schema_too_complex",
            "/schema/$defs/L5",
            &["at most 100000", "fewer references"],
        ),
    ]
}

fn bad_patterns() -> Vec<BadRequest> {
    let row = |what, schema: Json, code, path, says: &[&'static str]| {
        (what, of_schema(&schema), fault(code, path, says))
    };
    vec![
        row(
            "look-around",
            json!({"pattern": "a(?=b)"}),
            "schema_pattern_unsupported",
            "/schema/pattern",
            &["look-around"],
        ),
        row(
            "a back-reference",
            json!({"items": {"pattern": r"(a)\1"}}),
            "schema_pattern_unsupported",
            "/schema/items/pattern",
            &["back-reference"],
        ),
        row(
            "a pattern that is too long",
            json!({"pattern": "a".repeat(1_025)}),
            "schema_pattern_too_large",
            "/schema/pattern",
            &["1025", "1024", "shorter"],
        ),
        row(
            "a pattern that compiles to too much",
            json!({"pattern": r"^(\w{1,200}){1,200}$"}),
            "schema_pattern_too_large",
            "/schema/pattern",
            &[],
        ),
        row(
            "too many patterns",
            members(51, |index| json!({"pattern": format!("^{index}")})),
            "schema_pattern_too_large",
            "/schema/properties/m50/pattern",
            &["50", "$defs"],
        ),
        row(
            "no value at all",
            json!(false),
            "schema_unsatisfiable",
            "/schema",
            &[],
        ),
        row(
            "a minimum above its maximum",
            json!({"type": "integer", "minimum": 5, "maximum": 1}),
            "schema_unsatisfiable",
            "/schema/minimum",
            &[],
        ),
        row(
            "a mark that means nothing",
            json!({"x-stream": "slowly"}),
            "schema_invalid",
            "/schema/x-stream",
            &["\"atomic\""],
        ),
    ]
}
