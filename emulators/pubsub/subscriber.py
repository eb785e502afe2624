"""The Subscriber service of google.pubsub.v1, streaming apart."""

import asyncio

import grpc
from google.rpc.error_details_pb2 import ErrorInfo

from emulators.api.field_masks import merged
from emulators.api.paging import page
from emulators.api.refusals import Context, Refused, invalid
from emulators.pubsub import rules
from emulators.pubsub.delivery import Standing, Subscription
from emulators.pubsub.leases import Holder
from emulators.pubsub.replay import Replay
from emulators.pubsub.resources import Broker
from emulators.pubsub.streams import Arrivals, StreamingPull, check_pullable, hand_out
from emulators.pubsub.wire import Empty, Proto, PullResponse, message_class, unary
from emulators.pubsub.wire import Subscription as SubscriptionProto

INVALID_ACK_ID = "PERMANENT_FAILURE_INVALID_ACK_ID"
ACK_ID_FAILURE = "EXACTLY_ONCE_ACKID_FAILURE"
INVALID_ACK_IDS = (
    "Some acknowledgement ids in the request were invalid. This could be because the "
    "acknowledgement ids have expired or the acknowledgement ids were malformed."
)
PULL_SECONDS = 5.0
"""How long (real) a pull waits for a first message; the service promises no particular time."""
ANSWER_SECONDS = 0.2
"""Real time in which an empty answer gets back to the caller."""


