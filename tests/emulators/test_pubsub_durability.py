"""What outlives the engine: a new one over the same folder takes up where the old one was."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from google.api_core import exceptions
from google.pubsub_v1 import Schema, SchemaServiceClient
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport

from emulators.pubsub import PubSub
from tests.emulators.conftest import Loop
from tests.emulators.engine_process import engine_process
from tests.emulators.pubsub_cloud import (
    PROJECT,
    SUBSCRIPTION,
    TOPIC,
    Cloud,
    backoff,
    clients,
    listening,
)

Restart = Callable[[], Cloud]


@pytest.fixture
def durable(make_loop: Callable[..., Loop], tmp_path: Path) -> Loop:
    loop = make_loop(tmp_path / "state")
    loop.ground.clock.freeze()
    return loop


@contextmanager
def running(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    """An engine for the length of the block, stopped abruptly at its end."""

    async def start() -> tuple[PubSub, int]:
        engine = PubSub(loop.ground)
        return engine, await engine.start()

    engine, port = loop.run(start())
    with clients(port, monkeypatch) as (publisher, subscriber), listening(loop) as receiver:
        try:
            yield Cloud(loop, engine, publisher, subscriber, receiver)
        finally:
            loop.run(engine.stop())


@contextmanager
def schemas(cloud: Cloud) -> Iterator[SchemaServiceClient]:
    with grpc.insecure_channel(cloud.publisher.transport.host) as channel:
        yield SchemaServiceClient(transport=SchemaServiceGrpcTransport(channel=channel))


def test_published_message_survives_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.subscribe()
        message_id = cloud.publish("kept", key="c-1", kind="x")
    with running(durable, monkeypatch) as cloud:
        (received,) = cloud.pull()
        assert received.message.message_id == message_id
        assert received.message.data == b"kept"
        assert dict(received.message.attributes) == {"kind": "x"}


def test_acknowledged_message_does_not_return_after_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.subscribe()
        cloud.publish("done")
        ack_ids = [message.ack_id for message in cloud.pull()]
        cloud.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)
    with running(durable, monkeypatch) as cloud:
        assert cloud.backlog() == 0


def test_push_under_way_at_the_stop_is_made_again(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(durable) as hanging, running(durable, monkeypatch) as cloud:
        called = asyncio.Event()

        async def hang(_: object) -> None:
            called.set()
            await asyncio.sleep(60)

        hanging.take = hang  # type: ignore[assignment, method-assign]
        cloud.publisher.create_topic(name=TOPIC)
        cloud.receiver.url = hanging.url
        cloud.push()
        cloud.publish("kept")
        durable.run(asyncio.wait_for(called.wait(), 10))
    with running(durable, monkeypatch) as cloud:
        cloud.subscriber.modify_push_config(
            subscription=SUBSCRIPTION, push_config={"push_endpoint": cloud.receiver.url}
        )
        durable.advance(seconds=1)
        assert cloud.receiver.data() == ["kept"]


def test_backoff_and_attempts_survive_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.receiver.answer = lambda _: 500
        cloud.push(retry_policy=backoff(100, 600), dead_letter_policy={"dead_letter_topic": TOPIC})
        cloud.publish("retry")
        durable.settle()
        address = cloud.receiver.url
    with running(durable, monkeypatch) as cloud:
        assert cloud.receiver.url != address
        cloud.subscriber.modify_push_config(
            subscription=SUBSCRIPTION, push_config={"push_endpoint": cloud.receiver.url}
        )
        durable.advance(seconds=99)
        assert cloud.receiver.requests == []
        durable.advance(seconds=1)
        assert [body["deliveryAttempt"] for body in cloud.receiver.bodies()] == [2]


def test_order_of_a_key_survives_a_restart(durable: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.subscribe(enable_message_ordering=True)
        for number in range(12):
            cloud.publish(str(number), key="c-1")
    with running(durable, monkeypatch) as cloud:
        pulled = [int(each.message.data) for each in cloud.pull()]
        assert pulled == list(range(12))


def test_message_numbers_go_on_after_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = []
    for first in (True, False):
        with running(durable, monkeypatch) as cloud:
            if first:
                cloud.publisher.create_topic(name=TOPIC)
            ids += [int(cloud.publish()), int(cloud.publish())]
    assert all(early < late for early, late in itertools.pairwise(ids))


def test_nothing_of_a_stopped_engine_stays_on_the_agenda(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.receiver.answer = lambda _: 500
        cloud.push(retry_policy=backoff(100, 600))
        cloud.publish()
        durable.settle()
        assert durable.ground.agenda.upcoming() != []
    assert durable.ground.agenda.upcoming() == []


def test_retained_messages_and_snapshots_survive_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{PROJECT}/snapshots/before"
    with running(durable, monkeypatch) as cloud:
        cloud.publisher.create_topic(name=TOPIC)
        cloud.subscribe()
        cloud.subscriber.create_snapshot(name=name, subscription=SUBSCRIPTION)
        cloud.publish("kept")
        ack_ids = [message.ack_id for message in cloud.pull()]
        cloud.subscriber.acknowledge(subscription=SUBSCRIPTION, ack_ids=ack_ids)
    with running(durable, monkeypatch) as cloud:
        assert cloud.backlog() == 0
        cloud.subscriber.seek(request={"subscription": SUBSCRIPTION, "snapshot": name})
        assert [each.message.data for each in cloud.pull()] == [b"kept"]


def test_policies_and_schemas_survive_a_restart(
    durable: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{PROJECT}/schemas/payload"
    definition = '{"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}'
    schema = Schema(type_=Schema.Type.AVRO, definition=definition)
    binding = {"role": "roles/pubsub.viewer", "members": ["allUsers"]}
    with running(durable, monkeypatch) as cloud:
        with schemas(cloud) as service:
            service.create_schema(parent=PROJECT, schema=schema, schema_id="payload")
            service.commit_schema(name=name, schema=schema)
        cloud.publisher.create_topic(
            {"name": TOPIC, "schema_settings": {"schema": name, "encoding": 1}}
        )
        policy = cloud.publisher.set_iam_policy(
            request={"resource": TOPIC, "policy": {"bindings": [binding]}}
        )
    with running(durable, monkeypatch) as cloud:
        with schemas(cloud) as service:
            assert len(list(service.list_schema_revisions(name=name))) == 2
        assert cloud.publisher.get_iam_policy(request={"resource": TOPIC}) == policy
        with pytest.raises(exceptions.InvalidArgument):
            cloud.publisher.publish(TOPIC, b"{}").result(timeout=10)


def test_acknowledged_publish_survives_a_kill(
    durable: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        engine_process(PubSub, tmp_path / "state") as (port, _),
        clients(port, monkeypatch) as (publisher, subscriber),
    ):
        publisher.create_topic(name=TOPIC)
        subscriber.create_subscription(name=SUBSCRIPTION, topic=TOPIC)
        published = publisher.publish(TOPIC, b"kept").result(timeout=10)
    with running(durable, monkeypatch) as cloud:
        assert [each.message.message_id for each in cloud.pull()] == [published]
