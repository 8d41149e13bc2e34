//! Patterns run on the linear engine only; what it cannot run is refused before a job is accepted.

use std::sync::Arc;

use jsonschema::json::Json;
use jsonschema::{PatternOptions, Retrieve, ValidationOptions, Validator};
use serde_json::json;

use super::error::{SchemaError, SchemaErrorCode};
use super::graph::Graph;
use super::limits::SchemaLimits;

/// All patterns together may compile to this many times the bound of one.
const TOGETHER: usize = 8;
/// About what one state of the compiled automaton takes, in bytes.
const STATE_BYTES: usize = 100;
/// About how many states a Unicode class takes, and one that excludes some characters.
const UNICODE_STATES: usize = 100;
const EXCLUDING_STATES: usize = 8;

/// Sets the linear engine and its bound on compiled size.
pub(super) fn bound<'o, F: Json>(
    options: ValidationOptions<'o, Arc<dyn Retrieve>, F>,
    limits: &SchemaLimits,
) -> ValidationOptions<'o, Arc<dyn Retrieve>, F> {
    options.with_pattern_options(PatternOptions::regex().size_limit(limits.pattern_compiled_bytes_max))
}

/// Compiles each pattern alone, in the order of [`Graph::patterns`], so that a refusal can name its place.
pub(super) fn compile(graph: &Graph<'_>, limits: &SchemaLimits) -> Result<Arc<[Validator]>, SchemaError> {
    together(graph, limits)?;
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

/// Compiling costs time in proportion to size, so the sum is bounded too, by an estimate made beforehand.
fn together(graph: &Graph<'_>, limits: &SchemaLimits) -> Result<(), SchemaError> {
    let states_max = limits.pattern_compiled_bytes_max.saturating_mul(TOGETHER) / STATE_BYTES;
    let mut sum = 0_usize;
    for pattern in &graph.patterns {
        // One pattern's own bound is the engine's to judge.
        let own = states(pattern.text).min(limits.pattern_compiled_bytes_max / STATE_BYTES);
        sum = sum.saturating_add(own);
        if sum > states_max {
            return Err(SchemaError::new(
                SchemaErrorCode::PatternTooLarge,
                &graph.pointer_of_pattern(pattern),
                "the patterns up to here are too large together: lower the counts in {…}, or use maxLength instead",
            ));
        }
    }
    Ok(())
}

/// About how many states a pattern compiles to: what counts multiply. Malformed patterns get some number too.
fn states(pattern: &str) -> usize {
    let mut groups = vec![0_usize];
    let mut last = 0_usize;
    let mut letters = pattern.chars().peekable();
    let put = |groups: &mut Vec<usize>, states: usize| {
        if let Some(group) = groups.last_mut() {
            *group = group.saturating_add(states);
        }
    };
    while let Some(letter) = letters.next() {
        match letter {
            '(' => groups.push(0),
            ')' if groups.len() > 1 => {
                last = groups.pop().unwrap_or(0);
                put(&mut groups, last);
            }
            '{' => {
                let counts: String = letters.by_ref().take_while(|letter| *letter != '}').collect();
                let most = counts
                    .split(',')
                    .filter_map(|count| count.parse::<usize>().ok())
                    .max();
                put(
                    &mut groups,
                    last.saturating_mul(most.unwrap_or(1).saturating_sub(1)),
                );
            }
            '\\' => {
                last = match letters.next() {
                    Some('p' | 'P') => UNICODE_STATES,
                    Some('W' | 'D' | 'S') => EXCLUDING_STATES,
                    Some(_) | None => 1,
                };
                put(&mut groups, last);
            }
            '[' => {
                last = class_states(&mut letters);
                put(&mut groups, last);
            }
            '.' => {
                last = EXCLUDING_STATES;
                put(&mut groups, last);
            }
            _ => {
                last = 1;
                put(&mut groups, last);
            }
        }
    }
    groups.into_iter().fold(0, usize::saturating_add)
}

fn class_states(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> usize {
    let mut states = if letters.peek() == Some(&'^') {
        EXCLUDING_STATES
    } else {
        1
    };
    while let Some(letter) = letters.next() {
        match letter {
            ']' => break,
            '\\' => match letters.next() {
                Some('p' | 'P') => states += UNICODE_STATES,
                Some('W' | 'D' | 'S') => states += EXCLUDING_STATES,
                Some(_) | None => {}
            },
            letter if !letter.is_ascii() => states += 2,
            _ => {}
        }
    }
    states
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
