//! Where a value breaks its schema, said shortly enough for a model to read.

use jsonschema::error::{TypeKind, ValidationErrorKind as Kind};
use jsonschema::{JsonType, ValidationError};
use serde_json::Value as Json;

use super::excerpt;
use super::limits::SchemaLimits;
use crate::partial::{Value, path};

/// One place where a value breaks its schema.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct Violation {
    /// JSON Pointer of the offending place in the value.
    pub path: String,
    /// The keyword that is broken.
    pub keyword: String,
    /// What was expected, in plain words: no link, no dump of the value.
    pub message: String,
    /// The offending value's compact JSON, cut to the limit; absent where the message says it all.
    pub value: Option<String>,
    /// Where a member is missing: the pointer that it would have.
    #[serde(skip)]
    pub missing: Option<String>,
}

/// How many names a message lists.
const NAMES_MAX: usize = 8;
/// How much of a schema's own text (a pattern, a constant, a name) a message shows, in bytes.
const QUOTE_BYTES_MAX: usize = 256;

impl Violation {
    /// What a fault of the value at the pointer `base` says.
    pub(super) fn of(fault: &ValidationError<'_>, value: &Value, base: &str, limits: &SchemaLimits) -> Self {
        let path = fault.instance_path().as_str();
        let shown = !matches!(
            fault.kind(),
            Kind::Required { .. } | Kind::AdditionalProperties { .. } | Kind::UnevaluatedProperties { .. }
        );
        let offending = excerpt::at(value, path).filter(|_| shown);
        Self {
            path: format!("{base}{path}"),
            keyword: keyword(fault).to_owned(),
            message: message(fault, Some(base)),
            value: offending.map(|value| excerpt::preview(value, limits.violation_value_bytes_max)),
            missing: missing(fault, base),
        }
    }

    /// A judgement on the value as a whole, made without looking at its parts.
    pub(super) fn whole(keyword: &str, message: String) -> Self {
        Self {
            path: String::new(),
            keyword: keyword.to_owned(),
            message,
            value: None,
            missing: None,
        }
    }
}

fn missing(fault: &ValidationError<'_>, base: &str) -> Option<String> {
    let Kind::Required { property } = fault.kind() else {
        return None;
    };
    let mut pointer = format!("{base}{}", fault.instance_path().as_str());
    path::push_segment(&mut pointer, property.as_str()?);
    Some(pointer)
}

fn keyword<'f>(fault: &'f ValidationError<'_>) -> &'f str {
    match fault.kind() {
        Kind::FalseSchema => "false",
        kind => kind.keyword(),
    }
}

/// What a fault says, in plain words. A union names its closest branch, one level deep, where the pointer of the
/// judged value is given.
pub(super) fn message(fault: &ValidationError<'_>, base: Option<&str>) -> String {
    match fault.kind() {
        Kind::AnyOf { context } | Kind::OneOfNotValid { context } => {
            let forms = context.len();
            match base.zip(closest(fault, context)) {
                Some((base, (number, inner))) => format!(
                    "fits none of the {forms} allowed forms; closest is form {}: at {:?} {}",
                    number + 1,
                    format!("{base}{}", inner.instance_path().as_str()),
                    message(inner, None)
                ),
                None => format!("fits none of the {forms} allowed forms"),
            }
        }
        Kind::OneOfMultipleValid { context } => {
            let forms = context.len();
            format!("fits more than one of the {forms} forms, where exactly one is allowed")
        }
        Kind::AdditionalProperties { unexpected } | Kind::UnevaluatedProperties { unexpected } => {
            format!("has members that are not allowed: {}", names(unexpected))
        }
        Kind::Required { property } => format!("the member {} is missing", quote(property)),
        Kind::PropertyNames { error } => {
            format!(
                "the member name {}: {}",
                quote(error.instance()),
                message(error, None)
            )
        }
        Kind::Type { kind } => format!("must be {}", types(kind)),
        Kind::Constant { expected_value } => format!("must be {}", quote(expected_value)),
        Kind::Enum { options } => format!("must be one of {}", quote(options)),
        Kind::Pattern { pattern } => {
            format!(
                "must match the pattern {}",
                excerpt::cut(pattern, QUOTE_BYTES_MAX)
            )
        }
        Kind::Format { format } => format!("must be a valid {}", excerpt::cut(format, QUOTE_BYTES_MAX)),
        Kind::Custom { message, .. } => excerpt::cut(message, QUOTE_BYTES_MAX),
        kind => bound(kind),
    }
}

