"""FastAPI: takes jobs over a WebSocket, passes on what the worker publishes. One Redis subscriber for all sockets."""

import asyncio
import json
import socket
import uuid
from contextlib import asynccontextmanager

import redis.asyncio as redis
import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from shared import QUEUE, REDIS_URL, channel

store = redis.from_url(REDIS_URL)
watchers: dict[str, set[asyncio.Queue]] = {}


async def listen(ready: asyncio.Event) -> None:
    async with store.pubsub() as subscriber:
        await subscriber.psubscribe(channel("*"))
        async for message in subscriber.listen():
            ready.set()
            if message["type"] == "pmessage":
                for queue in watchers.get(message["channel"].decode(), ()):
                    queue.put_nowait(message["data"].decode())


@asynccontextmanager
async def lifespan(_: FastAPI):
    ready = asyncio.Event()
    listener = asyncio.create_task(listen(ready))
    await ready.wait()
    yield
    listener.cancel()


app = FastAPI(lifespan=lifespan)


async def write(websocket: WebSocket, queue: asyncio.Queue) -> None:
    while True:
        await websocket.send_text(await queue.get())


@app.websocket("/ws")
async def serve(websocket: WebSocket) -> None:
    await websocket.accept()
    queue: asyncio.Queue = asyncio.Queue()
    writer = asyncio.create_task(write(websocket, queue))
    watched = []
    try:
        while True:
            asked = await websocket.receive_json()
            job = asked.get("watch") or uuid.uuid4().hex
            watched.append(channel(job))
            watchers.setdefault(channel(job), set()).add(queue)
            queue.put_nowait(json.dumps({"job": job}))
            if "create" in asked:
                await store.lpush(QUEUE, json.dumps({"job": job, "shape": asked["create"]}))
    except WebSocketDisconnect:
        pass
    finally:
        writer.cancel()
        for name in watched:
            watchers[name].discard(queue)


def main() -> None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", 0))
    print(f"listening on http://127.0.0.1:{listener.getsockname()[1]}", flush=True)
    options = {"ws_per_message_deflate": False, "log_level": "error", "loop": "uvloop", "http": "httptools"}
    uvicorn.Server(uvicorn.Config(app, **options)).run(sockets=[listener])


main()
