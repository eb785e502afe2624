"""The functions' host: every function in one process, each loaded as in production.

Run as `python -m emulators.host --port 8080`. An API's Flask app and an agent's functions-framework
app answer at `/<function>`. The file that CLINICLOOP_CLOCK names gives the virtual time.
"""

import argparse
import gc
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gunicorn.app.base import BaseApplication  # type: ignore[import-untyped, unused-ignore]
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.wrappers import Response

from emulators import wiring
from emulators.clock import VirtualClock
from emulators.fail_points import VARIABLE, Watch
from shared.kernel import clock

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HOST = "127.0.0.1"
HEALTH = "/health"
THREADS = 8
PROCESSES = 2
_NUMBER = "CLINICLOOP_HOST_PROCESS"


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Undo what loading a function by functions-framework leaves in the process.

    It sets environment variables, appends to `sys.path` and calls every module `main`.
    """
    environment, path = dict(os.environ), list(sys.path)
    try:
        yield
    finally:
        sys.modules.pop("main", None)
        sys.path[:] = path
        os.environ.clear()
        os.environ.update(environment)


def load_agent(name: str, source: Path) -> "WSGIApplication":
    """The agent `name` as functions-framework serves it."""
    import functions_framework

    with _undisturbed():
        create: Callable[..., WSGIApplication] = functions_framework.create_app
        return create(name, str(source), "http")


def load_api(name: str, folder: Path) -> "WSGIApplication":
    """The Flask app `app` of the module `functions.<name>.main`, `functions` being the folder."""
    if str(folder.parent) not in sys.path:
        sys.path.append(str(folder.parent))
    app: WSGIApplication = importlib.import_module(f"{folder.name}.{name}.main").app
    return app


def load(parts: wiring.Wiring, folder: Path) -> dict[str, "WSGIApplication"]:
    """All functions by their mount path; an error in one is raised with its name."""
    mounts: dict[str, WSGIApplication] = {}
    for name, function in parts.functions.items():
        try:
            mounts[f"/{name}"] = (
                load_agent(name, folder / name / "main.py")
                if function.kind == "agent"
                else load_api(name, folder.absolute())
            )
        except Exception as error:
            raise RuntimeError(f"the function {name} could not be loaded") from error
    return mounts


class Counted:
    """Counts requests on the virtual clock, so that polling crons know whether anything happened.

    Health checks do not count, nor do cron runs that say they found nothing (`X-Idle-Until`).
    """

    def __init__(self, app: "WSGIApplication", virtual: VirtualClock) -> None:
        self._app = app
        self._clock = virtual
        self._lock = threading.Lock()

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if environ.get("PATH_INFO") == HEALTH:
            return self._app(environ, start_response)
        polls = "HTTP_X_CLOUDSCHEDULER" in environ

        def start(
            status: str, headers: list[tuple[str, str]], *error: Any
        ) -> Callable[[bytes], object]:
            idle = polls and any(name.lower() == "x-idle-until" for name, _ in headers)
            if not idle:
                with self._lock:
                    self._clock.count_request(int(os.environ.get(_NUMBER, "0")))
            return start_response(status, headers, *error)

        return self._app(environ, start)


def compose(mounts: dict[str, "WSGIApplication"]) -> "WSGIApplication":
    """One WSGI app that dispatches by the first path segment and answers GET /health."""

    def front(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        known = environ.get("PATH_INFO") == HEALTH
        answer = Response(
            "ok" if known else "no such function", 200 if known else 404, mimetype="text/plain"
        )
        return answer(environ, start_response)

    return DispatcherMiddleware(front, mounts)


def _number(arbiter: Any, worker: Any) -> None:
    """Give a process that is about to start the lowest number that is free."""
    taken = {getattr(other, "number", None) for other in arbiter.WORKERS.values()}
    worker.number = min(set(range(PROCESSES + 1)) - taken)


def _tell_number(_: Any, worker: Any) -> None:
    os.environ[_NUMBER] = str(worker.number)


class Host(BaseApplication):  # type: ignore[misc, unused-ignore]
    """gunicorn with a few processes of threads: each is what an instance of a service would be.

    With `forks` a process that ended is replaced by a copy of one that has loaded everything.
    """

    def __init__(self, port: int, build: Callable[[], "WSGIApplication"], forks: bool) -> None:
        self._port = port
        self._build = build
        self._forks = forks
        super().__init__()

    def load_config(self) -> None:
        settings = {
            "bind": f"{HOST}:{self._port}",
            "workers": PROCESSES,
            "worker_class": "gthread",
            "threads": THREADS,
            # Longer than any client keeps an idle connection, so that none is used while it closes.
            "keepalive": 75,
            "preload_app": self._forks,
            "timeout": 0,
            "graceful_timeout": 5,
            "loglevel": "warning",
            "control_socket_disable": True,
            "proc_name": "clinicloop-host",
            "pre_fork": _number,
            "post_fork": _tell_number,
        }
        for name, value in settings.items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        return self._build()


_ON_FIRST_USE = (
    "chargebee",
    "google.api_core.gapic_v1.routing_header",
    "google.cloud.firestore_v1.services.firestore.transports",
    "google.cloud.tasks_v2",
    "google.pubsub_v1",
    "httpx",
    "jwt",
    "sendgrid",
    "structlog",
    "twilio.rest",
)


def watch(folder: Path) -> None:
    """Let fail points act on this process, wherever the product takes a step.

    The product is loaded here, as its functions are: the local cloud itself does not import it.
    What it imports on first use is there already, so that a killed process is soon replaced.
    """
    importlib.import_module("shared.platform.steps").use(Watch(folder))
    for name in _ON_FIRST_USE:
        importlib.import_module(name)


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--wiring", type=Path, default=wiring.FILE)
    parser.add_argument("--functions", type=Path, default=wiring.ROOT / "functions")
    options = parser.parse_args()

    def build() -> "WSGIApplication":
        virtual = VirtualClock(Path(os.environ["CLINICLOOP_CLOCK"]))
        clock.use(virtual.now)
        if VARIABLE in os.environ:
            watch(Path(os.environ[VARIABLE]))
        mounts = load(wiring.load(options.wiring), options.functions)
        gc.collect()
        gc.freeze()  # what was loaded stays: the collector need not look at it again
        gc.set_threshold(50_000, 20, 100)
        return Counted(compose(mounts), virtual)

    Host(options.port, build, forks=VARIABLE in os.environ).run()


if __name__ == "__main__":
    main()
