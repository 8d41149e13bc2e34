//! Schemas of every kind.

use serde_json::{Value, json};

pub(super) fn person() -> Value {
    json!({
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "email": {"type": "string", "format": "email"},
            "age": {"type": "integer", "minimum": 18, "maximum": 99},
            "city": {"type": "string"},
            "skills": {"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": true},
            "bio": {"type": "string"},
            "contact": {"type": "object", "properties": {"phone": {"type": "string"}}, "required": ["phone"]}
        },
        "required": ["name", "email", "age", "city", "skills", "bio"],
        "additionalProperties": false
    })
}

/// Schemas whose values must conform; each is tried with many seeds.
pub(super) fn table() -> Vec<Value> {
    let mut table = scalars();
    table.extend(containers());
    table.extend(combinations());
    table.push(person());
    table
}

fn scalars() -> Vec<Value> {
    let mut table = vec![
        json!(true),
        json!({}),
        json!({"type": "string"}),
        json!({"type": "null"}),
        json!({"type": "boolean"}),
        json!({"type": ["string", "null"]}),
        json!({"type": ["integer", "boolean"]}),
        json!({"const": {"a": [1, null]}}),
        json!({"enum": ["red", 3, null]}),
        json!({"type": "string", "enum": ["red", 3, null]}),
        json!({"type": "string", "minLength": 300, "maxLength": 305}),
        json!({"type": "string", "maxLength": 3}),
        json!({"maxLength": 0, "type": "string"}),
        json!({"type": "integer", "minimum": 7, "maximum": 7}),
        json!({"type": "integer", "exclusiveMinimum": 7, "exclusiveMaximum": 9}),
        json!({"type": "integer", "minimum": -3.5, "maximum": -2.5}),
        json!({"type": "integer", "multipleOf": 2.5}),
        json!({"type": "integer", "minimum": 1_000_001, "multipleOf": 7}),
        json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.001}),
        json!({"type": "number", "minimum": 0.15, "maximum": 0.18}),
        json!({"type": "number", "multipleOf": 0.5, "minimum": 3.2}),
        json!({"type": "number", "maximum": -1e12}),
        json!({"minimum": 1000}),
        json!({"type": "string", "examples": ["alpha", "beta"], "default": "gamma"}),
        json!({"type": "integer", "maximum": 5, "default": 90, "examples": [70]}),
    ];
    for format in [
        "date",
        "date-time",
        "time",
        "duration",
        "email",
        "uuid",
        "uri",
        "uri-reference",
        "hostname",
        "ipv4",
        "ipv6",
        "json-pointer",
        "regex",
    ] {
        table.push(json!({"type": "string", "format": format}));
    }
    for pattern in [
        "^[A-Z]{3}-[0-9]{4}$",
        "^(?:red|green)+$",
        r"^\d{3}\.\d{2}$",
        "^[^a-f]{2,6}x?$",
        r"^\+?[1-9]\d{1,14}$",
        r"^[\w.-]+@[\w-]+\.[a-z]{2,}$",
        "colou?r",
        "^$",
    ] {
        table.push(json!({"type": "string", "pattern": pattern}));
    }
    table.push(json!({"type": "string", "pattern": "^[a-z]+$", "minLength": 40, "maxLength": 60}));
    table
}

fn containers() -> Vec<Value> {
    vec![
        json!({"type": "array"}),
        json!({"type": "array", "items": {"type": "integer"}, "minItems": 9}),
        json!({"type": "array", "items": {"type": "integer"}, "maxItems": 1}),
        json!({"type": "array", "items": {"enum": ["a", "b", "c", "d"]}, "uniqueItems": true, "minItems": 3}),
        json!({"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": false, "minItems": 2}),
        json!({"prefixItems": [{"type": "integer"}], "items": {"type": "boolean"}, "minItems": 4, "type": "array"}),
        json!({"type": "array", "contains": {"const": 5}, "items": {"type": "integer"}, "minContains": 2}),
        json!({"type": "object"}),
        json!({"type": "object", "required": ["a", "b"]}),
        json!({"type": "object", "additionalProperties": {"type": "integer"}, "minProperties": 12}),
        json!({"type": "object", "patternProperties": {"^x-[a-z]{4}$": {"type": "number"}}, "additionalProperties": false}),
        json!({"type": "object", "propertyNames": {"enum": ["p", "q"]}, "additionalProperties": {"type": "string"}}),
        json!({"type": "object", "properties": {"a": {"type": "integer"}, "b": false}, "maxProperties": 1}),
        json!({"properties": {"a": {}, "b": {"type": "null"}}, "dependentRequired": {"a": ["b", "c"]}, "required": ["a"]}),
        json!({"properties": {"card": {"type": "integer"}}, "required": ["card"],
            "dependentSchemas": {"card": {"properties": {"bill": {"const": "x"}}, "required": ["bill"]}}}),
        json!({"type": "object", "properties": {"a/b": {"type": "object", "properties": {"~c": {"type": "integer"}},
            "required": ["~c"]}}, "required": ["a/b"]}),
    ]
}

fn combinations() -> Vec<Value> {
    vec![
        json!({"$defs": {"n": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {"anyOf":
            [{"$ref": "#/$defs/n"}, {"type": "null"}]}}, "required": ["v", "next"]}}, "$ref": "#/$defs/n"}),
        json!({"type": "object", "properties": {"name": {"type": "string"}, "children": {"type": "array", "items":
            {"$ref": "#"}}}, "required": ["name", "children"]}),
        json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}, "size": {"type":
            "integer"}}, "required": ["size"]}),
        json!({"definitions": {"a~b": {"type": "integer"}}, "$ref": "#/definitions/a~0b"}),
        json!({"$defs": {"x": {"$anchor": "here", "type": "boolean"}}, "properties": {"y": {"$ref": "#here"}},
            "required": ["y"]}),
        json!({"allOf": [{"type": "object", "properties": {"a": {"type": "number", "minimum": 5}}, "required": ["a"]},
            {"properties": {"a": {"type": "integer", "maximum": 6}, "b": {"type": "string"}}, "required": ["b"]}]}),
        json!({"allOf": [{"enum": [1, 2, 3]}, {"enum": [3, 4]}]}),
        json!({"anyOf": [{"type": "string", "maxLength": 5}, {"type": "array", "items": {"type": "integer"}}]}),
        json!({"type": "array", "minItems": 6, "items": {"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "circle"}, "radius": {"type": "number"}},
                "required": ["kind", "radius"]},
            {"type": "object", "properties": {"kind": {"const": "box"}, "width": {"type": "number"}},
                "required": ["kind", "width"]}]}}),
        json!({"properties": {"a": {"type": "integer"}}, "required": ["a"], "anyOf": [{"required": ["b"]}, {"required": ["c"]}]}),
        json!({"oneOf": [{"type": "number"}, {"type": "integer", "minimum": 50}]}),
        json!({"type": "integer", "minimum": 1, "maximum": 3, "not": {"const": 2}}),
        json!({"type": "string", "default": "DROP", "pattern": "^[a-z]{3}$"}),
        json!({"type": "object", "properties": {"kind": {"enum": ["x", "y"]}}, "required": ["kind"],
            "if": {"properties": {"kind": {"const": "x"}}}, "then": {"required": ["extra"]}}),
    ]
}
