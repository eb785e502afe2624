"""What Pub/Sub accepts: names, limits and defaults of topics, subscriptions and messages.

Sources: the API reference of google.pubsub.v1, "Resource names" and "Quotas and limits" in
Google's Pub/Sub guide. Every function raises `Refused` (INVALID_ARGUMENT) on a breach.
"""

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import timedelta
from urllib.parse import urlsplit

from emulators.api.refusals import invalid
from emulators.api.times import span
from emulators.pubsub.filters import InvalidFilter, compile_filter
from emulators.pubsub.wire import Proto, unsupported

DELETED_TOPIC = "_deleted-topic_"
DEFAULT_ACK_SECONDS = 10
DEFAULT_RETENTION = timedelta(days=7)
MOST_RETENTION = timedelta(days=31)
LEAST_RETENTION = timedelta(minutes=10)
DEFAULT_EXPIRATION = timedelta(days=31)
DEFAULT_BACKOFF = (10, 600)
MOST_MESSAGES = 1000
MOST_LISTED = 1000
MOST_BYTES = 10 << 20
MOST_ACK_BYTES = 512 << 10
MOST_LABELS = 64

_ID = r"(?!goog)[A-Za-z][A-Za-z0-9\-_.~+%]{2,254}"
_NAMES = {
    kind: re.compile(rf"projects/[^/]+/{kind}/{_ID}")
    for kind in ("topics", "subscriptions", "snapshots", "schemas")
}
_RESOURCE = re.compile(rf"projects/[^/]+/({'|'.join(_NAMES)})/[^/]+")
_PROJECT = re.compile(r"projects/[^/]+")
_ACK_ID = re.compile(r"[0-9a-f]{8}-\d+-\d+-\d+")

TOPIC_CHANGES = frozenset(
    {
        "labels",
        "message_storage_policy",
        "kms_key_name",
        "schema_settings",
        "message_retention_duration",
        "ingestion_data_source_settings",
        "message_transforms",
    }
)
SUBSCRIPTION_CHANGES = frozenset(
    {
        "push_config",
        "bigquery_config",
        "cloud_storage_config",
        "bigtable_config",
        "ack_deadline_seconds",
        "retain_acked_messages",
        "message_retention_duration",
        "labels",
        "expiration_policy",
        "dead_letter_policy",
        "retry_policy",
        "enable_exactly_once_delivery",
        "message_transforms",
    }
)
SNAPSHOT_CHANGES = frozenset({"labels", "expire_time"})


def check_name(kind: str, name: str) -> None:
    if not _NAMES[kind].fullmatch(name):
        raise invalid(
            f"Invalid [{kind}] name: (name={name}). Refer to "
            "https://cloud.google.com/pubsub/docs/pubsub-basics#resource_names "
            "for more information."
        )


def check_resource(name: str) -> None:
    """Refuse what names no resource that can have an IAM policy."""
    if not _RESOURCE.fullmatch(name):
        raise invalid(f"Invalid resource name given (name={name}).")


def check_project(name: str) -> None:
    if not _PROJECT.fullmatch(name):
        raise invalid(f"Invalid [projects] name: (name={name}).")


def check_labels(labels: Mapping[str, str]) -> None:
    """Rules: "Requirements for labels" of Resource Manager."""
    if len(labels) > MOST_LABELS:
        raise invalid(f"A resource has at most {MOST_LABELS} labels.")
    for key, value in labels.items():
        if not key or not key[0].isalpha() or not (_fits_label(key) and _fits_label(value)):
            raise invalid(f"Invalid label: {key[:64]!r}.")


def _fits_label(text: str) -> bool:
    """Up to 63 lower-case letters of any script, digits, dashes and underscores."""
    lower = text == text.lower()
    return lower and len(text) <= 63 and all(each in "-_" or each.isalnum() for each in text)


def check_topic(topic: Proto) -> None:
    check_name("topics", topic.name)
    check_labels(topic.labels)
    _check_transforms(topic)
    if topic.HasField("message_retention_duration"):
        _check_retention(topic)


def topic_state(topic: Proto) -> str:
    """The documented state of a topic; nothing is ever ingested here, which is told by it."""
    ingesting = topic.HasField("ingestion_data_source_settings")
    return "INGESTION_RESOURCE_ERROR" if ingesting else "ACTIVE"


def _check_transforms(config: Proto) -> None:
    """UNIMPLEMENTED for what this engine would otherwise silently not do."""
    if any(not transform.disabled for transform in config.message_transforms):
        raise unsupported("message_transforms are not supported unless they are disabled.")


def _check_retention(config: Proto) -> None:
    kept = span(config.message_retention_duration, "message_retention_duration")
    if not LEAST_RETENTION <= kept <= MOST_RETENTION:
        raise invalid("message_retention_duration must be between 10 minutes and 31 days.")


def complete_subscription(config: Proto) -> None:
    """Fill in the defaults that the service answers with, and refuse what it would refuse."""
    check_labels(config.labels)
    _check_transforms(config)
    for field in ("bigquery_config", "cloud_storage_config", "bigtable_config"):
        if config.HasField(field):
            raise unsupported(f"{field} is not supported.")
    config.ack_deadline_seconds = config.ack_deadline_seconds or DEFAULT_ACK_SECONDS
    if not 10 <= config.ack_deadline_seconds <= 600:
        raise invalid("ack_deadline_seconds must be between 10 and 600.")
    if not config.HasField("message_retention_duration"):
        config.message_retention_duration.FromTimedelta(DEFAULT_RETENTION)
    _check_retention(config)
    if not config.HasField("expiration_policy"):
        config.expiration_policy.ttl.FromTimedelta(DEFAULT_EXPIRATION)
    policy = config.expiration_policy
    if policy.HasField("ttl") and span(policy.ttl, "ttl") < timedelta(days=1):
        raise invalid("expiration_policy.ttl must be at least 1 day.")
    try:
        compile_filter(config.filter)
    except InvalidFilter as error:
        raise invalid(f"Invalid filter: {error}.") from None
    _complete_push(config)
    _complete_retry(config)
    _complete_dead_letter(config)


