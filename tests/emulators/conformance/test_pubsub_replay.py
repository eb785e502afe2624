"""Seek, retention and snapshots, as documented under "Replay and purge messages"."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def consume(api: Api, count: int) -> list[str]:
    messages = api.pulled(count)
    api.ack(*messages)
    return texts(messages)


def test_a_seek_back_brings_retained_messages_again(api: Api) -> None:
    api.subscribe(retain_acked_messages=True)
    start = api.started()
    api.publish("one", "two")
    assert sorted(consume(api, 2)) == ["one", "two"]
    api.seek(start)
    assert sorted(consume(api, 2)) == ["one", "two"]


@pytest.mark.differs("answers UNIMPLEMENTED to a seek with message ordering")
def test_a_seek_back_keeps_the_order_of_a_key(api: Api) -> None:
    api.subscribe(retain_acked_messages=True, enable_message_ordering=True)
    start = api.started()
    api.publish("one", "two", key="a")
    consume(api, 2)
    api.seek(start)
    assert consume(api, 2) == ["one", "two"]


def test_a_seek_back_brings_what_was_published_since(api: Api) -> None:
    api.subscribe(retain_acked_messages=True)
    api.publish("early")
    consume(api, 1)
    api.target.pass_time(1)
    middle = api.started()
    api.publish("late")
    consume(api, 1)
    api.seek(middle)
    assert consume(api, 1) == ["late"]
    assert api.pull() == []


def test_without_retention_acknowledged_messages_are_gone(api: Api) -> None:
    api.subscribe()
    start = api.started()
    api.publish("done")
    consume(api, 1)
    api.publish("open")
    api.seek(start)
    assert consume(api, 1) == ["open"]
    assert api.pull() == []


def test_a_seek_to_the_future_purges(api: Api) -> None:
    api.subscribe()
    api.publish("one", "two")
    api.seek(datetime(3000, 1, 1, tzinfo=UTC))
    assert api.pull() == []
    api.publish("three")


def test_a_seek_takes_messages_back_from_pullers(api: Api) -> None:
    api.subscribe(retain_acked_messages=True)
    start = api.started()
    api.publish("out")
    (out,) = api.pulled(1)
    api.seek(start)
    (again,) = api.pulled(1)
    assert again.message.message_id == out.message.message_id


def test_a_topic_s_retention_serves_subscriptions_that_retain_nothing(api: Api) -> None:
    api.make_topic(message_retention_duration={"seconds": 3600})
    api.subscribe()
    start = api.started()
    api.publish("one")
    consume(api, 1)
    api.seek(start)
    assert consume(api, 1) == ["one"]


def test_a_seek_needs_a_target(api: Api) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.subscriber.seek(request={"subscription": api.subscription})


def test_what_is_absent_cannot_be_sought(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.seek(datetime.now(UTC))
    api.subscribe()
    with pytest.raises(exceptions.NotFound):
        api.seek_snapshot()


def test_a_snapshot_restores_what_was_unacknowledged(api: Api) -> None:
    api.subscribe()
    api.publish("done")
    consume(api, 1)
    api.publish("open")
    api.snapshot()
    assert consume(api, 1) == ["open"]
    api.seek_snapshot()
    assert consume(api, 1) == ["open"]
    assert api.pull() == []


def test_a_snapshot_restores_what_was_published_after_it(api: Api) -> None:
    api.subscribe()
    api.snapshot()
    api.publish("later")
    consume(api, 1)
    api.seek_snapshot()
    assert consume(api, 1) == ["later"]


@pytest.mark.differs("takes no message into a subscription that has never had it", hangs=True)
def test_a_snapshot_serves_another_subscription_of_its_topic(api: Api) -> None:
    api.subscribe()
    api.publish("open")
    api.snapshot()
    api.subscribe("second")
    api.seek_snapshot("second")
    assert texts(api.pulled(1, "second")) == ["open"]


def test_a_snapshot_tells_topic_and_expiry(api: Api) -> None:
    api.subscribe()
    taken = api.snapshot()
    assert taken.topic == api.topic
    assert taken.name == api.name("snapshots", "before")
    left = taken.expire_time - api.started()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)
    assert api.subscriber.get_snapshot(snapshot=taken.name) == taken


def test_snapshots_are_listed_and_deleted(api: Api) -> None:
    api.subscribe()
    names = [api.snapshot(f"snapshot-{number}").name for number in range(3)]
    request = {"project": api.project, "page_size": 2}
    assert sorted(each.name for each in api.subscriber.list_snapshots(request=request)) == names
    api.subscriber.delete_snapshot(snapshot=names[0])
    with pytest.raises(exceptions.NotFound):
        api.subscriber.get_snapshot(snapshot=names[0])
    with pytest.raises(exceptions.NotFound):
        api.subscriber.delete_snapshot(snapshot=names[0])


def test_a_snapshot_is_taken_once(api: Api) -> None:
    api.subscribe()
    api.snapshot()
    with pytest.raises(exceptions.AlreadyExists):
        api.snapshot()


def test_a_snapshot_needs_a_subscription(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.snapshot()


@pytest.mark.parametrize("short", ["ab", "1st", "goog"])
def test_names_outside_the_rules_are_refused(api: Api, short: str) -> None:
    api.subscribe()
    with pytest.raises(exceptions.InvalidArgument):
        api.snapshot(short)


@pytest.mark.differs("refuses a snapshot without a name")
def test_a_snapshot_without_a_name_is_given_one(api: Api) -> None:
    api.subscribe()
    request = types.CreateSnapshotRequest(subscription=api.subscription)
    name = api.subscriber.create_snapshot(request).name
    assert name.startswith(f"{api.project}/snapshots/")
    assert api.subscriber.get_snapshot(snapshot=name).topic == api.topic


@pytest.mark.differs("answers UNIMPLEMENTED to UpdateSnapshot")
def test_a_snapshot_s_labels_can_be_changed(api: Api) -> None:
    api.subscribe()
    name = api.snapshot(labels={"a": "b"}).name
    changed = api.subscriber.update_snapshot(
        snapshot=types.Snapshot(name=name, labels={"c": "d"}),
        update_mask=FieldMask(paths=["labels"]),
    )
    assert dict(changed.labels) == {"c": "d"}
    with pytest.raises(exceptions.InvalidArgument):
        api.subscriber.update_snapshot(snapshot=changed, update_mask=FieldMask(paths=["topic"]))


def test_a_snapshot_of_another_topic_is_refused(api: Api) -> None:
    api.subscribe()
    api.snapshot()
    api.make_topic("other")
    api.subscribe("elsewhere", api.name("topics", "other"))
    with pytest.raises((exceptions.InvalidArgument, exceptions.FailedPrecondition)):
        api.seek_snapshot("elsewhere")
