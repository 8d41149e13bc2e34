//! The frames of long answers, as each kind of provider sends them, with all that stands beside the text.

use livedraft::llm::Kind;

/// What begins an answer whose value travels as text, and one of the frames that carry it on.
pub(crate) fn text(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::OpenAi => (
            "",
            "data: {\"id\":\"chatcmpl-9XvqyPa1F7dGQ2mJ8sTzKbVw\",\"object\":\"chat.completion.chunk\",\"created\":1795233600,\
             \"model\":\"gpt-4o-2024-08-06\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_50cad350e4\",\
             \"choices\":[{\"index\":0,\"delta\":{\"content\":\"name\\\": \\\"Ada\"},\"logprobs\":null,\
             \"finish_reason\":null}],\"usage\":null,\"obfuscation\":\"q7Yk2\"}\n\n",
        ),
        Kind::Anthropic => (
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
             \"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{\"type\":\"text_delta\",\"text\":\"name\\\": \\\"Ada\"}}\n\n",
        ),
        Kind::Gemini => (
            "",
            "data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"name\\\": \\\"Ada Lovelace\\\", \\\"born\"}],\
             \"role\": \"model\"},\"index\": 0}],\"usageMetadata\": {\"promptTokenCount\": 120,\
             \"candidatesTokenCount\": 14,\"totalTokenCount\": 134},\"modelVersion\": \"gemini-2.5-flash\",\
             \"responseId\": \"Zk3saKqRJ9-t1MkP4pWz6Qk\"}\r\n\r\n",
        ),
        Kind::Ollama => (
            "",
            "{\"model\":\"llama3.2\",\"created_at\":\"2026-11-21T12:00:00.123456789Z\",\
             \"message\":{\"role\":\"assistant\",\"content\":\"name\\\": \\\"Ada\"},\"done\":false}\n",
        ),
        Kind::Responses => (
            "",
            "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\
             \"sequence_number\":42,\"item_id\":\"msg_67c9fdcf3f3081918d9c4f2f9f\",\"output_index\":0,\
             \"content_index\":0,\"delta\":\"name\\\": \\\"Ada\",\"logprobs\":[],\"obfuscation\":\"q7Yk2\"}\n\n",
        ),
    }
}

/// The same where the value travels in the arguments of a call; `None` where calls come whole.
pub(crate) fn call(kind: Kind) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        Kind::OpenAi => (
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\
             \"type\":\"function\",\"function\":{\"name\":\"User\",\"arguments\":\"\"}}]}}]}\n\n",
            "data: {\"id\":\"chatcmpl-9XvqyPa1F7dGQ2mJ8sTzKbVw\",\"object\":\"chat.completion.chunk\",\"created\":1795233600,\
             \"model\":\"gpt-4o-2024-08-06\",\"system_fingerprint\":\"fp_50cad350e4\",\"choices\":[{\"index\":0,\
             \"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"call_1\",\
             \"function\":{\"arguments\":\"name\\\": \\\"Ada\"}}]},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
        ),
        Kind::Anthropic => (
            "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\
             \"content_block\":{\"type\":\"tool_use\",\"id\":\"toolu_1\",\"name\":\"User\",\"input\":{}}}\n\n",
            "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\
             \"delta\":{\"type\":\"input_json_delta\",\"partial_json\":\"name\\\": \\\"Ada\"}}\n\n",
        ),
        Kind::Responses => (
            "event: response.output_item.added\ndata: {\"type\":\"response.output_item.added\",\"output_index\":0,\
             \"item\":{\"type\":\"function_call\",\"id\":\"fc_1\",\"call_id\":\"call_1\",\"name\":\"User\",\
             \"arguments\":\"\"}}\n\n",
            "event: response.function_call_arguments.delta\ndata: {\"type\":\"response.function_call_arguments.delta\",\
             \"sequence_number\":42,\"item_id\":\"fc_1\",\"output_index\":0,\"delta\":\"name\\\": \\\"Ada\"}\n\n",
        ),
        Kind::Gemini | Kind::Ollama => return None,
    })
}
