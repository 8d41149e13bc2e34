//! A schema made into one of a vendor's subset, or what of it cannot be.
//!
//! What comes out lets through no answer that breaks the structure the client's schema asks for; bounds that the subset
//! lacks stand in words, and `null` stands for what may be missing. The client's own schema judges the answer.

use std::fmt::Write as _;

use serde_json::{Map as JsonMap, Value as Json, json};

use super::references;
use super::subset::{ANNOTATIONS, ASSERTIONS, Subset};
use crate::partial::path;
use crate::schema::excerpt::cut;

/// How many faults of a schema are looked for.
const MISFITS_MAX: usize = 8;
/// Longest bound told in words, in bytes.
const SAID_BYTES_MAX: usize = 256;

type Map = JsonMap<String, Json>;

/// What a subset cannot express.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misfit {
    /// The subschema, as a pointer into what would be sent.
    pub pointer: String,
    /// The keyword.
    pub keyword: String,
    /// What is wrong with it, where it is not the keyword by itself.
    pub why: Option<String>,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let place = match self.pointer.as_str() {
            "" => "the root",
            pointer => pointer,
        };
        write!(f, "`{}` at {place}", self.keyword)?;
        match &self.why {
            Some(why) => write!(f, " ({why})"),
            None => Ok(()),
        }
    }
}

/// The schema of an object, within `subset`.
///
/// # Errors
/// What cannot be expressed: at least one, at most eight.
pub(super) fn reduce(root: &Json, subset: &'static Subset) -> Result<Json, Vec<Misfit>> {
    let mut reducer = Reducer {
        subset,
        misfits: Vec::new(),
        counts: Counts::default(),
    };
    if !subset.recursive && references::circle(root) {
        reducer.misfit("", "$ref", Some("it contains itself"));
    }
    let reduced = reducer.subschema("", root, 0);
    reducer.hold_to_limits();
    if reducer.misfits.is_empty() {
        Ok(reduced)
    } else {
        Err(reducer.misfits)
    }
}

#[derive(Default)]
struct Counts {
    properties: usize,
    depth: usize,
    chars: usize,
    enum_values: usize,
    optional: usize,
    unions: usize,
}

struct Reducer {
    subset: &'static Subset,
    misfits: Vec<Misfit>,
    counts: Counts,
}

impl Reducer {
    fn misfit(&mut self, at: &str, keyword: &str, why: Option<&str>) {
        if self.misfits.len() < MISFITS_MAX {
            self.misfits.push(Misfit {
                pointer: at.to_owned(),
                keyword: keyword.to_owned(),
                why: why.map(str::to_owned),
            });
        }
    }

    fn sends(&self, keyword: &str) -> bool {
        self.subset.sent.contains(&keyword)
    }

    fn subschema(&mut self, at: &str, schema: &Json, depth: usize) -> Json {
        let Some(given) = schema.as_object() else {
            if self.subset.typed || schema != &json!(true) {
                self.misfit(at, "type", Some("a schema that is `true` or `false`"));
            }
            return json!({});
        };
        let mut given = given.clone();
        self.unfold(at, &mut given);
        if self.subset.typed {
            infer_type(&mut given);
        }
        if let Some(target) = given.get("$ref").and_then(Json::as_str) {
            let target = target.to_owned();
            return self.reference(at, &target, &given);
        }
        let mut made = Map::new();
        let mut said = Vec::new();
        for (keyword, value) in &given {
            self.keyword(at, keyword, value, depth, &mut made, &mut said);
        }
        self.close(at, &given, &mut made);
        self.hold_type(at, &given);
        say(&mut made, &said);
        Json::Object(made)
    }