/// Faults of size and count.
fn bound(kind: &Kind) -> String {
    match kind {
        Kind::Minimum { limit } => format!("must be at least {limit}"),
        Kind::Maximum { limit } => format!("must be at most {limit}"),
        Kind::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Kind::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Kind::MultipleOf { multiple_of } => format!("must be a multiple of {multiple_of}"),
        Kind::MinLength { limit } => format!("must have at least {limit} characters"),
        Kind::MaxLength { limit } => format!("must have at most {limit} characters"),
        Kind::MinItems { limit } => format!("must have at least {limit} items"),
        Kind::MaxItems { limit } => format!("must have at most {limit} items"),
        Kind::AdditionalItems { limit } => format!("must have at most {limit} items"),
        Kind::MinProperties { limit } => format!("must have at least {limit} members"),
        Kind::MaxProperties { limit } => format!("must have at most {limit} members"),
        Kind::UniqueItems => "must not repeat an item".to_owned(),
        Kind::Contains => "must contain a number of matching items that is allowed".to_owned(),
        Kind::UnevaluatedItems { unexpected } => {
            format!("has {} items that are not allowed", unexpected.len())
        }
        Kind::FalseSchema => "must not be there".to_owned(),
        Kind::Not { .. } => "must not have the form that `not` excludes".to_owned(),
        kind => format!("breaks {}", kind.keyword()),
    }
}

/// The branch of a union that the value comes nearest to: one whose type and constants fit, with fewest faults.
fn closest<'c>(
    fault: &ValidationError<'_>,
    context: &'c [Vec<ValidationError<'static>>],
) -> Option<(usize, &'c ValidationError<'static>)> {
    let here = fault.instance_path().as_str();
    let is_alien = |inner: &ValidationError<'_>| {
        let path = inner.instance_path().as_str();
        match inner.kind() {
            Kind::Type { .. } | Kind::FalseSchema => path == here,
            Kind::Constant { .. } | Kind::Enum { .. } => true,
            _ => false,
        }
    };
    let ranked = context.iter().enumerate().filter_map(|(number, faults)| {
        let first = faults.first()?;
        let aliens = faults.iter().filter(|inner| is_alien(inner)).count();
        Some(((aliens, faults.len(), number), first))
    });
    ranked
        .min_by_key(|(rank, _)| *rank)
        .map(|((_, _, number), first)| (number, first))
}

fn quote(value: &Json) -> String {
    excerpt::cut(&value.to_string(), QUOTE_BYTES_MAX)
}

fn names(unexpected: &[String]) -> String {
    let mut listed: Vec<String> = unexpected
        .iter()
        .take(NAMES_MAX)
        .map(|name| format!("{:?}", excerpt::cut(name, QUOTE_BYTES_MAX / 4)))
        .collect();
    if unexpected.len() > NAMES_MAX {
        listed.push(format!("and {} more", unexpected.len() - NAMES_MAX));
    }
    listed.join(", ")
}

fn types(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(one) => type_name(*one).to_owned(),
        TypeKind::Multiple(several) => {
            let names: Vec<&str> = several.iter().map(type_name).collect();
            names.join(" or ")
        }
    }
}

fn type_name(kind: JsonType) -> &'static str {
    match kind {
        JsonType::Array => "an array",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "an integer",
        JsonType::Null => "null",
        JsonType::Number => "a number",
        JsonType::Object => "an object",
        JsonType::String => "a string",
    }
}
