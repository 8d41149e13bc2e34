//! What is valid: refusals with their pointers, judgements, shape and streaming, and what a provider is asked for.

use livedraft::partial::{self, Guide, NodeId, RootKinds, Value};
use livedraft::schema::{Schema, SchemaError, SchemaErrorCode, SchemaLimits};
use serde_json::{Value as Json, json};

mod closing;
mod dialect;
mod doom;
mod judging;
mod mend;
mod refusals;
mod shape;
mod strict;

fn compile(schema: &Json) -> Schema {
    Schema::compile(schema, &SchemaLimits::default()).unwrap_or_else(|fault| panic!("{schema}: {fault}"))
}

fn refusal(schema: &Json) -> SchemaError {
    refusal_within(schema, &SchemaLimits::default())
}

fn refusal_within(schema: &Json, limits: &SchemaLimits) -> SchemaError {
    match Schema::compile(schema, limits) {
        Ok(_) => panic!("accepted: {schema}"),
        Err(fault) => fault,
    }
}

fn value(text: &str) -> Value {
    partial::parse(text).unwrap_or_else(|fault| panic!("{text}: {fault:?}"))
}

fn is_valid(schema: &Schema, text: &str) -> bool {
    schema.validate(&value(text)).is_empty()
}

/// The node that a pointer leads to.
fn node(guide: &dyn Guide, pointer: &str) -> NodeId {
    let segments = partial::path::segments(pointer).expect("a pointer");
    segments.iter().fold(guide.root(), |node, segment| {
        match partial::path::index(segment) {
            Some(index) => guide.item(node, index),
            None => guide.member(node, segment),
        }
    })
}
