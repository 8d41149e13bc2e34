"""The fold of `fold.py` against every vector of `proto/vectors/fold`."""

import pathlib
import sys

from fold import Draft, compact, read

FOLDER = pathlib.Path(__file__).resolve().parents[3] / "proto/vectors/fold"
MISFIT = (LookupError, TypeError, ValueError, AttributeError)


def run(vector):
    draft = Draft()
    for number, step in enumerate(vector["steps"], 1):
        place = f"{vector['name']}, step {number}"
        try:
            message = draft.whole(step["message"])
            if message is not None:
                draft.fold(message)
        except MISFIT as fault:
            if not step.get("misfit"):
                raise AssertionError(f"{place}: {fault!r}") from fault
            draft = Draft()
            continue
        if step.get("misfit"):
            raise AssertionError(f"{place}: it fits, but must not")
        if draft.text() != compact(step["state"]):
            raise AssertionError(f"{place}:\n{draft.text()}\nis not\n{compact(step['state'])}")
    return len(vector["steps"])


files = sorted(FOLDER.glob("*.json"))
try:
    steps = [run(read(file.read_text(encoding="utf-8"))) for file in files]
except AssertionError as fault:
    sys.exit(f"python: FAILED: {fault}")
if not files:
    sys.exit(f"python: FAILED: no vectors in {FOLDER}")
print(f"python: {len(files)} fold vectors, {sum(steps)} steps")
