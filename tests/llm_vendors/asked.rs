//! What the vendors are asked: the same request in the shape of each.

use livedraft::job::{Effort, Message, Reasoning, Role};
use livedraft::llm::{
    KeyHeader, Kind, LlmErrorKind, MaxTokensField, Probe, RemoteOptions, Request, Sampling, probe,
};
use serde_json::{Value, json};

use super::fixtures::answer as fixture;
use super::{options_of, provider_of, stream_of};
use crate::llm_openai::server::{KEY, Server, answer, provider, request, rest};

/// The request's head and body.
async fn asked(kind: Kind, request: &Request) -> (String, Value) {
    let server = Server::start(vec![stream_of(kind, &fixture(kind, "text"))]).await;
    rest(&mut provider_of(kind, &server).open(request).await.unwrap()).await;
    let (head, body) = server.request(0);
    (head.to_ascii_lowercase(), body)
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"b": {"type": "string"}, "a": {"type": "integer"}}})
}

fn tools(request: &mut Request) {
    request.tools = Some(
        json!([{"type": "function", "function": {"name": "User", "description": "Takes it.", "parameters": schema()}}]),
    );
    request.tool_choice = Some(json!({"type": "function", "function": {"name": "User"}}));
}

fn format(request: &mut Request) {
    request.response_format =
        Some(json!({"type": "json_schema", "json_schema": {"name": "User", "schema": schema()}}));
}

