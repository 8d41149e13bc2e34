//! Validation on close: what is told while an answer streams, where, when, and that the end confirms it.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::Arc;

use livedraft::partial::{Draft, DraftOptions, End, Lenient, Mode};
use livedraft::schema::{Closing, Violation, Wrap};
use proptest::prelude::*;

use super::*;

/// Feeds a text in pieces; gives what was found behind each.
fn stream(schema: &Schema, pieces: &[&str]) -> Vec<Vec<String>> {
    let (mut draft, closing) = begin(schema, Lenient::Off);
    pieces
        .iter()
        .map(|piece| {
            draft.feed(piece.as_bytes());
            closing.take_news().iter().map(said).collect()
        })
        .collect()
}

fn begin(schema: &Schema, lenient: Lenient) -> (Draft, Arc<Closing>) {
    let closing = schema.closing();
    let draft = Draft::new(DraftOptions {
        lenient,
        root: schema.root_kinds(),
        guide: Some(closing.clone()),
        ..DraftOptions::default()
    });
    (draft, closing)
}

fn said(violation: &Violation) -> String {
    format!("{} {}", violation.path, violation.keyword)
}

#[test]
fn a_scalar_is_checked_where_it_closes() {
    let schema = compile(&json!({ "type": "object", "properties": {
        "name": { "type": "string", "maxLength": 3 },
        "rows": { "type": "array", "maxItems": 1, "items": {
            "type": "object", "required": ["id"], "additionalProperties": false,
            "properties": { "id": { "type": "integer", "minimum": 1 }, "on": { "enum": [true] } },
        } },
    } }));
    let told = stream(
        &schema,
        &[
            r#"{"name":"lo"#,
            r#"ng"#,
            r#"","rows":[{"id":0"#,
            r#","on":false,"x":1"#,
            r#"},{"#,
            r#"}"#,
            r#"]"#,
            r#"}"#,
        ],
    );
    let expected: [&[&str]; 8] = [
        &[],
        &[],
        &["/name maxLength"],
        &["/rows/0/id minimum", "/rows/0/on enum"],
        &["/rows/0 additionalProperties"],
        &["/rows/1 required"],
        &["/rows maxItems"],
        &[],
    ];
    // A number is whole behind the byte after it.
    assert_eq!(told, expected);
}

