"""Templates take non-PHI variables alone, and say them the reader's way."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import pytest

from shared.domains.notifications.model import EMAIL, SMS, Rule, Topic, Urgency
from shared.domains.notifications.templates import ALLOWED, Registry, TemplateError, Text
from shared.domains.notifications.texts import REGISTRY

VALUES: Mapping[str, Any] = {
    "starts_on": "2026-03-09",
    "ends_on": "2026-09-08",
    "amount": {"amount": 123450, "currency": "EUR"},
    "attempt": 2,
}


def registered(body: str, subject: str = "Hello") -> Registry:
    registry = Registry()
    registry.register("greeting", EMAIL, {"en": Text(subject, body)})
    return registry


@pytest.mark.parametrize(
    "name",
    ["given_name", "name", "email", "phone", "diagnosis", "customer_id", "plan_name", "0", ""],
)
def test_a_forbidden_variable_is_refused_at_registration(name: str) -> None:
    with pytest.raises(TemplateError):
        registered(f"Dear {{{name}}},")
    with pytest.raises(TemplateError):
        registered("Hello.", subject=f"{{{name}}}")


@pytest.mark.parametrize(
    "placeholder",
    ["{amount.currency}", "{amount[0]}", "{amount!r}", "{attempt:>10}", "{amount", "{}", "}"],
)
def test_only_plain_placeholders_are_taken(placeholder: str) -> None:
    with pytest.raises(TemplateError):
        registered(f"It is {placeholder}")


def test_a_language_that_says_less_is_refused() -> None:
    texts = {"en": Text("Paid", "{amount}"), "de": Text("Bezahlt", "Danke")}
    with pytest.raises(TemplateError, match="de"):
        Registry().register("paid", EMAIL, texts)


def test_english_is_required() -> None:
    with pytest.raises(TemplateError, match="en"):
        Registry().register("paid", EMAIL, {"de": Text("Bezahlt", "Danke")})


def test_an_sms_has_no_subject_and_is_short() -> None:
    with pytest.raises(TemplateError):
        Registry().register("paid", SMS, {"en": Text("Paid", "Thanks")})
    with pytest.raises(TemplateError, match="too long"):
        Registry().register("paid", SMS, {"en": Text("", "x" * 321)})


def test_registering_twice_is_refused() -> None:
    registry = registered("Hello.")
    with pytest.raises(TemplateError, match="twice"):
        registry.register("greeting", EMAIL, {"en": Text("Hi", "Hi")})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ends_on", "Ada Lovelace"),
        ("ends_on", 20260908),
        ("amount", "12 EUR"),
        ("amount", {"amount": 12, "currency": "Ada"}),
        ("attempt", "2"),
        ("attempt", True),
        ("attempt", 2.5),
        ("attempt", None),
    ],
)
def test_a_value_of_another_kind_is_refused_when_rendered_and_not_shown(
    name: str, value: object
) -> None:
    template = registered(f"It is {{{name}}}.").get("greeting", EMAIL)
    with pytest.raises(TemplateError) as refused:
        template.render("en", {name: value})
    assert str(value) not in str(refused.value)


def test_missing_and_further_values_are_refused() -> None:
    template = registered("It is {attempt}.").get("greeting", EMAIL)
    with pytest.raises(TemplateError):
        template.render("en", {})
    with pytest.raises(TemplateError):
        template.render("en", {"attempt": 1, "given_name": "Ada"})


def test_a_rule_whose_event_cannot_fill_its_template_is_refused() -> None:
    rule = Rule(
        "contract.paused", Topic.CONTRACTS, (EMAIL,), "greeting", Urgency.SERVICE, timedelta(1)
    )
    with pytest.raises(TemplateError, match="cannot give"):
        registered("Until {ends_on}.").check([rule])


def test_a_rule_that_matches_no_event_is_refused() -> None:
    rule = Rule("ehr.*", Topic.CONTRACTS, (EMAIL,), "greeting", Urgency.SERVICE, timedelta(1))
    with pytest.raises(TemplateError, match=r"ehr\.\*"):
        registered("Hello.").check([rule])


@pytest.mark.parametrize(
    ("locale", "date", "money"),
    [
        ("en", "September 8, 2026", "€1,234.50"),
        ("en-GB", "8 September 2026", "€1,234.50"),
        ("de", "8. September 2026", "1.234,50\xa0€"),
        ("de-AT", "8. September 2026", "€\xa01.234,50"),
        ("es", "8 de septiembre de 2026", "1.234,50\xa0€"),
        ("pt-BR", "September 8, 2026", "€1,234.50"),
        ("de-XX", "8. September 2026", "1.234,50\xa0€"),
    ],
)
def test_dates_and_money_are_written_the_readers_way(locale: str, date: str, money: str) -> None:
    renewed = REGISTRY.get("contract_renewed", EMAIL)
    failed = REGISTRY.get("payment_failed", EMAIL)
    assert date in renewed.render(locale, {"ends_on": "2026-09-08"}).body
    assert money in failed.render(locale, {"amount": VALUES["amount"]}).body


def test_yen_have_no_decimals() -> None:
    template = REGISTRY.get("payment_failed", SMS)
    assert "¥500 " in template.render("en", {"amount": {"amount": 500, "currency": "JPY"}}).body


def test_every_text_renders_in_every_language() -> None:
    for template in REGISTRY.all():
        values = {name: VALUES[name] for name in template.variables}
        for locale in ("en", "de", "es", "ar"):
            assert template.locale_for(f"{locale}-XX") == locale
            text = template.render(locale, values)
            assert "{" not in text.subject + text.body


def test_the_texts_name_nobody_and_nothing_about_health() -> None:
    health = re.compile(
        r"patient|doctor|dr\.|health|medic|treatment|therap|diagnos|prescri|appointment|dear",
        re.IGNORECASE,
    )
    for template in REGISTRY.all():
        for text in template.texts.values():
            assert not health.search(text.subject + text.body)


def test_every_variable_is_of_a_harmless_kind() -> None:
    assert {kind.value for kind in ALLOWED.values()} <= {"date", "money", "count"}
