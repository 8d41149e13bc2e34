//! Items of a list that stay invalid when nothing is asked for again: taken out, where the job wants that.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::job::{JobSpec, OnBadItem, Wrap};
use crate::partial::{TASKS, Value, path};
use crate::schema::{Schema, Violation};

/// A value without its bad items.
pub(super) struct Dropped {
    pub(super) value: Value,
    /// Where the items stood, the last first: so each can be removed behind the one before.
    pub(super) places: Vec<String>,
}

/// The value without the items that these violations are of, where that is wanted, they are of nothing else, and the rest
/// satisfies the schema.
pub(super) async fn without_bad(
    spec: &JobSpec,
    schema: &Arc<Schema>,
    value: &Value,
    violations: &[Violation],
) -> Option<Dropped> {
    if spec.on_bad_item != OnBadItem::Drop || schema.lists_no_more(violations) {
        return None;
    }
    let list = match (spec.wrap, value) {
        (Some(Wrap::Iterable), Value::Object(_)) => format!("/{TASKS}"),
        (None, Value::Array(_)) => String::new(),
        _ => return None,
    };
    let bad: Option<BTreeSet<usize>> = violations.iter().map(|one| item(&list, &one.path)).collect();
    let bad = bad?;
    let mut value = value.clone();
    let items = match &mut value {
        Value::Array(items) => items,
        Value::Object(members) => match members.get_mut(TASKS)? {
            Value::Array(items) => items,
            _ => return None,
        },
        _ => return None,
    };
    let mut at = 0;
    items.retain(|_| {
        at += 1;
        !bad.contains(&(at - 1))
    });
    let schema = Arc::clone(schema);
    let judged = tokio::task::spawn_blocking(move || schema.validate(&value).is_empty().then_some(value));
    Some(Dropped {
        value: judged.await.ok()??,
        places: bad.iter().rev().map(|index| format!("{list}/{index}")).collect(),
    })
}

/// The item of the list that a place lies in.
fn item(list: &str, place: &str) -> Option<usize> {
    let within = place.strip_prefix(list)?.strip_prefix('/')?;
    path::index(within.split('/').next()?)
}
