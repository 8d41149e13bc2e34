//! The body of a request to Messages.

use serde_json::{Value, json};

use super::thinking::Thinking;
use crate::job::{Message, Role};
use crate::llm::body::Body;
use crate::llm::chunk::LlmError;
use crate::llm::request::Request;
use crate::llm::turns::{self, Form, Must, Part, ToolCall};

/// Models, by what their names hold, that refuse to be made to call a tool: they are told to, in words.
const UNFORCED: [&str; 2] = ["claude-opus-5-5", "claude-fable-5-1"];

/// The body; `output_tokens` is the limit where the request has none, for one is demanded.
pub(in crate::llm) fn body(request: &Request, model: &str, output_tokens: u32) -> Result<Value, LlmError> {
    let sampling = &request.sampling;
    let thinking = Thinking::of(request, model, output_tokens)?;
    let mut body = Body::default();
    body.set("model", model);
    body.set("max_tokens", thinking.max_tokens);
    body.set("stream", true);
    // One that thinks cannot be made to call, either.
    let is_forced = !thinking.is_on() && !UNFORCED.iter().any(|name| model.contains(name));
    body.put("system", system(request, is_forced)?);
    body.set("messages", messages(request)?);
    body.put("tools", tools(request));
    body.put("tool_choice", tool_choice(request, is_forced));
    body.put("thinking", thinking.told);
    let mut output = Body::default();
    if let Form::Schema(_, schema, _) = turns::form(request) {
        output.set("format", json!({ "type": "json_schema", "schema": schema }));
    }
    output.put("effort", thinking.effort);
    body.put("output_config", output.any());
    body.put("temperature", sampling.temperature);
    body.put("top_p", sampling.top_p);
    body.put(
        "stop_sequences",
        (!sampling.stop.is_empty()).then(|| json!(sampling.stop)),
    );
    Ok(body.done())
}

fn system(request: &Request, is_forced: bool) -> Result<Option<Value>, LlmError> {
    let mut texts = turns::instructions(request)?;
    match turns::must(request) {
        Must::Call(name) if !is_forced => texts.push(format!("Answer by one call of the tool `{name}`.")),
        Must::CallAny if !is_forced => texts.push("Answer by calls of the tools alone.".to_owned()),
        Must::Choose | Must::CallAny | Must::Call(_) => {}
    }
    let blocks: Vec<Value> = texts.iter().map(|text| text_block(text)).collect();
    Ok((!blocks.is_empty()).then_some(Value::Array(blocks)))
}

fn messages(request: &Request) -> Result<Value, LlmError> {
    let mut made = Vec::new();
    let turns = turns::alternating(request, "assistant", |message| {
        blocks(request, message, &mut made)
    })?;
    let told = |(role, content)| json!({ "role": role, "content": content });
    Ok(turns.into_iter().map(told).collect())
}

fn blocks(request: &Request, message: &Message, made: &mut Vec<ToolCall>) -> Result<Vec<Value>, LlmError> {
    let parts = turns::parts(message)?;
    let mut blocks: Vec<Value> = parts.iter().map(block).collect();
    if message.role == Role::Tool {
        let call = turns::answered(message, made)?;
        let mut result = Body::default();
        result.set("type", "tool_result");
        result.set("tool_use_id", call.id.as_str());
        result.set("content", blocks);
        result.put("is_error", turns::is_fault(request, call).then_some(true));
        return Ok(vec![result.done()]);
    }
    for call in turns::calls(message)? {
        blocks.push(json!({
            "type": "tool_use", "id": call.id, "name": call.name, "input": call.object()?,
        }));
        made.push(call);
    }
    Ok(blocks)
}

fn block(part: &Part<'_>) -> Value {
    match part {
        Part::Text(text) => text_block(text),
        Part::Image { media, data } => {
            json!({ "type": "image", "source": { "type": "base64", "media_type": media, "data": data } })
        }
        Part::ImageUrl(url) => json!({ "type": "image", "source": { "type": "url", "url": url } }),
        Part::Own(own) => (*own).clone(),
    }
}

fn text_block(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

/// Eager, or long arguments would come in bursts; what is no JSON then is found here.
fn tools(request: &Request) -> Option<Value> {
    request.tools.as_ref()?;
    let tools = turns::tools(request).into_iter().map(|tool| {
        let mut said = Body::default();
        said.set("name", tool.name);
        said.put("description", tool.description);
        said.put("input_schema", tool.parameters.cloned());
        said.put("strict", tool.strict.then_some(true));
        said.set("eager_input_streaming", true);
        said.done()
    });
    Some(tools.collect())
}

fn tool_choice(request: &Request, is_forced: bool) -> Option<Value> {
    let mut choice = Body::default();
    match turns::must(request) {
        Must::Choose => return None,
        Must::CallAny | Must::Call(_) if !is_forced => choice.set("type", "auto"),
        Must::CallAny => choice.set("type", "any"),
        Must::Call(name) => {
            choice.set("type", "tool");
            choice.set("name", name);
        }
    }
    // One value is wanted, so one call.
    let is_one = matches!(turns::must(request), Must::Call(_));
    choice.put("disable_parallel_tool_use", is_one.then_some(true));
    choice.any()
}
