"""What was recorded leaves in the background: OTLP over HTTP, in batches, best effort.

A thread of its own encodes and sends; requests only append to a bounded queue. On Cloud Run a
process may stand still between requests, so a request that finds an old batch waits for it a bit.
Nothing that was promised depends on what is lost here.
"""

import atexit
import os
import threading
import time
import uuid
from collections import deque
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any

from pydantic import Field

from shared.platform.settings import Misconfigured, Settings, load

if TYPE_CHECKING:
    from shared.platform.telemetry.traces import Span

_BATCH = 2048
_QUEUE = 8192
_OLD = 15.0
"""Seconds after which a batch counts as held up by a CPU that stood still."""
_PATIENCE = 0.2
"""Seconds a request waits for such a batch, and a process at its end ten times that."""
_TIMEOUT = 5.0


class TelemetrySettings(Settings):
    """OpenTelemetry's own variables; without an endpoint nothing is exported.

    Source: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
    Times are in milliseconds.
    """

    otel_exporter_otlp_endpoint: str | None = None
    otel_sdk_disabled: bool = False
    otel_service_name: str | None = None
    otel_traces_sampler: str = "parentbased_always_on"
    otel_traces_sampler_arg: float = Field(default=1.0, ge=0, le=1)
    otel_bsp_schedule_delay: int = Field(default=5000, ge=1)
    otel_metric_export_interval: int = Field(default=60_000, ge=1)


class Exporter:
    """Holds what was recorded until its thread has sent it. Its methods never raise."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._endpoint = (settings.otel_exporter_otlp_endpoint or "").rstrip("/")
        self._delay = settings.otel_bsp_schedule_delay / 1000
        self._metrics_every = settings.otel_metric_export_interval / 1000
        self._service = settings.otel_service_name or os.environ.get("K_SERVICE", "")
        self._spans: deque[Span] = deque()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._wake, self._rounds = threading.Event(), threading.Condition()
        self._asked = self._done = 0
        self._since = time.time_ns()
        self._last = self._measured = time.monotonic()
        self._ending = False

    def keep(self, span: "Span") -> None:
        """Take a span that ended; one too many is dropped."""
        if len(self._spans) >= _QUEUE:
            from shared.platform.telemetry.metrics import DROPPED

            DROPPED.add(1)
            return
        self._spans.append(span)
        if len(self._spans) == _BATCH:
            self._wake.set()

    def follow_up(self) -> None:
        """At the end of a request: see to it that what it left is sent one day."""
        if self._thread is None:
            self._start()
        waits = self._done < self._asked  # the receiver keeps silent: nobody else waits for it
        if "K_SERVICE" in os.environ and not waits and time.monotonic() - self._last > _OLD:
            self.flush(_PATIENCE)

    def flush(self, patience: float) -> None:
        """Send what there is, and wait for that no longer than `patience` seconds."""
        if self._thread is None:
            return
        with self._rounds:
            self._asked += 1
            asked = self._asked
            self._wake.set()
            self._rounds.wait_for(lambda: self._done >= asked, patience)

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
                self._thread.start()
                atexit.register(self._end)

    def _end(self) -> None:
        """A process that is told to end sends what is left (SIGTERM lets Cloud Run's end so)."""
        self._ending = True
        self.flush(10 * _PATIENCE)

    def _run(self) -> None:
        while True:
            self._wake.wait(self._delay)
            self._wake.clear()
            asked = self._asked
            with suppress(Exception):  # losing telemetry loses nothing else
                self._send()
            with self._rounds:
                self._done = asked
                self._rounds.notify_all()

    def _send(self) -> None:
        from shared.platform.telemetry import otlp

        while self._spans:
            batch = [self._spans.popleft() for _ in range(min(len(self._spans), _BATCH))]
            self._post("/v1/traces", otlp.traces(batch, self._resource))
        self._last = time.monotonic()
        if self._last - self._measured >= self._metrics_every or self._ending:
            self._measured = self._last
            own = self._resource("clinicloop")
            self._post("/v1/metrics", otlp.metrics(own, self._since, time.time_ns()))

    def _post(self, path: str, body: bytes) -> None:
        """One try: who does not take it now does without."""
        try:
            headers = {"Content-Type": "application/x-protobuf"}
            _session(self._endpoint).post(
                self._endpoint + path, data=body, headers=headers, timeout=_TIMEOUT
            ).close()
        except Exception:  # noqa: BLE001 -- losing telemetry loses nothing else
            return

    def _resource(self, function: str) -> dict[str, str]:
        """Who recorded it, by OpenTelemetry's names."""
        values = {
            "service.name": self._service or function,
            "service.version": os.environ.get("K_REVISION", ""),
            "service.instance.id": _instance(),
            "gcp.project_id": os.environ.get("GOOGLE_CLOUD_PROJECT", ""),
            "cloud.region": os.environ.get("GOOGLE_CLOUD_LOCATION", ""),
        }
        return {name: value for name, value in values.items() if value}


@cache
def _instance() -> str:
    return str(uuid.uuid4())


@cache
def _session(endpoint: str) -> Any:
    """What posts; Google's endpoint wants the service account's token."""
    import requests

    if not endpoint.endswith(".googleapis.com"):
        return requests.Session()
    import google.auth
    from google.auth.transport.requests import AuthorizedSession

    scope = "https://www.googleapis.com/auth/cloud-platform"
    credentials, _ = google.auth.default([scope])
    return AuthorizedSession(credentials)  # type: ignore[no-untyped-call]


@cache
def _settings() -> TelemetrySettings:
    """As the environment says; nothing is exported where that makes no sense."""
    try:
        found: TelemetrySettings = load(TelemetrySettings)
    except Misconfigured as error:
        from shared.platform.telemetry.logs import log

        log.warning("telemetry_is_off", reason=str(error))
        return TelemetrySettings(otel_sdk_disabled=True)
    return found


@cache
def _exporter() -> Exporter | None:
    settings = _settings()
    if settings.otel_sdk_disabled or not settings.otel_exporter_otlp_endpoint:
        return None
    return Exporter(settings)


def on() -> bool:
    """Whether anything is exported."""
    return _exporter() is not None


def keep(span: "Span") -> None:
    """Export a span that ended."""
    exporter = _exporter()
    if exporter is not None:
        exporter.keep(span)


def follow_up() -> None:
    """At the end of a request: see to it that what it left is sent one day."""
    exporter = _exporter()
    if exporter is not None:
        exporter.follow_up()


@cache
def _sampler() -> tuple[bool, float]:
    """Whether a caller's decision stands, and the share of traces sampled without one.

    A sampler that is not known is the default's, as the specification wants it.
    """
    settings = _settings()
    name = settings.otel_traces_sampler
    shares = {"always_off": 0.0, "traceidratio": settings.otel_traces_sampler_arg}
    own = name.removeprefix("parentbased_")
    known = own in ("always_on", "always_off", "traceidratio")
    return own != name or not known, shares.get(own, 1.0)


def sampled(trace_id: int, parent: bool | None) -> bool:
    """Whether a trace is recorded, `parent` being what its caller decided."""
    heeds_parent, share = _sampler()
    if parent is not None and (heeds_parent or not on()):
        return parent
    return on() and (trace_id & (2**64 - 1)) < share * 2**64
