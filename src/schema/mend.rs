//! What of a faulty value has to be asked for again: the fewest places whose replacement can heal all its faults, and
//! the schema of just these.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::compile::Schema;
use super::excerpt;
use super::graph::Graph;
use super::part::Part;
use super::violation::Violation;
use crate::partial::{Graft, Guide, Value, path};

/// A place that has to be asked for again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BadPlace {
    /// JSON Pointer of the value to replace, or of a member that is missing.
    pub pointer: String,
    /// What is wrong there, or within.
    pub violations: Vec<Violation>,
}

impl Schema {
    /// The places of `value` that have to be replaced to heal these violations, in the order in which those were told;
    /// `None` where the whole has to be asked for: the fault is the root's, there may be more faults than were listed,
    /// there are more than `places_max` places, they are more than half of the value's text, or what the schema says
    /// of one depends on which branch of a union is meant, up to the root.
    pub fn bad_places(
        &self,
        value: &Value,
        violations: &[Violation],
        places_max: usize,
    ) -> Option<Vec<BadPlace>> {
        if violations.is_empty() || self.lists_no_more(violations) {
            return None;
        }
        let mut places: Vec<BadPlace> = Vec::new();
        for violation in violations {
            let pointer = self.known_place(value, healed_at(violation)?)?;
            if let Some(outer) = places
                .iter_mut()
                .find(|place| path::is_within(&pointer, &place.pointer))
            {
                outer.violations.push(violation.clone());
                continue;
            }
            let mut place = BadPlace {
                pointer,
                violations: Vec::new(),
            };
            // What lies within is replaced with it; the order of what is left stays.
            let taken = places.extract_if(.., |inner| path::is_within(&inner.pointer, &place.pointer));
            place.violations = taken.flat_map(|inner| inner.violations).collect();
            place.violations.push(violation.clone());
            places.push(place);
        }
        let bad: usize = places
            .iter()
            .filter_map(|place| excerpt::at(value, &place.pointer))
            .map(|value| value.to_json().len())
            .sum();
        let fits = places.len() <= places_max && bad * 2 <= value.to_json().len();
        fits.then_some(places)
    }

    /// Whether there may be more faults than these: as many were told as ever are.
    pub const fn lists_no_more(&self, violations: &[Violation]) -> bool {
        violations.len() >= self.limits.violations_max
    }

    /// Whether these violations of a value that still grows make it sure that the whole has to be asked for: one is the
    /// root's to heal, or there are more places than `places_max`. What is not to be seen of the value yet is not counted.
    pub fn needs_whole(&self, value: &Value, violations: &[Violation], places_max: usize) -> bool {
        let mut places: Vec<String> = Vec::new();
        for violation in violations {
            let Some(place) = healed_at(violation) else {
                return true;
            };
            let is_there = around(place).is_some_and(|parent| excerpt::at(value, parent).is_some());
            if !is_there || places.iter().any(|outer| path::is_within(place, outer)) {
                continue;
            }
            let Some(pointer) = self.known_place(value, place) else {
                return true;
            };
            places.retain(|inner| !path::is_within(inner, &pointer));
            places.push(pointer);
        }
        places.len() > places_max
    }

