"""The Publisher service of google.pubsub.v1."""

import grpc

from emulators.api.field_masks import merged
from emulators.api.paging import page
from emulators.pubsub import rules
from emulators.pubsub.resources import Broker
from emulators.pubsub.wire import Empty, Proto, Topic, message_class, unary


class Publisher:
    """Topics and publishing; methods take and give raw protobuf messages and raise `Refused`."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker

    def handler(self) -> grpc.GenericRpcHandler:
        methods = {
            "CreateTopic": unary(self.create_topic, "Topic", "Topic"),
            "UpdateTopic": unary(self.update_topic, "UpdateTopicRequest", "Topic"),
            "Publish": unary(self.publish, "PublishRequest", "PublishResponse"),
            "GetTopic": unary(self.get_topic, "GetTopicRequest", "Topic"),
            "ListTopics": unary(self.list_topics, "ListTopicsRequest", "ListTopicsResponse"),
            "ListTopicSubscriptions": unary(
                self.list_topic_subscriptions,
                "ListTopicSubscriptionsRequest",
                "ListTopicSubscriptionsResponse",
            ),
            "ListTopicSnapshots": unary(
                self.list_topic_snapshots,
                "ListTopicSnapshotsRequest",
                "ListTopicSnapshotsResponse",
            ),
            "DeleteTopic": unary(self.delete_topic, "DeleteTopicRequest", "Empty"),
            "DetachSubscription": unary(
                self.detach_subscription, "DetachSubscriptionRequest", "DetachSubscriptionResponse"
            ),
        }
        return grpc.method_handlers_generic_handler("google.pubsub.v1.Publisher", methods)

    def create_topic(self, topic: Proto) -> Proto:
        rules.check_topic(topic)
        self._broker.schemas.check_topic(topic)
        topic.state = Topic.State.Value(rules.topic_state(topic))
        topic.ClearField("tags")
        self._broker.create_topic(topic)
        return topic

    def update_topic(self, request: Proto) -> Proto:
        present = self._broker.topic(request.topic.name)
        rules.check_mask(request.update_mask, rules.TOPIC_CHANGES, Topic)
        changed = merged(present, request.topic, request.update_mask.paths)
        rules.check_topic(changed)
        if changed.schema_settings != present.schema_settings:
            self._broker.schemas.check_topic(changed)
        changed.state = Topic.State.Value(rules.topic_state(changed))
        self._broker.save_topic(changed)
        return changed

    def publish(self, request: Proto) -> Proto:
        topic = self._broker.topic(request.topic)
        rules.check_messages(request.messages, request.ByteSize())
        if topic.HasField("schema_settings"):
            self._broker.schemas.admit(topic.schema_settings, request.messages)
        ids = self._broker.publish(request.topic, request.messages)
        return message_class("PublishResponse")(message_ids=ids)

    def get_topic(self, request: Proto) -> Proto:
        return self._broker.topic(request.topic)

    def list_topics(self, request: Proto) -> Proto:
        rules.check_project(request.project)
        mine = (name for name in self._broker.topics if name.startswith(f"{request.project}/"))
        names, token = page(mine, request, rules.MOST_LISTED)
        return message_class("ListTopicsResponse")(
            topics=[self._broker.topics[name] for name in names], next_page_token=token
        )

    def list_topic_subscriptions(self, request: Proto) -> Proto:
        self._broker.topic(request.topic)
        mine = (each.name for each in self._broker.subscriptions_of(request.topic))
        names, token = page(mine, request, rules.MOST_LISTED)
        return message_class("ListTopicSubscriptionsResponse")(
            subscriptions=names, next_page_token=token
        )

    def list_topic_snapshots(self, request: Proto) -> Proto:
        self._broker.topic(request.topic)
        mine = (each.config.name for each in self._broker.archive.of(request.topic))
        names, token = page(mine, request, rules.MOST_LISTED)
        return message_class("ListTopicSnapshotsResponse")(snapshots=names, next_page_token=token)

    def delete_topic(self, request: Proto) -> Proto:
        self._broker.delete_topic(request.topic)
        return Empty()

    def detach_subscription(self, request: Proto) -> Proto:
        self._broker.detach(request.subscription)
        return message_class("DetachSubscriptionResponse")()
