"""A vendor that hangs holds few threads, and is tried by one call at a time."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from shared.integrations import vendor_call
from shared.integrations.fcm import Fcm
from shared.integrations.vendor_call import (
    AT_ONCE,
    HOOKS,
    TIMEOUT,
    breaker_states,
    calling,
    calls_under_way,
    heed,
)
from shared.kernel import clock
from shared.kernel.errors import OutcomeUnknown, VendorError, VendorUnavailable
from tests.conftest import House
from tests.ports.messages import envelope, fresh
from tests.reliability.probe import wait_until

PROCESSES = 2
"""Of the functions' host; each has a breaker of its own."""


@pytest.fixture(autouse=True)
def untried() -> Iterator[None]:
    vendor_call._ways.clear()
    yield
    vendor_call._ways.clear()


class Hanging:
    """Calls to the vendor `mute` that hang until `time_out`; `made` counts those that went out."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        self._pool = pool
        self._over = threading.Event()
        self._counting = threading.Lock()
        self.made = 0

    def call(self) -> Future[None]:
        return self._pool.submit(self._call)

    def _call(self) -> None:
        with calling("mute"):
            with self._counting:
                self.made += 1
            self._over.wait(20)
            raise httpx.ReadTimeout("no answer")

    def time_out(self) -> None:
        """All that hang come to their end, and later ones at once."""
        self._over.set()


@pytest.fixture
def hanging() -> Iterator[Hanging]:
    with ThreadPoolExecutor(32) as pool:
        made = Hanging(pool)
        yield made
        made.time_out()


@contextmanager
def answers(reply: Callable[[httpx.Request], httpx.Response]) -> Iterator[httpx.Client]:
    """A client as the vendors' modules make theirs, in front of a vendor that answers so."""
    transport = httpx.MockTransport(reply)
    with httpx.Client(transport=transport, timeout=TIMEOUT, event_hooks=HOOKS) as client:
        yield client


def open_breaker(vendor: str) -> None:
    while breaker_states().get(vendor) != "open":
        with suppress(VendorError), calling(vendor):
            raise httpx.ReadTimeout("no answer")


def test_half_of_the_threads_wait_for_a_vendor_that_hangs(hanging: Hanging) -> None:
    calls = [hanging.call() for _ in range(32)]
    wait_until(lambda: sum(call.done() for call in calls) == 32 - AT_ONCE)
    assert (hanging.made, calls_under_way()) == (AT_ONCE, {"mute": AT_ONCE})
    refused = [call.exception(5) for call in calls if call.done()]
    assert {type(error) for error in refused} == {VendorUnavailable}


def test_breakers_of_all_processes_open_within_twenty_calls(hanging: Hanging) -> None:
    hanging.time_out()
    while breaker_states().get("mute") != "open":
        for call in [hanging.call() for _ in range(AT_ONCE)]:
            call.exception(5)
    assert hanging.made * PROCESSES <= 20


def test_place_of_a_call_that_ended_is_free_again(hanging: Hanging) -> None:
    with calling("mute"):
        assert calls_under_way() == {"mute": 1}
    assert calls_under_way() == {"mute": 0}


@pytest.mark.parametrize(("asks", "ends"), [("", OutcomeUnknown), ("30", VendorUnavailable)])
def test_call_that_waits_gets_the_place_unless_the_vendor_is_to_be_left_alone(
    hanging: Hanging, monkeypatch: pytest.MonkeyPatch, asks: str, ends: type[VendorError]
) -> None:
    monkeypatch.setattr(vendor_call, "_PATIENCE_SECONDS", 20)
    hanging.time_out()
    with ExitStack() as others:
        for _ in range(AT_ONCE - 1):
            others.enter_context(calling("mute"))
        with calling("mute"):
            waiting = hanging.call()
            wait_until(lambda: len(vendor_call._ways["mute"]._free._waiters) == 1)  # type: ignore[attr-defined]
            heed(asks)
        assert isinstance(waiting.exception(20), ends)
    assert hanging.made == (0 if asks else 1)


