//! How a schema is put to a provider, and how a faulty answer is put back to the model.
//!
//! The shapes are those of OpenAI chat completions. Tool parameters and the `json_schema` format take only a root
//! that is plainly an object (no union at the top), `json_object` any object; a root of another type can only be
//! asked for in prose. Nothing is wrapped for a dialect's sake: [`fitting`] names the one that carries the root as it
//! is, so the draft has the same paths in every dialect.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::compile::Schema;
use super::excerpt::{cut, head};
use super::mend::BadPlace;
use super::violation::Violation;
use crate::partial::{Graft, NO_ITEMS};

/// In which way the provider is asked for the structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// One function whose parameters are the schema; the model must call it.
    Tools,
    /// One function whose parameters are one item of a list; the model calls it once for each.
    ParallelTools,
    /// `response_format` of type `json_schema`.
    JsonSchema,
    /// `response_format` of type `json_object`, the schema in the prompt.
    Json,
    /// No format asked of the provider: a fenced block in prose, the schema in the prompt.
    MdJson,
}

/// What goes into the request.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ask {
    /// The elements of `tools`, each `{type, function: {name, description, parameters}}`. The first is the one that
    /// takes the value, or an item.
    pub tools: Vec<Json>,
    /// The `tool_choice` that makes the model call one.
    pub tool_choice: Option<Json>,
    /// The `response_format`.
    pub response_format: Option<Json>,
    /// Instruction text that carries the schema.
    pub system: Option<String>,
}

/// Longest function name that providers take, in characters.
const NAME_MAX: usize = 64;
/// Name of the function where the schema has no title.
const NAME_DEFAULT: &str = "extract";
/// Longest text of a re-ask, in bytes, its frame not counted.
const REASK_BYTES_MAX: usize = 8 * 1024;
/// Longest line of a re-ask, in bytes.
const LINE_BYTES_MAX: usize = 1024;
/// How much of an answer is shown on each side of the place where it failed, in bytes.
const EXCERPT_BYTES: usize = 60;

/// The dialect nearest to `dialect` that can carry the schema's root.
///
/// A root that may be anything but an object goes to [`Dialect::MdJson`]; an object that is a union or conjunction
/// at the top goes from [`Dialect::Tools`] and [`Dialect::JsonSchema`] to [`Dialect::Json`]. A list of objects
/// ([`Wrap::Iterable`](super::Wrap::Iterable)) goes from [`Dialect::Tools`] to [`Dialect::ParallelTools`], and nothing
/// else goes there.
pub fn fitting(schema: &Schema, dialect: Dialect) -> Dialect {
    if !schema.is_object() {
        return Dialect::MdJson;
    }
    match dialect {
        Dialect::Tools | Dialect::ParallelTools if item(schema).is_some() => Dialect::ParallelTools,
        Dialect::ParallelTools => fitting(schema, Dialect::Tools),
        Dialect::Tools | Dialect::JsonSchema => {
            if plain_object(&schema.outgoing()).is_some() {
                dialect
            } else {
                Dialect::Json
            }
        }
        Dialect::Json | Dialect::MdJson => dialect,
    }
}

/// What to ask the provider for; the dialect is first made [`fitting`].
pub fn ask(schema: &Schema, dialect: Dialect) -> Ask {
    let name = function_name(schema.title());
    match fitting(schema, dialect) {
        Dialect::Tools => Ask {
            tools: vec![function(
                &name,
                schema
                    .description()
                    .unwrap_or("Takes the result in exactly this form."),
                plain_object(&schema.outgoing()).as_ref(),
            )],
            tool_choice: Some(json!({ "type": "function", "function": { "name": name } })),
            ..Ask::default()
        },
        Dialect::ParallelTools => ask_for_items(&item(schema).unwrap_or_default()),
        Dialect::JsonSchema => Ask {
            response_format: Some(json!({
                "type": "json_schema",
                "json_schema": { "name": name, "schema": plain_object(&schema.outgoing()) },
            })),
            ..Ask::default()
        },
        Dialect::Json => Ask {
            response_format: Some(json!({ "type": "json_object" })),
            system: Some(format!(
                "Answer with one JSON object that is valid against the JSON Schema below, and with nothing else.\n\n\
                 JSON Schema:\n{}",
                schema.outgoing()
            )),
            ..Ask::default()
        },
        Dialect::MdJson => Ask {
            system: Some(format!(
                "Answer with one JSON value that is valid against the JSON Schema below, in one fenced block that \
                 opens with ```json.\n\nJSON Schema:\n{}",
                schema.outgoing()
            )),
            ..Ask::default()
        },
    }
}

