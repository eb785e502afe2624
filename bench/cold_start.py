"""Process start to the first 200 of each function, against a hello-world function's.

Both start as they do in their container: gunicorn with one worker, the agents and the peer through
functions-framework. The peer imports sqlalchemy, pg8000 and pydantic, of the same versions.
"""

import http.client
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from bench import peers
from bench.kit import Result, compare
from bench.served import FRAMEWORK, gunicorn
from emulators.ports import free_port
from shared.runtime.wiring import describe, modules

ROUNDS = 7


def _started(app: str, environment: dict[str, str], path: str, python: Path | None = None) -> float:
    """Seconds from starting the process to its first 200."""
    port = free_port()
    command = gunicorn(port, app, python)
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        while not _answers(port, path):
            if time.perf_counter() - start > 30:
                raise TimeoutError(app)
            time.sleep(0.002)
        return time.perf_counter() - start
    finally:
        # An orphaned worker would take up to a second of the next one's start to notice.
        for worker in psutil.Process(process.pid).children():
            worker.kill()
        process.kill()
        process.wait(10)


def _answers(port: int, path: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
    except OSError:
        return False
    finally:
        connection.close()
    if answer.status != 200:
        raise AssertionError(f"answered {answer.status}")
    return True


def _framework(source: str, target: str, python: Path | None = None) -> Callable[[], float]:
    environment = {
        "FUNCTION_SOURCE": source,
        "FUNCTION_TARGET": target,
        "FUNCTION_SIGNATURE_TYPE": "http",
    }
    return lambda: _started(FRAMEWORK, environment, "/", python)


def _api(name: str) -> Callable[[], float]:
    return lambda: _started(f"functions.{name}.main:app", {}, "/healthz")


def run() -> Iterator[Result]:
    os.environ.setdefault("GOOGLE_CLOUD_PROJECT", "clinicloop-bench")
    os.environ.setdefault("FUNCTIONS_URL", "http://127.0.0.1/{function}")
    hello = None
    if peers.present():
        hello = _framework(str(peers.FOLDER / "hello.py"), "hello", peers.interpreter())
    for name, function in describe(modules())["functions"].items():
        source = f"functions/{name}/main.py"
        start = _framework(source, name) if function["kind"] == "agent" else _api(name)
        yield compare(
            f"cold_start_{name}",
            (name, start),
            ("hello world", hello),
            unit="s",
            limit=1.5,
            at_least=False,
            rounds=ROUNDS,
        )