def _complete_push(config: Proto) -> None:
    push = config.push_config
    if not push.push_endpoint:
        if push.HasField("oidc_token") or push.HasField("no_wrapper"):
            raise invalid("push_config needs a push_endpoint.")
        config.ClearField("push_config")
        return
    address = urlsplit(push.push_endpoint)
    if address.scheme not in ("http", "https") or not address.hostname:
        raise invalid(f"Invalid push endpoint given (endpoint={push.push_endpoint}).")
    _complete_version(push)
    if push.HasField("oidc_token") and not push.oidc_token.service_account_email:
        raise invalid("oidc_token needs a service_account_email.")
    if config.enable_exactly_once_delivery:
        raise invalid("Exactly-once delivery is not supported for push subscriptions.")


def _complete_version(push: Proto) -> None:
    """The one attribute of a push_config, which is always answered: the format of the body."""
    for name, value in push.attributes.items():
        if name != "x-goog-version" or value not in ("v1", "v1beta2", "v1beta1"):
            raise invalid(f"Invalid push_config attribute: {name[:64]!r}.")
        if value == "v1beta1":
            raise unsupported("Pushes in the format of v1beta1 are not supported.")
    if not push.attributes:
        push.attributes["x-goog-version"] = "v1"


def _complete_retry(config: Proto) -> None:
    if not config.HasField("retry_policy"):
        return
    policy = config.retry_policy
    for field, default in zip(("minimum_backoff", "maximum_backoff"), DEFAULT_BACKOFF, strict=True):
        if not policy.HasField(field):
            getattr(policy, field).FromSeconds(default)
        if not timedelta() <= span(getattr(policy, field), field) <= timedelta(seconds=600):
            raise invalid(f"retry_policy.{field} must be between 0 and 600 seconds.")
    if policy.minimum_backoff.ToTimedelta() > policy.maximum_backoff.ToTimedelta():
        raise invalid("retry_policy.minimum_backoff must not exceed maximum_backoff.")


def _complete_dead_letter(config: Proto) -> None:
    if not config.HasField("dead_letter_policy"):
        return
    policy = config.dead_letter_policy
    if not policy.dead_letter_topic:
        config.ClearField("dead_letter_policy")
        return
    check_name("topics", policy.dead_letter_topic)
    policy.max_delivery_attempts = policy.max_delivery_attempts or 5
    if not 5 <= policy.max_delivery_attempts <= 100:
        raise invalid("dead_letter_policy.max_delivery_attempts must be between 5 and 100.")


def check_messages(messages: Sequence[Proto], total: int) -> None:
    """`total` is the size of the whole request in bytes."""
    if not 1 <= len(messages) <= MOST_MESSAGES:
        raise invalid(f"A publish request holds between 1 and {MOST_MESSAGES} messages.")
    if total > MOST_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {MOST_BYTES} bytes.")
    if len({message.ordering_key for message in messages}) > 1:
        raise invalid("All messages of a publish request must have the same ordering_key.")
    for message in messages:
        _check_message(message)


def _check_message(message: Proto) -> None:
    if not message.data and not message.attributes:
        raise invalid("A message must have non-empty data or at least one attribute.")
    if len(message.ordering_key.encode()) > 1024:
        raise invalid("ordering_key must not exceed 1024 bytes.")
    if len(message.attributes) > 100:
        raise invalid("A message has at most 100 attributes.")
    for key, value in message.attributes.items():
        if not key or len(key.encode()) > 256 or key.startswith("goog"):
            raise invalid(f"Invalid attribute key: {key[:256]!r}.")
        if len(value.encode()) > 1024:
            raise invalid(f"The value of attribute {key!r} exceeds 1024 bytes.")


def check_ack_ids(request: Proto, mark: str, known: Container[str]) -> None:
    """For requests with `ack_ids`: some, not too many, and each once given by the subscription.

    `mark` begins the ack ids of the subscription; the `known` ones count still.
    """
    if not request.ack_ids:
        raise invalid("No ack ids specified.")
    if request.ByteSize() > MOST_ACK_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {MOST_ACK_BYTES} bytes.")
    check_ack_form(request.ack_ids, mark, known)


def check_ack_form(ack_ids: Iterable[str], mark: str, known: Container[str]) -> None:
    for ack_id in ack_ids:
        if ack_id not in known and not (ack_id.startswith(mark) and _ACK_ID.fullmatch(ack_id)):
            raise invalid(f"You have passed an invalid ack ID to the service (ack_id={ack_id}).")


def check_mask(mask: Proto, changeable: frozenset[str], kind: Proto) -> list[str]:
    """The top-level fields that an update touches, each allowed to change."""
    if not mask.paths:
        raise invalid("The update_mask in the request must be set and must not be empty.")
    if not mask.IsValidForDescriptor(kind.DESCRIPTOR):
        raise invalid(f"Invalid update_mask: {', '.join(mask.paths)}.")
    for path in mask.paths:
        if path.partition(".")[0] not in changeable:
            raise invalid(f"Field cannot be updated (field={path}).")
    return list(mask.paths)
