"""Events leave in order per subject, whoever publishes them and whatever fails meanwhile."""

import json
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.api_core.exceptions import NotFound
from google.pubsub_v1 import PublisherClient, SubscriberClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from shared.events.customers import CustomerRegistered
from shared.kernel import clock
from shared.kernel.event import Occurrence
from shared.kernel.ids import CustomerId, EventId
from shared.platform import outbox, postgres
from shared.platform.unit_of_work import Cause, transaction
from shared.runtime.delivery import committed
from tests.conftest import BERLIN, House
from tests.reliability.probe import blocked, concurrently, wait_until


class Published:
    """What Pub/Sub was given: one subscription to the topic of these events."""

    def __init__(self, house: House) -> None:
        project = f"projects/{house.cloud.env['GOOGLE_CLOUD_PROJECT']}"
        self.topic = f"{project}/topics/{CustomerRegistered.topic}"
        self.subscription = f"{project}/subscriptions/outbox-test"
        self.channel = grpc.insecure_channel(house.cloud.env["PUBSUB_EMULATOR_HOST"])
        publisher = PublisherClient(transport=PublisherGrpcTransport(channel=self.channel))
        self.subscriber = SubscriberClient(transport=SubscriberGrpcTransport(channel=self.channel))
        with suppress(NotFound):
            publisher.delete_topic(topic=self.topic)
        publisher.create_topic(name=self.topic)
        self.subscriber.create_subscription(
            request={
                "name": self.subscription,
                "topic": self.topic,
                "enable_message_ordering": True,
            }
        )

    def versions(self, count: int) -> dict[str, list[int]]:
        """The versions each subject's events came with, in their order, once `count` came."""
        seen: dict[str, list[int]] = defaultdict(list)
        while sum(map(len, seen.values())) < count:
            request: Any = {"subscription": self.subscription, "max_messages": 1000}
            received = self.subscriber.pull(request=request, timeout=20).received_messages
            for one in received:
                seen[one.message.ordering_key].append(json.loads(one.message.data)["version"])
            if not received:
                continue
            acknowledged = [one.ack_id for one in received]
            self.subscriber.acknowledge(subscription=self.subscription, ack_ids=acknowledged)
        return dict(seen)

    def close(self) -> None:
        self.subscriber.delete_subscription(subscription=self.subscription)
        self.channel.close()


@pytest.fixture
def published(house: House) -> Iterator[Published]:
    with closing(Published(house)) as made:
        yield made
        house.cloud.heal()


def event(customer: CustomerId, version: int) -> CustomerRegistered:
    return CustomerRegistered(clinic_id=BERLIN, customer_id=customer, version=version)


def leave(house: House, customer: CustomerId, *versions: int) -> None:
    """Commit events as a process does that dies after its commit, long enough ago."""
    with transaction(BERLIN, "test", Cause("test")) as work:
        for version in versions:
            work.emit(event(customer, version))
    for version in versions:
        lease(house, version, seconds=-1)


def say(customer: CustomerId, *versions: int) -> None:
    """Commit events and publish them, as every function does."""
    with committed(BERLIN, "test", Cause("test")) as work:
        for version in versions:
            work.emit(event(customer, version))


def relay(house: House) -> int:
    return house.cron("outbox_relay", "outbox_drains").status_code


def abandon(house: House) -> None:
    """Let nobody hold anything."""
    house.rows("UPDATE platform.outbox SET leased_until = NULL")


def misdirect(house: House) -> None:
    """Send what is unsent to a topic that is not there."""
    house.rows("UPDATE platform.outbox SET topic = 'missing-events' WHERE sent_at IS NULL")


def happened(fact: CustomerRegistered) -> Occurrence:
    return Occurrence(EventId.new(), fact, "/test", clock.now(), BERLIN, "test", None)


def unsent(house: House) -> int:
    found = house.rows("SELECT count(*) AS n FROM platform.outbox WHERE sent_at IS NULL")
    return int(found[0]["n"])


