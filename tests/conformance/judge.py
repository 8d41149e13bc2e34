"""Reads a report of kosoku: judge.py INDEX_JSON. Fails where a case failed or a socket was closed with a wrong code."""

import collections
import json
import pathlib
import sys

# NON-STRICT: taken, though another behaviour would be nicer (an invalid text is refused when it ends, not at the byte).
GOOD = {"OK", "NON-STRICT", "INFORMATIONAL"}

cases = [case for agent in json.loads(pathlib.Path(sys.argv[1]).read_text()).values() for case in agent.items()]
bad = [
    (name, case["behavior"], case["behaviorClose"])
    for name, case in cases
    if case["behavior"] not in GOOD or case["behaviorClose"] not in GOOD
]
for row in bad:
    print(*row)
counts = collections.Counter(case["behavior"] for _, case in cases)
told = ", ".join(f"{count} {behavior}" for behavior, count in sorted(counts.items()))
print(f"{len(cases)} cases: {told}; {len(bad)} failed or closed by a wrong code")
sys.exit(bool(bad) or not cases)
