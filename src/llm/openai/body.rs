//! The body of a request for a chat completion.

use serde_json::{Value, json};

use crate::job::Effort;
use crate::llm::body::Body;
use crate::llm::chunk::LlmError;
use crate::llm::request::Request;
use crate::llm::turns::unfit;

/// What a server of this kind wants said differently from others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) struct Manner {
    /// How the limit on output tokens is called.
    pub(in crate::llm) max_tokens: &'static str,
    /// How the seed is called.
    pub(in crate::llm) seed: &'static str,
    /// Whether usage is only told when it is asked for.
    pub(in crate::llm) asks_usage: bool,
    /// Whether it hands the request on, and must be told to choose only those who heed all of it.
    pub(in crate::llm) hands_on: bool,
    /// How it is told how much to think.
    pub(in crate::llm) thinks: Thinks,
}

/// How a server of this kind is told how much to think.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::llm) enum Thinks {
    /// `reasoning_effort`, a word.
    Effort,
    /// `reasoning`, an object of a word or of tokens (OpenRouter).
    Object,
    /// `thinking`, on or off (DeepSeek).
    Switch,
}

/// The body.
pub(in crate::llm) fn body(request: &Request, model: &str, manner: Manner) -> Result<Value, LlmError> {
    let sampling = &request.sampling;
    let mut body = Body::default();
    body.set("model", model);
    body.set("messages", json!(request.messages));
    body.set("stream", true);
    let usage = json!({ "include_usage": true });
    body.put("stream_options", manner.asks_usage.then_some(usage));
    body.put("tools", request.tools.clone());
    body.put("tool_choice", request.tool_choice.clone());
    body.put("response_format", request.response_format.clone());
    let is_bound = request.tools.is_some() || request.response_format.is_some();
    let heeding = json!({ "require_parameters": true });
    body.put("provider", (manner.hands_on && is_bound).then_some(heeding));
    body.put("temperature", sampling.temperature);
    body.put("top_p", sampling.top_p);
    body.put(manner.seed, sampling.seed);
    body.put(manner.max_tokens, sampling.max_output_tokens);
    body.put("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
    let (name, thinking) = thinking(request, manner.thinks)?;
    body.put(name, thinking);
    Ok(body.done())
}

fn thinking(request: &Request, thinks: Thinks) -> Result<(&'static str, Option<Value>), LlmError> {
    let (effort, tokens) = (request.reasoning.effort, request.reasoning.tokens);
    if tokens.is_some() && thinks != Thinks::Object {
        return Err(unfit(
            "this provider takes `reasoning.effort` and no `reasoning.tokens`",
        ));
    }
    Ok(match thinks {
        Thinks::Effort => ("reasoning_effort", effort.map(|effort| effort.word().into())),
        Thinks::Object => {
            let told = effort.map(|effort| json!({ "effort": effort.word() }));
            (
                "reasoning",
                told.or_else(|| tokens.map(|tokens| json!({ "max_tokens": tokens }))),
            )
        }
        Thinks::Switch => {
            let word = |effort| {
                if effort == Effort::None {
                    "disabled"
                } else {
                    "enabled"
                }
            };
            ("thinking", effort.map(|effort| json!({ "type": word(effort) })))
        }
    })
}