/// One call for each item, in one answer. Since a call is demanded, there is one to say that there is no item: a model
/// that had none to give would make one up.
fn ask_for_items(item: &Json) -> Ask {
    let title = item.get("title").and_then(Json::as_str);
    let mut name = function_name(title);
    if name == NO_ITEMS {
        name = NAME_DEFAULT.to_owned();
    }
    let description = item.get("description").and_then(Json::as_str);
    let description = description
        .unwrap_or("Takes one item in exactly this form.")
        .to_owned();
    let none = json!({ "type": "object", "properties": {} });
    Ask {
        system: Some(format!(
            "Call the function `{name}` once for each item that you find, all calls in one answer. Where there is no \
             item at all, call `{NO_ITEMS}` instead."
        )),
        tools: vec![
            function(&name, &description, Some(item)),
            function(NO_ITEMS, "Says that there is no item to give.", Some(&none)),
        ],
        tool_choice: Some(json!("required")),
        ..Ask::default()
    }
}

fn function(name: &str, description: &str, parameters: Option<&Json>) -> Json {
    json!({
        "type": "function",
        "function": { "name": name, "description": description, "parameters": parameters },
    })
}

/// The schema of an item, where this is a list of plain objects.
fn item(schema: &Schema) -> Option<Json> {
    plain_object(&schema.outgoing_item()?)
}

/// A schema with `"type": "object"` at its root, as tools and `json_schema` demand; `None` where the root is put
/// together from other schemas. A root that is only a reference into the document is replaced by what it names.
fn plain_object(whole: &Json) -> Option<Json> {
    const BESIDE_REF: [&str; 6] = ["$defs", "definitions", "title", "description", "$id", "$comment"];
    const COMPOSED: [&str; 9] = [
        "$ref",
        "$dynamicRef",
        "anyOf",
        "oneOf",
        "allOf",
        "not",
        "if",
        "enum",
        "const",
    ];
    let mut root = whole.as_object()?.clone();
    // Each turn follows one reference; compiled schemas have no circle of references.
    while let Some(target) = root.get("$ref").and_then(Json::as_str) {
        let named = whole.pointer(target.strip_prefix('#')?)?.as_object()?;
        if root
            .keys()
            .any(|key| key != "$ref" && !BESIDE_REF.contains(&key.as_str()))
        {
            return None;
        }
        root.shift_remove("$ref");
        let mut merged = named.clone();
        merged.extend(root);
        root = merged;
    }
    if COMPOSED.iter().any(|keyword| root.contains_key(*keyword)) {
        return None;
    }
    let mut typed = JsonMap::new();
    typed.insert("type".to_owned(), "object".into());
    root.shift_remove("type");
    typed.extend(root);
    Some(Json::Object(typed))
}

