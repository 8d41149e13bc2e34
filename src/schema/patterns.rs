//! Patterns run on the linear engine only; what it cannot run is refused before a job is accepted.

use std::sync::Arc;

use jsonschema::{PatternOptions, ValidationOptions, Validator};
use serde_json::json;

use super::error::{SchemaError, SchemaErrorCode};
use super::graph::Graph;
use super::limits::SchemaLimits;

/// Sets the linear engine and its bound on compiled size.
pub(super) fn bound<'o>(options: ValidationOptions<'o>, limits: &SchemaLimits) -> ValidationOptions<'o> {
    options.with_pattern_options(PatternOptions::regex().size_limit(limits.pattern_compiled_bytes_max))
}

/// Compiles each pattern alone, in the order of [`Graph::patterns`], so that a refusal can name its place.
pub(super) fn compile(graph: &Graph<'_>, limits: &SchemaLimits) -> Result<Arc<[Validator]>, SchemaError> {
    let options = bound(jsonschema::options(), limits);
    let alone = graph.patterns.iter().map(|pattern| {
        options
            .build(&json!({ "type": "string", "pattern": pattern.text }))
            .map_err(|_| {
                let (code, message) = refusal(pattern.text, limits.pattern_compiled_bytes_max);
                SchemaError::new(code, &graph.pointer_of_pattern(pattern), message)
            })
    });
    alone.collect()
}

fn refusal(pattern: &str, compiled_max: usize) -> (SchemaErrorCode, String) {
    if let Some(construct) = beyond_linear(pattern) {
        let message = format!("{construct} cannot run in linear time: say it without, or check it outside");
        return (SchemaErrorCode::PatternUnsupported, message);
    }
    let size = regex::RegexBuilder::new(pattern).size_limit(compiled_max).build();
    if let Err(regex::Error::CompiledTooBig(_)) = size {
        let message = format!(
            "compiles to more than {compiled_max} bytes: lower the counts in {{…}}, or use maxLength instead"
        );
        return (SchemaErrorCode::PatternTooLarge, message);
    }
    (
        SchemaErrorCode::PatternUnsupported,
        "no regular expression that is understood: use the common core of ECMA-262 and RE2".to_owned(),
    )
}

/// The first construct that needs backtracking.
fn beyond_linear(pattern: &str) -> Option<&'static str> {
    let bytes = pattern.as_bytes();
    let mut in_class = false;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &bytes[at..];
        match rest {
            [b'\\', b'1'..=b'9', ..] | [b'\\', b'k', b'<', ..] if !in_class => {
                return Some("a back-reference");
            }
            [b'\\', _, ..] => at += 1,
            [b'[', ..] => in_class = true,
            [b']', ..] => in_class = false,
            [b'(', b'?', b'=' | b'!', ..] | [b'(', b'?', b'<', b'=' | b'!', ..] if !in_class => {
                return Some("look-around");
            }
            _ => {}
        }
        at += 1;
    }
    None
}
