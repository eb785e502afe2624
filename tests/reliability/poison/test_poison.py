"""Poison is parked whole and tells nothing; whoever is healthy, and what is mended, counts once."""

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.reliability.poison.run import Ward, ward
from tests.reliability.poison.sorts import MENDABLE

pytestmark = [
    pytest.mark.timeout(180),
    # aiohttp says of a body above 1 MB that it may lock the loop; the oversize message has one.
    pytest.mark.filterwarnings("ignore:Sending a large body:ResourceWarning"),
]
MESSAGES, SHARE, SEED = 160, 0.125, 4


@pytest.fixture(scope="module")
def after(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ward]:
    """The ward when all is delivered, and what cannot be handled is parked."""
    with ward(tmp_path_factory.mktemp("ward"), SEED) as made:
        made.publish(made.mix(MESSAGES, SHARE))
        made.rest()
        yield made


@pytest.fixture(scope="module")
def facts(after: Ward) -> dict[str, Any]:
    """Before anything is replayed."""
    return after.facts()


@pytest.fixture(scope="module")
def replayed(after: Ward, facts: dict[str, Any]) -> dict[str, set[int]]:
    """How replays were answered once it was mended what could be."""
    after.mend()
    return after.replay_all()


def test_all_sorts_of_poison_are_among_the_messages(after: Ward) -> None:
    assert {one.sort for one in after.sent} >= {"", "oversize", "always raises", *MENDABLE}
    assert sum(not one.sort for one in after.sent) == MESSAGES * (1 - SHARE)


def test_healthy_messages_come_after_poison_of_the_same_ordering_key(after: Ward) -> None:
    poisoned: set[str] = set()
    behind = 0
    for one in after.sent:
        behind += not one.sort and one.message.ordering_key in poisoned
        if one.attempts > 1:
            poisoned.add(one.message.ordering_key)
    assert behind > 0


@pytest.mark.parametrize(
    "wrong",
    [
        "poison not parked",
        "healthy parked",
        "bodies that differ",
        "reasons that tell",
        "payments counted wrongly",
        "payments told wrongly",
        "left under way",
    ],
)
def test_of_a_mix_of_messages_nothing_is(facts: dict[str, Any], wrong: str) -> None:
    assert facts[wrong] == []


def test_a_letter_that_is_not_there_is_found_by_nobody(after: Ward) -> None:
    stranger = {"id": uuid4(), "function": "invoice_handler"}
    assert (after.replay(stranger), after.replay_by_page(stranger)) == (404, 404)


def test_a_function_finds_no_letter_of_another(after: Ward) -> None:
    letter = next(one for one in after.letters() if one["function"] == "invoice_handler")
    assert after.replay(letter, "support_agent") == 404


def test_what_was_mended_takes_effect_once_however_often_it_is_replayed(
    after: Ward, replayed: dict[str, set[int]]
) -> None:
    # 503: another replay of the same letter had the vendor's intent just then.
    assert set().union(*(replayed[sort] for sort in MENDABLE)) <= {200, 204, 503}
    assert after.miscounted() == []
    told = [sent for sent in after.stage.sent("zendesk") if sent.kind == "user"]
    mended = [one for one in after.sent if one.sort == "refused by a vendor"]
    assert len(told) == len(mended)


def test_whoever_replays_what_still_fails_is_told_so(
    after: Ward, replayed: dict[str, set[int]]
) -> None:
    hopeless = {sort: answers for sort, answers in replayed.items() if sort not in MENDABLE}
    assert set(hopeless) >= {"no JSON", "oversize", "rule violated"}
    assert set().union(*hopeless.values()) == {422}
    sorts = {one.message.message_id: one.sort for one in after.sent}
    assert {sorts[letter["message"]] for letter in after.waiting()} == set(hopeless)


def test_what_pubsub_gave_up_is_replayed_from_the_page(
    after: Ward, replayed: dict[str, set[int]]
) -> None:
    sent = after.outlast("zendesk")
    (letter,) = [
        one for one in after.waiting() if not one["handler"] and "gave up" in one["reason"]
    ]
    assert (letter["function"], letter["attributes"]["ce-id"]) == ("support_agent", sent.event_id)
    assert after.replay_by_page(letter) == 200
    assert sent.customer is not None
    assert after.stage.sent("zendesk")[-1].to == sent.customer.email


def test_a_batch_from_the_page_says_what_still_fails(
    after: Ward, replayed: dict[str, set[int]]
) -> None:
    url = f"{after.cloud.console_url}/api/dead-letters/replay"
    asked = {"function": "invoice_handler", "handler": "value_grows", "reason": "Malformed"}
    waiting = [one for one in after.waiting() if one["handler"] == "value_grows"]
    answer = after.http.post(url, json=asked).json()
    assert {one["id"] for one in answer["failed"]} == {str(one["id"]) for one in waiting} != set()
    assert (answer["replayed"], answer["next"]) == (0, None)
    assert after.http.post(url, json=asked | {"function": "no_such"}).status_code == 404
