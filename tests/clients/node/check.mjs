// One job seen by three viewers over the npm package `ws`: one stays, one is torn off and resumes, one is late.
// Then one whose second attempt mends the bad places alone: what stood beside them must still stand.

import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { EventEmitter, once } from "node:events";
import { readFileSync } from "node:fs";
import { WebSocket } from "ws";
import { Draft } from "./draft.mjs";
import { compact, read } from "./json.mjs";

const ENDS = new Set(["job.completed", "job.failed", "job.cancelled", "job.incomplete"]);
const STATE = new Set([...ENDS, "job.snapshot", "job.patch", "job.status", "job.attempt", "job.note"]);
const GUARD_MS = 120_000;
// Sent as it is written: `JSON.parse` would put the schema's members "10" and "2" first.
const REQUEST = readFileSync(new URL("../request.json", import.meta.url), "utf8");
const MENDED = REQUEST.replace('"reask": "whole"', '"reask": "auto"');

/** What all viewers saw: the state at each position, and who waits for the log to be somewhere. */
class Log extends EventEmitter {
  states = new Map();
  seq = 0;
  attempt = 0;

  saw({ epoch, seq, attempts }, text) {
    const position = `${epoch}.${seq}`;
    const known = this.states.get(position) ?? text;
    assert.equal(text, known, `two states at ${position}`);
    this.states.set(position, text);
    this.seq = Math.max(this.seq, seq);
    this.attempt = Math.max(this.attempt, attempts.length);
    this.emit("moved");
  }

  async until(condition) {
    while (!condition()) await once(this, "moved");
  }
}

/** One socket whose messages are read one after the other. */
class Socket {
  #waiting = [];
  #wake = () => {};

