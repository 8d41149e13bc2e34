//! The compiled schema: the one thing a job asks about validity.

use std::sync::{Arc, OnceLock};

use jsonschema::Draft as Dialect;
use serde_json::Value as Json;

use super::checks::Checks;
use super::closing::Closing;
use super::error::{SchemaError, SchemaErrorCode};
use super::graph::{Draft, Graph};
use super::guard::{self, Measures};
use super::judge::{Extent, Judge};
use super::kinds::{self, Kinds};
use super::limits::SchemaLimits;
use super::numeric::{self, Options};
use super::places::Places;
use super::tree::{Tree, Validator};
use super::violation::{self, Violation};
use super::wrap::{self, Wrap, Wrapped};
use super::{formats, patterns};
use crate::partial::{self, Value};

// What a compiled schema holds, checks included, from above; a test measures schemas of every kind against it.
/// For each byte of its text: an enumeration has its values in several copies.
const TEXT_TIMES: usize = 512;
/// For each subschema.
const NODE_BYTES: usize = 4_096;
/// For each byte of the subschemas' pointers: a deep schema has long ones, and each keyword holds several.
const POINTER_TIMES: usize = 192;
/// Each pattern is compiled alone, in the whole, and in the checks.
const PATTERN_COPIES: usize = 3;

/// Keywords that are not for a model: our own mark, and what authors say to each other.
const OWN_WORDS: [&str; 2] = ["x-stream", "$comment"];

/// A schema compiled once and shared by all who judge by it.
#[derive(Debug)]
pub struct Schema {
    pub(super) source: Arc<Json>,
    validator: Validator,
    pub(super) limits: SchemaLimits,
    measures: Measures,
    /// What is held beside what the text makes for, from above, bytes.
    beside_text_bytes: usize,
    root_kinds: Kinds,
    pub(super) places: Arc<Places>,
    /// Where this is a list of values: the schema of one, and the types it may have.
    item: Option<(Json, Kinds)>,
    /// Made once they are asked for: admission needs none.
    checks: OnceLock<Arc<Checks>>,
}

impl Schema {
    /// Checks a schema against the limits and compiles it.
    ///
    /// JSON Schema 2020-12 and draft 7, told apart by `$schema`; without one it is 2020-12. References stay in the
    /// document; formats are asserted; `"x-stream"` may be `"text"`, `"atomic"` or, on a member, `"required"`.
    ///
    /// # Errors
    ///
    /// The first reason to refuse the schema. Everything that could cost much is refused before it is compiled.
    pub fn compile(schema: &Json, limits: &SchemaLimits) -> Result<Self, SchemaError> {
        guard::size(schema, limits)?;
        Self::build(schema, limits)
    }

    /// The same for a schema that is put into a wrapper, if there is one to put it into. Faults are told by their
    /// place in the schema as it was given.
    ///
    /// # Errors
    ///
    /// As [`compile`](Self::compile).
    pub fn compile_wrapped(
        schema: &Json,
        wrap: Option<Wrap>,
        limits: &SchemaLimits,
    ) -> Result<Self, SchemaError> {
        let Some(wrap) = wrap else {
            return Self::compile(schema, limits);
        };
        guard::size(schema, limits)?;
        let graph = Graph::read(schema, limits)?;
        let item_kinds = kinds::kinds(&graph)?[0];
        let wrapped = Wrapped::new(schema, &graph, wrap);
        let mut built = Self::build(&wrapped.schema, limits).map_err(|error| SchemaError {
            path: wrapped.place_given(&error.path),
            ..error
        })?;
        built.item = (wrap == Wrap::Iterable).then(|| (schema.clone(), item_kinds));
        Ok(built)
    }

    /// Compiles a schema whose size and depth are within the limits.
    fn build(schema: &Json, limits: &SchemaLimits) -> Result<Self, SchemaError> {
        let graph = Graph::read(schema, limits)?;
        guard::pattern_sizes(&graph, limits)?;
        let measures = guard::complexity(&graph, limits)?;
        let patterns = patterns::compile(&graph, limits)?;
        let validator = validator(schema, graph.draft, limits)?;
        let kinds = kinds::kinds(&graph)?;
        let places = Places::make(&graph, &kinds, patterns)?;
        Ok(Self {
            source: Arc::new(schema.clone()),
            validator,
            limits: limits.clone(),
            measures,
            beside_text_bytes: beside_text_bytes(&graph, limits),
            root_kinds: kinds[0],
            places: Arc::new(places),
            item: None,
            checks: OnceLock::new(),
        })
    }

    /// Every place where `value` breaks the schema, at most [`SchemaLimits::violations_max`]; none means valid.
    ///
    /// Numbers are judged by their digits; only where a number of the schema is no 64-bit integer and has more than
    /// fifteen digits, which a double may not keep, is the value's own rounded to a double, too (`multipleOf` never
    /// rounds). A value whose faults cannot be listed within bounds gets one violation of the whole, under the
    /// keyword `schema`, `cost` or `depth`.
    pub fn validate(&self, value: &Value) -> Vec<Violation> {
        Judge {
            source: &self.source,
            node: 0,
            validator: &self.validator,
            limits: &self.limits,
            measures: self.measures,
            base: "",
        }
        .violations(value, Extent::of(value))
    }

    /// The members that each place declares, for viewers that want unseen members as `null`.
    pub fn shape(&self) -> partial::Shape {
        self.places.shape()
    }

