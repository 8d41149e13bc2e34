// socket.io with its Redis streams adapter: relays the model's pieces as they come. No queue, no parsing, no validation:
// the floor for a relay in Node.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-streams-adapter";
import { Server } from "socket.io";
import { MODEL_URL, channel, listening, redis } from "./shared.mjs";

const server = createServer();
const io = new Server(server, {
  adapter: createAdapter(redis()),
  transports: ["websocket"],
  perMessageDeflate: false,
});

/// The data of each event of a response.
async function* events(response) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const bytes of response.body) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ")) yield line.slice(6);
  }
}

async function relay(job) {
  const room = io.to(channel(job));
  const response = await fetch(`${MODEL_URL}/chat/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model: "load", stream: true, messages: [{ role: "user", content: "go" }] }),
  });
  for await (const data of events(response)) {
    if (data === "[DONE]") break;
    const text = JSON.parse(data).choices[0].delta.content;
    if (text) room.emit("m", { text });
  }
  room.emit("m", { end: "completed" });
}

io.on("connection", (socket) => {
  socket.on("m", async (asked) => {
    const job = asked.watch ?? randomUUID();
    await socket.join(channel(job));
    socket.emit("m", { job });
    if (asked.create) {
      relay(job).catch((error) => io.to(channel(job)).emit("m", { end: "failed", error: String(error) }));
    }
  });
});
listening(server);