  constructor(url) {
    this.ws = new WebSocket(url, "livedraft.v1.json");
    this.ws.on("message", (data) => (this.#waiting.push(read(data.toString("utf8"))), this.#wake()));
    this.ws.on("close", (code) => (this.#waiting.push(new Error(`closed with ${code}`)), this.#wake()));
    this.ws.on("error", (fault) => (this.#waiting.push(fault), this.#wake()));
  }

  static async open(url) {
    const socket = new Socket(url);
    assert.equal((await socket.next()).get("type"), "welcome");
    return socket;
  }

  async next() {
    while (this.#waiting.length === 0) await new Promise((done) => (this.#wake = done));
    const message = this.#waiting.shift();
    if (message instanceof Error) throw message;
    return message;
  }

  send(message) { this.ws.send(JSON.stringify(message)); }

  /** Sends a request; the next message must be its answer. `text` is JSON for the member `request`. */
  async ask(message, kind, text) {
    const head = JSON.stringify({ ...message, ref: "r" });
    this.ws.send(text === undefined ? head : `${head.slice(0, -1)},"request":${text}}`);
    const answer = await this.next();
    assert.deepEqual([answer.get("type"), answer.get("ref")], [kind, "r"], compact(answer));
    return answer;
  }
}

/** One viewer's state, carried from socket to socket. */
class Viewer {
  draft = new Draft();
  ends = [];
  patches = 0;
  snapshots = 0;
  resets = [];

  constructor(name, log) { Object.assign(this, { name, log }); }

  take(m) {
    const type = m.get("type");
    assert.notEqual(type, "error", `${this.name}: ${compact(m)}`);
    if (m.has("j")) assert.equal(m.get("j"), this.tag, `${this.name}: a patch with another tag`);
    else if (!STATE.has(type)) return;
    m = this.draft.whole(m);
    if (m === undefined) return;
    assert.equal(this.ends.length, 0, `${this.name}: after the end came ${compact(m)}`);
    const before = this.draft.seq ?? 0;
    this.draft.fold(m);
    assert.ok(before < this.draft.seq, `${this.name}: seq fell from ${before}: ${compact(m)}`);
    this.patches += m.has("o") || m.has("ops");
    this.snapshots += type === "job.snapshot";
    if (type === "job.attempt") this.resets.push(m.get("reset"));
    if (ENDS.has(type)) this.ends.push(m);
    this.log.saw(this.draft, this.draft.text());
  }

  /** Folds until the end, and past it to a `pong`: nothing of the job may come between. */
  async follow(socket, stop = () => false) {
    while (this.ends.length === 0 && !stop()) this.take(await socket.next());
    if (this.ends.length === 0) return;
    socket.send({ type: "ping" });
    for (let m = await socket.next(); m.get("type") !== "pong"; m = await socket.next()) this.take(m);
  }

  async attach(socket, job, resumed) {
    const position = resumed ? { epoch: this.draft.epoch, seq: this.draft.seq } : undefined;
    const answer = await socket.ask({ type: "job.attach", job_id: job, position }, "job.attached");
    assert.equal(answer.get("resumed"), resumed, `${this.name}: ${compact(answer)}`);
    this.tag = answer.get("tag");
  }
}

/** Watches, loses its TCP connection in mid-draft, and resumes once the others are ahead. */
async function torn(url, job, viewer, log) {
  const before = await Socket.open(url);
  await viewer.attach(before, job, false);
  await viewer.follow(before, () => viewer.patches >= 12 && viewer.draft.shown);
  before.ws.terminate();
  const { patches, snapshots, draft: { seq } } = viewer;
  await log.until(() => log.seq >= seq + 8);
  const after = await Socket.open(url);
  await viewer.attach(after, job, true);
  await viewer.follow(after);
  after.ws.close();
  assert.equal(viewer.snapshots, snapshots, "a resumed viewer was sent a snapshot");
  assert.ok(viewer.patches > patches, "the resumed viewer was sent no patch");
  return seq;
}

/** Comes when the second attempt is under way. */
async function late(url, job, viewer, log) {
  await log.until(() => log.attempt >= 2);
  const start = log.seq;
  await log.until(() => log.seq >= start + 10);
  const socket = await Socket.open(url);
  await viewer.attach(socket, job, false);
  await viewer.follow(socket);
  socket.ws.close();
  assert.ok(viewer.snapshots >= 1, "the late viewer got no snapshot");
}

/** Every viewer ended once, completed, in the value that the server names. */
function judge(viewers, state) {
  const text = compact(viewers[0].draft.value);
  const digest = createHash("sha256").update(text, "utf8").digest("hex");
  for (const { name, ends, draft } of viewers) {
    assert.equal(ends.length, 1, `${name}: ${ends.length} ends`);
    assert.equal(ends[0].get("type"), "job.completed", `${name}: ${compact(ends[0])}`);
    assert.equal(compact(draft.value), text, `${name} holds another value`);
    assert.equal(ends[0].get("sha256"), digest, `${name}: the end's sha256`);
    assert.deepEqual(draft.attempts.map((a) => a.get("reason")), ["first", "invalid"], name);
    assert.ok(draft.attempts[1].get("errors")?.length > 0, `${name}: the re-ask tells no errors`);
  }
  assert.equal(compact(state.get("value")), text, "job.get has another value than the fold");
  assert.deepEqual([...viewers[0].draft.value.keys()].slice(2, 4), ["10", "2"], "order of arrival");
  return digest;
}

/** A job that keeps its draft while the bad places are asked for again. */
async function mended(url) {
  const viewer = new Viewer("mended", new Log());
  const socket = await Socket.open(url);
  const accepted = await socket.ask({ type: "job.create", idempotency_key: randomUUID() }, "job.accepted", MENDED);
  viewer.tag = accepted.get("tag");
  viewer.draft.fold(accepted);
  await viewer.follow(socket);
  const state = await socket.ask({ type: "job.get", job_id: accepted.get("job_id") }, "job.state");
  socket.ws.close();
  judge([viewer], state);
  assert.deepEqual(viewer.resets, [true, false], "the re-ask keeps the draft");
}

async function run(base) {
  const url = `${base.replace(/^http/, "ws")}/v1/ws`;
  await mended(url);
  const log = new Log();
  const [first, second, third] = ["first", "torn", "late"].map((name) => new Viewer(name, log));
  const socket = await Socket.open(url);
  const create = { type: "job.create", idempotency_key: randomUUID() };
  const accepted = await socket.ask(create, "job.accepted", REQUEST);
  const job = accepted.get("job_id");
  first.tag = accepted.get("tag");
  first.draft.fold(accepted);
  const [resumed] = await Promise.all([
    torn(url, job, second, log), late(url, job, third, log), first.follow(socket),
  ]);
  const state = await socket.ask({ type: "job.get", job_id: job }, "job.state");
  socket.ws.close();
  const digest = judge([first, second, third], state);
  assert.ok(first.patches >= 30, `only ${first.patches} patches: this was no stream`);
  console.log(`node, ws: completed after ${first.draft.attempts.length} attempts, ${first.patches} patches; resumed after `
    + `seq ${resumed}; ${log.states.size} states equal among 3 viewers; sha256 ${digest.slice(0, 12)}`);
}

const fail = (fault) => {
  console.error(`node: FAILED: ${fault?.message ?? fault}`);
  process.exit(1);
};
setTimeout(() => fail(`no end within ${GUARD_MS} ms`), GUARD_MS).unref();
run(process.argv[2]).catch(fail);
