"""Chargebee's webhooks at the front door: who is believed, what is kept."""

import base64

import pytest

from tests.conftest import House
from tests.functions.billing_site import Site, site

__all__ = ["site"]

NOTICE = {"id": "ev_1", "event_type": "customer_created", "content": {}}


def test_an_authentic_webhook_is_kept_raw_and_told(site: Site, house: House) -> None:
    assert site.send(NOTICE).status_code == 204
    (row,) = house.rows("SELECT id, vendor, vendor_event_id, body FROM platform.webhooks")
    assert (row["vendor"], row["vendor_event_id"]) == ("chargebee", "ev_1")
    assert b"customer_created" in row["body"]
    assert house.emitted("chargebee_webhook.received") == [{"webhook_id": str(row["id"])}]


def test_a_repeated_webhook_is_answered_alike_and_told_once(site: Site, house: House) -> None:
    assert [site.send(NOTICE).status_code for _ in range(3)] == [204, 204, 204]
    assert len(house.emitted("chargebee_webhook.received")) == 1


def test_a_wrong_password_is_refused_and_nothing_kept(site: Site, house: House) -> None:
    answer = site.send(NOTICE, password="guessed")
    assert answer.status_code == 401
    assert answer.json is not None
    assert answer.json["type"] == "urn:clinicloop:problem:webhook-not-authentic"
    assert house.rows("SELECT id FROM platform.webhooks") == []


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Bearer abc", "Basic " + base64.b64encode(b"\xff").decode()],
)
def test_a_malformed_credential_is_refused(house: House, header: str) -> None:
    headers = {"Authorization": header}
    answer = house.client("webhooks").post("/chargebee", data=b"{}", headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize("notice", [{}, {"id": ""}, {"id": 7}, {"id": "x" * 201}])
def test_a_body_that_is_no_event_is_invalid(site: Site, notice: dict[str, object]) -> None:
    answer = site.send(notice)
    assert answer.status_code == 400