    /// Writes what one keyword says in the words of the subset.
    fn keyword(
        &mut self,
        at: &str,
        keyword: &str,
        value: &Json,
        depth: usize,
        made: &mut Map,
        said: &mut Vec<String>,
    ) {
        let pointer = joined(at, keyword);
        match (keyword, value) {
            ("$defs" | "definitions", Json::Object(all)) => {
                let name = references::definitions_keyword(keyword, self.subset);
                let all = all.iter().map(|(key, schema)| {
                    self.counts.chars += key.chars().count();
                    (key.clone(), self.subschema(&joined(&pointer, key), schema, 0))
                });
                let all: Map = all.collect();
                let under = made.entry(name).or_insert_with(|| json!({}));
                if let Some(under) = under.as_object_mut() {
                    under.extend(all);
                }
            }
            ("properties", Json::Object(members)) => {
                self.counts.depth = self.counts.depth.max(depth + 1);
                self.counts.properties += members.len();
                let members = members.iter().map(|(key, schema)| {
                    self.counts.chars += key.chars().count();
                    self.counts.unions += usize::from(is_union(schema));
                    (
                        key.clone(),
                        self.subschema(&joined(&pointer, key), schema, depth + 1),
                    )
                });
                let members: Map = members.collect();
                made.insert("properties".to_owned(), members.into());
            }
            // Where exactly one must hold, some do; which is held here.
            ("anyOf" | "oneOf", Json::Array(branches)) => {
                let branches = branches.iter().enumerate();
                let branches: Vec<Json> = branches
                    .map(|(index, branch)| {
                        self.subschema(&joined(&pointer, &index.to_string()), branch, depth)
                    })
                    .collect();
                if made.insert("anyOf".to_owned(), branches.into()).is_some() {
                    self.misfit(at, "oneOf", Some("beside `anyOf`"));
                }
            }
            ("prefixItems", Json::Array(items)) if self.sends("prefixItems") => {
                let items = items.iter().enumerate();
                let items: Vec<Json> = items
                    .map(|(index, item)| self.subschema(&joined(&pointer, &index.to_string()), item, depth))
                    .collect();
                made.insert("prefixItems".to_owned(), items.into());
            }
            ("items", Json::Object(_)) => {
                made.insert("items".to_owned(), self.subschema(&pointer, value, depth));
            }
            ("items", _) => self.misfit(at, "items", Some("a list, `true` or `false`")),
            ("additionalProperties", Json::Object(_)) if !self.subset.closed => {
                made.insert(keyword.to_owned(), self.subschema(&pointer, value, depth));
            }
            // What objects are closed by is said once all of them is known.
            ("additionalProperties" | "required", _) => {}
            _ => self.plain_keyword(at, keyword, value, made, said),
        }
    }

    /// The same for keywords that hold no subschema which can be told.
    fn plain_keyword(
        &mut self,
        at: &str,
        keyword: &str,
        value: &Json,
        made: &mut Map,
        said: &mut Vec<String>,
    ) {
        let mut say = |keyword: &str| said.push(cut(&format!("{keyword}: {value}"), SAID_BYTES_MAX));
        match (keyword, value) {
            ("format", Json::String(format)) if !self.subset.formats.contains(&format.as_str()) => {
                say(keyword)
            }
            ("minItems", least)
                if least
                    .as_u64()
                    .is_none_or(|least| least > self.subset.min_items_max) =>
            {
                say(keyword);
            }
            // No vendor takes what looks ahead or behind, or for the ends of words.
            ("pattern", Json::String(pattern)) if pattern.contains("(?") || pattern.contains("\\b") => {
                say(keyword)
            }
            ("enum", Json::Array(values)) => {
                self.enumeration(at, keyword, values);
                made.insert(keyword.to_owned(), value.clone());
            }
            ("const", _) => {
                self.enumeration(at, keyword, std::slice::from_ref(value));
                if self.sends(keyword) {
                    made.insert(keyword.to_owned(), value.clone());
                } else {
                    made.insert("enum".to_owned(), json!([value]));
                }
            }
            _ if self.sends(keyword) => {
                made.insert(keyword.to_owned(), value.clone());
            }
            _ if self.subset.said.contains(&keyword) => say(keyword),
            _ if ASSERTIONS.contains(&keyword) => self.misfit(at, keyword, None),
            // Annotations, and words of others.
            _ => {}
        }
    }

    fn enumeration(&mut self, at: &str, keyword: &str, values: &[Json]) {
        if values.iter().any(|value| value.is_object() || value.is_array()) {
            self.misfit(at, keyword, Some("a value that is an object or a list"));
        }
        let texts = values.iter().filter_map(Json::as_str);
        let chars: usize = texts.map(|text| text.chars().count()).sum();
        self.counts.chars += chars;
        if keyword == "enum" {
            self.counts.enum_values += values.len();
        }
        let (many, chars_max) = self.subset.limits.long_enum;
        if values.len() > many && chars > chars_max {
            let why = format!(
                "{} values of {chars} characters, at most {chars_max}",
                values.len()
            );
            self.misfit(at, keyword, Some(&why));
        }
    }

