//! What is certain before the end: where it is said that an answer can no longer be valid, no completion of it is.
//!
//! Answers name no member twice: where one does, the last wins, and what was wrong may be put right.

use std::collections::HashSet;
use std::sync::Arc;

use livedraft::partial::{Draft, DraftOptions, Graft, Spot, Value};
use livedraft::schema::{Broken, Closing};
use proptest::prelude::*;

use super::*;

/// The number of bytes behind which it is certain that the text cannot become valid.
fn doomed_at(schema: &Schema, text: &str) -> Option<usize> {
    let closing = schema.closing();
    let mut draft = Draft::new(DraftOptions {
        root: schema.root_kinds(),
        guide: Some(closing.clone()),
        ..DraftOptions::default()
    });
    (0..text.len()).find_map(|at| {
        draft.feed(&text.as_bytes()[at..=at]);
        let misfit = draft.text_value().and_then(|value| schema.misfit_root(&value));
        let certain = misfit.is_some() || !closing.violations().is_empty() || !closing.formless().is_empty();
        (certain && !draft.is_closed()).then_some(at + 1)
    })
}

/// Schemas in which something waits for the end, may still be healed, or hangs on what comes first.
fn schemas() -> Vec<Json> {
    let form = |kind: &str, other: Json| json!({ "properties": { "a": { "const": kind }, "b": other }, "required": ["a"] });
    vec![
        json!({ "type": "object" }),
        json!({ "type": "array", "contains": { "const": "a" } }),
        json!({ "type": "array", "uniqueItems": true, "minItems": 2 }),
        json!({ "required": ["b"], "properties": { "a": { "type": "integer", "minimum": 1 } } }),
        json!({ "additionalProperties": false, "properties": { "b": { "maxItems": 1 } } }),
        json!({ "additionalProperties": { "items": { "type": "integer" } } }),
        json!({ "oneOf": [form("a", json!({ "type": "null" })), form("b", json!({ "type": "array" }))] }),
        json!({ "anyOf": [form("a", json!(true)), { "properties": { "a": { "enum": ["b", "a"] }, "b": { "minItems": 1 } } }] }),
        json!({ "anyOf": [form("a", json!(true)), { "required": ["b"] }] }),
        json!({ "anyOf": [form("b", json!(true)), { "type": "array" }] }),
        json!({ "allOf": [{ "oneOf": [form("a", json!(true)), form("b", json!(true))] }, { "properties": { "a": { "const": "b" } } }] }),
        json!({ "if": { "properties": { "a": { "const": 0 } } }, "then": { "required": ["b"] }, "else": { "maxProperties": 1 } }),
        json!({ "not": { "required": ["a", "b"] }, "properties": { "a": { "not": { "type": "null" } } } }),
        json!({ "$defs": { "n": { "properties": { "a": { "$ref": "#/$defs/n" } }, "required": ["b"] } }, "$ref": "#/$defs/n" }),
        json!({ "dependentRequired": { "a": ["b"] }, "properties": { "a": { "enum": [1, "a"] } } }),
        json!({ "patternProperties": { "^a": { "type": "string" } }, "propertyNames": { "const": "a" } }),
    ]
}

/// Every text over a small alphabet: scalars, lists of up to two, objects of up to two members of these.
fn texts() -> Vec<String> {
    let scalars = ["0", "1", "\"a\"", "\"b\"", "null"].map(str::to_owned).to_vec();
    let mut values = scalars.clone();
    values.push("[]".to_owned());
    for one in &scalars {
        values.push(format!("[{one}]"));
        values.extend(scalars.iter().map(|two| format!("[{one},{two}]")));
    }
    values.extend(["{}".to_owned(), "{\"b\":0}".to_owned()]);
    let mut all = values.clone();
    for one in &values {
        for (first, second) in [("a", "b"), ("b", "a")] {
            all.push(format!("{{\"{first}\":{one}}}"));
            all.extend(
                values
                    .iter()
                    .map(|two| format!("{{\"{first}\":{one},\"{second}\":{two}}}")),
            );
        }
    }
    all
}

