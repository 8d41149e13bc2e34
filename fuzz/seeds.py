"""Writes the first inputs of a fuzz target: seeds.py TARGET CORPUS_FOLDER."""

import json
import pathlib
import re
import sys

# In front of a draft's text stand two bytes of flags and two that choose the cuts (src/checks/mod.rs): plain, a guide,
# narrow limits, repair on, repair on demand.
HEADS = [b"\0\0\1\0", b"\xa0\0\2\0", b"\0\x0c\3\0", b"\2\0\4\0", b"\3\0\5\0"]
QUERIES = [
    "as=patch&unseen=null&bigints=string&interval_ms=100&notes=true",
    "as=snapshot&starting_after=00c0ffee00c0ffee.41",
    "as=final&interval_ms=4294967295&notes=1",
]


def texts():
    """The texts of the golden files, for the draft engine."""
    for file in sorted(pathlib.Path("tests/golden/partial").rglob("*.json")):
        for case in json.loads(file.read_text()):
            if "steps" in case:
                chunks = [step[0] for step in case["steps"]]
                yield b"".join(bytes.fromhex(c["hex"]) if isinstance(c, dict) else c.encode() for c in chunks)


def objects(value):
    """Every object within a JSON value."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    if not isinstance(value, str):
        for inner in value if hasattr(value, "__iter__") else ():
            yield from objects(inner)


def vectors():
    """Every object of the protocol's vectors and of its page's examples."""
    for file in sorted(pathlib.Path("proto/vectors").rglob("*.json")):
        yield from objects(json.loads(file.read_text()))
    decoder = json.JSONDecoder()
    for block in re.findall(r"```json \w+\n(.*?)```", pathlib.Path("proto/PROTOCOL.md").read_text(), re.S):
        while block := block.strip():
            value, end = decoder.raw_decode(block)
            block = block[end:]
            yield from objects(value)


def frame(first, payload, masked=True):
    """A frame by its first byte."""
    length = len(payload)
    if length < 126:
        head = bytes([first, length | masked << 7])
    else:
        head = bytes([first, 126 | masked << 7]) + length.to_bytes(2, "big")
    mask = b"\x07\x63\xc8\x1f" if masked else b"\0\0\0\0"
    body = bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))
    return head + (mask if masked else b"") + body


def conversations():
    """What clients send in frames, well and badly."""
    hello, long = b'{"type":"ping"}', "\u00fc".encode() * 200
    whole = [frame(0x81, hello), frame(0x89, b"beat"), frame(0x8A, b""), frame(0x82, b"\0\xff"), frame(0x88, b"\x03\xe8bye")]
    parts = [frame(0x01, hello[:5]), frame(0x89, b""), frame(0x00, hello[5:9]), frame(0x80, hello[9:])]
    yield from whole + parts
    yield b"".join(whole)
    yield b"".join(parts + whole)
    yield frame(0x81, long) + b"".join(whole)
    yield frame(0x81, b"\xc3\x28")
    yield b"".join(frame(0x01 if at == 0 else 0x00, b"x") for at in range(9))
    yield frame(0x81, hello, masked=False)
    yield from (frame(first, b"") for first in (0x80, 0x83, 0xC1, 0x09, 0x91))
    yield from (frame(0x88, reason) for reason in (b"", b"\x03", b"\x03\xed", b"\x03\xe8\xff"))
    yield b"\x81\xff" + (1 << 40).to_bytes(8, "big")
    yield b"\x81\xfe\0\x05"


def answers():
    """Answers of models, behind the number of their kind and a seed for the cuts."""
    for number, kind in enumerate(("openai", "anthropic", "gemini", "ollama", "responses")):
        for file in sorted(pathlib.Path("tests/golden/llm", kind).glob("*.txt")):
            yield bytes((number, number, len(file.stem))) + file.read_bytes()


def seeds(target):
    if target == "frame":
        # The limits of the first message and of fragments, and a seed for the cuts.
        for limits in (b"\xff\x07\1\0", b"\x10\0\2\0", b"\0\2\3\0"):
            yield from (limits + text for text in conversations())
    elif target == "wire":
        for value in vectors():
            for part in (value, value.get("ops"), value.get("o")) if {"type", "j"} & value.keys() else ():
                if part is not None:
                    yield json.dumps(part, separators=(",", ":")).encode()
    elif target == "vendors":
        yield from answers()
    elif target == "http":
        for value in vectors():
            if {"model", "schema"} <= value.keys():
                yield b"\0" + json.dumps(value, separators=(",", ":")).encode()
        yield from (b"\1" + query.encode() for query in QUERIES)
    else:
        yield from (head + text for text in texts() for head in HEADS)


target, corpus = sys.argv[1], pathlib.Path(sys.argv[2])
for number, seed in enumerate(dict.fromkeys(seeds(target))):
    (corpus / f"seed-{number}").write_bytes(seed)
