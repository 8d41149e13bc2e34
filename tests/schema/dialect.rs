//! What a provider is asked for, and how a faulty answer is put back.

use std::fs;
use std::path::Path;

use livedraft::schema::Violation;
use livedraft::schema::dialect::{Ask, Dialect, ask, fitting, reask, reask_no_json};

use super::*;

const DIALECTS: [(Dialect, &str); 4] = [
    (Dialect::Tools, "tools"),
    (Dialect::JsonSchema, "json_schema"),
    (Dialect::Json, "json"),
    (Dialect::MdJson, "md_json"),
];

fn person() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Person: name & friends",
        "description": "Who the text is about.",
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": { "type": "string", "pattern": "^[A-Z]", "x-stream": "text" },
            "x-stream": { "type": "integer" },
            "friends": { "type": "array", "items": { "$ref": "#" } },
        },
    })
}

fn as_json(ask: &Ask) -> Json {
    json!({
        "tools": ask.tools,
        "tool_choice": ask.tool_choice,
        "response_format": ask.response_format,
        "system": ask.system,
    })
}

#[test]
fn asks_are_as_recorded() {
    let schema = compile(&person());
    let asked: serde_json::Map<_, _> = DIALECTS
        .iter()
        .map(|(dialect, name)| ((*name).to_owned(), as_json(&ask(&schema, *dialect))))
        .collect();
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema/asks.json");
    let recorded = fs::read_to_string(home).expect("the golden file");
    let recorded: Json = serde_json::from_str(&recorded).expect("JSON");
    let asked = Json::Object(asked);
    assert_eq!(
        asked,
        recorded,
        "now:\n{}",
        serde_json::to_string_pretty(&asked).expect("JSON")
    );
}

#[test]
fn every_root_gets_a_dialect_that_can_carry_it() {
    let object = json!({ "type": "object", "properties": { "a": {} } });
    let table = [
        (
            object.clone(),
            [
                Dialect::Tools,
                Dialect::JsonSchema,
                Dialect::Json,
                Dialect::MdJson,
            ],
        ),
        (
            json!({ "$ref": "#/$defs/a", "title": "A", "$defs": { "a": object.clone() } }),
            [
                Dialect::Tools,
                Dialect::JsonSchema,
                Dialect::Json,
                Dialect::MdJson,
            ],
        ),
        (
            json!({ "anyOf": [object.clone(), { "type": "object" }] }),
            [Dialect::Json, Dialect::Json, Dialect::Json, Dialect::MdJson],
        ),
        (
            json!({ "$ref": "#/$defs/a", "required": ["b"], "$defs": { "a": object.clone() } }),
            [Dialect::Json, Dialect::Json, Dialect::Json, Dialect::MdJson],
        ),
        (
            json!({ "type": "array", "items": object.clone() }),
            [Dialect::MdJson; 4],
        ),
        (
            json!({ "anyOf": [object, { "type": "null" }] }),
            [Dialect::MdJson; 4],
        ),
        (json!(true), [Dialect::MdJson; 4]),
    ];
    for (schema, expected) in table {
        let compiled = compile(&schema);
        for ((dialect, name), expected) in DIALECTS.iter().zip(expected) {
            assert_eq!(fitting(&compiled, *dialect), expected, "{schema} {name}");
            assert_eq!(
                ask(&compiled, *dialect),
                ask(&compiled, expected),
                "{schema} {name}"
            );
        }
    }
}

#[test]
fn a_root_that_is_a_reference_is_sent_as_what_it_names() {
    let schema = compile(&json!({
        "$ref": "#/$defs/node", "title": "Tree",
        "$defs": { "node": { "title": "Node", "type": "object", "properties": { "kids": { "items": { "$ref": "#/$defs/node" } } } } },
    }));
    let tool = ask(&schema, Dialect::Tools).tools.remove(0);
    let parameters = &tool["function"]["parameters"];
    assert_eq!(parameters["type"], "object");
    assert_eq!(parameters["title"], "Tree");
    assert_eq!(parameters["properties"]["kids"]["items"]["$ref"], "#/$defs/node");
    assert!(parameters.get("$ref").is_none());
    assert!(Schema::compile(parameters, &SchemaLimits::default()).is_ok());
}

#[test]
fn function_names_fit_what_providers_take() {
    let name = |title: &str| {
        let schema = compile(&json!({ "title": title, "type": "object" }));
        let tool = ask(&schema, Dialect::Tools).tools.remove(0);
        tool["function"]["name"].as_str().expect("a name").to_owned()
    };
    assert_eq!(name("Person"), "Person");
    assert_eq!(name("List[Person | None]"), "List_Person_None");
    assert_eq!(name("Größe-2"), "Gr_e-2");
    assert_eq!(name("人"), "extract");
    assert_eq!(name(""), "extract");
    assert_eq!(name(&"n".repeat(100)).len(), 64);
}

fn violation(path: &str, message: &str, value: Option<&str>) -> Violation {
    Violation {
        path: path.to_owned(),
        keyword: "type".to_owned(),
        message: message.to_owned(),
        value: value.map(str::to_owned),
    }
}

#[test]
fn a_re_ask_is_pointer_message_and_value() {
    let violations = [
        violation("", "the member \"a\" is missing", None),
        violation("/b/0", "must be an integer", Some("\"x\"")),
    ];
    assert_eq!(
        reask(Dialect::Tools, "{}", &violations),
        "The answer does not fit the schema:\n\
         - the whole value: the member \"a\" is missing\n\
         - /b/0: must be an integer (it is \"x\")\n\
         Call the function again with the whole corrected arguments."
    );
    assert_eq!(
        reask(Dialect::Json, " \n", &violations),
        "The answer was empty. Answer again with the whole corrected JSON and nothing else."
    );
    assert!(reask(Dialect::MdJson, "{}", &violations).ends_with("in one block fenced by ```json."));
}

#[test]
fn a_re_ask_is_bounded_and_says_what_it_leaves_out() {
    let long = "y\n".repeat(2000);
    let many: Vec<Violation> = (0..32).map(|_| violation("/x", &long, Some(&long))).collect();
    let text = reask(Dialect::JsonSchema, "{}", &many);
    assert!(text.len() < 8 * 1024 + 200, "{}", text.len());
    assert!(text.contains("- and 25 more\n"), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("- /x: ")).count(), 7);
}

#[test]
fn an_answer_that_is_no_json_is_shown_where_it_failed() {
    assert_eq!(
        reask_no_json(Dialect::Json, r#"{"a": nul}"#, 9, "`l`"),
        "The answer is no valid JSON: at byte 9, expected `l`. It reads \"{\\\"a\\\": nul\" and then \"}\". \
         Answer again with the whole corrected JSON and nothing else."
    );
    // Cuts fall between characters, wherever the offset points, and beyond the end too.
    let wide = "ü".repeat(500);
    for offset in [0, 1, 499, 500, 501, 5000] {
        let text = reask_no_json(Dialect::Tools, &wide, offset, "a value");
        assert!(text.len() < 500, "{text}");
    }
}
