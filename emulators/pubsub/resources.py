"""The state of the engine: topics, subscriptions and unacknowledged messages, all journaled.

Journal keys: `topic/<name>`, `subscription/<name>`, `snapshot/<name>`, `message/<number>`,
`standing/<number>/<subscription>` and `numbers` (the next free block of message numbers); those of
schemas and policies are in their modules.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from emulators.api.iam import Policies
from emulators.engine import Ground
from emulators.pubsub import rules
from emulators.pubsub.archive import Archive
from emulators.pubsub.deliveries import Delivery, DeliveryLog, Outcome
from emulators.pubsub.delivery import Standing, Subscription
from emulators.pubsub.disturbances import Disturbances
from emulators.pubsub.expiration import Expirations
from emulators.pubsub.messages import Message, timestamp_text
from emulators.pubsub.schemas import DELETED_SCHEMA, Schemas
from emulators.pubsub.wire import Proto, Topic, already_exists, not_found
from emulators.pubsub.wire import Subscription as SubscriptionProto

NUMBERS_AT_ONCE = 10_000
_SOURCE = "CloudPubSubDeadLetterSource"


class Broker:
    """Takes messages, keeps them until every subscription is done with them, writes all down."""

    def __init__(self, ground: Ground, wake: Callable[[Subscription], None]) -> None:
        self.agenda = ground.agenda
        self.log = DeliveryLog()
        self.topics: dict[str, Proto] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.disturbances = Disturbances(ground)
        self._ground = ground
        self._wake = wake
        self._by_topic: dict[str, list[Subscription]] = {}
        self._journal = ground.journal("pubsub")
        self.policies = Policies(self._journal, rules.check_resource, self._exists)
        self.schemas = Schemas(ground, self._journal, self._leave_schema)
        self.expirations = Expirations(self.agenda, self.delete_subscription)
        self.archive = Archive(self.agenda, self._journal, self._retention, self.policies.forget)
        self._done: list[str] = []
        self._number = self._reserved = 0
        self._load()

    def _load(self) -> None:
        for _, record in self._journal.items("numbers"):
            self._number = self._reserved = int(record)
        for _, record in self._journal.items("topic/"):
            topic = Topic.FromString(record)
            self.topics[topic.name] = topic
        for _, record in self._journal.items("subscription/"):
            self._register(SubscriptionProto.FromString(record))
        messages = {}
        for _, record in self._journal.items("message/"):
            message = Message.from_record(record)
            messages[message.number] = message
        for key, record in self._journal.items("standing/"):
            _, number, name = key.split("/", 2)
            message = messages[int(number)]
            message.holders += 1
            self.subscriptions[name].add(Standing.from_record(message, record))
        self.archive.load()
        now = self._ground.clock.now()
        for message in messages.values():
            if not self.archive.expired(message, now):
                self.archive.keep(message)
            if not message.holders:
                self._journal.delete(message.key)

    def close(self) -> None:
        """Write down what is still to be written and leave the agenda."""
        for subscription in self.subscriptions.values():
            subscription.close()
        self.archive.close()
        self.expirations.close()
        self._flush()
        self._journal.close()

    def _exists(self, resource: str) -> bool:
        """Whether there is a topic, subscription, snapshot or schema of this full name."""
        kinds = (self.topics, self.subscriptions, self.archive.snapshots, self.schemas)
        return any(resource in kind for kind in kinds)

    # Topics

    def topic(self, name: str) -> Proto:
        """The topic's configuration; raises NOT_FOUND."""
        if name not in self.topics:
            rules.check_name("topics", name)
            raise not_found(name)
        return self.topics[name]

    def create_topic(self, topic: Proto) -> None:
        if topic.name in self.topics:
            raise already_exists(topic.name)
        self.save_topic(topic)

    def save_topic(self, topic: Proto) -> None:
        self._journal.put(f"topic/{topic.name}", topic.SerializeToString())
        self.topics[topic.name] = topic

    def delete_topic(self, name: str) -> None:
        """Its subscriptions stay, with what they hold, on a topic named `_deleted-topic_`."""
        self.topic(name)
        with self._journal.batch():
            for subscription in self._by_topic.pop(name, []):
                subscription.config.topic = rules.DELETED_TOPIC
                self.save_subscription(subscription, subscription.config)
            self._journal.delete(f"topic/{name}")
            del self.topics[name]
            self.policies.forget(name)
            self.archive.leave_topic(name)

    def _leave_schema(self, name: str) -> None:
        """The schema is gone; topics keep a name that says so."""
        self.policies.forget(name)
        for topic in self.topics.values():
            if topic.schema_settings.schema == name:
                topic.schema_settings.schema = DELETED_SCHEMA
                self.save_topic(topic)

    def subscriptions_of(self, topic: str) -> list[Subscription]:
        return self._by_topic.get(topic, [])

    # Subscriptions

    def subscription(self, name: str) -> Subscription:
        """The subscription, for an operation on it; raises NOT_FOUND."""
        if name not in self.subscriptions:
            rules.check_name("subscriptions", name)
            raise not_found(name)
        self.expirations.active(name)
        return self.subscriptions[name]

    def shown(self, subscription: Subscription) -> Proto:
        """The configuration as it is answered, with what comes from the topic."""
        if subscription.topic not in self.topics:
            return subscription.config
        topic = self.topics[subscription.topic]
        if not topic.HasField("message_retention_duration"):
            return subscription.config
        config = SubscriptionProto()
        config.CopyFrom(subscription.config)
        config.topic_message_retention_duration.CopyFrom(topic.message_retention_duration)
        return config

    def create_subscription(self, config: Proto) -> Subscription:
        if config.name in self.subscriptions:
            raise already_exists(config.name)
        self.topic(config.topic)
        self.check_dead_letter(config)
        self._journal.put(f"subscription/{config.name}", config.SerializeToString())
        return self._register(config)

    def _register(self, config: Proto) -> Subscription:
        subscription = Subscription(config, self, self._wake)
        self.subscriptions[subscription.name] = subscription
        self.expirations.watch(config)
        if not config.detached and config.topic != rules.DELETED_TOPIC:
            self._by_topic.setdefault(config.topic, []).append(subscription)
        return subscription

    def check_dead_letter(self, config: Proto) -> None:
        if config.HasField("dead_letter_policy"):
            self.topic(config.dead_letter_policy.dead_letter_topic)

    def save_subscription(self, subscription: Subscription, config: Proto) -> None:
        self._journal.put(f"subscription/{config.name}", config.SerializeToString())
        subscription.configure(config)
        self.expirations.watch(config)
        self._wake(subscription)

    def delete_subscription(self, name: str) -> None:
        subscription = self.subscription(name)
        with self._journal.batch():
            self._drop_all(subscription)
            self._journal.delete(f"subscription/{name}")
        del self.subscriptions[name]
        self.policies.forget(name)
        self.expirations.forget(name)
        self._leave_topic(subscription)
        self._wake(subscription)

    def detach(self, name: str) -> None:
        """Unacknowledged messages are dropped and no new ones arrive."""
        subscription = self.subscription(name)
        with self._journal.batch():
            self._drop_all(subscription)
            subscription.config.detached = True
            self.save_subscription(subscription, subscription.config)
        self._leave_topic(subscription)
        self._wake(subscription)

    def _leave_topic(self, subscription: Subscription) -> None:
        others = self._by_topic.get(subscription.topic, [])
        if subscription in others:
            others.remove(subscription)

    def _drop_all(self, subscription: Subscription) -> None:
        for standing in list(subscription.standings.values()):
            self.release(subscription, standing)
        subscription.close()
        subscription.standings.clear()
        subscription.lines.clear()
        self._flush()

    # Messages

    def publish(self, topic: str, protos: Iterable[Proto]) -> list[str]:
        """Take the messages, durably and all or none; answers their ids in order.

        Pushes have been started (and count as under way) when this returns.
        """
        now = self._ground.clock.now()
        messages = Message.stamp(topic, protos, self._next_number, now)
        wanted = [
            (Standing(message), subscription)
            for message in messages
            for subscription in self._by_topic.get(topic, ())
            if subscription.matches(message.attributes)
        ]
        self._write(topic, messages, wanted)
        for standing, subscription in wanted:
            in_line = subscription.ordered and bool(standing.message.ordering_key)
            standing.due = self.disturbances.held_back(topic, ordered=in_line)
            subscription.add(standing)
        return [message.id for message in messages]

    def _write(
        self,
        topic: str,
        messages: list[Message],
        wanted: list[tuple[Standing, Subscription]],
    ) -> None:
        with self._journal.batch():
            if self.archive.life(topic):
                self.archive.prune(topic)
                for message in messages:
                    self.archive.keep(message)
                    self._put_message(message)
            for standing, subscription in wanted:
                if not standing.message.holders:
                    self._put_message(standing.message)
                standing.message.holders += 1
                self.keep(subscription, standing)

    def _put_message(self, message: Message) -> None:
        if self._journal.lasting:
            self._journal.put(message.key, message.record())

    # Replay

    def _retention(self, topic: str) -> timedelta:
        """How long topic and subscriptions want acknowledged messages kept."""
        if topic not in self.topics:
            return timedelta()
        life: timedelta = self.topics[topic].message_retention_duration.ToTimedelta()
        retaining = (each.retention for each in self.subscriptions_of(topic) if each.retains_acked)
        return max(life, *retaining, timedelta())

    def seek(
        self, subscription: Subscription, wanted: Callable[[Message], bool], life: timedelta
    ) -> None:
        """Make exactly the `wanted` messages unacknowledged.

        Acknowledged ones are to be had while they are younger than `life`.
        """
        now = self._ground.clock.now()
        known = {each.message.number: each.message for each in subscription.standings.values()}
        for message in self.archive.kept(subscription.topic):
            if not message.expired(now, life) and subscription.matches(message.attributes):
                known[message.number] = message
        again = [known[number] for number in sorted(known) if wanted(known[number])]
        with self._journal.batch():
            for message in again:
                message.holders += 1
            self._drop_all(subscription)
            for message in again:
                self._journal.put(_standing_key(subscription, message), Standing(message).record())
        for message in again:
            subscription.add(Standing(message))

    def take_snapshot(self, config: Proto, subscription: Subscription) -> None:
        self.archive.take(config, subscription, self._number)

    def random_id(self) -> str:
        """Eight hexadecimal digits, of the seed's sequence."""
        return f"{self._ground.random.getrandbits(32):08x}"

    def _next_number(self) -> int:
        if self._number == self._reserved:
            self._reserved += NUMBERS_AT_ONCE
            self._journal.put("numbers", str(self._reserved).encode())
        self._number += 1
        return self._number

    # What subscriptions ask for

    def keep(self, subscription: Subscription, standing: Standing) -> None:
        if self._journal.lasting:
            self._journal.put(_standing_key(subscription, standing.message), standing.record())

    def release(self, subscription: Subscription, standing: Standing) -> None:
        """Forget a standing; it is written down together with others of the same loop turn.

        A crash before that delivers the message again, which at-least-once allows.
        """
        message = standing.message
        message.holders -= 1
        if not self._journal.lasting:
            return
        if not self._done:
            asyncio.get_running_loop().call_soon(self._flush)
        self._done.append(_standing_key(subscription, message))
        if not message.holders:
            self._done.append(message.key)

    def _flush(self) -> None:
        done, self._done = self._done, []
        if done:
            with self._journal.batch():
                for key in done:
                    self._journal.delete(key)

    @contextmanager
    def durable(self) -> Iterator[None]:
        """What is released inside is written down when the block ends."""
        yield
        self._flush()

    def dead_letter(self, subscription: Subscription, standing: Standing) -> bool:
        """Publish a copy to the dead-letter topic, with the documented attributes.

        While that topic does not exist the message stays and is delivered further.
        """
        topic = subscription.config.dead_letter_policy.dead_letter_topic
        if topic not in self.topics:
            return False
        copy = standing.message.proto
        project, name = subscription.name.split("/")[1::2]
        copy.attributes[f"{_SOURCE}DeliveryCount"] = str(standing.failures)
        copy.attributes[f"{_SOURCE}Subscription"] = name
        copy.attributes[f"{_SOURCE}SubscriptionProject"] = project
        copy.attributes[f"{_SOURCE}TopicPublishTime"] = timestamp_text(standing.message.published)
        self.publish(topic, [copy])
        standing.failures -= 1
        self.note(subscription, standing, Outcome.DEAD_LETTERED)
        return True

    def note(
        self,
        subscription: Subscription,
        standing: Standing,
        outcome: Outcome,
        status: int | None = None,
        milliseconds: float | None = None,
    ) -> None:
        message = standing.message
        self.log.append(
            Delivery(
                message.id,
                message.topic,
                subscription.name,
                message.attributes,
                message.published,
                self._ground.clock.now(),
                standing.attempt,
                outcome,
                status,
                milliseconds,
            )
        )


def _standing_key(subscription: Subscription, message: Message) -> str:
    return f"standing/{message.number:020d}/{subscription.name}"