def lease(house: House, version: int, **ahead: float) -> None:
    """Let somebody hold the event of this version for so long; negative: until so long ago."""
    house.rows(
        "UPDATE platform.outbox SET leased_until = :until WHERE payload::jsonb ->> 'version' = :v",
        until=clock.now() + timedelta(**ahead),
        v=str(version),
    )


def test_what_is_committed_is_published_at_once(house: House, published: Published) -> None:
    customer = CustomerId.new()
    say(customer, 1, 2)
    assert unsent(house) == 0
    assert published.versions(2) == {str(customer): [1, 2]}


def test_order_per_subject_survives_many_writers_and_publishers(
    house: House, published: Published
) -> None:
    customers = [CustomerId.new() for _ in range(4)]
    done: list[CustomerId] = []

    def write(customer: CustomerId) -> None:
        for version in range(1, 21):
            say(customer, version)
        done.append(customer)

    def drain() -> None:
        while len(done) < len(customers):
            relay(house)

    house.cloud.fault("pubsub", "error", share=0.3, path="Publish")
    concurrently(*[lambda c=c: write(c) for c in customers], drain)
    house.cloud.heal()
    relay(house)
    assert unsent(house) == 0
    expected = {str(customer): list(range(1, 21)) for customer in customers}
    assert published.versions(80) == expected


def test_writers_of_one_subject_leave_nothing_behind(house: House, published: Published) -> None:
    customer = CustomerId.new()
    concurrently(*[lambda n=n: say(customer, n) for n in range(8)])
    relay(house)
    assert unsent(house) == 0
    order = house.rows("SELECT payload FROM platform.outbox ORDER BY seq")
    versions = [json.loads(row["payload"])["version"] for row in order]
    assert sorted(published.versions(8)[str(customer)]) == sorted(versions)


def test_an_expired_lease_is_taken_over(house: House, published: Published) -> None:
    customer = CustomerId.new()
    leave(house, customer, 1, 2)
    relay(house)
    assert published.versions(2) == {str(customer): [1, 2]}


def test_a_follower_waits_for_its_head(house: House, published: Published) -> None:
    customer, other = CustomerId.new(), CustomerId.new()
    leave(house, customer, 1, 2)
    leave(house, other, 7)
    lease(house, 1, seconds=30)
    relay(house)
    assert published.versions(1) == {str(other): [7]}
    assert unsent(house) == 2
    house.move(clock.now() + timedelta(seconds=31))
    relay(house)
    assert published.versions(2) == {str(customer): [1, 2]}


def test_a_new_event_does_not_overtake_one_that_was_left(
    house: House, published: Published
) -> None:
    customer = CustomerId.new()
    leave(house, customer, 1)
    say(customer, 2)
    relay(house)
    assert published.versions(2) == {str(customer): [1, 2]}


def test_an_outage_fails_no_commit_and_loses_nothing(house: House, published: Published) -> None:
    customer = CustomerId.new()
    house.cloud.fault("pubsub", "down")
    say(customer, 1)
    say(customer, 2)
    assert unsent(house) == 2
    house.cloud.heal()
    say(customer, 3)
    relay(house)
    assert unsent(house) == 0
    assert published.versions(3) == {str(customer): [1, 2, 3]}


def test_an_event_committed_while_its_predecessor_is_on_the_way_is_not_left_behind(
    house: House, published: Published
) -> None:
    customer = CustomerId.new()

    def held() -> list[Any]:
        return house.rows("SELECT 1 FROM platform.outbox WHERE leased_until IS NOT NULL")

    def follow() -> None:
        wait_until(held)
        say(customer, 2)
        house.cloud.heal()

    house.cloud.fault("pubsub", "hang", path="Publish", count=1)
    concurrently(lambda: say(customer, 1), follow)
    relay(house)
    assert unsent(house) == 0
    assert published.versions(2) == {str(customer): [1, 2]}