    /// A reference stands alone: what is said beside it is said around it.
    fn reference(&mut self, at: &str, target: &str, given: &Map) -> Json {
        let Some(target) = references::led(target, self.subset) else {
            self.misfit(at, "$ref", Some("it names no definition"));
            return json!({});
        };
        let beside = |keyword: &str| {
            ASSERTIONS.contains(&keyword) && !matches!(keyword, "$ref" | "type" | "$defs" | "definitions")
        };
        if let Some(keyword) = given.keys().find(|keyword| beside(keyword)) {
            self.misfit(at, keyword, Some("beside `$ref`"));
        }
        let reference = json!({ "$ref": target });
        match given.get("description") {
            Some(description) => json!({ "description": description, "anyOf": [reference] }),
            None => reference,
        }
    }

    /// One schema in `allOf` is as good as none: what it says is said beside.
    fn unfold(&mut self, at: &str, given: &mut Map) {
        // Each turn takes one list away.
        while let Some([Json::Object(only)]) = given.get("allOf").and_then(Json::as_array).map(Vec::as_slice)
        {
            let only = only.clone();
            given.shift_remove("allOf");
            for (keyword, value) in only {
                let is_said = ANNOTATIONS.contains(&keyword.as_str()) || keyword == "description";
                match given.get(&keyword) {
                    Some(own) if own != &value && !is_said => {
                        self.misfit(&joined(at, "allOf"), &keyword, Some("said twice"));
                    }
                    Some(_) => {}
                    None => {
                        given.insert(keyword, value);
                    }
                }
            }
        }
    }

    /// Says which members an object has, where this is one.
    fn close(&mut self, at: &str, given: &Map, made: &mut Map) {
        let members = given.get("properties").and_then(Json::as_object);
        let names = given.get("required").and_then(Json::as_array);
        let required: Vec<&str> = names.into_iter().flatten().filter_map(Json::as_str).collect();
        if !allows(given, "object") && members.is_none() {
            return;
        }
        let others = given.get("additionalProperties");
        if self.subset.closed {
            let is_map = others.is_some_and(|others| others != &json!(false));
            let is_open = members.is_none_or(Map::is_empty) && others != Some(&json!(false));
            if is_map || is_open {
                self.misfit(at, "additionalProperties", Some("members of any name"));
            }
            made.insert("additionalProperties".to_owned(), json!(false));
        } else if let Some(Json::Bool(others)) = others {
            made.insert("additionalProperties".to_owned(), json!(others));
        }
        let known = |name: &str| members.is_some_and(|members| members.contains_key(name));
        if self.subset.closed && !required.iter().all(|name| known(name)) {
            self.misfit(at, "required", Some("a member that is not in `properties`"));
        }
        let optional: Vec<&String> = members
            .into_iter()
            .flat_map(Map::keys)
            .filter(|name| !required.contains(&name.as_str()))
            .collect();
        self.counts.optional += optional.len();
        if !self.subset.all_required {
            names.map(|names| made.insert("required".to_owned(), json!(names)));
            return;
        }
        let all: Vec<&String> = members.into_iter().flat_map(Map::keys).collect();
        made.insert("required".to_owned(), json!(all));
        for name in optional {
            let member = made
                .get_mut("properties")
                .and_then(|members| members.get_mut(name));
            member.map(or_null);
        }
    }

    /// Every place has a type, and every list one of its items.
    fn hold_type(&mut self, at: &str, given: &Map) {
        let is_told = ["type", "anyOf", "oneOf"]
            .iter()
            .any(|keyword| given.contains_key(*keyword));
        if self.subset.typed && !is_told {
            self.misfit(at, "type", Some("there is none"));
        }
        let has_items = given.contains_key("items") || given.contains_key("prefixItems");
        if self.subset.typed && allows(given, "array") && !has_items {
            self.misfit(at, "items", Some("there are none"));
        }
    }

