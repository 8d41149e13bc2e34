//! What client and server messages share: states, attempts, costs, ops.

use serde_json::value::RawValue;

use super::{BadProto, generated, same_words, word};
use crate::event::{EndError, Epoch, HookKind, NoteKind, Places, Position, Timings};
use crate::job::{Attempt, AttemptError, AttemptUsage, JobState, Money, Outcome, Reason, Usage};
use crate::partial::write_json_string;

same_words!(JobState = JobState: Queued, Running, Waiting, Recovering, Completed, Failed, Cancelled, Incomplete);
same_words!(Outcome = Outcome: Completed, Failed, Cancelled, Incomplete);
same_words!(Reason = Reason: First, Invalid, Provider, Truncated, WorkerLost, Astray);
same_words!(NoteKind = NoteKind: Reasoning, Text, Warning, Invalid);
same_words!(HookKind = HookKind: Request, FirstToken, AttemptEnd);

/// A state by its number.
pub(super) fn state(number: i32) -> Result<JobState, BadProto> {
    word::<generated::JobState, _>("status", number)
}

/// A reason by its number.
pub(super) fn reason(number: i32) -> Result<Reason, BadProto> {
    word::<generated::Reason, _>("reason", number)
}

impl From<Position> for generated::Position {
    fn from(position: Position) -> Self {
        Self {
            epoch: position.epoch.bits(),
            seq: position.seq,
        }
    }
}

impl From<generated::Position> for Position {
    fn from(position: generated::Position) -> Self {
        Self {
            epoch: Epoch::new(position.epoch),
            seq: position.seq,
        }
    }
}

impl From<&AttemptError> for generated::AttemptError {
    fn from(error: &AttemptError) -> Self {
        Self {
            path: error.path.clone(),
            keyword: error.keyword.clone(),
            message: error.message.clone(),
            value: error.value.clone(),
        }
    }
}

impl From<generated::AttemptError> for AttemptError {
    fn from(error: generated::AttemptError) -> Self {
        Self {
            path: error.path,
            keyword: error.keyword,
            message: error.message,
            value: error.value,
        }
    }
}

impl From<&Attempt> for generated::Attempt {
    fn from(attempt: &Attempt) -> Self {
        Self {
            n: attempt.n,
            reason: generated::Reason::from(attempt.reason).into(),
            errors: list(&attempt.errors),
        }
    }
}

impl TryFrom<generated::Attempt> for Attempt {
    type Error = BadProto;

    fn try_from(attempt: generated::Attempt) -> Result<Self, BadProto> {
        Ok(Self {
            n: attempt.n,
            reason: reason(attempt.reason)?,
            errors: owned(attempt.errors),
        })
    }
}

impl From<Usage> for generated::Usage {
    fn from(usage: Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            estimated: usage.estimated,
            cost_micros: usage.cost.map(Money::as_micros),
        }
    }
}

impl From<generated::Usage> for Usage {
    fn from(usage: generated::Usage) -> Self {
        Self {
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            reasoning_tokens: usage.reasoning_tokens,
            cached_input_tokens: usage.cached_input_tokens,
            estimated: usage.estimated,
            cost: usage.cost_micros.map(Money::micros),
        }
    }
}

impl From<&AttemptUsage> for generated::AttemptUsage {
    fn from(cost: &AttemptUsage) -> Self {
        Self {
            n: cost.n,
            model: cost.model.clone(),
            usage: Some(cost.usage.into()),
            repairs: cost.repairs,
        }
    }
}

impl From<generated::AttemptUsage> for AttemptUsage {
    fn from(cost: generated::AttemptUsage) -> Self {
        Self {
            n: cost.n,
            model: cost.model,
            usage: cost.usage.unwrap_or_default().into(),
            repairs: cost.repairs,
        }
    }
}

impl From<Timings> for generated::Timings {
    fn from(timings: Timings) -> Self {
        Self {
            queued_ms: timings.queued_ms,
            first_change_ms: timings.first_change_ms,
            total_ms: timings.total_ms,
        }
    }
}

