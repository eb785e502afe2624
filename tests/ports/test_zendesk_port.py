"""The support desk on Zendesk's JSON API."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx
import pytest

from shared.domains.support.model import CustomerRecord, Priority
from shared.integrations import vendor_call
from shared.integrations.zendesk import Zendesk, ZendeskSettings
from shared.kernel.errors import OutcomeUnknown, VendorRefused, VendorUnavailable
from shared.kernel.ids import CustomerId, TicketId
from shared.kernel.phi import Phi
from shared.platform.settings import load
from tests.conftest import House

TEXT = "Collection attempt 1 was declined (soft)."


@pytest.fixture
def desk(house: House) -> Iterator[Zendesk]:
    load.cache_clear()
    vendor_call._ways.clear()
    desk = Zendesk()
    yield desk
    desk.close()
    vendor_call._ways.clear()


@pytest.fixture
def http(house: House) -> Iterator[httpx.Client]:
    """Zendesk as an agent sees it."""
    settings = load(ZendeskSettings)
    auth = (f"{settings.zendesk_email}/token", settings.zendesk_token)
    with httpx.Client(base_url=f"{settings.zendesk_url}/api/v2", auth=auth) as client:
        yield client


def somebody(name: str = "Ada Example", customer_id: CustomerId | None = None) -> CustomerRecord:
    own = customer_id or CustomerId.new()
    return CustomerRecord(own, Phi(name), Phi(f"{own}@example.com"))


def opened(desk: Zendesk, ticket: TicketId, text: str = TEXT) -> int:
    return desk.open_ticket(ticket, somebody(), "Payment", text, Priority.HIGH)


def shown(http: httpx.Client, number: int) -> dict[str, Any]:
    ticket: dict[str, Any] = http.get(f"/tickets/{number}.json").json()["ticket"]
    return ticket


def comments(http: httpx.Client, number: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = http.get(f"/tickets/{number}/comments.json").json()["comments"]
    return found


def test_a_customer_has_one_record_with_the_contact_point_only(
    desk: Zendesk, http: httpx.Client
) -> None:
    ada = somebody()
    number = desk.keep_customer(ada)
    assert desk.keep_customer(somebody("Ada Changed", ada.customer_id)) == number
    user = http.get(f"/users/{number}.json").json()["user"]
    assert (user["name"], user["external_id"]) == ("Ada Changed", str(ada.customer_id))
    assert (user["phone"], user["notes"], user["details"]) == (None, "", "")


def test_a_customer_without_an_address_is_kept_by_name(desk: Zendesk, http: httpx.Client) -> None:
    number = desk.keep_customer(CustomerRecord(CustomerId.new(), Phi("Ada"), None))
    assert http.get(f"/users/{number}.json").json()["user"]["email"] is None


def test_a_ticket_is_found_as_soon_as_it_is_open(desk: Zendesk) -> None:
    ticket = TicketId.new()
    assert desk.find_ticket(ticket) is None
    number = opened(desk, ticket)
    assert desk.find_ticket(ticket) == number


def test_opening_twice_gives_the_same_ticket(desk: Zendesk) -> None:
    ticket, ada = TicketId.new(), somebody()
    first = desk.open_ticket(ticket, ada, "Payment", TEXT, Priority.HIGH)
    assert desk.open_ticket(ticket, ada, "Payment", TEXT, Priority.HIGH) == first


def test_opening_twice_in_other_words_is_an_unknown_outcome(desk: Zendesk) -> None:
    ticket = TicketId.new()
    opened(desk, ticket)
    with pytest.raises(OutcomeUnknown):
        opened(desk, ticket, "Other words.")


def test_tickets_and_notes_are_for_agents_only(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new())
    desk.add_note(number, "Every collection attempt was declined.", Priority.URGENT)
    assert [comment["public"] for comment in comments(http, number)] == [False, False]
    assert shown(http, number)["priority"] == "urgent"


def test_a_note_is_added_once(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new(), f"{TEXT}\n\nInvoice 1")
    for _ in range(2):
        desk.add_note(number, TEXT)
        desk.add_note(number, "Another.")
    assert [comment["body"] for comment in comments(http, number)][1:] == ["Another."]


def test_a_note_on_the_second_page_is_seen(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new())
    for nth in range(105):
        change = {"comment": {"body": f"Note {nth}."}}
        http.put(f"/tickets/{number}.json", json={"ticket": change})
    desk.add_note(number, "Note 104.")
    last = http.get(f"/tickets/{number}/comments.json", params={"page": 2}).json()
    assert last["count"] == 106


def test_a_ticket_is_solved(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new())
    desk.add_note(number, "The invoice is settled.", solve=True)
    assert shown(http, number)["status"] == "solved"


@pytest.mark.parametrize("about", [{"priority": Priority.URGENT}, {"solve": True}], ids=str)
def test_a_ticket_that_says_it_already_is_left_alone(
    house: House, desk: Zendesk, about: dict[str, Any]
) -> None:
    number = opened(desk, TicketId.new())
    told = len(house.cloud.inbox("zendesk"))
    for _ in range(2):
        desk.add_note(number, "The last attempt was declined.", **about)
    assert len(house.cloud.inbox("zendesk")) == told + 1


def test_a_closed_ticket_need_not_be_solved(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new())
    http.put(f"/tickets/{number}.json", json={"ticket": {"status": "closed"}})
    desk.add_note(number, "The invoice is settled.", solve=True)
    assert shown(http, number)["status"] == "closed"


def test_a_note_on_a_closed_ticket_is_refused(desk: Zendesk, http: httpx.Client) -> None:
    number = opened(desk, TicketId.new())
    http.put(f"/tickets/{number}.json", json={"ticket": {"status": "closed"}})
    with pytest.raises(VendorRefused, match="422 RecordInvalid"):
        desk.add_note(number, "Another.")


def test_a_refusal_repeats_no_value(desk: Zendesk) -> None:
    taken = Phi("same@example.com")
    desk.keep_customer(CustomerRecord(CustomerId.new(), Phi("Ada"), taken))
    with pytest.raises(VendorRefused) as refused:
        desk.keep_customer(CustomerRecord(CustomerId.new(), Phi("Bob"), taken))
    assert str(refused.value) == "zendesk: 422 RecordInvalid"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("down", OutcomeUnknown),
        ("429", VendorUnavailable),
        ("fail-after-success", OutcomeUnknown),
    ],
)
def test_what_goes_wrong_says_whether_it_may_have_happened(
    house: House, desk: Zendesk, fault: str, error: type[Exception]
) -> None:
    house.cloud.fault("zendesk", fault, count=1)
    with pytest.raises(error):
        opened(desk, TicketId.new())


def test_a_lost_answer_is_found_again(house: House, desk: Zendesk) -> None:
    ticket = TicketId.new()
    house.cloud.fault("zendesk", "fail-after-success", count=1)
    with suppress(OutcomeUnknown):
        opened(desk, ticket)
    assert desk.find_ticket(ticket) is not None


def test_wrong_credentials_are_a_refusal(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENDESK_TOKEN", "wrong")
    load.cache_clear()
    desk = Zendesk()
    with pytest.raises(VendorRefused, match="401"):
        desk.find_ticket(TicketId.new())
    desk.close()
    monkeypatch.undo()
    load.cache_clear()
