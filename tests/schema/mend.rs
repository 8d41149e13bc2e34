//! What of a faulty value is asked for again: which places, and by which schema.

use livedraft::partial::{Folded, Graft, Op};
use livedraft::schema::BadPlace;
use proptest::prelude::*;

use super::*;

/// The places, or `None` for the whole.
fn places(schema: &Json, text: &str) -> Option<Vec<String>> {
    let schema = compile(schema);
    let value = value(text);
    let bad = schema.bad_places(&value, &schema.validate(&value), 16)?;
    Some(bad.into_iter().map(|place| place.pointer).collect())
}

fn part(schema: &Json, text: &str, places: &[&str]) -> Option<Json> {
    let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
    compile(schema).part(&value(text), &places)
}

/// Fills a value up, so that what is bad in it is less than half.
const PAD: &str =
    r#""pad":"Lorem ipsum dolor sit amet, consetetur sadipscing elitr, sed diam nonumy eirmod""#;

#[test]
fn the_fewest_places_that_can_heal_are_found() {
    let schema = json!({
        "type": "object",
        "properties": {
            "pad": { "type": "string" },
            "n": { "type": "integer", "minimum": 1, "multipleOf": 2 },
            "e": { "enum": ["a", "b"] },
            "c": { "const": 1 },
            "s": { "type": "string", "minLength": 2, "pattern": "^a", "format": "date" },
            "o": {
                "type": "object",
                "properties": { "x": { "type": "integer" }, "y": { "type": "integer" }, "never": false },
                "required": ["x"],
                "additionalProperties": false,
                "maxProperties": 2,
            },
            "l": { "type": "array", "items": { "type": "integer" }, "uniqueItems": true, "maxItems": 3 },
            "u": { "anyOf": [{ "type": "integer" }, { "type": "null" }] },
            "m": { "oneOf": [{ "type": "object", "properties": { "k": { "const": 1 } } }, { "type": "array" }] },
            "d": { "dependentRequired": { "a": ["b"] }, "propertyNames": { "maxLength": 1 } },
            "has": { "type": "array", "contains": { "const": 7 } },
            "not": { "not": { "const": 0 } },
            "a/b": { "type": "object", "required": ["~"], "properties": { "~": true } },
        },
    });
    for (members, expected) in [
        (r#""n":"x""#, &["/n"][..]),
        (r#""n":-1"#, &["/n"]),
        (r#""e":"z","c":2"#, &["/e", "/c"]),
        (r#""s":"b""#, &["/s"]),
        (r#""o":{}"#, &["/o/x"]),
        (r#""o":{"x":"1"}"#, &["/o/x"]),
        (r#""o":{"x":"1","z":1}"#, &["/o"]),
        (r#""o":{"y":"1"}"#, &["/o/x", "/o/y"]),
        (r#""o":{"x":1,"never":1}"#, &["/o"]),
        (r#""l":[1,"2",3]"#, &["/l/1"]),
        (r#""l":[1,"2","3"]"#, &["/l/1", "/l/2"]),
        (r#""l":[1,1]"#, &["/l"]),
        (r#""l":[1,2,3,"4"]"#, &["/l"]),
        (r#""u":"x""#, &["/u"]),
        (r#""m":{"k":2}"#, &["/m"]),
        (r#""d":{"a":1}"#, &["/d"]),
        (r#""d":{"long":1}"#, &["/d"]),
        (r#""has":[1]"#, &["/has"]),
        (r#""not":0"#, &["/not"]),
        (r#""a/b":{}"#, &["/a~1b/~0"]),
    ] {
        let text = format!("{{{PAD},{members}}}");
        let mut found = places(&schema, &text).unwrap_or_else(|| panic!("the whole: {members}"));
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{members}");
    }
}

#[test]
fn the_whole_is_asked_for_where_places_cannot_heal() {
    let root = json!({ "type": "object", "additionalProperties": false, "properties": { "pad": true } });
    assert_eq!(
        places(&root, &format!("{{{PAD},\"x\":1}}")),
        None,
        "the root's own fault"
    );
    assert_eq!(places(&root, "[]"), None, "another type");
    let free = json!({ "type": "object", "required": ["x"] });
    assert_eq!(
        places(&free, &format!("{{{PAD}}}")),
        None,
        "nothing is said of what is missing"
    );
    let list = json!({ "type": "array", "items": { "type": "integer" } });
    assert_eq!(places(&list, r#"[1,2,3,"4"]"#), Some(vec!["/3".to_owned()]));
    assert_eq!(
        places(&list, r#"[1,"two and more"]"#),
        None,
        "more than half of it is bad"
    );
    assert_eq!(
        places(&json!({ "properties": { "a": true } }), "{}"),
        None,
        "nothing is bad"
    );
    let many = |count: usize| {
        let items: Vec<Json> = (0..count).map(|_| json!("")).collect();
        format!("{{{PAD},\"l\":{}}}", json!(items))
    };
    let schema = json!({ "properties": { "l": { "type": "array", "items": { "type": "integer" } } } });
    assert_eq!(places(&schema, &many(16)).map(|places| places.len()), Some(16));
    assert_eq!(places(&schema, &many(17)), None, "over the bound of places");
    assert_eq!(
        places(&schema, &many(40)),
        None,
        "there may be more than are listed"
    );
}

/// A branch that says something of a place, too, makes the place around it the one that is asked for.
#[test]
fn a_place_in_a_branch_is_asked_for_with_what_is_around_it() {
    let schema = json!({
        "properties": {
            "o": {
                "type": "object",
                "properties": { "kind": { "type": "string" }, "n": { "type": "integer" }, "free": { "type": "integer" } },
                "anyOf": [
                    { "properties": { "kind": { "const": "a" }, "n": { "minimum": 5 } } },
                    { "properties": { "kind": { "const": "b" } } },
                ],
            },
            "p": { "type": "object", "properties": { "n": { "type": "integer" } },
                   "if": { "required": ["x"] }, "then": { "properties": { "n": { "minimum": 5 } } } },
        },
    });
    for (members, expected) in [
        (r#""o":{"kind":"b","n":"x"}"#, "/o"),
        (r#""o":{"kind":"b","free":"x"}"#, "/o/free"),
        (r#""p":{"n":"x"}"#, "/p"),
    ] {
        let found = places(&schema, &format!("{{{PAD},{members}}}"));
        assert_eq!(found, Some(vec![expected.to_owned()]), "{members}");
    }
}

#[test]
fn each_place_knows_what_is_wrong_there_or_within() {
    let schema = compile(&json!({
        "properties": { "o": { "properties": { "x": { "type": "integer" } }, "maxProperties": 1 } },
    }));
    let value = value(&format!("{{{PAD},\"o\":{{\"x\":\"1\",\"y\":2}}}}"));
    let bad = schema.bad_places(&value, &schema.validate(&value), 16);
    let [BadPlace { pointer, violations }] = &bad.expect("a place")[..] else {
        panic!("one place holds the other");
    };
    assert_eq!(pointer, "/o");
    let mut said: Vec<&str> = violations
        .iter()
        .map(|violation| violation.path.as_str())
        .collect();
    said.sort_unstable();
    assert_eq!(said, ["/o", "/o/x"]);
}

#[test]
fn the_schema_of_places_has_them_alone() {
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.org/report",
        "title": "Report",
        "description": "All of it.",
        "type": "object",
        "properties": {
            "user": { "$ref": "#/$defs/user" },
            "tags": { "type": "array", "prefixItems": [{ "const": "first" }], "items": { "$ref": "#/$defs/tag" } },
            "twice": { "type": "integer", "description": "How often." },
        },
        "patternProperties": { "^tw": { "minimum": 0 } },
        "additionalProperties": { "type": "boolean" },
        "$defs": {
            "user": { "type": "object", "properties": { "tag": { "$ref": "https://example.org/report#/$defs/tag" } } },
            "tag": { "type": "string", "x-stream": "atomic" },
            "unused": { "type": "null" },
        },
    });
    let text = r#"{"user":{},"tags":["first","x"],"twice":1}"#;
    let part = part(
        &schema,
        text,
        &["/user/tag", "/tags/0", "/tags/1", "/twice", "/other"],
    );
    assert_eq!(
        part.expect("all are known"),
        json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "title": "Report",
            "description": "The parts of the result that have to be corrected, each for the place that its description names.",
            "type": "object",
            "properties": {
                "fix_1": { "$ref": "#/$defs/tag", "description": "For /user/tag." },
                "fix_2": { "const": "first", "description": "For /tags/0." },
                "fix_3": { "$ref": "#/$defs/tag", "description": "For /tags/1." },
                "fix_4": { "allOf": [{ "type": "integer", "description": "How often." }, { "minimum": 0 }],
                           "description": "For /twice." },
                "fix_5": { "type": "boolean", "description": "For /other." },
            },
            "required": ["fix_1", "fix_2", "fix_3", "fix_4", "fix_5"],
            "additionalProperties": false,
            "$defs": { "tag": { "type": "string", "x-stream": "atomic" } },
        })
    );
}

/// References to the document as such, to anchors and into places that are no definitions still lead somewhere.
#[test]
fn every_reference_resolves_in_the_schema_of_places() {
    let tree = json!({
        "title": "Tree", "type": "object", "required": ["v"],
        "properties": {
            "v": { "type": "integer" },
            "kids": { "type": "array", "items": { "$ref": "#" } },
            "same": { "$ref": "#/properties/v" },
            "named": { "$ref": "#leaf" },
        },
        "$defs": { "leaf": { "$anchor": "leaf", "type": "string" }, "chain": { "$ref": "#/$defs/leaf" } },
    });
    let text = r#"{"v":1,"kids":[{"v":2}],"same":3,"named":"x"}"#;
    for (place, good, bad) in [
        ("/kids/0", r#"{"v":2,"kids":[{"v":3}]}"#, r#"{"v":2,"kids":[{}]}"#),
        ("/kids/0/v", "1", r#""1""#),
        ("/same", "1", r#""1""#),
        ("/named", r#""x""#, "1"),
    ] {
        let part = compile(&part(&tree, text, &[place]).unwrap_or_else(|| panic!("{place}")));
        assert!(is_valid(&part, &format!(r#"{{"fix_1":{good}}}"#)), "{place}");
        assert!(!is_valid(&part, &format!(r#"{{"fix_1":{bad}}}"#)), "{place}");
    }
    let seven = json!({
        "$schema": "http://json-schema.org/draft-07/schema#", "type": "object",
        "properties": { "a": { "$ref": "#/definitions/n" } },
        "definitions": { "n": { "type": "integer" } },
    });
    let part = compile(&part(&seven, r#"{"a":1}"#, &["/a"]).expect("known"));
    assert!(is_valid(&part, r#"{"fix_1":2}"#) && !is_valid(&part, r#"{"fix_1":"2"}"#));
}

#[test]
fn nothing_is_made_up_for_a_place_that_is_not_known() {
    let schema = json!({ "properties": { "l": { "type": "array", "items": { "type": "integer" } } } });
    for place in ["", "/l/1", "/l/x", "/x", "/l/0/y", "l"] {
        assert_eq!(part(&schema, r#"{"l":[1]}"#, &[place]), None, "{place}");
    }
}

#[test]
fn a_schema_of_places_is_no_longer_than_a_schema_may_be() {
    let long =
        json!({ "properties": { "l": { "items": { "type": "integer", "description": "x".repeat(400) } } } });
    let limits = SchemaLimits {
        bytes_max: 1_000,
        ..SchemaLimits::default()
    };
    let schema = Schema::compile(&long, &limits).expect("it is within");
    let value = value(r#"{"l":[1,2,3]}"#);
    let part = |places: &[&str]| {
        let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
        schema.part(&value, &places)
    };
    assert!(part(&["/l/0", "/l/1"]).is_some());
    assert_eq!(part(&["/l/0", "/l/1", "/l/2"]), None);
}

/// A report with all that a place can be, and where it can be broken.
fn report() -> (Json, Json, [&'static str; 11]) {
    let schema = json!({
        "title": "Report", "type": "object", "required": ["head", "rows"],
        "properties": {
            "head": {
                "type": "object", "required": ["title", "date"],
                "properties": { "title": { "type": "string", "minLength": 3 }, "date": { "type": "string", "format": "date" } },
                "additionalProperties": false,
            },
            "rows": { "type": "array", "minItems": 2, "items": { "$ref": "#/$defs/row" } },
            "note": { "anyOf": [{ "type": "string" }, { "type": "null" }] },
            "extra": { "type": "object", "patternProperties": { "^n_": { "type": "number" } },
                       "additionalProperties": { "type": "array", "items": { "enum": ["x", "y"] } } },
        },
        "$defs": {
            "row": { "type": "object", "required": ["id", "sum"],
                     "allOf": [{ "properties": { "id": { "minimum": 1 } } }],
                     "properties": { "id": { "type": "integer" }, "sum": { "type": "number" },
                                     "sub": { "type": "array", "items": { "$ref": "#/$defs/row" } } } },
        },
    });
    let good = json!({
        "head": { "title": "Months of a year and what they were like", "date": "2026-11-21" },
        "rows": [
            { "id": 1, "sum": 1.5, "sub": [{ "id": 3, "sum": 0 }, { "id": 4, "sum": 1, "sub": [] }] },
            { "id": 2, "sum": -2 },
            { "id": 5, "sum": 1e3 },
        ],
        "note": "Nothing else is to be said about the months that this report is all about, as far as we know.",
        "extra": { "n_1": 1, "l": ["x", "y"] },
    });
    let places = [
        "/head/title",
        "/head/date",
        "/rows/0/id",
        "/rows/0/sub/1/sum",
        "/rows/0/sub/0",
        "/rows/1",
        "/rows/2/id",
        "/note",
        "/extra/n_1",
        "/extra/l/1",
        "/extra/l",
    ];
    (schema, good, places)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// Whatever is broken how: what was right at the places heals the value, and their schema takes it.
    #[test]
    fn what_was_right_at_the_places_heals_the_value(
        broken in prop::sample::subsequence(report().2.to_vec(), 1..5),
        wrong in prop::sample::select(vec![json!(null), json!(""), json!(-1), json!([1]), json!({}), json!(false)]),
        gone in any::<bool>(),
        alien in any::<bool>(),
    ) {
        let (schema, good, _) = report();
        let mut bad = good.clone();
        for (index, place) in broken.iter().enumerate() {
            let (parent, name) = place.rsplit_once('/').expect("a pointer");
            let around = bad.pointer_mut(parent);
            match around {
                Some(Json::Object(members)) if gone && index == 0 => {
                    members.remove(name);
                }
                _ => {
                    if let Some(place) = bad.pointer_mut(place) {
                        *place = wrong.clone();
                    }
                }
            }
        }
        if alien && let Some(head) = bad.pointer_mut("/head").and_then(Json::as_object_mut) {
            head.insert("alien".to_owned(), json!(1));
        }
        let schema = compile(&schema);
        let (bad, good) = (value(&bad.to_string()), value(&good.to_string()));
        let violations = schema.validate(&bad);
        let Some(places) = schema.bad_places(&bad, &violations, 16) else {
            return Ok(());
        };
        let pointers: Vec<String> = places.iter().map(|place| place.pointer.clone()).collect();
        let told: usize = places.iter().map(|place| place.violations.len()).sum();
        prop_assert_eq!(told, violations.len(), "each is told once");
        prop_assert!(Graft::new(bad.clone(), &pointers).is_some(), "they can be replaced");
        let right = Folded { value: Some(good), cursor: None };
        let mut healed = Folded { value: Some(bad.clone()), cursor: None };
        let mut answer: Vec<String> = Vec::new();
        for (index, path) in pointers.iter().enumerate() {
            let value = right.at(path).expect("the good value has it").clone();
            answer.push(format!("\"{}\":{value}", Graft::member(index)));
            healed.apply(Op::Set { path: path.clone(), value }).expect("it can be set");
        }
        prop_assert!(schema.validate(&healed.value.expect("a value")).is_empty());
        let part = compile(&schema.part(&bad, &pointers).expect("they are known"));
        let answer = format!("{{{}}}", answer.join(","));
        prop_assert_eq!(part.validate(&value(&answer)), [], "{}", answer);
    }
}
