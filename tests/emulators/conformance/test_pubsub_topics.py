"""Topics as google.pubsub.v1 documents them."""

from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud import pubsub_v1

from tests.emulators.conformance.conftest import Target


@pytest.fixture
def project() -> str:
    return f"projects/test-{uuid4().hex[:12]}"


@pytest.fixture
def publisher(pubsub_target: Target, monkeypatch: pytest.MonkeyPatch) -> pubsub_v1.PublisherClient:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_target.address)
    return pubsub_v1.PublisherClient()


def test_a_topic_is_created_once(publisher: pubsub_v1.PublisherClient, project: str) -> None:
    publisher.create_topic(name=f"{project}/topics/orders")
    with pytest.raises(exceptions.AlreadyExists):
        publisher.create_topic(name=f"{project}/topics/orders")
