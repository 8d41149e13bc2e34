"""Writes the texts of the golden files as inputs of a fuzz target: seeds.py GOLDEN_FOLDER CORPUS_FOLDER."""

import json
import pathlib
import sys

# In front of the text stand two bytes of flags and two that choose the cuts (src/checks/mod.rs): plain, a guide, narrow
# limits, repair on, repair on demand.
HEADS = [b"\0\0\1\0", b"\xa0\0\2\0", b"\0\x0c\3\0", b"\2\0\4\0", b"\3\0\5\0"]


def text(case):
    chunks = [step[0] for step in case["steps"]]
    return b"".join(bytes.fromhex(c["hex"]) if isinstance(c, dict) else c.encode() for c in chunks)


golden, corpus = map(pathlib.Path, sys.argv[1:])
cases = [case for file in sorted(golden.rglob("*.json")) for case in json.loads(file.read_text()) if "steps" in case]
for number, case in enumerate(cases):
    for choice, head in enumerate(HEADS):
        (corpus / f"golden-{number}-{choice}").write_bytes(head + text(case))
