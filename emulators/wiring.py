"""The generated wiring of functions, topics, queues and jobs, as Terraform reads it too."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "terraform" / "generated" / "wiring.auto.tfvars.json"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Function(_Part):
    """One deployable: an `agent` is run by functions-framework, an `api` is a Flask app."""

    kind: Literal["agent", "api"]
    roles: tuple[str, ...] = ()


class Subscription(_Part):
    """A push subscription; `filter` is Pub/Sub's filter language, seconds are whole."""

    topic: str
    function: str
    path: str
    filter: str = ""
    dead_letter_topic: str | None = None
    max_delivery_attempts: int = 5
    min_backoff_seconds: int = 1
    max_backoff_seconds: int = 600
    ordered: bool = False
    ack_deadline_seconds: int = 60


class Queue(_Part):
    """A Cloud Tasks queue."""

    max_attempts: int = 10
    min_backoff_seconds: int = 1
    max_backoff_seconds: int = 3600


class Job(_Part):
    """A Cloud Scheduler job; `schedule` is a cron line in `time_zone`."""

    function: str
    path: str
    schedule: str
    time_zone: str = "Etc/UTC"
    retry_count: int = 0
    min_backoff_seconds: int = 5
    max_backoff_seconds: int = 3600


class Wiring(_Part):
    """All of it. What is called by HTTP lies at `<host>/<function><path>`."""

    functions: dict[str, Function] = {}
    topics: tuple[str, ...] = ()
    subscriptions: dict[str, Subscription] = {}
    queues: dict[str, Queue] = {}
    jobs: dict[str, Job] = {}


def load(file: Path = FILE) -> Wiring:
    """Read the wiring; empty where nothing has been generated yet."""
    return Wiring.model_validate(json.loads(file.read_text()) if file.exists() else {})


def invoker(kind: str, project: str) -> str:
    """The service account in whose name pubsub, tasks, scheduler or an operator calls functions."""
    return f"{kind}-invoker@{project}.iam.gserviceaccount.com"
