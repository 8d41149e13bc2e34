"""The fold that PROTOCOL.md §6 shows in Python, taken from the page as it stands, against the vectors it trusts."""

import decimal
import json
import pathlib
import re
import sys

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
page = {}
exec(re.search("```python\n(.*?)```", (PROTO / "PROTOCOL.md").read_text(encoding="utf-8"), re.DOTALL)[1], page)


def read(text):
    return json.loads(text, parse_float=decimal.Decimal)


def told(state):
    return {k: v for k, v in state.items() if v is not page["ABSENT"] and (k, v) != ("cursor", None)}


def run(vector):
    """Folds up to the first message that must not fit: the page's code trusts its input."""
    state, text, steps = {}, "", 0
    for step in vector["steps"]:
        if step.get("misfit"):
            return steps
        message = step["message"]
        if "part" in message:
            text = message["text"] if message["part"] == 1 else text + message["text"]
            first = message if message["part"] == 1 else first
            if message["part"] < message["parts"]:
                continue
            message = first | {"value": read(text)}
        state = page["fold"](state, message)
        if told(state) != step["state"]:
            sys.exit(f"page: FAILED: {vector['name']}, step {steps + 1}:\n{told(state)}\nis not\n{step['state']}")
        steps += 1
    return steps


steps = [run(read(file.read_text(encoding="utf-8"))) for file in sorted((PROTO / "vectors/fold").glob("*.json"))]
if sum(steps) < 100:
    sys.exit(f"page: FAILED: only {sum(steps)} steps were folded")
print(f"the page's Python: {len(steps)} fold vectors, {sum(steps)} steps")
