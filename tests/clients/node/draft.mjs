// The fold of PROTOCOL.md over messages read by `json.mjs`: every object is a Map.

import { Digits, compact } from "./json.mjs";

const segments = (pointer) => pointer.split("/").slice(1).map((s) => s.replaceAll("~1", "/").replaceAll("~0", "~"));
export const integer = (digits) => Number(digits.text);

export class Draft {
  root = new Map(); // the value lies under "", so that the root is set and removed like any member
  cursor; at = []; status; attempts = []; epoch; seq;

  change(op) {
    const code = op.length === 3 ? integer(op[2]) : undefined;
    const pointer = op.length === 1 ? this.cursor : op[0];
    const names = ["", ...segments(pointer)], last = names.pop();
    const parent = names.reduce((v, name) => (v instanceof Map ? v.get(name) : v[Number(name)]), this.root);
    const old = parent instanceof Map ? parent.get(last) : parent[Number(last)];
    const put = (v) => (parent instanceof Map ? parent.set(last, v) : (parent[Number(last)] = v));
    if (code === 0 && (parent instanceof Map || Number(last) <= parent.length)) put(op[1]);
    else if (code === 1 && old !== undefined) parent instanceof Map ? parent.delete(last) : parent.splice(Number(last), 1);
    else if (code === undefined && typeof old === "string") put(old + op.at(-1));
    else throw new Error(`an op that does not fit: ${compact(op)}`);
    this.cursor = code === 1 ? undefined : pointer;
  }

  fold(m) {
    const kind = (m.get("type") ?? "job.patch").slice("job.".length);
    if (kind === "snapshot") {
      this.root = new Map(m.has("value") ? [["", m.get("value")]] : []);
      [this.status, this.attempts] = [m.get("status"), [...m.get("attempts")]];
      [this.cursor, this.at] = [m.get("cursor"), m.get("at")];
    } else if (kind === "patch") {
      for (const op of m.get("o") ?? m.get("ops")) this.change(op);
      this.at = m.get("at") ?? this.at;
    } else if (kind === "attempt") {
      const told = [["n", m.get("attempt")], ["reason", m.get("reason")], ["errors", m.get("errors")]];
      this.attempts.push(new Map(told.filter(([, v]) => v !== undefined)));
      if (m.get("reset")) this.root = new Map();
      [this.cursor, this.at] = [undefined, m.get("reset") ? [] : m.get("at") ?? []];
    } else if (kind === "status") this.status = m.get("status");
    else if (kind === "accepted") this.status = "queued";
    else if (kind !== "note") [this.status, this.at] = [kind, []];
    this.epoch = m.get("epoch") ?? this.epoch;
    this.seq = integer(m.get("s") ?? m.get("seq"));
  }

  get shown() { return this.root.has(""); }
  get value() { return this.root.get(""); }

  /** The whole state in one line, to be compared with another viewer's. */
  text() {
    const state = { status: this.status, attempts: this.attempts, cursor: this.cursor, at: this.at, value: this.value };
    return compact(new Map(Object.entries(state).filter(([, v]) => v !== undefined)));
  }
}
