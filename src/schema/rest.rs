//! The schema of what a container that is only begun still lacks.

use serde_json::{Map as JsonMap, Value as Json, json};

use super::decided::Decided;
use super::excerpt;
use super::graph::Draft;
use super::part::Part;
use crate::partial::{Map, Value};

type Keywords = JsonMap<String, Json>;

/// Keywords that hang on the whole of an object, so that what is there decides what may come.
const OF_WHOLE_OBJECTS: [&str; 6] = [
    "const",
    "enum",
    "dependentRequired",
    "dependentSchemas",
    "dependencies",
    "unevaluatedProperties",
];
/// The same of an array.
const OF_WHOLE_ARRAYS: [&str; 4] = ["const", "enum", "contains", "unevaluatedItems"];

/// What a container lacks.
#[derive(Debug, PartialEq)]
pub(super) enum Lack {
    /// Nothing: it is whole as it is.
    Nothing,
    /// What is valid against this.
    Of(Json),
}

/// What the container at `pointer` of `kept` lacks; `None` where it cannot be told apart from what is there.
pub(super) fn lack(decided: &Decided<'_>, part: &Part<'_, '_>, kept: &Value, pointer: &str) -> Option<Lack> {
    let container = excerpt::at(kept, pointer)?;
    let ids = decided.at(kept, pointer)?;
    let parts = decided.parts(&ids, container)?;
    let said: Vec<Keywords> = parts
        .iter()
        .filter_map(|id| part.own(*id))
        .filter(|said| !(decided.graph.draft == Draft::Seven && said.contains_key("$ref")))
        .collect();
    let (rests, lacks) = match container {
        Value::Object(members) => {
            let rests: Option<Vec<Keywords>> = said.iter().map(|said| of_object(said, members)).collect();
            (rests?, object_lacks(&said, members))
        }
        Value::Array(items) => {
            let draft = decided.graph.draft;
            let rests: Option<Vec<Keywords>> = said
                .iter()
                .map(|said| of_array(said, items.len(), draft))
                .collect();
            let rests = rests?;
            let lacks = rests.iter().all(array_goes_on);
            (rests, lacks)
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => return None,
    };
    Some(if lacks {
        Lack::Of(described(pointer, container, &said, rests))
    } else {
        Lack::Nothing
    })
}

/// A count less what is there; `None` where there is more already.
fn less(keyword: &Json, there: usize) -> Option<u64> {
    keyword.as_u64()?.checked_sub(there as u64)
}

fn of_object(said: &Keywords, members: &Map) -> Option<Keywords> {
    if OF_WHOLE_OBJECTS.iter().any(|keyword| said.contains_key(*keyword)) {
        return None;
    }
    let mut rest = Keywords::new();
    for (keyword, what) in said {
        let what = match (keyword.as_str(), what) {
            ("properties", Json::Object(declared)) => {
                let missing = declared.iter().filter(|(name, _)| !members.contains_key(name));
                let missing: Keywords = missing.map(|(name, to)| (name.clone(), to.clone())).collect();
                Json::Object(missing)
            }
            ("required", Json::Array(names)) => {
                let is_missing = |name: &&Json| name.as_str().is_some_and(|name| !members.contains_key(name));
                names.iter().filter(is_missing).cloned().collect()
            }
            ("minProperties", count) => json!(less(count, members.len()).unwrap_or(0)),
            ("maxProperties", count) => json!(less(count, members.len())?),
            ("additionalProperties" | "patternProperties" | "propertyNames", what) => what.clone(),
            _ => continue,
        };
        rest.insert(keyword.clone(), what);
    }
    Some(rest)
}

/// Whether an object may lack something. Where members are declared and others only not forbidden, nobody waits for
/// others.
fn object_lacks(said: &[Keywords], members: &Map) -> bool {
    let at_most = |said: &Keywords| {
        said.get("maxProperties")
            .and_then(|most| less(most, members.len()))
    };
    if said.iter().any(|said| at_most(said) == Some(0)) {
        return false;
    }
    let mut declares = false;
    for said in said {
        let is_there = |name: &String| members.contains_key(name);
        let declared = said.get("properties").and_then(Json::as_object);
        let required = said.get("required").and_then(Json::as_array);
        let lacks_declared = declared
            .into_iter()
            .flatten()
            .any(|(name, to)| !is_there(name) && *to != json!(false));
        let lacks_required = required
            .into_iter()
            .flatten()
            .filter_map(Json::as_str)
            .any(|name| !members.contains_key(name));
        let more = said
            .get("additionalProperties")
            .is_some_and(|more| *more != json!(false));
        let patterns = said.get("patternProperties").and_then(Json::as_object);
        let is_map = more || patterns.is_some_and(|patterns| !patterns.is_empty());
        let fewest = said
            .get("minProperties")
            .and_then(|least| less(least, members.len()));
        if lacks_declared || lacks_required || is_map || fewest.is_some_and(|fewest| fewest > 0) {
            return true;
        }
        declares |= declared.is_some() || said.get("additionalProperties").is_some();
    }
    !declares
}

fn of_array(said: &Keywords, there: usize, draft: Draft) -> Option<Keywords> {
    let is_unique = said
        .get("uniqueItems")
        .is_some_and(|unique| *unique == json!(true));
    if is_unique || OF_WHOLE_ARRAYS.iter().any(|keyword| said.contains_key(*keyword)) {
        return None;
    }
    let mut rest = Keywords::new();
    let first = match draft {
        Draft::TwentyTwenty => "prefixItems",
        Draft::Seven => "items",
    };
    let own = said.get(first).and_then(Json::as_array);
    let own = own.map(|own| own.iter().skip(there).cloned().collect::<Vec<Json>>());
    let (own, all_told) = match own {
        Some(own) if own.is_empty() => (None, true),
        other => (other, false),
    };
    for (keyword, what) in said {
        let what = match keyword.as_str() {
            "minItems" => json!(less(what, there).unwrap_or(0)),
            "maxItems" => json!(less(what, there)?),
            "items" if draft == Draft::TwentyTwenty || !what.is_array() => what.clone(),
            "additionalItems" if own.is_some() => what.clone(),
            _ => continue,
        };
        rest.insert(keyword.clone(), what);
    }
    if let Some(more) = said
        .get("additionalItems")
        .filter(|_| all_told && draft == Draft::Seven)
    {
        rest.insert("items".to_owned(), more.clone());
    }
    if let Some(own) = own {
        rest.insert(first.to_owned(), own.into());
    }
    Some(rest)
}

fn array_goes_on(rest: &Keywords) -> bool {
    let is_full = rest.get("maxItems") == Some(&json!(0));
    let is_over = !rest.contains_key("prefixItems") && rest.get("items") == Some(&json!(false));
    !is_full && !is_over
}

/// What the parts say together, and which place is meant.
fn described(pointer: &str, container: &Value, said: &[Keywords], rests: Vec<Keywords>) -> Json {
    let mut rests: Vec<Keywords> = rests.into_iter().filter(|rest| !rest.is_empty()).collect();
    let mut schema = match rests.len() {
        0 | 1 => rests.pop().unwrap_or_default(),
        _ => Keywords::from_iter([("allOf".to_owned(), rests.into_iter().map(Json::Object).collect())]),
    };
    let place = match pointer {
        "" => "the result",
        pointer => pointer,
    };
    let (kind, what) = match container {
        Value::Array(items) => (
            "array",
            format!("The items of {place} behind its first {}.", items.len()),
        ),
        _ => ("object", format!("The members that {place} lacks.")),
    };
    schema.insert("type".to_owned(), kind.into());
    let own = said.iter().find_map(|said| said.get("description")?.as_str());
    let description = own.map_or_else(|| what.clone(), |own| format!("{what} It is: {own}"));
    schema.insert("description".to_owned(), description.into());
    Json::Object(schema)
}