    /// The JSON types the root may have.
    pub fn root_kinds(&self) -> partial::RootKinds {
        let may_be = |kind: Kinds| self.root_kinds & kind != 0;
        partial::RootKinds {
            object: may_be(kinds::OBJECT),
            array: may_be(kinds::ARRAY),
            string: may_be(kinds::STRING),
            number: may_be(kinds::NUMBER),
            boolean: may_be(kinds::BOOLEAN),
            null: may_be(kinds::NULL),
        }
    }

    /// What is wrong with a root that has begun as this value; `None` where values of its type may be valid.
    pub fn misfit_root(&self, value: &Value) -> Option<Violation> {
        let (kind, is) = match value {
            Value::Object(_) => (kinds::OBJECT, "an object"),
            Value::Array(_) => (kinds::ARRAY, "an array"),
            Value::String(_) => (kinds::STRING, "a string"),
            Value::Number(_) => (kinds::NUMBER, "a number"),
            Value::Bool(_) => (kinds::BOOLEAN, "a boolean"),
            Value::Null => (kinds::NULL, "null"),
        };
        let fits = self.root_kinds & kind != 0;
        (!fits).then(|| Violation::whole("type", format!("must not be {is}")))
    }

    /// What the draft asks while it grows: which strings appear only when closed.
    pub fn guide(&self) -> Arc<dyn partial::Guide> {
        Arc::clone(&self.places) as Arc<dyn partial::Guide>
    }

    /// The same for one draft, and what closes while it grows is checked at once. The first call compiles the checks,
    /// which takes about as long as [`compile`](Self::compile).
    pub fn closing(&self) -> Arc<Closing> {
        self.closing_where(false)
    }

    /// The same where the model was told to say `null` of what is missing, since the vendor's subset has no other way:
    /// where the schema lets no `null` through, such a member is none.
    pub fn closing_of_nulls(&self) -> Arc<Closing> {
        self.closing_where(true)
    }

    fn closing_where(&self, null_is_missing: bool) -> Arc<Closing> {
        let chain = self.measures.chain;
        let make = || Arc::new(Checks::make(&self.source, &self.limits, &self.places, chain));
        let checks = Arc::clone(self.checks.get_or_init(make));
        Arc::new(Closing::new(Arc::clone(&self.places), checks, null_is_missing))
    }

    /// How many bytes it holds, the checks on close included, where its compact text has `text_bytes`: an estimate
    /// from above, for who keeps many.
    pub const fn held_bytes(&self, text_bytes: usize) -> usize {
        self.beside_text_bytes + TEXT_TIMES * text_bytes
    }

    /// The root's `title`.
    pub fn title(&self) -> Option<&str> {
        self.source.get("title")?.as_str()
    }

    /// The root's `description`.
    pub fn description(&self) -> Option<&str> {
        self.source.get("description")?.as_str()
    }

    /// Whether the root can be nothing but an object.
    pub(super) fn is_object(&self) -> bool {
        self.root_kinds == kinds::OBJECT
    }

    /// The schema as a provider gets it: without our own marks, its authors' comments, and addresses.
    pub(super) fn outgoing(&self) -> Json {
        outgoing(&self.source, &self.limits)
    }

    /// Where this is a list of objects: the schema of one, as a provider gets it.
    pub(super) fn outgoing_item(&self) -> Option<Json> {
        let (item, _) = self.item.as_ref().filter(|(_, kinds)| *kinds == kinds::OBJECT)?;
        Some(outgoing(item, &self.limits))
    }

    /// The schema that values are held against: as it was given, or in its wrapper.
    pub fn source(&self) -> &Json {
        &self.source
    }
}

fn beside_text_bytes(graph: &Graph<'_>, limits: &SchemaLimits) -> usize {
    let pointers: usize = (0_u32..)
        .zip(&graph.nodes)
        .map(|(id, _)| graph.pointer(id).len())
        .sum();
    let patterns = graph.patterns.len() * limits.pattern_compiled_bytes_max * PATTERN_COPIES;
    NODE_BYTES * graph.nodes.len() + POINTER_TIMES * pointers + patterns
}

fn outgoing(source: &Json, limits: &SchemaLimits) -> Json {
    let mut plain = source.clone();
    // The schema was read once already, so this reading finds no fault.
    if let Ok(graph) = Graph::read(source, limits) {
        // References by the document's own address become such within it, for the address is not sent.
        plain = wrap::led_to(source, &graph, "");
        for keyword in OWN_WORDS {
            for pointer in graph.nodes_with(keyword) {
                let map = plain.pointer_mut(&pointer).and_then(Json::as_object_mut);
                map.map(|map| map.shift_remove(keyword));
            }
        }
    }
    if let Some(root) = plain.as_object_mut() {
        root.shift_remove("$schema");
        root.shift_remove("$id");
    }
    plain
}

fn validator(schema: &Json, draft: Draft, limits: &SchemaLimits) -> Result<Validator, SchemaError> {
    options(draft, limits).build(schema).map_err(|fault| {
        let path = fault.instance_path().as_str();
        let message = format!("no valid JSON Schema: {}", violation::message(&fault, Some("")));
        SchemaError::new(SchemaErrorCode::Invalid, path, message)
    })
}

/// How every validator of a schema is made.
pub(super) fn options<'o>(draft: Draft, limits: &SchemaLimits) -> Options<'o> {
    let options = jsonschema::options_for::<Tree>()
        .with_draft(dialect(draft))
        .offline();
    numeric::exact(formats::assert(patterns::bound(options, limits)))
}

/// The validator's name for a dialect.
pub(super) fn dialect(draft: Draft) -> Dialect {
    match draft {
        Draft::Seven => Dialect::Draft7,
        Draft::TwentyTwenty => Dialect::Draft202012,
    }
}
