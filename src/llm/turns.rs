//! A conversation in OpenAI's shape, taken apart for the providers that have another.

use serde::Deserialize;
use serde_json::{Map, Value};

use super::chunk::{LlmError, LlmErrorKind};
use super::request::Request;
use crate::job::{Message, Role};

/// A piece of a message's content.
#[derive(Debug, PartialEq)]
pub(super) enum Part<'a> {
    /// Text; never empty, since most providers refuse an empty piece.
    Text(&'a str),
    /// A picture by its bytes.
    Image {
        /// Its media type.
        media: &'a str,
        /// Its bytes as Base64.
        data: &'a str,
    },
    /// A picture by its address, which the provider fetches.
    ImageUrl(&'a str),
    /// A part in the provider's own shape, which goes as it is.
    Own(&'a Value),
}

/// A call that the assistant made.
#[derive(Debug, PartialEq)]
pub(super) struct ToolCall {
    pub(super) id: String,
    pub(super) name: String,
    /// The arguments' JSON text.
    pub(super) arguments: String,
}

/// The pieces of a message's content.
pub(super) fn parts(message: &Message) -> Result<Vec<Part<'_>>, LlmError> {
    let parts = match &message.content {
        Value::Null => Vec::new(),
        Value::String(text) => vec![Part::Text(text)],
        Value::Array(parts) => parts.iter().map(part).collect::<Result<_, _>>()?,
        _ => return Err(unfit("content is neither a text nor a list of parts")),
    };
    let is_said = |part: &Part<'_>| !matches!(part, Part::Text(text) if text.is_empty());
    Ok(parts.into_iter().filter(is_said).collect())
}

fn part(part: &Value) -> Result<Part<'_>, LlmError> {
    let text = |pointer: &str| part.pointer(pointer).and_then(Value::as_str);
    match part.get("type").and_then(Value::as_str) {
        Some("text") => text("/text")
            .map(Part::Text)
            .ok_or_else(|| unfit("a content part of type `text` has no `text`")),
        Some("image_url") => {
            let url = text("/image_url/url").or_else(|| text("/image_url"));
            let url = url.ok_or_else(|| unfit("a content part of type `image_url` has no URL"))?;
            Ok(inline(url).unwrap_or(Part::ImageUrl(url)))
        }
        _ if part.is_object() => Ok(Part::Own(part)),
        _ => Err(unfit("a content part is no object")),
    }
}

/// `data:image/png;base64,…`
fn inline(url: &str) -> Option<Part<'_>> {
    let (media, data) = url.strip_prefix("data:")?.split_once(";base64,")?;
    Some(Part::Image { media, data })
}

/// The text of a message for those who take nothing else in this place.
pub(super) fn text(message: &Message) -> Result<String, LlmError> {
    let parts = parts(message)?.into_iter().map(|part| match part {
        Part::Text(text) => Ok(text),
        Part::Image { .. } | Part::ImageUrl(_) | Part::Own(_) => {
            let role = word(message.role);
            Err(unfit(&format!(
                "a message of role `{role}` can only hold text for this provider"
            )))
        }
    });
    Ok(parts.collect::<Result<Vec<_>, _>>()?.join("\n\n"))
}

/// The calls of an assistant's message.
pub(super) fn calls(message: &Message) -> Result<Vec<ToolCall>, LlmError> {
    #[derive(Deserialize)]
    struct Call {
        id: String,
        function: Function,
    }
    #[derive(Deserialize)]
    struct Function {
        name: String,
        arguments: String,
    }
    let Some(calls) = &message.tool_calls else {
        return Ok(Vec::new());
    };
    let calls: Vec<Call> = Deserialize::deserialize(calls)
        .map_err(|_| unfit("`tool_calls` is no list of `{id, function: {name, arguments}}`"))?;
    let call = |call: Call| ToolCall {
        id: call.id,
        name: call.function.name,
        arguments: call.function.arguments,
    };
    Ok(calls.into_iter().map(call).collect())
}

impl ToolCall {
    /// The arguments, for those who take them as JSON.
    pub(super) fn object(&self) -> Result<Map<String, Value>, LlmError> {
        serde_json::from_str(&self.arguments).map_err(|_| {
            unfit(&format!(
                "the arguments of the tool call `{}` are no JSON object",
                self.id
            ))
        })
    }
}

/// The call that a `tool` message answers, among those made so far.
pub(super) fn answered<'a>(message: &Message, made: &'a [ToolCall]) -> Result<&'a ToolCall, LlmError> {
    let id = message.tool_call_id.as_deref();
    let id = id.ok_or_else(|| unfit("a message of role `tool` has no `tool_call_id`"))?;
    // The last: ids need not differ between turns.
    made.iter().rfind(|call| call.id == id).ok_or_else(|| {
        unfit(&format!(
            "a message of role `tool` answers the call `{id}`, which no message before it makes"
        ))
    })
}

/// Whether the answer to a call says what was wrong with it. In a re-ask, that is what is said to a call of the tools
/// that take the value; what else a conversation holds are results.
pub(super) fn is_fault(request: &Request, call: &ToolCall) -> bool {
    let offered = tools(request);
    request.attempt > 1 && offered.iter().any(|tool| tool.name == call.name)
}

