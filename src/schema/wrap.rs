//! Wrappers around a schema: a list of such values, or one that may not be there.
//!
//! A wrapped schema is an ordinary one, so the draft, its places and the judgement need to know nothing of wrapping.
//! The schema that was given stands in it as a definition of its own; its references are led there.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::graph::{Draft, Graph};
use super::reference;
use crate::partial::TASKS;

/// What stands around the value that was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wrap {
    /// Any number of them: `{"tasks": […]}`.
    Iterable,
    /// One, or a reason why there is none: `{"result": …, "error": …, "message": …}`.
    Maybe,
}

/// Keywords under which definitions stand.
pub(super) const DEFINITIONS: [&str; 2] = ["$defs", "definitions"];
/// Keywords that refer to another place.
pub(super) const REFERENCES: [&str; 2] = ["$ref", "$dynamicRef"];
/// Name of the definition where the schema has no title.
const NAME_DEFAULT: &str = "Item";
/// Longest name of a definition, in characters.
const NAME_MAX: usize = 64;

/// A schema with a wrapper around it.
pub(super) struct Wrapped {
    pub(super) schema: Json,
    /// The pointer of the definition that the given schema became.
    given: String,
}

impl Wrapped {
    /// Wraps a schema that was read as `graph`.
    pub(super) fn new(schema: &Json, graph: &Graph<'_>, wrap: Wrap) -> Self {
        let keyword = match graph.draft {
            Draft::TwentyTwenty => "$defs",
            Draft::Seven => "definitions",
        };
        let name = free_name(schema, keyword);
        let given = format!("/{keyword}/{name}");
        let mut inner = led_to(schema, graph, &given);
        let title = schema.get("title").and_then(Json::as_str);
        let mut outer = frame(wrap, title, &json!({ "$ref": format!("#{given}") }));
        if let Some(inner) = inner.as_object_mut() {
            inner.shift_remove("$id");
            if let Some(dialect) = inner.shift_remove("$schema") {
                outer.insert("$schema".to_owned(), dialect);
            }
            for keyword in DEFINITIONS {
                let moved = inner.shift_remove(keyword);
                moved.map(|moved| outer.insert(keyword.to_owned(), moved));
            }
        }
        let definitions = outer.entry(keyword).or_insert_with(|| json!({}));
        if let Some(definitions) = definitions.as_object_mut() {
            definitions.insert(name, inner);
        }
        Self {
            schema: Json::Object(outer),
            given,
        }
    }

    /// Where a place of the wrapped schema stands in the given one.
    pub(super) fn place_given(&self, pointer: &str) -> String {
        let inner = pointer.strip_prefix(&self.given);
        inner
            .filter(|rest| rest.is_empty() || rest.starts_with('/'))
            .unwrap_or(pointer)
            .to_owned()
    }
}

/// The wrapper around what `item` refers to.
fn frame(wrap: Wrap, title: Option<&str>, item: &Json) -> JsonMap<String, Json> {
    let named = title.unwrap_or_default();
    let framed = match wrap {
        Wrap::Iterable => json!({
            "title": format!("Iterable{named}"),
            "description": format!("Each {} that the text tells of, in its order.", title.unwrap_or("value")),
            "type": "object",
            "properties": { TASKS: { "type": "array", "items": item } },
            "required": [TASKS],
        }),
        Wrap::Maybe => json!({
            "title": format!("Maybe{named}"),
            "description": "The result where the text tells it; else an error, and why.",
            "type": "object",
            "properties": {
                "result": {
                    "description": "What the text tells, or null where it does not.",
                    "anyOf": [item, { "type": "null" }],
                    "default": null,
                },
                "error": { "description": "Whether there is no result.", "type": "boolean", "default": false },
                "message": {
                    "description": "Where there is no result: why, in a short sentence.",
                    "anyOf": [{ "type": "string" }, { "type": "null" }],
                    "default": null,
                },
            },
            "minProperties": 1,
        }),
    };
    framed.as_object().cloned().unwrap_or_default()
}