def test_refused_letters_hold_up_no_other_subject(house: House, published: Published) -> None:
    refused = [CustomerId.new() for _ in range(outbox.BATCH + 1)]
    with transaction(BERLIN, "test", Cause("test")) as work:
        for customer in refused:
            work.emit(event(customer, 1))
    misdirect(house)
    abandon(house)
    other = CustomerId.new()
    leave(house, other, 2)
    assert relay(house) == 204
    assert published.versions(1) == {str(other): [2]}
    assert unsent(house) == len(refused)


def test_a_refused_letter_is_not_overtaken_by_its_followers(
    house: House, published: Published
) -> None:
    customers = [CustomerId.new() for _ in range(3)]
    for customer in customers:
        leave(house, customer, 1, 2)
    house.cloud.fault("pubsub", "error", path="Publish", count=1)
    assert relay(house) == 204
    assert unsent(house) == 2
    relay(house)
    assert published.versions(6) == {str(customer): [1, 2] for customer in customers}


def test_relay_gives_up_at_once_where_pubsub_is_away(house: House, published: Published) -> None:
    with transaction(BERLIN, "test", Cause("test")) as work:
        for _ in range(outbox.BATCH + 1):
            work.emit(event(CustomerId.new(), 1))
    abandon(house)
    outage = house.cloud.fault("pubsub", "down", count=outbox.BATCH)
    assert relay(house) == 503
    outage.end()
    assert unsent(house) == outbox.BATCH + 1


def test_no_transaction_is_open_while_the_relay_publishes(
    house: House, published: Published
) -> None:
    leave(house, CustomerId.new(), 1)
    house.cloud.fault("pubsub", "hang", path="Publish", count=1)
    idle: list[Any] = []

    def look() -> None:
        wait_until(lambda: not house.cloud.faults.in_force())
        idle.extend(house.rows("SELECT 1 FROM pg_stat_activity WHERE state LIKE 'idle in %'"))
        house.cloud.heal()

    concurrently(lambda: relay(house), look)
    assert (unsent(house), idle) == (0, [])


def test_who_writes_second_about_a_subject_commits_second(
    house: House, published: Published
) -> None:
    customer = CustomerId.new()

    def first() -> None:
        with postgres.engine().connect() as connection:
            occurrence = happened(event(customer, 1))
            postgres.run_simple(connection, f"BEGIN; {outbox.append_statement([occurrence])}")
            wait_until(lambda: blocked(house))
            postgres.run_simple(connection, "COMMIT")

    def second() -> None:
        wait_until(lambda: house.rows("SELECT 1 FROM pg_locks WHERE locktype = 'advisory'"))
        say(customer, 2)

    concurrently(first, second)
    relay(house)
    assert published.versions(2) == {str(customer): [1, 2]}


def test_writers_of_many_subjects_do_not_deadlock(house: House, published: Published) -> None:
    customers = [CustomerId.new() for _ in range(40)]

    def write(order: list[CustomerId]) -> None:
        for _ in range(5):
            with committed(BERLIN, "test", Cause("test")) as work:
                for customer in order:
                    work.emit(event(customer, 1))

    concurrently(*[lambda n=n: write(customers[n:] + customers[:n]) for n in range(0, 40, 10)])
    relay(house)
    assert unsent(house) == 0
    assert sum(map(len, published.versions(800).values())) == 800


def test_a_lost_answer_publishes_again_under_the_same_id(
    house: House, published: Published
) -> None:
    customer = CustomerId.new()
    house.cloud.fault("pubsub", "fail-after-success", path="Publish", count=1)
    say(customer, 1)
    assert unsent(house) == 1
    relay(house)
    assert published.versions(2) == {str(customer): [1, 1]}
    assert len(house.rows("SELECT id FROM platform.outbox")) == 1


def test_what_is_rolled_back_is_never_published(house: House) -> None:
    def fail() -> None:
        with committed(BERLIN, "test", Cause("test")) as work:
            work.emit(event(CustomerId.new(), 1))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert house.rows("SELECT * FROM platform.outbox") == []