def test_call_that_opens_the_breaker_leaves_its_own_outcome_unknown() -> None:
    errors = []
    while breaker_states().get("mute") != "open":
        with pytest.raises(VendorError) as raised, calling("mute"):
            raise httpx.ReadTimeout("no answer")
        errors.append(raised.type)
    assert set(errors) == {OutcomeUnknown}


def test_exactly_one_call_tries_a_vendor_that_has_rested(house: House, hanging: Hanging) -> None:
    open_breaker("mute")
    house.move(clock.now() + timedelta(seconds=5))
    calls = [hanging.call() for _ in range(16)]
    wait_until(lambda: sum(call.done() for call in calls) == 15)
    assert hanging.made == 1
    assert breaker_states() == {"mute": "half-open"}


def test_trial_that_fails_lets_the_vendor_rest_again(house: House, hanging: Hanging) -> None:
    open_breaker("mute")
    house.move(clock.now() + timedelta(seconds=5))
    hanging.time_out()
    assert isinstance(hanging.call().exception(5), OutcomeUnknown)
    assert isinstance(hanging.call().exception(5), VendorUnavailable)
    assert hanging.made == 1


def test_trial_that_succeeds_lets_all_calls_through(house: House, hanging: Hanging) -> None:
    open_breaker("mute")
    house.move(clock.now() + timedelta(seconds=5))
    with calling("mute"):
        pass
    assert breaker_states() == {"mute": "closed"}
    calls = [hanging.call() for _ in range(AT_ONCE)]
    wait_until(lambda: hanging.made == AT_ONCE)
    assert not any(call.done() for call in calls)


def test_trial_waits_less_long_than_other_calls(house: House) -> None:
    waited = []

    def reply(request: httpx.Request) -> httpx.Response:
        waited.append(request.extensions["timeout"]["read"])
        return httpx.Response(200)

    with answers(reply) as client:
        with calling("mute"):
            client.get("http://mute.test")
        open_breaker("mute")
        house.move(clock.now() + timedelta(seconds=5))
        with calling("mute"):
            client.get("http://mute.test")
    usual, trial = waited
    assert trial < usual


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_vendor_is_left_alone_for_as_long_as_it_asks(house: House, form: str) -> None:
    now = clock.now().replace(microsecond=0)
    house.move(now)
    until = clock.now().replace(microsecond=0) + timedelta(seconds=30)
    asks = "30" if form == "seconds" else format_datetime(until, usegmt=True)
    reached = []

    def reply(_: httpx.Request) -> httpx.Response:
        reached.append(clock.now())
        return httpx.Response(429, headers={"Retry-After": asks})

    def call() -> None:
        with suppress(VendorUnavailable), calling("mute"):
            client.get("http://mute.test")

    with answers(reply) as client:
        call()
        house.move(clock.now() + timedelta(seconds=28))
        call()
        assert len(reached) == 1
        house.move(clock.now() + timedelta(seconds=3))
        call()
    assert len(reached) == 2


@pytest.mark.parametrize("asks", ["soon", "", "-5", "99999999999999999999"])
def test_wait_that_cannot_be_meant_bars_nobody_for_long(house: House, asks: str) -> None:
    with (
        answers(lambda _: httpx.Response(503, headers={"Retry-After": asks})) as client,
        calling("mute"),
    ):
        client.get("http://mute.test")
    house.move(clock.now() + timedelta(hours=1, seconds=1))
    with calling("mute"):
        pass


def test_push_service_that_is_asked_too_often_is_left_alone(house: House) -> None:
    before = house.cloud.inbox("fcm")
    house.cloud.fault("fcm", "429", count=1)
    with fresh():
        fcm = Fcm()
        for _ in range(2):
            with pytest.raises(VendorUnavailable):
                fcm.send(envelope("device"))
        assert house.cloud.inbox("fcm") == before
        house.move(clock.now() + timedelta(seconds=1))
        assert fcm.send(envelope("device"))
        fcm.close()
