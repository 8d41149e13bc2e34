// The fold that PROTOCOL.md §6 shows in JavaScript, taken from the page as it stands, against the vectors it trusts.

import assert from "node:assert"; // not the strict one: the page's objects have no prototype
import { readFileSync, readdirSync } from "node:fs";

const PROTO = new URL("../../../proto/", import.meta.url);
const code = readFileSync(new URL("PROTOCOL.md", PROTO), "utf8").match(/```js\n(.*?)```/s)[1];
const { fold } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

/** The state as the vectors write it: what is not there is not told. */
const told = (state) => Object.fromEntries(Object.entries(state).filter(([, member]) => member !== undefined));

/** Folds up to the first message that must not fit: the page's code trusts its input. */
function run({ name, steps }) {
  const state = {}, parts = [];
  let folded = 0;
  for (let { message, state: expected, misfit } of steps) {
    if (misfit) return folded;
    if (message.part) {
      if (message.part === 1) parts.length = 0;
      parts.push(message);
      if (message.part < message.parts) continue;
      message = { ...parts[0], value: JSON.parse(parts.map(({ text }) => text).join("")) };
    }
    fold(state, message);
    folded += 1;
    assert.deepEqual(told(state), expected, `${name}, step ${folded}`);
  }
  return folded;
}

try {
  const folder = new URL("vectors/fold/", PROTO);
  const files = readdirSync(folder).filter((name) => name.endsWith(".json")).sort();
  const steps = files.map((name) => run(JSON.parse(readFileSync(new URL(name, folder), "utf8"))));
  const total = steps.reduce((a, b) => a + b);
  assert.ok(total >= 100, `only ${total} steps were folded`);
  console.log(`the page's JavaScript: ${files.length} fold vectors, ${total} steps`);
} catch (fault) {
  console.error(`page: FAILED: ${fault?.message ?? fault}`);
  process.exitCode = 1;
}
