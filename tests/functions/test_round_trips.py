"""What a portal call costs, as counts: above all how often it speaks with Postgres.

In the cloud each time is a millisecond or more.
"""

from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any

import pytest
from pydantic.json_schema import GenerateJsonSchema
from werkzeug.test import TestResponse

from bench.trips import Trips, counted
from shared.kernel.tenancy import Role
from shared.platform import postgres, settings
from tests.conftest import BERLIN, House
from tests.functions.test_portal_contracts import CUSTOMER, PLAN, request_contract

Call = tuple[str, str, Any]
Ask = Callable[[Call], TestResponse]
READS: dict[str, tuple[int, Call]] = {
    "customer_read": (3, ("GET", "/customers/me", None)),
    "contracts_list": (3, ("GET", "/contracts?limit=20", None)),
    "contract_read": (3, ("GET", "/contracts/{contract}", None)),
    "subscriptions_list": (3, ("GET", "/subscriptions", None)),
    "invoices_list": (3, ("GET", "/invoices", None)),
    "messages_list": (3, ("GET", "/messages", None)),
    "preferences_read": (3, ("GET", "/customers/me/preferences", None)),
    "plans_list": (2, ("GET", "/plans", None)),
}
"""A statement each for who asks and for what, and the end of the transaction."""

CANCEL: Call = ("POST", "/contracts/{contract}/cancellation", {"at_term": True})
KEEP: Call = ("DELETE", "/contracts/{contract}/cancellation", None)
WRITES: dict[str, tuple[int, list[Call]]] = {
    "customer_update": (5, [("PATCH", "/customers/me", {"locale": i}) for i in ("fr", "en")]),
    "contract_cancel": (5, [CANCEL, KEEP]),
}
"""Besides, the row is locked and written; events leave with the commit, and are marked as sent."""


@pytest.fixture
def trips(house: House, monkeypatch: pytest.MonkeyPatch) -> Iterator[Trips]:
    """A proxy between the portal and Postgres."""
    with counted() as proxy:
        for name, value in proxy.environment.items():
            monkeypatch.setenv(name, value)
        _reconnect()
        yield proxy
        _reconnect()


def _reconnect() -> None:
    """Let the next statement make an engine anew, from the environment as it is now."""
    if postgres.engine.cache_info().currsize:
        postgres.engine().dispose()
    postgres.engine.cache_clear()
    settings.load.cache_clear()


@pytest.fixture
def ask(house: House, trips: Trips) -> Ask:
    """Ada, who has a contract, asks the portal."""
    admin = house.id_token("admin", Role.CLINIC_ADMIN, BERLIN)
    assert house.portal("PUT", "/plans/hair-loss", admin, PLAN).status_code == 200
    token = house.id_token("ada")
    assert house.portal("POST", "/customers", token, CUSTOMER).status_code == 201
    made = house.portal("POST", "/contracts", token, request_contract()).get_json()

    def asked(call: Call) -> TestResponse:
        method, path, body = call
        answer = house.portal(method, path.format(contract=made["id"]), token, body)
        assert answer.status_code == 200, answer.text
        return answer

    return asked


@pytest.mark.parametrize("route", READS)
def test_a_read_takes_few_round_trips(route: str, trips: Trips, ask: Ask) -> None:
    most, call = READS[route]
    assert trips.each(lambda: ask(call), 2) <= most


@pytest.mark.parametrize("route", WRITES)
def test_a_write_takes_few_round_trips(route: str, trips: Trips, ask: Ask) -> None:
    most, calls = WRITES[route]
    next_one = cycle(calls)
    assert trips.each(lambda: ask(next(next_one)), 2) <= most


def test_a_call_that_is_refused_at_the_door_takes_none(house: House, trips: Trips) -> None:
    assert trips.each(lambda: house.portal("GET", "/customers/me", None), 2) == 0


def test_a_list_makes_no_schema_of_its_parameters(
    ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = READS["contracts_list"][1]
    ask(call)
    monkeypatch.delattr(GenerateJsonSchema, "generate")
    ask(call)
