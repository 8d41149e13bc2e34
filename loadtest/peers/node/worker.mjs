// AI SDK: streams the partial object of each job. `snapshots` publishes the whole of it at every change, `deltas` the
// model's text, which viewers have to parse again themselves. Publishing is awaited: without that, memory has no bound.

import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { jsonSchema, streamObject } from "ai";
import { Worker } from "bullmq";
import { MODEL_URL, QUEUE, SHAPES, channel, redis } from "./shared.mjs";

const deltas = process.argv[2] === "deltas";
const provider = createOpenAICompatible({
  name: "load",
  baseURL: MODEL_URL,
  supportsStructuredOutputs: true,
});
const publisher = redis();

async function work({ data: { job, shape } }) {
  const name = channel(job);
  const publish = (message) => publisher.publish(name, JSON.stringify(message));
  let failed;
  const stream = streamObject({
    model: provider("load"),
    schema: jsonSchema(SHAPES[shape]),
    prompt: "go",
    onError: ({ error }) => (failed = error),
  });
  const end = stream.object.catch((error) => (failed ??= error));
  if (deltas) {
    for await (const text of stream.textStream) await publish({ text });
  } else {
    for await (const value of stream.partialObjectStream) await publish({ value });
  }
  await end;
  await publish(failed ? { end: "failed", error: String(failed).slice(0, 200) } : { end: "completed" });
}

const worker = new Worker(QUEUE, work, { connection: redis(), concurrency: 512 });
await worker.waitUntilReady();
console.log("ready");
