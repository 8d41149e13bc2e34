"""The client's side of PROTOCOL.md in small: numbers with their digits, the fold, compact JSON."""

import json
from dataclasses import dataclass


@dataclass(frozen=True)
class Number:
    """A number as it was written."""

    digits: str


def read(text):
    """A message, its numbers kept as written."""
    return json.loads(text, parse_int=Number, parse_float=Number)


def integer(number):
    return int(number.digits)


def compact(value):
    """The JSON over which an end's `sha256` is taken (PROTOCOL.md, "The ends")."""
    if isinstance(value, dict):
        return "{" + ",".join(compact(k) + ":" + compact(v) for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(compact, value)) + "]"
    return value.digits if isinstance(value, Number) else json.dumps(value, ensure_ascii=False)


class Draft:
    """The state of one job. `tree` is `[value]`, or `[]` while nothing is shown."""

    def __init__(self):
        self.position, self.tree, self.cursor, self.at = None, [], None, []
        self.status, self.attempts = None, []

    def change(self, op):
        code = integer(op[2]) if len(op) == 3 else None
        pointer = self.cursor if len(op) == 1 else op[0]
        steps = [s.replace("~1", "/").replace("~0", "~") for s in ("/0" + pointer).split("/")[1:]]
        parent = self.tree
        for s in steps[:-1]:
            parent = parent[int(s)] if isinstance(parent, list) else parent[s]
        key = int(steps[-1]) if isinstance(parent, list) else steps[-1]
        if code == 1:
            del parent[key]
        elif code == 0 and isinstance(parent, list) and key == len(parent):
            parent.append(op[1])
        elif code == 0:
            parent[key] = op[1]
        elif code is None and isinstance(parent[key], str):
            parent[key] += op[-1]
        else:
            raise ValueError(f"an op that does not fit: {op}")
        self.cursor = None if code == 1 else pointer

    def fold(self, m):
        kind = m.get("type", "job.patch").removeprefix("job.")
        if kind == "snapshot":
            self.tree = [m["value"]] if "value" in m else []
            self.status, self.attempts = m["status"], list(m["attempts"])
            self.cursor, self.at = m.get("cursor"), m["at"]
        elif kind == "patch":
            for op in m["o"] if "o" in m else m["ops"]:
                self.change(op)
            self.at = m.get("at", self.at)
        elif kind == "attempt":
            kept = {"n": m["attempt"], "reason": m["reason"], "errors": m.get("errors")}
            self.attempts.append({k: v for k, v in kept.items() if v is not None})
            self.tree = [] if m["reset"] else self.tree
            self.cursor, self.at = None, [] if m["reset"] else m.get("at", [])
        elif kind in ("accepted", "status", "completed", "failed", "cancelled", "incomplete"):
            self.status = {"accepted": "queued", "status": m.get("status")}.get(kind, kind)
            self.at = self.at if kind == "status" else []
        epoch = m["epoch"] if "epoch" in m else self.position[0]
        self.position = (epoch, integer(m["s"] if "s" in m else m["seq"]))

    def text(self):
        """The whole state in one line, to be compared with another viewer's."""
        state = {"status": self.status, "attempts": self.attempts, "cursor": self.cursor, "at": self.at}
        return compact(state | ({"value": self.tree[0]} if self.tree else {}))
