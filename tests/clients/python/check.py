"""One job seen by three viewers over the `websockets` package: one stays, one is torn off and resumes, one is late.

Then one whose second attempt mends the bad places alone: what stood beside them must still stand."""

import asyncio
import hashlib
import json
import pathlib
import sys
import uuid

import websockets
from fold import Draft, compact, read

ENDS = {"job.completed", "job.failed", "job.cancelled", "job.incomplete"}
STATE = ENDS | {"job.snapshot", "job.patch", "job.status", "job.attempt", "job.note"}
GUARD_SECONDS = 120
REQUEST = json.loads((pathlib.Path(__file__).parent.parent / "request.json").read_text())


def claim(holds, words):
    if not holds:
        raise AssertionError(words)


class Log:
    """What all viewers saw: the state at each position, and who waits for a seq to be reached."""

    def __init__(self):
        self.states, self.seq, self.attempt, self.moved = {}, 0, 0, asyncio.Condition()

    async def saw(self, draft):
        known = self.states.setdefault(draft.position, draft.text())
        claim(known == draft.text(), f"two states at {draft.position}:\n{known}\n{draft.text()}")
        async with self.moved:
            self.seq, self.attempt = max(self.seq, draft.position[1]), max(self.attempt, len(draft.attempts))
            self.moved.notify_all()

    async def until(self, condition):
        async with self.moved:
            await self.moved.wait_for(condition)


class Viewer:
    """One viewer's state, carried from socket to socket."""

    def __init__(self, name, log):
        self.name, self.log, self.draft, self.ends = name, log, Draft(), []
        self.folded, self.patches, self.snapshots, self.tag = 0, 0, 0, None
        self.resets = []

    async def take(self, m):
        """Folds one message of the job; an error of the server is an error here."""
        claim(m.get("type") != "error", f"{self.name}: {m}")
        if "j" in m:
            claim(m["j"] == self.tag, f"{self.name}: a patch with the tag {m['j']}, not {self.tag}")
        elif m.get("type") not in STATE:
            return
        if (m := self.draft.whole(m)) is None:
            return
        claim(not self.ends, f"{self.name}: a message after the end: {m}")
        before = self.draft.position
        self.draft.fold(m)
        claim(before is None or before[1] < self.draft.position[1], f"{self.name}: seq fell from {before}: {m}")
        self.folded += 1
        self.patches += "o" in m or "ops" in m
        self.snapshots += m.get("type") == "job.snapshot"
        self.resets += [m["reset"]] if m.get("type") == "job.attempt" else []
        self.ends += [m] if m.get("type") in ENDS else []
        await self.log.saw(self.draft)

    async def follow(self, ws, stop=lambda: False):
        """Folds until the end, and past it to a `pong`: nothing of the job may come between."""
        while not self.ends and not stop():
            await self.take(read(await ws.recv()))
        if self.ends:
            await ws.send('{"type":"ping"}')
            while (m := read(await ws.recv())).get("type") != "pong":
                await self.take(m)


def connect(url):
    return websockets.connect(url, subprotocols=["livedraft.v1.json"], max_size=None)


async def answer(ws, message, kind):
    """Sends a request and reads on to its answer; what else comes meanwhile is no event of a job."""
    await ws.send(json.dumps(message | {"ref": "r"}))
    while (m := read(await ws.recv())).get("ref") != "r":
        claim(m.get("type") == "welcome", f"before the answer came {m}")
    claim(m["type"] == kind, f"wanted {kind}, got {m}")
    return m


async def attach(ws, viewer, job, resumed):
    message = {"type": "job.attach", "job_id": job}
    if resumed:
        epoch, seq = viewer.draft.position
        message["position"] = {"epoch": epoch, "seq": seq}
    m = await answer(ws, message, "job.attached")
    claim(m["resumed"] is resumed, f"{viewer.name}: {m}")
    viewer.tag = m["tag"]


