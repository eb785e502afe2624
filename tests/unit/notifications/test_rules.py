"""The rule table: what it says is what happens."""

from datetime import timedelta
from itertools import product

import pytest

from shared.domains.notifications.model import (
    RULES,
    SUBSCRIBED,
    Choices,
    Rule,
    Topic,
    Urgency,
    catalogue,
    message_id,
    rules_for,
)
from shared.domains.notifications.texts import REGISTRY
from shared.events.billing import Decline, InvoicePaymentFailed
from shared.events.messages import Channel
from shared.kernel.ids import ClinicId, CustomerId, InvoiceId
from shared.kernel.money import Money

OWED = {
    "contract.created": {Channel.EMAIL: "contract_welcome"},
    "contract.renewed": {Channel.EMAIL: "contract_renewed"},
    "contract.completed": {Channel.EMAIL: "contract_completed"},
    "contract.cancelled": {Channel.EMAIL: "contract_cancelled"},
    "contract.paused": {Channel.EMAIL: "contract_paused"},
    "contract.resumed": {Channel.EMAIL: "contract_resumed"},
    "invoice.payment_failed": {Channel.EMAIL: "payment_failed", Channel.SMS: "payment_failed"},
    "invoice.dunning_exhausted": {
        Channel.EMAIL: "payment_given_up",
        Channel.SMS: "payment_given_up",
    },
    "customer.updated": {Channel.EMAIL: "data_changed"},
}


def rule(pattern: str, *channels: Channel, template: str = "t") -> Rule:
    return Rule(pattern, Topic.NEWS, channels, template, Urgency.SERVICE, timedelta(days=1))


@pytest.mark.parametrize("event_type", OWED)
def test_what_is_owed_has_its_rule(event_type: str) -> None:
    found = {channel: r.template for channel, r in rules_for(event_type).items()}
    assert OWED[event_type].items() <= found.items()


def test_the_agent_subscribes_to_exactly_what_a_rule_matches() -> None:
    matched = {e.type for e in catalogue() if any(r.matches(e.type) for r in RULES)}
    assert {e.type for e in SUBSCRIBED} == matched
    assert "customer.value_grew" not in matched
    assert "invoice.changed" not in matched


def test_bases_of_facts_are_no_events_to_react_to() -> None:
    assert not [event for event in SUBSCRIBED if event.type.endswith(".fact")]


def test_every_rule_has_a_template_for_each_of_its_channels() -> None:
    for each in RULES:
        for channel in each.channels:
            assert REGISTRY.get(each.template, channel).channel is channel


@pytest.mark.parametrize(
    ("pattern", "event_type", "expected"),
    [
        ("contract.created", "contract.created", True),
        ("contract.created", "contract.createdx", False),
        ("contract.*", "contract.created", True),
        ("contract.*", "contract", False),
        ("contract.*", "contract.term.ended", False),
        ("*.paid", "invoice.paid", True),
        ("*", "invoice.paid", False),
        ("*.*", "invoice.paid", True),
    ],
)
def test_a_star_stands_for_one_word(pattern: str, event_type: str, expected: bool) -> None:
    assert rule(pattern, Channel.EMAIL).matches(event_type) is expected


def test_the_first_rule_that_names_a_channel_has_it() -> None:
    special = rule("contract.created", Channel.EMAIL, template="special")
    general = rule("contract.*", Channel.EMAIL, Channel.PUSH, template="general")
    assert rules_for("contract.created", (special, general)) == {
        Channel.EMAIL: special,
        Channel.PUSH: general,
    }


@pytest.mark.parametrize(
    ("urgency", "chosen", "expected"),
    [
        (Urgency.TRANSACTIONAL, None, True),
        (Urgency.TRANSACTIONAL, True, True),
        (Urgency.TRANSACTIONAL, False, True),
        (Urgency.SERVICE, None, True),
        (Urgency.SERVICE, True, True),
        (Urgency.SERVICE, False, False),
        (Urgency.MARKETING, None, False),
        (Urgency.MARKETING, True, True),
        (Urgency.MARKETING, False, False),
    ],
)
def test_preferences_follow_urgency(urgency: Urgency, chosen: bool | None, expected: bool) -> None:
    for topic, channel in product(Topic, Channel):
        wanted = {} if chosen is None else {(topic, channel): chosen}
        assert Choices(wanted, frozenset()).allow(topic, channel, urgency) is expected


def test_a_preference_holds_for_its_topic_and_channel_alone() -> None:
    choices = Choices({(Topic.PAYMENTS, Channel.SMS): False}, frozenset())
    refused = {
        (topic, channel)
        for topic, channel in product(Topic, Channel)
        if not choices.allow(topic, channel, Urgency.SERVICE)
    }
    assert refused == {(Topic.PAYMENTS, Channel.SMS)}


@pytest.mark.parametrize("urgency", Urgency)
def test_nothing_passes_a_stop(urgency: Urgency) -> None:
    choices = Choices({(Topic.PAYMENTS, Channel.SMS): True}, frozenset({Channel.SMS}))
    assert not choices.allow(Topic.PAYMENTS, Channel.SMS, urgency)
    assert choices.allow(Topic.PAYMENTS, Channel.EMAIL, Urgency.TRANSACTIONAL)


def failed(attempt: int, invoice: InvoiceId) -> InvoicePaymentFailed:
    return InvoicePaymentFailed(
        clinic_id=ClinicId.derive(invoice, "clinic"),
        invoice_id=invoice,
        customer_id=CustomerId.derive(invoice, "customer"),
        version=7,
        amount=Money(amount=100, currency="EUR"),
        attempt=attempt,
        decline=Decline.SOFT,
    )


def test_one_fact_is_one_message_per_channel() -> None:
    invoice = InvoiceId.new()
    assert message_id(failed(1, invoice), Channel.SMS) == message_id(
        failed(1, invoice), Channel.SMS
    )
    ids = {message_id(failed(n, invoice), channel) for n in (1, 2) for channel in Channel}
    assert len(ids) == 6
