"""Topics as google.pubsub.v1 documents them."""

from collections.abc import Iterator

import pytest
from google.api_core import exceptions
from google.protobuf.field_mask_pb2 import FieldMask
from google.pubsub_v1 import types

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


def test_a_topic_is_answered_as_it_was_created(api: Api) -> None:
    created = api.make_topic(message_retention_duration={"seconds": 3600})
    assert created.name == api.topic
    assert created.message_retention_duration.total_seconds() == 3600
    assert api.publisher.get_topic(topic=api.topic) == created


def test_a_topic_is_created_once(api: Api) -> None:
    api.make_topic()
    with pytest.raises(exceptions.AlreadyExists):
        api.make_topic()


@pytest.mark.parametrize("short", ["abc", "a" * 255, "Goog", "a-_.~+%9"])
def test_names_within_the_rules_are_taken(api: Api, short: str) -> None:
    assert api.make_topic(short).name == api.name("topics", short)


@pytest.mark.parametrize("short", ["ab", "a" * 256, "1abc", "goog", "google-1", "a b c", "äöü", ""])
def test_names_outside_the_rules_are_refused(api: Api, short: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.make_topic(short)


@pytest.mark.parametrize("name", ["orders", "projects/p/subscriptions/orders", "topics/orders"])
def test_names_of_another_form_are_refused(api: Api, name: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.create_topic(name=name)
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.get_topic(topic=name)


def test_an_absent_topic_is_not_found(api: Api) -> None:
    for call in (api.publisher.get_topic, api.publisher.delete_topic):
        with pytest.raises(exceptions.NotFound):
            call(topic=api.topic)
    with pytest.raises(exceptions.NotFound):
        api.update_topic("message_retention_duration", message_retention_duration={"seconds": 900})


@pytest.mark.differs("lists no subscriptions for a topic that does not exist")
def test_subscriptions_of_an_absent_topic_are_not_found(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.publisher.list_topic_subscriptions(topic=api.topic)


@pytest.mark.parametrize("seconds", [599, 31 * 86400 + 1, -1])
def test_topic_retention_has_limits(api: Api, seconds: int) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.make_topic(message_retention_duration={"seconds": seconds})


def test_labels_are_kept(api: Api) -> None:
    assert dict(api.make_topic(labels={"team": "billing", "stage": ""}).labels) == {
        "team": "billing",
        "stage": "",
    }


@pytest.mark.parametrize(
    "labels",
    [
        {"": "x"},
        {"Upper": "x"},
        {"with space": "x"},
        {"1st": "x"},
        {"k" * 64: "x"},
        {"key": "Upper"},
        {"key": "v" * 64},
        {f"key{number}": "x" for number in range(65)},
    ],
)
@pytest.mark.differs("takes any labels")
def test_labels_outside_the_rules_are_refused(api: Api, labels: dict[str, str]) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.make_topic(labels=labels)


def test_an_update_changes_the_fields_of_its_mask(api: Api) -> None:
    api.make_topic()
    changed = api.update_topic(
        "message_retention_duration", message_retention_duration={"seconds": 7200}
    )
    assert changed.message_retention_duration.total_seconds() == 7200
    assert api.publisher.get_topic(topic=api.topic) == changed


@pytest.mark.differs("refuses to update labels")
def test_an_update_leaves_what_is_not_in_its_mask(api: Api) -> None:
    api.make_topic(message_retention_duration={"seconds": 3600})
    changed = api.update_topic(
        "labels", labels={"a": "b"}, message_retention_duration={"seconds": 7200}
    )
    assert dict(changed.labels) == {"a": "b"}
    assert changed.message_retention_duration.total_seconds() == 3600


@pytest.mark.parametrize("paths", [[], ["name"], ["no_such_field"], ["state"], [""]])
def test_masks_that_name_no_changeable_field_are_refused(api: Api, paths: list[str]) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        api.update_topic(*paths)


def test_an_update_without_a_mask_is_refused(api: Api) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.update_topic(topic=types.Topic(name=api.topic), update_mask=FieldMask())


def test_topics_are_listed_by_project(api: Api) -> None:
    names = [api.make_topic(f"topic-{number}").name for number in range(5)]
    other = api.publisher.create_topic(name=f"{api.project}x/topics/topic-0")
    assert sorted(api.topics()) == names
    assert other.name not in api.topics()


def test_topics_are_listed_in_pages(api: Api) -> None:
    for number in range(5):
        api.make_topic(f"topic-{number}")
    pages = api.publisher.list_topics(request={"project": api.project, "page_size": 2}).pages
    sizes = [len(page.topics) for page in pages]
    assert sum(sizes) == 5
    assert max(sizes) == 2


@pytest.mark.parametrize("token", ["é", "no token", "a-b"])
@pytest.mark.differs("answers any page token")
def test_a_page_token_that_was_never_given_is_refused(api: Api, token: str) -> None:
    api.make_topic()
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.list_topics(request={"project": api.project, "page_token": token})


@pytest.mark.differs("answers a negative page size")
def test_a_negative_page_size_is_refused(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.list_topics(request={"project": api.project, "page_size": -1})


@pytest.mark.differs("ends the call with UNKNOWN", hangs=True)
def test_a_project_of_another_form_is_refused(api: Api) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.publisher.list_topics(project="p")


def test_a_topic_lists_its_subscriptions(api: Api) -> None:
    names = [api.subscribe(f"sub-{number}").name for number in range(3)]
    api.make_topic("other")
    api.subscribe("elsewhere", api.name("topics", "other"))
    request = {"topic": api.topic, "page_size": 2}
    assert sorted(api.publisher.list_topic_subscriptions(request=request)) == names


def test_a_topic_lists_its_snapshots(api: Api) -> None:
    api.subscribe()
    name = api.name("snapshots", "before")
    api.subscriber.create_snapshot(name=name, subscription=api.subscription)
    assert list(api.publisher.list_topic_snapshots(request={"topic": api.topic})) == [name]


def test_a_deleted_topic_is_gone(api: Api) -> None:
    api.make_topic()
    api.publisher.delete_topic(topic=api.topic)
    assert api.topics() == []
    with pytest.raises(exceptions.NotFound):
        api.publish("late")


def test_a_subscription_outlives_its_topic(api: Api) -> None:
    api.subscribe()
    api.publish("left")
    api.publisher.delete_topic(topic=api.topic)
    assert api.got().topic == "_deleted-topic_"
    assert texts(api.pulled(1)) == ["left"]


def test_a_topic_of_the_same_name_is_another_one(api: Api) -> None:
    api.subscribe()
    api.publisher.delete_topic(topic=api.topic)
    api.make_topic()
    api.publish("x")
    assert api.pull() == []
    assert list(api.publisher.list_topic_subscriptions(topic=api.topic)) == []


@pytest.mark.differs("answers UNIMPLEMENTED to DetachSubscription")
def test_a_detached_subscription_drops_its_messages(api: Api) -> None:
    api.subscribe()
    api.publish("dropped")
    api.publisher.detach_subscription(request={"subscription": api.subscription})
    api.publish("missed")
    assert api.got().detached
    assert list(api.publisher.list_topic_subscriptions(topic=api.topic)) == []
    with pytest.raises(exceptions.FailedPrecondition):
        api.pull()


@pytest.mark.differs("answers UNIMPLEMENTED to DetachSubscription")
def test_an_absent_subscription_cannot_be_detached(api: Api) -> None:
    with pytest.raises(exceptions.NotFound):
        api.publisher.detach_subscription(request={"subscription": api.subscription})


def test_a_topic_that_ingests_is_kept(api: Api) -> None:
    settings = {"cloud_storage": {"bucket": "no-such-bucket", "text_format": {}}}
    created = api.make_topic(ingestion_data_source_settings=settings)
    assert created.ingestion_data_source_settings.cloud_storage.bucket == "no-such-bucket"


@pytest.mark.differs("tells no state of ingestion")
def test_a_topic_whose_source_is_out_of_reach_says_so(api: Api) -> None:
    settings = {"cloud_storage": {"bucket": "no-such-bucket", "text_format": {}}}
    created = api.make_topic(ingestion_data_source_settings=settings)
    assert created.state is types.Topic.State.INGESTION_RESOURCE_ERROR
    changed = api.update_topic("ingestion_data_source_settings")
    assert changed.state is types.Topic.State.ACTIVE
