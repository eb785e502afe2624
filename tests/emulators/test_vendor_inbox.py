"""What all vendors share: the in-box and webhooks over virtual time."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pytest
from aiohttp import web

from emulators.faults import Fault, FaultKind
from emulators.journal import Journal
from emulators.vendors.inbox import Inbox, Webhooks
from tests.emulators.conftest import Loop

T = TypeVar("T")


@dataclass
class Receiver:
    """The product's end: notes what arrives, answers with `statuses`, then 200."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    async def receive(self, request: web.Request) -> web.Response:
        self.got.append((await request.text(), dict(request.headers)))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 200)


@pytest.fixture
def receiver(loop: Loop) -> Iterator[Receiver]:
    receiver = Receiver()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.add_routes([web.post("/hook", receiver.receive)])
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        receiver.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        return runner

    runner = loop.run(start())
    yield receiver
    loop.run(runner.cleanup())


def send(loop: Loop, hooks: Webhooks, url: str, *bodies: str) -> None:
    async def go() -> None:
        for body in bodies:
            hooks.send(url, data=body.encode())

    loop.run(go())
    loop.settle()


def on_loop(loop: Loop, make: Callable[[], T]) -> T:
    """What `make` answers on the loop's own thread, where SQLite lets a journal be used."""

    async def go() -> T:
        return make()

    return loop.run(go())


def bodies(receiver: Receiver) -> list[str]:
    return [body for body, _ in receiver.got]


def test_webhook_carries_json_and_basic_auth(loop: Loop, receiver: Receiver) -> None:
    hooks = Webhooks(loop.ground, "acme")

    async def go() -> None:
        hooks.send(receiver.url, json={"a": 1}, headers={"X-Mine": "2"}, auth=("me", "pass"))

    loop.run(go())
    loop.settle()
    ((body, headers),) = receiver.got
    assert body == '{"a": 1}'
    assert headers["Authorization"] == "Basic bWU6cGFzcw=="
    assert (headers["Content-Type"], headers["X-Mine"]) == ("application/json", "2")


def test_refused_webhook_is_retried_over_virtual_time(loop: Loop, receiver: Receiver) -> None:
    receiver.statuses = [500, 503]
    hooks = Webhooks(loop.ground, "acme")
    send(loop, hooks, receiver.url, "x")
    assert len(receiver.got) == 1
    loop.advance(minutes=2)
    assert len(receiver.got) == 2
    loop.advance(minutes=10)
    assert len(receiver.got) == 3
    loop.advance(days=3)
    assert len(receiver.got) == 3
    assert len(hooks) == 0


def test_webhook_is_given_up_after_the_last_attempt(loop: Loop, receiver: Receiver) -> None:
    receiver.statuses = [500] * 10
    hooks = Webhooks(loop.ground, "acme", delays=(1, 1))
    send(loop, hooks, receiver.url, "x")
    loop.advance(hours=1)
    assert (len(receiver.got), len(hooks)) == (3, 0)


def test_nobody_listening_counts_as_refused(loop: Loop, receiver: Receiver) -> None:
    hooks = Webhooks(loop.ground, "acme", delays=(60,))
    send(loop, hooks, "http://127.0.0.1:9/hook", "x")
    assert len(hooks) == 1
    hooks.stop()


def test_duplicate_fault_delivers_twice(loop: Loop, receiver: Receiver) -> None:
    loop.ground.faults.add(Fault("acme-webhooks", FaultKind.DUPLICATE, count=1))
    hooks = Webhooks(loop.ground, "acme")
    send(loop, hooks, receiver.url, "x", "y")
    assert sorted(bodies(receiver)) == ["x", "x", "y"]


def test_reorder_fault_lets_a_later_webhook_pass(loop: Loop, receiver: Receiver) -> None:
    loop.ground.clock.freeze()
    loop.ground.faults.add(Fault("acme-webhooks", FaultKind.REORDER, count=1))
    hooks = Webhooks(loop.ground, "acme")
    send(loop, hooks, receiver.url, "first", "second")
    loop.advance(minutes=1)
    assert bodies(receiver) == ["second", "first"]


def test_pending_webhook_outlasts_a_restart(loop: Loop, receiver: Receiver, tmp_path: Path) -> None:
    receiver.statuses = [500]
    journal = on_loop(loop, lambda: Journal(tmp_path, "acme"))
    before = on_loop(loop, lambda: Webhooks(loop.ground, "acme", journal))
    send(loop, before, receiver.url, "x")
    before.stop()
    after = on_loop(loop, lambda: Webhooks(loop.ground, "acme", journal))
    loop.advance(minutes=5)
    on_loop(loop, journal.close)
    assert bodies(receiver) == ["x", "x"]
    assert len(after) == 0


def test_inbox_is_bounded_and_newest_first(loop: Loop, tmp_path: Path) -> None:
    async def go() -> tuple[list[str], list[str]]:
        journal = Journal(tmp_path, "acme")
        inbox = Inbox(loop.ground, "acme", journal, most=2)
        for number in range(3):
            inbox.add("mail", "a@example.org", f"s{number}", {"n": number})
        again = Inbox(loop.ground, "acme", journal, most=2)
        again.add("mail", "a@example.org", "s3", {})
        journal.close()
        return [s.subject for s in inbox.newest()], [s["subject"] for s in again.describe()]

    assert loop.run(go()) == (["s2", "s1"], ["s3", "s2"])
