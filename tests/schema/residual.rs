//! What stands of an answer that broke off, and what is asked for.

use std::collections::BTreeMap;

use super::*;
use livedraft::partial::{Draft, DraftOptions, Folded, Graft, Op, Spot, parse_ops, path};
use livedraft::schema::{Broken, Residual};
use proptest::collection::vec;
use proptest::prelude::*;

/// What of `text` is seen where it breaks off, and what is open there.
fn broken_off(schema: &Schema, text: &[u8]) -> (Option<Value>, Broken) {
    let mut draft = Draft::new(DraftOptions {
        guide: Some(schema.closing()),
        ..DraftOptions::default()
    });
    draft.feed(text);
    let at = draft.open_paths();
    let broken = Broken {
        at,
        ..Broken::default()
    };
    (draft.value(), broken)
}

fn residual(schema: &Json, text: &str) -> Option<Residual> {
    let schema = compile(schema);
    let (held, broken) = broken_off(&schema, text.as_bytes());
    schema.residual(held?, &broken, 16)
}

/// What stands, and the places with their schemas' interesting members.
fn said(schema: &Json, text: &str) -> Option<(String, Vec<(Spot, Json)>)> {
    let residual = residual(schema, text)?;
    let compiled = compile(schema);
    let rest = compiled.rest(&residual.kept, &residual.spots);
    let rest = rest.unwrap_or_else(|| panic!("{residual:?}"));
    let spots = residual.spots.iter().enumerate().map(|(index, spot)| {
        let mut schema = rest["properties"][spot.member(index)].clone();
        schema
            .as_object_mut()
            .map(|schema| schema.shift_remove("description"));
        (spot.clone(), schema)
    });
    Some((residual.kept.to_json(), spots.collect()))
}

fn rest(pointer: &str) -> Spot {
    Spot::Rest(pointer.to_owned())
}

fn fix(pointer: &str) -> Spot {
    Spot::Fix(pointer.to_owned())
}

fn report() -> Json {
    json!({
        "title": "Report", "type": "object", "required": ["title", "rows", "summary"],
        "properties": {
            "title": { "type": "string" },
            "rows": { "type": "array", "minItems": 3, "maxItems": 9, "items": { "$ref": "#/$defs/row" } },
            "summary": { "type": "string" }, "note": { "type": "string" },
        },
        "additionalProperties": false,
        "$defs": { "row": { "type": "object", "required": ["id", "text"], "properties": {
            "id": { "type": "integer" }, "text": { "type": "string" } } } },
    })
}

