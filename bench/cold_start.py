"""Process start to the first 200 of each function, against a hello-world function's.

Both start as they do in their container: gunicorn with one worker, the agents and the peer through
functions-framework. The peer imports sqlalchemy, pg8000 and pydantic.
"""

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from bench.kit import Result, compare
from bench.push_handling import free_port
from shared.runtime.wiring import describe, modules

ROUNDS = 7


def _started(app: str, environment: dict[str, str], path: str) -> float:
    """Seconds from starting the process to its first 200."""
    port = free_port()
    command = [
        sys.executable, "-m", "gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "1",
        "--threads", "8", "--log-level", "warning", app,
    ]  # fmt: skip
    start = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | environment)
    try:
        while not _answers(port, path):
            if time.perf_counter() - start > 30:
                raise TimeoutError(app)
            time.sleep(0.002)
        return time.perf_counter() - start
    finally:
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


def _framework(source: str, target: str) -> Callable[[], float]:
    environment = {
        "FUNCTION_SOURCE": source,
        "FUNCTION_TARGET": target,
        "FUNCTION_SIGNATURE_TYPE": "http",
    }
    return lambda: _started("functions_framework:create_app()", environment, "/")


def _api(name: str) -> Callable[[], float]:
    return lambda: _started(f"functions.{name}.main:app", {}, "/healthz")


def run() -> Iterator[Result]:
    os.environ.setdefault("GOOGLE_CLOUD_PROJECT", "clinicloop-bench")
    os.environ.setdefault("FUNCTIONS_URL", "http://127.0.0.1/{function}")
    peer = ("hello world", _framework("bench/servers/hello.py", "hello"))
    for name, function in describe(modules())["functions"].items():
        source = f"functions/{name}/main.py"
        start = _framework(source, name) if function["kind"] == "agent" else _api(name)
        yield compare(
            f"cold_start_{name}",
            (name, start),
            peer,
            unit="s",
            limit=1.5,
            at_least=False,
            rounds=ROUNDS,
        )
