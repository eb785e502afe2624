"""What is sent to whom and when: rules, messages and their states, preferences, quiet hours."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from shared.events import billing, contracts, customers
from shared.events.messages import Channel, MessageFailure
from shared.kernel.event import Event
from shared.kernel.ids import ClinicId, CustomerId, MessageId

EMAIL, SMS, PUSH = Channel.EMAIL, Channel.SMS, Channel.PUSH
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


class Topic(StrEnum):
    """What a message is about; customers choose topics per channel."""

    CONTRACTS = "contracts"
    PAYMENTS = "payments"
    SECURITY = "security"
    NEWS = "news"


class Urgency(StrEnum):
    """How much a message matters, and so what applies where the customer chose nothing.

    Transactional messages are owed and go out whatever was chosen, service messages unless switched
    off, marketing only where switched on. None passes a STOP.
    """

    TRANSACTIONAL = "transactional"
    SERVICE = "service"
    MARKETING = "marketing"


CONTRACTS, PAYMENTS, SECURITY = Topic.CONTRACTS, Topic.PAYMENTS, Topic.SECURITY
OWED, SERVICE = Urgency.TRANSACTIONAL, Urgency.SERVICE


@dataclass(frozen=True)
class Rule:
    """Events whose type matches `pattern` make one message per channel.

    A `*` in the pattern stands for any one word between dots. The message is pointless
    `expires_after` its event; `any_hour` lets it pass quiet hours.
    """

    pattern: str
    topic: Topic
    channels: tuple[Channel, ...]
    template: str
    urgency: Urgency
    expires_after: timedelta
    any_hour: bool = False

    def matches(self, event_type: str) -> bool:
        wanted, words = self.pattern.split("."), event_type.split(".")
        return len(wanted) == len(words) and all(
            part in ("*", word) for part, word in zip(wanted, words, strict=True)
        )


# Where several rules match an event, the first one that names a channel has it.
RULES = (
    Rule("contract.created", CONTRACTS, (EMAIL,), "contract_welcome", OWED, 3 * DAY),
    Rule("contract.rejected", CONTRACTS, (EMAIL,), "contract_rejected", OWED, 3 * DAY),
    Rule("contract.renewed", CONTRACTS, (EMAIL,), "contract_renewed", OWED, 7 * DAY),
    Rule("contract.completed", CONTRACTS, (EMAIL,), "contract_completed", OWED, 7 * DAY),
    Rule("contract.cancelled", CONTRACTS, (EMAIL,), "contract_cancelled", OWED, 7 * DAY),
    Rule("contract.cancellation_scheduled", CONTRACTS, (EMAIL,), "contract_ends", OWED, 7 * DAY),
    Rule("contract.cancellation_undone", CONTRACTS, (EMAIL,), "contract_goes_on", OWED, 7 * DAY),
    Rule("contract.paused", CONTRACTS, (EMAIL,), "contract_paused", OWED, 3 * DAY),
    Rule("contract.resumed", CONTRACTS, (EMAIL,), "contract_resumed", OWED, 3 * DAY),
    Rule("contract.plan_changed", CONTRACTS, (EMAIL,), "contract_changed", OWED, 3 * DAY),
    Rule("contract.pause_refused", CONTRACTS, (EMAIL,), "contract_not_paused", OWED, 3 * DAY),
    Rule("contract.resumption_refused", CONTRACTS, (EMAIL,), "contract_not_resumed", OWED, 3 * DAY),
    Rule("contract.plan_change_refused", CONTRACTS, (EMAIL,), "contract_kept", OWED, 3 * DAY),
    Rule("contract.*", CONTRACTS, (PUSH,), "contract_news", SERVICE, 12 * HOUR),
    Rule("invoice.paid", PAYMENTS, (PUSH,), "payment_received", SERVICE, 12 * HOUR),
    Rule("invoice.payment_failed", PAYMENTS, (EMAIL, SMS), "payment_failed", OWED, 2 * DAY),
    Rule("invoice.dunning_exhausted", PAYMENTS, (EMAIL, SMS), "payment_given_up", OWED, 3 * DAY),
    Rule("customer.updated", SECURITY, (EMAIL,), "data_changed", OWED, 7 * DAY, any_hour=True),
)


def rules_for(event_type: str, rules: Iterable[Rule] = RULES) -> dict[Channel, Rule]:
    """Which rule has which channel when an event of this type happens."""
    chosen: dict[Channel, Rule] = {}
    for rule in rules:
        if rule.matches(event_type):
            chosen = dict.fromkeys(rule.channels, rule) | chosen
    return chosen


def catalogue() -> tuple[type[Event], ...]:
    """The events of the public catalogue that are about a customer, ordered by type."""
    found = {
        value
        for module in (billing, contracts, customers)
        for value in vars(module).values()
        if isinstance(value, type)
        and issubclass(value, Event)
        and "customer_id" in value.model_fields
        and not value.__subclasses__()
    }
    return tuple(sorted(found, key=lambda kind: kind.type))


SUBSCRIBED = tuple(kind for kind in catalogue() if rules_for(kind.type))
"""Exactly the events that some rule matches."""


class MessageStatus(StrEnum):
    """Where a message is in its life."""

    QUEUED = "queued"
    DEFERRED = "deferred"
    SENDING = "sending"
    ACCEPTED = "accepted"
    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"
    SUPPRESSED = "suppressed"


_RANK = {MessageStatus.ACCEPTED: 1, MessageStatus.DELIVERED: 2, MessageStatus.FAILED: 3}


@dataclass(frozen=True)
class Message:
    """One notification to one customer on one channel. Instants are aware UTC.

    `variables` are the template's, as JSON; `due_at` is when a deferred message goes on.
    """

    clinic_id: ClinicId
    id: MessageId
    customer_id: CustomerId
    channel: Channel
    topic: Topic
    urgency: Urgency
    template: str
    locale: str
    variables: Mapping[str, object]
    any_hour: bool
    status: MessageStatus
    created_at: datetime
    updated_at: datetime
    due_at: datetime
    expires_at: datetime
    attempts: int = 0
    provider: str | None = None
    provider_id: str | None = None
    failure: MessageFailure | None = None
    version: int = 1

    @property
    def to_be_sent(self) -> bool:
        """Whether a provider may have to be asked (again)."""
        return self.status in (MessageStatus.QUEUED, MessageStatus.SENDING)

    @property
    def reference(self) -> str:
        """What a person and a provider's records know this message by; it says nothing."""
        return self.id.hex[:10].upper()

    def changed(self, at: datetime, **values: object) -> "Message":
        """The next version of this message."""
        return replace(self, **values, updated_at=at, version=self.version + 1)  # type: ignore[arg-type]

    def surpassed_by(self, status: MessageStatus) -> bool:
        """Whether a provider's report is news: reports come late and in any order.

        Accepted, delivered, failed: never backwards. What bounces after it was accepted, or even
        delivered, has failed; our own earlier states give way to what really happened.
        """
        return _RANK[status] > _RANK.get(self.status, 0)


