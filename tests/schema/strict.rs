//! Schemas in the subsets of vendors: what is sent, what cannot be, and what `null` means then.

use std::fs;
use std::path::Path;

use livedraft::partial::{Draft, DraftOptions, End};
use livedraft::schema::dialect::subset::{ANTHROPIC, GEMINI, OPENAI, Subset};
use livedraft::schema::dialect::{Dialect, Plan, Taken, Unfit, plan};

use super::*;

/// A plan where the first mode takes a subset, and all behind it any schema.
fn planned(schema: &Json, dialect: Dialect, subset: &'static Subset) -> Plan {
    let takes = |asked| {
        if asked == dialect {
            Taken::Within(subset)
        } else {
            Taken::Whole
        }
    };
    plan(&compile(schema), dialect, takes)
}

/// Everything that can be told.
fn order() -> Json {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/order",
        "$comment": "ours alone",
        "title": "Order",
        "type": "object",
        "required": ["id", "lines"],
        "properties": {
            "id": { "type": "string", "format": "uuid", "default": "x" },
            "note": { "type": "string", "minLength": 3, "maxLength": 80, "description": "Said beside." },
            "state": { "enum": ["open", "sent"] },
            "version": { "const": 2 },
            "rate": { "type": ["number", "null"], "minimum": 0, "exclusiveMaximum": 1 },
            "to": { "$ref": "https://example.org/order#/$defs/address", "description": "Where it goes." },
            "from": { "$ref": "#/$defs/address" },
            "by": { "allOf": [{ "$ref": "#/$defs/carrier" }], "title": "By" },
            "code": { "type": "string", "pattern": "^(?i)[a-z]+$" },
            "lines": {
                "type": "array", "minItems": 2, "maxItems": 9, "uniqueItems": true,
                "items": {
                    "type": "object", "additionalProperties": false, "required": ["name"],
                    "properties": { "name": { "type": "string", "pattern": "^[A-Z]" }, "web": { "type": "string", "format": "uri-reference" } },
                },
            },
            "pay": { "oneOf": [
                { "type": "object", "properties": { "card": { "type": "string" } }, "required": ["card"] },
                { "type": "string" },
            ] },
        },
        "$defs": {
            "address": { "type": "object", "properties": { "city": { "type": "string" } }, "required": ["city"] },
            "carrier": { "type": "string", "enum": ["road", "air"] },
        },
    })
}

#[test]
fn a_schema_in_each_subset_is_as_recorded() {
    let told = |subset| {
        let plan = planned(&order(), Dialect::JsonSchemaStrict, subset);
        assert!(plan.passed.is_empty(), "{:?}", plan.passed);
        plan.ask.response_format.expect("a format")["json_schema"]["schema"].clone()
    };
    let now = json!({ "openai": told(&OPENAI), "anthropic": told(&ANTHROPIC), "gemini": told(&GEMINI) });
    let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/schema/subsets.json");
    let recorded = fs::read_to_string(home).unwrap_or_default();
    let recorded: Json = serde_json::from_str(&recorded).unwrap_or_default();
    let written = serde_json::to_string_pretty(&now).expect("JSON");
    assert_eq!(now, recorded, "now:\n{written}");
    assert!(!written.contains("example.org") && !written.contains("ours alone"));
    for subset in ["openai", "anthropic", "gemini"] {
        assert!(
            Schema::compile(&now[subset], &SchemaLimits::default()).is_ok(),
            "{subset}"
        );
    }
}

#[test]
fn strict_is_said_where_the_vendor_wants_it() {
    let tool = planned(&order(), Dialect::ToolsStrict, &OPENAI)
        .ask
        .tools
        .remove(0);
    assert_eq!(tool["function"]["strict"], true);
    assert_eq!(tool["function"]["name"], "Order");
    let format = planned(&order(), Dialect::JsonSchemaStrict, &OPENAI)
        .ask
        .response_format;
    assert_eq!(format.expect("a format")["json_schema"]["strict"], true);
    let plain = planned(&order(), Dialect::JsonSchema, &GEMINI)
        .ask
        .response_format;
    assert_eq!(plain.expect("a format")["json_schema"].get("strict"), None);
}

/// What is passed over, and the mode in its place.
fn passed(members: &Json, dialect: Dialect, subset: &'static Subset) -> (Dialect, Vec<String>) {
    let schema = json!({ "type": "object", "properties": members, "$defs": {
        "node": { "type": "object", "properties": { "next": { "$ref": "#/$defs/node" } } },
    } });
    let plan = planned(&schema, dialect, subset);
    let misfits = plan.passed.iter().flat_map(|passed| match &passed.why {
        Unfit::Subset(_, misfits) => misfits.iter().map(ToString::to_string).collect(),
        other => vec![format!("{other:?}")],
    });
    (plan.dialect, misfits.collect())
}

