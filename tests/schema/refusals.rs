//! Every code with the pointer it names, and hostile schemas.

use super::*;

fn nested(depth: usize) -> Json {
    (1..depth).fold(json!({}), |inner, _| json!({ "not": inner }))
}

fn diamond(levels: usize) -> Json {
    let mut defs = serde_json::Map::new();
    for level in 0..levels {
        let next = json!({ "$ref": format!("#/$defs/L{}", level + 1) });
        defs.insert(format!("L{level}"), json!({ "anyOf": [next.clone(), next] }));
    }
    defs.insert(format!("L{levels}"), json!({ "type": "integer" }));
    json!({ "$defs": defs, "$ref": "#/$defs/L0" })
}

fn chain(length: usize) -> Json {
    let mut defs = serde_json::Map::new();
    for step in 0..length {
        defs.insert(
            format!("c{step}"),
            json!({ "$ref": format!("#/$defs/c{}", step + 1) }),
        );
    }
    defs.insert(format!("c{length}"), json!({ "type": "string" }));
    json!({ "$defs": defs, "$ref": "#/$defs/c0" })
}

fn strings(count: usize, with: impl Fn(usize) -> Json) -> Json {
    let members: serde_json::Map<_, _> = (0..count)
        .map(|index| (format!("m{index}"), with(index)))
        .collect();
    json!({ "type": "object", "properties": members })
}

const DRAFT_7: &str = "http://json-schema.org/draft-07/schema#";

/// A schema, why it is refused, and where.
type Case = (Json, SchemaErrorCode, &'static str);

fn too_large() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (nested(65), Code::TooLarge, ""),
        (
            json!({ "description": "x".repeat(256 * 1024) }),
            Code::TooLarge,
            "",
        ),
        (strings(5000, |_| json!({})), Code::TooLarge, "/properties/m4999"),
    ]
}

fn no_schema() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (json!(5), Code::Invalid, ""),
        (json!(null), Code::Invalid, ""),
        (json!([]), Code::Invalid, ""),
        (
            json!({ "$schema": "https://example.org/own" }),
            Code::Invalid,
            "/$schema",
        ),
        (json!({ "$schema": 7 }), Code::Invalid, "/$schema"),
        (json!({ "type": "strin" }), Code::Invalid, "/type"),
        (
            json!({ "properties": { "a": { "minLength": -1 } } }),
            Code::Invalid,
            "/properties/a/minLength",
        ),
        (
            json!({ "properties": { "a": 5 } }),
            Code::Invalid,
            "/properties/a",
        ),
        (json!({ "properties": [] }), Code::Invalid, "/properties"),
        (json!({ "items": [{}] }), Code::Invalid, "/items"),
        (json!({ "$ref": "#/$defs/none" }), Code::Invalid, "/$ref"),
        (
            json!({ "items": { "$ref": "#nowhere" } }),
            Code::Invalid,
            "/items/$ref",
        ),
        (json!({ "$ref": "#/title", "title": "x" }), Code::Invalid, "/$ref"),
        (json!({ "$ref": "#/%zz" }), Code::RemoteRef, "/$ref"),
        (json!({ "$ref": "#" }), Code::Invalid, ""),
        (
            json!({ "anyOf": [{ "type": "null" }, { "$ref": "#" }] }),
            Code::Invalid,
            "",
        ),
        (
            json!({ "properties": { "a/b": { "not": { "$ref": "#/properties/a~1b" } } } }),
            Code::Invalid,
            "/properties/a~1b",
        ),
        (
            json!({ "$defs": { "a": { "$id": "https://example.org/a" } } }),
            Code::Invalid,
            "/$defs/a/$id",
        ),
        (
            json!({ "$defs": { "a": { "$schema": DRAFT_7 } } }),
            Code::Invalid,
            "/$defs/a/$schema",
        ),
    ]
}

fn marks() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (
            json!({ "items": { "x-stream": "slowly" } }),
            Code::Invalid,
            "/items/x-stream",
        ),
        (json!({ "x-stream": "required" }), Code::Invalid, "/x-stream"),
        (
            json!({ "items": { "x-stream": "required" } }),
            Code::Invalid,
            "/items/x-stream",
        ),
        (
            json!({ "patternProperties": { "a": { "x-stream": "required" } } }),
            Code::Invalid,
            "/patternProperties/a/x-stream",
        ),
        (
            json!({ "properties": { "a": { "if": { "x-stream": "required" } } } }),
            Code::Invalid,
            "/properties/a/if/x-stream",
        ),
        (
            json!({ "additionalProperties": { "$ref": "#/$defs/a" }, "$defs": { "a": { "x-stream": "required" } } }),
            Code::Invalid,
            "/additionalProperties",
        ),
        (
            json!({ "prefixItems": [{ "$ref": "#/$defs/a" }], "$defs": { "a": { "x-stream": "required" } } }),
            Code::Invalid,
            "/prefixItems/0",
        ),
    ]
}

