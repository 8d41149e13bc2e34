//! Snapshots on the wire: whole where they are small, in parts where they are not.

use serde_json::value::RawValue;

use super::server::JobSnapshot;
use crate::event::{Fold, Position};
use crate::job::{Attempt, JobId, JobState};
use crate::partial::{Value, parse_written};

/// The messages that tell a folded state; `value` may be the draft in a viewer's own look. A value whose JSON is
/// longer than `part_bytes` is cut at characters into parts; the position counts after the last.
pub fn snapshot_parts(
    job_id: JobId,
    fold: &Fold,
    value: Option<&Value>,
    part_bytes: usize,
) -> Vec<JobSnapshot> {
    let head = JobSnapshot {
        job_id: job_id.to_string(),
        epoch: fold.position.epoch,
        seq: fold.position.seq,
        status: fold.status,
        reason: fold.reason.clone(),
        until_ms: fold.until_ms,
        attempt: fold.attempt,
        attempts: Some(fold.attempts.clone()),
        value: None,
        cursor: fold.cursor.clone(),
        at: fold.at.clone(),
        part: None,
        parts: None,
        text: None,
    };
    let Some(text) = value.map(Value::to_json) else {
        return vec![head];
    };
    if text.len() <= part_bytes {
        // The text is our own writer's: it is JSON.
        return vec![JobSnapshot {
            value: RawValue::from_string(text).ok(),
            ..head
        }];
    }
    let slices = slices(&text, part_bytes);
    let parts = u32::try_from(slices.len()).ok();
    let number = |index: usize| u32::try_from(index + 1).ok();
    let mut told: Vec<JobSnapshot> = slices
        .iter()
        .enumerate()
        .map(|(index, slice)| JobSnapshot {
            reason: None,
            until_ms: None,
            attempts: None,
            cursor: None,
            at: Vec::new(),
            part: number(index),
            parts,
            text: Some((*slice).to_owned()),
            ..head.clone()
        })
        .collect();
    if let Some(first) = told.first_mut() {
        first.reason = head.reason;
        first.until_ms = head.until_ms;
        first.attempts = head.attempts;
        first.cursor = head.cursor;
        first.at = head.at;
    }
    told
}

fn slices(text: &str, bytes: usize) -> Vec<&str> {
    let mut rest = text;
    let mut slices = Vec::new();
    while !rest.is_empty() {
        let (slice, after) = rest.split_at(rest.floor_char_boundary(bytes.max(4)));
        slices.push(slice);
        rest = after;
    }
    slices
}

/// Puts parts together again, for clients.
#[derive(Debug, Default)]
pub struct Assembly {
    head: Option<JobSnapshot>,
    text: String,
    seen: u32,
}

/// Parts that do not follow one another, or a text that is no JSON.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the parts of a snapshot do not fit: {0}")]
pub struct BadParts(String);

impl Assembly {
    /// Takes a `job.snapshot`; gives the state once it is whole. A new part 1 discards what was there.
    pub fn take(&mut self, message: JobSnapshot) -> Result<Option<Fold>, BadParts> {
        let (part, parts) = (message.part.unwrap_or(1), message.parts.unwrap_or(1));
        if part == 1 {
            *self = Self::default();
        } else if part != self.seen + 1 || self.head.is_none() {
            return Err(BadParts(format!("part {part} came after part {}", self.seen)));
        }
        self.seen = part;
        match (&message.text, &message.value) {
            (Some(slice), _) => self.text.push_str(slice),
            (None, Some(value)) => self.text.push_str(value.get()),
            (None, None) => {}
        }
        let head = self.head.get_or_insert(message);
        if part < parts {
            return Ok(None);
        }
        let fold = fold_of(head, &self.text)?;
        *self = Self::default();
        Ok(Some(fold))
    }
}

fn fold_of(head: &JobSnapshot, text: &str) -> Result<Fold, BadParts> {
    let value = match text {
        "" => None,
        text => Some(parse_written(text).map_err(|error| BadParts(error.to_string()))?),
    };
    let (status, attempts): (JobState, Vec<Attempt>) =
        (head.status, head.attempts.clone().unwrap_or_default());
    Ok(Fold {
        position: Position {
            epoch: head.epoch,
            seq: head.seq,
        },
        status,
        reason: head.reason.clone(),
        until_ms: head.until_ms,
        attempt: head.attempt,
        attempts,
        value,
        cursor: head.cursor.clone(),
        at: head.at.clone(),
    })
}
