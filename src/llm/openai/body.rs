//! The body of a request for a chat completion.

use serde_json::{Map, Value, json};

use crate::llm::request::Request;

/// The body; `max_tokens` is how this provider calls the limit on output tokens.
pub(super) fn body(request: &Request, model: &str, max_tokens: &str) -> Value {
    let messages: Vec<Value> = request.messages.iter().map(|message| json!(message)).collect();
    let mut body = Map::new();
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(key.to_owned(), value);
        }
    };
    let sampling = &request.sampling;
    put("model", Some(json!(model)));
    put("messages", Some(Value::Array(messages)));
    put("stream", Some(json!(true)));
    put("stream_options", Some(json!({ "include_usage": true })));
    put("tools", request.tools.clone());
    put("tool_choice", request.tool_choice.clone());
    put("response_format", request.response_format.clone());
    put("temperature", sampling.temperature.map(|value| json!(value)));
    put("top_p", sampling.top_p.map(|value| json!(value)));
    put("seed", sampling.seed.map(|value| json!(value)));
    put(max_tokens, sampling.max_output_tokens.map(|value| json!(value)));
    put("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
    Value::Object(body)
}