    /// The schema of an object that has for each of these places of `value` a member with what is to stand there, named
    /// as [`Graft`] reads it; `None` where nothing sure is known of one, or they would be longer than a schema may be.
    pub fn part(&self, value: &Value, places: &[String]) -> Option<Json> {
        let graph = Graph::read(&self.source, &self.limits).ok()?;
        let part = Part::new(&self.source, &graph);
        let mut properties = JsonMap::new();
        // Several places may have the same large schema.
        let mut room = self.limits.bytes_max;
        for (index, pointer) in places.iter().enumerate() {
            let sure = self.subschemas_at(value, pointer)?;
            let schemas: Option<Vec<Json>> = sure.iter().map(|id| part.subschema(*id)).collect();
            let schema = described(pointer, schemas?);
            room = room.checked_sub(schema.to_string().len())?;
            properties.insert(Graft::member(index), schema);
        }
        let required: Vec<String> = properties.keys().cloned().collect();
        let mut schema = JsonMap::new();
        for keyword in ["$schema", "title"] {
            let said = self.source.get(keyword).cloned();
            said.map(|said| schema.insert(keyword.to_owned(), said));
        }
        let description = "The parts of the result that have to be corrected, each for the place that its description names.";
        schema.insert("description".to_owned(), description.into());
        schema.insert("type".to_owned(), "object".into());
        let properties = Json::Object(properties);
        let definitions = part.definitions_for(&properties);
        schema.insert("properties".to_owned(), properties);
        schema.insert("required".to_owned(), json!(required));
        schema.insert("additionalProperties".to_owned(), false.into());
        schema.extend(definitions);
        Some(Json::Object(schema))
    }

    /// What a value has at a place, as violations show it.
    pub fn excerpt(&self, value: &Value, pointer: &str) -> Option<String> {
        let at = excerpt::at(value, pointer)?;
        Some(excerpt::preview(at, self.limits.violation_value_bytes_max))
    }

    /// The place itself, or the nearest around it of which it is known what the schema says; never the root.
    fn known_place(&self, value: &Value, pointer: &str) -> Option<String> {
        let mut pointer = pointer;
        while !pointer.is_empty() {
            if self.subschemas_at(value, pointer).is_some() {
                return Some(pointer.to_owned());
            }
            pointer = around(pointer)?;
        }
        None
    }

    /// The subschemas that make up all that the schema says of a place; `None` where a branch of a union speaks of it,
    /// too, or none does.
    fn subschemas_at(&self, value: &Value, pointer: &str) -> Option<&[u32]> {
        let segments = path::segments(pointer)?;
        let (last, before) = segments.split_last()?;
        let mut node = self.places.root();
        let mut at = value;
        for segment in before {
            (node, at) = match at {
                Value::Object(members) => (self.places.member(node, segment), members.get(segment)?),
                Value::Array(items) => {
                    let index = path::index(segment)?;
                    (self.places.item(node, index), items.get(index)?)
                }
                Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
            };
        }
        let node = match at {
            Value::Object(_) => self.places.member(node, last),
            Value::Array(items) => {
                let index = path::index(last).filter(|index| *index < items.len())?;
                self.places.item(node, index)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
        };
        self.places.all(node)
    }
}

/// The place whose replacement can heal a violation; `None` for the root's.
fn healed_at(violation: &Violation) -> Option<&str> {
    let place = match (&violation.missing, violation.keyword.as_str()) {
        (Some(missing), _) => missing,
        // What must not be there cannot be replaced, only left out.
        (None, "false") => around(&violation.path)?,
        // A value that is wrong by itself, one that fits no branch of a union, or a container as such.
        (None, _) => &violation.path,
    };
    (!place.is_empty()).then_some(place)
}

fn around(pointer: &str) -> Option<&str> {
    pointer.rsplit_once('/').map(|(parent, _)| parent)
}

/// What the subschemas say together, and which place is meant.
fn described(pointer: &str, mut schemas: Vec<Json>) -> Json {
    let mut schema = match (schemas.len(), schemas.pop()) {
        (1, Some(Json::Object(only))) => only,
        (1, Some(Json::Bool(true))) | (_, None) => JsonMap::new(),
        (_, Some(last)) => {
            schemas.push(last);
            JsonMap::from_iter([("allOf".to_owned(), Json::Array(schemas))])
        }
    };
    let said = schema.get("description").and_then(Json::as_str);
    let description = match said {
        Some(said) => format!("For {pointer}: {said}"),
        None => format!("For {pointer}."),
    };
    schema.insert("description".to_owned(), description.into());
    Json::Object(schema)
}