fn leaving() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (
            json!({ "$ref": "https://example.org/s.json" }),
            Code::RemoteRef,
            "/$ref",
        ),
        (
            json!({ "items": { "$ref": "file:///etc/passwd" } }),
            Code::RemoteRef,
            "/items/$ref",
        ),
        (
            json!({ "properties": { "a": { "$ref": "other.json#/x" } } }),
            Code::RemoteRef,
            "/properties/a/$ref",
        ),
        (
            json!({ "$schema": DRAFT_7, "items": [{ "$ref": "//example.org" }] }),
            Code::RemoteRef,
            "/items/0/$ref",
        ),
    ]
}

fn multiplying() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (diamond(20), Code::TooComplex, "/$defs/L5"),
        (chain(64), Code::TooComplex, "/$defs/c0"),
    ]
}

fn with_bad_patterns() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (
            json!({ "pattern": "a(?=b)" }),
            Code::PatternUnsupported,
            "/pattern",
        ),
        (
            json!({ "pattern": "(?<!a)b" }),
            Code::PatternUnsupported,
            "/pattern",
        ),
        (
            json!({ "items": { "pattern": r"(a)\1" } }),
            Code::PatternUnsupported,
            "/items/pattern",
        ),
        (json!({ "pattern": "(" }), Code::PatternUnsupported, "/pattern"),
        (
            json!({ "patternProperties": { "^(?!x)": {} } }),
            Code::PatternUnsupported,
            "/patternProperties/^(?!x)",
        ),
        (
            json!({ "pattern": "a".repeat(1025) }),
            Code::PatternTooLarge,
            "/pattern",
        ),
        (
            json!({ "pattern": r"^(\w{1,200}){1,200}$" }),
            Code::PatternTooLarge,
            "/pattern",
        ),
        (
            strings(51, |index| json!({ "pattern": format!("^{index}") })),
            Code::PatternTooLarge,
            "/properties/m50/pattern",
        ),
    ]
}

fn impossible() -> Vec<Case> {
    use SchemaErrorCode as Code;
    vec![
        (json!(false), Code::Unsatisfiable, ""),
        (
            json!({ "type": "integer", "minimum": 5, "maximum": 1 }),
            Code::Unsatisfiable,
            "/minimum",
        ),
        (
            json!({ "type": "number", "exclusiveMinimum": 1, "maximum": 1 }),
            Code::Unsatisfiable,
            "/exclusiveMinimum",
        ),
        (
            json!({ "type": "string", "minLength": 2, "maxLength": 1 }),
            Code::Unsatisfiable,
            "/minLength",
        ),
        (
            json!({ "type": "string", "const": 1 }),
            Code::Unsatisfiable,
            "/const",
        ),
        (
            json!({ "allOf": [{ "type": "string" }, { "type": "null" }] }),
            Code::Unsatisfiable,
            "",
        ),
        (
            json!({ "anyOf": [false, { "$ref": "#/$defs/no" }], "$defs": { "no": false } }),
            Code::Unsatisfiable,
            "/anyOf/0",
        ),
        (
            json!({ "type": "object", "required": ["a"], "properties": { "a": { "$ref": "#" } } }),
            Code::Unsatisfiable,
            "",
        ),
        (
            json!({ "type": "object", "required": ["a"], "properties": { "a": {
                "type": "array", "minItems": 3, "maxItems": 2,
            } } }),
            Code::Unsatisfiable,
            "/properties/a/minItems",
        ),
        (
            json!({ "type": "array", "minItems": 1, "items": false }),
            Code::Unsatisfiable,
            "/items",
        ),
    ]
}

#[test]
fn every_refusal_names_its_code_and_place() {
    let groups = [
        too_large(),
        no_schema(),
        marks(),
        leaving(),
        multiplying(),
        with_bad_patterns(),
        impossible(),
    ];
    for (schema, code, path) in groups.into_iter().flatten() {
        let fault = refusal(&schema);
        let shown: String = schema.to_string().chars().take(200).collect();
        assert_eq!(
            (fault.code, fault.path.as_str()),
            (code, path),
            "{shown}: {fault}"
        );
        assert!(fault.message.len() > 20, "a message says what to do: {fault}");
    }
}

#[test]
fn codes_are_snake_case_words() {
    use SchemaErrorCode as Code;
    let codes = [
        (Code::TooLarge, "schema_too_large"),
        (Code::Invalid, "schema_invalid"),
        (Code::RemoteRef, "schema_remote_ref"),
        (Code::TooComplex, "schema_too_complex"),
        (Code::PatternUnsupported, "schema_pattern_unsupported"),
        (Code::PatternTooLarge, "schema_pattern_too_large"),
        (Code::Unsatisfiable, "schema_unsatisfiable"),
    ];
    for (code, word) in codes {
        assert_eq!(code.code(), word);
    }
}

