"""Topics, subscriptions, queues and jobs, read off the declarations in `functions/`.

`python -m shared.runtime.wiring` writes `terraform/generated/wiring.auto.tfvars.json`, the one
source for Terraform, for the local cloud and for timers looking for their function. With `--check`
it only says whether the file is current (exit status 1 when not).
"""

import importlib
import json
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

from shared.kernel.event import Event
from shared.runtime.agent import Agent

FUNCTIONS = Path("functions")
FILE = Path("terraform/generated/wiring.auto.tfvars.json")
DEAD_LETTERS = "dead-letters"
_LONGEST_FILTER = 256
_RETRY = {"min_backoff_seconds": 1, "max_backoff_seconds": 10}
"""Of pushes and tasks: what waits for an outage to end goes on within seconds of its end."""
_JOB_RETRY = {"retry_count": 5, "min_backoff_seconds": 10, "max_backoff_seconds": 160}
"""Of jobs: 10, 20 ... 160 seconds later, and by the next run at the latest."""
_EVERY_MINUTE = {"retry_count": 5, "min_backoff_seconds": 10, "max_backoff_seconds": 10}
"""Cloud Scheduler runs nothing more often than that; five retries make it six times as often."""


def modules() -> dict[str, ModuleType]:
    """The `main` module of every function, by the function's name."""
    names = sorted(path.parent.name for path in FUNCTIONS.glob("*/main.py"))
    return {name: importlib.import_module(f"functions.{name}.main") for name in names}


def catalogue() -> list[type[Event]]:
    """All events, by type."""
    package = importlib.import_module("shared.events")
    for module in sorted(Path(package.__path__[0]).glob("*.py")):
        importlib.import_module(f"shared.events.{module.stem}")

    def leaves(kind: type[Event]) -> list[type[Event]]:
        below = kind.__subclasses__()
        return [leaf for each in below for leaf in leaves(each)] if below else [kind]

    return sorted(leaves(Event), key=lambda kind: kind.type)


def agents(mains: dict[str, ModuleType]) -> dict[str, Agent]:
    return {name: main.agent for name, main in mains.items() if hasattr(main, "agent")}


def describe(mains: dict[str, ModuleType]) -> dict[str, Any]:
    """The wiring of these functions as JSON-ready data."""
    found = agents(mains)
    subscriptions: dict[str, Any] = {}
    for name, agent in found.items():
        subscriptions |= _subscriptions(name, agent)
    kinds = {name: "agent" if name in found else "api" for name in mains}
    topics = {part["topic"] for part in subscriptions.values()} | {DEAD_LETTERS}
    topics |= {kind.topic for kind in catalogue()}
    return {
        "functions": {name: {"kind": kind} for name, kind in kinds.items()},
        "topics": sorted(topics),
        "subscriptions": subscriptions,
        "queues": {"timers": {"max_attempts": 100, **_RETRY}},
        "jobs": {key: job for name, agent in found.items() for key, job in _jobs(name, agent)},
        "timers": {kind: name for name, agent in found.items() for kind in agent.timers},
    }


def _subscriptions(name: str, agent: Agent) -> dict[str, Any]:
    topics: dict[str, set[str]] = defaultdict(set)
    for handler in agent.handlers.values():
        for event in handler.events:
            topics[event.topic].add(event.type)
    made = {
        f"{_hyphens(name)}--{topic}": {
            "topic": topic,
            "function": name,
            "path": "/events",
            "filter": _filter(types),
            "dead_letter_topic": DEAD_LETTERS,
            "max_delivery_attempts": 100,
            "ordered": True,
            "ack_deadline_seconds": 60,
            **_RETRY,
        }
        for topic, types in sorted(topics.items())
    }
    if agent.parks:
        made[f"{_hyphens(name)}--{DEAD_LETTERS}"] = {
            "topic": DEAD_LETTERS,
            "function": name,
            "path": "/parked",
            "filter": "",
            "dead_letter_topic": None,
            "max_delivery_attempts": 100,
            "ordered": False,
            "ack_deadline_seconds": 60,
            **_RETRY,
        }
    return made


def _filter(types: set[str]) -> str:
    """The filter that lets these types through; none where it would be longer than allowed.

    Pub/Sub takes filters of 256 bytes (its docs, "Filter messages from a subscription"); an agent
    acknowledges types it did not declare.
    """
    text = " OR ".join(f'attributes.ce-type="{kind}"' for kind in sorted(types))
    return text if len(text.encode()) <= _LONGEST_FILTER else ""


def _jobs(name: str, agent: Agent) -> list[tuple[str, dict[str, Any]]]:
    return [
        (
            f"{_hyphens(name)}--{_hyphens(cron.name)}",
            {
                "function": name,
                "path": f"/crons/{cron.name}",
                "schedule": cron.schedule,
                "time_zone": "Etc/UTC",
                **(_EVERY_MINUTE if cron.schedule.split()[0] in ("*", "*/1") else _JOB_RETRY),
            },
        )
        for cron in agent.crons.values()
    ]


def _hyphens(name: str) -> str:
    return name.replace("_", "-")


def render() -> str:
    return json.dumps(describe(modules()), indent=2, sort_keys=True) + "\n"


def main() -> int:
    wanted = render()
    if "--check" in sys.argv:
        current = FILE.exists() and FILE.read_text() == wanted
        sys.stdout.write("wiring is current\n" if current else f"stale: {FILE}\n")
        return 0 if current else 1
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
