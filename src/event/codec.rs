//! Entries as engines store them: a kind's name and a payload of text.

use std::sync::Arc;

use super::entry::{Entry, Event};
use super::position::{Epoch, Position};

/// A stored entry that cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum BadEntry {
    /// A kind that this version does not know.
    #[error("unknown kind of entry {0:?}: it was written by a newer version")]
    Kind(String),
    /// A payload that is not what its kind says.
    #[error("the payload of a {kind} entry cannot be read: {source}")]
    Payload {
        /// The kind.
        kind: &'static str,
        /// What the reader said.
        source: serde_json::Error,
    },
}

/// The payload of an event: the frame of a patch as it is, the arguments of any other kind as JSON.
pub fn encode(event: &Event) -> Result<String, serde_json::Error> {
    match event {
        Event::Patch(frame) => Ok(frame.to_string()),
        Event::Status(change) => serde_json::to_string(change),
        Event::Attempt(begins) => serde_json::to_string(begins),
        Event::Note(note) => serde_json::to_string(note),
        Event::Hook(hook) => serde_json::to_string(hook),
        Event::State(state) => serde_json::to_string(state),
        Event::End(end) => serde_json::to_string(end),
    }
}

/// Reads an entry back from its parts.
pub fn decode(
    position: Position,
    opens: Option<Option<Epoch>>,
    kind: &str,
    payload: &str,
) -> Result<Entry, BadEntry> {
    let event = match kind {
        "patch" => Event::Patch(Arc::from(payload)),
        "status" => Event::Status(read("status", payload)?),
        "attempt" => Event::Attempt(read("attempt", payload)?),
        "note" => Event::Note(read("note", payload)?),
        "hook" => Event::Hook(read("hook", payload)?),
        "state" => Event::State(read("state", payload)?),
        "end" => Event::End(read("end", payload)?),
        other => return Err(BadEntry::Kind(other.to_owned())),
    };
    Ok(Entry {
        position,
        opens,
        event,
    })
}

fn read<'a, T: serde::Deserialize<'a>>(kind: &'static str, payload: &'a str) -> Result<T, BadEntry> {
    serde_json::from_str(payload).map_err(|source| BadEntry::Payload { kind, source })
}