/// What instructs, which many providers take apart from the conversation; nothing empty.
pub(super) fn instructions(request: &Request) -> Result<Vec<String>, LlmError> {
    let texts = request.messages.iter().filter(|message| instructs(message));
    let texts = texts.map(text).collect::<Result<Vec<_>, _>>()?;
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

fn instructs(message: &Message) -> bool {
    matches!(message.role, Role::System | Role::Developer)
}

/// The rest, in turns of those who have two roles only: by role, what `tell` makes of its messages. The answers to all
/// calls of a turn stand in one behind it.
pub(super) fn alternating(
    request: &Request,
    model_role: &'static str,
    mut tell: impl FnMut(&Message) -> Result<Vec<Value>, LlmError>,
) -> Result<Vec<(&'static str, Vec<Value>)>, LlmError> {
    let mut turns: Vec<(&str, Vec<Value>)> = Vec::new();
    for message in request.messages.iter().filter(|message| !instructs(message)) {
        let role = match message.role {
            Role::Assistant => model_role,
            Role::System | Role::Developer | Role::User | Role::Tool => "user",
        };
        let told = tell(message)?;
        match turns.last_mut() {
            _ if told.is_empty() => {}
            Some((last, before)) if *last == role => before.extend(told),
            _ => turns.push((role, told)),
        }
    }
    Ok(turns)
}

/// A tool that is offered.
#[derive(Debug, PartialEq)]
pub(super) struct Tool<'a> {
    pub(super) name: &'a str,
    pub(super) description: Option<&'a str>,
    pub(super) parameters: Option<&'a Value>,
    /// Whether the arguments are held to the parameters.
    pub(super) strict: bool,
}

/// The tools that are offered.
pub(super) fn tools(request: &Request) -> Vec<Tool<'_>> {
    let functions = request.tools.iter().flat_map(|tools| tools.as_array());
    let functions = functions.flatten().filter_map(|tool| tool.get("function"));
    functions
        .filter_map(|function| {
            Some(Tool {
                name: function.get("name")?.as_str()?,
                description: function.get("description").and_then(Value::as_str),
                parameters: function.get("parameters"),
                strict: function.get("strict").and_then(Value::as_bool).unwrap_or(false),
            })
        })
        .collect()
}

/// Which tool must be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Must<'a> {
    /// The model decides.
    Choose,
    /// One of them at least.
    CallAny,
    /// The one of this name.
    Call(&'a str),
}

/// What the request's `tool_choice` says.
pub(super) fn must(request: &Request) -> Must<'_> {
    let choice = request.tool_choice.as_ref();
    let name = choice.and_then(|choice| choice.pointer("/function/name")?.as_str());
    match (name, choice.and_then(Value::as_str)) {
        (Some(name), _) => Must::Call(name),
        (None, Some("required")) => Must::CallAny,
        (None, _) => Must::Choose,
    }
}

/// In which form the text must be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form<'a> {
    /// Any.
    Free,
    /// A JSON object.
    Json,
    /// JSON that is valid against a schema of this name; the last says whether the vendor's own subset is kept to.
    Schema(&'a str, &'a Value, bool),
}

/// What the request's `response_format` says.
pub(super) fn form(request: &Request) -> Form<'_> {
    let Some(format) = &request.response_format else {
        return Form::Free;
    };
    let name = format.pointer("/json_schema/name").and_then(Value::as_str);
    let strict = format.pointer("/json_schema/strict").and_then(Value::as_bool);
    match (name, format.pointer("/json_schema/schema")) {
        (Some(name), Some(schema)) => Form::Schema(name, schema, strict.unwrap_or(false)),
        _ => Form::Json,
    }
}

/// A conversation that this provider cannot be told.
pub(super) fn unfit(what: &str) -> LlmError {
    LlmError::new(LlmErrorKind::BadRequest, what)
}

/// A role's word in OpenAI's shape.
pub(super) const fn word(role: Role) -> &'static str {
    match role {
        Role::System => "system",
        Role::Developer => "developer",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn message(content: Value) -> Message {
        Message {
            content,
            ..Message::text(Role::User, "")
        }
    }

    #[test]
    fn content_is_taken_apart() {
        let whole = message(json!([
            {"type": "text", "text": "a"},
            {"type": "text", "text": ""},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            {"type": "image_url", "image_url": {"url": "https://a/b.png"}},
            {"inlineData": {}},
        ]));
        assert_eq!(
            parts(&whole).unwrap(),
            [
                Part::Text("a"),
                Part::Image {
                    media: "image/png",
                    data: "AA=="
                },
                Part::ImageUrl("https://a/b.png"),
                Part::Own(&json!({"inlineData": {}})),
            ]
        );
        assert_eq!(parts(&message(Value::Null)).unwrap(), []);
        assert!(text(&whole).unwrap_err().message.contains("role `user`"));
        for bad in [
            json!(1),
            json!(["a"]),
            json!([{"type": "text"}]),
            json!([{"type": "image_url", "image_url": 1}]),
        ] {
            assert_eq!(parts(&message(bad)).unwrap_err().kind, LlmErrorKind::BadRequest);
        }
    }

    #[test]
    fn answers_find_their_calls() {
        let calls_of = |told: Value| {
            calls(&Message {
                tool_calls: Some(told),
                ..message(Value::Null)
            })
        };
        let made =
            calls_of(json!([{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{"}}]));
        let made = made.unwrap();
        assert!(made[0].object().unwrap_err().message.contains("tool call `a`"));
        assert!(calls_of(json!([{"id": "a"}])).is_err());
        let answer = |id: Option<&str>| Message {
            tool_call_id: id.map(str::to_owned),
            ..Message::text(Role::Tool, "x")
        };
        assert_eq!(answered(&answer(Some("a")), &made).unwrap().name, "f");
        assert!(answered(&answer(Some("b")), &made).is_err());
        assert!(answered(&answer(None), &made).is_err());
    }
}
