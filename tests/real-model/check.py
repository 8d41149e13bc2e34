"""Jobs of a real small model, streamed through livedraft: what is asserted is shape and streaming, never facts."""

import asyncio
import json
import os
import pathlib
import sys
import time

import websockets

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "clients" / "python"))
from fold import Draft, compact, integer, read  # noqa: E402

ENDS = {"job.completed", "job.failed", "job.cancelled", "job.incomplete"}
STATE = ENDS | {"job.snapshot", "job.patch", "job.status", "job.attempt"}
GUARD_SECONDS = 420
INPUT = "Ada Lovelace, born in London in 1815, wrote the first published program, for Babbage's Analytical Engine."
SCHEMA = {
    "title": "person",
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "role", "works"],
    "properties": {
        "name": {"type": "string", "maxLength": 60},
        "role": {"enum": ["scientist", "artist", "politician"]},
        "works": {
            "type": "array",
            "minItems": 2,
            "maxItems": 3,
            "items": {"type": "string", "maxLength": 80},
        },
    },
}
# No grammar of the model holds an answer to this bound, so the year is asked for again, and the rest stays.
SPLICED = {
    "title": "person",
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "year"],
    "properties": {"name": {"type": "string", "maxLength": 60}, "year": {"type": "integer", "minimum": 100000}},
}


def claim(holds, words):
    if not holds:
        raise AssertionError(words)


class Job:
    """One job from create to end, and what was seen of it."""

    def __init__(self, name, mode, model, schema=SCHEMA):
        self.name, self.mode, self.model, self.schema = name, mode, model, schema
        self.begun = []
        self.draft, self.drafts, self.patches, self.first_change, self.end = Draft(), [], 0, None, None

    async def run(self, ws):
        request = {"model": self.model, "input": INPUT, "schema": self.schema, "mode": self.mode, "max_reasks": 1}
        request |= {"flush_ms": 0, "limits": {"tokens": 256}}
        began = time.monotonic()
        await ws.send(json.dumps({"type": "job.create", "ref": self.name, "request": request}))
        while not self.end:
            m = read(await ws.recv())
            claim(m.get("type") != "error", f"{self.name}: {m}")
            if "o" in m or m.get("type") in STATE | {"job.accepted"}:
                self.take(m, time.monotonic() - began)
        return self

    def take(self, m, seconds):
        self.draft.fold(m)
        if m.get("type") == "job.attempt":
            self.begun.append((m["reset"], m.get("at", []), compact(self.draft.tree[0]) if self.draft.tree else ""))
        if "o" in m or "ops" in m:
            self.patches += 1
            self.first_change = self.first_change or seconds
            text = compact(self.draft.tree[0]) if self.draft.tree else ""
            self.drafts += [text] if text not in self.drafts else []
        if m.get("type") in ENDS:
            self.end = m

    def judge(self, held):
        """`held`: the model could not but answer in the schema."""
        kind, reasons = self.end["type"], [a["reason"] for a in self.draft.attempts]
        claim(reasons[0] == "first" and set(reasons[1:]) <= {"invalid", "truncated", "astray"}, f"{self.name}: {reasons}")
        for attempt in self.draft.attempts[1:]:
            claim(attempt["reason"] != "invalid" or attempt.get("errors"), f"{self.name}: a re-ask without errors")
        if kind == "job.completed":
            value = self.draft.tree[0]
            claim(list(value) == ["name", "role", "works"] or not held, f"{self.name}: {compact(value)}")
            claim(set(value) == set(SCHEMA["required"]), f"{self.name}: {compact(value)}")
            claim(value["role"] in SCHEMA["properties"]["role"]["enum"], f"{self.name}: {compact(value)}")
            claim(2 <= len(value["works"]) <= 3, f"{self.name}: {compact(value)}")
        else:
            claim("error" in self.end, f"{self.name}: an end without its error")
        if held:
            claim(kind == "job.completed", f"{self.name}: {self.end}")
            claim(len(self.drafts) >= 5, f"{self.name}: {len(self.drafts)} distinct drafts are no stream")
        else:
            whole = kind == "job.completed" and len(reasons) == 1
            claim(whole or "invalid" in reasons or kind == "job.incomplete", f"{self.name}: {reasons}, {self.end}")
        claim(integer(self.end["usage"]["output_tokens"]) > 0, f"{self.name}: no usage in {self.end}")

    def judge_splice(self):
        """The name is told once: only the year is asked for again."""
        claim(self.end["type"] in {"job.completed", "job.failed", "job.incomplete"}, f"{self.name}: {self.end}")
        _, *again = self.begun
        claim(again, f"{self.name}: {self.end} without a re-ask")
        for reset, at, held in again:
            claim(not reset and at == ["/year"], f"{self.name}: reopened {at}, reset {reset}")
            claim('"name":' in held, f"{self.name}: {held}")
        names = {json.loads(draft).get("name") for _, _, draft in again}
        claim(len(names) == 1 and json.loads(compact(self.draft.tree[0]))["name"] in names, f"{self.name}: {names}")

    def row(self):
        code = self.end.get("error", {}).get("code", "")
        places = [f" of {' '.join(at)}" if not reset else "" for reset, at, _ in self.begun]
        places += [""] * (len(self.draft.attempts) - len(places))
        reasons = ", ".join(a["reason"] + place for a, place in zip(self.draft.attempts, places))
        first = f"{self.first_change * 1000:.0f} ms" if self.first_change else "-"
        tokens = self.end["usage"]["output_tokens"].digits
        end = self.end["type"].removeprefix("job.") + (f" ({code})" if code else "")
        return [self.name, reasons, str(self.patches), str(len(self.drafts)), tokens, first, end]


async def run(base):
    rows = [["mode", "attempts", "patches", "drafts", "tokens", "first change", "end"]]
    jobs = [
        (Job("tools", "tools", "smollm2"), True),
        (Job("json_schema", "json_schema", "smollm2"), True),
        (Job("auto", "auto", "smollm2"), True),
        (Job("tools_strict", "tools_strict", "smollm2"), False),
        (Job("json_schema_strict", "json_schema_strict", "smollm2"), False),
        (Job("json", "json", "smollm2"), False),
        (Job("md_json, no grammar", "md_json", "smollm2"), False),
        (Job("tools, no grammar", "tools", "smollm2-free"), False),
    ]
    async with websockets.connect(base.replace("http", "ws", 1) + "/v1/ws", subprotocols=["livedraft.v1.json"]) as ws:
        for job, held in jobs:
            rows.append((await job.run(ws)).row())
            print(f"{job.name}: {job.drafts[-1][:160] if job.drafts else 'nothing was shown'}")
            job.judge(held)
        splice = await Job("json_schema, one place", "json_schema", "smollm2", SPLICED).run(ws)
        rows.append(splice.row())
        splice.judge_splice()
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())


if __name__ == "__main__":
    asyncio.run(asyncio.wait_for(run(os.environ["LIVEDRAFT_URL"]), GUARD_SECONDS))
