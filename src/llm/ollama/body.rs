//! The body of a request to `/api/chat`.

use serde_json::{Value, json};

use crate::job::{Effort, Message, Role};
use crate::llm::body::Body;
use crate::llm::chunk::LlmError;
use crate::llm::request::Request;
use crate::llm::turns::{self, Form, Part, ToolCall};

/// Models that are told how hard to think by a word.
const WORDED: &str = "gpt-oss";

/// The body. There is no way to demand a call of a tool here.
pub(in crate::llm) fn body(request: &Request, model: &str) -> Result<Value, LlmError> {
    let mut made = Vec::new();
    let messages = request.messages.iter();
    let messages: Vec<Value> = messages
        .map(|message| told(message, &mut made))
        .collect::<Result<_, _>>()?;
    let mut body = Body::default();
    body.set("model", model);
    body.set("messages", messages);
    body.set("stream", true);
    body.put("tools", request.tools.clone());
    match turns::form(request) {
        Form::Free => {}
        Form::Json => body.set("format", "json"),
        Form::Schema(_, schema, _) => body.set("format", schema.clone()),
    }
    body.put("options", options(request));
    body.put("think", think(request, model)?);
    Ok(body.done())
}

/// A switch, but for the one family of models that has words.
fn think(request: &Request, model: &str) -> Result<Option<Value>, LlmError> {
    if request.reasoning.tokens.is_some() {
        return Err(turns::unfit(
            "this provider takes `reasoning.effort` and no `reasoning.tokens`",
        ));
    }
    Ok(request.reasoning.effort.map(|effort| match effort {
        Effort::None => json!(false),
        _ if !model.contains(WORDED) => json!(true),
        Effort::Minimal | Effort::Low => json!("low"),
        Effort::Medium => json!("medium"),
        Effort::High => json!("high"),
    }))
}

fn told(message: &Message, made: &mut Vec<ToolCall>) -> Result<Value, LlmError> {
    let mut told = Body::default();
    let role = match message.role {
        Role::Developer => Role::System,
        role => role,
    };
    told.set("role", turns::word(role));
    let mut texts = Vec::new();
    let mut images = Vec::new();
    for part in turns::parts(message)? {
        match part {
            Part::Text(text) => texts.push(text),
            Part::Image { data, .. } => images.push(json!(data)),
            Part::ImageUrl(_) => {
                return Err(turns::unfit("this provider takes pictures by their bytes only"));
            }
            Part::Own(_) => return Err(turns::unfit("this provider's content is text and pictures only")),
        }
    }
    told.set("content", texts.join("\n\n"));
    told.put("images", (!images.is_empty()).then_some(images));
    if message.role == Role::Tool {
        told.set("tool_name", turns::answered(message, made)?.name.as_str());
    }
    let mut calls = Vec::new();
    for call in turns::calls(message)? {
        calls.push(json!({ "function": { "name": call.name, "arguments": call.object()? } }));
        made.push(call);
    }
    told.put("tool_calls", (!calls.is_empty()).then_some(calls));
    Ok(told.done())
}

fn options(request: &Request) -> Option<Value> {
    let sampling = &request.sampling;
    let mut options = Body::default();
    options.put("temperature", sampling.temperature);
    options.put("top_p", sampling.top_p);
    options.put("seed", sampling.seed);
    options.put("num_predict", sampling.max_output_tokens);
    options.put("stop", (!sampling.stop.is_empty()).then(|| json!(sampling.stop)));
    options.any()
}