fn leads_on(member: &Json, subset: &'static Subset, said: &str) {
    let members = json!({ "a": member, "b": { "type": "string" } });
    let (dialect, misfits) = passed(&members, Dialect::JsonSchemaStrict, subset);
    assert_eq!(dialect, Dialect::JsonSchema, "{member}");
    assert!(
        misfits.iter().any(|misfit| misfit == said),
        "{member}: {misfits:?}"
    );
}

#[test]
fn objects_that_a_subset_cannot_say_lead_to_the_next_mode() {
    for (member, subset, said) in [
        (
            json!({ "type": "object", "patternProperties": { "^a": {} }, "properties": { "x": { "type": "null" } } }),
            &OPENAI,
            "`patternProperties` at /properties/a",
        ),
        (
            json!({ "type": "object" }),
            &OPENAI,
            "`additionalProperties` at /properties/a (members of any name)",
        ),
        (
            json!({ "type": "object", "additionalProperties": { "type": "string" } }),
            &ANTHROPIC,
            "`additionalProperties` at /properties/a (members of any name)",
        ),
        (
            json!({ "type": "object", "properties": {}, "required": ["b"] }),
            &OPENAI,
            "`required` at /properties/a (a member that is not in `properties`)",
        ),
        (json!({}), &OPENAI, "`type` at /properties/a (there is none)"),
        (
            json!(true),
            &ANTHROPIC,
            "`type` at /properties/a (a schema that is `true` or `false`)",
        ),
        (
            json!({ "type": "array" }),
            &OPENAI,
            "`items` at /properties/a (there are none)",
        ),
        (
            json!({ "type": "array", "prefixItems": [{ "type": "string" }] }),
            &OPENAI,
            "`prefixItems` at /properties/a",
        ),
    ] {
        leads_on(&member, subset, said);
    }
}

#[test]
fn what_else_a_subset_cannot_say_leads_to_the_next_mode() {
    for (member, subset, said) in [
        (
            json!({ "type": "string", "not": { "const": "x" } }),
            &OPENAI,
            "`not` at /properties/a",
        ),
        (
            json!({ "type": "array", "items": { "type": "string" }, "contains": { "const": "x" } }),
            &GEMINI,
            "`contains` at /properties/a",
        ),
        (
            json!({ "allOf": [{ "type": "string" }, { "minLength": 1 }] }),
            &OPENAI,
            "`allOf` at /properties/a",
        ),
        (
            json!({ "type": "object", "properties": { "b": { "type": "null" } }, "dependentRequired": { "b": ["c"] } }),
            &GEMINI,
            "`dependentRequired` at /properties/a",
        ),
        (
            json!({ "enum": [{ "a": 1 }] }),
            &OPENAI,
            "`enum` at /properties/a (a value that is an object or a list)",
        ),
        (
            json!({ "$ref": "#/properties/b" }),
            &OPENAI,
            "`$ref` at /properties/a (it names no definition)",
        ),
        (
            json!({ "$ref": "#/$defs/node", "minProperties": 1 }),
            &OPENAI,
            "`minProperties` at /properties/a (beside `$ref`)",
        ),
        (
            json!({ "type": "string" }),
            &ANTHROPIC,
            "`$ref` at the root (it contains itself)",
        ),
    ] {
        leads_on(&member, subset, said);
    }
}