#[test]
fn what_lies_just_within_the_limits_is_taken() {
    compile(&nested(64));
    compile(&strings(4999, |_| json!({ "type": "string" })));
    compile(&strings(50, |index| json!({ "pattern": format!("^{index}") })));
    compile(&json!({ "pattern": "a".repeat(1024) }));
    compile(&diamond(14));
    compile(&chain(62));
}

#[test]
fn limits_are_those_that_are_given() {
    let limits = SchemaLimits {
        bytes_max: 40,
        depth_max: 3,
        ..SchemaLimits::default()
    };
    let long = json!({ "title": "more than forty bytes of compact JSON text" });
    assert_eq!(refusal_within(&long, &limits).code, SchemaErrorCode::TooLarge);
    assert_eq!(
        refusal_within(&nested(4), &limits).code,
        SchemaErrorCode::TooLarge
    );
    assert!(Schema::compile(&nested(3), &limits).is_ok());
    let few = SchemaLimits {
        cost_max: 3,
        ..SchemaLimits::default()
    };
    let fault = refusal_within(&strings(3, |_| json!({})), &few);
    assert_eq!(
        (fault.code, fault.path.as_str()),
        (SchemaErrorCode::TooComplex, "")
    );
}

#[test]
fn an_impossible_part_that_may_be_left_out_is_no_refusal() {
    compile(&json!({ "properties": { "a": { "type": "integer", "minimum": 5, "maximum": 1 } } }));
    compile(&json!({ "properties": { "a": false } }));
    // Without a type, anything but an object satisfies it.
    compile(&json!({ "required": ["a"], "properties": { "a": false } }));
    compile(&json!({ "anyOf": [false, { "type": "string" }] }));
    compile(&json!({ "type": "object", "properties": { "next": { "$ref": "#" } } }));
}

#[test]
fn references_within_the_document_are_followed() {
    let schemas = [
        json!({ "$ref": "#/$defs/a", "$defs": { "a": { "type": "string" } } }),
        json!({ "$ref": "#/$defs/a%20b", "$defs": { "a b": { "type": "string" } } }),
        json!({ "$ref": "#/$defs/a~1b", "$defs": { "a/b": { "type": "string" } } }),
        json!({ "$ref": "#s", "$defs": { "a": { "$anchor": "s", "type": "string" } } }),
        json!({ "$id": "https://example.org/x", "$ref": "https://example.org/x#/$defs/a", "$defs": { "a": { "type": "string" } } }),
        json!({ "$ref": "#/components/a", "components": { "a": { "type": "string" } } }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#/definitions/a",
                "definitions": { "a": { "type": "string" } } }),
        json!({ "$schema": "http://json-schema.org/draft-07/schema#", "$ref": "#a",
                "definitions": { "a": { "$id": "#a", "type": "string" } } }),
    ];
    for schema in schemas {
        let compiled = compile(&schema);
        assert!(is_valid(&compiled, r#""text""#), "{schema}");
        assert!(!is_valid(&compiled, "1"), "{schema}");
        let kinds = compiled.root_kinds();
        assert!(kinds.string && !kinds.number && !kinds.object, "{schema}");
    }
}

#[test]
fn many_patterns_share_one_bound() {
    // Each alone is within its limit; fifty of them would take the compiler seconds.
    let large = |index: usize| json!({ "pattern": format!(r"^(\d{{1,{}}}){{1,80}}$", 80 - index) });
    compile(&strings(2, large));
    let fault = refusal(&strings(50, large));
    assert_eq!(fault.code, SchemaErrorCode::PatternTooLarge);
    assert!(
        fault.path.ends_with("/pattern") && fault.message.contains("together"),
        "{fault}"
    );
    let wide = strings(50, |_| json!({ "pattern": r"\p{L}".repeat(20) }));
    assert_eq!(refusal(&wide).code, SchemaErrorCode::PatternTooLarge);
    // Everyday patterns stay far below.
    compile(&strings(
        20,
        |_| json!({ "pattern": r"^[\w.+-]{1,64}@[^@\s]{1,255}\.(?:[a-z]{2,24}|\p{L}+)$" }),
    ));
}

#[test]
fn the_validator_is_built_without_any_way_out_of_the_document() {
    let manifest = include_str!("../../Cargo.toml");
    let line = manifest
        .lines()
        .find(|line| line.starts_with("jsonschema "))
        .expect("the dependency");
    assert!(
        line.contains("default-features = false") && !line.contains("resolve-"),
        "{line}"
    );
}