#[test]
fn violations_have_the_form_of_a_reask() {
    let schema = compile(&json!({ "properties": { "a/b": { "items": { "maximum": 5 } } } }));
    let (mut draft, closing) = begin(&schema, Lenient::Off);
    draft.feed(br#"{"a/b":[1,12345678901234567890.10]}"#);
    let expected = Violation {
        path: "/a~1b/1".to_owned(),
        keyword: "maximum".to_owned(),
        message: "must be at most 5".to_owned(),
        value: Some("12345678901234567890.10".to_owned()),
        missing: None,
    };
    assert_eq!(closing.violations(), [expected]);
}

#[test]
fn it_works_through_references_recursion_and_every_applicator() {
    let schema = compile(&json!({
        "$ref": "#/$defs/node",
        "$defs": {
            "node": {
                "type": "object",
                "properties": { "kids": { "type": "array", "items": { "$ref": "#/$defs/node" } } },
                "allOf": [{ "properties": { "v": { "$ref": "#/$defs/positive" } } }],
                "patternProperties": { "^n_": { "type": "number" }, "_s$": { "minLength": 2 } },
                "additionalProperties": { "type": "boolean" },
            },
            "positive": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/number" }] },
            "number": { "type": "integer", "exclusiveMinimum": 0 },
        },
    }));
    let text = r#"{"kids":[{"v":-1,"n_a":"x","n_s":"y","else":0,"v":null}]}"#;
    let told = stream(&schema, &[text]).concat();
    // `v` and `kids` are none of the root's own properties: there, other rules speak, too.
    for expected in [
        "/kids/0/n_a type",
        "/kids/0/n_s type",
        "/kids/0/n_s minLength",
        "/kids/0/else type",
    ] {
        assert!(told.iter().any(|one| one == expected), "{expected} in {told:?}");
    }

    let tuple = compile(&json!({
        "type": "array", "prefixItems": [{ "const": 1 }, { "type": "string" }], "items": { "type": "null" },
    }));
    assert_eq!(
        stream(&tuple, &["[2,", "3,", "null,4]"]),
        [vec!["/0 const"], vec!["/1 type"], vec!["/3 type"]]
    );

    let nullable = compile(
        &json!({ "properties": { "v": { "$ref": "#/$defs/p" } }, "$defs": {
        "p": { "anyOf": [{ "type": "null" }, { "$ref": "#/$defs/n~0%20%25%C3%A9" }] }, "n~ %é": { "type": "integer" },
    } }),
    );
    assert_eq!(stream(&nullable, &[r#"{"v":"x""#]), [["/v anyOf"]]);
}

#[test]
fn unions_wait_for_the_child_of_the_root_around_them() {
    let union = json!({ "oneOf": [
        { "properties": { "t": { "const": "a" }, "x": { "type": "integer" } }, "required": ["t", "x"] },
        { "properties": { "t": { "const": "b" }, "y": { "type": "integer" } }, "required": ["t", "y"] },
    ] });
    let schema =
        compile(&json!({ "type": "array", "items": { "properties": { "u": union }, "type": "object" } }));
    let told = stream(
        &schema,
        &[r#"[{"u":{"t":"a","x":"no"}"#, "}", r#",{"u":{"t":"b","y":1}}]"#],
    );
    assert_eq!(told, [vec![], vec!["/0/u oneOf"], vec![]]);
    let (mut draft, closing) = begin(&schema, Lenient::Off);
    let text = r#"[{"u":{"t":"a","x":"no"}}]"#;
    draft.feed(text.as_bytes());
    assert_eq!(
        closing.violations(),
        schema.validate(&value(text)),
        "word for word"
    );
}

#[test]
fn what_is_dropped_takes_its_violations_along() {
    let schema = compile(&json!({ "properties": {
        "a": { "type": "integer" }, "ab": { "type": "integer" }, "s": { "maxLength": 3 },
    } }));
    let (mut draft, closing) = begin(&schema, Lenient::Off);
    draft.feed(br#"{"a":"x","ab":"y","a":"#);
    let left: Vec<String> = closing.violations().iter().map(said).collect();
    assert_eq!(left, ["/ab type"], "an older member of the same name");
    draft.feed(br#""z""#);
    assert_eq!(closing.violations().len(), 2);

    let (mut draft, closing) = begin(&schema, Lenient::Auto);
    draft.feed(br#"{"s":"long""#);
    assert_eq!(closing.violations().len(), 1);
    draft.feed(br#"er","a":1}"#);
    let value = draft.value().expect("a value");
    assert_eq!(
        closing.violations(),
        schema.validate(&value),
        "a string that went on"
    );
}

#[test]
fn no_more_are_told_than_one_judgement_tells() {
    let limits = SchemaLimits {
        violations_max: 5,
        ..SchemaLimits::default()
    };
    let schema = json!({ "items": { "type": "integer" } });
    let schema = Schema::compile(&schema, &limits).expect("a schema");
    let (mut draft, closing) = begin(&schema, Lenient::Off);
    draft.feed(format!("[{}1]", "\"x\",".repeat(1000)).as_bytes());
    assert_eq!(closing.violations().len(), 5);
    assert_eq!(draft.finish().end, End::Complete);
}

/// Subschemas for scalars and containers; `waiting`: with keywords that wait.
fn schemas(waiting: bool) -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({ "type": "integer", "minimum": 1 })),
        Just(json!({ "type": ["string", "null"], "maxLength": 1 })),
        Just(json!({ "type": "number", "multipleOf": 0.5 })),
        Just(json!({ "enum": ["a", 1, null] })),
        Just(json!({ "$ref": "#/$defs/r" })),
        Just(json!({ "const": 1 })),
        Just(json!({ "pattern": "^a" })),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let plain =
            prop_oneof![
            inner.clone().prop_map(|items| json!({ "type": "array", "items": items, "maxItems": 2 })),
            (inner.clone(), inner.clone())
                .prop_map(|(first, rest)| json!({ "prefixItems": [first], "items": rest, "minItems": 1 })),
            (inner.clone(), inner.clone()).prop_map(|(a, rest)| json!({
                "type": "object", "properties": { "a": a }, "additionalProperties": rest, "required": ["a"],
            })),
            inner.clone().prop_map(|a| json!({ "properties": { "a": a }, "additionalProperties": false })),
            (inner.clone(), inner.clone())
                .prop_map(|(a, x)| json!({ "properties": { "a": a }, "patternProperties": { "^b": x } })),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| json!({ "allOf": [one, two] })),
        ];
        if !waiting {
            return plain.boxed();
        }
        prop_oneof![
            plain,
            (inner.clone(), inner.clone()).prop_map(|(one, two)| json!({ "anyOf": [one, two] })),
            (inner.clone(), inner.clone()).prop_map(|(one, two)| json!({ "oneOf": [one, two] })),
            inner.clone().prop_map(|not| json!({ "not": not })),
            (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(if_, then, else_)| json!({ "if": if_, "then": then, "else": else_ })),
            (inner.clone(), inner.clone()).prop_map(|(a, rest)| json!({
                "allOf": [{ "properties": { "a": a } }], "unevaluatedProperties": rest,
            })),
            (inner.clone(), inner.clone()).prop_map(
                |(first, rest)| json!({ "allOf": [{ "prefixItems": [first] }], "unevaluatedItems": rest })
            ),
            inner
                .clone()
                .prop_map(|item| json!({ "contains": item, "uniqueItems": true })),
            inner
                .clone()
                .prop_map(|first| json!({ "prefixItems": [first], "items": false })),
            inner
                .clone()
                .prop_map(|a| json!({ "properties": { "a": false, "b": a } })),
            Just(json!({ "enum": [["a"], { "a": 1 }] })),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(one, two, three)| json!({
                "patternProperties": { "^a": one, "a$": two, "b": three },
            })),
            inner.prop_map(|names| json!({ "propertyNames": names })),
        ]
        .boxed()
    })
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just("null"),
        Just("true"),
        Just("0"),
        Just("1"),
        Just("1.0"),
        Just("0.25"),
        Just("\"\""),
        Just("\"a\""),
        Just("\"ba\""),
    ];
    let text = leaf.prop_map(str::to_owned).prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::btree_map("[abx]{1,2}", inner, 0..4).prop_map(|members| {
                let mut text = String::from("{");
                for (name, member) in &members {
                    let comma = if text.len() > 1 { "," } else { "" };
                    write!(text, "{comma}\"{name}\":{member}").expect("a String takes everything");
                }
                text + "}"
            }),
        ]
    });
    text.prop_map(|text| value(&text))
}