class Subscriber:
    """Subscriptions, pulling and acknowledging; raises `Refused` like `Publisher`."""

    def __init__(self, broker: Broker, arrivals: Arrivals) -> None:
        self._broker = broker
        self._arrivals = arrivals
        self._streaming = StreamingPull(broker, arrivals)

    def handler(self) -> grpc.GenericRpcHandler:
        config = "Subscription"
        methods = {
            "CreateSubscription": unary(self.create_subscription, config, config),
            "GetSubscription": unary(self.get_subscription, "GetSubscriptionRequest", config),
            "UpdateSubscription": unary(
                self.update_subscription, "UpdateSubscriptionRequest", config
            ),
            "ListSubscriptions": unary(
                self.list_subscriptions, "ListSubscriptionsRequest", "ListSubscriptionsResponse"
            ),
            "DeleteSubscription": unary(
                self.delete_subscription, "DeleteSubscriptionRequest", "Empty"
            ),
            "ModifyPushConfig": unary(self.modify_push_config, "ModifyPushConfigRequest", "Empty"),
            "ModifyAckDeadline": unary(
                self.modify_ack_deadline, "ModifyAckDeadlineRequest", "Empty"
            ),
            "Acknowledge": unary(self.acknowledge, "AcknowledgeRequest", "Empty"),
            "Pull": grpc.unary_unary_rpc_method_handler(
                self.pull,
                request_deserializer=message_class("PullRequest").FromString,
                response_serializer=PullResponse.SerializeToString,
            ),
            "StreamingPull": self._streaming.handler(),
            **Replay(self._broker).methods(),
        }
        return grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", methods)

    def create_subscription(self, config: Proto) -> Proto:
        rules.check_name("subscriptions", config.name)
        rules.check_name("topics", config.topic)
        rules.complete_subscription(config)
        config.state = SubscriptionProto.State.Value("ACTIVE")
        config.detached = False
        config.ClearField("tags")
        config.ClearField("topic_message_retention_duration")
        config.ClearField("analytics_hub_subscription_info")
        return self._broker.shown(self._broker.create_subscription(config))

    def get_subscription(self, request: Proto) -> Proto:
        return self._broker.shown(self._broker.subscription(request.subscription))

    def update_subscription(self, request: Proto) -> Proto:
        subscription = self._broker.subscription(request.subscription.name)
        rules.check_mask(request.update_mask, rules.SUBSCRIPTION_CHANGES, SubscriptionProto)
        changed = merged(subscription.config, request.subscription, request.update_mask.paths)
        self._change(subscription, changed)
        return self._broker.shown(subscription)

    def modify_push_config(self, request: Proto) -> Proto:
        """An empty push_config turns the subscription into a pull subscription."""
        subscription = self._broker.subscription(request.subscription)
        changed = SubscriptionProto()
        changed.CopyFrom(subscription.config)
        changed.push_config.CopyFrom(request.push_config)
        self._change(subscription, changed)
        return Empty()

    def _change(self, subscription: Subscription, config: Proto) -> None:
        rules.complete_subscription(config)
        if config.dead_letter_policy != subscription.config.dead_letter_policy:
            self._broker.check_dead_letter(config)
        self._broker.save_subscription(subscription, config)

    def list_subscriptions(self, request: Proto) -> Proto:
        rules.check_project(request.project)
        known = self._broker.subscriptions
        names, token = page(
            (n for n in known if n.startswith(f"{request.project}/")), request, rules.MOST_LISTED
        )
        return message_class("ListSubscriptionsResponse")(
            subscriptions=[self._broker.shown(known[name]) for name in names],
            next_page_token=token,
        )

    def delete_subscription(self, request: Proto) -> Proto:
        self._broker.delete_subscription(request.subscription)
        return Empty()

    def acknowledge(self, request: Proto) -> Proto:
        subscription = self._broker.subscription(request.subscription)
        refusal = _stale(subscription, request)
        with self._broker.durable():
            subscription.acknowledge(request.ack_ids)
        if refusal is not None:
            raise refusal
        return Empty()

    def modify_ack_deadline(self, request: Proto) -> Proto:
        subscription = self._broker.subscription(request.subscription)
        if not 0 <= request.ack_deadline_seconds <= 600:
            raise invalid("ack_deadline_seconds must be between 0 and 600.")
        refusal = _stale(subscription, request)
        subscription.modify(request.ack_ids, request.ack_deadline_seconds)
        if refusal is not None:
            raise refusal
        return Empty()

    async def pull(self, request: Proto, context: Context) -> Proto:
        """Up to `max_messages`; waits for the first one unless `return_immediately`."""
        try:
            subscription, taken = await self._take(request, context.time_remaining())
        except Refused as refusal:
            await refusal.answer(context)
        holder = Holder()
        due = subscription.deadline(subscription.config.ack_deadline_seconds)
        response = PullResponse()
        for standing in taken:
            hand_out(response.received_messages.add(), subscription, standing, due, holder)
        return response

    async def _take(
        self, request: Proto, patience: float | None
    ) -> tuple[Subscription, list[Standing]]:
        """Wait `PULL_SECONDS` at most, and less so that a caller with less `patience` hears."""
        seconds = min(PULL_SECONDS, PULL_SECONDS if patience is None else patience - ANSWER_SECONDS)
        now = asyncio.get_running_loop().time
        deadline = now() + (0.0 if request.return_immediately else seconds)
        while True:
            subscription = self._pullable(request)
            taken = subscription.take(request.max_messages, float("inf"), request.max_messages)
            if taken or deadline <= now():
                return subscription, taken
            await self._arrivals.wait(subscription, deadline - now())

    def _pullable(self, request: Proto) -> Subscription:
        subscription = self._broker.subscription(request.subscription)
        if request.max_messages <= 0:
            raise invalid("max_messages must be positive.")
        check_pullable(subscription)
        return subscription


def _stale(subscription: Subscription, request: Proto) -> Refused | None:
    """With exactly-once delivery, the answer that names the ack ids which count no more.

    The others of the same request take effect all the same, as documented. Without exactly-once
    delivery only what never was an ack id of the subscription is refused.
    """
    if not subscription.exactly_once:
        rules.check_ack_ids(request, subscription.mark, subscription.leases)
        return None
    rules.check_ack_ids(request, "", request.ack_ids)
    stale = {each: INVALID_ACK_ID for each in request.ack_ids if each not in subscription.leases}
    if not stale:
        return None
    info = ErrorInfo(reason=ACK_ID_FAILURE, domain="pubsub.googleapis.com", metadata=stale)
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, INVALID_ACK_IDS, info)
