"""What gateway and worker of this peer agree on."""

import os

from pydantic import BaseModel

REDIS_URL = os.environ["REDIS_URL"]
MODEL_URL = os.environ["MODEL_URL"]
QUEUE = "jobs"


class Text(BaseModel):
    text: str


class Section(BaseModel):
    heading: str
    body: str


class Report(BaseModel):
    sections: list[Section]


SHAPES = {"text": Text, "report": Report}


def channel(job: str) -> str:
    return f"job:{job}"
