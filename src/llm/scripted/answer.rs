//! The value an attempt answers: valid, or broken on demand, and checked where that is not certain by construction.

use std::sync::Arc;

use serde_json::Value;

use super::generate::Generator;
use super::random::Random;
use crate::llm::request::{Request, RestOf};
use crate::partial::{self, Spot};
use crate::schema::{Schema, SchemaLimits};

/// Keywords whose demands the generator meets by luck in part.
const UNCERTAIN: &[&str] = &[
    "allOf",
    "oneOf",
    "not",
    "if",
    "pattern",
    "patternProperties",
    "propertyNames",
    "contains",
    "uniqueItems",
    "multipleOf",
    "minProperties",
    "maxProperties",
    "dependentSchemas",
    "unevaluatedProperties",
    "unevaluatedItems",
    "examples",
    "default",
];
/// Values drawn until one is as it should be; after that the first one has to do.
const TRIES: u64 = 12;
/// Bytes of a value that is still checked; a larger one would cost more time than the stream itself.
const CHECKED_BYTES_MAX: usize = 256 << 10;

/// The value that `request` is answered with: of the rest of a value, that of the value which was begun.
pub(super) fn value(request: &Request) -> Value {
    let spoilt = request.attempt <= request.script.invalid_attempts;
    let rest = request.rest.as_ref().filter(|_| !spoilt);
    rest.and_then(|rest| rest_of(request, rest))
        .unwrap_or_else(|| drawn_value(request))
}

/// What the whole that would be answered has where a rest of it is asked for; `None` where it is another whole.
fn rest_of(request: &Request, rest: &RestOf) -> Option<Value> {
    let whole = drawn_value(&Request {
        schema: Arc::clone(&rest.schema),
        rest: None,
        ..request.clone()
    });
    let kept: Value = serde_json::from_str(&rest.kept.to_json()).ok()?;
    let member = |(index, spot): (usize, &Spot)| {
        let there = whole.pointer(spot.pointer())?;
        let lacking = match (spot, there, kept.pointer(spot.pointer())) {
            (Spot::Fix(_), there, _) => there.clone(),
            (Spot::Rest(_), Value::Object(there), Some(Value::Object(kept))) => {
                let lacking = there.iter().filter(|(name, _)| !kept.contains_key(*name));
                lacking
                    .map(|(name, member)| (name.clone(), member.clone()))
                    .collect()
            }
            (Spot::Rest(_), Value::Array(there), Some(Value::Array(kept))) => {
                there.iter().skip(kept.len()).cloned().collect()
            }
            (Spot::Rest(_), _, _) => return None,
        };
        Some((spot.member(index), lacking))
    };
    rest.spots.iter().enumerate().map(member).collect()
}

fn drawn_value(request: &Request) -> Value {
    let spoil = request.attempt <= request.script.invalid_attempts;
    let check = (spoil || is_uncertain(&request.schema))
        .then(|| Schema::compile(&request.schema, &SchemaLimits::default()).ok())
        .flatten();
    // A mistake inside a union may be another branch's right answer: only a check makes it safe to try.
    let bold = check.is_some();
    let first = drawn(request, 0, spoil, bold);
    let Some(schema) = check else { return first };
    if as_wanted(&schema, &first, spoil) {
        return first;
    }
    let mut more = (1..TRIES).map(|round| drawn(request, round, spoil, round < TRIES / 2));
    more.find(|value| as_wanted(&schema, value, spoil))
        .unwrap_or(first)
}

fn drawn(request: &Request, round: u64, spoil: bool, bold: bool) -> Value {
    let script = &request.script;
    let limited = |number: u32, max: u32| usize::try_from(number.min(max)).unwrap_or(0);
    // Rounds lie far from each other, so that neighbouring seeds do not share their values.
    let seed = script.seed ^ round.wrapping_mul(0xd6e8_feb8_6659_fd93);
    let random = Random::new(seed, &request.schema.to_string());
    let generator = Generator::new(
        &request.schema,
        random,
        limited(script.items, 100_000),
        limited(script.text_chars, 1_000_000),
    )
    .breaking_at(&script.invalid_at);
    let (mut value, weakness) = generator.generate(&request.schema, bold);
    if spoil {
        weakness.spoil(&mut value);
    }
    value
}

/// Whether the value is valid, or invalid where that is wanted. What cannot be judged passes.
fn as_wanted(schema: &Schema, value: &Value, invalid: bool) -> bool {
    let text = value.to_string();
    if text.len() > CHECKED_BYTES_MAX {
        return true;
    }
    partial::parse(&text).map_or(true, |value| schema.validate(&value).is_empty() != invalid)
}

fn is_uncertain(schema: &Arc<Value>) -> bool {
    fn inside(schema: &Value) -> bool {
        match schema {
            Value::Object(members) => members
                .iter()
                .any(|(key, inner)| UNCERTAIN.contains(&key.as_str()) || inside(inner)),
            Value::Array(items) => items.iter().any(inside),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
        }
    }
    inside(schema)
}
