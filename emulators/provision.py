"""Topics, subscriptions, queues and jobs made from the wiring, by Google's own clients.

Idempotent: what exists is brought up to date, what the wiring no longer names is removed.
"""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import grpc
from google.api_core.exceptions import AlreadyExists
from google.cloud import scheduler_v1, tasks_v2
from google.cloud.scheduler_v1.services.cloud_scheduler import transports as scheduler_transports
from google.cloud.tasks_v2.services.cloud_tasks import transports as tasks_transports
from google.pubsub_v1.services.publisher import PublisherAsyncClient
from google.pubsub_v1.services.publisher import transports as publisher_transports
from google.pubsub_v1.services.subscriber import SubscriberAsyncClient
from google.pubsub_v1.services.subscriber import transports as subscriber_transports
from google.pubsub_v1.types import pubsub

from emulators.wiring import Job, Queue, Subscription, Wiring, invoker


class Provisioner:
    """Provisions one project; `host` is the base address of the functions."""

    def __init__(self, project: str, location: str, host: str) -> None:
        self._project = project
        self._parent = f"projects/{project}/locations/{location}"
        self._host = host

    async def with_pubsub(self, address: str, wiring: Wiring) -> None:
        """Topics first, then their push subscriptions, on the Pub/Sub at `address`."""
        async with grpc.aio.insecure_channel(address) as channel:
            publisher = PublisherAsyncClient(
                transport=publisher_transports.PublisherGrpcAsyncIOTransport(channel=channel)
            )
            subscriber = SubscriberAsyncClient(
                transport=subscriber_transports.SubscriberGrpcAsyncIOTransport(channel=channel)
            )
            dead = {s.dead_letter_topic for s in wiring.subscriptions.values()} - {None}
            await asyncio.gather(
                *(self._topic(publisher, name) for name in {*wiring.topics, *dead} if name)
            )
            wanted = {
                f"projects/{self._project}/subscriptions/{name}": part
                for name, part in wiring.subscriptions.items()
            }
            present = {
                s.name: s
                async for s in await subscriber.list_subscriptions(
                    project=f"projects/{self._project}"
                )
                if s.push_config.push_endpoint
            }
            for name in present.keys() - wanted.keys():
                await subscriber.delete_subscription(subscription=name)
            await asyncio.gather(
                *(
                    self._subscribe(subscriber, self._subscription(name, part), present.get(name))
                    for name, part in wanted.items()
                )
            )

    async def _topic(self, publisher: PublisherAsyncClient, name: str) -> None:
        try:
            await publisher.create_topic(name=self._topic_name(name))
        except AlreadyExists:
            return

    def _topic_name(self, name: str) -> str:
        return f"projects/{self._project}/topics/{name}"

    def _subscription(self, name: str, part: Subscription) -> pubsub.Subscription:
        policy = pubsub.DeadLetterPolicy(
            dead_letter_topic=self._topic_name(part.dead_letter_topic or ""),
            max_delivery_attempts=part.max_delivery_attempts,
        )
        return pubsub.Subscription(
            name=name,
            topic=self._topic_name(part.topic),
            push_config=pubsub.PushConfig(
                push_endpoint=f"{self._host}/{part.function}{part.path}",
                oidc_token=pubsub.PushConfig.OidcToken(
                    service_account_email=invoker("pubsub", self._project),
                    audience=f"{self._host}/{part.function}",
                ),
            ),
            ack_deadline_seconds=part.ack_deadline_seconds,
            enable_message_ordering=part.ordered,
            filter=part.filter,
            retry_policy=pubsub.RetryPolicy(
                minimum_backoff=timedelta(seconds=part.min_backoff_seconds),
                maximum_backoff=timedelta(seconds=part.max_backoff_seconds),
            ),
            dead_letter_policy=policy if part.dead_letter_topic else None,
            expiration_policy=pubsub.ExpirationPolicy(),  # without a ttl: never
        )

    async def _subscribe(
        self,
        subscriber: SubscriberAsyncClient,
        wanted: pubsub.Subscription,
        present: pubsub.Subscription | None,
    ) -> None:
        if present is None:
            await subscriber.create_subscription(request=wanted)
            return
        fixed = ("topic", "filter", "enable_message_ordering")
        if any(getattr(present, part) != getattr(wanted, part) for part in fixed):
            await subscriber.delete_subscription(subscription=wanted.name)
            await subscriber.create_subscription(request=wanted)
            return
        paths = ["push_config", "ack_deadline_seconds", "retry_policy", "dead_letter_policy"]
        await subscriber.update_subscription(
            request={"subscription": wanted, "update_mask": {"paths": paths}}
        )

    async def with_tasks(self, address: str, queues: dict[str, Queue]) -> None:
        """Queues with their retry rules, on the Cloud Tasks at `address`."""
        async with grpc.aio.insecure_channel(address) as channel:
            client = tasks_v2.CloudTasksAsyncClient(
                transport=tasks_transports.CloudTasksGrpcAsyncIOTransport(channel=channel)
            )
            for name, part in queues.items():
                queue = tasks_v2.Queue(
                    name=f"{self._parent}/queues/{name}",
                    retry_config=tasks_v2.RetryConfig(
                        max_attempts=part.max_attempts,
                        min_backoff=timedelta(seconds=part.min_backoff_seconds),
                        max_backoff=timedelta(seconds=part.max_backoff_seconds),
                    ),
                )
                try:
                    await client.create_queue(parent=self._parent, queue=queue)
                except AlreadyExists:
                    await client.update_queue(queue=queue)

    async def with_scheduler(self, address: str, jobs: dict[str, Job]) -> None:
        """Cron jobs, on the Cloud Scheduler at `address`."""
        async with grpc.aio.insecure_channel(address) as channel:
            client = scheduler_v1.CloudSchedulerAsyncClient(
                transport=scheduler_transports.CloudSchedulerGrpcAsyncIOTransport(channel=channel)
            )
            wanted = {f"{self._parent}/jobs/{name}": part for name, part in jobs.items()}
            present = {job.name async for job in await client.list_jobs(parent=self._parent)}
            for name in present - wanted.keys():
                await client.delete_job(name=name)
            for name, part in wanted.items():
                job = self._job(name, part)
                if name in present:
                    await client.update_job(job=job)
                else:
                    await client.create_job(parent=self._parent, job=job)

    def _job(self, name: str, part: Job) -> scheduler_v1.Job:
        return scheduler_v1.Job(
            name=name,
            schedule=part.schedule,
            time_zone=part.time_zone,
            retry_config=scheduler_v1.RetryConfig(
                retry_count=part.retry_count,
                min_backoff_duration=timedelta(seconds=part.min_backoff_seconds),
                max_backoff_duration=timedelta(seconds=part.max_backoff_seconds),
            ),
            http_target=scheduler_v1.HttpTarget(
                uri=f"{self._host}/{part.function}{part.path}",
                http_method=scheduler_v1.HttpMethod.POST,
                oidc_token=scheduler_v1.OidcToken(
                    service_account_email=invoker("scheduler", self._project),
                    audience=f"{self._host}/{part.function}",
                ),
            ),
        )


async def provision(provisioner: Provisioner, wiring: Wiring, addresses: dict[str, str]) -> None:
    """Provision whichever of `pubsub`, `tasks` and `scheduler` has an address."""
    steps: Iterable[tuple[str, Any]] = (
        ("pubsub", lambda at: provisioner.with_pubsub(at, wiring)),
        ("tasks", lambda at: provisioner.with_tasks(at, wiring.queues)),
        ("scheduler", lambda at: provisioner.with_scheduler(at, wiring.jobs)),
    )
    await asyncio.gather(*(run(addresses[name]) for name, run in steps if name in addresses))
