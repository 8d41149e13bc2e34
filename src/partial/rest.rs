//! What a container of a base still lacks, as an answer tells it: members that it has not, or items behind its own.

use std::collections::BTreeSet;

use super::path;
use super::value::Value;

/// A container that stays, and what viewers were told of its rest.
#[derive(Clone, Debug)]
pub(super) enum Rest {
    /// An object: the names that it has, which an answer does not change, and those that came.
    Members {
        kept: Vec<Box<str>>,
        heard: BTreeSet<String>,
    },
    /// An array: how many items it has, and how many came.
    Items { kept: usize, heard: usize },
}

impl Rest {
    /// The rest of this container; `None` if it is none.
    pub(super) fn of(container: &Value) -> Option<Self> {
        match container {
            Value::Object(members) => {
                let mut kept: Vec<Box<str>> = members.iter().map(|(name, _)| name.into()).collect();
                kept.sort_unstable();
                Some(Self::Members {
                    kept,
                    heard: BTreeSet::new(),
                })
            }
            Value::Array(items) => Some(Self::Items {
                kept: items.len(),
                heard: 0,
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }

    /// Whether a value can be the rest.
    pub(super) const fn takes(&self, value: &Value) -> bool {
        matches!(
            (self, value),
            (Self::Members { .. }, Value::Object(_)) | (Self::Items { .. }, Value::Array(_))
        )
    }

    /// Whether a rest names members that the container has: they come nowhere.
    pub(super) fn repeats(&self, rest: &Value) -> bool {
        match (self, rest) {
            (Self::Members { kept, .. }, Value::Object(members)) => {
                members.iter().any(|(name, _)| is_among(kept, name))
            }
            _ => false,
        }
    }

    /// Puts behind the container's pointer where `inner`, a pointer into its rest, leads; false where that is nowhere.
    pub(super) fn lead(&self, inner: &str, out: &mut String) -> bool {
        let Some((child, below)) = first(inner) else {
            return inner.is_empty();
        };
        match self {
            Self::Members { kept, .. } => {
                let is_new = unescaped(child).is_some_and(|name| !is_among(kept, &name));
                if is_new {
                    out.push_str(inner);
                }
                is_new
            }
            Self::Items { kept, .. } => {
                let index = path::index(child).and_then(|index| index.checked_add(*kept));
                if let Some(index) = index {
                    path::push_index(out, index);
                    out.push_str(below);
                }
                index.is_some()
            }
        }
    }

    /// Gives each child of `rest` with the place that it comes to in the container at `pointer`; none where it is of
    /// another type.
    pub(super) fn each(&self, pointer: &str, rest: &Value, mut give: impl FnMut(&str, &Value)) {
        let mut at = String::new();
        let mut one = |child: &Value, segment: &str| {
            let mut inner = String::new();
            path::push_segment(&mut inner, segment);
            at.clear();
            at.push_str(pointer);
            if self.lead(&inner, &mut at) {
                give(&at, child);
            }
        };
        match (self, rest) {
            (Self::Members { .. }, Value::Object(members)) => {
                members.iter().for_each(|(name, member)| one(member, name));
            }
            (Self::Items { .. }, Value::Array(items)) => {
                let items = items.iter().enumerate();
                items.for_each(|(index, item)| one(item, &index.to_string()));
            }
            (Self::Members { .. } | Self::Items { .. }, _) => {}
        }
    }

    /// Viewers were told an op at `inner`.
    pub(super) fn heard(&mut self, inner: &str) {
        let Some((child, _)) = first(inner) else { return };
        match self {
            Self::Members { heard, .. } => {
                heard.extend(unescaped(child));
            }
            Self::Items { heard, .. } => {
                let count = path::index(child).map_or(0, |index| index + 1);
                *heard = (*heard).max(count);
            }
        }
    }

    /// Viewers were told all of it.
    pub(super) fn heard_all(&mut self, rest: &Value) {
        match (self, rest) {
            (Self::Members { kept, heard }, Value::Object(members)) => {
                let names = members.iter().map(|(name, _)| name);
                let new = names.filter(|name| !is_among(kept, name));
                *heard = new.map(str::to_owned).collect();
            }
            (Self::Items { heard, .. }, Value::Array(items)) => *heard = items.len(),
            (Self::Members { .. } | Self::Items { .. }, _) => {}
        }
    }

    /// The children that viewers were told, items the last first: they are to be taken away.
    pub(super) fn take_heard(&mut self) -> Vec<String> {
        match self {
            Self::Members { heard, .. } => std::mem::take(heard).into_iter().collect(),
            Self::Items { kept, heard } => {
                let items = *kept..*kept + std::mem::take(heard);
                items.rev().map(|index| index.to_string()).collect()
            }
        }
    }
}

/// The first segment of a pointer, escaped, and what comes behind it.
fn first(pointer: &str) -> Option<(&str, &str)> {
    let inner = pointer.strip_prefix('/')?;
    let end = inner.find('/').unwrap_or(inner.len());
    Some((&inner[..end], &inner[end..]))
}

/// Whether a name is among these, which are sorted.
fn is_among(kept: &[Box<str>], name: &str) -> bool {
    kept.binary_search_by(|one| (**one).cmp(name)).is_ok()
}

fn unescaped(segment: &str) -> Option<String> {
    path::segments(&format!("/{segment}"))?.pop()
}
