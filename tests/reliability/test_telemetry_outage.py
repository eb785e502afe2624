"""Whatever becomes of the receiver of telemetry, requests are served as ever."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import httpx
import pytest

from shared.kernel import clock
from shared.kernel.ids import EventId
from shared.kernel.work import Timer, Work
from shared.platform import settings
from shared.platform.telemetry import export, metrics
from tests.architecture.sources import ROOT
from tests.conftest import House
from tests.reliability.probe import Probe, wait_until

Export = Callable[[str], None]


@pytest.fixture
def exporting(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Export]:
    """Lets telemetry go to an address, soon after it was recorded."""
    made = export._settings, export._exporter, export._sampler, export._session
    known = (settings.load, *made)

    def to(address: str) -> None:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
        for one in known:
            one.cache_clear()

    yield to
    for one in known:
        one.cache_clear()


class Receiver:
    """Takes connections and does with them what `hold` says, for as long as it is open."""

    def __init__(self, answer: bytes | None) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._held: list[socket.socket] = []
        self.address = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.asked = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            connection.recv(1)
            self.asked += 1
            self._held.append(connection)
            if self._answer is not None:
                connection.sendall(self._answer)
                connection.close()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        for connection in self._held:
            connection.close()
        self._thread.join(10)


def free_port() -> int:
    """A port nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def noting(probe: Probe) -> Probe:
    """The probe with a reaction that leaves a note."""

    @probe.agent.reacts(type(probe.event))
    def probe_notes(_: object, work: Work) -> None:
        probe.note(work)

    return probe


def test_requests_are_served_while_nobody_takes_telemetry(probe: Probe, exporting: Export) -> None:
    exporting(f"http://127.0.0.1:{free_port()}")
    noting(probe)
    assert [probe.deliver(EventId.new()) for _ in range(20)] == [204] * 20
    assert probe.notes == 20


def test_requests_are_served_while_the_receiver_hangs(probe: Probe, exporting: Export) -> None:
    with closing(Receiver(None)) as hanging:
        exporting(hanging.address)
        noting(probe)
        assert probe.deliver(EventId.new()) == 204
        wait_until(lambda: hanging.asked == 1)
        assert [probe.deliver(EventId.new()) for _ in range(20)] == [204] * 20
        assert hanging.asked == 1, "it still keeps the first export"
    assert probe.notes == 21


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", b"what is this\r\n\r\n", b""],
)
def test_requests_are_served_whatever_the_receiver_answers(
    probe: Probe, exporting: Export, answer: bytes
) -> None:
    with closing(Receiver(answer)) as failing:
        exporting(failing.address)
        noting(probe)
        for _ in range(3):
            before = failing.asked
            assert probe.deliver(EventId.new()) == 204
            wait_until(lambda before=before: failing.asked > before)  # type: ignore[misc]


def test_a_process_that_stood_still_waits_for_a_hanging_receiver_once(
    probe: Probe, exporting: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Receiver(None)) as hanging:
        exporting(hanging.address)
        noting(probe)
        probe.deliver(EventId.new())
        exporter = export._exporter()
        assert exporter is not None
        wait_until(lambda: hanging.asked == 1)
        monkeypatch.setenv("K_SERVICE", "probe")
        exporter._last -= 60
        waits: list[float] = []
        flush = exporter.flush

        def noted(patience: float) -> None:
            waits.append(patience)
            flush(patience)

        monkeypatch.setattr(exporter, "flush", noted)
        for _ in range(5):
            exporter.follow_up()
    assert waits == [export._PATIENCE]


def test_a_span_too_many_is_dropped_and_counted(
    probe: Probe, exporting: Export, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(Receiver(None)) as hanging:
        exporting(hanging.address)
        noting(probe)
        probe.deliver(EventId.new())
        wait_until(lambda: hanging.asked == 1)
        monkeypatch.setattr(export, "_QUEUE", 5)
        before = metrics.DROPPED.totals.get((), 0)
        assert [probe.deliver(EventId.new()) for _ in range(5)] == [204] * 5
        exporter = export._exporter()
        assert exporter is not None
        assert len(exporter._spans) == 5
        assert metrics.DROPPED.totals[()] > before


def test_how_late_a_timer_fired_is_measured(probe: Probe, exporting: Export) -> None:
    exporting(f"http://127.0.0.1:{free_port()}")

    @probe.agent.timer("probe.waits")
    def probe_fires(timer: Timer, work: Work) -> None:
        probe.note(work)

    timer = probe.schedule("probe.waits", seconds=30)
    probe.house.move(clock.now() + timedelta(seconds=120))
    assert probe.fire(timer) == 204
    known = metrics.TIMER_LAG.spread["probe.waits",]
    assert (known.count, known.sum) == (1, 90)


def test_a_process_that_is_told_to_end_sends_what_is_left() -> None:
    port = free_port()
    with closing(Receiver(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")) as receiver:
        environment = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.address,
            "OTEL_BSP_SCHEDULE_DELAY": "3600000",
        }
        command = [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"127.0.0.1:{port}",
            "--threads",
            "2",
        ]
        app = "functions.portal_api.main:app"
        process = subprocess.Popen([*command, app], env=os.environ | environment, cwd=ROOT)
        try:
            wait_until(lambda: answers(port))
            assert receiver.asked == 0
        finally:
            process.terminate()
            process.wait(30)
        assert receiver.asked > 0


def answers(port: int) -> bool:
    """Whether the API answers a request that leads nowhere."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/v1/nowhere", timeout=5).status_code == 404
    except httpx.TransportError:
        return False
