//! The immutable request: what a client asks for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::check::{SpecError, fault};
use super::choice::{OnBadItem, OnLastViewerGone, OnViolation, Priority, is_unsaid};
use super::template::{TemplateLimits, Templates};
use super::{Money, Reasoning, Script, plain};

/// The name of the scripted model, wherever it appears.
pub const SCRIPTED: &str = "scripted";

/// What a job is asked to do. Never changed once accepted.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// The model, by a name that `welcome` or `GET /v1/models` offers.
    pub model: String,
    /// The conversation. Either this or `input`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub messages: Vec<Message>,
    /// Plain text to extract from: short for one user message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Values that the texts of the messages, or the input, may name: with it they are templates.
    #[serde(
        default,
        deserialize_with = "plain::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub context: Option<Json>,
    /// JSON Schema (2020-12, or draft 7 by `$schema`) of the value that is wanted.
    #[serde(deserialize_with = "plain::json")]
    pub schema: Json,
    /// How the model is asked to answer.
    #[serde(default)]
    pub mode: ModeChoice,
    /// What is put around the schema; absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wrap: Option<Wrap>,
    /// Whether an answer that is not quite JSON is put right.
    #[serde(default)]
    pub lenient: LenientChoice,
    /// What is asked for again where an answer is invalid.
    #[serde(default)]
    pub reask: ReaskChoice,
    /// How many times an invalid answer is asked for again.
    #[serde(default = "default_reasks")]
    pub max_reasks: u32,
    /// When an answer that has turned out to be invalid is heard no further.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub on_violation: OnViolation,
    /// What becomes of items that stay invalid.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub on_bad_item: OnBadItem,
    /// How long a valid value waits for a verdict from outside, ms; absent: it ends the job at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict_ms: Option<u32>,
    /// What becomes of the job once nobody looks at it any more.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub on_last_viewer_gone: OnLastViewerGone,
    /// Which of its tenant's jobs it goes before, in line.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub priority: Priority,
    /// Whether the log tells how the model is asked and what that came to, for viewers that want to hear it.
    #[serde(default, skip_serializing_if = "is_unsaid")]
    pub hooks: bool,
    /// The window in which changes are gathered before they are published, ms; 0 publishes each at once.
    #[serde(default = "default_flush_ms")]
    pub flush_ms: u32,
    /// How the model samples.
    #[serde(default)]
    pub sampling: Sampling,
    /// How much the model thinks; absent: as its provider has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// Bounds of this job.
    #[serde(default)]
    pub limits: JobLimits,
    /// The client's own words about the job; kept, never read.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// What the scripted model is told to do; refused for any other model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub script: Option<Script>,
}

/// One message of the conversation.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// A string, or content parts: OpenAI's `text` and `image_url`, or the provider's own.
    #[serde(default, deserialize_with = "plain::json")]
    pub content: Json,
    /// Calls the assistant made, as the provider gave them.
    #[serde(
        default,
        deserialize_with = "plain::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub tool_calls: Option<Json>,
    /// The call a `tool` message answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_call_id: Option<String>,
}

/// Who speaks a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Role {
    System,
    Developer,
    User,
    Assistant,
    Tool,
}

/// How the model is asked to answer; `auto` is what its provider does best. A mode that the provider does not have, or that
/// cannot carry the schema, gives way to the next in the table of modes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModeChoice {
    /// The provider's best.
    #[default]
    Auto,
    /// A tool call whose arguments are the value.
    Tools,
    /// The same, and the provider holds the arguments to the schema, told in its own subset.
    ToolsStrict,
    /// The answer has the schema as its format.
    JsonSchema,
    /// The same, and the provider holds the answer to the schema, told in its own subset.
    JsonSchemaStrict,
    /// The provider holds the answer to JSON; the schema stands in the prompt.
    Json,
    /// Any text with a fenced JSON block in it.
    MdJson,
}

/// What is put around the schema.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wrap {
    /// Any number of such values, as `{"tasks": […]}`.
    Iterable,
    /// One such value or none, as `{"result", "error", "message"}`.
    Maybe,
}

/// Whether an answer that is not quite JSON is put right.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LenientChoice {
    /// The first error makes the answer invalid.
    #[default]
    Off,
    /// From the first byte.
    On,
    /// From the first error on; what was shown stays.
    Auto,
}

/// What is asked for again where an answer is invalid.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReaskChoice {
    /// Only the places that are wrong, where that can heal the answer.
    #[default]
    Auto,
    /// The whole answer.
    Whole,
}