/// A re-ask: instructions, a picture, a call of a tool of the client's own with its result, and the call that gave a
/// bad value with what was wrong with it.
fn conversation() -> Request {
    let call = |id: &str, name: &str, arguments: &str| Message {
        content: Value::Null,
        tool_calls: Some(
            json!([{"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}]),
        ),
        ..Message::text(Role::Assistant, "")
    };
    let result = |id: &str, text: &str| Message {
        tool_call_id: Some(id.to_owned()),
        ..Message::text(Role::Tool, text)
    };
    let mut request = request();
    tools(&mut request);
    request.attempt = 2;
    request.messages = vec![
        Message::text(Role::System, "Be brief."),
        Message::text(Role::Developer, "Be exact."),
        Message {
            content: json!([
                {"type": "text", "text": "Who?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ]),
            ..Message::text(Role::User, "")
        },
        call("c1", "look", r#"{"at":"Ada"}"#),
        result("c1", "36"),
        Message::text(Role::Assistant, "I know now."),
        call("c2", "User", r#"{"b":1}"#),
        result("c2", "b is no text"),
    ];
    request
}

#[tokio::test]
async fn messages_of_anthropic() {
    let (head, body) = asked(Kind::Anthropic, &conversation()).await;
    assert!(head.starts_with("post /v1/messages http/1.1\r\n"), "{head}");
    assert!(head.contains(&format!("x-api-key: {KEY}\r\n")), "{head}");
    assert!(head.contains("anthropic-version: 2023-06-01\r\n"), "{head}");
    assert!(!head.contains("authorization"), "{head}");
    let text = |text: &str| json!({"type": "text", "text": text});
    let expected = json!({
        "model": "m", "max_tokens": 8192, "stream": true,
        "system": [text("Be brief."), text("Be exact.")],
        "messages": [
            {"role": "user", "content": [text("Who?"),
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
            {"role": "assistant", "content": [
                {"type": "tool_use", "id": "c1", "name": "look", "input": {"at": "Ada"}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [text("36")]}]},
            {"role": "assistant", "content": [text("I know now."),
                {"type": "tool_use", "id": "c2", "name": "User", "input": {"b": 1}}]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "c2", "content": [text("b is no text")], "is_error": true}]},
        ],
        "tools": [{"name": "User", "description": "Takes it.", "input_schema": schema(), "eager_input_streaming": true}],
        "tool_choice": {"type": "tool", "name": "User", "disable_parallel_tool_use": true},
    });
    assert_eq!(body.to_string(), expected.to_string());
}

/// Some models answer a demand with an error; they are told in words.
#[tokio::test]
async fn models_that_cannot_be_made_to_call_are_told_to() {
    let mut request = request();
    tools(&mut request);
    request.model = "test/claude-opus-5-5".to_owned();
    let (_, body) = asked(Kind::Anthropic, &request).await;
    assert_eq!(
        body["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(
        body["system"][0]["text"],
        "Answer by one call of the tool `User`."
    );
    request.tool_choice = Some(json!("required"));
    let (_, body) = asked(Kind::Anthropic, &request).await;
    assert_eq!(body["tool_choice"], json!({"type": "auto"}));
}

#[tokio::test]
async fn contents_of_gemini() {
    let mut request = conversation();
    let (head, body) = asked(Kind::Gemini, &request).await;
    assert!(
        head.starts_with("post /v1/models/m:streamgeneratecontent?alt=sse http/1.1\r\n"),
        "{head}"
    );
    assert!(head.contains(&format!("x-goog-api-key: {KEY}\r\n")), "{head}");
    let expected = json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "Be exact."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Who?"}, {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]},
            {"role": "model", "parts": [{"functionCall": {"id": "c1", "name": "look", "args": {"at": "Ada"}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "c1", "name": "look", "response": {"result": "36"}}}]},
            {"role": "model", "parts": [{"text": "I know now."},
                {"functionCall": {"id": "c2", "name": "User", "args": {"b": 1}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "c2", "name": "User", "response": {"error": "b is no text"}}}]},
        ],
        "tools": [{"functionDeclarations": [
            {"name": "User", "description": "Takes it.", "parametersJsonSchema": schema()}]}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["User"]}},
    });
    assert_eq!(body.to_string(), expected.to_string());
    request.model = "test/gemini-3-pro".to_owned();
    let (_, body) = asked(Kind::Gemini, &request).await;
    let signature = body.pointer("/contents/1/parts/0/thoughtSignature");
    assert_eq!(signature, Some(&json!("skip_thought_signature_validator")));
}

#[tokio::test]
async fn chat_of_ollama() {
    let (head, body) = asked(Kind::Ollama, &conversation()).await;
    assert!(head.starts_with("post /v1/chat http/1.1\r\n"), "{head}");
    assert!(head.contains("accept: application/x-ndjson\r\n"), "{head}");
    let expected = json!({
        "model": "m",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be exact."},
            {"role": "user", "content": "Who?", "images": ["AAAA"]},
            {"role": "assistant", "content": "", "tool_calls": [
                {"function": {"name": "look", "arguments": {"at": "Ada"}}}]},
            {"role": "tool", "content": "36", "tool_name": "look"},
            {"role": "assistant", "content": "I know now."},
            {"role": "assistant", "content": "", "tool_calls": [
                {"function": {"name": "User", "arguments": {"b": 1}}}]},
            {"role": "tool", "content": "b is no text", "tool_name": "User"},
        ],
        "stream": true,
        "tools": conversation().tools,
    });
    assert_eq!(body.to_string(), expected.to_string());
}

#[tokio::test]
async fn input_of_responses() {
    let (head, body) = asked(Kind::Responses, &conversation()).await;
    assert!(head.starts_with("post /v1/responses http/1.1\r\n"), "{head}");
    let expected = json!({
        "model": "m",
        "input": [
            {"role": "system", "content": [{"type": "input_text", "text": "Be brief."}]},
            {"role": "developer", "content": [{"type": "input_text", "text": "Be exact."}]},
            {"role": "user", "content": [{"type": "input_text", "text": "Who?"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}]},
            {"type": "function_call", "call_id": "c1", "name": "look", "arguments": "{\"at\":\"Ada\"}"},
            {"type": "function_call_output", "call_id": "c1", "output": "36"},
            {"role": "assistant", "content": [{"type": "output_text", "text": "I know now."}]},
            {"type": "function_call", "call_id": "c2", "name": "User", "arguments": "{\"b\":1}"},
            {"type": "function_call_output", "call_id": "c2", "output": "b is no text"},
        ],
        "stream": true, "store": false,
        "tools": [{"type": "function", "name": "User", "description": "Takes it.", "parameters": schema(), "strict": false}],
        "tool_choice": {"type": "function", "name": "User"},
    });
    assert_eq!(body.to_string(), expected.to_string());
}

#[tokio::test]
async fn text_that_must_be_json_and_how_it_is_drawn() {
    let mut full = request();
    format(&mut full);
    full.sampling = Sampling {
        temperature: Some(0.5),
        top_p: Some(0.25),
        seed: Some(7),
        max_output_tokens: Some(9),
        stop: vec!["END".to_owned()],
    };
    let of = |kind: Kind| {
        let full = full.clone();
        async move { asked(kind, &full).await.1 }
    };
    let body = of(Kind::Anthropic).await;
    assert_eq!(
        body["output_config"],
        json!({"format": {"type": "json_schema", "schema": schema()}})
    );
    assert_eq!((&body["max_tokens"], &body["top_p"]), (&json!(9), &json!(0.25)));
    assert_eq!(
        (&body["stop_sequences"], body.get("seed")),
        (&json!(["END"]), None)
    );
    assert_eq!(
        of(Kind::Gemini).await["generationConfig"],
        json!({"responseMimeType": "application/json", "responseJsonSchema": schema(), "temperature": 0.5,
            "topP": 0.25, "seed": 7, "maxOutputTokens": 9, "stopSequences": ["END"]})
    );
    let body = of(Kind::Ollama).await;
    assert_eq!(body["format"], schema());
    assert_eq!(
        body["options"],
        json!({"temperature": 0.5, "top_p": 0.25, "seed": 7, "num_predict": 9, "stop": ["END"]})
    );
    let body = of(Kind::Responses).await;
    assert_eq!(
        body["text"],
        json!({"format": {"type": "json_schema", "name": "User", "schema": schema()}})
    );
    assert_eq!(body["max_output_tokens"], 9);

    full.response_format = Some(json!({"type": "json_object"}));
    let of = |kind: Kind| {
        let full = full.clone();
        async move { asked(kind, &full).await.1 }
    };
    assert_eq!(of(Kind::Anthropic).await.get("output_config"), None);
    let gemini = of(Kind::Gemini).await;
    assert_eq!(gemini["generationConfig"]["responseMimeType"], "application/json");
    assert_eq!(gemini["generationConfig"].get("responseJsonSchema"), None);
    assert_eq!(of(Kind::Ollama).await["format"], "json");
    assert_eq!(
        of(Kind::Responses).await["text"]["format"],
        json!({"type": "json_object"})
    );
}

#[tokio::test]
async fn one_call_at_least() {
    let mut request = request();
    tools(&mut request);
    request.tool_choice = Some(json!("required"));
    assert_eq!(
        asked(Kind::Anthropic, &request).await.1["tool_choice"],
        json!({"type": "any"})
    );
    assert_eq!(
        asked(Kind::Gemini, &request).await.1["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY"}})
    );
    assert_eq!(
        asked(Kind::Responses, &request).await.1["tool_choice"],
        "required"
    );
}

/// What cannot be told in a vendor's shape is refused here, by what it is, and nothing is sent.
#[tokio::test]
async fn conversations_that_do_not_fit_are_refused_before_they_are_sent() {
    let unanswerable = Message {
        tool_call_id: Some("nobody".to_owned()),
        ..Message::text(Role::Tool, "x")
    };
    let no_object = Message {
        tool_calls: Some(json!([{"id": "c", "function": {"name": "f", "arguments": "[1"}}])),
        ..Message::text(Role::Assistant, "")
    };
    let picture = |url: &str| Message {
        content: json!([{"type": "image_url", "image_url": {"url": url}}]),
        ..Message::text(Role::User, "")
    };
    let odd = Message {
        content: json!([{"type": "input_audio"}]),
        ..Message::text(Role::User, "")
    };
    for (kind, message, part) in [
        (Kind::Anthropic, &unanswerable, "`nobody`"),
        (Kind::Responses, &unanswerable, "`nobody`"),
        (Kind::Anthropic, &no_object, "`c`"),
        (Kind::Gemini, &no_object, "`c`"),
        (Kind::Gemini, &odd, "`input_audio`"),
        (Kind::Ollama, &picture("https://a/b.png"), "bytes only"),
    ] {
        let server = Server::start(vec![stream_of(kind, b"")]).await;
        let mut request = request();
        request.messages.push(message.clone());
        let error = provider_of(kind, &server).open(&request).await.unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::BadRequest, "{kind:?}");
        assert!(error.message.contains(part), "{error}");
        assert!(server.requests.lock().unwrap().is_empty());
    }
}

/// A model's name is a part of the URL there, and the name comes from a client.
#[tokio::test]
async fn a_models_name_cannot_lead_elsewhere() {
    for model in [
        "../files", "a/b", "m?key=x", "m#x", "%2e%2e", "..", ".", "m:embed", "ä",
    ] {
        let server = Server::start(vec![stream_of(Kind::Gemini, b"")]).await;
        let mut request = request();
        request.model = format!("test/{model}");
        let error = provider_of(Kind::Gemini, &server)
            .open(&request)
            .await
            .unwrap_err();
        assert_eq!(error.kind, LlmErrorKind::UnknownModel, "{model}");
        assert!(server.requests.lock().unwrap().is_empty());
    }
}

#[tokio::test]
async fn limits_on_output_are_called_what_the_configuration_says() {
    let server = Server::start(vec![stream_of(Kind::OpenAi, &fixture(Kind::OpenAi, "text"))]).await;
    let mut options = options_of(Kind::OpenAi, &server);
    options.max_tokens_field = MaxTokensField::MaxCompletionTokens;
    let mut request = request();
    request.sampling.max_output_tokens = Some(9);
    rest(&mut provider(options).open(&request).await.unwrap()).await;
    assert_eq!(server.request(0).1["max_completion_tokens"], 9);
    let server = Server::start(vec![stream_of(
        Kind::Anthropic,
        &fixture(Kind::Anthropic, "text"),
    )])
    .await;
    let mut options = options_of(Kind::Anthropic, &server);
    options.output_tokens = 77;
    request.sampling.max_output_tokens = None;
    rest(&mut provider(options).open(&request).await.unwrap()).await;
    assert_eq!(server.request(0).1["max_tokens"], 77);
}

#[tokio::test]
async fn a_probe_asks_each_kind_in_its_way() {
    for (kind, path, key) in [
        (Kind::Anthropic, "/v1/models", "x-api-key: "),
        (Kind::Gemini, "/v1/models", "x-goog-api-key: "),
        (Kind::Ollama, "/v1/tags", "authorization: bearer "),
        (Kind::Responses, "/v1/models", "authorization: bearer "),
    ] {
        let server = Server::start(vec![answer("200 OK", "", "{}")]).await;
        let told = probe(&options_of(kind, &server)).await.unwrap();
        assert_eq!(
            told,
            Probe {
                status: 200,
                clock_ms: None
            }
        );
        let asked = server.requests.lock().unwrap()[0].to_ascii_lowercase();
        assert!(asked.starts_with(&format!("get {path} http/1.1\r\n")), "{asked}");
        assert!(asked.contains(&format!("{key}{KEY}\r\n")), "{asked}");
    }
}

/// Azure by an address of one's own: its header, and the version in the query where addresses go by deployment.
#[tokio::test]
async fn azure_by_deployment() {
    for (kind, path) in [(Kind::OpenAi, "chat/completions"), (Kind::Responses, "responses")] {
        let server = Server::start(vec![stream_of(kind, &fixture(kind, "text"))]).await;
        let options = RemoteOptions {
            base_url: format!("{}openai/deployments/d", server.base),
            key_header: KeyHeader::ApiKey,
            api_version: "2024-10-21".to_owned(),
            ..options_of(kind, &server)
        };
        rest(&mut provider(options.clone()).open(&request()).await.unwrap()).await;
        let head = server.request(0).0.to_ascii_lowercase();
        let line = format!("post /v1/openai/deployments/d/{path}?api-version=2024-10-21 http/1.1\r\n");
        assert!(head.starts_with(&line), "{head}");
        assert!(head.contains(&format!("api-key: {KEY}\r\n")), "{head}");
        assert!(!head.contains("authorization"), "{head}");
    }
}

fn thinking(effort: Option<Effort>, tokens: Option<u32>) -> Request {
    let mut request = request();
    request.reasoning = Reasoning { effort, tokens };
    request
}

#[tokio::test]
async fn how_much_to_think_is_told_in_each_vendors_words() {
    let plays = [
        (Kind::OpenAi, "m", "reasoning_effort", json!("high")),
        (Kind::Responses, "m", "reasoning", json!({"effort": "high"})),
        (Kind::Ollama, "m", "think", json!(true)),
        (Kind::Ollama, "gpt-oss:20b", "think", json!("high")),
        (
            Kind::Anthropic,
            "claude-opus-4-6",
            "thinking",
            json!({"type": "adaptive"}),
        ),
        (
            Kind::Anthropic,
            "claude-opus-4-6",
            "output_config",
            json!({"effort": "high"}),
        ),
        (
            Kind::Anthropic,
            "claude-sonnet-4-5",
            "thinking",
            json!({"type": "enabled", "budget_tokens": 16384}),
        ),
        (
            Kind::Anthropic,
            "claude-sonnet-4-5",
            "max_tokens",
            json!(8192 + 16384),
        ),
        (
            Kind::Gemini,
            "gemini-2.5-pro",
            "generationConfig",
            json!({"thinkingConfig": {"thinkingBudget": 24576, "includeThoughts": true}}),
        ),
        (
            Kind::Gemini,
            "gemini-3-pro",
            "generationConfig",
            json!({"thinkingConfig": {"thinkingLevel": "high", "includeThoughts": true}}),
        ),
    ];
    for (kind, model, member, expected) in plays {
        let mut request = thinking(Some(Effort::High), None);
        request.model = format!("test/{model}");
        let (_, body) = asked(kind, &request).await;
        assert_eq!(body[member], expected, "{kind:?} {model} {member}");
    }
    for (kind, member, expected) in [
        (Kind::Anthropic, "thinking", json!(null)),
        (Kind::Ollama, "think", json!(false)),
        (Kind::OpenAi, "reasoning_effort", json!("none")),
        (
            Kind::Gemini,
            "generationConfig",
            json!({"thinkingConfig": {"thinkingBudget": 0}}),
        ),
    ] {
        let (_, body) = asked(kind, &thinking(Some(Effort::None), None)).await;
        assert_eq!(body[member], expected, "{kind:?} {member}");
    }
}

/// One that thinks cannot be made to call a tool, and brings no thoughts of its own where it goes on behind a call.
#[tokio::test]
async fn thinking_and_a_demanded_call_exclude_each_other_at_anthropic() {
    let mut request = thinking(None, Some(2000));
    tools(&mut request);
    let (_, body) = asked(Kind::Anthropic, &request).await;
    assert_eq!(
        body["thinking"],
        json!({"type": "enabled", "budget_tokens": 2000})
    );
    assert_eq!(body["tool_choice"]["type"], "auto");
    assert_eq!(
        body["system"][0]["text"],
        "Answer by one call of the tool `User`."
    );
    let mut again = conversation();
    again.reasoning = request.reasoning;
    let (_, body) = asked(Kind::Anthropic, &again).await;
    assert_eq!(body.get("thinking"), None);
    assert_eq!(body["tool_choice"]["type"], "tool");
}

#[tokio::test]
async fn what_a_vendor_cannot_be_told_of_thinking_is_refused_before_it_is_sent() {
    let few = |mut request: Request, limit: u32| {
        request.sampling.max_output_tokens = Some(limit);
        request
    };
    let cool = |mut request: Request| {
        request.sampling.temperature = Some(0.0);
        request
    };
    for (kind, request, said) in [
        (Kind::OpenAi, thinking(None, Some(2000)), "`reasoning.effort`"),
        (Kind::Responses, thinking(None, Some(2000)), "`reasoning.effort`"),
        (Kind::Ollama, thinking(None, Some(2000)), "`reasoning.effort`"),
        (Kind::Anthropic, thinking(None, Some(1000)), "1,024 tokens"),
        (Kind::Anthropic, few(thinking(None, None), 500), ""),
        (
            Kind::Anthropic,
            cool(thinking(None, Some(2000))),
            "`sampling.temperature`",
        ),
    ] {
        let server = Server::start(vec![stream_of(kind, &fixture(kind, "text"))]).await;
        let opened = provider_of(kind, &server).open(&request).await;
        let Err(error) = opened else {
            assert_eq!(said, "", "{kind:?}");
            continue;
        };
        assert_eq!(error.kind, LlmErrorKind::BadRequest, "{kind:?}");
        assert!(
            !said.is_empty() && error.message.contains(said),
            "{kind:?}: {error}"
        );
        assert!(server.requests.lock().unwrap().is_empty(), "{kind:?}");
    }
}
