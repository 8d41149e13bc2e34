//! The body of a request to Responses.

use serde_json::{Value, json};

use crate::job::{Message, Role};
use crate::llm::body::Body;
use crate::llm::chunk::LlmError;
use crate::llm::request::Request;
use crate::llm::turns::{self, Form, Must, Part, ToolCall};

/// The body. Nothing is kept over there, for the conversation is told whole each time.
pub(in crate::llm) fn body(request: &Request, model: &str) -> Result<Value, LlmError> {
    let sampling = &request.sampling;
    let mut body = Body::default();
    body.set("model", model);
    body.set("input", input(request)?);
    body.set("stream", true);
    body.set("store", false);
    body.put("text", format(request));
    body.put("tools", tools(request));
    body.put("tool_choice", tool_choice(request));
    body.put("temperature", sampling.temperature);
    body.put("top_p", sampling.top_p);
    body.put("max_output_tokens", sampling.max_output_tokens);
    if request.reasoning.tokens.is_some() {
        return Err(turns::unfit(
            "this provider takes `reasoning.effort` and no `reasoning.tokens`",
        ));
    }
    let effort = request.reasoning.effort;
    body.put(
        "reasoning",
        effort.map(|effort| json!({ "effort": effort.word() })),
    );
    Ok(body.done())
}

fn input(request: &Request) -> Result<Vec<Value>, LlmError> {
    let mut items = Vec::new();
    let mut made: Vec<ToolCall> = Vec::new();
    for message in &request.messages {
        if message.role == Role::Tool {
            let call = turns::answered(message, &made)?;
            let output = turns::text(message)?;
            items.push(json!({ "type": "function_call_output", "call_id": call.id, "output": output }));
            continue;
        }
        let content: Vec<Value> = turns::parts(message)?
            .iter()
            .map(|said| part(message, said))
            .collect();
        if !content.is_empty() {
            items.push(json!({ "role": turns::word(message.role), "content": content }));
        }
        for call in turns::calls(message)? {
            items.push(json!({
                "type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.arguments,
            }));
            made.push(call);
        }
    }
    Ok(items)
}

/// What the model said is called another thing than what it was told.
fn part(message: &Message, part: &Part<'_>) -> Value {
    let kind = match message.role {
        Role::Assistant => "output_text",
        Role::System | Role::Developer | Role::User | Role::Tool => "input_text",
    };
    match part {
        Part::Text(text) => json!({ "type": kind, "text": text }),
        Part::Image { media, data } => {
            json!({ "type": "input_image", "image_url": format!("data:{media};base64,{data}") })
        }
        Part::ImageUrl(url) => json!({ "type": "input_image", "image_url": url }),
        Part::Own(own) => (*own).clone(),
    }
}

fn format(request: &Request) -> Option<Value> {
    let format = match turns::form(request) {
        Form::Free => return None,
        Form::Json => json!({ "type": "json_object" }),
        Form::Schema(name, schema, strict) => {
            let mut format = json!({ "type": "json_schema", "name": name, "schema": schema });
            if strict {
                format["strict"] = json!(true);
            }
            format
        }
    };
    Some(json!({ "format": format }))
}

/// Strict is what they are by default here, and refuses most schemas.
fn tools(request: &Request) -> Option<Value> {
    request.tools.as_ref()?;
    let tools = turns::tools(request).into_iter().map(|tool| {
        let mut said = Body::default();
        said.set("type", "function");
        said.set("name", tool.name);
        said.put("description", tool.description);
        said.put("parameters", tool.parameters.cloned());
        said.set("strict", tool.strict);
        said.done()
    });
    Some(tools.collect())
}

fn tool_choice(request: &Request) -> Option<Value> {
    match turns::must(request) {
        Must::Choose => None,
        Must::CallAny => Some(json!("required")),
        Must::Call(name) => Some(json!({ "type": "function", "name": name })),
    }
}
