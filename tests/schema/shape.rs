//! What the schema tells the draft and the viewers: declared members, atomic strings, types of the root.

use super::*;

fn filled(schema: &Json, text: &str) -> String {
    let filled = compile(schema).shape().fill_root(Some(&value(text)));
    filled.expect("a value").to_json()
}

#[test]
fn unseen_members_are_filled_wherever_they_are_declared() {
    let nested = json!({ "type": "object", "properties": {
        "a": { "type": "string" },
        "b": { "type": "object", "properties": { "c": {}, "d": {} } },
        "list": { "type": "array", "items": { "type": "object", "properties": { "x": {}, "y": {} } } },
    } });
    assert_eq!(filled(&nested, "{}"), r#"{"a":null,"b":null,"list":null}"#);
    assert_eq!(
        filled(&nested, r#"{"list":[{"y":1},{}],"b":{"d":2},"z":0}"#),
        r#"{"a":null,"b":{"c":null,"d":2},"list":[{"x":null,"y":1},{"x":null,"y":null}],"z":0}"#
    );

    let recursive = json!({ "$ref": "#/$defs/n", "$defs": { "n": { "type": "object", "properties": {
        "name": {}, "kids": { "items": { "$ref": "#/$defs/n" } },
    } } } });
    assert_eq!(
        filled(&recursive, r#"{"kids":[{"kids":[{}]}]}"#),
        r#"{"name":null,"kids":[{"name":null,"kids":[{"name":null,"kids":null}]}]}"#
    );

    let parts = json!({
        "properties": { "own": {} },
        "allOf": [{ "properties": { "all": {} } }, { "$ref": "#/$defs/base" }],
        "anyOf": [{ "properties": { "any": { "properties": { "p": {} } } } }, { "properties": { "any": { "properties": { "q": {} } } } }],
        "oneOf": [{ "properties": { "one": {} } }, { "type": "null" }],
        "$defs": { "base": { "properties": { "base": {} } } },
        "not": { "properties": { "never": {} } },
    });
    assert_eq!(
        filled(&parts, r#"{"any":{}}"#),
        r#"{"own":null,"all":null,"base":null,"any":{"p":null,"q":null},"one":null}"#
    );

    let tuple =
        json!({ "prefixItems": [{ "properties": { "a": {} } }, {}], "items": { "properties": { "b": {} } } });
    assert_eq!(
        filled(&tuple, "[{},{},{},{}]"),
        r#"[{"a":null},{},{"b":null},{"b":null}]"#
    );
    let tuple_7 = json!({ "$schema": "http://json-schema.org/draft-07/schema#",
        "items": [{ "properties": { "a": {} } }], "additionalItems": { "properties": { "b": {} } } });
    assert_eq!(filled(&tuple_7, "[{},{}]"), r#"[{"a":null},{"b":null}]"#);

    let map = json!({ "additionalProperties": { "properties": { "v": {} } } });
    assert_eq!(
        filled(&map, r#"{"any name":{},"other":{}}"#),
        r#"{"any name":{"v":null},"other":{"v":null}}"#
    );
}

#[test]
fn only_a_root_that_may_be_an_object_is_filled_before_it_opens() {
    let object = json!({ "type": "object", "properties": { "a": {} } });
    let before = compile(&object).shape().fill_root(None).expect("an object");
    assert_eq!(before.to_json(), r#"{"a":null}"#);
    let list = json!({ "type": "array", "items": object });
    assert_eq!(compile(&list).shape().fill_root(None), None);
}

#[test]
fn a_message_is_not_filled_without_end() {
    let members: serde_json::Map<_, _> = (0..1_000).map(|n| (format!("m{n}"), json!({}))).collect();
    let schema = json!({ "type": "array", "items": { "type": "object", "properties": members } });
    let shape = compile(&schema).shape();
    let items = format!(r#"[{{}},{}{{"m7":{{}},"x":1}}]"#, "{},".repeat(20_000));
    let filled = shape.fill_root(Some(&value(&items))).expect("a value");
    let Value::Array(items) = &filled else {
        panic!("{filled}")
    };
    let counts: Vec<usize> = items
        .iter()
        .map(|item| item.to_json().matches("null").count())
        .collect();
    assert!(
        counts.iter().all(|count| [0, 1_000].contains(count)),
        "an object is filled whole or not at all"
    );
    assert_eq!((counts[0], counts.iter().sum::<usize>()), (1_000, 65_000));
    assert_eq!(
        items.last().map(Value::to_json).as_deref(),
        Some(r#"{"m7":{},"x":1}"#)
    );
    let mut left = 1_500;
    let empty = value("{}");
    let nulls = |left: &mut usize| {
        shape
            .fill_at("/5", &empty, left)
            .to_json()
            .matches("null")
            .count()
    };
    assert_eq!(
        [nulls(&mut left), nulls(&mut left), left],
        [1_000, 0, 500],
        "all ops of a message share the room"
    );
}

/// A schema under which each of many members is asked whether it is atomic.
fn steering() -> Schema {
    compile(&json!({
        "type": "object",
        "properties": {
            "free": { "type": "string" },
            "untyped": {},
            "enum": { "enum": ["a", "b"] },
            "const": { "const": "a" },
            "format": { "type": "string", "format": "date" },
            "annotation": { "type": "string", "format": "markdown" },
            "pattern": { "type": "string", "pattern": "^a" },
            "marked": { "type": "string", "x-stream": "atomic" },
            "freed": { "type": "string", "pattern": "^a", "x-stream": "text" },
            "freed-enum": { "enum": ["a"], "x-stream": "text" },
            "freed-ref": { "$ref": "#/$defs/patterned", "x-stream": "text" },
            "ref": { "$ref": "#/$defs/kind" },
            "all": { "allOf": [{ "type": "string" }, { "$ref": "#/$defs/patterned" }] },
            "any-free": { "anyOf": [{ "$ref": "#/$defs/kind" }, { "type": "string" }] },
            "any-fixed": { "anyOf": [{ "$ref": "#/$defs/kind" }, { "const": "c" }, { "type": "null" }] },
            "one-number": { "oneOf": [{ "type": "number" }, { "pattern": "^a", "type": "string" }] },
            "not": { "type": "string", "not": { "const": "x" } },
            "tuple": { "prefixItems": [{ "const": "a" }, { "type": "string" }], "items": { "enum": ["z"] } },
            "map": { "additionalProperties": { "$ref": "#/$defs/kind" } },
            "named": {
                "properties": { "x-free": { "type": "string" } },
                "patternProperties": { "^k": { "$ref": "#/$defs/kind" }, "z$": { "type": "string", "pattern": "b" } },
                "additionalProperties": { "type": "string" },
            },
            "union": { "anyOf": [
                { "type": "object", "properties": { "kind": { "const": "dot" }, "note": { "type": "string" }, "v": { "type": "string" } } },
                { "type": "object", "properties": { "kind": { "const": "bar" }, "v": { "enum": ["s"] } } },
                { "type": "object", "properties": { "other": {} } },
            ] },
            "both": { "allOf": [
                { "properties": { "v": { "type": "string" } } }, { "properties": { "v": { "enum": ["s"] } } },
            ] },
            "again": { "$ref": "#" },
        },
        "$defs": { "kind": { "enum": ["k"] }, "patterned": { "pattern": "^p" } },
    }))
}

#[test]
fn objects_wait_for_members_that_every_branch_waits_for() {
    let schema = compile(&json!({
        "type": "object",
        "properties": {
            "own": { "$ref": "#/$defs/entry" },
            "list": { "type": "array", "items": { "$ref": "#/$defs/entry" } },
            "map": { "additionalProperties": { "$ref": "#/$defs/entry" } },
            "none": { "type": "object", "properties": { "id": {} } },
            "maybe": { "anyOf": [{ "$ref": "#/$defs/entry" }, { "type": "null" }] },
            "either": { "oneOf": [{ "$ref": "#/$defs/entry" }, { "$ref": "#/$defs/other" }] },
            "neither": { "anyOf": [{ "$ref": "#/$defs/entry" }, { "type": "object" }] },
            "both": { "allOf": [{ "$ref": "#/$defs/entry" }, { "$ref": "#/$defs/other" }] },
            "by-ref": { "properties": { "a": { "$ref": "#/$defs/marked" }, "b": {} } },
            "by-branch": { "properties": { "a": { "anyOf": [{ "$ref": "#/$defs/marked" }, { "type": "null" }] } } },
            "x-stream": { "properties": { "x-stream": { "type": "string" } } },
        },
        "$defs": {
            "marked": { "type": "string", "x-stream": "required" },
            "entry": {
                "properties": { "id": { "type": "integer", "x-stream": "required" }, "text": {}, "next": { "$ref": "#/$defs/entry" } },
                "type": "object",
            },
            "other": {
                "type": "object",
                "properties": { "id": { "x-stream": "required" }, "kind": { "const": "o", "x-stream": "required" } },
            },
        },
    }));
    let guide = schema.guide();
    let table: [(&str, &[&str]); 14] = [
        ("", &[]),
        ("/own", &["id"]),
        ("/own/id", &[]),
        ("/own/next/next", &["id"]),
        ("/list", &[]),
        ("/list/3", &["id"]),
        ("/map/any", &["id"]),
        ("/none", &[]),
        ("/maybe", &["id"]),
        ("/either", &["id"]),
        ("/neither", &[]),
        ("/both", &["id", "kind"]),
        ("/by-ref", &["a"]),
        ("/by-branch", &["a"]),
    ];
    for (pointer, names) in table {
        let awaited = guide.awaited(node(&*guide, pointer)).unwrap_or_default();
        assert_eq!(
            awaited.iter().map(|name| &**name).collect::<Vec<_>>(),
            names,
            "{pointer}"
        );
    }
    assert_eq!(guide.awaited(NodeId::NONE), None);
}

#[test]
fn strings_are_atomic_by_rule_v5() {
    let schema = steering();
    let guide = schema.guide();
    let table = [
        ("/free", false),
        ("/untyped", false),
        ("/enum", true),
        ("/const", true),
        ("/format", true),
        ("/annotation", false),
        ("/pattern", true),
        ("/marked", true),
        ("/freed", false),
        ("/freed-enum", true),
        ("/freed-ref", false),
        ("/ref", true),
        ("/all", true),
        ("/any-free", false),
        ("/any-fixed", true),
        ("/one-number", true),
        ("/not", false),
        ("/tuple/0", true),
        ("/tuple/1", false),
        ("/tuple/2", true),
        ("/tuple/17", true),
        ("/map/anything", true),
        ("/named/x-free", false),
        ("/named/other", false),
        ("/named/kind", true),
        ("/named/jazz", true),
        ("/named/kz", true),
        ("/union/kind", true),
        ("/union/note", false),
        ("/union/v", false),
        ("/both/v", true),
        ("/again/again/enum", true),
        ("/again/again/free", false),
        ("/unknown", false),
    ];
    for (pointer, atomic) in table {
        assert_eq!(guide.is_atomic(node(&*guide, pointer)), atomic, "{pointer}");
    }
}

#[test]
fn what_a_schema_does_not_speak_of_has_no_node() {
    let schema = steering();
    let guide = schema.guide();
    assert_eq!(guide.member(guide.root(), "unknown"), NodeId::NONE);
    assert_eq!(guide.item(guide.root(), 0), NodeId::NONE);
    assert_eq!(guide.member(NodeId::NONE, "free"), NodeId::NONE);
    assert_eq!(guide.item(NodeId::NONE, 3), NodeId::NONE);
    assert!(!guide.is_atomic(NodeId::NONE));
    // A recursive schema comes back to the same places.
    assert_eq!(
        node(&*guide, "/again/again/free"),
        node(&*guide, "/again/again/again/free")
    );
}

#[test]
fn the_root_has_the_types_the_schema_allows() {
    let names = |kinds: RootKinds| {
        [
            (kinds.object, "object"),
            (kinds.array, "array"),
            (kinds.string, "string"),
            (kinds.number, "number"),
            (kinds.boolean, "boolean"),
            (kinds.null, "null"),
        ]
        .into_iter()
        .filter_map(|(is, name)| is.then_some(name))
        .collect::<Vec<_>>()
        .join(" ")
    };
    let table = [
        (json!(true), "object array string number boolean null"),
        (json!({}), "object array string number boolean null"),
        (json!({ "type": "object" }), "object"),
        (json!({ "type": ["integer", "null"] }), "number null"),
        (
            json!({ "enum": ["a", 1, [], true] }),
            "array string number boolean",
        ),
        (json!({ "const": null }), "null"),
        (
            json!({ "anyOf": [{ "type": "string" }, { "const": {} }] }),
            "object string",
        ),
        (
            json!({ "type": ["string", "array"], "oneOf": [{ "type": "array" }, { "type": "null" }] }),
            "array",
        ),
        (
            json!({ "allOf": [{ "type": ["string", "null"] }, { "type": ["null", "object"] }] }),
            "null",
        ),
        (
            json!({ "$ref": "#/$defs/a", "$defs": { "a": { "$ref": "#/$defs/b" }, "b": { "type": "array" } } }),
            "array",
        ),
        (
            json!({ "type": ["string", "null"], "minLength": 3, "maxLength": 2 }),
            "null",
        ),
        (
            json!({ "type": ["object", "null"], "required": ["next"], "properties": { "next": {
                "type": "object", "required": ["next"], "properties": { "next": { "$ref": "#/properties/next" } } } } }),
            "null",
        ),
    ];
    for (schema, expected) in table {
        assert_eq!(names(compile(&schema).root_kinds()), expected, "{schema}");
    }
}

#[test]
fn a_compiled_schema_is_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>(_: &T) {}
    shared(&compile(&json!({ "type": "object" })));
}

#[test]
fn a_member_whose_name_a_pattern_may_match_is_not_filled() {
    let schema = json!({
        "properties": { "own": { "properties": { "b": {} } } },
        "patternProperties": { "^x": {} },
        "additionalProperties": { "properties": { "a": {} } },
    });
    assert_eq!(filled(&schema, r#"{"x1":{}}"#), r#"{"own":null,"x1":{}}"#);
    assert_eq!(
        filled(&schema, r#"{"y":{},"own":{}}"#),
        r#"{"own":{"b":null},"y":{}}"#
    );
}

#[test]
fn a_number_in_a_pointer_is_a_name_where_the_value_is_an_object() {
    let set = |schema: &Json, pointer: &str| {
        let filled = compile(schema).shape().fill_at(pointer, &value("{}"), &mut 100);
        filled.to_json()
    };
    let item = json!({ "properties": { "i": {} } });
    let member = json!({ "properties": { "m": {} } });
    let both = |kind: Json| json!({ "type": kind, "items": item, "additionalProperties": member });
    assert_eq!(set(&both(json!("object")), "/0"), r#"{"m":null}"#);
    assert_eq!(set(&both(json!("array")), "/0"), r#"{"i":null}"#);
    let either = both(json!(["object", "array"]));
    assert_eq!(set(&either, "/0"), "{}", "a name or an index: nobody can tell");
    assert_eq!(set(&either, "/name"), r#"{"m":null}"#);
    assert_eq!(
        filled(&either, r#"{"0":{},"name":{}}"#),
        r#"{"0":{},"name":{"m":null}}"#
    );
    assert_eq!(filled(&either, "[{}]"), "[{}]");
}