async def torn(url, job, viewer, log):
    """Watches, loses its TCP connection in mid-draft, and resumes once the others are ahead."""
    async with connect(url) as ws:
        await attach(ws, viewer, job, resumed=False)
        await viewer.follow(ws, lambda: viewer.patches >= 12 and viewer.draft.tree)
        ws.transport.abort()
    at, snapshots = viewer.draft.position[1], viewer.snapshots
    await log.until(lambda: log.seq >= at + 8)
    async with connect(url) as ws:
        await attach(ws, viewer, job, resumed=True)
        await viewer.follow(ws)
    claim(viewer.snapshots == snapshots, "a resumed viewer was sent a snapshot")
    return at


async def late(url, job, viewer, log):
    """Comes when the second attempt is under way."""
    await log.until(lambda: log.attempt >= 2)
    start = log.seq
    await log.until(lambda: log.seq >= start + 10)
    async with connect(url) as ws:
        await attach(ws, viewer, job, resumed=False)
        await viewer.follow(ws)


def judge(viewers, state):
    """Every viewer ended once, completed, in the value that the server names."""
    values = {compact(v.draft.tree[0]) for v in viewers}
    claim(len(values) == 1, f"the viewers' values differ: {values}")
    text = values.pop()
    digest = hashlib.sha256(text.encode()).hexdigest()
    for v in viewers:
        claim(len(v.ends) == 1, f"{v.name}: {len(v.ends)} ends")
        end = v.ends[0]
        claim(end["type"] == "job.completed", f"{v.name}: {end}")
        claim(end.get("sha256") == digest, f"{v.name}: sha256 {end.get('sha256')}, folded {digest}")
        claim([a["reason"] for a in v.draft.attempts] == ["first", "invalid"], f"{v.name}: {v.draft.attempts}")
        claim(v.draft.attempts[1].get("errors"), f"{v.name}: the re-ask tells no errors")
    claim(compact(state["value"]) == text, "job.get has another value than the fold")
    claim(list(viewers[0].draft.tree[0])[2:4] == ["10", "2"], "members are not in order of arrival")
    return digest


async def mended(url):
    """A job that keeps its draft while the bad places are asked for again."""
    viewer = Viewer("mended", Log())
    request = {k: v for k, v in REQUEST.items() if k != "reask"}
    async with connect(url) as ws:
        create = {"type": "job.create", "idempotency_key": str(uuid.uuid4()), "request": request}
        accepted = await answer(ws, create, "job.accepted")
        viewer.tag = accepted["tag"]
        viewer.draft.fold(accepted)
        await viewer.follow(ws)
        state = await answer(ws, {"type": "job.get", "job_id": accepted["job_id"]}, "job.state")
    judge([viewer], state)
    claim(viewer.resets == [True, False], f"the re-ask did not keep the draft: {viewer.resets}")


async def run(base):
    url = base.replace("http", "ws", 1) + "/v1/ws"
    await mended(url)
    log = Log()
    first, second, third = (Viewer(name, log) for name in ("first", "torn", "late"))
    async with connect(url) as ws:
        create = {"type": "job.create", "idempotency_key": str(uuid.uuid4()), "request": REQUEST}
        accepted = await answer(ws, create, "job.accepted")
        job, first.tag = accepted["job_id"], accepted["tag"]
        first.draft.fold(accepted)
        async with asyncio.TaskGroup() as tasks:
            resumed = tasks.create_task(torn(url, job, second, log))
            tasks.create_task(late(url, job, third, log))
            tasks.create_task(first.follow(ws))
        state = await answer(ws, {"type": "job.get", "job_id": job}, "job.state")
    digest = judge([first, second, third], state)
    claim(third.snapshots >= 1, "the late viewer got no snapshot")
    claim(first.patches >= 30, f"only {first.patches} patches: this was no stream")
    print(
        f"python, websockets {websockets.__version__}: completed after {len(first.draft.attempts)} attempts,"
        f" {first.patches} patches; resumed after seq {resumed.result()}; {len(log.states)} states equal"
        f" among 3 viewers; sha256 {digest[:12]}"
    )


if __name__ == "__main__":
    try:
        asyncio.run(asyncio.wait_for(run(sys.argv[1]), GUARD_SECONDS))
    except BaseException as fault:  # one line and an exit code, whatever it was
        causes = getattr(fault, "exceptions", [fault])
        sys.exit("python: FAILED: " + "; ".join(f"{type(c).__name__}: {c}" for c in causes))