fn function_name(title: Option<&str>) -> String {
    let mut name = String::new();
    for letter in title.unwrap_or_default().chars() {
        let fits = letter.is_ascii_alphanumeric() || letter == '-';
        if fits {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = head(&name, NAME_MAX).trim_matches('_');
    if name.is_empty() { NAME_DEFAULT } else { name }.to_owned()
}

/// The text that asks the model to correct an answer that was JSON but broke the schema.
///
/// One line a violation: pointer, message, offending value. At most 8 KiB and a short frame, however many there are.
pub fn reask(dialect: Dialect, answer: &str, violations: &[Violation]) -> String {
    if answer.trim().is_empty() {
        return format!("The answer was empty. {}", closing(dialect));
    }
    listed("The answer does not fit the schema:", dialect, violations)
}

/// The same for an answer that was not heard to its end, and stands closed in the conversation.
pub fn reask_cut(dialect: Dialect, violations: &[Violation]) -> String {
    let head = "The answer was cut off there and closed, since it could no longer fit the schema:";
    listed(head, dialect, violations)
}

/// The same for an answer that fits the schema, and that somebody outside did not accept.
pub fn refused(dialect: Dialect, violations: &[Violation]) -> String {
    listed(
        "The answer fits the schema, but it is wrong:",
        dialect,
        violations,
    )
}

fn listed(head: &str, dialect: Dialect, violations: &[Violation]) -> String {
    let mut text = format!("{head}\n");
    let mut told = 0;
    for violation in violations {
        let line = line(violation);
        if text.len() + line.len() > REASK_BYTES_MAX {
            break;
        }
        text.push_str(&line);
        told += 1;
    }
    if told < violations.len() {
        text.push_str(&format!("- and {} more\n", violations.len() - told));
    }
    text.push_str(closing(dialect));
    text
}

fn line(violation: &Violation) -> String {
    format!("- {}\n", cut(&said(violation), LINE_BYTES_MAX))
}

fn said(violation: &Violation) -> String {
    let place = match violation.path.as_str() {
        "" => "the whole value",
        path => path,
    };
    let value = match &violation.value {
        Some(value) => format!(" (it is {value})"),
        None => String::new(),
    };
    format!("{place}: {}{value}", violation.message).replace('\n', " ")
}

/// The text that asks for some places of an answer alone, and says what is wrong at each. The schema of such a
/// re-ask is [`Schema::part`].
///
/// One line a place; at most 8 KiB and a short frame, however many there are.
pub fn reask_places(dialect: Dialect, places: &[BadPlace]) -> String {
    let head = "The answer does not fit the schema at these places; all else stands as it is:";
    listed_places(head, dialect, places)
}

/// The same for an answer that fits the schema, and that somebody outside did not accept.
pub fn refused_places(dialect: Dialect, places: &[BadPlace]) -> String {
    let head = "The answer fits the schema, but it is wrong at these places; all else stands as it is:";
    listed_places(head, dialect, places)
}

fn listed_places(head: &str, dialect: Dialect, places: &[BadPlace]) -> String {
    let mut text = format!("{head}\n");
    let room = (REASK_BYTES_MAX / places.len().max(1)).min(LINE_BYTES_MAX);
    for (index, place) in places.iter().enumerate() {
        let faults: Vec<String> = place.violations.iter().map(said).collect();
        let line = format!(
            "{} is for {}. Wrong there: {}",
            Graft::member(index),
            place.pointer,
            faults.join("; ")
        );
        text.push_str(&format!("- {}\n", cut(&line, room)));
    }
    text.push_str(match dialect {
        Dialect::Tools | Dialect::ParallelTools => {
            "Call the function again, now with these members alone, each with the corrected value of its place."
        }
        Dialect::JsonSchema | Dialect::Json => {
            "Answer with a JSON object of these members alone, each with the corrected value of its place, and nothing \
             else."
        }
        Dialect::MdJson => {
            "Answer with a JSON object of these members alone, each with the corrected value of its place, in one block \
             fenced by ```json."
        }
    });
    text
}

/// The text that asks for the whole after all, where places alone were asked for before.
pub fn reask_whole(dialect: Dialect) -> String {
    format!("These places cannot be taken alone. {}", closing(dialect))
}

/// The text that asks the model again after an answer that was no JSON: the byte where it failed, the text around
/// it, and what was expected there.
pub fn reask_no_json(dialect: Dialect, answer: &str, offset: usize, expected: &str) -> String {
    if answer.trim().is_empty() {
        return format!("The answer was empty. {}", closing(dialect));
    }
    let at = answer.floor_char_boundary(offset.min(answer.len()));
    let from = answer.ceil_char_boundary(at.saturating_sub(EXCERPT_BYTES));
    let after = head(&answer[at..], EXCERPT_BYTES);
    format!(
        "The answer is no valid JSON: at byte {offset}, expected {}. It reads {:?} and then {after:?}. {}",
        cut(expected, LINE_BYTES_MAX),
        &answer[from..at],
        closing(dialect)
    )
}

fn closing(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::Tools => "Call the function again with the whole corrected arguments.",
        Dialect::ParallelTools => {
            "Call the function again once for each item, corrected where that is needed, all calls in one answer."
        }
        Dialect::JsonSchema | Dialect::Json => "Answer again with the whole corrected JSON and nothing else.",
        Dialect::MdJson => "Answer again with the whole corrected JSON in one block fenced by ```json.",
    }
}