/// A name for the given schema among its own definitions.
pub(super) fn free_name(schema: &Json, keyword: &str) -> String {
    let title = schema.get("title").and_then(Json::as_str).unwrap_or_default();
    let letters = title.chars().filter(char::is_ascii_alphanumeric);
    let mut name: String = letters.take(NAME_MAX).collect();
    if name.is_empty() {
        name.push_str(NAME_DEFAULT);
    }
    let taken = schema.get(keyword).and_then(Json::as_object);
    // Each turn finds another name taken, and there are finitely many.
    while taken.is_some_and(|taken| taken.contains_key(&name)) {
        name.push('_');
    }
    name
}

/// The schema with its references led to where it will stand: definitions keep their place, all else moves to
/// `pointer`.
pub(super) fn led_to(schema: &Json, graph: &Graph<'_>, pointer: &str) -> Json {
    let own = schema.get("$id").and_then(Json::as_str);
    let mut led = schema.clone();
    for keyword in REFERENCES {
        for node in graph.nodes_with(keyword) {
            let place = led.pointer_mut(&node).and_then(|node| node.get_mut(keyword));
            let Some(place) = place else { continue };
            let Some(to) = place.as_str().and_then(|from| led_reference(from, own, pointer)) else {
                continue;
            };
            *place = Json::String(to);
        }
    }
    led
}

fn led_reference(from: &str, own: Option<&str>, pointer: &str) -> Option<String> {
    let target = reference::fragment(from, own)?;
    let written = from.split_once('#').map_or("", |(_, fragment)| fragment);
    let is_definition = DEFINITIONS.iter().any(|keyword| {
        target
            .strip_prefix('/')
            .and_then(|rest| rest.strip_prefix(keyword))
            .is_some_and(|rest| rest.starts_with('/'))
    });
    let stays = is_definition || !(target.is_empty() || target.starts_with('/'));
    Some(match stays {
        true => format!("#{written}"),
        false => format!("#{pointer}{written}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::SchemaLimits;

    fn wrapped(schema: &Json, wrap: Wrap) -> Result<Wrapped, Box<dyn std::error::Error>> {
        let graph = Graph::read(schema, &SchemaLimits::default())?;
        Ok(Wrapped::new(schema, &graph, wrap))
    }

    #[test]
    fn references_are_led_to_where_the_schema_stands() -> Result<(), Box<dyn std::error::Error>> {
        let tree = json!({
            "$id": "https://example.org/tree", "title": "A tree", "type": "object",
            "properties": {
                "kids": { "type": "array", "items": { "$ref": "#" } },
                "leaf": { "$ref": "https://example.org/tree#/$defs/leaf" },
                "same": { "$ref": "#/properties/leaf" },
                "said": { "const": { "$ref": "#" } },
            },
            "$defs": { "leaf": { "type": "string" }, "Atree": { "$ref": "#/$defs/leaf" } },
        });
        let wrapped = wrapped(&tree, Wrap::Iterable)?;
        let schema = &wrapped.schema;
        assert_eq!(
            schema.pointer("/properties/tasks/items/$ref"),
            Some(&json!("#/$defs/Atree_"))
        );
        let inner = schema.pointer("/$defs/Atree_").ok_or("the given schema")?;
        assert_eq!(
            inner.pointer("/properties/kids/items/$ref"),
            Some(&json!("#/$defs/Atree_"))
        );
        assert_eq!(
            inner.pointer("/properties/leaf/$ref"),
            Some(&json!("#/$defs/leaf"))
        );
        assert_eq!(
            inner.pointer("/properties/same/$ref"),
            Some(&json!("#/$defs/Atree_/properties/leaf"))
        );
        assert_eq!(
            inner.pointer("/properties/said/const/$ref"),
            Some(&json!("#")),
            "data stays as it is"
        );
        assert_eq!(inner.get("$id"), None);
        assert_eq!(wrapped.place_given("/$defs/Atree_/properties/x"), "/properties/x");
        assert_eq!(wrapped.place_given("/$defs/leaf"), "/$defs/leaf");
        Ok(())
    }

    #[test]
    fn a_name_that_is_no_word_is_left_out() -> Result<(), Box<dyn std::error::Error>> {
        let wrapped = wrapped(&json!(true), Wrap::Maybe)?;
        assert_eq!(wrapped.schema.pointer("/$defs/Item"), Some(&json!(true)));
        assert_eq!(wrapped.schema.get("title"), Some(&json!("Maybe")));
        Ok(())
    }
}
