"""Push delivery: HTTP POSTs with bounded concurrency, whose answers acknowledge or not."""

import asyncio
import re
import time
from collections.abc import Mapping

import aiohttp

from emulators import http_target
from emulators.engine import Ground
from emulators.pubsub.deliveries import Outcome
from emulators.pubsub.delivery import Standing, Subscription
from emulators.pubsub.messages import timestamp_text
from emulators.pubsub.resources import Broker

WORKERS = 16
ACKNOWLEDGING = frozenset({102, 200, 201, 202, 204})
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class Pusher:
    """Keeps at most `WORKERS` pushes of a subscription under way while it has something ready."""

    def __init__(self, ground: Ground, broker: Broker) -> None:
        self._ground = ground
        self._broker = broker
        self._tasks: set[asyncio.Task[None]] = set()

    def pump(self, subscription: Subscription) -> None:
        """Start another worker if there is work for one; it counts as under way from now."""
        if subscription.ready and subscription.workers < WORKERS:
            subscription.workers += 1
            task = self._ground.agenda.start(self._work(subscription))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def stop(self) -> None:
        for task in self._tasks:
            task.cancel()

    async def _work(self, subscription: Subscription) -> None:
        try:
            while subscription.endpoint:
                taken = subscription.take(1, float("inf"), 1)
                if not taken:
                    break
                self.pump(subscription)
                await self._deliver(subscription, taken[0])
        finally:
            subscription.workers -= 1

    async def _deliver(self, subscription: Subscription, standing: Standing) -> None:
        acked = await self._attempt(subscription, standing)
        if subscription.duplicates(standing):
            acked = await self._attempt(subscription, standing) or acked
        if acked:
            self._broker.expirations.active(subscription.name)
            subscription.ack(standing)
        else:
            subscription.nack(standing)

    async def _attempt(self, subscription: Subscription, standing: Standing) -> bool:
        """One POST, noted in the log; the ack deadline bounds it in real time, or less does."""
        began = time.perf_counter()
        status = await self._post(subscription, standing)
        acked = status in ACKNOWLEDGING
        self._broker.note(
            subscription,
            standing,
            Outcome.ACKED if acked else Outcome.NACKED,
            status,
            round((time.perf_counter() - began) * 1000, 3),
        )
        return acked

    async def _post(self, subscription: Subscription, standing: Standing) -> int | None:
        silent = self._ground.silent
        try:
            async with self._ground.session.post(
                subscription.endpoint,
                data=_body(subscription, standing),
                headers=self._headers(subscription, standing),
                timeout=aiohttp.ClientTimeout(total=self._patience(subscription)),
                allow_redirects=False,
            ) as response:
                silent.discard(subscription.endpoint)
                return response.status
        except TimeoutError:
            silent.add(subscription.endpoint)
            return None
        except (aiohttp.ClientError, OSError, ValueError):
            return None

    def _patience(self, subscription: Subscription) -> float:
        """Real seconds to wait for an answer; fewer where virtual time is held up by it."""
        deadline = float(subscription.config.ack_deadline_seconds)
        if not self._ground.clock.frozen:
            return deadline
        silent = subscription.endpoint in self._ground.silent
        return min(
            deadline,
            http_target.STALL_SECONDS,
            http_target.SILENT_SECONDS if silent else deadline,
        )

    def _headers(self, subscription: Subscription, standing: Standing) -> Mapping[str, str]:
        push = subscription.config.push_config
        headers = {"User-Agent": "CloudPubSub-Google", "From": "noreply@google.com"}
        if push.HasField("no_wrapper"):
            if push.no_wrapper.write_metadata:
                headers |= _metadata(subscription, standing)
        else:
            headers["Content-Type"] = "application/json"
        if push.HasField("oidc_token"):
            oidc = push.oidc_token
            token = self._ground.tokens.oidc(
                oidc.service_account_email, oidc.audience or subscription.endpoint
            )
            headers["Authorization"] = f"Bearer {token}"
        return headers


def _body(subscription: Subscription, standing: Standing) -> bytes:
    if subscription.config.push_config.HasField("no_wrapper"):
        return standing.message.data
    attempt = f',"deliveryAttempt":{standing.attempt}' if subscription.most_attempts else ""
    end = f',"subscription":"{subscription.name}"{attempt}}}'
    return b'{"message":' + standing.message.body + end.encode()


def _metadata(subscription: Subscription, standing: Standing) -> dict[str, str]:
    """The headers of a push with `write_metadata`; attributes keep their names."""
    message = standing.message
    headers = {name: text for name, text in message.attributes.items() if _sendable(name, text)}
    headers["x-goog-pubsub-subscription-name"] = subscription.name
    headers["x-goog-pubsub-message-id"] = message.id
    headers["x-goog-pubsub-publish-time"] = timestamp_text(message.published)
    if message.ordering_key:
        headers["x-goog-pubsub-ordering-key"] = message.ordering_key
    if subscription.most_attempts:
        headers["x-goog-pubsub-delivery-attempt"] = str(standing.attempt)
    return headers


def _sendable(name: str, value: str) -> bool:
    """Whether HTTP allows the header."""
    return _HEADER_NAME.fullmatch(name) is not None and value.isprintable() and value.isascii()
