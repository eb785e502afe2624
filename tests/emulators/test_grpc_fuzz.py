"""Whatever a gRPC call holds, it gets a status, at once, and the engine goes on serving."""

import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.cloud.firestore_v1.services.firestore.transports import FirestoreGrpcTransport
from google.cloud.scheduler_v1.services.cloud_scheduler.transports import (
    CloudSchedulerGrpcTransport,
)
from google.cloud.tasks_v2.services.cloud_tasks.transports import CloudTasksGrpcTransport
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport
from google.pubsub_v1.services.schema_service.transports import SchemaServiceGrpcTransport
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emulators.engine import HOST, Engine, Ground
from emulators.firestore import Firestore
from emulators.pubsub import PubSub
from emulators.scheduler import Scheduler
from emulators.tasks import Tasks
from tests.emulators.grpc_requests import (
    DATABASE,
    JOB,
    NOWHERE,
    PLACE,
    PROJECT,
    QUEUE,
    ROOM,
    ROOT,
    SCHEMA,
    SNAPSHOT,
    SUBSCRIPTION,
    TASK,
    TOPIC,
    valid,
)
from tests.emulators.grpc_surface import Rpc, call, requests, rpcs

LONG = "FUZZ_EXAMPLES"
"""Set to a number, it asks for so many requests of each RPC, other ones every time."""
EXAMPLES = int(os.environ.get(LONG, "25"))
NOT_CRASHED = set(grpc.StatusCode) - {grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL}
WAITING = {"Subscriber/Pull", "Subscriber/StreamingPull", "Firestore/Listen", "Firestore/Write"}
"""Calls that rightly stay open while nothing comes."""


@dataclass(frozen=True)
class Surface:
    """An engine, the transports whose calls it serves, what is made there, and further names."""

    engine: Callable[[Ground], Engine]
    transports: tuple[Any, ...]
    made: list[str]
    names: list[str]


SURFACES = [
    Surface(
        PubSub,
        (PublisherGrpcTransport, SubscriberGrpcTransport, SchemaServiceGrpcTransport),
        [
            "google.pubsub.v1.Publisher/CreateTopic",
            "google.pubsub.v1.Subscriber/CreateSubscription",
            "google.pubsub.v1.Subscriber/CreateSnapshot",
        ],
        [PROJECT, TOPIC, SUBSCRIPTION, SNAPSHOT, SCHEMA, "push_config"],
    ),
    Surface(
        Tasks,
        (CloudTasksGrpcTransport,),
        [
            "google.cloud.tasks.v2.CloudTasks/CreateQueue",
            "google.cloud.tasks.v2.CloudTasks/PauseQueue",
            "google.cloud.tasks.v2.CloudTasks/CreateTask",
        ],
        [PROJECT, PLACE, QUEUE, TASK, NOWHERE, "rate_limits", "300s"],
    ),
    Surface(
        Scheduler,
        (CloudSchedulerGrpcTransport,),
        ["google.cloud.scheduler.v1.CloudScheduler/CreateJob"],
        [PROJECT, PLACE, JOB, NOWHERE, "schedule"],
    ),
    Surface(
        Firestore,
        (FirestoreGrpcTransport,),
        ["google.firestore.v1.Firestore/UpdateDocument"],
        [DATABASE, ROOT, ROOM, "rooms", "status", "__name__"],
    ),
]
CASES = [
    pytest.param(surface, rpc, id=str(rpc))
    for surface in SURFACES
    for rpc in sorted(
        {rpc.path: rpc for each in surface.transports for rpc in rpcs(each)}.values(),
        key=lambda rpc: rpc.path,
    )
]


@pytest.fixture
def channel(
    start_engine: Callable[[Any], tuple[Engine, int]], request: pytest.FixtureRequest
) -> Iterator[grpc.Channel]:
    surface: Surface = request.node.callspec.params["surface"]
    _, port = start_engine(surface.engine)
    with grpc.insecure_channel(f"{HOST}:{port}") as made:
        for path in surface.made:
            made.unary_unary(f"/{path}")(valid(path).SerializeToString(), timeout=10)
        yield made


@pytest.mark.parametrize(("surface", "rpc"), CASES)
def test_any_request_gets_a_status_and_the_engine_goes_on(
    channel: grpc.Channel, surface: Surface, rpc: Rpc
) -> None:
    patience = 0.3 if str(rpc) in WAITING else 10

    @settings(
        max_examples=EXAMPLES,
        derandomize=LONG not in os.environ,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(requests(rpc, surface.names, valid(str(rpc))), min_size=1, max_size=2))
    def send(sent: list[Any]) -> None:
        code = call(channel, rpc, [each.SerializeToString() for each in sent], patience)
        assert code in NOT_CRASHED
        assert str(rpc) in WAITING or code is not grpc.StatusCode.DEADLINE_EXCEEDED

    send()
    assert call(channel, surface_probe(surface), [b""], 10) in NOT_CRASHED


@pytest.mark.parametrize(("surface", "rpc"), CASES)
def test_bytes_that_are_no_protobuf_get_a_status(
    channel: grpc.Channel, surface: Surface, rpc: Rpc
) -> None:
    noise = random.Random(7)
    for size in (1, 10, 1000):
        code = call(channel, rpc, [b"\xff" + noise.randbytes(size)], 10)
        assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.UNIMPLEMENTED)
    assert call(channel, surface_probe(surface), [b""], 10) in NOT_CRASHED


def surface_probe(surface: Surface) -> Rpc:
    """A unary call of the same engine, by which one sees that it still serves."""
    return next(r for r in rpcs(surface.transports[0]) if r.arity == "unary_unary")
