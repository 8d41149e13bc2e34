//! What is said to the model after an invalid answer.

use serde_json::json;

use super::attempt::Answer;
use crate::job::{AttemptError, Message, Role};
use crate::partial::{End, ParseError, Spot, TASKS, Value, path};
use crate::schema::dialect::{self, Carried, Dialect};
use crate::schema::{BadPlace, Violation};

/// What was wrong with an answer.
pub(super) enum Fault {
    /// It was a value, and broke the schema.
    Violations(Vec<Violation>),
    /// It was not heard on, since it could not become valid any more.
    Cut(Vec<Violation>),
    /// It was no JSON.
    NoJson(ParseError),
    /// It ended inside a value, or had none.
    NoValue,
    /// It was to go on with a value, and had nothing for these places, or nothing that can come there.
    Unanswered(Vec<Spot>),
}

impl Fault {
    /// What viewers are told.
    pub(super) fn errors(&self, answer: &Answer) -> Vec<AttemptError> {
        match self {
            Self::Violations(violations) => violations.iter().map(told).collect(),
            Self::Cut(violations) => {
                // These are of the text, which may be some places of the value.
                let at_its_place = |violation: &Violation| AttemptError {
                    path: answer.draft.place(&violation.path),
                    ..told(violation)
                };
                violations.iter().map(at_its_place).collect()
            }
            Self::NoJson(error) => {
                // What viewers see has no `fix_…`.
                let error = ParseError {
                    path: answer.draft.place(&error.path),
                    ..error.clone()
                };
                vec![AttemptError {
                    keyword: error.kind.code().to_owned(),
                    message: error.to_string(),
                    path: error.path,
                    value: None,
                }]
            }
            Self::NoValue => vec![AttemptError {
                path: String::new(),
                keyword: "no_value".to_owned(),
                message: "the answer ended without a whole JSON value".to_owned(),
                value: None,
            }],
            Self::Unanswered(due) => {
                let error = |spot: &Spot| AttemptError {
                    path: spot.pointer().to_owned(),
                    keyword: "unanswered".to_owned(),
                    message: "the answer had nothing for what is missing here".to_owned(),
                    value: None,
                };
                due.iter().map(error).collect()
            }
        }
    }

    /// The messages that follow in the conversation: the model's own answer in its dialect, and what is wrong with it;
    /// the next is asked for in `next`, and for these places alone where there are any.
    pub(super) fn reask(
        &self,
        dialect: Dialect,
        answer: &Answer,
        next: Dialect,
        places: Option<&[BadPlace]>,
    ) -> Vec<Message> {
        let text = match (places, self) {
            (Some(places), _) => dialect::reask_places(next, places),
            (None, fault) => fault.reask_whole(next, answer),
        };
        let is_value = matches!(self, Self::Violations(_) | Self::Unanswered(_));
        let mut turns = turns(dialect, answer, &text, is_value);
        if let (Self::Cut(_), Some(own)) = (self, turns.first_mut())
            && let (Some(value), false) = (answer.draft.text_value(), own.content.is_null())
        {
            // Models read on where a text breaks off.
            own.content = value.to_json().into();
        }
        turns
    }

    fn reask_whole(&self, dialect: Dialect, answer: &Answer) -> String {
        match self {
            Self::Violations(violations) => dialect::reask(dialect, &answer.raw, violations),
            Self::Cut(violations) => dialect::reask_cut(dialect, violations),
            Self::NoJson(error) => dialect::reask_no_json(dialect, &unread_at(answer, error)),
            Self::NoValue => dialect::reask_no_json(dialect, &ended_early(answer)),
            Self::Unanswered(due) => dialect::reask_no_json(dialect, &dialect::no_rest(due)),
        }
    }

    /// Why an answer brought nothing, or not all that was asked for, as the model is told; `None` where it brought all.
    pub(super) fn unread(&self, answer: &Answer) -> Option<String> {
        match self {
            Self::Violations(_) | Self::Cut(_) => None,
            Self::NoJson(error) => Some(unread_at(answer, error)),
            Self::NoValue => Some(ended_early(answer)),
            Self::Unanswered(due) => Some(dialect::no_rest(due)),
        }
    }
}

fn unread_at(answer: &Answer, error: &ParseError) -> String {
    let said = error.to_string();
    let expected = said.trim_start_matches("expected ");
    dialect::no_json(text_of(answer, &error.path), error.offset, expected)
}

fn ended_early(answer: &Answer) -> String {
    let text = said(answer);
    let expected = "one whole JSON value, but the answer ended before it";
    dialect::no_json(text, text.len(), expected)
}

