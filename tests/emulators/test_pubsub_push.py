"""Push subscriptions: the official client publishes, a real HTTP receiver is pushed to."""

import asyncio
import itertools
import socket

import pytest
from google.pubsub_v1 import types

from emulators import http_target
from emulators.faults import Fault, FaultKind
from tests.emulators.pubsub_cloud import (
    PROJECT,
    SENDER,
    SUBSCRIPTION,
    TOPIC,
    Cloud,
    backoff,
    verified,
)

DEAD_TOPIC = f"{PROJECT}/topics/dead-letters"
DEAD = f"{PROJECT}/subscriptions/dead-letters"


def dead_letter_policy(cloud: Cloud, attempts: int = 5) -> types.DeadLetterPolicy:
    cloud.publisher.create_topic(name=DEAD_TOPIC)
    cloud.subscribe(DEAD, DEAD_TOPIC)
    return types.DeadLetterPolicy(dead_letter_topic=DEAD_TOPIC, max_delivery_attempts=attempts)


def test_push_carries_a_token_that_google_auth_verifies(cloud: Cloud) -> None:
    oidc = types.PushConfig.OidcToken(service_account_email=SENDER, audience="clinicloop")
    cloud.push(push={"oidc_token": oidc})
    cloud.publish()
    cloud.loop.settle()
    scheme, token = cloud.receiver.requests[0][0]["Authorization"].split()
    claims = verified(token, cloud.loop.ground.tokens.certificates(), "clinicloop")
    assert scheme == "Bearer"
    assert (claims["email"], claims["email_verified"]) == (SENDER, True)


def test_audience_defaults_to_the_endpoint(cloud: Cloud) -> None:
    cloud.push(push={"oidc_token": types.PushConfig.OidcToken(service_account_email=SENDER)})
    cloud.publish()
    cloud.loop.settle()
    token = cloud.receiver.requests[0][0]["Authorization"].removeprefix("Bearer ")
    assert verified(token, cloud.loop.ground.tokens.certificates(), cloud.receiver.url)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_success_acknowledges(cloud: Cloud, status: int) -> None:
    cloud.receiver.answer = lambda _: status
    cloud.push()
    cloud.publish()
    cloud.loop.settle()
    assert cloud.outcomes() == ["acked"]
    assert cloud.backlog() == 0


@pytest.mark.parametrize("status", [203, 301, 400, 403, 429, 500, 503])
def test_any_other_status_is_a_nack(cloud: Cloud, status: int) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: status
    cloud.push()
    cloud.publish()
    cloud.loop.settle()
    assert [(each.outcome, each.status) for each in cloud.engine.deliveries()] == [
        ("nacked", status)
    ]
    assert cloud.backlog() == 1


