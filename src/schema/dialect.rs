//! How a schema is put to a provider, and how a faulty answer is put back to the model.

use serde_json::Value as Json;

use super::compile::Schema;
use super::violation::Violation;

/// In which way the provider is asked for the structure.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dialect {
    /// One function whose parameters are the schema; the model must call it.
    Tools,
    /// `response_format` of type `json_schema`.
    JsonSchema,
    /// `response_format` of type `json_object`, the schema in the prompt.
    Json,
    /// No format asked of the provider: a fenced block in prose, the schema in the prompt.
    MdJson,
}

/// What goes into the request, in the shapes of OpenAI chat completions.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Ask {
    /// The only element of `tools`: `{type, function: {name, description, parameters}}`.
    pub tool: Option<Json>,
    /// The `response_format`.
    pub response_format: Option<Json>,
    /// Instruction text that carries the schema.
    pub system: Option<String>,
    /// Whether the answer is the value inside a wrapper.
    pub wrapped: bool,
}

/// The dialect nearest to `dialect` that can carry the schema's root.
pub fn fitting(_schema: &Schema, dialect: Dialect) -> Dialect {
    dialect
}

/// What to ask the provider for.
pub fn ask(_schema: &Schema, _dialect: Dialect) -> Ask {
    Ask::default()
}

/// The text that asks the model to correct a whole but invalid answer.
pub fn reask(_dialect: Dialect, _answer: &str, _violations: &[Violation]) -> String {
    String::new()
}

/// The text that asks the model again after an answer that was no JSON: the byte where it failed and what was
/// expected there.
pub fn reask_no_json(_dialect: Dialect, _answer: &str, _offset: usize, _expected: &str) -> String {
    String::new()
}
