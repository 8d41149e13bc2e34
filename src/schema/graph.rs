//! The schema as a graph: every subschema once, and how each hangs on the others.
//!
//! All questions that are asked before the real compiler runs (size, cost, references) and all that it does not
//! answer (shape, atomic strings, possible types) are asked here.

use std::collections::{HashMap, VecDeque};

use indexmap::IndexMap;
use serde_json::{Map as JsonMap, Value as Json};

use super::error::{SchemaError, SchemaErrorCode};
use super::limits::SchemaLimits;
use super::reference;
use crate::partial::path;

/// `"x-stream"` of a member that has to stand before the object around it is shown.
pub(super) const REQUIRED: &str = "required";
/// What `"x-stream"` may say.
const STREAM_MARKS: [&str; 3] = ["text", "atomic", REQUIRED];
/// Where a subschema may say [`REQUIRED`]: as a member's, or where a member's may lead.
const MEMBER_PLACES: [&str; 6] = ["properties", "$defs", "definitions", "allOf", "anyOf", "oneOf"];

/// The two dialects of JSON Schema that are understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Draft {
    Seven,
    TwentyTwenty,
}

/// How a subschema applies to the very value its parent applies to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Same {
    /// `$ref`, `$dynamicRef`, `allOf`: always.
    All,
    /// `anyOf`: one of them.
    AnyOf,
    /// `oneOf`: one of them.
    OneOf,
    /// `then`, `else`, `dependentSchemas`: under a condition.
    Maybe,
    /// `not`, `if`: asked, but not demanded.
    Asked,
}

/// One subschema.
#[derive(Debug)]
pub(super) struct Node<'s> {
    pub(super) schema: &'s Json,
    place: Place<'s>,
    pub(super) same: Vec<(Same, u32)>,
    pub(super) members: IndexMap<&'s str, u32>,
    /// `patternProperties`: index into [`Graph::patterns`], and the subschema.
    pub(super) patterns: Vec<(usize, u32)>,
    /// `additionalProperties`, `unevaluatedProperties`.
    pub(super) additional: Vec<u32>,
    pub(super) prefix: Vec<u32>,
    /// `items`, `additionalItems`, `unevaluatedItems`.
    pub(super) items: Vec<u32>,
    /// Those of them that apply only to what nothing else speaks of, here or beside.
    pub(super) unevaluated: Vec<u32>,
    /// `contains`, `propertyNames`: applied to children, saying nothing of their form.
    pub(super) probes: Vec<u32>,
}

/// Where a subschema stands; pointers are made only when they are told, since names may be long and many.
#[derive(Debug)]
enum Place<'s> {
    At(String),
    Under(u32, &'static str, Option<Segment<'s>>),
}

#[derive(Debug)]
enum Segment<'s> {
    Name(&'s str),
    Index(usize),
}

/// A pattern that must be compiled, and where it stands.
#[derive(Debug)]
pub(super) struct Pattern<'s> {
    pub(super) text: &'s str,
    node: u32,
    is_name: bool,
}

#[derive(Debug)]
pub(super) struct Graph<'s> {
    pub(super) draft: Draft,
    pub(super) nodes: Vec<Node<'s>>,
    pub(super) patterns: Vec<Pattern<'s>>,
    root: &'s Json,
    subschemas_max: usize,
    known: HashMap<usize, u32>,
    anchors: HashMap<&'s str, u32>,
    unread: VecDeque<u32>,
    references: Vec<(u32, &'static str, &'s str)>,
}

impl Same {
    /// Whether it says what the value is, surely or in some branch.
    pub(super) const fn describes(self) -> bool {
        matches!(self, Self::All | Self::AnyOf | Self::OneOf)
    }
}

impl Node<'_> {
    /// What its `"x-stream"` says.
    pub(super) fn stream_mark(&self) -> Option<&str> {
        self.schema.get("x-stream")?.as_str()
    }

    /// Whether it describes, or may be referred to as describing, a member by name.
    fn may_be_member(&self) -> bool {
        match &self.place {
            Place::At(pointer) => !pointer.is_empty(),
            Place::Under(_, keyword, _) => MEMBER_PLACES.contains(keyword),
        }
    }
}

impl<'s> Graph<'s> {
    /// Reads a schema whose size and depth are already known to be within the limits.
    pub(super) fn read(root: &'s Json, limits: &SchemaLimits) -> Result<Self, SchemaError> {
        let mut graph = Self {
            draft: draft_of(root)?,
            nodes: Vec::new(),
            patterns: Vec::new(),
            root,
            subschemas_max: limits.subschemas_max,
            known: HashMap::new(),
            anchors: HashMap::new(),
            unread: VecDeque::new(),
            references: Vec::new(),
        };
        graph.add(root, Place::At(String::new()))?;
        loop {
            while let Some(id) = graph.unread.pop_front() {
                graph.read_node(id)?;
            }
            if graph.references.is_empty() {
                return Ok(graph);
            }
            for (from, keyword, target) in std::mem::take(&mut graph.references) {
                let to = graph.resolve(from, keyword, target)?;
                graph.nodes[from as usize].same.insert(0, (Same::All, to));
            }
        }
    }