#[test]
fn closed_members_and_items_stay_and_the_rest_is_asked_for() {
    let told = said(
        &report(),
        r#"{"title":"A","rows":[{"id":1,"text":"x"},{"id":2,"text":"half"#,
    );
    let (kept, spots) = told.expect("it can be told");
    assert_eq!(kept, r#"{"title":"A","rows":[{"id":1,"text":"x"},{"id":2}]}"#);
    let row =
        json!({ "properties": { "text": { "type": "string" } }, "required": ["text"], "type": "object" });
    let rows = json!({ "minItems": 1, "maxItems": 7, "items": { "$ref": "#/$defs/row" }, "type": "array" });
    let root = json!({
        "required": ["summary"], "type": "object", "additionalProperties": false,
        "properties": { "summary": { "type": "string" }, "note": { "type": "string" } },
    });
    assert_eq!(
        spots,
        [(rest("/rows/1"), row), (rest("/rows"), rows), (rest(""), root)]
    );
}

#[test]
fn numbers_that_may_go_on_are_not_kept() {
    let told = said(&report(), r#"{"title":"A","rows":[{"id":12"#).expect("it can be told");
    assert_eq!(told.0, r#"{"title":"A","rows":[{}]}"#);
}

/// Nobody waits for members that are only not forbidden.
#[test]
fn what_can_lack_nothing_is_not_asked_for() {
    let pair = json!({ "type": "object", "required": ["a"], "properties": { "a": { "type": "integer" } } });
    let schema = json!({ "type": "object", "properties": { "x": pair, "y": { "type": "integer" } } });
    let told = said(&schema, r#"{"x":{"a":1"#).expect("it can be told");
    assert_eq!(told.0, r#"{"x":{}}"#);
    let told = said(&schema, r#"{"x":{"a":1 "#).expect("it can be told");
    assert_eq!(
        told.1.iter().map(|(spot, _)| spot.clone()).collect::<Vec<_>>(),
        [rest("")]
    );
    let whole = residual(&schema, r#"{"x":{"a":1},"y":2 "#).expect("it can be told");
    assert_eq!(whole.spots, []);
    let full =
        json!({ "type": "object", "properties": { "l": { "items": { "type": "integer" }, "maxItems": 2 } } });
    assert_eq!(
        residual(&full, r#"{"l":[1,2 "#).map(|residual| residual.spots),
        Some(vec![])
    );
    let tuple =
        json!({ "type": "object", "properties": { "l": { "prefixItems": [true, true], "items": false } } });
    assert_eq!(
        residual(&tuple, r#"{"l":[1,2 "#).map(|residual| residual.spots),
        Some(vec![])
    );
    let map = json!({ "type": "object", "additionalProperties": { "type": "integer" } });
    let told = said(&map, r#"{"a":1,"b":2,"c"#).expect("it can be told");
    assert_eq!(
        told.1,
        [(
            rest(""),
            json!({ "additionalProperties": { "type": "integer" }, "type": "object" })
        )]
    );
}

/// What decides over a container that is only begun goes with it.
#[test]
fn where_the_rest_cannot_be_told_what_is_around_it_lacks_it() {
    let text = r#"{"a":"x","l":[{"k":"p","v":[1]},{"k":"q","v":[1,2 "#;
    let branch = |kind: &str| json!({ "type": "object", "required": ["k", "v"], "properties": { "k": { "const": kind }, "v": { "type": "array" } } });
    let union = json!({ "oneOf": [branch("p"), branch("q")] });
    for (item, kept) in [
        (union, r#"{"a":"x","l":[{"k":"p","v":[1]}]}"#),
        (
            json!({ "if": { "required": ["w"] }, "then": false }),
            r#"{"a":"x","l":[{"k":"p","v":[1]}]}"#,
        ),
        (
            json!({ "dependentRequired": { "k": ["v"] } }),
            r#"{"a":"x","l":[{"k":"p","v":[1]}]}"#,
        ),
        (
            json!({ "properties": { "v": { "uniqueItems": true } } }),
            r#"{"a":"x","l":[{"k":"p","v":[1]},{"k":"q"}]}"#,
        ),
        (
            json!({ "properties": { "v": { "contains": { "const": 2 } } } }),
            r#"{"a":"x","l":[{"k":"p","v":[1]},{"k":"q"}]}"#,
        ),
        (
            json!({ "anyOf": [branch("q"), { "type": "null" }] }),
            r#"{"a":"x","l":[{"k":"p","v":[1]},{"k":"q","v":[1,2]}]}"#,
        ),
    ] {
        let schema =
            json!({ "type": "object", "properties": { "a": true, "l": { "type": "array", "items": item } } });
        let residual = residual(&schema, text).expect("the root can be told");
        assert_eq!(residual.kept.to_json(), kept, "{schema}");
        let rest = compile(&schema).rest(&residual.kept, &residual.spots);
        let rest = rest.unwrap_or_else(|| panic!("{schema}"));
        Schema::compile(&rest, &SchemaLimits::default()).expect("a schema");
    }
    let root = json!({ "oneOf": [branch("p"), branch("q")] });
    assert_eq!(residual(&root, r#"{"k":"p","v":[1],"#), None);
    for nothing in [r#"{"title":"ha"#, "{", "[", "\"text", "12"] {
        assert_eq!(residual(&report(), nothing), None, "{nothing}");
    }
}

#[test]
fn what_has_closed_and_is_wrong_is_asked_for_anew() {
    let text = r#"{"title":7,"rows":[{"id":"1","text":"x"},{"id":2,"te"#;
    let residual = residual(&report(), text).expect("it can be told");
    let spots = [
        rest("/rows/1"),
        rest("/rows"),
        rest(""),
        fix("/title"),
        fix("/rows/0/id"),
    ];
    assert_eq!(residual.spots, spots);
    assert_eq!(residual.bad[1].violations[0].message, "must be an integer");
    let none = compile(&report());
    let (held, broken) = broken_off(&none, text.as_bytes());
    let residual = none
        .residual(held.expect("a value"), &broken, 1)
        .expect("it can be told");
    assert_eq!(residual.bad, [], "that is more than may be");
}

/// An answer for the rest that broke off, too: what was asked for says how far it is open.
#[test]
fn a_rest_that_broke_off_is_gone_on_with() {
    let schema = compile(&report());
    let held =
        value(r#"{"title":"half","rows":[{"id":1,"text":"x"},{"id":2},{"id":3,"text":"ha"}],"summary":"s"}"#);
    let broken = |at: &[&str], spots: &[Spot]| Broken {
        at: at.iter().map(|at| (*at).to_owned()).collect(),
        spots: spots.to_vec(),
        dropped: None,
    };
    let asked = [fix("/title"), rest("/rows/1"), rest("/rows"), rest("")];
    let told = |broken: &Broken| schema.residual(held.clone(), broken, 16).expect("it can be told");
    let residual = told(&broken(&["/rows/2/text", "/title", "/rows/1"], &asked));
    assert_eq!(
        residual.kept.to_json(),
        r#"{"title":"half","rows":[{"id":1,"text":"x"},{"id":2},{"id":3}],"summary":"s"}"#
    );
    assert_eq!(
        residual.spots,
        [
            rest("/rows/1"),
            rest("/rows/2"),
            rest("/rows"),
            rest(""),
            fix("/title")
        ]
    );
    // Of what was asked for alone nothing else is open.
    let residual = told(&broken(&["/title"], &[fix("/title")]));
    assert_eq!(
        residual.spots,
        [fix("/rows/1/text"), fix("/title")],
        "what is wrong there, too"
    );
    assert_eq!(residual.kept, held);
    let residual = told(&Broken {
        dropped: Some("/rows".to_owned()),
        ..broken(&["/rows/2/text"], &[])
    });
    assert_eq!(
        residual.spots.last(),
        Some(&fix("/rows")),
        "it is in the middle: {residual:?}"
    );
}

/// A schema, and a value that is valid against it.
fn pairs() -> impl Strategy<Value = (Json, Json)> {
    let scalar = prop_oneof![
        "[a-z\"\\\\é😀 \n]{0,12}".prop_map(|text| (json!({ "type": "string" }), json!(text))),
        any::<i32>().prop_map(|number| (json!({ "type": "integer" }), json!(number))),
        (0_u32..1000).prop_map(|number| (
            json!({ "type": "number", "minimum": 0 }),
            json!(f64::from(number) / 8.0)
        )),
        any::<bool>().prop_map(|flag| (json!({ "type": "boolean" }), json!(flag))),
        Just((json!({ "type": "null" }), Json::Null)),
        prop::sample::select(vec!["red", "green"])
            .prop_map(|one| (json!({ "enum": ["red", "green"] }), json!(one))),
        Just((json!(true), json!({ "any": [1, { "x": "y" }] }))),
    ];
    scalar.prop_recursive(4, 40, 5, |inner| {
        let members = vec(("[a-d/~]{1,2}", inner.clone(), any::<bool>(), 0_u8..4), 0..5);
        let object = (members, any::<bool>(), 0_u8..6)
            .prop_map(|(members, closed, also)| object(members, closed, also));
        let array = (inner.clone(), 0_usize..5, 0_u8..6)
            .prop_map(|((schema, value), count, also)| array(&schema, &value, count, also));
        let tuple = vec(inner.clone(), 1..4).prop_map(|items| {
            let (schemas, values): (Vec<Json>, Vec<Json>) = items.into_iter().unzip();
            (
                json!({ "type": "array", "prefixItems": schemas, "minItems": values.len() }),
                json!(values),
            )
        });
        let optional = inner
            .clone()
            .prop_map(|(schema, value)| (json!({ "anyOf": [schema, { "type": "null" }] }), value));
        let union = (inner.clone(), inner)
            .prop_map(|((one, value), (other, _))| (json!({ "anyOf": [one, other] }), value));
        prop_oneof![4 => object, 4 => array, 1 => tuple, 1 => optional, 1 => union]
    })
}

type Member = (String, (Json, Json), bool, u8);

fn object(members: Vec<Member>, closed: bool, also: u8) -> (Json, Json) {
    let members: BTreeMap<String, ((Json, Json), bool, u8)> = members
        .into_iter()
        .map(|(name, pair, required, there)| (name, (pair, required, there)))
        .collect();
    let mut value = serde_json::Map::new();
    let (mut properties, mut demanded) = (serde_json::Map::new(), Vec::new());
    for (name, ((schema, member), required, there)) in members.into_iter().rev() {
        properties.insert(name.clone(), schema);
        if required {
            demanded.push(json!(name));
        }
        if required || there > 0 {
            value.insert(name, member);
        }
    }
    let count = value.len();
    let mut schema = json!({ "type": "object", "properties": properties, "required": demanded });
    if closed {
        schema["additionalProperties"] = json!(false);
    }
    match also {
        1 => schema["minProperties"] = json!(count),
        2 => schema["maxProperties"] = json!(count),
        3 if !closed => {
            schema["additionalProperties"] = json!({ "type": "integer" });
            value.insert("more".to_owned(), json!(count));
            value.insert("most".to_owned(), json!(-1));
        }
        4 => schema = json!({ "allOf": [schema, { "type": "object", "propertyNames": { "maxLength": 4 } }] }),
        5 => schema["dependentRequired"] = json!({ "nobody": ["a"] }),
        _ => {}
    }
    (schema, Json::Object(value))
}

fn array(item: &Json, value: &Json, count: usize, also: u8) -> (Json, Json) {
    let mut schema = json!({ "type": "array", "items": item });
    match also {
        1 => schema["minItems"] = json!(count),
        2 => schema["maxItems"] = json!(count),
        3 => schema["contains"] = json!(count > 0),
        4 if count < 2 => schema["uniqueItems"] = json!(true),
        _ => {}
    }
    if also == 3 && count == 0 {
        schema["minContains"] = json!(0);
    }
    (schema, json!(vec![value; count]))
}

/// What the whole has at the spots.
fn answered(whole: &Value, residual: &Residual) -> String {
    let whole = Folded {
        value: Some(whole.clone()),
        cursor: None,
    };
    let kept = Folded {
        value: Some(residual.kept.clone()),
        cursor: None,
    };
    let member = |(index, spot): (usize, &Spot)| {
        let all = whole.at(spot.pointer()).expect("it is in the whole");
        let name = spot.member(index);
        match (spot, all, kept.at(spot.pointer())) {
            (Spot::Fix(_), all, _) => format!("\"{name}\":{all}"),
            (Spot::Rest(_), Value::Object(all), Some(Value::Object(kept))) => {
                let mut rest = partial::Map::new();
                let missing = all.iter().filter(|(name, _)| !kept.contains_key(name));
                missing.for_each(|(name, member)| {
                    rest.insert(name, member.clone());
                });
                format!("\"{name}\":{}", Value::Object(rest))
            }
            (Spot::Rest(_), Value::Array(all), Some(Value::Array(kept))) => {
                format!("\"{name}\":{}", Value::Array(all[kept.len()..].to_vec()))
            }
            other => panic!("{other:?}"),
        }
    };
    let members: Vec<String> = residual.spots.iter().enumerate().map(member).collect();
    format!("{{{}}}", members.join(","))
}

/// Whether what stands is the beginning of the whole: all that is there is as there, and what is last may lack something.
fn is_beginning(kept: &Value, whole: &Value) -> bool {
    match (kept, whole) {
        (Value::Object(kept), Value::Object(whole)) => {
            let mut both: Vec<_> = kept.iter().zip(whole.iter()).collect();
            let last = both.pop();
            kept.len() <= whole.len()
                && last.is_none_or(|((name, one), (other, all))| name == other && is_beginning(one, all))
                && both.iter().all(|(one, other)| one == other)
        }
        (Value::Array(kept), Value::Array(whole)) => {
            let mut both: Vec<_> = kept.iter().zip(whole).collect();
            let last = both.pop();
            kept.len() <= whole.len()
                && last.is_none_or(|(one, all)| is_beginning(one, all))
                && both.iter().all(|(one, other)| one == other)
        }
        (kept, whole) => kept == whole,
    }
}

fn fold(seen: &mut Folded, draft: &mut Draft) {
    let mut told: Vec<Op> = Vec::new();
    draft.flush(&mut told);
    for op in told {
        seen.apply(op).expect("it fits");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(120))]

    /// Cut at every byte: what stands is a beginning, the rest goes onto it, all that is told folds to the value, and the
    /// value is valid; nothing is asked for where nothing can be lacking.
    #[test]
    fn kept_and_rest_are_the_whole((schema, whole) in pairs()) {
        let compiled = compile(&schema);
        let text = whole.to_string();
        let whole = value(&text);
        prop_assume!(compiled.validate(&whole).is_empty());
        for cut in 0..text.len() {
            let (held, broken) = broken_off(&compiled, &text.as_bytes()[..cut]);
            let Some(held) = held else { continue };
            let Some(residual) = compiled.residual(held.clone(), &broken, 16) else { continue };
            prop_assert_eq!(&residual.bad, &[], "nothing is wrong");
            prop_assert!(is_beginning(&residual.kept, &whole), "{} of {}", residual.kept, text);
            let answer = answered(&whole, &residual);
            if !residual.spots.is_empty() {
                let asked = compiled.rest(&residual.kept, &residual.spots);
                prop_assert!(asked.is_some(), "{:?}", residual);
                let asked = asked.unwrap_or_default();
                let asked = compile(&asked);
                prop_assert_eq!(asked.validate(&value(&answer)), [], "{} for {}", answer, asked.source());
            }
            let graft = Graft::of(residual.kept.clone(), &residual.spots).expect("they can be added to");
            let mut draft = Draft::onto(DraftOptions::default(), graft.behind(residual.drops.clone()));
            let mut seen = Folded { value: Some(held), cursor: None };
            for piece in answer.as_bytes().chunks(3) {
                draft.feed(piece);
                fold(&mut seen, &mut draft);
                prop_assert_eq!(&seen.value, &draft.value());
                for open in draft.open_paths() {
                    prop_assert!(path::segments(&open).is_some() && seen.at(&open).is_some(), "{}", open);
                }
            }
            draft.finish();
            fold(&mut seen, &mut draft);
            let merged = seen.value.expect("a value");
            prop_assert_eq!(&Some(merged.clone()), &draft.value());
            prop_assert_eq!(compiled.validate(&merged), [], "{}", merged);
            prop_assert_eq!(&merged, &whole);
        }
    }

    /// Whatever an answer says where the rest was asked for, viewers hold what the draft has, and what stood stands.
    #[test]
    fn any_answer_for_the_rest_folds_to_its_value((schema, whole) in pairs(), cut in any::<prop::sample::Index>(), said in vec(any_json(), 0..4)) {
        let compiled = compile(&schema);
        let text = whole.to_string();
        let (held, broken) = broken_off(&compiled, &text.as_bytes()[..cut.index(text.len())]);
        let Some(held) = held else { return Ok(()) };
        let Some(residual) = compiled.residual(held.clone(), &broken, 16) else { return Ok(()) };
        let graft = Graft::of(residual.kept.clone(), &residual.spots).expect("they can be added to");
        let mut draft = Draft::onto(DraftOptions::default(), graft.behind(residual.drops));
        let mut seen = Folded { value: Some(held), cursor: None };
        let members: Vec<String> = said.iter().enumerate().map(|(index, said)| format!("\"rest_{}\":{said}", index % 3 + 1)).collect();
        let answer = format!("{{{}}}", members.join(","));
        for piece in answer.as_bytes().chunks(5) {
            draft.feed(piece);
            fold(&mut seen, &mut draft);
            prop_assert_eq!(&seen.value, &draft.value(), "{}", answer);
        }
    }
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![Just(json!(1)), Just(json!("text that grows")), Just(Json::Null)];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Json::from),
            vec(("[a-d]{1,2}", inner), 0..4).prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn ops_of_a_rest_are_told_at_their_places() {
    let kept = value(r#"{"l":[{"a":1}],"m":{"x":1}}"#);
    let graft = Graft::of(kept, &[rest("/l/0"), rest("/l"), rest("")]).expect("places");
    assert_eq!(graft.reopened(), ["/l/0"]);
    let mut draft = Draft::onto(DraftOptions::default(), graft);
    let mut told: Vec<Op> = Vec::new();
    draft.feed(br#"{"rest_1":{"a":9,"b":"te"#);
    draft.flush(&mut told);
    assert_eq!(draft.open_paths(), ["/l/0/b"]);
    draft.feed(br#"xt"},"rest_2":[3,{"c":4"#);
    draft.flush(&mut told);
    assert_eq!(draft.open_paths(), ["/l/2", ""].map(str::to_owned)[..1]);
    draft.feed(br#"}],"rest_3":{"m":5,"n":[]}}"#);
    draft.flush(&mut told);
    assert_eq!(draft.open_paths(), Vec::<String>::new());
    let expected =
        r#"[["/l/0/b","te",0],["/l/0/b","xt"],["/l/1",3,0],["/l/2",{},0],["/l/2/c",4,0],["/n",[],0]]"#;
    assert_eq!(told, parse_ops(expected).expect("ops"));
    assert_eq!(
        draft.value().expect("a value").to_json(),
        r#"{"l":[{"a":1,"b":"text"},3,{"c":4}],"m":{"x":1},"n":[]}"#
    );
}
