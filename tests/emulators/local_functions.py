"""A small set of functions and their wiring, for tests of the local cloud."""

import json
from pathlib import Path
from typing import Any

_AGENT = """
import json
import os
from pathlib import Path

from shared.kernel import clock

SEEN = Path(__file__).with_name("seen.jsonl")


def {name}(request):
    if request.path == "/crons/idle":
        return "", 204, {{"X-Idle-Until": "2100-01-01T00:00:00Z"}}
    note = {{
        "path": request.path,
        "now": clock.now().isoformat(),
        "token": request.headers.get("Authorization", ""),
        "body": request.get_json(silent=True),
        "admin": os.environ.get("DATABASE_ADMIN_URL"),
        "target": os.environ.get("FUNCTION_TARGET"),
        "pid": os.getpid(),
    }}
    with SEEN.open("a") as file:
        file.write(json.dumps(note) + "\\n")
    return note
"""

_API = """
from flask import Flask

app = Flask(__name__)


@app.get("/contracts")
def contracts_list():
    return {"contracts": []}
"""

_WIRING: dict[str, Any] = {
    "functions": {
        "first_agent": {"kind": "agent"},
        "second_agent": {"kind": "agent"},
        "front_api": {"kind": "api"},
    },
    "topics": ["contract-events"],
    "subscriptions": {
        "first-agent--contract-events": {
            "topic": "contract-events",
            "function": "first_agent",
            "path": "/events",
            "filter": 'attributes.ce-type = "contract.created"',
            "dead_letter_topic": "dead-letters",
            "max_delivery_attempts": 5,
            "min_backoff_seconds": 1,
            "max_backoff_seconds": 600,
            "ordered": True,
            "ack_deadline_seconds": 60,
        }
    },
    "queues": {"timers": {"max_attempts": 10, "min_backoff_seconds": 1}},
    "jobs": {
        "second-agent--tick": {
            "function": "second_agent",
            "path": "/crons/tick",
            "schedule": "0 * * * *",
            "time_zone": "Etc/UTC",
        }
    },
}


def write_functions(folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Write the functions and their wiring, with `changes` to it; answers (functions, wiring)."""
    wiring = _WIRING | changes
    for name, function in wiring["functions"].items():
        text = _API if function["kind"] == "api" else _AGENT.format(name=name)
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "main.py").write_text(text)
    file = folder / "wiring.json"
    file.write_text(json.dumps(wiring))
    return folder, file


def seen(functions: Path, name: str) -> list[dict[str, Any]]:
    """The requests that a function served, oldest first."""
    file = functions / name / "seen.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
