//! What is asked of a model.

use std::sync::Arc;

use crate::job::{Message, Reasoning, Script};

/// What is asked of a model in one attempt; plain data, no secrets.
#[derive(Clone, Debug)]
pub struct Request {
    /// The model's name as the job gave it (see [`crate::llm::Provider::model_name`]).
    pub model: String,
    /// The conversation so far.
    pub messages: Vec<Message>,
    /// Tool definitions in OpenAI's shape.
    pub tools: Option<serde_json::Value>,
    /// Which tool must be called, in OpenAI's shape.
    pub tool_choice: Option<serde_json::Value>,
    /// The answer's format, in OpenAI's shape.
    pub response_format: Option<serde_json::Value>,
    /// How the answer is drawn, and how long it may get.
    pub sampling: Sampling,
    /// How much the model thinks.
    pub reasoning: Reasoning,
    /// What the scripted model shall do; no other model reads it.
    pub script: Script,
    /// The job's schema; only the scripted model reads it.
    pub schema: Arc<serde_json::Value>,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// How often a provider was too busy to begin one of the job's attempts; only the scripted model reads it.
    pub refusals: u32,
    /// How often this attempt was tried before; only the scripted model reads it.
    pub retries: u32,
    /// Where the answer travels.
    pub carrier: Carrier,
    /// The answer is asked for in a Markdown fence.
    pub fenced: bool,
}

impl Request {
    /// About how many bytes of prompt the model reads: messages, tools, and the answer's format.
    pub fn bytes(&self) -> usize {
        let json = |value: &serde_json::Value| value.to_string().len();
        let messages = self.messages.iter().map(|message| {
            let content = message
                .content
                .as_str()
                .map_or_else(|| json(&message.content), str::len);
            content + message.tool_calls.as_ref().map_or(0, json)
        });
        let beside = [&self.tools, &self.response_format];
        messages.sum::<usize>() + beside.into_iter().flatten().map(json).sum::<usize>()
    }

    /// The name of the tool that takes the value, or an item: the first of those that are offered.
    pub fn tool_name(&self) -> Option<&str> {
        self.tools.as_ref()?.pointer("/0/function/name")?.as_str()
    }
}

/// How the answer is drawn, and how long it may get. What is absent is left to the provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sampling {
    /// Randomness, 0 and up.
    pub temperature: Option<f64>,
    /// Nucleus share, 0 to 1.
    pub top_p: Option<f64>,
    /// Wish for a repeatable answer.
    pub seed: Option<i64>,
    /// Tokens of the answer, reasoning included.
    pub max_output_tokens: Option<u32>,
    /// Texts at which the provider stops.
    pub stop: Vec<String>,
}

/// Where the answer travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// In the arguments of a tool call.
    Tools,
    /// In the arguments of several, each with an item of a list.
    ParallelTools,
    /// In the message's text.
    Text,
}
