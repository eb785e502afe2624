"""StreamingPull: messages flow as they arrive, acks and deadline changes come back."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import grpc

from emulators.api.refusals import Context, Refused, invalid
from emulators.api.unary import Handler
from emulators.pubsub.delivery import Standing, Subscription
from emulators.pubsub.leases import Holder
from emulators.pubsub.resources import Broker
from emulators.pubsub.rules import check_ack_form
from emulators.pubsub.wire import (
    Proto,
    StreamingPullRequest,
    StreamingPullResponse,
    not_found,
    unmet,
)

MESSAGES_PER_RESPONSE = 1000
BYTES_PER_RESPONSE = 4 << 20
LINGER_SECONDS = 0.003
"""Real time from an arrival to its delivery: publishers hear of their success before that."""
_FIRST_ONLY = (
    "subscription",
    "client_id",
    "max_outstanding_messages",
    "max_outstanding_bytes",
    "protocol_version",
)


class Arrivals:
    """Lets pullers sleep until something changes on their subscription."""

    def __init__(self) -> None:
        self._events: dict[Subscription, asyncio.Event] = {}

    def notify(self, subscription: Subscription) -> None:
        if (event := self._events.pop(subscription, None)) is not None:
            event.set()

    def next(self, subscription: Subscription) -> asyncio.Event:
        """An event that is set at the next change."""
        return self._events.setdefault(subscription, asyncio.Event())

    async def wait(self, subscription: Subscription, seconds: float) -> None:
        """Wait for the next change, at most so many real seconds."""
        try:
            await asyncio.wait_for(self.next(subscription).wait(), seconds)
        except TimeoutError:
            return


def check_pullable(subscription: Subscription) -> None:
    """FAILED_PRECONDITION for push and detached subscriptions."""
    if subscription.config.detached:
        raise unmet(f"Subscription is detached (resource={subscription.name}).")
    if subscription.endpoint:
        raise unmet(f"Push subscriptions cannot be pulled (resource={subscription.name}).")


def hand_out(
    into: Proto, subscription: Subscription, standing: Standing, due: datetime, holder: Holder
) -> None:
    """Lease the message until `due` (virtual) and fill in a ReceivedMessage."""
    into.ack_id = subscription.lease(standing, due, holder)
    into.message.ParseFromString(standing.message.wire)
    if subscription.most_attempts:
        into.delivery_attempt = standing.attempt


class _Stream(Holder):
    """One open stream: its lease time and flow control limits (0 or less is no limit)."""

    def __init__(self, subscription: Subscription, first: Proto) -> None:
        super().__init__()
        self.subscription = subscription
        self.seconds = first.stream_ack_deadline_seconds
        self.most_messages = first.max_outstanding_messages
        self.most_bytes = first.max_outstanding_bytes
        self.ended = False
        self.refusal: Refused | None = None

    def take(self, streams: int) -> list[Standing]:
        """What to send next; without ordering no more than a fair share among the `streams`."""
        messages: float = MESSAGES_PER_RESPONSE
        if streams > 1 and not self.subscription.ordered:
            messages = min(messages, -(-self.subscription.ready // streams))
        size: float = BYTES_PER_RESPONSE
        if self.most_messages > 0:
            messages = min(messages, self.most_messages - self.messages)
        if self.most_bytes > 0:
            size = min(size, self.most_bytes - self.bytes)
        return self.subscription.take(int(messages), size, MESSAGES_PER_RESPONSE)


class StreamingPull:
    """Serves streams; a stream's leases outlive it until their deadlines."""

    def __init__(self, broker: Broker, arrivals: Arrivals) -> None:
        self._broker = broker
        self._arrivals = arrivals

    def handler(self) -> Handler:
        return grpc.stream_stream_rpc_method_handler(
            self.serve,
            request_deserializer=StreamingPullRequest.FromString,
            response_serializer=StreamingPullResponse.SerializeToString,
        )

    async def serve(self, requests: AsyncIterator[Proto], context: Context) -> AsyncIterator[Proto]:
        try:
            stream = self._open(await anext(requests))
        except Refused as refusal:
            await refusal.answer(context)
        except StopAsyncIteration:
            return
        reader = asyncio.create_task(self._read(stream, requests))
        try:
            with self._broker.expirations.connected(stream.subscription.name):
                async for response in self._responses(stream):
                    yield response
            if stream.refusal is not None:
                await stream.refusal.answer(context)
        finally:
            reader.cancel()

    def _open(self, first: Proto) -> _Stream:
        subscription = self._broker.subscription(first.subscription)
        check_pullable(subscription)
        _check_deadline(first.stream_ack_deadline_seconds)
        stream = _Stream(subscription, first)
        self._apply(stream, first)
        return stream

    async def _responses(self, stream: _Stream) -> AsyncIterator[Proto]:
        subscription = stream.subscription
        properties: dict[str, Any] = {
            "message_ordering_enabled": subscription.ordered,
            "exactly_once_delivery_enabled": subscription.exactly_once,
        }
        while not stream.ended:
            changed = self._arrivals.next(subscription)
            stream.refusal = self._obstacle(subscription)
            if stream.refusal is not None:
                return
            taken = stream.take(self._broker.expirations.connections(subscription.name))
            if taken:
                response = StreamingPullResponse(subscription_properties=properties)
                add = response.received_messages.add
                due = subscription.deadline(stream.seconds)
                for standing in taken:
                    hand_out(add(), subscription, standing, due, stream)
                yield response
            else:
                await changed.wait()
                await asyncio.sleep(LINGER_SECONDS)

    def _obstacle(self, subscription: Subscription) -> Refused | None:
        """Why its streams must end: deleted, detached or turned into a push subscription."""
        if self._broker.subscriptions.get(subscription.name) is not subscription:
            return not_found(subscription.name)
        try:
            check_pullable(subscription)
        except Refused as refusal:
            return refusal
        return None

    async def _read(self, stream: _Stream, requests: AsyncIterator[Proto]) -> None:
        try:
            async for request in requests:
                _check_later(request)
                self._apply(stream, request)
        except Refused as refusal:
            stream.refusal = refusal
        finally:
            stream.ended = True
            self._arrivals.notify(stream.subscription)

    def _apply(self, stream: _Stream, request: Proto) -> None:
        if len(request.modify_deadline_seconds) != len(request.modify_deadline_ack_ids):
            raise invalid("modify_deadline_seconds and modify_deadline_ack_ids differ in length.")
        for seconds in request.modify_deadline_seconds:
            if not 0 <= seconds <= 600:
                raise invalid("modify_deadline_seconds must be between 0 and 600.")
        for ack_ids in (request.ack_ids, request.modify_deadline_ack_ids):
            check_ack_form(ack_ids, stream.subscription.mark, stream.subscription.leases)
        if request.stream_ack_deadline_seconds:
            stream.seconds = request.stream_ack_deadline_seconds
        with self._broker.durable():
            stream.subscription.acknowledge(request.ack_ids)
        for ack_id, seconds in zip(
            request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True
        ):
            stream.subscription.modify([ack_id], seconds)


def _check_later(request: Proto) -> None:
    """What only the first request of a stream may hold, and what it may change."""
    for field in _FIRST_ONLY:
        if getattr(request, field):
            raise invalid(f"{field} can only be set on the initial request of a stream.")
    if request.stream_ack_deadline_seconds:
        _check_deadline(request.stream_ack_deadline_seconds)


def _check_deadline(seconds: int) -> None:
    if not 10 <= seconds <= 600:
        raise invalid("stream_ack_deadline_seconds must be between 10 and 600.")
