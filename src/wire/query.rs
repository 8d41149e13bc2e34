//! What a client says in the query of `GET /v1/jobs/{id}/events`.

use serde::Deserialize;

use super::client::{BadMessage, Bigints, Deliver, Form, Unseen, bad};
use crate::event::Position;

#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Query {
    #[serde(rename = "as")]
    form: Form,
    unseen: Unseen,
    bigints: Bigints,
    interval_ms: u32,
    notes: bool,
    hooks: bool,
    starting_after: Option<String>,
}

/// Reads a query: how the viewer wants its job told, and what it holds (`starting_after`; empty is nothing).
///
/// # Errors
/// A member that is unknown, comes twice, or is no value of its kind.
pub fn decode_events_query(text: &str) -> Result<(Deliver, Option<Position>), BadMessage> {
    let query: Query = serde_urlencoded::from_str(text)
        .map_err(|error| bad("", &format!("the query cannot be taken: {error}"), None))?;
    let held = query.starting_after.as_deref().filter(|text| !text.is_empty());
    let held = held
        .map(str::parse)
        .transpose()
        .map_err(|error: crate::event::BadPosition| bad("/starting_after", &error.to_string(), None))?;
    let deliver = Deliver {
        form: query.form,
        unseen: query.unseen,
        bigints: query.bigints,
        interval_ms: query.interval_ms,
        notes: query.notes,
        hooks: query.hooks,
    };
    Ok((deliver, held))
}
