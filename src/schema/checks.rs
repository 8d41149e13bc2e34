//! What can be said of a value when it closes, place by place.
//!
//! A place's sure subschemas are taken apart: the keywords that speak of a scalar, and those that speak of a
//! container alone, each compiled once however many places share them. What needs more than that (unions,
//! `unevaluated…`, `contains`, `uniqueItems`) waits: for the child of the root around it, which is held against its
//! whole subschema, or for the final judgement.

use std::collections::HashMap;
use std::sync::Arc;

use jsonschema::Registry;
use serde_json::{Map as JsonMap, Value as Json, json};

use super::compile;
use super::forms::{Finder, Forms};
use super::graph::{Draft, Graph, Node, Same};
use super::guard::{self, Measures};
use super::limits::SchemaLimits;
use super::numeric::Options;
use super::places::Places;
use super::tree::Validator;

/// Keywords that speak of scalars, and those that join subschemas for them.
const OF_SCALARS: [&str; 12] = [
    "type",
    "enum",
    "const",
    "multipleOf",
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "minLength",
    "maxLength",
    "pattern",
    "format",
];
const JOINS: [&str; 6] = ["anyOf", "oneOf", "not", "if", "then", "else"];
/// Keywords that speak of a container without looking into its children.
const OF_CONTAINERS: [&str; 7] = [
    "type",
    "required",
    "minProperties",
    "maxProperties",
    "minItems",
    "maxItems",
    "dependentRequired",
];
/// Keywords that wait where the value is a container, beside the joins.
const WAITING: [&str; 8] = [
    "contains",
    "uniqueItems",
    "unevaluatedItems",
    "unevaluatedProperties",
    "dependentSchemas",
    "dependencies",
    "propertyNames",
    "discriminator",
];
/// The name under which the schema refers to itself, and under which the parts are put into it.
const BASE: &str = "livedraft:schema";
const PART: &str = "livedraft-part-";

/// A validator of one part, and about how many looks at a subschema a yes or no costs.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) validator: Validator,
    pub(super) measures: Measures,
    /// The subschema it was made of.
    pub(super) node: u32,
}

/// The checks of one place, as indices into [`Checks::checks`].
#[derive(Debug, Default)]
pub(super) struct PlaceChecks {
    pub(super) scalar: Box<[u32]>,
    pub(super) container: Box<[u32]>,
    /// Only of a child of the root, where something waits within.
    pub(super) whole: Box<[u32]>,
}

/// All checks of a schema.
#[derive(Debug)]
pub(super) struct Checks {
    pub(super) source: Arc<Json>,
    pub(super) limits: SchemaLimits,
    pub(super) checks: Vec<Check>,
    /// By place.
    pub(super) at: Vec<PlaceChecks>,
    /// By place, what tells the forms of its values apart, where anything does.
    pub(super) forms: HashMap<u32, Forms>,
}

impl Checks {
    /// Makes the checks of a schema that was compiled already.
    pub(super) fn make(source: &Arc<Json>, limits: &SchemaLimits, places: &Places, chain: usize) -> Self {
        let mut made = Self {
            source: Arc::clone(source),
            limits: limits.clone(),
            checks: Vec::new(),
            at: Vec::new(),
            forms: HashMap::new(),
        };
        // The schema was read once already, so this reading finds no fault.
        let Ok(graph) = Graph::read(source, limits) else {
            return made;
        };
        let mut forms = Finder::new(&graph);
        made.forms = (0_u32..)
            .zip(0..places.len())
            .map(|(number, place)| (number, forms.at(places.sure(place))))
            .filter(|(_, forms)| !forms.is_empty())
            .collect();
        let mut parts = Parts::of(&graph);
        let near = places.below_root();
        made.at = (0..places.len())
            .map(|place| {
                let sure = places.sure(place);
                let spoken = closure(&graph, sure);
                let whole = sure
                    .iter()
                    .filter(|id| near.contains(&place) && parts.waits[**id as usize]);
                let whole = whole.map(|id| Part::Whole(*id)).collect();
                PlaceChecks {
                    scalar: parts.index(spoken.iter().map(|id| Part::Scalar(*id)).collect()),
                    container: parts.index(spoken.iter().map(|id| Part::Container(*id)).collect()),
                    whole: parts.index(whole),
                }
            })
            .collect();
        let compiled = parts.compile(source, limits, chain);
        made.keep(compiled);
        made
    }

    /// The checks of a list of a place.
    pub(super) fn listed<'c>(&'c self, list: &'c [u32]) -> impl Iterator<Item = &'c Check> {
        list.iter().filter_map(|index| self.checks.get(*index as usize))
    }