    fn hold_to_limits(&mut self) {
        let (limits, counts) = (self.subset.limits, &self.counts);
        let all = [
            ("properties", "members", counts.properties, limits.properties),
            (
                "properties",
                "objects within each other",
                counts.depth,
                limits.depth,
            ),
            (
                "properties",
                "characters of names and values",
                counts.chars,
                limits.chars,
            ),
            ("enum", "values", counts.enum_values, limits.enum_values),
            (
                "required",
                "members that may be missing",
                counts.optional,
                limits.optional,
            ),
            ("anyOf", "members that are unions", counts.unions, limits.unions),
        ];
        for (keyword, what, count, limit) in all {
            if count > limit {
                self.misfit("", keyword, Some(&format!("{count} {what}, at most {limit}")));
            }
        }
    }
}

/// Names the type where other keywords leave no doubt.
fn infer_type(given: &mut Map) {
    if ["type", "$ref", "anyOf", "oneOf", "allOf"]
        .iter()
        .any(|keyword| given.contains_key(*keyword))
    {
        return;
    }
    let values = match (given.get("enum"), given.get("const")) {
        (Some(Json::Array(values)), _) => values.as_slice(),
        (_, Some(value)) => std::slice::from_ref(value),
        _ => &[],
    };
    let mut types: Vec<&str> = Vec::new();
    for value in values {
        let name = type_of(value);
        if !types.contains(&name) {
            types.push(name);
        }
    }
    if types.is_empty() {
        let by = [
            ("properties", "object"),
            ("items", "array"),
            ("prefixItems", "array"),
        ];
        types.extend(
            by.iter()
                .find(|(keyword, _)| given.contains_key(*keyword))
                .map(|(_, name)| *name),
        );
    }
    match types.as_slice() {
        [] => {}
        [one] => {
            given.insert("type".to_owned(), json!(one));
        }
        several => {
            given.insert("type".to_owned(), json!(several));
        }
    }
}

fn type_of(value: &Json) -> &'static str {
    match value {
        Json::Null => "null",
        Json::Bool(_) => "boolean",
        Json::Number(number) if number.is_f64() => "number",
        Json::Number(_) => "integer",
        Json::String(_) => "string",
        Json::Array(_) => "array",
        Json::Object(_) => "object",
    }
}

/// Whether the schema names the type, alone or among others.
fn allows(given: &Map, name: &str) -> bool {
    match given.get("type") {
        Some(Json::String(own)) => own == name,
        Some(Json::Array(all)) => all.iter().any(|own| own == name),
        _ => false,
    }
}

fn is_union(schema: &Json) -> bool {
    let several = |keyword: &str| schema.get(keyword).is_some_and(Json::is_array);
    several("anyOf") || several("oneOf") || several("type")
}

/// Lets `null` through, too.
fn or_null(schema: &mut Json) {
    let Some(map) = schema.as_object_mut() else { return };
    if let Some(Json::Array(branches)) = map.get_mut("anyOf") {
        let null = json!({ "type": "null" });
        let has_null = |branch: &Json| branch.as_object().is_some_and(|branch| allows(branch, "null"));
        if !branches.iter().any(has_null) {
            branches.push(null);
        }
        return;
    }
    if map.contains_key("$ref") {
        *schema = json!({ "anyOf": [schema, { "type": "null" }] });
        return;
    }
    if allows(map, "null") {
        return;
    }
    match map.get_mut("type") {
        Some(Json::Array(types)) => types.push(json!("null")),
        Some(own) => *own = json!([own, "null"]),
        None => {}
    }
    if let Some(only) = map.shift_remove("const") {
        map.insert("enum".to_owned(), json!([only]));
    }
    if let Some(Json::Array(values)) = map.get_mut("enum") {
        values.push(Json::Null);
    }
}

/// Adds bounds to the description.
fn say(made: &mut Map, said: &[String]) {
    if said.is_empty() {
        return;
    }
    let mut text = made
        .get("description")
        .and_then(Json::as_str)
        .unwrap_or_default()
        .to_owned();
    let before = if text.is_empty() { "" } else { " " };
    // A String takes everything.
    let _ = write!(text, "{before}({})", said.join(", "));
    made.insert("description".to_owned(), text.into());
}

fn joined(at: &str, segment: &str) -> String {
    let mut pointer = at.to_owned();
    path::push_segment(&mut pointer, segment);
    pointer
}
