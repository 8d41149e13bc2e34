"""Instructor: streams the partial value of each job, and publishes the whole of it at every change."""

import asyncio
import json

import instructor
import redis.asyncio as redis
import uvloop
from openai import AsyncOpenAI

from shared import MODEL_URL, QUEUE, REDIS_URL, SHAPES, channel

JOBS_AT_A_TIME = 512


async def work(store: redis.Redis, client: instructor.AsyncInstructor, job: str, shape: str) -> None:
    name = channel(job)
    try:
        partials = client.create_partial(
            model="load",
            response_model=SHAPES[shape],
            messages=[{"role": "user", "content": "go"}],
            max_retries=1,
        )
        async for partial in partials:
            await store.publish(name, json.dumps({"value": partial.model_dump()}))
        end = {"end": "completed"}
    except Exception as error:  # the viewer is told, whatever it was
        end = {"end": "failed", "error": str(error)[:200]}
    await store.publish(name, json.dumps(end))


async def main() -> None:
    store = redis.from_url(REDIS_URL)
    provider = AsyncOpenAI(base_url=MODEL_URL, api_key="none")
    client = instructor.from_openai(provider, mode=instructor.Mode.JSON)
    turns = asyncio.Semaphore(JOBS_AT_A_TIME)
    tasks = set()

    def done(task: asyncio.Task) -> None:
        tasks.discard(task)
        turns.release()

    print("ready", flush=True)
    while True:
        await turns.acquire()
        _, body = await store.brpop([QUEUE])
        task = asyncio.create_task(work(store, client, **json.loads(body)))
        tasks.add(task)
        task.add_done_callback(done)


uvloop.run(main())