    /// Keeps the checks that could be made; without one, its value waits.
    fn keep(&mut self, compiled: Vec<Option<Check>>) {
        let mut kept: Vec<Option<u32>> = Vec::with_capacity(compiled.len());
        for check in compiled {
            kept.push(check.map(|check| {
                self.checks.push(check);
                u32::try_from(self.checks.len() - 1).unwrap_or(u32::MAX)
            }));
        }
        let renumber = |list: &mut Box<[u32]>| {
            let numbers = list
                .iter()
                .filter_map(|old| kept.get(*old as usize).copied().flatten());
            *list = numbers.collect();
        };
        for place in &mut self.at {
            renumber(&mut place.scalar);
            renumber(&mut place.container);
            renumber(&mut place.whole);
        }
    }
}

/// A part of a subschema.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Part {
    Scalar(u32),
    Container(u32),
    Whole(u32),
}

/// The parts that are needed, each text once.
struct Parts<'g, 's> {
    graph: &'g Graph<'s>,
    /// Whether anything waits in a subschema or below it.
    waits: Vec<bool>,
    known: HashMap<Part, Option<u32>>,
    texts: HashMap<String, u32>,
    /// The subschema of each, and its own schema; none for a whole one, which stands in the document.
    schemas: Vec<(u32, Option<Json>)>,
}

impl<'g, 's> Parts<'g, 's> {
    fn of(graph: &'g Graph<'s>) -> Self {
        Self {
            graph,
            waits: waits(graph),
            known: HashMap::new(),
            texts: HashMap::new(),
            schemas: Vec::new(),
        }
    }

    /// The numbers of parts; those that say nothing have none.
    fn index(&mut self, parts: Vec<Part>) -> Box<[u32]> {
        let mut numbers: Vec<u32> = parts.into_iter().filter_map(|part| self.number(part)).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into()
    }

    fn number(&mut self, part: Part) -> Option<u32> {
        if let Some(known) = self.known.get(&part) {
            return *known;
        }
        let next = u32::try_from(self.schemas.len()).unwrap_or(u32::MAX);
        let graph = self.graph;
        let number = match part {
            Part::Whole(id) => {
                self.schemas.push((id, None));
                Some(next)
            }
            Part::Scalar(id) => self.own(id, of_scalars(&graph.nodes[id as usize], graph.draft)),
            Part::Container(id) => self.own(id, of_containers(&graph.nodes[id as usize], graph.draft)),
        };
        self.known.insert(part, number);
        number
    }

    fn own(&mut self, id: u32, own: Option<JsonMap<String, Json>>) -> Option<u32> {
        let own = Json::Object(own.filter(|own| !own.is_empty())?);
        let next = u32::try_from(self.schemas.len()).unwrap_or(u32::MAX);
        let number = *self.texts.entry(own.to_string()).or_insert(next);
        if number == next {
            self.schemas.push((id, Some(own)));
        }
        Some(number)
    }

    /// Compiles every part: alone where it refers to nothing, else within the whole document.
    fn compile(&self, source: &Json, limits: &SchemaLimits, chain: usize) -> Vec<Option<Check>> {
        let draft = self.graph.draft;
        let costs = guard::costs(self.graph);
        let document = self.document(source);
        let registry = Registry::new()
            .draft(compile::dialect(draft))
            .add(BASE, &document);
        let registry = registry.and_then(|registry| registry.prepare()).ok();
        let options = compile::options(draft, limits);
        let within = registry
            .as_ref()
            .map(|registry| options.clone().with_registry(registry));
        let made = self.schemas.iter().enumerate().map(|(number, (id, own))| {
            let (validator, cost) = match own {
                Some(own) if is_plain(own) => (build(&options, own), 1),
                Some(_) => {
                    let part = format!("/{}/{PART}{number}", definitions(draft));
                    (refer(within.as_ref()?, &part), costs[*id as usize])
                }
                None => (
                    refer(within.as_ref()?, &self.graph.pointer(*id)),
                    costs[*id as usize],
                ),
            };
            Some(Check {
                validator: validator?,
                measures: Measures { cost, chain },
                node: *id,
            })
        });
        made.collect()
    }

    /// The document with the parts beside its own definitions, so that their references lead where they did.
    fn document(&self, source: &Json) -> Json {
        let mut document = source.clone();
        let definitions = document.as_object_mut().map(|root| {
            root.entry(definitions(self.graph.draft))
                .or_insert_with(|| json!({}))
        });
        if let Some(Json::Object(definitions)) = definitions {
            for (number, (_, own)) in self.schemas.iter().enumerate() {
                if let Some(own) = own.as_ref().filter(|own| !is_plain(own)) {
                    definitions.insert(format!("{PART}{number}"), own.clone());
                }
            }
        }
        document
    }
}

fn definitions(draft: Draft) -> &'static str {
    match draft {
        Draft::Seven => "definitions",
        Draft::TwentyTwenty => "$defs",
    }
}

