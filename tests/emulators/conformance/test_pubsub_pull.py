"""Pulling, acknowledging and ack deadlines as google.pubsub.v1 documents them."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def test_an_acknowledged_message_does_not_come_again(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    api.ack(*api.pulled(1))
    api.target.pass_time(3)
    assert api.pull() == []


def test_a_message_out_does_not_come_to_another_puller(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    api.pulled(1)
    assert api.pull() == []


def test_a_message_comes_again_after_its_deadline(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    (first,) = api.pulled(1)
    api.deadline(2, first)
    api.target.pass_time(3)
    (second,) = api.pulled(1)
    assert second.message.message_id == first.message.message_id
    assert second.ack_id != first.ack_id


def test_an_extended_deadline_keeps_the_message_away(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    (message,) = api.pulled(1)
    api.deadline(2, message)
    api.deadline(30, message)
    api.target.pass_time(3)
    assert api.pull() == []
    api.ack(message)


def test_a_deadline_of_zero_brings_the_message_at_once(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    api.deadline(0, *api.pulled(1))
    assert texts(api.pulled(1)) == ["x"]


def test_a_pull_gives_no_more_than_asked_for(api: Api) -> None:
    api.subscribe()
    api.publish(*"abcde")
    assert len(api.pull(most=2)) <= 2
    assert len(api.pulled(3)) == 3


def test_a_pull_waits_for_a_message(api: Api) -> None:
    api.subscribe()
    with ThreadPoolExecutor(1) as pool:
        pulling = pool.submit(
            api.subscriber.pull, subscription=api.subscription, max_messages=1, timeout=10
        )
        time.sleep(0.3)
        api.publish("x")
        assert texts(pulling.result(10).received_messages) == ["x"]


def test_a_pull_is_answered_before_its_caller_gives_up(api: Api) -> None:
    api.subscribe()
    answer = api.subscriber.pull(
        subscription=api.subscription, max_messages=1, timeout=1, retry=None
    )
    assert list(answer.received_messages) == []


@pytest.mark.parametrize("most", [0])
def test_a_pull_of_nothing_is_refused(api: Api, most: int) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.pull(most=most)


@pytest.mark.differs("answers a negative max_messages")
def test_a_pull_of_a_negative_number_is_refused(api: Api) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.pull(most=-1)


def test_a_late_acknowledgement_is_taken(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    (message,) = api.pulled(1)
    api.ack(message)
    api.ack(message)
    api.deadline(30, message)


def test_an_ack_id_belongs_to_its_subscription(api: Api) -> None:
    api.subscribe()
    api.subscribe("second")
    api.publish("x")
    (message,) = api.pulled(1)
    (other,) = api.pulled(1, "second")
    with pytest.raises(exceptions.InvalidArgument):
        api.ack(message, short="second")
    api.ack(other, short="second")


@pytest.mark.parametrize("ack_ids", [[], ["garbage"], [""]])
def test_requests_without_proper_ack_ids_are_refused(api: Api, ack_ids: list[str]) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.subscriber.acknowledge(subscription=api.subscription, ack_ids=ack_ids)
    with pytest.raises(exceptions.InvalidArgument):
        api.subscriber.modify_ack_deadline(
            subscription=api.subscription, ack_ids=ack_ids, ack_deadline_seconds=10
        )


def test_a_negative_deadline_is_refused(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    with pytest.raises(exceptions.InvalidArgument):
        api.deadline(-1, *api.pulled(1))


@pytest.mark.differs("takes deadlines of more than ten minutes")
def test_a_deadline_of_more_than_ten_minutes_is_refused(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    with pytest.raises(exceptions.InvalidArgument):
        api.deadline(601, *api.pulled(1))


@pytest.mark.differs("takes acknowledgements of any size")
def test_an_acknowledgement_of_more_than_512_kib_is_refused(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    (message,) = api.pulled(1)
    count = (512 << 10) // len(message.ack_id) + 1
    with pytest.raises(exceptions.InvalidArgument):
        api.ack(*[message] * count)


def test_two_pullers_share_the_messages(api: Api) -> None:
    api.subscribe()
    api.publish(*"abcdef")
    found = api.pulled(3) + api.pulled(3)
    assert sorted(texts(found)) == list("abcdef")


def test_no_delivery_attempt_without_a_dead_letter_policy(api: Api) -> None:
    api.subscribe()
    api.publish("x")
    (message,) = api.pulled(1)
    assert message.delivery_attempt == 0


def test_a_pull_subscription_becomes_push_and_pull_again(api: Api) -> None:
    api.subscribe()
    api.subscriber.modify_push_config(
        subscription=api.subscription, push_config={"push_endpoint": "http://127.0.0.1:9/push"}
    )
    assert api.got().push_config.push_endpoint == "http://127.0.0.1:9/push"
    api.subscriber.modify_push_config(subscription=api.subscription, push_config={})
    assert not api.got().push_config.push_endpoint
    api.publish("x")
    assert texts(api.pulled(1)) == ["x"]


@pytest.mark.differs("answers a pull from a push subscription")
def test_a_push_subscription_cannot_be_pulled(api: Api) -> None:
    api.subscribe(push_config={"push_endpoint": "http://127.0.0.1:9/push"})
    with pytest.raises(exceptions.FailedPrecondition):
        api.pull()