impl From<generated::Timings> for Timings {
    fn from(timings: generated::Timings) -> Self {
        Self {
            queued_ms: timings.queued_ms,
            first_change_ms: timings.first_change_ms,
            total_ms: timings.total_ms,
        }
    }
}

impl From<&EndError> for generated::EndError {
    fn from(error: &EndError) -> Self {
        Self {
            code: error.code.clone(),
            message: error.message.clone(),
            errors: list(&error.errors),
        }
    }
}

impl From<generated::EndError> for EndError {
    fn from(error: generated::EndError) -> Self {
        Self {
            code: error.code,
            message: error.message,
            errors: owned(error.errors),
        }
    }
}

/// Every item of a list, from a reference.
pub(super) fn list<'a, T, U: From<&'a T>>(items: &'a [T]) -> Vec<U> {
    items.iter().map(U::from).collect()
}

/// Every item of a list, by value.
pub(super) fn owned<T, U: From<T>>(items: Vec<T>) -> Vec<U> {
    items.into_iter().map(U::from).collect()
}

/// Every attempt of a list.
pub(super) fn attempts(attempts: Vec<generated::Attempt>) -> Result<Vec<Attempt>, BadProto> {
    attempts.into_iter().map(Attempt::try_from).collect()
}

/// A patch's open places.
pub(super) fn paths(at: &Places) -> generated::Paths {
    generated::Paths { paths: at.0.clone() }
}

/// The ops of a patch, from their JSON text.
pub(super) fn read_ops(ops: &RawValue) -> Result<Vec<generated::Op>, BadProto> {
    let ops: Vec<Vec<&RawValue>> = json(ops)?;
    ops.iter().map(|parts| read_op(parts)).collect()
}

fn read_op(parts: &[&RawValue]) -> Result<generated::Op, BadProto> {
    use generated::op::Op;
    let op = match parts {
        [text] => Op::Append(generated::Append {
            path: None,
            text: json(text)?,
        }),
        [path, text] => Op::Append(generated::Append {
            path: Some(json(path)?),
            text: json(text)?,
        }),
        [path, value, code] if code.get() == "0" => Op::Set(generated::Set {
            path: json(path)?,
            value_json: value.get().to_owned(),
        }),
        [path, null, code] if code.get() == "1" && null.get() == "null" => {
            Op::Remove(generated::Remove { path: json(path)? })
        }
        _ => return Err(BadProto::Op),
    };
    Ok(generated::Op { op: Some(op) })
}

/// The JSON text of ops.
pub(super) fn write_ops(ops: Vec<generated::Op>) -> Result<Box<RawValue>, BadProto> {
    let mut text = String::from("[");
    for (index, op) in ops.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        write_op(op.op.ok_or(BadProto::Missing("op"))?, &mut text)?;
    }
    text.push(']');
    super::raw("ops", text)
}

fn write_op(op: generated::op::Op, out: &mut String) -> Result<(), BadProto> {
    use generated::op::Op;
    out.push('[');
    match op {
        Op::Append(append) => {
            if let Some(path) = append.path {
                write_json_string(&path, out);
                out.push(',');
            }
            write_json_string(&append.text, out);
        }
        Op::Set(set) => {
            write_json_string(&set.path, out);
            out.push(',');
            // Read alone, so that no text can close its op and begin another.
            out.push_str(super::raw("value_json", set.value_json)?.get());
            out.push_str(",0");
        }
        Op::Remove(remove) => {
            write_json_string(&remove.path, out);
            out.push_str(",null,1");
        }
    }
    out.push(']');
    Ok(())
}

fn json<'a, T: serde::Deserialize<'a>>(raw: &'a RawValue) -> Result<T, BadProto> {
    let read = serde_json::from_str(raw.get());
    read.map_err(|source| BadProto::Json { field: "ops", source })
}
