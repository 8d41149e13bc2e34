//! Bounds on a schema before anything compiles it. Every check counts work; none of them measures time.

use std::io;

use serde_json::Value as Json;

use super::error::{SchemaError, SchemaErrorCode};
use super::graph::{Graph, Pattern};
use super::limits::SchemaLimits;

/// What the guard found out on its way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Measures {
    /// Paths from the root through subschemas and references, recursion entered once.
    pub(super) cost: u64,
    /// The longest row of applicators on one value.
    pub(super) chain: usize,
}

/// Depth and size, before anything recurses over the schema.
pub(super) fn size(schema: &Json, limits: &SchemaLimits) -> Result<(), SchemaError> {
    let mut open = vec![(schema, 1)];
    while let Some((value, depth)) = open.pop() {
        let is_container = matches!(value, Json::Array(_) | Json::Object(_));
        if is_container && depth > limits.depth_max {
            return Err(SchemaError::new(
                SchemaErrorCode::TooLarge,
                "",
                format!(
                    "nested more than {} containers deep: name inner parts under $defs",
                    limits.depth_max
                ),
            ));
        }
        match value {
            Json::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Json::Object(members) => open.extend(members.values().map(|member| (member, depth + 1))),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
    let mut counter = Counter(limits.bytes_max);
    serde_json::to_writer(&mut counter, schema).map_err(|_| {
        SchemaError::new(
            SchemaErrorCode::TooLarge,
            "",
            format!(
                "more than {} bytes as compact JSON: shorten descriptions, share through $defs",
                limits.bytes_max
            ),
        )
    })
}

/// Counts written bytes down and fails when they are used up.
struct Counter(usize);

impl io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let left = self.0.checked_sub(bytes.len());
        self.0 = left.ok_or_else(|| io::Error::from(io::ErrorKind::StorageFull))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Patterns by number and length.
pub(super) fn pattern_sizes(graph: &Graph<'_>, limits: &SchemaLimits) -> Result<(), SchemaError> {
    let refuse = |pattern: &Pattern<'_>, message: String| {
        let path = graph.pointer_of_pattern(pattern);
        Err(SchemaError::new(SchemaErrorCode::PatternTooLarge, &path, message))
    };
    if let Some(pattern) = graph.patterns.get(limits.patterns_max) {
        let message = format!(
            "more than {} patterns: share them through $defs",
            limits.patterns_max
        );
        return refuse(pattern, message);
    }
    let long = graph
        .patterns
        .iter()
        .find(|pattern| pattern.text.len() > limits.pattern_bytes_max);
    match long {
        Some(pattern) => refuse(
            pattern,
            format!(
                "a pattern of {} bytes, at most {}: use a shorter one",
                pattern.text.len(),
                limits.pattern_bytes_max
            ),
        ),
        None => Ok(()),
    }
}

/// References that turn in place, rows of applicators, and the number of paths.
pub(super) fn complexity(graph: &Graph<'_>, limits: &SchemaLimits) -> Result<Measures, SchemaError> {
    let chain = chain(graph, limits.depth_max)?;
    let cost = cost(graph, limits.cost_max)?;
    Ok(Measures { cost, chain })
}

fn chain(graph: &Graph<'_>, depth_max: usize) -> Result<usize, SchemaError> {
    let same = |id: u32| -> Vec<u32> { graph.nodes[id as usize].same.iter().map(|(_, to)| *to).collect() };
    let order = post_order(graph, &same);
    let place = positions(&order, graph.nodes.len());
    let mut length = vec![1_usize; graph.nodes.len()];
    for id in order {
        for to in same(id) {
            if place[to as usize] >= place[id as usize] {
                return Err(SchemaError::new(
                    SchemaErrorCode::Invalid,
                    &graph.pointer(to),
                    "refers back to itself for the same value, so it never says anything: \
                     recursion must go through a member or an item",
                ));
            }
            length[id as usize] = length[id as usize].max(length[to as usize] + 1);
        }
        if length[id as usize] > depth_max {
            return Err(SchemaError::new(
                SchemaErrorCode::TooComplex,
                &graph.pointer(id),
                format!(
                    "more than {depth_max} references and combinators in a row for one value: shorten the row"
                ),
            ));
        }
    }
    Ok(length.into_iter().max().unwrap_or(1))
}

fn cost(graph: &Graph<'_>, cost_max: u64) -> Result<u64, SchemaError> {
    let (order, paths) = paths(graph);
    // The first node in this order to pass the limit is the innermost that multiplies.
    match order.into_iter().find(|id| paths[*id as usize] > cost_max) {
        None => Ok(paths[0]),
        Some(id) => Err(SchemaError::new(
            SchemaErrorCode::TooComplex,
            &graph.pointer(id),
            format!(
                "{} ways lead through the references here, at most {cost_max}: \
                 unions of unions multiply, flatten them or use fewer references",
                paths[id as usize]
            ),
        )),
    }
}

/// For each node, the paths from it through subschemas and references, recursion entered once.
pub(super) fn costs(graph: &Graph<'_>) -> Vec<u64> {
    paths(graph).1
}

fn paths(graph: &Graph<'_>) -> (Vec<u32>, Vec<u64>) {
    let applied = |id: u32| -> Vec<u32> { graph.applied(id).collect() };
    let order = post_order(graph, &applied);
    let place = positions(&order, graph.nodes.len());
    let mut paths = vec![1_u64; graph.nodes.len()];
    for id in &order {
        for to in graph.applied(*id) {
            let recursive = place[to as usize] >= place[*id as usize];
            let below = if recursive { 1 } else { paths[to as usize] };
            paths[*id as usize] = paths[*id as usize].saturating_add(below);
        }
    }
    (order, paths)
}

/// Every node after all it leads to, except where a cycle closes. Without recursion: rows may be thousands long.
pub(super) fn post_order(graph: &Graph<'_>, next: &dyn Fn(u32) -> Vec<u32>) -> Vec<u32> {
    let mut seen = vec![false; graph.nodes.len()];
    let mut order = Vec::with_capacity(seen.len());
    for start in 0..u32::try_from(graph.nodes.len()).unwrap_or(u32::MAX) {
        if std::mem::replace(&mut seen[start as usize], true) {
            continue;
        }
        let mut open = vec![(start, next(start).into_iter())];
        while let Some((id, rest)) = open.last_mut() {
            match rest.next() {
                Some(to) if !std::mem::replace(&mut seen[to as usize], true) => {
                    open.push((to, next(to).into_iter()));
                }
                Some(_) => {}
                None => {
                    order.push(*id);
                    open.pop();
                }
            }
        }
    }
    order
}

fn positions(order: &[u32], nodes: usize) -> Vec<usize> {
    let mut place = vec![usize::MAX; nodes];
    for (position, id) in order.iter().enumerate() {
        place[*id as usize] = position;
    }
    place
}
