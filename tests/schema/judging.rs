//! Judgements: dialects, formats, numbers, hostile pairs of schema and value, and the words of violations.

use proptest::prelude::*;

use super::*;

fn paths(schema: &Schema, text: &str) -> Vec<(String, String)> {
    let violations = schema.validate(&value(text));
    violations
        .into_iter()
        .map(|found| (found.path, found.keyword))
        .collect()
}

#[test]
fn the_dialect_decides_what_keywords_mean() {
    let tuple = json!({ "items": [{ "type": "string" }], "additionalItems": { "type": "integer" } });
    let mut draft_7 = tuple.clone();
    draft_7["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    let seven = compile(&draft_7);
    assert!(is_valid(&seven, r#"["a",1,2]"#));
    assert!(!is_valid(&seven, r#"["a","b"]"#));
    assert_eq!(refusal(&tuple).path, "/items");

    let newer = compile(&json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "prefixItems": [{ "type": "string" }], "items": { "type": "integer" },
    }));
    assert!(is_valid(&newer, r#"["a",1,2]"#));
    assert!(!is_valid(&newer, r#"["a","b"]"#));

    // Beside `$ref` draft 7 sees nothing, 2020-12 sees all.
    let beside = json!({ "properties": { "a": { "$ref": "#/definitions/s", "maxLength": 1 } },
                         "definitions": { "s": { "type": "string" } } });
    let mut old = beside.clone();
    old["$schema"] = json!("http://json-schema.org/draft-07/schema");
    assert!(is_valid(&compile(&old), r#"{"a":"long"}"#));
    assert!(!is_valid(&compile(&beside), r#"{"a":"long"}"#));
}

#[test]
fn formats_are_asserted_in_both_dialects() {
    let table = [
        ("date", "2024-02-29", "2023-02-29"),
        ("date-time", "2024-01-01T00:00:00Z", "2024-01-01"),
        ("time", "12:00:00Z", "25:00:00Z"),
        ("duration", "P1D", "1 day"),
        ("email", "a@example.org", "a at b"),
        ("uuid", "0190a6c4-7a3e-7000-8000-000000000000", "0190a6c4"),
        ("uri", "https://example.org/x", "no scheme"),
        ("ipv4", "127.0.0.1", "127.0.0.256"),
        ("ipv6", "::1", ":::1"),
        ("hostname", "example.org", "-example-"),
        ("regex", "a+", "("),
        ("json-pointer", "/a", "a"),
    ];
    for dialect in [
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        for (format, good, bad) in table {
            let schema = compile(&json!({ "$schema": dialect, "format": format }));
            assert!(is_valid(&schema, &json!(good).to_string()), "{format} {good}");
            assert!(!is_valid(&schema, &json!(bad).to_string()), "{format} {bad}");
            assert!(schema.guide().is_atomic(NodeId(0)), "{format} is atomic");
        }
        let unknown = compile(&json!({ "$schema": dialect, "format": "colour" }));
        assert!(is_valid(&unknown, r#""anything""#));
        assert!(!unknown.guide().is_atomic(NodeId(0)));
    }
}

/// Schema, value, whether it is valid.
const NUMBERS: &[(&str, &str, bool)] = &[
    (r#"{"maximum":9007199254740993}"#, "9007199254740993", true),
    (r#"{"maximum":9007199254740992}"#, "9007199254740993", false),
    (r#"{"const":18446744073709551615}"#, "18446744073709551615", true),
    (r#"{"const":18446744073709551615}"#, "18446744073709551614", false),
    (r#"{"type":"integer"}"#, "123456789012345678901234567890", true),
    (r#"{"type":"integer"}"#, "1.0", true),
    (r#"{"type":"integer"}"#, "1.5", false),
    (r#"{"type":"integer"}"#, "1234.5e1", true),
    (r#"{"type":"integer"}"#, "1e400", true),
    (r#"{"type":"integer"}"#, "1e-400", false),
    (r#"{"type":"integer"}"#, "12345678901234567890.10", false),
    (r#"{"type":"integer"}"#, "12345678901234567890.0", true),
    (r#"{"type":"number"}"#, "1e999999", true),
    (r#"{"maximum":1e300}"#, "1e999999", false),
    (r#"{"minimum":-1e300}"#, "-1e999999", false),
    (r#"{"maximum":1.7976931348623157e308}"#, "1e400", false),
    (r#"{"minimum":1.7976931348623157e308}"#, "1e400", true),
    (r#"{"exclusiveMinimum":0}"#, "1e-400", true),
    (r#"{"minimum":0}"#, "-0", true),
    (r#"{"minimum":0}"#, "-1e-400", false),
    (
        r#"{"maximum":18446744073709551615}"#,
        "18446744073709551615.5",
        false,
    ),
    (
        r#"{"maximum":18446744073709551615}"#,
        "18446744073709551616",
        false,
    ),
    (
        r#"{"maximum":18446744073709551615}"#,
        "18446744073709551615.0",
        true,
    ),
    (r#"{"exclusiveMaximum":0.3}"#, "0.29999999999999999999", true),
    (r#"{"exclusiveMaximum":0.3}"#, "0.30", false),
    (r#"{"const":0}"#, "-0", true),
    (r#"{"const":1e300}"#, "1e300", true),
    (r#"{"const":1e300}"#, "10e299", true),
    (r#"{"const":1e300}"#, "1.0000000000000000001e300", false),
    (r#"{"const":0.1}"#, "0.1000000000000000000001", false),
    (r#"{"enum":[0.1,3]}"#, "0.10", true),
    (r#"{"enum":[0.1,3]}"#, "3.0", true),
    (r#"{"enum":[0.1,3]}"#, "3.00000000000000000001", false),
    (r#"{"const":9007199254740992}"#, "9007199254740992.4", false),
    (r#"{"const":9007199254740993}"#, "9007199254740993.0", true),
    (r#"{"const":9007199254740992.0}"#, "9007199254740993", false),
    (r#"{"multipleOf":0.01}"#, "19.99", true),
    (r#"{"multipleOf":0.01}"#, "12345678901234567890.10", true),
    (r#"{"multipleOf":0.01}"#, "12345678901234567890.101", false),
    (r#"{"multipleOf":7}"#, "1e400", false),
    (r#"{"multipleOf":8}"#, "1e400", true),
    (r#"{"multipleOf":1}"#, "0.0", true),
    (r#"{"uniqueItems":true}"#, "[1,1.0]", false),
    (
        r#"{"uniqueItems":true}"#,
        r#"[{"a":1,"b":2},{"b":2.0,"a":1}]"#,
        false,
    ),
    (
        r#"{"uniqueItems":true}"#,
        "[9007199254740992,9007199254740993]",
        true,
    ),
    (r#"{"uniqueItems":true}"#, r#"[1e400,2e400,[],{},""]"#, true),
    // A number of the schema with more digits than a double keeps: the value's are rounded the same way.
    (
        r#"{"const":123456789012345678901234.5}"#,
        "123456789012345678901234.5",
        true,
    ),
    (
        r#"{"enum":[123456789012345678901234.5]}"#,
        "123456789012345678901234.5",
        true,
    ),
    (r#"{"minimum":0.12345678901234568}"#, "0.12345678901234568", true),
    (r#"{"minimum":0.12345678901234568}"#, "0.1234567890123456", false),
];

#[test]
fn numbers_are_judged_by_their_digits() {
    for (schema, text, expected) in NUMBERS {
        let schema: Json = serde_json::from_str(schema).expect("JSON");
        assert_eq!(is_valid(&compile(&schema), text), *expected, "{schema} {text}");
    }
    let ones = "1".repeat(4000);
    assert!(!is_valid(&compile(&json!({ "multipleOf": 3 })), &ones));
    assert!(is_valid(&compile(&json!({ "multipleOf": 11 })), &ones));
}

#[test]
fn violations_say_where_what_and_how() {
    let schema = compile(&json!({
        "type": "object",
        "required": ["name", "kind"],
        "additionalProperties": false,
        "properties": {
            "name": { "type": "string", "maxLength": 3 },
            "kind": { "enum": ["a", "b"] },
            "a/b~c": { "type": "array", "items": { "type": "integer", "minimum": 10 } },
            "shape": { "anyOf": [
                { "type": "object", "properties": { "t": { "const": "dot" }, "x": { "type": "integer" } }, "required": ["t", "x"] },
                { "type": "object", "properties": { "t": { "const": "bar" }, "y": { "type": "integer" } }, "required": ["t", "y"] },
            ] },
        },
    }));
    let found = schema.validate(&value(
        r#"{"name":"long name","a/b~c":[12,3,1.50],"shape":{"t":"bar","y":"no"},"extra":1}"#,
    ));
    let mut lines: Vec<String> = found
        .iter()
        .map(|one| {
            let value = one.value.as_deref().unwrap_or("-");
            format!("{} | {} | {} | {value}", one.path, one.keyword, one.message)
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            " | additionalProperties | has members that are not allowed: \"extra\" | -",
            " | required | the member \"kind\" is missing | -",
            "/a~1b~0c/1 | minimum | must be at least 10 | 3",
            "/a~1b~0c/2 | minimum | must be at least 10 | 1.50",
            "/a~1b~0c/2 | type | must be an integer | 1.50",
            "/name | maxLength | must have at most 3 characters | \"long name\"",
            "/shape | anyOf | fits none of the 2 allowed forms; closest is form 2: at \"/shape/y\" must be an \
             integer | {\"t\":\"bar\",\"y\":\"no\"}",
        ]
    );
}

#[test]
fn violations_are_few_and_their_values_short() {
    let schema = compile(&json!({ "items": { "type": "integer" }, "minItems": 100 }));
    let long = "ü".repeat(400);
    let items = vec![format!("{long:?}"); 50].join(",");
    let found = schema.validate(&value(&format!("[{items}]")));
    assert_eq!(found.len(), 32);
    for one in &found {
        let shown = one.value.as_deref().expect("a value");
        assert!(
            shown.len() <= 256 + '…'.len_utf8() && shown.ends_with('…'),
            "{shown}"
        );
        assert!(
            !one.message.contains("http") && one.message.len() < 200,
            "{}",
            one.message
        );
    }
    let root = found
        .iter()
        .find(|one| one.path.is_empty())
        .expect("the array itself");
    assert_eq!(root.keyword, "minItems");
    assert_eq!(found.iter().filter(|one| one.keyword == "type").count(), 31);
}

/// A schema, a text that breaks it, the keyword, and what is said.
type Words = (Json, &'static str, &'static str, &'static str);

fn words_of_values() -> Vec<Words> {
    vec![
        (json!({ "const": { "a": 1 } }), "2", "const", "must be {\"a\":1}"),
        (
            json!({ "not": { "type": "null" } }),
            "null",
            "not",
            "must not have the form that `not` excludes",
        ),
        (
            json!({ "pattern": "^a" }),
            "\"b\"",
            "pattern",
            "must match the pattern ^a",
        ),
        (
            json!({ "format": "date" }),
            "\"b\"",
            "format",
            "must be a valid date",
        ),
        (
            json!({ "type": ["string", "null"] }),
            "1",
            "type",
            "must be null or a string",
        ),
        (
            json!({ "uniqueItems": true }),
            "[1,1.0]",
            "uniqueItems",
            "must not repeat an item",
        ),
        (
            json!({ "maxItems": 1 }),
            "[1,2]",
            "maxItems",
            "must have at most 1 items",
        ),
    ]
}

fn words_of_counts_and_members() -> Vec<Words> {
    vec![
        (
            json!({ "multipleOf": 3 }),
            "4",
            "multipleOf",
            "must be a multiple of 3",
        ),
        (
            json!({ "oneOf": [{ "minimum": 1 }, { "minimum": 2 }] }),
            "3",
            "oneOf",
            "fits more than one of the 2 forms, where exactly one is allowed",
        ),
        (
            json!({ "properties": { "a": false } }),
            r#"{"a":1}"#,
            "false",
            "must not be there",
        ),
        (
            json!({ "propertyNames": { "maxLength": 1 } }),
            r#"{"ab":1}"#,
            "propertyNames",
            "the member name \"ab\": must have at most 1 characters",
        ),
        (
            json!({ "exclusiveMaximum": 3 }),
            "3",
            "exclusiveMaximum",
            "must be less than 3",
        ),
        (
            json!({ "unevaluatedProperties": false }),
            r#"{"a":1}"#,
            "unevaluatedProperties",
            "has members that are not allowed: \"a\"",
        ),
        (
            json!({ "contains": { "const": 1 } }),
            "[2]",
            "contains",
            "must contain a number of matching items that is allowed",
        ),
    ]
}

#[test]
fn every_keyword_has_words() {
    let table = words_of_values().into_iter().chain(words_of_counts_and_members());
    for (schema, text, keyword, message) in table {
        let found = compile(&schema).validate(&value(text));
        assert_eq!(found.len(), 1, "{schema} {text}: {found:?}");
        assert_eq!(
            (found[0].keyword.as_str(), found[0].message.as_str()),
            (keyword, message),
            "{schema}"
        );
    }
}

/// A recursive union whose list of faults would double with every level.
fn doubling() -> Schema {
    compile(&json!({
        "type": "object",
        "properties": {
            "next": { "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] },
            "leaf": { "type": "integer" },
        },
    }))
}

fn deep(levels: usize, leaf: &str) -> String {
    format!(
        "{}{{\"leaf\":{leaf}}}{}",
        "{\"next\":".repeat(levels),
        "}".repeat(levels)
    )
}

#[test]
fn recursive_unions_are_judged_within_bounds() {
    // Unbounded, 2^90 steps: this test ends at all only because the work is counted.
    assert!(is_valid(&doubling(), &deep(90, "1")));
    assert_eq!(
        paths(&doubling(), &deep(90, "\"x\"")),
        [(String::new(), "schema".to_owned())]
    );
    assert_eq!(
        paths(&doubling(), &deep(4, "\"x\"")),
        [("/next".to_owned(), "anyOf".to_owned())]
    );
}

#[test]
fn mutual_recursion_is_judged_within_bounds() {
    let all: Vec<Json> = (0..6)
        .map(|other| json!({ "$ref": format!("#/$defs/d{other}") }))
        .collect();
    let defs: serde_json::Map<_, _> = (0..6)
        .map(|own| {
            let next = json!({ "anyOf": all });
            let leaf = json!({ "type": "integer", "multipleOf": own + 2 });
            (
                format!("d{own}"),
                json!({ "properties": { "next": next, "leaf": leaf } }),
            )
        })
        .collect();
    let schema = compile(&json!({ "$defs": defs, "anyOf": all }));
    assert!(is_valid(&schema, &deep(90, "7")));
    assert!(!is_valid(&schema, &deep(90, "1")));
    assert_eq!(
        paths(&schema, &deep(1, "1")),
        [(String::new(), "anyOf".to_owned())]
    );
}

#[test]
fn long_rows_of_references_times_deep_values_do_not_overflow_the_stack() {
    let mut defs = serde_json::Map::new();
    for step in 0..60 {
        defs.insert(
            format!("c{step}"),
            json!({ "$ref": format!("#/$defs/c{}", step + 1) }),
        );
    }
    defs.insert(
        "c60".to_owned(),
        json!({ "properties": { "next": { "$ref": "#/$defs/c0" }, "leaf": { "type": "integer" } } }),
    );
    let schema = compile(&json!({ "$defs": defs, "$ref": "#/$defs/c0" }));
    assert!(is_valid(&schema, &deep(95, "1")));
    let place = format!("{}/leaf", "/next".repeat(95));
    assert_eq!(paths(&schema, &deep(95, "\"x\"")), [(place, "type".to_owned())]);
}

#[test]
fn recursion_is_judged_at_every_level() {
    let tree = compile(&json!({
        "$ref": "#/$defs/tree",
        "$defs": { "tree": {
            "type": "object", "required": ["name"],
            "properties": { "name": { "type": "string" }, "children": { "type": "array", "items": { "$ref": "#/$defs/tree" } } },
        } },
    }));
    assert!(is_valid(
        &tree,
        r#"{"name":"a","children":[{"name":"b","children":[]}]}"#
    ));
    assert_eq!(
        paths(
            &tree,
            r#"{"name":"a","children":[{"name":"b","children":[{"name":1}]},{}]}"#
        ),
        [
            ("/children/0/children/0/name".to_owned(), "type".to_owned()),
            ("/children/1".to_owned(), "required".to_owned()),
        ]
    );
}

fn small_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        (-3_i64..4).prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        (-2.0_f64..2.0).prop_map(Json::from),
        "[ab]{0,3}".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec(("[abc]", inner), 0..4)
                .prop_map(|members| { Json::Object(members.into_iter().collect()) }),
        ]
    })
}

fn small_schema() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(json!(true)),
        Just(json!({ "type": "string", "maxLength": 2 })),
        Just(json!({ "type": ["integer", "null"] })),
        Just(json!({ "type": "number", "minimum": 0 })),
        Just(json!({ "enum": ["a", 1, null] })),
        Just(json!({ "pattern": "^a" })),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, rest)| json!({
                "type": "object", "properties": { "a": a }, "additionalProperties": rest,
            })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({
                "properties": { "a": a, "b": b }, "required": ["a"], "patternProperties": { "^c": true },
            })),
            inner
                .clone()
                .prop_map(|item| json!({ "type": "array", "items": item, "maxItems": 3 })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "anyOf": [a, b] })),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| json!({ "oneOf": [a, b] })),
            (inner.clone(), inner).prop_map(|(a, b)| json!({ "allOf": [a, { "not": b }] })),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// The bounded judgement says what the validator says of the same text, read its own way.
    #[test]
    fn judging_agrees_with_the_validator(schema in small_schema(), document in small_json()) {
        let Ok(compiled) = Schema::compile(&schema, &SchemaLimits::default()) else {
            // Only the impossible is refused here, and then nothing may be valid.
            prop_assert!(!jsonschema::is_valid(&schema, &document));
            return Ok(());
        };
        let found = compiled.validate(&value(&document.to_string()));
        prop_assert_eq!(found.is_empty(), jsonschema::is_valid(&schema, &document));
        prop_assert!(found.len() <= 32);
        for one in found {
            prop_assert!(document.pointer(&one.path).is_some(), "{} in {}", one.path, document);
        }
    }

    /// A valid root has a type that the schema was said to allow.
    #[test]
    fn root_kinds_hold_every_valid_root(schema in small_schema(), document in small_json()) {
        let Ok(compiled) = Schema::compile(&schema, &SchemaLimits::default()) else { return Ok(()) };
        if is_valid(&compiled, &document.to_string()) {
            let kinds = compiled.root_kinds();
            let allowed = match &document {
                Json::Object(_) => kinds.object,
                Json::Array(_) => kinds.array,
                Json::String(_) => kinds.string,
                Json::Number(_) => kinds.number,
                Json::Bool(_) => kinds.boolean,
                Json::Null => kinds.null,
            };
            prop_assert!(allowed, "{:?}", kinds);
        }
    }

    /// Filling in what is unseen loses nothing that was seen.
    #[test]
    fn filling_keeps_every_seen_member(schema in small_schema(), document in small_json()) {
        let Ok(compiled) = Schema::compile(&schema, &SchemaLimits::default()) else { return Ok(()) };
        let filled = compiled.shape().fill_root(Some(&value(&document.to_string())));
        let filled: Json = serde_json::from_str(&filled.expect("a value").to_json()).expect("JSON");
        prop_assert!(holds(&filled, &document), "{} in {}", document, filled);
    }
}

/// Whether `larger` is `smaller` with some members more, all of them null.
fn holds(larger: &Json, smaller: &Json) -> bool {
    match (larger, smaller) {
        (Json::Object(larger), Json::Object(smaller)) => {
            smaller
                .iter()
                .all(|(name, member)| larger.get(name).is_some_and(|found| holds(found, member)))
                && larger
                    .iter()
                    .all(|(name, member)| smaller.contains_key(name) || member.is_null())
        }
        (Json::Array(larger), Json::Array(smaller)) => {
            larger.len() == smaller.len()
                && larger.iter().zip(smaller).all(|(found, item)| holds(found, item))
        }
        (larger, smaller) => larger == smaller,
    }
}
