//! What a provider is asked for, and how a faulty answer is put back.

use std::fs;
use std::path::Path;

use livedraft::schema::dialect::{Ask, Dialect, Taken, no_json, plan, reask, reask_no_json};
use livedraft::schema::{Violation, Wrap};

use super::*;

/// Of a provider that takes any schema in every mode.
fn ask(schema: &Schema, dialect: Dialect) -> Ask {
    plan(schema, dialect, |_| Taken::Whole).ask
}

fn fitting(schema: &Schema, dialect: Dialect) -> Dialect {
    plan(schema, dialect, |_| Taken::Whole).dialect
}

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
    assert_eq!(name("3D-Modell"), "_3D-Modell");
    assert_eq!(name("-x-"), "_-x-");
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
        missing: None,
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
        reask_no_json(Dialect::Json, &no_json(r#"{"a": nul}"#, 9, "`l`")),
        "The answer is no valid JSON: at byte 9, expected `l`. It reads \"{\\\"a\\\": nul\" and then \"}\". \
         Answer again with the whole corrected JSON and nothing else."
    );
    // Cuts fall between characters, wherever the offset points, and beyond the end too.
    let wide = "ü".repeat(500);
    for offset in [0, 1, 499, 500, 501, 5000] {
        let text = reask_no_json(Dialect::Tools, &no_json(&wide, offset, "a value"));
        assert!(text.len() < 500, "{text}");
    }
}

/// A schema that refers to its own root and to a definition.
fn tree() -> Json {
    json!({
        "title": "Tree", "description": "A tree.", "type": "object",
        "properties": { "name": { "$ref": "#/$defs/name" }, "kids": { "type": "array", "items": { "$ref": "#" } } },
        "required": ["name"],
        "$defs": { "name": { "type": "string", "minLength": 1 } },
    })
}

fn wrapped(schema: &Json, wrap: Wrap) -> Schema {
    Schema::compile_wrapped(schema, Some(wrap), &SchemaLimits::default()).expect("a schema")
}

#[test]
fn a_wrapped_schema_judges_what_stands_in_it() {
    let value = |json: Json| partial::parse(&json.to_string()).expect("JSON");
    let paths = |schema: &Schema, json: Json| {
        let violations = schema.validate(&value(json));
        violations
            .into_iter()
            .map(|violation| violation.path)
            .collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    let list = wrapped(&tree(), Wrap::Iterable);
    assert_eq!(paths(&list, json!({"tasks": []})), none);
    assert_eq!(
        paths(&list, json!({"tasks": [{"name": "a", "kids": [{"name": ""}]}]})),
        ["/tasks/0/kids/0/name"]
    );
    assert_eq!(paths(&list, json!([])), [""]);
    let maybe = wrapped(&tree(), Wrap::Maybe);
    for fine in [
        json!({"result": {"name": "a"}, "error": false, "message": null}),
        json!({"result": null, "error": true, "message": "nothing"}),
        json!({"error": true}),
    ] {
        assert_eq!(paths(&maybe, fine), none);
    }
    for wrong in [
        json!({}),
        json!({"result": {"name": 1}}),
        json!({"error": "no"}),
        json!({"message": 1}),
    ] {
        assert_ne!(paths(&maybe, wrong), none);
    }
}

#[test]
fn a_wrapped_schema_steers_the_draft_and_the_null_look() {
    let shape = wrapped(&tree(), Wrap::Iterable).shape();
    let shown = partial::parse(r#"{"tasks":[{"kids":[{}]}]}"#).expect("JSON");
    let filled = shape.fill_root(Some(&shown)).expect("an object").to_json();
    assert_eq!(
        filled,
        r#"{"tasks":[{"name":null,"kids":[{"name":null,"kids":null}]}]}"#
    );
    assert_eq!(
        shape.fill_root(None).expect("an object").to_json(),
        r#"{"tasks":null}"#
    );
}

#[test]
fn a_list_of_objects_is_asked_for_in_parallel_calls_where_tools_are_asked_for() {
    let list = wrapped(&tree(), Wrap::Iterable);
    assert_eq!(fitting(&list, Dialect::Tools), Dialect::ParallelTools);
    for dialect in [Dialect::JsonSchema, Dialect::Json, Dialect::MdJson] {
        assert_eq!(fitting(&list, dialect), dialect);
    }
    let asked = ask(&list, Dialect::Tools);
    let names: Vec<&Json> = asked.tools.iter().map(|tool| &tool["function"]["name"]).collect();
    assert_eq!(names, ["Tree", "no_items"]);
    assert_eq!(
        asked.tools[0]["function"]["parameters"],
        tree(),
        "an item's schema is the one that was given"
    );
    assert_eq!(asked.tool_choice, Some(json!("required")));
    assert!(
        asked
            .system
            .is_some_and(|text| text.contains("`Tree`") && text.contains("`no_items`"))
    );
    assert!(reask(Dialect::ParallelTools, "{}", &[]).ends_with("all calls in one answer."));

    let whole = ask(&list, Dialect::JsonSchema).response_format.expect("a format");
    assert_eq!(whole.pointer("/json_schema/name"), Some(&json!("IterableTree")));

    let words = wrapped(&json!({"type": "string"}), Wrap::Iterable);
    assert_eq!(fitting(&words, Dialect::Tools), Dialect::Tools);
    assert_eq!(
        ask(&words, Dialect::Tools).tools[0]["function"]["name"],
        "Iterable"
    );
    let either = wrapped(
        &json!({"anyOf": [{"type": "object"}, {"type": "object"}]}),
        Wrap::Iterable,
    );
    assert_eq!(fitting(&either, Dialect::Tools), Dialect::Tools);
    let maybe = wrapped(&tree(), Wrap::Maybe);
    assert_eq!(fitting(&maybe, Dialect::ParallelTools), Dialect::Tools);
    assert_eq!(
        ask(&maybe, Dialect::Tools).tools[0]["function"]["name"],
        "MaybeTree"
    );
    let plain = compile(&tree());
    assert_eq!(fitting(&plain, Dialect::ParallelTools), Dialect::Tools);
}

#[test]
fn draft_7_is_wrapped_under_its_own_keyword() {
    let schema = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
        "properties": { "next": { "$ref": "#" } }, "additionalProperties": false,
    });
    let list = wrapped(&schema, Wrap::Iterable);
    assert_eq!(
        list.source().pointer("/definitions/Item/properties/next/$ref"),
        Some(&json!("#/definitions/Item"))
    );
    let value = partial::parse(r#"{"tasks":[{"next":{"more":1}}]}"#).expect("JSON");
    assert_eq!(list.validate(&value).len(), 1);
}
