//! The judgement of a whole value, within bounds.
//!
//! The validator remembers results where recursion closes, so a yes or no costs at most the schema's paths per part
//! of the value. Listing faults has no such memory: branches of a recursive union multiply with the value's depth.
//! So faults are listed only where a counted walk over schema and value, which goes every way that the listing
//! could go, ends within its budget.

use jsonschema::Validator;
use serde_json::Value as Json;

use super::convert::{self, Extent};
use super::graph::Graph;
use super::guard::Measures;
use super::limits::SchemaLimits;
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

/// What a judgement needs.
pub(super) struct Judge<'s> {
    pub(super) source: &'s Json,
    pub(super) validator: &'s Validator,
    pub(super) limits: &'s SchemaLimits,
    pub(super) measures: Measures,
}

impl Judge<'_> {
    pub(super) fn violations(&self, value: &Value) -> Vec<Violation> {
        let mut extent = Extent::default();
        let Some(json) = convert::convert(value, 0, &mut extent) else {
            let message = format!("is nested more than {} levels deep", convert::DEPTH_MAX);
            return vec![Violation::whole("depth", message)];
        };
        let calls = (extent.depth + 1) * (self.measures.chain + 1);
        if calls <= CALLS_MAX_HERE {
            return self.judge(value, &json, extent);
        }
        // A few levels cost a call each, hundreds need a stack of their own: an overflow would end the process.
        std::thread::scope(|scope| {
            let judge = || self.judge(value, &json, extent);
            let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
            let verdict = thread.spawn_scoped(scope, judge).map(|judging| judging.join());
            match verdict {
                Ok(Ok(violations)) => violations,
                Ok(Err(_)) | Err(_) => {
                    vec![Violation::whole("depth", "could not be judged: nest less deeply")]
                }
            }
        })
    }

    fn judge(&self, value: &Value, json: &Json, extent: Extent) -> Vec<Violation> {
        if extent.nodes.saturating_mul(self.measures.cost) > VERDICT_STEPS_MAX
            && !self.walk_ends_within(json, VERDICT_STEPS_MAX)
        {
            let message = "is too large for a schema with so many alternatives: make it smaller";
            return vec![Violation::whole("cost", message)];
        }
        if self.validator.is_valid(json) {
            return Vec::new();
        }
        if !self.walk_ends_within(json, LIST_STEPS_MAX) {
            let message = "does not fit the schema; it is too large or too interwoven to say where";
            return vec![Violation::whole("schema", message)];
        }
        let faults = self.validator.iter_errors(json);
        faults
            .take(self.limits.violations_max)
            .map(|fault| Violation::of(&fault, value, self.limits))
            .collect()
    }

    fn walk_ends_within(&self, json: &Json, steps: u64) -> bool {
        // The schema was read once already, so this reading finds no fault.
        Graph::read(self.source, self.limits).is_ok_and(|graph| {
            let mut left = steps;
            walk(&graph, 0, json, &mut left).is_some()
        })
    }
}

/// Every way in which subschemas can meet parts of the value; `None` once the budget is used up.
fn walk(graph: &Graph<'_>, id: u32, value: &Json, left: &mut u64) -> Option<()> {
    *left = left.checked_sub(1)?;
    let node = &graph.nodes[id as usize];
    for (_, to) in &node.same {
        walk(graph, *to, value, left)?;
    }
    match value {
        Json::Object(members) => {
            for (name, member) in members {
                let own = node.members.get(&**name).copied();
                let patterns = node.patterns.iter().map(|(_, to)| *to);
                let rest = patterns.chain(node.additional.iter().copied());
                for to in own.into_iter().chain(rest) {
                    walk(graph, to, member, left)?;
                }
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                let own = node.prefix.get(index).copied();
                let rest = node.items.iter().chain(&node.probes).copied();
                for to in own.into_iter().chain(rest) {
                    walk(graph, to, item, left)?;
                }
            }
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
    Some(())
}