#[test]
fn subsets_have_their_sizes() {
    let strict = Dialect::ToolsStrict;
    let names: Vec<String> = (0..5_001).map(|n| format!("m{n}")).collect();
    let many: Json = names
        .iter()
        .map(|name| (name.clone(), json!({ "type": "null" })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let limits = SchemaLimits {
        subschemas_max: 10_000,
        bytes_max: 1 << 20,
        ..SchemaLimits::default()
    };
    let schema =
        Schema::compile(&json!({ "type": "object", "properties": many }), &limits).expect("a schema");
    let plan = plan(&schema, strict, |asked| {
        if asked == strict {
            Taken::Within(&OPENAI)
        } else {
            Taken::Whole
        }
    });
    assert_eq!(plan.dialect, Dialect::Tools);
    assert_eq!(
        plan.passed[0].to_string(),
        "mode `tools_strict`: OpenAI's strict subset does not have `properties` at the root (5001 members, at most 5000)"
    );
    let mut deep = json!({ "type": "string" });
    for _ in 0..11 {
        deep = json!({ "type": "object", "properties": { "a": deep }, "required": ["a"] });
    }
    let (_, misfits) = passed(&json!({ "a": deep }), strict, &OPENAI);
    assert_eq!(
        misfits,
        ["`properties` at the root (12 objects within each other, at most 10)"]
    );
    let words: Vec<String> = (0..251).map(|n| format!("{n:0>60}")).collect();
    let (_, misfits) = passed(&json!({ "a": { "enum": words } }), strict, &OPENAI);
    assert_eq!(
        misfits,
        ["`enum` at /properties/a (251 values of 15060 characters, at most 15000)"]
    );
    let optional: Json = (0..25)
        .map(|n| (format!("m{n}"), json!({ "type": ["string", "null"] })))
        .collect::<serde_json::Map<_, _>>()
        .into();
    let plan = planned(
        &json!({ "type": "object", "properties": optional }),
        strict,
        &ANTHROPIC,
    );
    let said = plan.passed[0].to_string();
    assert!(
        said.contains("(25 members that may be missing, at most 24)"),
        "{said}"
    );
    assert!(
        said.contains("(25 members that are unions, at most 16)"),
        "{said}"
    );
}

#[test]
fn no_more_than_eight_faults_are_told() {
    let members: Json = (0..30)
        .map(|n| (format!("m{n}"), json!({})))
        .collect::<serde_json::Map<_, _>>()
        .into();
    assert_eq!(passed(&members, Dialect::ToolsStrict, &OPENAI).1.len(), 8);
}

/// The value of an answer, where the model was told to say `null` of what is missing.
fn read(schema: &Schema, answer: &str) -> (Json, Vec<String>) {
    let closing = schema.closing_of_nulls();
    let mut draft = Draft::new(DraftOptions {
        guide: Some(closing.clone()),
        ..DraftOptions::default()
    });
    // A literal appears whole, so no cut shows one that is taken out again.
    for byte in answer.as_bytes() {
        draft.feed(std::slice::from_ref(byte));
        let shown = draft.value().map(|value| value.to_json()).unwrap_or_default();
        assert!(!shown.contains("\"age\":null"), "{shown}");
    }
    assert_eq!(draft.finish().end, End::Complete, "{answer}");
    let value = draft.value().expect("a value");
    let violations = schema.validate(&value);
    assert!(closing.violations().len() <= violations.len(), "{answer}");
    let told = violations
        .into_iter()
        .map(|violation| format!("{} {}", violation.path, violation.keyword));
    (
        serde_json::from_str(&value.to_json()).expect("JSON"),
        told.collect(),
    )
}

#[test]
fn null_is_taken_out_where_the_schema_lets_none_through() {
    let schema = compile(&json!({
        "type": "object", "required": ["name"], "additionalProperties": { "type": "string" },
        "properties": {
            "name": { "type": "string" }, "age": { "type": "integer" }, "nick": { "type": ["string", "null"] },
            "list": { "type": "array", "items": { "type": "integer" } },
            "any": true,
            "kid": { "anyOf": [{ "$ref": "#" }, { "type": "string" }] },
        },
    }));
    for (answer, value, faults) in [
        (r#"{"name":"a","age":null}"#, json!({"name": "a"}), vec![]),
        (
            r#"{"age": null , "name":"a","nick":null}"#,
            json!({"name": "a", "nick": null}),
            vec![],
        ),
        (
            r#"{"name":"a","any":null,"other":null}"#,
            json!({"name": "a", "any": null}),
            vec![],
        ),
        (
            r#"{"name":"a","kid":{"name":"b","age":null}}"#,
            json!({"name": "a", "kid": {"name": "b"}}),
            vec![],
        ),
        (
            r#"{"name":"a","kid":null,"age":1}"#,
            json!({"name": "a", "age": 1}),
            vec![],
        ),
        // Items are not members: nothing says that one may be missing.
        (
            r#"{"name":"a","list":[1,null]}"#,
            json!({"name": "a", "list": [1, null]}),
            vec!["/list/1 type"],
        ),
        (r#"{"name":null}"#, json!({}), vec![" required"]),
    ] {
        assert_eq!(
            read(&schema, answer),
            (value, faults.into_iter().map(str::to_owned).collect()),
            "{answer}"
        );
    }
    // Told otherwise, `null` is what it is.
    let mut draft = Draft::new(DraftOptions {
        guide: Some(schema.closing()),
        ..DraftOptions::default()
    });
    draft.feed(br#"{"name":"a","age":null}"#);
    assert_eq!(
        draft.value().map(|value| value.to_json()).as_deref(),
        Some(r#"{"name":"a","age":null}"#)
    );
}

/// A later member of the same name is the one that counts, `null` or not.
#[test]
fn null_over_a_member_of_its_name_stays() {
    let schema = compile(&json!({ "type": "object", "properties": { "ages": { "type": "integer" } } }));
    let (value, faults) = read(&schema, r#"{"ages":1,"ages":null}"#);
    assert_eq!(
        (value, faults),
        (json!({"ages": null}), vec!["/ages type".to_owned()])
    );
}
