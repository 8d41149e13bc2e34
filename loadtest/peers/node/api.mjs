// ws and BullMQ: takes jobs over a WebSocket, passes on what the worker publishes. One Redis subscriber for all sockets.

import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { Queue } from "bullmq";
import { WebSocketServer } from "ws";
import { QUEUE, channel, listening, redis } from "./shared.mjs";

const queue = new Queue(QUEUE, { connection: redis() });
const subscriber = redis();
const watchers = new Map();

subscriber.on("message", (name, text) => {
  for (const socket of watchers.get(name) ?? []) socket.send(text);
});

async function watch(socket, job) {
  const name = channel(job);
  let sockets = watchers.get(name);
  if (!sockets) {
    watchers.set(name, (sockets = new Set()));
    await subscriber.subscribe(name);
  }
  sockets.add(socket);
  socket.on("close", () => {
    sockets.delete(socket);
    if (sockets.size === 0 && watchers.delete(name)) subscriber.unsubscribe(name);
  });
}

const server = createServer();
const sockets = new WebSocketServer({ server, path: "/ws", perMessageDeflate: false });
sockets.on("connection", (socket) => {
  socket.on("message", async (text) => {
    const asked = JSON.parse(text);
    const job = asked.watch ?? randomUUID();
    await watch(socket, job);
    socket.send(JSON.stringify({ job }));
    if (asked.create) {
      const options = { removeOnComplete: true, removeOnFail: true };
      await queue.add("extract", { job, shape: asked.create }, options);
    }
  });
});
listening(server);
