"""Topics and subscriptions: create, get, list, update, delete, and what is refused."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google import pubsub_v1
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from tests.emulators.conftest import Loop
from tests.emulators.pubsub_cloud import (
    PROJECT,
    SUBSCRIPTION,
    TOPIC,
    Cloud,
    StartEngine,
    backoff,
    pubsub_cloud,
)


@pytest.fixture
def cloud(
    loop: Loop, start_engine: StartEngine, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Cloud]:
    with pubsub_cloud(loop, start_engine, monkeypatch) as made:
        yield made


def update(cloud: Cloud, *paths: str, **fields: Any) -> Any:
    return cloud.subscriber.update_subscription(
        subscription=types.Subscription(name=SUBSCRIPTION, **fields),
        update_mask=FieldMask(paths=paths),
    )


def test_created_topic_can_be_got(cloud: Cloud) -> None:
    name = f"{PROJECT}/topics/invoice-events"
    cloud.publisher.create_topic(types.Topic(name=name, labels={"team": "billing"}))
    topic = cloud.publisher.get_topic(topic=name)
    assert (topic.name, dict(topic.labels)) == (name, {"team": "billing"})
    assert topic.state is types.Topic.State.ACTIVE


def test_topic_cannot_be_created_twice(cloud: Cloud) -> None:
    with pytest.raises(exceptions.AlreadyExists):
        cloud.publisher.create_topic(name=TOPIC)


@pytest.mark.parametrize(
    "name",
    ["ab", "1abc", "googabc", "with space", "a/b/c", "x" * 256, ""],
)
def test_bad_topic_name_is_refused(cloud: Cloud, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cloud.publisher.create_topic(name=f"{PROJECT}/topics/{name}")


def test_topic_of_another_form_is_refused(cloud: Cloud) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cloud.publisher.create_topic(name="contract-events")


def test_absent_resources_are_not_found(cloud: Cloud) -> None:
    absent = f"{PROJECT}/topics/absent"
    nobody = f"{PROJECT}/subscriptions/absent"
    calls: list[Callable[[], object]] = [
        lambda: cloud.publisher.get_topic(topic=absent),
        lambda: cloud.publisher.delete_topic(topic=absent),
        lambda: cloud.publish(topic=absent),
        lambda: list(cloud.publisher.list_topic_subscriptions(topic=absent)),
        lambda: cloud.subscribe(topic=absent),
        lambda: cloud.subscriber.get_subscription(subscription=nobody),
        lambda: cloud.subscriber.delete_subscription(subscription=nobody),
        lambda: cloud.pull(nobody),
        lambda: cloud.subscriber.acknowledge(subscription=nobody, ack_ids=["x"]),
    ]
    for call in calls:
        with pytest.raises(exceptions.NotFound):
            call()


def test_topics_are_listed_in_pages(cloud: Cloud) -> None:
    names = [f"{PROJECT}/topics/topic-{number}" for number in range(5)]
    for name in names:
        cloud.publisher.create_topic(name=name)
    cloud.publisher.create_topic(name="projects/other/topics/foreign")
    pages = cloud.publisher.list_topics(request={"project": PROJECT, "page_size": 2}).pages
    sizes, listed = [], []
    for page in pages:
        sizes.append(len(page.topics))
        listed += [topic.name for topic in page.topics]
    assert sizes == [2, 2, 2]
    assert sorted(listed) == sorted([TOPIC, *names])


def test_unknown_page_token_is_refused(cloud: Cloud) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cloud.publisher.list_topics(request={"project": PROJECT, "page_token": "é"})


def test_subscriptions_of_project_and_topic_are_listed(cloud: Cloud) -> None:
    names = [f"{PROJECT}/subscriptions/sub-{number}" for number in range(3)]
    for name in names:
        cloud.subscribe(name)
    listed = cloud.subscriber.list_subscriptions(request={"project": PROJECT, "page_size": 2})
    assert [each.name for each in listed] == names
    assert list(cloud.publisher.list_topic_subscriptions(topic=TOPIC)) == names


def test_topic_labels_can_be_updated(cloud: Cloud) -> None:
    changed = cloud.publisher.update_topic(
        topic=types.Topic(name=TOPIC, labels={"team": "contracts"}),
        update_mask=FieldMask(paths=["labels"]),
    )
    assert dict(changed.labels) == {"team": "contracts"}
    assert cloud.publisher.get_topic(topic=TOPIC) == changed


def test_subscription_is_answered_with_its_defaults(cloud: Cloud) -> None:
    created = cloud.subscribe()
    assert created.ack_deadline_seconds == 10
    assert created.message_retention_duration.total_seconds() == 7 * 86400
    assert created.expiration_policy.ttl.total_seconds() == 31 * 86400
    assert created.state is types.Subscription.State.ACTIVE
    assert cloud.subscriber.get_subscription(subscription=SUBSCRIPTION) == created


def test_subscription_cannot_be_created_twice(cloud: Cloud) -> None:
    cloud.subscribe()
    with pytest.raises(exceptions.AlreadyExists):
        cloud.subscribe()


@pytest.mark.parametrize(
    "settings",
    [
        {"ack_deadline_seconds": 9},
        {"ack_deadline_seconds": 601},
        {"filter": "attributes.a = b"},
        {"message_retention_duration": {"seconds": 60}},
        {"message_retention_duration": {"seconds": 32 * 86400}},
        {"expiration_policy": {"ttl": {"seconds": 3600}}},
        {"retry_policy": backoff(20, 10)},
        {"retry_policy": backoff(20, 601)},
        {"dead_letter_policy": {"dead_letter_topic": TOPIC, "max_delivery_attempts": 4}},
        {"dead_letter_policy": {"dead_letter_topic": TOPIC, "max_delivery_attempts": 101}},
        {"push_config": {"push_endpoint": "ftp://127.0.0.1/x"}},
        {"push_config": {"push_endpoint": "http://127.0.0.1/x", "oidc_token": {"audience": "x"}}},
    ],
)
def test_bad_subscription_is_refused(cloud: Cloud, settings: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        cloud.subscribe(**settings)
    assert list(cloud.subscriber.list_subscriptions(project=PROJECT)) == []


def test_export_subscription_is_refused_as_unsupported(cloud: Cloud) -> None:
    with pytest.raises(exceptions.MethodNotImplemented):
        cloud.subscribe(bigquery_config={"table": "project.dataset.table"})


def test_dead_letter_topic_must_exist(cloud: Cloud) -> None:
    with pytest.raises(exceptions.NotFound):
        cloud.subscribe(dead_letter_policy={"dead_letter_topic": f"{PROJECT}/topics/absent"})


def test_update_changes_the_fields_of_its_mask_alone(cloud: Cloud) -> None:
    cloud.subscribe(labels={"team": "contracts"}, retry_policy=backoff(5, 50))
    changed = update(cloud, "ack_deadline_seconds", ack_deadline_seconds=60, labels={"x": "y"})
    assert changed.ack_deadline_seconds == 60
    assert dict(changed.labels) == {"team": "contracts"}
    assert changed.retry_policy.minimum_backoff.total_seconds() == 5


def test_update_reaches_into_a_field(cloud: Cloud) -> None:
    cloud.subscribe(retry_policy=backoff(5, 50))
    changed = update(cloud, "retry_policy.maximum_backoff", retry_policy=backoff(1, 100))
    assert changed.retry_policy.minimum_backoff.total_seconds() == 5
    assert changed.retry_policy.maximum_backoff.total_seconds() == 100


def test_update_clears_a_field_that_is_in_the_mask_but_absent(cloud: Cloud) -> None:
    cloud.subscribe(retry_policy=backoff(5, 50))
    assert not update(cloud, "retry_policy").retry_policy


@pytest.mark.parametrize("paths", [[], ["filter"], ["topic"], ["name"], ["no_such_field"]])
def test_update_of_what_cannot_change_is_refused(cloud: Cloud, paths: list[str]) -> None:
    cloud.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        update(cloud, *paths, filter="attributes:x")


def test_pull_subscription_becomes_push_and_delivers_its_backlog(cloud: Cloud) -> None:
    cloud.subscribe()
    for number in range(30):
        cloud.publish(str(number))
    cloud.subscriber.modify_push_config(
        subscription=SUBSCRIPTION, push_config={"push_endpoint": cloud.receiver.url}
    )
    cloud.loop.settle()
    assert len(cloud.receiver.requests) == 30


def test_push_subscription_becomes_pull(cloud: Cloud) -> None:
    cloud.push()
    cloud.subscriber.modify_push_config(subscription=SUBSCRIPTION, push_config={})
    cloud.publish("x")
    assert [each.message.data for each in cloud.pull()] == [b"x"]


def test_subscription_outlives_its_topic(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.publish("left")
    cloud.publisher.delete_topic(topic=TOPIC)
    orphan = cloud.subscriber.get_subscription(subscription=SUBSCRIPTION)
    assert orphan.topic == "_deleted-topic_"
    assert [each.message.data for each in cloud.pull()] == [b"left"]


def test_topic_of_the_same_name_is_another_topic(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.publisher.delete_topic(topic=TOPIC)
    cloud.publisher.create_topic(name=TOPIC)
    cloud.publish()
    assert cloud.pull() == []


def test_detached_subscription_drops_its_messages(cloud: Cloud) -> None:
    cloud.subscribe()
    cloud.publish()
    cloud.publisher.detach_subscription(request={"subscription": SUBSCRIPTION})
    cloud.publish()
    assert cloud.subscriber.get_subscription(subscription=SUBSCRIPTION).detached
    assert cloud.backlog() == 0
    with pytest.raises(exceptions.FailedPrecondition):
        cloud.pull()


@pytest.mark.parametrize(
    "messages",
    [
        [],
        [{}],
        [{"data": b"x"}] * 1001,
        [{"attributes": {"googclient": "x"}}],
        [{"attributes": {"": "x"}}],
        [{"attributes": {"k" * 257: "x"}}],
        [{"attributes": {"k": "x" * 1025}}],
        [{"attributes": {f"k{number}": "x" for number in range(101)}}],
        [{"data": b"x", "ordering_key": "x" * 1025}],
        [{"data": b"x", "ordering_key": "a"}, {"data": b"x", "ordering_key": "b"}],
        [{"data": b"x" * (10 << 20)}],
    ],
)
def test_message_beyond_the_limits_is_refused_with_all_of_its_request(
    cloud: Cloud, messages: list[dict[str, Any]]
) -> None:
    cloud.subscribe()
    request = types.PublishRequest(topic=TOPIC, messages=[{"data": b"good"}, *messages])
    if not messages:
        request = types.PublishRequest(topic=TOPIC)
    with pytest.raises(exceptions.InvalidArgument):
        pubsub_v1.PublisherClient.publish(cloud.publisher, request=request)
    assert cloud.backlog() == 0


def test_message_ids_are_unique_and_in_order(cloud: Cloud) -> None:
    ids = [int(cloud.publish(str(number))) for number in range(5)]
    assert ids == sorted(set(ids))
