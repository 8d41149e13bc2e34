//! The judgement of a whole value, within bounds.
//!
//! The validator remembers results where recursion closes, so a yes or no costs at most the schema's paths per part
//! of the value. Listing faults has no such memory: branches of a recursive union multiply with the value's depth.
//! So faults are listed only where a counted walk over schema and value, which goes every way that the listing
//! could go, ends within its budget.

use serde_json::Value as Json;

use super::graph::Graph;
use super::guard::Measures;
use super::limits::SchemaLimits;
use super::tree::Validator;
use super::violation::Violation;
use crate::partial::Value;

/// Looks at a subschema that a yes or no may cost.
const VERDICT_STEPS_MAX: u64 = 100_000_000;
/// Looks at a subschema that a list of faults may cost.
const LIST_STEPS_MAX: u64 = 2_000_000;
/// Rows of calls, schema applicators times value levels, that any thread's stack carries.
const CALLS_MAX_HERE: usize = 200;
/// A stack for the deepest judgement that the limits allow, in bytes; memory is taken only as it is used.
const STACK_BYTES: usize = 256 * 1024 * 1024;

/// How deep a value may nest to be judged, in containers; the parser stops at 100.
const DEPTH_MAX: usize = 128;

/// What a judgement needs.
pub(super) struct Judge<'s> {
    pub(super) source: &'s Json,
    /// The subschema that judges, as the graph of `source` numbers it.
    pub(super) node: u32,
    pub(super) validator: &'s Validator,
    pub(super) limits: &'s SchemaLimits,
    pub(super) measures: Measures,
    /// The pointer of the value that is judged.
    pub(super) base: &'s str,
}

/// How large a value is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Extent {
    /// Values within, itself included.
    pub(super) nodes: u64,
    /// Containers within containers; looked for no deeper than [`DEPTH_MAX`] and one.
    pub(super) depth: usize,
}

impl Extent {
    pub(super) fn of(value: &Value) -> Self {
        let mut extent = Self::default();
        extent.measure(value, 0);
        extent
    }

    fn measure(&mut self, value: &Value, depth: usize) {
        self.nodes += 1;
        self.depth = self.depth.max(depth);
        if depth > DEPTH_MAX {
            return;
        }
        match value {
            Value::Array(items) => items.iter().for_each(|item| self.measure(item, depth + 1)),
            Value::Object(members) => members
                .iter()
                .for_each(|(_, member)| self.measure(member, depth + 1)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

/// Why the faults of a value are not listed: the keyword and the words under which that is told.
pub(super) type Unlisted = (&'static str, String);

impl Judge<'_> {
    /// The faults, or the one violation that stands for them where they cannot be listed.
    pub(super) fn violations(&self, value: &Value, extent: Extent) -> Vec<Violation> {
        self.faults(value, extent)
            .unwrap_or_else(|(keyword, message)| vec![Violation::whole(keyword, message)])
    }

    /// The faults, if they can be listed within bounds.
    pub(super) fn faults(&self, value: &Value, extent: Extent) -> Result<Vec<Violation>, Unlisted> {
        if extent.depth > DEPTH_MAX {
            return Err(("depth", format!("is nested more than {DEPTH_MAX} levels deep")));
        }
        let calls = (extent.depth + 1) * (self.measures.chain + 1);
        if calls <= CALLS_MAX_HERE {
            return self.judge(value, extent);
        }
        // A few levels cost a call each, hundreds need a stack of their own: an overflow would end the process.
        std::thread::scope(|scope| {
            let judge = || self.judge(value, extent);
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let verdict = thread.spawn_scoped(scope, judge).map(|judging| judging.join());
            match verdict {
                Ok(Ok(faults)) => faults,
                Ok(Err(_)) | Err(_) => Err(("depth", "could not be judged: nest less deeply".to_owned())),
            }
        })
    }

    fn judge(&self, value: &Value, extent: Extent) -> Result<Vec<Violation>, Unlisted> {
        if extent.nodes.saturating_mul(self.measures.cost) > VERDICT_STEPS_MAX
            && !self.walk_ends_within(value, VERDICT_STEPS_MAX)
        {
            let message = "is too large for a schema with so many alternatives: make it smaller";
            return Err(("cost", message.to_owned()));
        }
        if self.validator.is_valid(value) {
            return Ok(Vec::new());
        }
        if !self.walk_ends_within(value, LIST_STEPS_MAX) {
            let message = "does not fit the schema; it is too large or too interwoven to say where";
            return Err(("schema", message.to_owned()));
        }
        let faults = self.validator.iter_errors(value);
        Ok(faults
            .take(self.limits.violations_max)
            .map(|fault| Violation::of(&fault, value, self.base, self.limits))
            .collect())
    }

    fn walk_ends_within(&self, value: &Value, steps: u64) -> bool {
        // The schema was read once already, so this reading finds no fault.
        Graph::read(self.source, self.limits).is_ok_and(|graph| {
            let mut left = steps;
            walk(&graph, self.node, value, &mut left).is_some()
        })
    }
}

/// Every way in which subschemas can meet parts of the value; `None` once the budget is used up.
fn walk(graph: &Graph<'_>, id: u32, value: &Value, left: &mut u64) -> Option<()> {
    *left = left.checked_sub(1)?;
    let node = &graph.nodes[id as usize];
    for (_, to) in &node.same {
        walk(graph, *to, value, left)?;
    }
    match value {
        Value::Object(members) => {
            for (name, member) in members.iter() {
                let own = node.members.get(name).copied();
                let patterns = node.patterns.iter().map(|(_, to)| *to);
                let rest = patterns.chain(node.additional.iter().copied());
                for to in own.into_iter().chain(rest) {
                    walk(graph, to, member, left)?;
                }
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let own = node.prefix.get(index).copied();
                let rest = node.items.iter().chain(&node.probes).copied();
                for to in own.into_iter().chain(rest) {
                    walk(graph, to, item, left)?;
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    Some(())
}