def test_unreachable_endpoint_is_tried_until_it_answers(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    right, cloud.receiver.url = cloud.receiver.url, "http://127.0.0.1:1/push"
    cloud.push()
    cloud.publish()
    cloud.loop.settle()
    cloud.subscriber.modify_push_config(
        subscription=SUBSCRIPTION, push_config=types.PushConfig(push_endpoint=right)
    )
    cloud.loop.advance(seconds=1)
    assert cloud.outcomes() == ["nacked", "acked"]


def test_silent_endpoint_cannot_hold_up_virtual_time(
    cloud: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_target, "STALL_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as listening:  # takes connections, answers nothing
        cloud.receiver.url = f"http://127.0.0.1:{listening.getsockname()[1]}/push"
        cloud.push(retry_policy=backoff(60, 60), ack_deadline_seconds=600)
        cloud.loop.ground.clock.freeze()
        cloud.publish()
        cloud.loop.advance(seconds=90)
    assert cloud.outcomes() == ["nacked", "nacked"]


def test_retry_policy_doubles_up_to_its_maximum(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push(retry_policy=backoff(10, 60))
    cloud.publish()
    cloud.loop.settle()
    cloud.loop.advance(seconds=200)
    times = [each.delivered_at for each in cloud.engine.deliveries()]
    gaps = [(late - early).total_seconds() for early, late in itertools.pairwise(times)]
    assert gaps == [10, 20, 40, 60, 60]


def test_without_a_retry_policy_backoff_grows_from_a_tenth_of_a_second(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push()
    cloud.publish()
    cloud.loop.settle()
    cloud.loop.advance(seconds=2)
    times = [each.delivered_at for each in cloud.engine.deliveries()]
    gaps = [(late - early).total_seconds() for early, late in itertools.pairwise(times)]
    assert gaps == [0.1, 0.2, 0.4, 0.8]


def test_message_is_dead_lettered_after_its_last_attempt(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push(dead_letter_policy=dead_letter_policy(cloud), retry_policy=backoff(10, 600))
    cloud.publish("poison", kind="x")
    cloud.loop.settle()
    cloud.loop.advance(hours=1)
    assert [body["deliveryAttempt"] for body in cloud.receiver.bodies()] == [1, 2, 3, 4, 5]
    assert cloud.outcomes() == ["nacked"] * 5 + ["dead-lettered"]
    assert cloud.backlog() == 0
    (dead,) = cloud.pull(DEAD)
    attributes = dict(dead.message.attributes)
    assert attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime").endswith("Z")
    assert attributes == {
        "kind": "x",
        "CloudPubSubDeadLetterSourceDeliveryCount": "5",
        "CloudPubSubDeadLetterSourceSubscription": "agent.contract-events",
        "CloudPubSubDeadLetterSourceSubscriptionProject": "clinicloop-local",
    }
    assert dead.message.data == b"poison"


def test_poison_message_does_not_hold_up_its_neighbours(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda data: 500 if data == "poison" else 204
    cloud.push()
    for data in ("poison", "a", "b"):
        cloud.publish(data)
    cloud.loop.settle()
    assert cloud.backlog() == 1


def test_failing_message_holds_up_its_ordering_key_alone(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.push(enable_message_ordering=True)
    cloud.receiver.answer = lambda data: 500 if data == "a1" else 204
    for data in ("a1", "b1", "a2", "b2"):
        cloud.publish(data, key=data[0])
    cloud.loop.settle()
    assert sorted(cloud.receiver.data()) == ["a1", "b1", "b2"]
    cloud.receiver.answer = lambda _: 204
    cloud.loop.advance(seconds=1)
    assert cloud.receiver.data()[-2:] == ["a1", "a2"]
    assert cloud.backlog() == 0


def test_messages_of_one_key_arrive_in_order(cloud: Cloud) -> None:
    cloud.push(enable_message_ordering=True)
    sent = [f"{number}" for number in range(60)]
    for data in sent:
        cloud.publish(data, key="c-1")
    cloud.loop.settle()
    assert cloud.receiver.data() == sent


def test_dead_lettered_message_lets_its_followers_go(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda data: 500 if data == "poison" else 204
    cloud.push(dead_letter_policy=dead_letter_policy(cloud), enable_message_ordering=True)
    cloud.publish("poison", key="c-1")
    cloud.publish("next", key="c-1")
    cloud.loop.settle()
    cloud.loop.advance(minutes=1)
    assert cloud.receiver.data() == ["poison"] * 5 + ["next"]


def test_without_its_dead_letter_topic_a_message_stays(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push(dead_letter_policy=dead_letter_policy(cloud), retry_policy=backoff(1, 1))
    cloud.publisher.delete_topic(topic=DEAD_TOPIC)
    cloud.publish()
    cloud.loop.settle()
    cloud.loop.advance(seconds=7)
    assert len(cloud.receiver.requests) == 8
    assert cloud.backlog() == 1


def test_message_is_dropped_after_the_retention_of_its_subscription(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push(retry_policy=backoff(600, 600), message_retention_duration={"seconds": 3600})
    cloud.publish()
    cloud.loop.settle()
    cloud.loop.advance(days=1)
    assert cloud.outcomes() == ["nacked"] * 6 + ["expired"]
    assert cloud.backlog() == 0


def test_filter_decides_what_is_pushed(cloud: Cloud) -> None:
    cloud.push(filter='attributes.ce-type = "contract.created"')
    cloud.publish("no", **{"ce-type": "contract.renewed"})
    cloud.publish("yes", **{"ce-type": "contract.created"})
    cloud.loop.settle()
    assert cloud.receiver.data() == ["yes"]


def test_no_more_than_sixteen_pushes_of_a_subscription_run_at_once(cloud: Cloud) -> None:
    running = [0, 0]
    release = asyncio.Event()
    take = cloud.receiver.take

    async def slow(request):  # type: ignore[no-untyped-def]
        running[0] += 1
        running[1] = max(running)
        if running[0] == 16:
            cloud.loop.loop.call_later(0.05, release.set)
        await release.wait()
        running[0] -= 1
        return await take(request)

    cloud.receiver.take = slow  # type: ignore[method-assign]
    cloud.push()
    for number in range(40):
        cloud.publish(str(number))
    cloud.loop.settle()
    assert running[1] == 16
    assert len(cloud.receiver.requests) == 40


def test_duplicate_fault_pushes_twice(cloud: Cloud) -> None:
    cloud.push()
    cloud.loop.ground.faults.add(Fault("pubsub", FaultKind.DUPLICATE, count=1))
    cloud.publish("once")
    cloud.publish("again")
    cloud.loop.settle()
    assert cloud.receiver.data() == ["once", "once", "again"]
    assert cloud.backlog() == 0


def test_reorder_fault_pushes_after_the_followers(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.push()
    cloud.loop.ground.faults.add(Fault("pubsub", FaultKind.REORDER, count=1))
    for data in ("first", "second", "third"):
        cloud.publish(data)
    cloud.loop.settle()
    cloud.loop.advance(seconds=5)
    assert cloud.receiver.data() == ["second", "third", "first"]


def test_reorder_fault_leaves_ordered_messages_alone(cloud: Cloud) -> None:
    cloud.push(enable_message_ordering=True)
    cloud.loop.ground.faults.add(Fault("pubsub", FaultKind.REORDER))
    for data in ("first", "second"):
        cloud.publish(data, key="c-1")
    cloud.loop.settle()
    assert cloud.receiver.data() == ["first", "second"]


def test_deleted_subscription_is_pushed_no_more(cloud: Cloud) -> None:
    cloud.loop.ground.clock.freeze()
    cloud.receiver.answer = lambda _: 500
    cloud.push()
    cloud.publish()
    cloud.loop.settle()
    cloud.subscriber.delete_subscription(subscription=SUBSCRIPTION)
    cloud.loop.advance(minutes=1)
    assert len(cloud.receiver.requests) == 1


def test_delivery_log_tells_what_happened_to_a_message(cloud: Cloud) -> None:
    cloud.push()
    message_id = cloud.publish("x", **{"ce-id": "e-1"})
    cloud.loop.settle()
    (delivery,) = cloud.engine.deliveries()
    assert (delivery.message_id, delivery.topic) == (message_id, TOPIC)
    assert delivery.attributes == {"ce-id": "e-1"}
    assert (delivery.attempt, delivery.outcome, delivery.status) == (1, "acked", 204)
    assert cloud.engine.describe()["deliveries"][0]["subscription"] == SUBSCRIPTION
