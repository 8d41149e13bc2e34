//! What is said to the model after an invalid answer.

use serde_json::json;

use super::attempt::Answer;
use crate::job::{AttemptError, Message, Role};
use crate::partial::{End, ParseError};
use crate::schema::Violation;
use crate::schema::dialect::{self, Dialect};

/// What was wrong with an answer.
pub(super) enum Fault {
    /// It was a value, and broke the schema.
    Violations(Vec<Violation>),
    /// It was no JSON.
    NoJson(ParseError),
    /// It ended inside a value, or had none.
    NoValue,
}

impl Fault {
    /// What viewers are told.
    pub(super) fn errors(&self) -> Vec<AttemptError> {
        match self {
            Self::Violations(violations) => violations.iter().map(told).collect(),
            Self::NoJson(error) => vec![AttemptError {
                path: error.path.clone(),
                keyword: error.kind.code().to_owned(),
                message: error.to_string(),
                value: None,
            }],
            Self::NoValue => vec![AttemptError {
                path: String::new(),
                keyword: "no_value".to_owned(),
                message: "the answer ended without a whole JSON value".to_owned(),
                value: None,
            }],
        }
    }

    /// The messages that follow in the conversation: the model's own answer, and what is wrong with it.
    pub(super) fn reask(&self, dialect: Dialect, answer: &Answer) -> Vec<Message> {
        let text = match self {
            Self::Violations(violations) => dialect::reask(dialect, &answer.raw, violations),
            Self::NoJson(error) => {
                let said = error.to_string();
                dialect::reask_no_json(
                    dialect,
                    &answer.raw,
                    error.offset,
                    said.trim_start_matches("expected "),
                )
            }
            Self::NoValue => dialect::reask_no_json(
                dialect,
                said(answer),
                said(answer).len(),
                "one whole JSON value, but the answer ended before it",
            ),
        };
        match (dialect, &answer.call_id) {
            (Dialect::Tools, Some(id)) => tool_turns(id, answer, text, !matches!(self, Self::Violations(_))),
            _ => text_turns(answer, text),
        }
    }
}

/// The call as the model made it, and a `tool` message that answers it. Arguments that are no JSON are closed, since
/// providers read them again.
fn tool_turns(id: &str, answer: &Answer, text: String, broken: bool) -> Vec<Message> {
    let arguments = match (broken, answer.draft.value()) {
        (false, _) => answer.raw.clone(),
        (true, Some(value)) => value.to_json(),
        (true, None) => "{}".to_owned(),
    };
    let name = answer.call_name.clone();
    let call =
        json!([{ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } }]);
    vec![
        Message {
            role: Role::Assistant,
            content: serde_json::Value::Null,
            tool_calls: Some(call),
            tool_call_id: None,
        },
        Message {
            tool_call_id: Some(id.to_owned()),
            ..Message::text(Role::Tool, text)
        },
    ]
}

/// The model's own words: the text of the value, or what stood in its place.
fn said(answer: &Answer) -> &str {
    if answer.raw.is_empty() {
        &answer.said
    } else {
        &answer.raw
    }
}

fn text_turns(answer: &Answer, text: String) -> Vec<Message> {
    let said = match said(answer) {
        "" => "(no answer)",
        said => said,
    };
    vec![
        Message::text(Role::Assistant, said),
        Message::text(Role::User, text),
    ]
}

fn told(violation: &Violation) -> AttemptError {
    AttemptError {
        path: violation.path.clone(),
        keyword: violation.keyword.clone(),
        message: violation.message.clone(),
        value: violation.value.clone(),
    }
}

/// What is wrong with how a text ended; `None` for a whole value.
pub(super) fn fault_of(end: End) -> Option<Fault> {
    match end {
        End::Complete => None,
        End::Truncated => Some(Fault::NoValue),
        End::Invalid(error) => Some(Fault::NoJson(error)),
    }
}