def message_id(event: Event, channel: Channel) -> MessageId:
    """The one id of the message that this fact makes on this channel.

    It follows from what the fact says (a fact names its subject and version), so that the same fact
    told by two occurrences is one message.
    """
    return MessageId.derive(event.subject, f"{event.type}:{channel}:{event.model_dump_json()}")


@dataclass(frozen=True)
class Choices:
    """What a customer chose per topic and channel, and the channels they stopped."""

    wanted: Mapping[tuple[Topic, Channel], bool]
    stopped: frozenset[Channel]

    def allow(self, topic: Topic, channel: Channel, urgency: Urgency) -> bool:
        if channel in self.stopped:
            return False
        if urgency is Urgency.TRANSACTIONAL:
            return True
        return self.wanted.get((topic, channel), urgency is Urgency.SERVICE)


QUIET_CHANNELS = frozenset({SMS, PUSH})
QUIET_FROM, QUIET_UNTIL = time(21), time(8)


def is_quiet(at: datetime, zone: ZoneInfo) -> bool:
    """Whether `at` (aware) lies in quiet hours (21:00 to 08:00) of the zone's wall clock."""
    local = at.astimezone(zone).time()
    return local >= QUIET_FROM or local < QUIET_UNTIL


def after_quiet_hours(now: datetime, zone: ZoneInfo) -> datetime:
    """`now`, or the end of the quiet hours it lies in; aware UTC.

    The end is 08:00 on the recipient's wall clock, the first of two where clocks go back, and as
    much after a gap as 08:00 lies inside it where they go forward.
    """
    if not is_quiet(now, zone):
        return now
    local = now.astimezone(zone)
    day = local.date() + (DAY if local.time() >= QUIET_FROM else timedelta())
    end = datetime.combine(day, QUIET_UNTIL, zone).astimezone(UTC)
    return after_quiet_hours(end, zone)


def sendable_at(message: Message, zone: ZoneInfo, now: datetime) -> datetime | None:
    """When the message may leave: `now` or later; None when it will be pointless by then."""
    bound = message.channel in QUIET_CHANNELS and not message.any_hour
    at = after_quiet_hours(now, zone) if bound else now
    return at if at < message.expires_at else None