    /// Every subschema that is applied when a value is judged by node `id`.
    pub(super) fn applied(&self, id: u32) -> impl Iterator<Item = u32> + '_ {
        let node = &self.nodes[id as usize];
        let below = node.members.values().chain(&node.additional);
        let below = below.chain(&node.prefix).chain(&node.items).chain(&node.probes);
        let same = node.same.iter().map(|(_, to)| *to);
        same.chain(node.patterns.iter().map(|(_, to)| *to))
            .chain(below.copied())
    }

    /// The JSON Pointer of a node.
    pub(super) fn pointer(&self, id: u32) -> String {
        let mut steps = Vec::new();
        let mut at = id;
        let mut pointer = loop {
            match &self.nodes[at as usize].place {
                Place::At(base) => break base.clone(),
                Place::Under(parent, keyword, segment) => {
                    steps.push((*keyword, segment));
                    at = *parent;
                }
            }
        };
        for (keyword, segment) in steps.into_iter().rev() {
            path::push_segment(&mut pointer, keyword);
            match segment {
                None => {}
                Some(Segment::Name(name)) => path::push_segment(&mut pointer, name),
                Some(Segment::Index(index)) => path::push_segment(&mut pointer, &index.to_string()),
            }
        }
        pointer
    }

    /// The JSON Pointer of a keyword of a node.
    pub(super) fn pointer_of(&self, id: u32, keyword: &str) -> String {
        let mut pointer = self.pointer(id);
        path::push_segment(&mut pointer, keyword);
        pointer
    }

    /// The JSON Pointers of all subschemas that have a keyword.
    pub(super) fn nodes_with(&self, keyword: &str) -> Vec<String> {
        (0_u32..)
            .zip(&self.nodes)
            .filter(|(_, node)| node.schema.get(keyword).is_some())
            .map(|(id, _)| self.pointer(id))
            .collect()
    }

    /// The JSON Pointer of a pattern.
    pub(super) fn pointer_of_pattern(&self, pattern: &Pattern<'_>) -> String {
        if pattern.is_name {
            let mut pointer = self.pointer_of(pattern.node, "patternProperties");
            path::push_segment(&mut pointer, pattern.text);
            pointer
        } else {
            self.pointer_of(pattern.node, "pattern")
        }
    }

    fn add(&mut self, schema: &'s Json, place: Place<'s>) -> Result<u32, SchemaError> {
        // A subschema is known by where it lies in memory: one place, one node, however it was reached.
        let address = std::ptr::from_ref(schema) as usize;
        if let Some(id) = self.known.get(&address) {
            return Ok(*id);
        }
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            schema,
            place,
            same: Vec::new(),
            members: IndexMap::new(),
            patterns: Vec::new(),
            additional: Vec::new(),
            prefix: Vec::new(),
            items: Vec::new(),
            unevaluated: Vec::new(),
            probes: Vec::new(),
        });
        if self.nodes.len() > self.subschemas_max {
            return Err(SchemaError::new(
                SchemaErrorCode::TooLarge,
                &self.pointer(id),
                format!(
                    "more than {} subschemas: share repeated ones through $defs, or split the job",
                    self.subschemas_max
                ),
            ));
        }
        self.known.insert(address, id);
        self.unread.push_back(id);
        Ok(id)
    }

    fn under(
        &mut self,
        parent: u32,
        keyword: &'static str,
        segment: Option<Segment<'s>>,
        schema: &'s Json,
    ) -> Result<u32, SchemaError> {
        self.add(schema, Place::Under(parent, keyword, segment))
    }

    fn read_node(&mut self, id: u32) -> Result<(), SchemaError> {
        let map = match self.nodes[id as usize].schema {
            Json::Object(map) => map,
            Json::Bool(_) => return Ok(()),
            Json::Null | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                return Err(SchemaError::new(
                    SchemaErrorCode::Invalid,
                    &self.pointer(id),
                    "a schema is an object or a boolean",
                ));
            }
        };
        self.read_identity(id, map)?;
        for keyword in ["$defs", "definitions"] {
            for (name, schema) in map.get(keyword).and_then(Json::as_object).into_iter().flatten() {
                self.under(id, keyword, Some(Segment::Name(name)), schema)?;
            }
        }
        for keyword in ["$ref", "$dynamicRef"] {
            if let Some(target) = map.get(keyword).and_then(Json::as_str) {
                self.references.push((id, keyword, target));
            }
        }
        // Draft 7 §8.3: beside `$ref` nothing else counts.
        if self.draft == Draft::Seven && map.contains_key("$ref") {
            return Ok(());
        }
        self.read_object_keywords(id, map)?;
        self.read_array_keywords(id, map)?;
        self.read_combinators(id, map)
    }

    fn read_identity(&mut self, id: u32, map: &'s JsonMap<String, Json>) -> Result<(), SchemaError> {
        for keyword in ["$anchor", "$dynamicAnchor"] {
            if let Some(name) = map.get(keyword).and_then(Json::as_str) {
                self.anchors.insert(name, id);
            }
        }
        let own = map.get("$id").and_then(Json::as_str).filter(|_| id != 0);
        if let Some(own) = own {
            match own.strip_prefix('#').filter(|_| self.draft == Draft::Seven) {
                Some(name) => {
                    self.anchors.insert(name, id);
                }
                None => {
                    return Err(SchemaError::new(
                        SchemaErrorCode::Invalid,
                        &self.pointer_of(id, "$id"),
                        "only the root may have an $id: a schema is one document",
                    ));
                }
            }
        }
        let foreign = map.get("$schema").filter(|_| id != 0);
        if foreign.is_some_and(|dialect| Some(dialect) != self.root.get("$schema")) {
            return Err(SchemaError::new(
                SchemaErrorCode::Invalid,
                &self.pointer_of(id, "$schema"),
                "only the root may name the dialect",
            ));
        }
        let marked = map.get("x-stream");
        if marked.is_some_and(|mark| !STREAM_MARKS.iter().any(|known| mark == known)) {
            return Err(SchemaError::new(
                SchemaErrorCode::Invalid,
                &self.pointer_of(id, "x-stream"),
                "must be \"text\", \"atomic\" or \"required\"",
            ));
        }
        if marked.is_some_and(|mark| mark == REQUIRED) && !self.nodes[id as usize].may_be_member() {
            return Err(self.no_member(id));
        }
        Ok(())
    }

    /// [`REQUIRED`] reaches something that is no member.
    pub(super) fn no_member(&self, id: u32) -> SchemaError {
        let path = match self.nodes[id as usize].stream_mark() {
            Some(_) => self.pointer_of(id, "x-stream"),
            None => self.pointer(id),
        };
        SchemaError::new(
            SchemaErrorCode::Invalid,
            &path,
            "\"required\" is for a member, in its schema under properties: an object waits for a member by its name",
        )
    }

    fn read_object_keywords(&mut self, id: u32, map: &'s JsonMap<String, Json>) -> Result<(), SchemaError> {
        for (name, schema) in object(map, "properties") {
            let to = self.under(id, "properties", Some(Segment::Name(name)), schema)?;
            self.nodes[id as usize].members.insert(name, to);
        }
        for (text, schema) in object(map, "patternProperties") {
            let to = self.under(id, "patternProperties", Some(Segment::Name(text)), schema)?;
            let index = self.add_pattern(id, text, true);
            self.nodes[id as usize].patterns.push((index, to));
        }
        for keyword in ["additionalProperties", "unevaluatedProperties"] {
            if let Some(schema) = map.get(keyword) {
                let to = self.under(id, keyword, None, schema)?;
                self.nodes[id as usize].additional.push(to);
                if keyword == "unevaluatedProperties" {
                    self.nodes[id as usize].unevaluated.push(to);
                }
            }
        }
        for keyword in ["contains", "propertyNames"] {
            if let Some(schema) = map.get(keyword) {
                let to = self.under(id, keyword, None, schema)?;
                self.nodes[id as usize].probes.push(to);
            }
        }
        if let Some(text) = map.get("pattern").and_then(Json::as_str) {
            self.add_pattern(id, text, false);
        }
        Ok(())
    }

    fn add_pattern(&mut self, node: u32, text: &'s str, is_name: bool) -> usize {
        self.patterns.push(Pattern { text, node, is_name });
        self.patterns.len() - 1
    }

    fn read_array_keywords(&mut self, id: u32, map: &'s JsonMap<String, Json>) -> Result<(), SchemaError> {
        let (prefix, rest) = match (self.draft, map.get("items")) {
            (Draft::Seven, Some(Json::Array(_))) => ("items", &["additionalItems"][..]),
            (Draft::Seven, _) => ("", &["items"][..]),
            (Draft::TwentyTwenty, _) => ("prefixItems", &["items", "unevaluatedItems"][..]),
        };
        for (index, schema) in array(map, prefix) {
            let to = self.under(id, prefix, Some(Segment::Index(index)), schema)?;
            self.nodes[id as usize].prefix.push(to);
        }
        for keyword in rest {
            if let Some(schema) = map.get(*keyword) {
                let to = self.under(id, keyword, None, schema)?;
                self.nodes[id as usize].items.push(to);
                if *keyword == "unevaluatedItems" {
                    self.nodes[id as usize].unevaluated.push(to);
                }
            }
        }
        Ok(())
    }

    fn read_combinators(&mut self, id: u32, map: &'s JsonMap<String, Json>) -> Result<(), SchemaError> {
        const LISTS: [(&str, Same); 3] = [
            ("allOf", Same::All),
            ("anyOf", Same::AnyOf),
            ("oneOf", Same::OneOf),
        ];
        for (keyword, same) in LISTS {
            for (index, schema) in array(map, keyword) {
                let to = self.under(id, keyword, Some(Segment::Index(index)), schema)?;
                self.nodes[id as usize].same.push((same, to));
            }
        }
        // Without `if`, `then` and `else` mean nothing (2020-12 core §10.2.2).
        let conditional: &[(&'static str, Same)] = if map.contains_key("if") {
            &[
                ("not", Same::Asked),
                ("if", Same::Asked),
                ("then", Same::Maybe),
                ("else", Same::Maybe),
            ]
        } else {
            &[("not", Same::Asked)]
        };
        for (keyword, same) in conditional {
            if let Some(schema) = map.get(*keyword) {
                let to = self.under(id, keyword, None, schema)?;
                self.nodes[id as usize].same.push((*same, to));
            }
        }
        for keyword in ["dependentSchemas", "dependencies"] {
            for (name, schema) in object(map, keyword).filter(|(_, schema)| !schema.is_array()) {
                let to = self.under(id, keyword, Some(Segment::Name(name)), schema)?;
                self.nodes[id as usize].same.push((Same::Maybe, to));
            }
        }
        Ok(())
    }

    fn resolve(&mut self, from: u32, keyword: &str, target: &str) -> Result<u32, SchemaError> {
        let fault = |graph: &Self, code, message: String| {
            SchemaError::new(code, &graph.pointer_of(from, keyword), message)
        };
        let own = self.root.get("$id").and_then(Json::as_str);
        let Some(fragment) = reference::fragment(target, own) else {
            let message = format!("{target:?} leaves the document: only #/… is allowed, put it under $defs");
            return Err(fault(self, SchemaErrorCode::RemoteRef, message));
        };
        let nothing = |graph: &Self| {
            let message =
                format!("{target:?} leads to nothing: it must point at a subschema of this document");
            fault(graph, SchemaErrorCode::Invalid, message)
        };
        if !fragment.is_empty() && !fragment.starts_with('/') {
            let anchor = self.anchors.get(&*fragment).copied();
            return anchor.ok_or_else(|| nothing(self));
        }
        let Some(schema) = self.root.pointer(&fragment) else {
            return Err(nothing(self));
        };
        if !matches!(schema, Json::Object(_) | Json::Bool(_)) {
            let message = format!("{target:?} leads to something that is no schema");
            return Err(fault(self, SchemaErrorCode::Invalid, message));
        }
        self.add(schema, Place::At(fragment))
    }
}

