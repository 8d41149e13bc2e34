// The fold of `draft.mjs` against every vector of `proto/vectors/fold`.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { Draft } from "./draft.mjs";
import { compact, read } from "./json.mjs";

const FOLDER = new URL("../../../proto/vectors/fold/", import.meta.url);

/** Folds one message; the fault of one that does not fit. */
function take(draft, message) {
  try {
    const whole = draft.whole(message);
    if (whole !== undefined) draft.fold(whole);
  } catch (fault) {
    return fault;
  }
}

function run(vector) {
  let draft = new Draft();
  vector.get("steps").forEach((step, index) => {
    const place = `${vector.get("name")}, step ${index + 1}`;
    const fault = take(draft, step.get("message"));
    if (step.get("misfit")) {
      assert.ok(fault, `${place}: it fits, but must not`);
      draft = new Draft();
    } else {
      assert.equal(fault, undefined, place);
      assert.equal(draft.text(), compact(step.get("state")), place);
    }
  });
  return vector.get("steps").length;
}

try {
  const files = readdirSync(FOLDER).filter((name) => name.endsWith(".json")).sort();
  assert.ok(files.length > 0, "no vectors");
  const steps = files.map((name) => run(read(readFileSync(new URL(name, FOLDER), "utf8"))));
  console.log(`node: ${files.length} fold vectors, ${steps.reduce((a, b) => a + b)} steps`);
} catch (fault) {
  console.error(`node: FAILED: ${fault?.message ?? fault}`);
  process.exitCode = 1;
}
