// A small OpenAI-compatible endpoint over a real model on the processor: streamed chat completions, one at a time.
// Tool arguments and `response_format` are held to their schema by a grammar, unless GRAMMAR=0 or the model's name
// ends in `-free`. Settings: GGUF (the model's file), PORT (0: any), THREADS, CONTEXT (tokens).

import { createServer } from "node:http";
import { LlamaCompletion, LlamaLogLevel, getLlama } from "node-llama-cpp";

const { GGUF, PORT = "0", THREADS = "1", CONTEXT = "4096", GRAMMAR = "1" } = process.env;
const MODEL = "smollm2";
const BODY_BYTES_MAX = 1 << 20;
const TOKENS_DEFAULT = 400;

const llama = await getLlama({ gpu: false, build: "never", logLevel: LlamaLogLevel.error });
const model = await llama.loadModel({ modelPath: GGUF });
const context = await model.createContext({ contextSize: Number(CONTEXT), threads: Number(THREADS) });
const sequence = context.getSequence();
const completion = new LlamaCompletion({ contextSequence: sequence });
let last = Promise.resolve(); // the model's one thread: each answer waits for the one before

class Refusal extends Error {
  constructor(status, code, message) { super(message); Object.assign(this, { status, code }); }
}

const words = (content) => Array.isArray(content) ? content.map((part) => part.text ?? "").join("") : content ?? "";

/** The conversation in ChatML, open for the assistant's answer. */
function prompt({ messages, tools }) {
  const turns = messages.map(({ role, content, tool_calls: calls = [] }) => {
    const speaker = { developer: "system", tool: "user" }[role] ?? role;
    return [speaker, words(content) + calls.map((call) => call.function.arguments).join("\n")];
  });
  if (tools) turns.unshift(["system", `Answer with the JSON arguments of: ${JSON.stringify(tools[0].function)}`]);
  return turns.map(([role, text]) => `<|im_start|>${role}\n${text}<|im_end|>\n`).join("") + "<|im_start|>assistant\n";
}

async function grammar({ model: name, tools, response_format: format }) {
  if (GRAMMAR === "0" || name.endsWith("-free")) return undefined;
  if (tools) return llama.createGrammarForJsonSchema(tools[0].function.parameters);
  if (format?.type === "json_schema") return llama.createGrammarForJsonSchema(format.json_schema.schema);
  return format?.type === "json_object" ? llama.getGrammarFor("json") : undefined;
}

/** Runs the model; `tell` gets each piece of text. */
async function answer(request, signal, tell) {
  const input = model.tokenize(prompt(request), true);
  const room = Number(CONTEXT) - input.length - 1;
  if (room < 1) throw new Refusal(400, "context_length_exceeded", `the prompt has ${input.length} tokens`);
  await sequence.clearHistory();
  let output = 0;
  const done = await completion.generateCompletionWithMeta(input, {
    signal,
    grammar: await grammar(request),
    maxTokens: Math.min(room, request.max_completion_tokens ?? request.max_tokens ?? TOKENS_DEFAULT),
    temperature: request.temperature ?? 0.7,
    topP: request.top_p ?? 0.95,
    seed: request.seed,
    customStopTriggers: request.stop && [request.stop].flat(),
    repeatPenalty: { penalty: 1.1 },
    onTextChunk: tell,
    onToken: (tokens) => (output += tokens.length),
  });
  const cut = done.metadata.stopReason === "maxTokens";
  const usage = { prompt_tokens: input.length, completion_tokens: output, total_tokens: input.length + output };
  return { usage, finish: cut ? "length" : request.tools ? "tool_calls" : "stop" };
}

async function body(request) {
  const chunks = [];
  let size = 0;
  for await (const chunk of request) {
    if ((size += chunk.length) > BODY_BYTES_MAX) throw new Refusal(413, "too_large", "the body is too large");
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString("utf8"));
}

async function chat(request, response) {
  const asked = await body(request);
  if (asked.stream !== true) throw new Refusal(400, "bad_request", "only streams are served");
  const gone = new AbortController();
  response.on("close", () => gone.abort());
  const id = `chatcmpl-${Date.now()}`;
  const send = (rest) => response.write(
    `data: ${JSON.stringify({ id, object: "chat.completion.chunk", created: 0, model: asked.model, ...rest })}\n\n`);
  const choice = (delta, finish_reason = null) => send({ choices: [{ index: 0, delta, finish_reason }] });
  const begin = () => {
    response.writeHead(200, { "content-type": "text/event-stream" });
    const { name } = asked.tools?.[0].function ?? {};
    const call = { index: 0, id: "call_1", type: "function", function: { name, arguments: "" } };
    choice({ role: "assistant", content: null, ...(name && { tool_calls: [call] }) });
  };
  const tell = (text) => {
    if (!response.headersSent) begin();
    choice(asked.tools ? { tool_calls: [{ index: 0, function: { arguments: text } }] } : { content: text });
  };
  const turn = last.then(() => answer(asked, gone.signal, tell));
  last = turn.catch(() => {});
  const { usage, finish } = await turn;
  if (!response.headersSent) begin();
  choice({}, finish);
  if (asked.stream_options?.include_usage) send({ choices: [], usage });
  response.end("data: [DONE]\n\n");
}

const refuse = (response, fault) => {
  if (response.destroyed) return;
  if (response.headersSent) return response.destroy();
  const { status = 500, code = "server_error", message } = fault;
  response.writeHead(status, { "content-type": "application/json" });
  response.end(JSON.stringify({ error: { message, code, type: code } }));
};

const server = createServer((request, response) => {
  const path = request.url.split("?")[0];
  if (request.method === "POST" && path === "/v1/chat/completions") {
    chat(request, response).catch((fault) => refuse(response, fault));
  } else if (path === "/v1/models") {
    response.end(JSON.stringify({ object: "list", data: [MODEL, `${MODEL}-free`].map((name) => ({ id: name, object: "model" })) }));
  } else refuse(response, new Refusal(404, "not_found", "only /v1/chat/completions and /v1/models"));
});
server.listen(Number(PORT), "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}/v1`));
process.on("SIGTERM", () => process.exit(0));
