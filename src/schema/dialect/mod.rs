//! How a schema is put to a provider, and how a faulty answer is put back to the model.
//!
//! Which ways there are, and what each demands of a schema, is a table ([`MODES`]). A way that cannot carry the schema, or
//! that the provider does not have, leads to the next one in it ([`plan`]). Nothing is wrapped for a dialect's sake, so the
//! draft has the same paths in every dialect. The shapes are those of OpenAI chat completions.

mod modes;
mod reask;
mod reduce;
mod references;
pub mod subset;

use serde_json::{Map as JsonMap, Value as Json, json};

pub use self::modes::{Carried, Constrains, Dialect, MODES, Mode, Root};
pub use self::reask::{
    ask_rest, no_json, no_rest, reask, reask_cut, reask_no_json, reask_places, reask_whole, refused,
    refused_places,
};
pub use self::reduce::Misfit;
use self::subset::Subset;
use super::compile::Schema;
use super::excerpt::head;
use crate::partial::NO_ITEMS;

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

/// What a provider takes in a mode.
#[derive(Clone, Copy, Debug)]
pub enum Taken {
    /// It does not have the mode.
    No,
    /// Any schema.
    Whole,
    /// What it can be told in a subset.
    Within(&'static Subset),
}

/// How a schema is asked for.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The mode.
    pub dialect: Dialect,
    /// What goes into the request.
    pub ask: Ask,
    /// Whether the model is told to say `null` of members that are missing.
    pub null_is_missing: bool,
    /// The modes that were passed over on the way to it, and why.
    pub passed: Vec<Passed>,
}

/// A mode that was passed over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Passed {
    /// Which.
    pub dialect: Dialect,
    /// Why.
    pub why: Unfit,
}

/// Why a mode does not do for a schema.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Unfit {
    /// The provider does not have it.
    Unknown,
    /// It cannot carry the root: one that may be no object, or, for tools and formats, one that is put together from other
    /// schemas.
    Root,
    /// The vendor's subset of JSON Schema (the name is told) has no words for this.
    Subset(&'static str, Vec<Misfit>),
}

impl std::fmt::Display for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mode = self.dialect.mode().word;
        match &self.why {
            Unfit::Unknown => write!(f, "mode `{mode}`: the provider does not have it"),
            Unfit::Root => write!(f, "mode `{mode}`: it takes only a root that is plainly an object"),
            Unfit::Subset(name, misfits) => {
                let misfits: Vec<String> = misfits.iter().map(ToString::to_string).collect();
                write!(f, "mode `{mode}`: {name} does not have {}", misfits.join(", "))
            }
        }
    }
}

/// Longest function name that providers take, in characters.
const NAME_MAX: usize = 64;
/// Name of the function where the schema has no title.
const NAME_DEFAULT: &str = "extract";

/// How to ask for a schema: in the mode `wanted`, or else in the first behind it in the table that can carry the schema
/// and that the provider has, as `takes` says it.
pub fn plan(schema: &Schema, wanted: Dialect, takes: impl Fn(Dialect) -> Taken) -> Plan {
    let mut passed = Vec::new();
    let mut dialect = first(schema, wanted);
    loop {
        let taken = takes(dialect);
        match ask(schema, dialect, taken) {
            Ok(ask) => {
                return Plan {
                    dialect,
                    ask,
                    null_is_missing: matches!(taken, Taken::Within(subset) if subset.all_required),
                    passed,
                };
            }
            Err(why) => {
                passed.push(Passed { dialect, why });
                dialect = dialect
                    .mode()
                    .next
                    .map_or(Dialect::MdJson, |next| first(schema, next));
            }
        }
    }
}

/// Of a list of objects ([`Wrap::Iterable`](super::Wrap::Iterable)), each item is a call; nothing else is asked for so.
fn first(schema: &Schema, dialect: Dialect) -> Dialect {
    match dialect {
        Dialect::Tools | Dialect::ParallelTools if item(schema).is_some() => Dialect::ParallelTools,
        Dialect::ParallelTools => Dialect::Tools,
        other => other,
    }
}

