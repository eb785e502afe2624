"""What cannot be done is refused with a status, whatever the call."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from google.api_core import exceptions
from google.pubsub_v1 import types

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of

CALLS: dict[str, Callable[[Api, str], Any]] = {
    "GetTopic": lambda api, name: api.publisher.get_topic(topic=name),
    "DeleteTopic": lambda api, name: api.publisher.delete_topic(topic=name),
    "UpdateTopic": lambda api, name: api.publisher.update_topic(
        topic=types.Topic(name=name), update_mask={"paths": ["message_retention_duration"]}
    ),
    "GetSubscription": lambda api, name: api.subscriber.get_subscription(subscription=name),
    "DeleteSubscription": lambda api, name: api.subscriber.delete_subscription(subscription=name),
    "UpdateSubscription": lambda api, name: api.subscriber.update_subscription(
        subscription=types.Subscription(name=name), update_mask={"paths": ["retry_policy"]}
    ),
    "ModifyPushConfig": lambda api, name: api.subscriber.modify_push_config(
        subscription=name, push_config={}
    ),
    "Acknowledge": lambda api, name: api.subscriber.acknowledge(subscription=name, ack_ids=["x"]),
    "ModifyAckDeadline": lambda api, name: api.subscriber.modify_ack_deadline(
        subscription=name, ack_ids=["x"], ack_deadline_seconds=10
    ),
    "Pull": lambda api, name: api.subscriber.pull(subscription=name, max_messages=1),
    "Seek": lambda api, name: api.subscriber.seek(
        request={"subscription": name, "time": datetime(2026, 1, 1, tzinfo=UTC)}
    ),
    "GetIamPolicy": lambda api, name: api.publisher.get_iam_policy(request={"resource": name}),
    "GetSnapshot": lambda api, name: api.subscriber.get_snapshot(snapshot=name),
    "DeleteSnapshot": lambda api, name: api.subscriber.delete_snapshot(snapshot=name),
}


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


@pytest.mark.parametrize("name", ["", "x", "projects/p/queues/orders", "projects//topics/orders/"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_name_of_another_form_is_refused(
    api: Api, call: Callable[[Api, str], Any], name: str
) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        call(api, name)


@pytest.mark.differs("does not find a subscription whose name has another form")
def test_a_snapshot_s_subscription_must_have_a_subscription_s_name(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscriber.create_snapshot(name=api.name("snapshots", "before"), subscription="x")


@pytest.mark.parametrize("method", [method for method in CALLS if method != "GetIamPolicy"])
def test_what_is_absent_is_not_found(api: Api, method: str) -> None:
    call = CALLS[method]
    kinds = {"Topic": "topics", "Snapshot": "snapshots"}
    kind = next((kinds[each] for each in kinds if method.endswith(each)), "subscriptions")
    with pytest.raises(exceptions.NotFound):
        call(api, api.name(kind, "absent"))


@pytest.mark.parametrize(
    "settings",
    [
        {"bigquery_config": {"table": "p.d.t"}},
        {"cloud_storage_config": {"bucket": "b"}},
        {"message_transforms": [{"javascript_udf": {"function_name": "f", "code": "x"}}]},
    ],
)
def test_what_this_emulator_does_not_do_is_refused(
    api: Api, settings: dict[str, Any], pubsub_target: Target
) -> None:
    if pubsub_target.name != "local":
        pytest.skip("only what the local engine leaves out")
    with pytest.raises(exceptions.MethodNotImplemented):
        api.subscribe(**settings)
