// The fold of PROTOCOL.md over messages read by `json.mjs`: every object is a Map.

import { Digits, compact, read } from "./json.mjs";

export const integer = (digits) => Number(digits.text);

/** The names of a JSON Pointer (RFC 6901). */
function segments(pointer) {
  if (!/^(\/([^~/]|~[01])*)*$/.test(pointer)) throw new Error(`no pointer: ${pointer}`);
  return pointer.split("/").slice(1).map((s) => s.replaceAll("~1", "/").replaceAll("~0", "~"));
}

/** The key under which `parent` holds a name; `room` 1 lets an index be one behind the last. */
function key(parent, name, room = 0) {
  if (parent instanceof Map) return name;
  if (Array.isArray(parent) && /^(0|[1-9]\d*)$/.test(name) && Number(name) < parent.length + room) return Number(name);
  throw new Error(`${name} leads nowhere`);
}

const get = (parent, name) => (parent instanceof Map ? parent.get(name) : parent[key(parent, name)]);

/** The pointer that a place of a patch means (PROTOCOL.md §5). */
function whole(cursor, place) {
  const [, up, pointer] = place.match(/^(0|[1-9]\d*)?(|\/.*)$/s) ?? [];
  if (pointer === undefined) throw new Error(`no place: ${place}`);
  if (up === undefined) return place;
  const names = cursor?.split("/") ?? [];
  if (Number(up) >= names.length) throw new Error(`${place} does not fit ${cursor}`);
  return names.slice(0, names.length - Number(up)).join("/") + pointer;
}

/** The state of one job; without a status there is none. */
export class Draft {
  root = new Map(); // the value lies under "", so that the root is set and removed like any member
  cursor; at = []; status; attempt = new Digits("0"); attempts = []; epoch; seq; parts = [];

  change(op) {
    const code = op.length === 3 ? integer(op[2]) : undefined;
    const pointer = op.length === 1 ? this.cursor : whole(this.cursor, op[0]);
    if (typeof pointer !== "string") throw new Error(`no place: ${compact(op)}`);
    const names = ["", ...segments(pointer)], last = names.pop();
    const parent = names.reduce(get, this.root), at = key(parent, last, code === 0 ? 1 : 0);
    const old = parent instanceof Map ? parent.get(at) : parent[at];
    const put = (v) => (parent instanceof Map ? parent.set(at, v) : (parent[at] = v));
    if (code === 0) put(op[1]);
    else if (code === 1 && op[1] === null && old !== undefined) parent instanceof Map ? parent.delete(at) : parent.splice(at, 1);
    else if (op.length < 3 && typeof old === "string" && typeof op.at(-1) === "string") put(old + op.at(-1));
    else throw new Error(`an op that does not fit: ${compact(op)}`);
    this.cursor = code === 1 ? undefined : pointer;
  }

  /** A message as it can be folded: the parts of a snapshot put together, undefined until the last has come. */
  whole(m) {
    if (!m.has("part")) return m;
    if (integer(m.get("part")) === 1) this.parts = [];
    this.parts.push(m);
    if (integer(m.get("part")) < integer(m.get("parts"))) return undefined;
    return new Map(this.parts[0]).set("value", read(this.parts.map((part) => part.get("text")).join("")));
  }

  fold(m) {
    const kind = (m.get("type") ?? "job.patch").slice("job.".length);
    if (this.status === undefined && kind !== "accepted" && kind !== "snapshot") throw new Error("there is no state");
    if (kind === "snapshot") {
      this.root = new Map(m.has("value") ? [["", m.get("value")]] : []);
      [this.status, this.attempt, this.attempts] = [m.get("status"), m.get("attempt"), [...m.get("attempts")]];
      [this.cursor, this.at] = [m.get("cursor"), m.get("at")];
    } else if (kind === "patch") {
      for (const op of m.get("o") ?? m.get("ops")) this.change(op);
      const at = m.get("at") instanceof Digits ? [m.get("at").text] : m.get("at");
      this.at = at?.map((place) => whole(this.cursor, place)) ?? this.at;
    } else if (kind === "attempt") {
      const told = [["n", m.get("attempt")], ["reason", m.get("reason")], ["errors", m.get("errors")]];
      this.attempts.push(new Map(told.filter(([, v]) => v !== undefined)));
      if (m.get("reset")) this.root = new Map();
      [this.attempt, this.cursor, this.at] = [m.get("attempt"), undefined, m.get("reset") ? [] : m.get("at") ?? []];
    } else if (kind === "accepted") Object.assign(this, new Draft(), { status: "queued" });
    else if (kind === "status") this.status = m.get("status");
    else if (kind !== "note") [this.status, this.at] = [kind, []];
    this.epoch = m.get("epoch") ?? this.epoch;
    this.seq = integer(m.get("s") ?? m.get("seq"));
  }

  get shown() { return this.root.has(""); }
  get value() { return this.root.get(""); }

  /** The whole state in one line, as `proto/vectors/fold` writes it. */
  text() {
    if (this.status === undefined) return "null";
    const { epoch, seq, status, attempt, attempts, value, cursor, at } = this;
    const state = Object.entries({ epoch, seq, status, attempt, attempts, value, cursor, at });
    return compact(new Map(state.filter(([, v]) => v !== undefined)));
  }
}
