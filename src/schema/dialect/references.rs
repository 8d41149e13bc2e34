//! References of a schema that is sent: to the root, or to a definition.

use std::collections::HashMap;

use serde_json::Value as Json;

use super::subset::Subset;
use crate::schema::wrap::DEFINITIONS;

/// Under which keyword a subset has its definitions.
pub(super) fn definitions_keyword<'k>(keyword: &'k str, subset: &Subset) -> &'k str {
    if subset.sent.contains(&keyword) {
        keyword
    } else {
        "$defs"
    }
}

/// The same reference within a subset; `None` where it names neither the root nor a definition.
pub(super) fn led(target: &str, subset: &Subset) -> Option<String> {
    let fragment = target.strip_prefix('#')?;
    if fragment.is_empty() {
        return Some(target.to_owned());
    }
    let (keyword, name) = named(fragment)?;
    Some(format!("#/{}/{name}", definitions_keyword(keyword, subset)))
}

/// The definition that a fragment names.
fn named(fragment: &str) -> Option<(&str, &str)> {
    let (keyword, name) = fragment.strip_prefix('/')?.split_once('/')?;
    (DEFINITIONS.contains(&keyword) && !name.contains('/')).then_some((keyword, name))
}

/// Whether a schema contains itself: whether something is left once all is taken away that leads to nothing more.
pub(super) fn circle(root: &Json) -> bool {
    let mut of_root = Vec::new();
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for (keyword, value) in root.as_object().into_iter().flatten() {
        if !DEFINITIONS.contains(&keyword.as_str()) {
            targets(value, &mut of_root);
            continue;
        }
        for (name, definition) in value.as_object().into_iter().flatten() {
            let mut to = Vec::new();
            targets(definition, &mut to);
            all.push((format!("#/{keyword}/{name}"), to));
        }
    }
    all.push(("#".to_owned(), of_root));
    let ids: HashMap<&str, usize> = all
        .iter()
        .zip(0..)
        .map(|((name, _), id)| (name.as_str(), id))
        .collect();
    let mut left = vec![0_usize; all.len()];
    let mut from: Vec<Vec<usize>> = vec![Vec::new(); all.len()];
    for (id, (_, to)) in all.iter().enumerate() {
        for to in to.iter().filter_map(|to| ids.get(to.as_str())) {
            left[id] += 1;
            from[*to].push(id);
        }
    }
    let mut ends: Vec<usize> = (0..all.len()).filter(|id| left[*id] == 0).collect();
    let mut taken = 0;
    while let Some(end) = ends.pop() {
        taken += 1;
        for id in &from[end] {
            left[*id] -= 1;
            if left[*id] == 0 {
                ends.push(*id);
            }
        }
    }
    taken < all.len()
}

fn targets(schema: &Json, found: &mut Vec<String>) {
    match schema {
        Json::Object(members) => {
            for (key, value) in members {
                match value.as_str().filter(|_| key == "$ref") {
                    Some(target) => found.push(target.to_owned()),
                    None => targets(value, found),
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| targets(item, found)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