fn ask(schema: &Schema, dialect: Dialect, taken: Taken) -> Result<Ask, Unfit> {
    let mode = dialect.mode();
    // The last one is always there: nothing is asked of the provider but text.
    if matches!(taken, Taken::No) && mode.next.is_some() {
        return Err(Unfit::Unknown);
    }
    let within = |root: Json| match taken {
        Taken::Within(subset) => {
            reduce::reduce(&root, subset).map_err(|misfits| Unfit::Subset(subset.name, misfits))
        }
        Taken::No | Taken::Whole => Ok(root),
    };
    match mode.root {
        Root::Any => Ok(ask_in_words(schema, mode)),
        Root::Object if schema.is_object() => Ok(ask_in_words(schema, mode)),
        Root::Plain if schema.is_object() => match mode.carried {
            Carried::Calls => Ok(ask_for_items(&within(item(schema).ok_or(Unfit::Root)?)?)),
            Carried::Call | Carried::Text | Carried::Fence => {
                let root = plain_object(&schema.outgoing()).ok_or(Unfit::Root)?;
                Ok(ask_by_schema(schema, mode, &within(root)?))
            }
        },
        Root::Plain | Root::Object => Err(Unfit::Root),
    }
}

/// By a tool that takes the value, or a format that the answer has.
fn ask_by_schema(schema: &Schema, mode: &Mode, root: &Json) -> Ask {
    let name = function_name(schema.title());
    if mode.carried == Carried::Call {
        let description = schema.description();
        let description = description.unwrap_or("Takes the result in exactly this form.");
        return Ask {
            tools: vec![function(&name, description, root, mode.strict)],
            tool_choice: Some(json!({ "type": "function", "function": { "name": name } })),
            ..Ask::default()
        };
    }
    let mut format = json!({ "name": name, "schema": root });
    if mode.strict {
        format["strict"] = json!(true);
    }
    Ask {
        response_format: Some(json!({ "type": "json_schema", "json_schema": format })),
        ..Ask::default()
    }
}

/// With the schema in the prompt.
fn ask_in_words(schema: &Schema, mode: &Mode) -> Ask {
    let outgoing = schema.outgoing();
    if mode.carried == Carried::Fence {
        return Ask {
            system: Some(format!(
                "Answer with one JSON value that is valid against the JSON Schema below, in one fenced block that \
                 opens with ```json.\n\nJSON Schema:\n{outgoing}"
            )),
            ..Ask::default()
        };
    }
    Ask {
        response_format: Some(json!({ "type": "json_object" })),
        system: Some(format!(
            "Answer with one JSON object that is valid against the JSON Schema below, and with nothing else.\n\n\
             JSON Schema:\n{outgoing}"
        )),
        ..Ask::default()
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
            function(&name, &description, item, false),
            function(NO_ITEMS, "Says that there is no item to give.", &none, false),
        ],
        tool_choice: Some(json!("required")),
        ..Ask::default()
    }
}

fn function(name: &str, description: &str, parameters: &Json, strict: bool) -> Json {
    let mut function = json!({ "name": name, "description": description, "parameters": parameters });
    if strict {
        function["strict"] = json!(true);
    }
    json!({ "type": "function", "function": function })
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

/// The title as it is, as far as functions may be called so: letters, digits, `-` and `_`, the first no digit and no `-`.
fn function_name(title: Option<&str>) -> String {
    let mut name = String::new();
    for letter in title.unwrap_or_default().chars() {
        let fits = letter.is_ascii_alphanumeric() || letter == '-';
        if name.is_empty() && (letter.is_ascii_digit() || letter == '-') {
            name.push('_');
        }
        if fits {
            name.push(letter);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    let name = head(&name, NAME_MAX).trim_end_matches('_');
    if name.is_empty() { NAME_DEFAULT } else { name }.to_owned()
}
