// BullMQ alone: how fast empty jobs are claimed and finished. Usage: node queue.mjs JOBS CONCURRENCY

import { Queue, Worker } from "bullmq";
import { redis } from "./shared.mjs";

const [jobs, concurrency] = process.argv.slice(2).map(Number);
const name = "empty";
const queue = new Queue(name, { connection: redis() });
const options = { removeOnComplete: true };
for (let at = 0; at < jobs; at += 1_000) {
  const part = Array.from({ length: Math.min(1_000, jobs - at) }, () => ({ name, data: {}, opts: options }));
  await queue.addBulk(part);
}
const began = process.hrtime.bigint();
const cpu = process.cpuUsage();
let done = 0;
await new Promise((resolve) => {
  const worker = new Worker(name, async () => {}, { connection: redis(), concurrency });
  worker.on("completed", () => ++done === jobs && resolve());
});
const seconds = Number(process.hrtime.bigint() - began) / 1e9;
const { user, system } = process.cpuUsage(cpu);
console.log(JSON.stringify({ jobs, seconds, cpu_seconds: (user + system) / 1e6 }));
process.exit(0);