/// Draft 7 has no `prefixItems`: there the same tuple is written with `items`.
fn compiled(root: &Json, of_references: &Json) -> Option<Schema> {
    let mut schema = json!({ "allOf": [root], "$defs": { "r": of_references } });
    if let Some(root) = root.as_object() {
        schema.as_object_mut().expect("an object").extend(root.clone());
    }
    let limits = SchemaLimits {
        violations_max: 10_000,
        ..SchemaLimits::default()
    };
    Schema::compile(&schema, &limits).ok()
}

type Told = BTreeSet<(String, String, String, Option<String>)>;

fn told(violations: Vec<Violation>) -> Told {
    let parts = |one: Violation| (one.path, one.keyword, one.message, one.value);
    violations.into_iter().map(parts).collect()
}

fn on_close(schema: &Schema, text: &str) -> Told {
    let (mut draft, closing) = begin(schema, Lenient::Off);
    draft.feed(text.as_bytes());
    assert_eq!(draft.finish().end, End::Complete, "{text}");
    told(closing.violations())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_is_told_on_close_is_found_at_the_end(
        root in schemas(true), of_references in schemas(true), value in values(),
    ) {
        let Some(schema) = compiled(&root, &of_references) else { return Ok(()) };
        let early = on_close(&schema, &value.to_json());
        let late = told(schema.validate(&value));
        let only_early: Vec<_> = early.difference(&late).collect();
        prop_assert!(only_early.is_empty(), "{root} $defs {of_references} {value}: {only_early:?} beside {late:?}");
    }

    #[test]
    fn without_waiting_keywords_all_but_the_root_is_told_on_close(
        root in schemas(false), of_references in schemas(false), value in values(),
    ) {
        let Some(schema) = compiled(&root, &of_references) else { return Ok(()) };
        let early = on_close(&schema, &value.to_json());
        let late: Told = told(schema.validate(&value)).into_iter().filter(|one| !one.0.is_empty()).collect();
        prop_assert_eq!(early, late, "{} $defs {} {}", root, of_references, value);
    }
}

#[test]
fn items_of_several_calls_are_checked_where_they_stand() {
    let item = json!({ "type": "object", "properties": { "id": { "type": "integer", "minimum": 1 } } });
    let schema = Schema::compile_wrapped(&item, Some(Wrap::Iterable), &SchemaLimits::default());
    let schema = schema.expect("a schema");
    let closing = schema.closing();
    let mut draft = Draft::new(DraftOptions {
        mode: Mode::ParallelTools,
        guide: Some(closing.clone()),
        ..DraftOptions::default()
    });
    draft.feed_call(0, Some("a"), None, br#"{"id":1}"#);
    draft.feed_call(1, Some("b"), None, br#"{"id":0,"#);
    let told: Vec<String> = closing.take_news().iter().map(said).collect();
    assert_eq!(told, ["/tasks/1/id minimum"]);
    draft.feed_call(1, None, None, br#""id":2}"#);
    assert!(closing.violations().is_empty(), "the member was replaced");
}
