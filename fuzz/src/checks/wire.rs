//! The protocol's readers, each given the same text: none panics, what is read is written and read again as it was,
//! and a refusal says little of what it was given.

use super::super::event::{self, Position, patch};
use super::super::partial::{Op, OpEncoder, parse_ops};
use super::super::wire::{ClientMessage, Limits, ServerMessage};

/// Bytes of a client's own words that a refusal may repeat, and what stands around them.
const REFUSAL_BYTES: usize = 1_024;
/// The kinds of entries that engines store.
const KINDS: [&str; 6] = ["patch", "status", "attempt", "note", "state", "end"];

/// Holds one text.
pub fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    client(text);
    server(text);
    ops(text);
    if let Ok(patch) = patch::decode(text) {
        assert!(patch.ops.len() <= text.len(), "ops out of nothing");
    }
    for kind in KINDS {
        entry(kind, text);
    }
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string().parse(), Ok(position), "a position");
    }
}

fn client(text: &str) {
    match ClientMessage::decode(text, &Limits::default()) {
        Ok(message) => {
            let written = message.encode().expect("what was read can be written");
            assert_eq!(
                ClientMessage::decode(&written, &Limits::default()),
                Ok(message),
                "{written}"
            );
        }
        Err(fault) => {
            assert!(
                fault.message.len() <= REFUSAL_BYTES,
                "{} bytes",
                fault.message.len()
            );
            let path = fault.path.as_deref().unwrap_or_default();
            assert!(path.len() <= REFUSAL_BYTES, "{} bytes of path", path.len());
            assert!(path.is_empty() || path.starts_with('/'), "{path:?} is no pointer");
        }
    }
}

fn server(text: &str) {
    let Ok(message) = ServerMessage::decode(text) else {
        return;
    };
    let written = message.encode().expect("what was read can be written");
    let again = ServerMessage::decode(&written).expect("what was written can be read");
    assert_eq!(again.encode().ok(), Some(written), "a server's message");
}

/// Ops that were read come back from the encoder: with whole paths, whatever they were relative to.
fn ops(text: &str) {
    let Ok(ops) = parse_ops(text) else { return };
    let Some(ops) = whole(ops, None) else { return };
    let mut encoder = OpEncoder::default();
    for op in &ops {
        op.tell(&mut encoder);
    }
    let written = format!("[{}]", encoder.ops());
    let again = parse_ops(&written).expect("what the encoder writes can be read");
    // Appends to one place are joined where they stand side by side.
    assert_eq!(whole(again, None).map(joined), Some(joined(ops)), "{written}");
}

/// The ops with their whole paths; `None` where one is relative to nothing.
fn whole(ops: Vec<Op>, cursor: Option<&str>) -> Option<Vec<Op>> {
    let mut cursor = cursor.map(str::to_owned);
    ops.into_iter()
        .map(|op| {
            let op = op.whole(cursor.as_deref()).ok()?;
            cursor = op.cursor().map(str::to_owned);
            Some(op)
        })
        .collect()
}

fn joined(ops: Vec<Op>) -> Vec<Op> {
    let mut out: Vec<Op> = Vec::with_capacity(ops.len());
    for op in ops {
        match (out.last_mut(), op) {
            (Some(Op::Append { path: before, text }), Op::Append { path, text: more }) if *before == path => {
                text.push_str(&more);
            }
            (_, op) => out.push(op),
        }
    }
    out
}

fn entry(kind: &str, text: &str) {
    let position = Position {
        epoch: event::Epoch::new(1),
        seq: 1,
    };
    let Ok(entry) = event::decode(position, None, kind, text) else {
        return;
    };
    let written = event::encode(&entry.event).expect("what was read can be written");
    let again = event::decode(position, None, kind, &written).expect("what was written can be read");
    assert_eq!(again, entry, "{kind} {written}");
}
