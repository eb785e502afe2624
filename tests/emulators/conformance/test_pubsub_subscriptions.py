"""Subscriptions as google.pubsub.v1 documents them: their defaults, limits and changes."""

from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.protobuf.duration_pb2 import Duration

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


DAY = 86400


def seconds(count: float) -> Duration:
    return Duration(seconds=int(count), nanos=int(count % 1 * 1e9))


def test_defaults_are_filled_in(api: Api) -> None:
    created = api.subscribe()
    assert created.topic == api.topic
    assert created.ack_deadline_seconds == 10
    assert created.message_retention_duration.total_seconds() == 7 * DAY
    assert not created.push_config.push_endpoint
    assert api.got() == created


@pytest.mark.differs("fills in no expiration policy and no state")
def test_a_subscription_expires_by_default_after_31_days(api: Api) -> None:
    created = api.subscribe()
    assert created.expiration_policy.ttl.total_seconds() == 31 * DAY
    assert created.state.name == "ACTIVE"


def test_settings_are_answered_as_given(api: Api) -> None:
    dead = api.make_topic("dead").name
    created = api.subscribe(
        ack_deadline_seconds=600,
        retain_acked_messages=True,
        message_retention_duration=seconds(600),
        labels={"team": "billing"},
        enable_message_ordering=True,
        expiration_policy={"ttl": seconds(DAY)},
        filter='attributes.kind = "x"',
        dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 100},
        retry_policy={"minimum_backoff": seconds(0), "maximum_backoff": seconds(600)},
        enable_exactly_once_delivery=True,
    )
    assert api.got() == created
    assert created.ack_deadline_seconds == 600
    assert created.message_retention_duration.total_seconds() == 600
    assert dict(created.labels) == {"team": "billing"}
    assert created.expiration_policy.ttl.total_seconds() == DAY
    assert created.filter == 'attributes.kind = "x"'
    assert created.dead_letter_policy.max_delivery_attempts == 100
    assert created.retry_policy.maximum_backoff.total_seconds() == 600
    assert created.retain_acked_messages
    assert created.enable_message_ordering
    assert created.enable_exactly_once_delivery


def test_policies_have_defaults(api: Api) -> None:
    dead = api.make_topic("dead").name
    created = api.subscribe(
        dead_letter_policy={"dead_letter_topic": dead},
        retry_policy={"minimum_backoff": seconds(5)},
    )
    assert created.dead_letter_policy.max_delivery_attempts == 5
    assert created.retry_policy.minimum_backoff.total_seconds() == 5
    assert created.retry_policy.maximum_backoff.total_seconds() == 600


@pytest.mark.differs("does not answer how long the topic keeps messages")
def test_the_topic_s_retention_is_shown(api: Api) -> None:
    api.make_topic(message_retention_duration=seconds(3600))
    created = api.subscribe(topic_message_retention_duration=seconds(7200))
    assert created.topic_message_retention_duration.total_seconds() == 3600
    assert api.got() == created


@pytest.mark.parametrize(
    "settings",
    [
        {"ack_deadline_seconds": -1},
        {"ack_deadline_seconds": 601},
        {"message_retention_duration": seconds(599)},
        {"message_retention_duration": seconds(31 * DAY + 1)},
        {"retry_policy": {"minimum_backoff": seconds(20), "maximum_backoff": seconds(10)}},
    ],
)
def test_settings_out_of_range_are_refused(api: Api, settings: dict[str, Any]) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(topic=api.topic, **settings)
    assert list(api.subscriber.list_subscriptions(project=api.project)) == []