#[test]
fn what_is_said_to_be_lost_is_lost_for_every_text_of_a_small_alphabet() {
    let texts = texts();
    let mut lost = 0;
    for source in schemas() {
        let schema = compile(&source);
        let mut prefixes: HashSet<&str> = HashSet::new();
        for text in texts.iter().filter(|text| is_valid(&schema, text)) {
            prefixes.extend((1..=text.len()).map(|end| &text[..end]));
        }
        for text in &texts {
            if let Some(at) = doomed_at(&schema, text) {
                lost += 1;
                assert!(
                    !prefixes.contains(&text[..at]),
                    "{source}: {} can go on",
                    &text[..at]
                );
            }
        }
    }
    assert!(lost > 5_000, "only {lost} were said to be lost");
}

#[test]
fn the_forms_of_a_root_are_told_apart_by_their_member() {
    let schema = compile(&json!({
        "oneOf": [
            { "$ref": "#/$defs/cat" },
            { "properties": { "kind": { "enum": ["dog", "wolf"] } }, "required": ["kind"] },
        ],
        "$defs": { "cat": { "allOf": [{ "properties": { "kind": { "$ref": "#/$defs/word" } } }] }, "word": { "const": "cat" } },
    }));
    assert_eq!(doomed_at(&schema, r#"{"kind":"bird","name":"x"}"#), Some(14));
    assert_eq!(doomed_at(&schema, r#"{"name":"x","kind":3,"a":1}"#), Some(21));
    for text in [
        r#"{"kind":"wolf","name":"x"}"#,
        r#"{"name":{"kind":"bird"},"a":1}"#,
    ] {
        assert_eq!(doomed_at(&schema, text), None, "{text}");
    }
    let closing = schema.closing();
    let mut draft = Draft::new(DraftOptions {
        guide: Some(closing.clone()),
        ..DraftOptions::default()
    });
    draft.feed(br#"{"kind":"bird","#);
    let fault = closing.formless().pop().expect("a fault");
    assert_eq!((fault.path.as_str(), fault.keyword.as_str()), ("/kind", "enum"));
    assert!(
        fault
            .message
            .starts_with(r#"must be one of "cat", "dog", "wolf""#),
        "{}",
        fault.message
    );
    // A name that comes again puts it right.
    draft.feed(br#""kind":"cat""#);
    draft.feed(b"}");
    assert_eq!(closing.formless(), []);
}

/// Wherever a union surely applies; of those that take an object.
#[test]
fn forms_are_told_apart_further_in() {
    let form = |kind: &str| json!({ "properties": { "kind": { "const": kind } }, "required": ["kind"] });
    let union = json!({ "anyOf": [
        { "type": "null" },
        { "oneOf": [form("cat"), { "$ref": "#/$defs/dogs" }] },
    ] });
    let schema = compile(&json!({
        "properties": { "pets": { "items": { "properties": { "pet": union } } }, "of": { "additionalProperties": union } },
        "$defs": { "dogs": { "oneOf": [form("dog"), form("wolf")] } },
    }));
    let told = |text: &str| {
        let closing = schema.closing();
        let mut draft = Draft::new(DraftOptions {
            guide: Some(closing.clone()),
            ..DraftOptions::default()
        });
        draft.feed(text.as_bytes());
        assert_eq!(closing.formless(), [], "what is around it can be asked for alone");
        let found = closing.violations().into_iter();
        found
            .map(|one| format!("{} {}", one.path, one.keyword))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        told(r#"{"pets":[{"pet":null},{"pet":{"kind":"dog"}},{"pet":{"kind":"bird","#),
        ["/pets/2/pet/kind enum"]
    );
    assert_eq!(
        told(r#"{"of":{"one":{"name":"x","kind":7,"#),
        ["/of/one/kind enum"]
    );
    for text in [
        r#"{"pets":[{"pet":{"kind":"wolf","#,
        r#"{"pets":[{"kind":"bird","#,
        r#"{"of":{"kind":"bird","#,
        r#"{"pets":[{"pet":{"kind":"bird","kind":"cat","#,
    ] {
        assert_eq!(told(text), Vec::<String>::new(), "{text}");
    }
    // It is healed with what the union speaks of.
    let whole =
        value(r#"{"pets":[{"pet":{"kind":"bird"}},{"pet":null},{"pet":null},{"pet":null},{"pet":null}]}"#);
    let bad = schema
        .bad_places(&whole, &schema.validate(&whole), 4)
        .expect("places");
    assert_eq!(bad[0].pointer, "/pets/0/pet");
}

/// Unions of unions, each named by many: what is known of them is bounded.
#[test]
fn unions_of_unions_cost_what_they_say() {
    let refs = |to: &str| {
        (0..60)
            .map(|n| json!({ "$ref": format!("#/$defs/{to}{n}") }))
            .collect::<Vec<_>>()
    };
    let mut definitions = serde_json::Map::new();
    for n in 0..60 {
        definitions.insert(format!("a{n}"), json!({ "anyOf": refs("b") }));
        definitions.insert(format!("b{n}"), json!({ "anyOf": refs("c") }));
        let own = json!({ "type": "object", "properties": { "kind": { "const": format!("k{n}") }, "x": { "anyOf": refs("a") } } });
        definitions.insert(format!("c{n}"), own);
    }
    let schema = json!({ "properties": { "x": { "anyOf": refs("a") } }, "$defs": definitions });
    if let Ok(schema) = Schema::compile(&schema, &SchemaLimits::default()) {
        assert!(is_valid(&schema, r#"{"x":{"kind":"k1"}}"#));
    }
}

/// A value that stands, what is asked for of it, and the schema of that.
struct Asked {
    schema: Schema,
    part: Schema,
    base: Value,
    spots: Vec<Spot>,
}

impl Asked {
    fn draft(&self, part: &Arc<Closing>) -> Draft {
        let graft = Graft::of(self.base.clone(), &self.spots).expect("places");
        let options = DraftOptions {
            guide: Some(part.clone()),
            ..DraftOptions::default()
        };
        Draft::onto(options, graft)
    }

    /// Whether the answer makes a valid value.
    fn is_valid(&self, answer: &str) -> bool {
        let mut draft = self.draft(&self.part.closing());
        draft.feed(answer.as_bytes());
        draft.finish();
        draft
            .value()
            .is_some_and(|value| self.schema.validate(&value).is_empty())
    }

    fn doomed_at(&self, answer: &str) -> Option<usize> {
        let closing = self.part.closing();
        let mut draft = self.draft(&closing);
        (0..answer.len()).find_map(|at| {
            draft.feed(&answer.as_bytes()[at..=at]);
            let found = [closing.violations(), closing.formless()].concat();
            let paths: Vec<&str> = found.iter().map(|one| one.path.as_str()).collect();
            (draft.hold(&paths).contains(&true) && !draft.is_closed()).then_some(at + 1)
        })
    }
}

/// What is asked for where a text breaks off, and where it is whole and wrong.
fn asked(source: &Json, text: &str) -> Option<Asked> {
    let schema = compile(source);
    let mut draft = Draft::new(DraftOptions {
        guide: Some(schema.closing()),
        ..DraftOptions::default()
    });
    draft.feed(text.as_bytes());
    let held = draft.value()?;
    let (base, spots, part) = if draft.is_closed() {
        let bad = schema.bad_places(&held, &schema.validate(&held), 4)?;
        let places: Vec<String> = bad.into_iter().map(|place| place.pointer).collect();
        let part = schema.part(&held, &places)?;
        (held, places.into_iter().map(Spot::Fix).collect(), part)
    } else {
        let broken = Broken {
            at: draft.open_paths(),
            ..Broken::default()
        };
        let residual = schema.residual(held, &broken, 4)?;
        let part = schema.rest(&residual.kept, &residual.spots)?;
        (residual.kept, residual.spots, part)
    };
    if spots.is_empty() {
        return None;
    }
    let part = compile(&part);
    Some(Asked {
        schema,
        part,
        base,
        spots,
    })
}

/// An abort of an answer that is a part alone was never wrong either: no answer that begins so makes the value valid.
#[test]
fn what_is_said_to_be_lost_of_a_part_is_lost_for_the_value() {
    let values = ["0", "\"a\"", "[1]", "{\"b\":0}"];
    let member = |name: &str, value: &str| format!("\"{name}\":{value}");
    let mut wholes = Vec::new();
    let mut parts: Vec<String> = values.map(str::to_owned).to_vec();
    for one in values {
        for (first, second) in [("a", "b"), ("b", "a")] {
            wholes.push(format!("{{{},", member(first, one)));
            parts.push(format!("{{{}}}", member(first, one)));
            for two in values {
                parts.push(format!("{{{},{}}}", member(first, one), member(second, two)));
                wholes.push(format!("{{{},{}}}", member(first, one), member(second, two)));
            }
            // Of a container within, more may come, too.
            wholes.push(format!("{{{},\"{second}\":[1,", member(first, one)));
            wholes.push(format!("{{\"{first}\":{{{},", member(second, one)));
        }
    }
    let mut lost = 0;
    for source in schemas().into_iter().chain(closed_schemas()) {
        for asked in wholes.iter().filter_map(|text| asked(&source, text)) {
            let name = asked.spots[0].member(0);
            let answers: Vec<String> = parts
                .iter()
                .flat_map(|part| {
                    [
                        format!("{{\"{name}\":{part},"),
                        format!("{{\"x\":1,\"{name}\":{part},"),
                    ]
                })
                .collect();
            let others: Vec<String> = (1..asked.spots.len())
                .map(|index| format!("\"{}\":{{}},", asked.spots[index].member(index)))
                .collect();
            let whole = |answer: &String| format!("{answer}{}\"y\":0}}", others.concat());
            let answers: Vec<String> = answers.iter().map(whole).collect();
            let mut going: Option<HashSet<&str>> = None;
            for answer in &answers {
                let Some(at) = asked.doomed_at(answer) else {
                    continue;
                };
                lost += 1;
                let going = going.get_or_insert_with(|| {
                    let valid = answers.iter().filter(|answer| asked.is_valid(answer));
                    valid
                        .flat_map(|text| (1..=text.len()).map(|end| &text[..end]))
                        .collect()
                });
                let base = asked.base.to_json();
                assert!(
                    !going.contains(&answer[..at]),
                    "{source}: {base} with {:?}: {}",
                    asked.spots,
                    &answer[..at]
                );
            }
        }
    }
    assert!(lost > 1_000, "only {lost} were said to be lost");
}

/// Schemas that say something of an object's members as a whole.
fn closed_schemas() -> Vec<Json> {
    let members = json!({ "a": true, "b": { "type": ["integer", "object"] } });
    vec![
        json!({ "type": "object", "properties": members, "additionalProperties": false }),
        json!({ "type": "object", "properties": members, "required": ["a", "b"], "maxProperties": 2 }),
        json!({ "type": "object", "properties": { "a": { "type": "object", "properties": members, "additionalProperties": false } } }),
        json!({ "type": "object", "additionalProperties": { "type": "integer" }, "minProperties": 2, "maxProperties": 2 }),
        json!({ "type": "object", "patternProperties": { "^a": true, "^b": { "minItems": 1 } }, "additionalProperties": false }),
        json!({ "type": "object", "propertyNames": { "enum": ["a", "b"] }, "required": ["b"], "properties": { "b": { "const": "b" } } }),
        json!({ "type": "object", "properties": { "b": { "type": "array", "items": { "type": "integer" }, "maxItems": 2 } } }),
    ]
}

/// What is drawn, one after the other; nothing more where all was.
struct Draws<'d>(std::slice::Iter<'d, u8>);

impl Draws<'_> {
    fn of(&mut self, choices: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % choices
    }
}

fn drawn_text(draws: &mut Draws<'_>, depth: usize, out: &mut String) {
    match draws.of(if depth == 0 { 5 } else { 8 }) {
        0 => out.push('1'),
        1 => out.push_str("\"a\""),
        2 => out.push_str("\"kind\""),
        3 => out.push_str("null"),
        4 => out.push_str("-2.5"),
        5 => {
            out.push('[');
            for at in 0..draws.of(4) {
                out.push_str(if at == 0 { "" } else { "," });
                drawn_text(draws, depth - 1, out);
            }
            out.push(']');
        }
        _ => {
            out.push('{');
            let mut names = vec!["a", "b", "kind", "x"];
            for at in 0..draws.of(4) {
                let name = names.remove(draws.of(names.len()));
                out.push_str(&format!("{}\"{name}\":", if at == 0 { "" } else { "," }));
                drawn_text(draws, depth - 1, out);
            }
            out.push('}');
        }
    }
}

fn drawn_schema(draws: &mut Draws<'_>, depth: usize) -> Json {
    let deeper = |draws: &mut Draws<'_>| drawn_schema(draws, depth - 1);
    match draws.of(if depth == 0 { 6 } else { 13 }) {
        0 => json!(true),
        1 => json!({ "type": ["string", "null"] }),
        2 => json!({ "enum": ["a", "kind", 1] }),
        3 => json!({ "minimum": 0, "maxLength": 2 }),
        4 => json!({ "type": "object", "required": ["a"] }),
        5 => json!({ "maxItems": 2, "maxProperties": 2 }),
        6 => json!({ "properties": { "a": deeper(draws), "b": deeper(draws) }, "required": ["b"] }),
        7 => json!({ "type": "array", "items": deeper(draws), "minItems": 1 }),
        8 => json!({ "contains": deeper(draws), "uniqueItems": true }),
        9 => json!({ "oneOf": [
            { "properties": { "kind": { "const": "a" }, "b": deeper(draws) }, "required": ["kind"] },
            { "properties": { "kind": { "enum": ["kind"] }, "b": deeper(draws) } },
        ] }),
        10 => json!({ "anyOf": [deeper(draws), deeper(draws)] }),
        11 => json!({ "allOf": [deeper(draws), { "not": deeper(draws) }] }),
        _ => json!({ "properties": { "a": deeper(draws) }, "additionalProperties": deeper(draws) }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_is_said_to_be_lost_is_lost_however_it_goes_on(
        schema in prop::collection::vec(any::<u8>(), 12),
        text in prop::collection::vec(any::<u8>(), 24),
        others in prop::collection::vec((0..24_usize, prop::collection::vec(any::<u8>(), 24)), 24),
    ) {
        let source = drawn_schema(&mut Draws(schema.iter()), 2);
        let Ok(schema) = Schema::compile(&source, &SchemaLimits::default()) else { return Ok(()) };
        let mut drawn = String::new();
        drawn_text(&mut Draws(text.iter()), 3, &mut drawn);
        let Some(at) = doomed_at(&schema, &drawn) else { return Ok(()) };
        prop_assert!(!is_valid(&schema, &drawn), "{source}: {drawn}");
        // The same draws up to somewhere, and others behind: texts that begin alike.
        for (kept, rest) in others {
            let draws = [&text[..kept], &rest[..]].concat();
            let mut other = String::new();
            drawn_text(&mut Draws(draws.iter()), 3, &mut other);
            if other.starts_with(&drawn[..at]) {
                prop_assert!(!is_valid(&schema, &other), "{source}: {} goes on to {other}", &drawn[..at]);
            }
        }
    }
}
