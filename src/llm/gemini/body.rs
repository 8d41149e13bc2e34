//! The body of a request to `streamGenerateContent`, and its path.

use serde_json::{Value, json};

use crate::job::{Effort, Message, Role};
use crate::llm::body::Body;
use crate::llm::chunk::{LlmError, LlmErrorKind};
use crate::llm::request::Request;
use crate::llm::turns::{self, Form, Must, Part, ToolCall};

/// Models from this generation on refuse their own calls without the signature that came with them, and take this word
/// for one where a call is told from elsewhere.
const SIGNED: (&str, &str) = ("gemini-3", "skip_thought_signature_validator");

/// Models from this generation on are told how hard to think by a word; those before by tokens.
const WORDED: &str = "gemini-3";

/// The path below the base URL. The model's name is a part of it, so it must be a plain word.
pub(in crate::llm) fn path(model: &str) -> Result<String, LlmError> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if model.chars().all(is_plain) && model.contains(|letter| letter != '.') {
        return Ok(format!("models/{model}:streamGenerateContent"));
    }
    Err(LlmError::new(
        LlmErrorKind::UnknownModel,
        "names of models are letters, digits, `-`, `_` and `.` here",
    ))
}

/// The body.
pub(in crate::llm) fn body(request: &Request, model: &str) -> Result<Value, LlmError> {
    let mut body = Body::default();
    body.put("systemInstruction", instruction(request)?);
    body.set("contents", contents(request, model)?);
    body.put("tools", tools(request));
    body.put("toolConfig", tool_config(request));
    body.put("generationConfig", generation(request, model));
    Ok(body.done())
}

fn instruction(request: &Request) -> Result<Option<Value>, LlmError> {
    let texts = turns::instructions(request)?;
    let parts: Vec<Value> = texts.iter().map(|text| json!({ "text": text })).collect();
    Ok((!parts.is_empty()).then(|| json!({ "parts": parts })))
}

fn contents(request: &Request, model: &str) -> Result<Value, LlmError> {
    let mut made = Vec::new();
    let turns = turns::alternating(request, "model", |message| {
        parts(request, message, model, &mut made)
    })?;
    let told = |(role, parts)| json!({ "role": role, "parts": parts });
    Ok(turns.into_iter().map(told).collect())
}

fn parts(
    request: &Request,
    message: &Message,
    model: &str,
    made: &mut Vec<ToolCall>,
) -> Result<Vec<Value>, LlmError> {
    if message.role == Role::Tool {
        let call = turns::answered(message, made)?;
        let key = if turns::is_fault(request, call) {
            "error"
        } else {
            "result"
        };
        let response = json!({ key: turns::text(message)? });
        return Ok(vec![
            json!({ "functionResponse": { "id": call.id, "name": call.name, "response": response } }),
        ]);
    }
    let said = turns::parts(message)?;
    let mut parts = said.iter().map(part).collect::<Result<Vec<_>, _>>()?;
    for (number, call) in turns::calls(message)?.into_iter().enumerate() {
        let mut part = Body::default();
        part.set(
            "functionCall",
            json!({ "id": call.id, "name": call.name, "args": call.object()? }),
        );
        // Of several calls of a turn, the first is signed.
        let is_signed = number == 0 && model.starts_with(SIGNED.0);
        part.put("thoughtSignature", is_signed.then_some(SIGNED.1));
        parts.push(part.done());
        made.push(call);
    }
    Ok(parts)
}

fn part(part: &Part<'_>) -> Result<Value, LlmError> {
    Ok(match part {
        Part::Text(text) => json!({ "text": text }),
        Part::Image { media, data } => json!({ "inlineData": { "mimeType": media, "data": data } }),
        Part::ImageUrl(url) => json!({ "fileData": { "fileUri": url } }),
        // Parts have no type here.
        Part::Own(own) if own.get("type").is_none() => (*own).clone(),
        Part::Own(own) => {
            let kind = own.get("type").and_then(Value::as_str).unwrap_or_default();
            return Err(turns::unfit(&format!(
                "this provider has no content part of type `{kind}`"
            )));
        }
    })
}

fn tools(request: &Request) -> Option<Value> {
    request.tools.as_ref()?;
    let functions = turns::tools(request).into_iter().map(|tool| {
        let mut said = Body::default();
        said.set("name", tool.name);
        said.put("description", tool.description);
        said.put("parametersJsonSchema", tool.parameters.cloned());
        said.done()
    });
    Some(json!([{ "functionDeclarations": functions.collect::<Vec<_>>() }]))
}

fn tool_config(request: &Request) -> Option<Value> {
    let mut calling = Body::default();
    match turns::must(request) {
        Must::Choose => return None,
        Must::CallAny => calling.set("mode", "ANY"),
        Must::Call(name) => {
            calling.set("mode", "ANY");
            calling.set("allowedFunctionNames", json!([name]));
        }
    }
    Some(json!({ "functionCallingConfig": calling.done() }))
}

/// What is thought is told, too.
fn thinking(request: &Request, model: &str) -> Option<Value> {
    let budget = |effort| match effort {
        Effort::None => 0,
        Effort::Minimal => 512,
        Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High => 24_576,
    };
    let mut config = Body::default();
    match (request.reasoning.effort, request.reasoning.tokens) {
        (None, None) => return None,
        (_, Some(tokens)) => config.set("thinkingBudget", tokens),
        (Some(Effort::None), None) if model.starts_with(WORDED) => config.set("thinkingLevel", "minimal"),
        (Some(effort), None) if model.starts_with(WORDED) => config.set("thinkingLevel", effort.word()),
        (Some(effort), None) => config.set("thinkingBudget", budget(effort)),
    }
    let is_told = request.reasoning.effort != Some(Effort::None);
    config.put("includeThoughts", is_told.then_some(true));
    config.any()
}

fn generation(request: &Request, model: &str) -> Option<Value> {
    let sampling = &request.sampling;
    let mut config = Body::default();
    match turns::form(request) {
        Form::Free => {}
        Form::Json => config.set("responseMimeType", "application/json"),
        Form::Schema(_, schema, _) => {
            config.set("responseMimeType", "application/json");
            config.set("responseJsonSchema", schema.clone());
        }
    }
    config.put("temperature", sampling.temperature);
    config.put("topP", sampling.top_p);
    config.put("seed", sampling.seed);
    config.put("maxOutputTokens", sampling.max_output_tokens);
    config.put(
        "stopSequences",
        (!sampling.stop.is_empty()).then(|| json!(sampling.stop)),
    );
    config.put("thinkingConfig", thinking(request, model));
    config.any()
}