@pytest.mark.differs("takes an ack deadline of less than ten seconds")
def test_an_ack_deadline_has_ten_seconds_or_more(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(ack_deadline_seconds=9)


@pytest.mark.differs("takes expiration policies of any length")
def test_an_expiration_policy_has_a_day_or_more(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(expiration_policy={"ttl": seconds(DAY - 1)})


@pytest.mark.differs("refuses more than seven days")
def test_messages_can_be_kept_for_31_days(api: Api) -> None:
    created = api.subscribe(message_retention_duration=seconds(31 * DAY))
    assert created.message_retention_duration.total_seconds() == 31 * DAY


@pytest.mark.parametrize("backoff", [601, -1])
def test_backoffs_have_limits(api: Api, backoff: int) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(
            retry_policy={"minimum_backoff": seconds(0), "maximum_backoff": seconds(backoff)}
        )


@pytest.mark.parametrize("attempts", [-1, 4, 101])
@pytest.mark.differs("answers OUT_OF_RANGE to delivery attempts beyond the limits")
def test_delivery_attempts_have_limits(api: Api, attempts: int) -> None:
    dead = api.make_topic("dead").name
    policy = {"dead_letter_topic": dead, "max_delivery_attempts": attempts}
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(dead_letter_policy=policy)


def test_a_dead_letter_topic_must_exist(api: Api) -> None:
    policy = {"dead_letter_topic": api.name("topics", "absent")}
    with pytest.raises(exceptions.NotFound):
        api.subscribe(dead_letter_policy=policy)


@pytest.mark.parametrize("short", ["ab", "s" * 256, "1st", "goog-sub", "a b c", ""])
def test_names_outside_the_rules_are_refused(api: Api, short: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(short)


@pytest.mark.parametrize("topic", ["orders", "projects/p/topics/1"])
def test_a_topic_s_name_must_be_one(api: Api, topic: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(topic=topic)


def test_the_topic_must_exist(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.subscribe(topic=api.name("topics", "absent"))


def test_a_subscription_is_created_once(api: Api) -> None:
    api.subscribe()
    with pytest.raises(exceptions.AlreadyExists):
        api.subscribe()


def test_a_topic_of_another_project_can_be_subscribed(api: Api) -> None:
    topic = api.publisher.create_topic(name=f"{api.project}x/topics/shared").name
    api.subscribe(topic=topic)
    api.publish("x", topic=topic)
    assert texts(api.pulled(1)) == ["x"]


def test_subscriptions_are_listed_in_pages(api: Api) -> None:
    names = [api.subscribe(f"sub-{number}").name for number in range(3)]
    request = {"project": api.project, "page_size": 2}
    pages = list(api.subscriber.list_subscriptions(request=request).pages)
    assert [len(page.subscriptions) for page in pages] == [2, 1]
    assert sorted(each.name for page in pages for each in page.subscriptions) == names


def test_a_deleted_subscription_is_gone(api: Api) -> None:
    api.subscribe()
    api.subscriber.delete_subscription(subscription=api.subscription)
    for call in (
        api.got,
        api.pull,
        lambda: api.subscriber.delete_subscription(subscription=api.subscription),
        lambda: api.subscriber.acknowledge(subscription=api.subscription, ack_ids=["x"]),
    ):
        with pytest.raises(exceptions.NotFound):
            call()


def test_an_update_changes_the_fields_of_its_mask_alone(api: Api) -> None:
    api.subscribe(retry_policy={"minimum_backoff": seconds(5)})
    changed = api.update(
        "ack_deadline_seconds", ack_deadline_seconds=60, retain_acked_messages=True
    )
    assert changed.ack_deadline_seconds == 60
    assert not changed.retain_acked_messages
    assert changed.retry_policy.minimum_backoff.total_seconds() == 5
    assert api.got() == changed


def test_an_update_clears_what_is_in_its_mask_but_absent(api: Api) -> None:
    api.subscribe(retry_policy={"minimum_backoff": seconds(5)})
    assert not api.update("retry_policy").retry_policy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("ack_deadline_seconds", 20),
        ("retain_acked_messages", True),
        ("message_retention_duration", seconds(1200)),
        ("retry_policy", {"minimum_backoff": seconds(1), "maximum_backoff": seconds(2)}),
        ("push_config", {"push_endpoint": "http://127.0.0.1:9/push"}),
        ("enable_exactly_once_delivery", True),
    ],
)
def test_a_field_can_be_changed(api: Api, field: str, value: Any) -> None:
    api.subscribe()
    before = api.got()
    changed = api.update(field, **{field: value})
    assert getattr(changed, field) != getattr(before, field)


@pytest.mark.differs("refuses to update labels and expiration policies")
def test_labels_and_expiration_can_be_changed(api: Api) -> None:
    api.subscribe()
    changed = api.update(
        "labels",
        "expiration_policy",
        labels={"a": "b"},
        expiration_policy={"ttl": seconds(2 * DAY)},
    )
    assert dict(changed.labels) == {"a": "b"}
    assert changed.expiration_policy.ttl.total_seconds() == 2 * DAY


@pytest.mark.differs("refuses paths that reach into a field")
def test_an_update_reaches_into_a_field(api: Api) -> None:
    api.subscribe(retry_policy={"minimum_backoff": seconds(5), "maximum_backoff": seconds(50)})
    changed = api.update(
        "retry_policy.maximum_backoff",
        retry_policy={"minimum_backoff": seconds(1), "maximum_backoff": seconds(100)},
    )
    assert changed.retry_policy.minimum_backoff.total_seconds() == 5
    assert changed.retry_policy.maximum_backoff.total_seconds() == 100


@pytest.mark.parametrize(
    "paths",
    [
        [],
        ["name"],
        ["topic"],
        ["filter"],
        ["enable_message_ordering"],
        ["detached"],
        ["state"],
        ["no_such_field"],
        ["ack_deadline_seconds", "no_such_field"],
        ["ackDeadlineSeconds"],
    ],
)
def test_an_update_of_what_cannot_change_is_refused(api: Api, paths: list[str]) -> None:
    api.subscribe()
    before = api.got()
    with pytest.raises(exceptions.InvalidArgument):
        api.update(*paths, filter="attributes:x", ack_deadline_seconds=30)
    assert api.got() == before


def test_an_update_out_of_range_is_refused(api: Api) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.update("ack_deadline_seconds", ack_deadline_seconds=601)
    assert api.got().ack_deadline_seconds == 10


def test_an_absent_subscription_cannot_be_updated(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.update("ack_deadline_seconds", ack_deadline_seconds=30)
