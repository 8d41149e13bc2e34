//! The keywords that order and divide numbers, exact where the validator's own would round to a double.

use std::cmp::Ordering;
use std::sync::Arc;

use jsonschema::json::Json;
use jsonschema::{Keyword, Retrieve, ValidationError, ValidationOptions};

use super::bound::Bound;
use super::tree::Tree;
use crate::partial::{Number, Value};

/// The validator's options for drafts.
pub(super) type Options<'o> = ValidationOptions<'o, Arc<dyn Retrieve>, Tree>;

/// A keyword, whether a number satisfies it, and how a fault says it.
type Rule = (&'static str, fn(&Bound, &Number) -> bool, &'static str);

const RULES: [Rule; 5] = [
    (
        "minimum",
        |bound, number| bound.order(number) != Ordering::Less,
        "must be at least",
    ),
    (
        "maximum",
        |bound, number| bound.order(number) != Ordering::Greater,
        "must be at most",
    ),
    (
        "exclusiveMinimum",
        |bound, number| bound.order(number) == Ordering::Greater,
        "must be more than",
    ),
    (
        "exclusiveMaximum",
        |bound, number| bound.order(number) == Ordering::Less,
        "must be less than",
    ),
    ("multipleOf", Bound::divides, "must be a multiple of"),
];

/// Puts the exact keywords in place of the validator's.
pub(super) fn exact(options: Options<'_>) -> Options<'_> {
    RULES.into_iter().fold(options, |options, (name, holds, words)| {
        options.with_keyword(name, move |_, schema, _| {
            let bound = match schema {
                serde_json::Value::Number(number) => Bound::of(number),
                _ => None,
            };
            match bound {
                Some(bound) => Ok(Box::new(Exact { bound, holds, words })),
                None => Err(ValidationError::custom(format!("{name} must be a number"))),
            }
        })
    })
}

struct Exact {
    bound: Bound,
    holds: fn(&Bound, &Number) -> bool,
    words: &'static str,
}

impl<'i> Keyword<'i, Tree> for Exact {
    fn validate(&self, instance: <Tree as Json>::Node<'i>) -> Result<(), ValidationError<'i>> {
        if self.is_valid(instance) {
            return Ok(());
        }
        Err(ValidationError::custom(format!(
            "{} {}",
            self.words,
            self.bound.number.as_str()
        )))
    }

    fn is_valid(&self, instance: <Tree as Json>::Node<'i>) -> bool {
        match instance {
            Value::Number(number) => (self.holds)(&self.bound, number),
            Value::Null | Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_) => true,
        }
    }
}