fn object<'s>(
    map: &'s JsonMap<String, Json>,
    keyword: &str,
) -> impl Iterator<Item = (&'s str, &'s Json)> + use<'s> {
    let members = map.get(keyword).and_then(Json::as_object);
    members
        .into_iter()
        .flatten()
        .map(|(name, schema)| (&**name, schema))
}

fn array<'s>(
    map: &'s JsonMap<String, Json>,
    keyword: &str,
) -> impl Iterator<Item = (usize, &'s Json)> + use<'s> {
    let items = map.get(keyword).and_then(Json::as_array);
    items.into_iter().flatten().enumerate()
}

fn draft_of(root: &Json) -> Result<Draft, SchemaError> {
    let Some(dialect) = root.get("$schema") else {
        return Ok(Draft::TwentyTwenty);
    };
    let name = dialect.as_str().unwrap_or_default().trim_end_matches('#');
    match name.trim_start_matches("http://").trim_start_matches("https://") {
        "json-schema.org/draft/2020-12/schema" => Ok(Draft::TwentyTwenty),
        "json-schema.org/draft-07/schema" => Ok(Draft::Seven),
        _ => Err(SchemaError::new(
            SchemaErrorCode::Invalid,
            "/$schema",
            "an unknown dialect: 2020-12 and draft 7 are understood; without $schema it is 2020-12",
        )),
    }
}