/// How the model samples; what is absent is the provider's default.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sampling {
    /// 0 to 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// For providers that can repeat themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// Texts that end the answer; at most four.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop: Vec<String>,
}

/// Bounds of one job; what is absent is the server's bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JobLimits {
    /// Output tokens of one attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u32>,
    /// Bytes of one answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Seconds from the first claim to the end, all attempts together, outages and waits included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u32>,
    /// Tokens of all attempts together, prompts included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_tokens: Option<u64>,
    /// Money for all attempts together, in the unit that prices are in. Only where a price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Money>,
    /// Attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempts: Option<u32>,
}

const fn default_reasks() -> u32 {
    JobSpec::DEFAULT_REASKS
}

const fn default_flush_ms() -> u32 {
    JobSpec::DEFAULT_FLUSH_MS
}

impl Message {
    /// A message of plain text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self {
            role,
            content: Json::String(text.into()),
            tool_calls: None,
            tool_call_id: None,
        }
    }
}

impl JobSpec {
    /// Re-asks of a job that does not say how many.
    pub const DEFAULT_REASKS: u32 = 2;
    /// The window of a job that does not say one, ms.
    pub const DEFAULT_FLUSH_MS: u32 = 33;

    /// The conversation the job begins with, `context` written into its texts.
    ///
    /// # Errors
    /// A text that is no template, one that names what `context` does not have, and more than the limits allow.
    pub fn opening(&self, limits: TemplateLimits) -> Result<Vec<Message>, SpecError> {
        let mut messages = match &self.input {
            Some(input) => vec![Message::text(Role::User, input.clone())],
            None => self.messages.clone(),
        };
        let Some(context) = &self.context else {
            return Ok(messages);
        };
        let mut templates = Templates::new(context, limits);
        for (index, message) in messages.iter_mut().enumerate() {
            for (place, text) in texts(&mut message.content) {
                let written = templates.write(text);
                *text = written.map_err(|message| match &self.input {
                    Some(_) => fault("/input", message),
                    None => fault(format!("/messages/{index}/content{place}"), message),
                })?;
            }
        }
        Ok(messages)
    }

    /// Bytes of the prompt as the limits count them.
    pub fn prompt_bytes(&self) -> usize {
        let messages: usize = self
            .messages
            .iter()
            .map(|message| {
                let calls = message.tool_calls.as_ref().map_or(0, content_bytes);
                let id = message.tool_call_id.as_ref().map_or(0, String::len);
                content_bytes(&message.content) + calls + id
            })
            .sum();
        messages + self.input.as_ref().map_or(0, String::len)
    }

    /// About how many bytes it takes while it is kept.
    pub fn bytes(&self) -> usize {
        let metadata: usize = self
            .metadata
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let context = self.context.as_ref().map_or(0, content_bytes);
        self.prompt_bytes() + context + content_bytes(&self.schema) + metadata
    }
}

/// The texts of a message's content, and where each stands in it.
fn texts(content: &mut Json) -> Vec<(String, &mut String)> {
    match content {
        Json::String(text) => vec![(String::new(), text)],
        Json::Array(parts) => {
            let texts = parts
                .iter_mut()
                .enumerate()
                .filter_map(|(index, part)| match part.get_mut("text") {
                    Some(Json::String(text)) => Some((format!("/{index}/text"), text)),
                    _ => None,
                });
            texts.collect()
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Vec::new(),
    }
}

fn content_bytes(content: &Json) -> usize {
    match content {
        Json::String(text) => text.len(),
        Json::Array(parts) => parts.iter().map(content_bytes).sum(),
        Json::Object(members) => members
            .iter()
            .map(|(name, member)| name.len() + content_bytes(member))
            .sum(),
        Json::Null | Json::Bool(_) | Json::Number(_) => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job::SpecLimits;

    #[test]
    fn every_part_of_a_message_counts() {
        let long = "x".repeat(SpecLimits::default().prompt_bytes_max);
        for (member, value) in [
            ("content", serde_json::json!(long)),
            (
                "tool_calls",
                serde_json::json!([{"function": {"arguments": long}}]),
            ),
            ("tool_call_id", serde_json::json!(long)),
        ] {
            let mut message = serde_json::json!({"role": "assistant", "content": "x"});
            message[member] = value;
            let spec = serde_json::json!({"model": "m", "schema": {}, "messages": [message, {"role": "user", "content": "x"}]});
            let spec: JobSpec = serde_json::from_value(spec).unwrap_or_else(|error| panic!("{error}"));
            let refused = spec.check(&SpecLimits::default()).err();
            assert_eq!(
                refused.map(|error| error.path).as_deref(),
                Some("/messages"),
                "{member}"
            );
        }
    }
}
