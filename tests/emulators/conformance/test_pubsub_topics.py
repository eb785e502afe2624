"""Topics as google.pubsub.v1 documents them."""

from uuid import uuid4

import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient

from tests.emulators.conformance.conftest import Target


@pytest.fixture
def project() -> str:
    return f"projects/test-{uuid4().hex[:12]}"


@pytest.fixture
def publisher(pubsub_target: Target, monkeypatch: pytest.MonkeyPatch) -> PublisherClient:
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub_target.address)
    return PublisherClient()


def test_a_topic_is_created_once(publisher: PublisherClient, project: str) -> None:
    publisher.create_topic(name=f"{project}/topics/orders")
    with pytest.raises(exceptions.AlreadyExists):
        publisher.create_topic(name=f"{project}/topics/orders")
