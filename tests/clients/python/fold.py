"""The client's side of PROTOCOL.md in small: numbers with their digits, the fold, compact JSON."""

import json
import re
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


def segments(pointer):
    """The names of a JSON Pointer (RFC 6901)."""
    if not re.fullmatch("(/([^~/]|~[01])*)*", pointer):
        raise ValueError(f"no pointer: {pointer}")
    return [s.replace("~1", "/").replace("~0", "~") for s in pointer.split("/")[1:]]


def key(parent, name, room=0):
    """The key under which `parent` holds a name; `room` 1 lets an index be one behind the last."""
    if isinstance(parent, dict):
        return name
    if isinstance(parent, list) and re.fullmatch("0|[1-9][0-9]*", name) and int(name) < len(parent) + room:
        return int(name)
    raise ValueError(f"{name} leads nowhere")


def whole(cursor, place):
    """The pointer that a place of a patch means (PROTOCOL.md §5)."""
    up, pointer = re.fullmatch("(0|[1-9][0-9]*)?(|/.*)", place, re.DOTALL).groups()
    if up is None:
        return place
    if int(up) > cursor.count("/"):
        raise ValueError(f"{place} does not fit {cursor}")
    return cursor.rsplit("/", int(up))[0] + pointer


class Draft:
    """The state of one job. `tree` is `[value]`, or `[]` while nothing is shown; without a status there is no state."""

    def __init__(self):
        self.position, self.tree, self.cursor, self.at = None, [], None, []
        self.status, self.attempt, self.attempts, self.parts = None, Number("0"), [], []

    def change(self, op):
        code = integer(op[2]) if len(op) == 3 else None
        pointer = self.cursor if len(op) == 1 else whole(self.cursor, op[0])
        parent, (*path, last) = self.tree, ["0", *segments(pointer)]
        for name in path:
            parent = parent[key(parent, name)]
        at = key(parent, last, room=code == 0)
        if code == 1 and op[1] is None:
            del parent[at]
        elif code == 0 and isinstance(parent, list) and at == len(parent):
            parent.append(op[1])
        elif code == 0:
            parent[at] = op[1]
        elif len(op) < 3 and isinstance(parent[at], str) and isinstance(op[-1], str):
            parent[at] += op[-1]
        else:
            raise ValueError(f"an op that does not fit: {op}")
        self.cursor = None if code == 1 else pointer

    def whole(self, m):
        """A message as it can be folded: the parts of a snapshot put together, `None` until the last has come."""
        if "part" not in m:
            return m
        self.parts = [m] if integer(m["part"]) == 1 else [*self.parts, m]
        if integer(m["part"]) < integer(m["parts"]):
            return None
        return self.parts[0] | {"value": read("".join(p["text"] for p in self.parts))}

    def fold(self, m):
        kind = m.get("type", "job.patch").removeprefix("job.")
        if self.status is None and kind not in ("accepted", "snapshot"):
            raise ValueError(f"there is no state: {m}")
        if kind == "snapshot":
            self.tree = [m["value"]] if "value" in m else []
            self.status, self.attempt, self.attempts = m["status"], m["attempt"], list(m["attempts"])
            self.cursor, self.at = m.get("cursor"), m["at"]
        elif kind == "patch":
            for op in m["o"] if "o" in m else m["ops"]:
                self.change(op)
            if "at" in m:
                places = [m["at"].digits] if isinstance(m["at"], Number) else m["at"]
                self.at = [whole(self.cursor, place) for place in places]
        elif kind == "attempt":
            kept = {"n": m["attempt"], "reason": m["reason"], "errors": m.get("errors")}
            self.attempts.append({k: v for k, v in kept.items() if v is not None})
            self.attempt, self.tree = m["attempt"], [] if m["reset"] else self.tree
            self.cursor, self.at = None, [] if m["reset"] else m.get("at", [])
        elif kind == "accepted":
            self.__init__()
            self.status = "queued"
        elif kind == "status":
            self.status = m["status"]
        elif kind != "note":
            self.status, self.at = kind, []
        epoch = m["epoch"] if "epoch" in m else self.position[0]
        self.position = (epoch, integer(m["s"] if "s" in m else m["seq"]))

    def text(self):
        """The whole state in one line, as `proto/vectors/fold` writes it."""
        if self.status is None:
            return "null"
        state = dict(zip(("epoch", "seq"), self.position))
        state |= {"status": self.status, "attempt": self.attempt, "attempts": self.attempts}
        state |= {"value": self.tree[0]} if self.tree else {}
        state |= {"cursor": self.cursor} if self.cursor is not None else {}
        return compact(state | {"at": self.at})
