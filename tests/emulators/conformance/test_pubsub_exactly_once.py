"""Exactly-once delivery, as documented under "Exactly-once delivery"."""

import queue
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1.subscriber.exceptions import AcknowledgeStatus

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def failures(refused: pytest.ExceptionInfo[Any]) -> dict[str, str]:
    """Ack id -> reason, as the clients read it."""
    (info,) = refused.value.details
    assert info.reason == "EXACTLY_ONCE_ACKID_FAILURE"
    assert info.domain == "pubsub.googleapis.com"
    return dict(info.metadata)


def test_an_acknowledgement_in_time_succeeds(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("x")
    api.ack(*api.pulled(1))
    assert api.pull() == []


@pytest.mark.differs("takes late acknowledgements until the message is delivered again")
def test_an_acknowledgement_after_the_deadline_fails(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("x")
    (late,) = api.pulled(1)
    api.deadline(1, late)
    api.target.pass_time(2)
    with pytest.raises(exceptions.InvalidArgument):
        api.ack(late)
    assert texts(api.pulled(1)) == ["x"]


def test_failed_ack_ids_are_named_and_the_others_count(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("late", "in time")
    late, in_time = sorted(api.pulled(2), key=lambda each: each.message.data, reverse=True)
    api.deadline(0, late)
    with pytest.raises(exceptions.InvalidArgument) as refused:
        api.ack(late, in_time)
    assert failures(refused) == {late.ack_id: "PERMANENT_FAILURE_INVALID_ACK_ID"}
    assert texts(api.pulled(1)) == ["late"]
    assert api.pull() == []


def test_a_deadline_that_is_over_cannot_be_moved(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("x")
    (message,) = api.pulled(1)
    api.ack(message)
    with pytest.raises(exceptions.InvalidArgument) as refused:
        api.deadline(30, message)
    assert set(failures(refused)) == {message.ack_id}


def test_only_the_latest_ack_id_counts(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("x")
    (first,) = api.pulled(1)
    api.deadline(0, first)
    (second,) = api.pulled(1)
    with pytest.raises(exceptions.InvalidArgument):
        api.ack(first)
    api.ack(second)


def test_the_client_hears_that_an_acknowledgement_succeeded(api: Api) -> None:
    api.subscribe(enable_exactly_once_delivery=True)
    api.publish("x")
    results: queue.Queue[Any] = queue.Queue()

    def handle(message: Any) -> None:
        message.ack_with_response().add_done_callback(lambda done: results.put(done.result()))

    stream = api.subscriber.subscribe(api.subscription, handle)
    try:
        assert results.get(timeout=10) is AcknowledgeStatus.SUCCESS
    finally:
        stream.cancel()
        stream.result(timeout=20)


@pytest.mark.differs("takes exactly-once delivery for push subscriptions")
def test_push_subscriptions_have_no_exactly_once_delivery(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(
            enable_exactly_once_delivery=True,
            push_config={"push_endpoint": "http://127.0.0.1:9/push"},
        )
