"""google.iam.v1.IAMPolicy on Pub/Sub's resources."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.iam.v1.policy_pb2 import Binding, Policy

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of

pytestmark = pytest.mark.differs("answers UNIMPLEMENTED to IAMPolicy")
EDITORS = Binding(role="roles/pubsub.editor", members=["group:editors@example.com"])


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


@pytest.fixture(params=["topic", "subscription", "snapshot", "schema"])
def resource(request: pytest.FixtureRequest, api: Api) -> str:
    api.subscribe()
    if request.param == "snapshot":
        return str(api.snapshot().name)
    if request.param == "schema":
        return str(api.make_schema().name)
    return api.topic if request.param == "topic" else api.subscription


def get(api: Api, resource: str) -> Any:
    return api.publisher.get_iam_policy(request={"resource": resource})


def put(api: Api, resource: str, policy: Policy) -> Any:
    return api.publisher.set_iam_policy(request={"resource": resource, "policy": policy})


def test_a_resource_begins_with_an_empty_policy(api: Api, resource: str) -> None:
    policy = get(api, resource)
    assert list(policy.bindings) == []
    assert policy.version == 0
    assert policy.etag


def test_a_policy_is_kept(api: Api, resource: str) -> None:
    policy = get(api, resource)
    policy.bindings.append(EDITORS)
    stored = put(api, resource, policy)
    assert list(stored.bindings) == [EDITORS]
    assert stored.etag != policy.etag
    assert get(api, resource) == stored


def test_a_policy_that_changed_meanwhile_is_not_overwritten(api: Api, resource: str) -> None:
    seen = get(api, resource)
    put(api, resource, Policy(bindings=[EDITORS]))
    with pytest.raises(exceptions.Aborted):
        put(api, resource, seen)
    assert list(get(api, resource).bindings) == [EDITORS]


def test_all_permissions_are_had(api: Api, resource: str) -> None:
    permissions = ["pubsub.topics.get", "pubsub.topics.update"]
    answer = api.publisher.test_iam_permissions(
        request={"resource": resource, "permissions": permissions}
    )
    assert list(answer.permissions) == permissions


def test_the_subscriber_s_client_sees_the_same_policy(api: Api) -> None:
    api.subscribe()
    put(api, api.subscription, Policy(bindings=[EDITORS]))
    policy = api.subscriber.get_iam_policy(request={"resource": api.subscription})
    assert list(policy.bindings) == [EDITORS]


def test_a_policy_goes_with_its_resource(api: Api) -> None:
    api.make_topic()
    put(api, api.topic, Policy(bindings=[EDITORS]))
    api.publisher.delete_topic(topic=api.topic)
    api.make_topic()
    assert list(get(api, api.topic).bindings) == []


def test_an_absent_resource_has_no_policy(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        get(api, api.topic)
    with pytest.raises(exceptions.NotFound):
        put(api, api.topic, Policy())


def test_there_are_no_permissions_on_an_absent_resource(api: Api) -> None:
    answer = api.publisher.test_iam_permissions(
        request={"resource": api.topic, "permissions": ["pubsub.topics.get"]}
    )
    assert list(answer.permissions) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda api: put(api, api.topic, Policy(bindings=[Binding(role="editor")])),
        lambda api: put(api, api.topic, Policy(version=2)),
        lambda api: put(
            api, api.topic, Policy(bindings=[Binding(role="roles/viewer", members=["me"])])
        ),
        lambda api: api.publisher.test_iam_permissions(
            request={"resource": api.topic, "permissions": ["pubsub.*"]}
        ),
    ],
)
def test_malformed_requests_are_refused(api: Api, call: Callable[[Api], object]) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        call(api)