fn build(options: &Options<'_>, schema: &Json) -> Option<Validator> {
    options.build(schema).ok()
}

/// A validator of what stands at a pointer of the document.
fn refer(within: &Options<'_>, pointer: &str) -> Option<Validator> {
    let mut target = format!("{BASE}#");
    for byte in pointer.bytes() {
        match byte {
            b'/' | b'~' | b'-' | b'.' | b'_' => target.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => target.push(char::from(byte)),
            _ => target.push_str(&format!("%{byte:02X}")),
        }
    }
    build(within, &json!({ "$ref": target }))
}

/// Whether it can refer to nothing.
fn is_plain(own: &Json) -> bool {
    !JOINS.iter().any(|join| own.get(join).is_some())
}

/// The sure subschemas with all that surely applies through them.
pub(super) fn closure(graph: &Graph<'_>, sure: &[u32]) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    let mut open: Vec<u32> = sure.to_vec();
    while let Some(id) = open.pop() {
        if found.contains(&id) {
            continue;
        }
        found.push(id);
        let same = graph.nodes[id as usize].same.iter();
        open.extend(same.filter(|(same, _)| *same == Same::All).map(|(_, to)| *to));
    }
    found
}

/// A subschema's own keywords; none where its reference stands alone (draft 7 §8.3) or it is a boolean.
pub(super) fn keywords<'n>(node: &Node<'n>, draft: Draft) -> Option<&'n JsonMap<String, Json>> {
    let map = node.schema.as_object()?;
    let is_reference = draft == Draft::Seven && map.contains_key("$ref");
    (!is_reference).then_some(map)
}

fn of_scalars(node: &Node<'_>, draft: Draft) -> Option<JsonMap<String, Json>> {
    let map = keywords(node, draft)?;
    let joins: &[&str] = if map.contains_key("discriminator") {
        &[]
    } else {
        &JOINS
    };
    let kept = OF_SCALARS.iter().chain(joins);
    Some(pick(map, kept.copied()))
}

fn of_containers(node: &Node<'_>, draft: Draft) -> Option<JsonMap<String, Json>> {
    let map = keywords(node, draft)?;
    let mut own = pick(map, OF_CONTAINERS.into_iter());
    for keyword in ["enum", "const"] {
        if let Some(value) = map.get(keyword).filter(|value| !holds_containers(keyword, value)) {
            own.insert(keyword.to_owned(), value.clone());
        }
    }
    // Which names are left over depends on the names alone.
    if map.get("additionalProperties") == Some(&Json::Bool(false)) {
        own.insert("additionalProperties".to_owned(), Json::Bool(false));
        for keyword in ["properties", "patternProperties"] {
            if let Some(Json::Object(members)) = map.get(keyword) {
                let names = members.keys().map(|name| (name.clone(), Json::Bool(true)));
                own.insert(keyword.to_owned(), Json::Object(names.collect()));
            }
        }
    }
    Some(own)
}

fn pick(map: &JsonMap<String, Json>, kept: impl Iterator<Item = &'static str>) -> JsonMap<String, Json> {
    kept.filter_map(|keyword| Some((keyword.to_owned(), map.get(keyword)?.clone())))
        .collect()
}

/// Whether `enum` or `const` would look into a container.
fn holds_containers(keyword: &str, value: &Json) -> bool {
    let is_container = |value: &Json| matches!(value, Json::Array(_) | Json::Object(_));
    match value {
        Json::Array(values) if keyword == "enum" => values.iter().any(is_container),
        value => is_container(value),
    }
}

/// For each subschema, whether something waits in it or below it.
fn waits(graph: &Graph<'_>) -> Vec<bool> {
    let mut above: Vec<Vec<u32>> = vec![Vec::new(); graph.nodes.len()];
    let mut open = Vec::new();
    for (id, node) in (0_u32..).zip(&graph.nodes) {
        for to in graph.applied(id) {
            above[to as usize].push(id);
        }
        if waits_itself(node) {
            open.push(id);
        }
    }
    let mut waits = vec![false; graph.nodes.len()];
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut waits[id as usize], true) {
            open.extend(&above[id as usize]);
        }
    }
    waits
}

fn waits_itself(node: &Node<'_>) -> bool {
    let has = |keyword: &&str| node.schema.get(keyword).is_some();
    let fixed = ["enum", "const"].into_iter().any(|keyword| {
        let value = node.schema.get(keyword);
        value.is_some_and(|value| holds_containers(keyword, value))
    });
    // Several patterns may match one name; a `false` is told by what stands around it.
    JOINS.iter().any(has)
        || WAITING.iter().any(has)
        || fixed
        || node.patterns.len() > 1
        || node.schema.is_boolean()
}