/// The model's own answer, and what is said to it; `is_value`: it was one, whatever is wrong with that.
pub(super) fn turns(dialect: Dialect, answer: &Answer, text: &str, is_value: bool) -> Vec<Message> {
    let is_rest = answer.draft.is_rest();
    let as_written = is_value && answer.repairs == 0 && !is_rest;
    tool_turns(dialect, answer, text, as_written).unwrap_or_else(|| {
        // Of what was added to a value, the model is told the whole as its answer.
        let whole = answer.draft.value().filter(|_| is_value && is_rest);
        text_turns(
            whole.map_or_else(|| said(answer).to_owned(), |whole| whole.to_json()),
            text,
        )
    })
}

/// The calls as the model made them, and a `tool` message that answers each; `None` where there was none, or one came
/// without an id. Arguments that are no JSON are closed, since providers read them again.
fn tool_turns(dialect: Dialect, answer: &Answer, text: &str, as_written: bool) -> Option<Vec<Message>> {
    let carried = dialect.mode().carried;
    if !matches!(carried, Carried::Call | Carried::Calls) || answer.calls.is_empty() {
        return None;
    }
    let value = if answer.draft.is_rest() {
        answer.draft.value()
    } else {
        answer.draft.text_value()
    };
    let mut calls = Vec::new();
    let mut answers = Vec::new();
    for (slot, call) in answer.calls.iter().enumerate() {
        let id = call.id.as_ref()?;
        let read = match carried {
            Carried::Calls => value.as_ref().and_then(|value| item(value, slot)),
            _ => value.as_ref(),
        };
        let arguments = match (as_written, read) {
            (true, _) => call.arguments.clone(),
            (false, Some(value)) => value.to_json(),
            (false, None) => "{}".to_owned(),
        };
        let name = &call.name;
        calls.push(
            json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }),
        );
        // Every call wants an answer; what is wrong is told once.
        let said = if slot == 0 {
            text
        } else {
            "See the answer to the first call."
        };
        answers.push(Message {
            tool_call_id: Some(id.clone()),
            ..Message::text(Role::Tool, said)
        });
    }
    let mut turns = vec![Message {
        role: Role::Assistant,
        content: serde_json::Value::Null,
        tool_calls: Some(calls.into()),
        tool_call_id: None,
    }];
    turns.extend(answers);
    Some(turns)
}

/// The conversation as a dialect takes it: one without tools may follow another that had them, where the job went on to
/// another model, and then calls and their answers are told as text.
pub(super) fn told_to(dialect: Dialect, turns: &[Message]) -> Vec<Message> {
    if matches!(dialect.mode().carried, Carried::Call | Carried::Calls) {
        return turns.to_vec();
    }
    turns.iter().map(as_text).collect()
}

fn as_text(turn: &Message) -> Message {
    let text = |role| Message {
        role,
        content: turn.content.clone(),
        tool_calls: None,
        tool_call_id: None,
    };
    match (&turn.tool_calls, turn.role) {
        (Some(calls), _) => {
            let calls = calls.as_array().map(Vec::as_slice).unwrap_or_default();
            let arguments = calls
                .iter()
                .filter_map(|call| call["function"]["arguments"].as_str());
            Message::text(Role::Assistant, arguments.collect::<Vec<_>>().join("\n"))
        }
        (None, Role::Tool) => text(Role::User),
        (None, role) => text(role),
    }
}

/// The text in which a place of the value stands: of several calls, the one that is its item.
fn text_of<'a>(answer: &'a Answer, path: &str) -> &'a str {
    let segments = path::segments(path).unwrap_or_default();
    let slot = match segments.as_slice() {
        [tasks, slot, ..] if tasks == TASKS && answer.calls.len() > 1 => path::index(slot),
        _ => None,
    };
    let call = slot.and_then(|slot| answer.calls.get(slot));
    call.map_or(&answer.raw, |call| &call.arguments)
}

/// An item of a list of parallel calls.
fn item(value: &Value, slot: usize) -> Option<&Value> {
    let Value::Object(members) = value else {
        return None;
    };
    match members.get(TASKS)? {
        Value::Array(items) => items.get(slot),
        _ => None,
    }
}

/// The model's own words: the text of the value, or what stood in its place.
fn said(answer: &Answer) -> &str {
    if answer.raw.is_empty() {
        &answer.said
    } else {
        &answer.raw
    }
}

fn text_turns(said: String, text: &str) -> Vec<Message> {
    let said = if said.is_empty() {
        "(no answer)".to_owned()
    } else {
        said
    };
    vec![
        Message::text(Role::Assistant, said),
        Message::text(Role::User, text),
    ]
}

/// A violation as viewers are told of it.
pub(super) fn told(violation: &Violation) -> AttemptError {
    AttemptError {
        path: violation.path.clone(),
        keyword: violation.keyword.clone(),
        message: violation.message.clone(),
        value: violation.value.clone(),
    }
}

/// What is wrong with how the text ended; `None` for a whole value.
pub(super) fn fault_of(answer: &Answer) -> Option<Fault> {
    match &answer.end {
        End::Complete => None,
        End::Truncated => Some(Fault::NoValue),
        End::Invalid(error) => Some(Fault::NoJson(error.clone())),
    }
}
