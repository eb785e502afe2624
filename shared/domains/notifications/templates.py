"""Templates: what may stand in them is checked when they are registered and again when rendered.

A text may only name variables of the allow-list below, all of them free of PHI by kind. It greets
nobody by name and says nothing about health.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from enum import StrEnum
from string import Formatter
from typing import Any

from pydantic import ValidationError

from shared.domains.notifications.model import SUBSCRIBED, Rule, rules_for
from shared.events.messages import Channel
from shared.kernel.event import Event
from shared.kernel.money import Money

DEFAULT_LOCALE = "en"
LONGEST_SMS = 320


class Kind(StrEnum):
    """What a variable is, and so how it is written in a language."""

    DATE = "date"
    MONEY = "money"
    COUNT = "count"


ALLOWED: Mapping[str, Kind] = {
    "starts_on": Kind.DATE,
    "ends_on": Kind.DATE,
    "amount": Kind.MONEY,
    "attempt": Kind.COUNT,
}
"""The only variables there are. Each is a field of an event, under the same name."""


class TemplateError(Exception):
    """A template or what is put into it is not as it must be; the text holds no value."""


@dataclass(frozen=True)
class Text:
    """A template in one language. SMS have no subject."""

    subject: str
    body: str


@dataclass(frozen=True)
class Template:
    """One template on one channel, in the languages it was written in."""

    name: str
    channel: Channel
    texts: Mapping[str, Text]
    variables: frozenset[str]

    def locale_for(self, wanted: str) -> str:
        """The nearest language there is: `de-AT` is served by `de`, the unknown by English."""
        for locale in (wanted, wanted.partition("-")[0]):
            if locale in self.texts:
                return locale
        return DEFAULT_LOCALE

    def render(self, locale: str, values: Mapping[str, object]) -> Text:
        """The text for a reader's `locale` (BCP 47) with `values` (JSON) written its way.

        Raises `TemplateError` for a value that is missing, too much, or not of its kind.
        """
        if values.keys() != self.variables:
            raise TemplateError(f"{self.name} takes {sorted(self.variables)}")
        language = self.locale_for(locale)
        region = locale if locale.startswith(language) else language
        written = {name: _written(name, value, region) for name, value in values.items()}
        text = self.texts[language]
        return Text(text.subject.format_map(written), text.body.format_map(written))


def _written(name: str, value: object, locale: str) -> str:
    from babel import Locale, UnknownLocaleError
    from babel.dates import format_date
    from babel.numbers import format_currency, format_decimal, get_currency_precision

    try:
        known = Locale.parse(locale, sep="-")
    except (UnknownLocaleError, ValueError):
        known = Locale.parse(locale.partition("-")[0])
    read = _read(name, value)
    if isinstance(read, Money):
        amount = Decimal(read.amount).scaleb(-get_currency_precision(read.currency))
        return format_currency(amount, read.currency, locale=known)
    if isinstance(read, date):
        return format_date(read, "long", locale=known)
    return format_decimal(read, locale=known)


def _read(name: str, value: object) -> date | Money | int:
    """The value as what its kind says; raises `TemplateError` without showing it."""
    kind = ALLOWED[name]
    try:
        if kind is Kind.DATE and isinstance(value, str):
            return date.fromisoformat(value)
        if kind is Kind.MONEY:
            return Money.model_validate(value)
        if kind is Kind.COUNT and type(value) is int:
            return value
    except (ValueError, ValidationError):
        pass
    raise TemplateError(f"{name} is not a {kind}")


def placeholders(text: str) -> set[str]:
    """The variables a text names. Raises `TemplateError` for what is not on the allow-list."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise TemplateError(f"not a template: {error}") from None
    names = set()
    for _, name, spec, conversion in parts:
        if name is None:
            continue
        if name not in ALLOWED or spec or conversion:
            raise TemplateError(f"{{{name}}} may not stand in a template")
        names.add(name)
    return names


class Registry:
    """All templates by name and channel."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, Channel], Template] = {}

    def register(self, name: str, channel: Channel, texts: Mapping[str, Text]) -> None:
        """Add a template. Raises `TemplateError` for a forbidden variable or a bad text.

        English is required, since everybody else falls back to it; all languages must name the
        same variables, so that none tells less.
        """
        if (name, channel) in self._templates:
            raise TemplateError(f"{name} is registered for {channel} twice")
        if DEFAULT_LOCALE not in texts:
            raise TemplateError(f"{name} lacks {DEFAULT_LOCALE}")
        variables = {
            loc: placeholders(t.subject) | placeholders(t.body) for loc, t in texts.items()
        }
        wanted = variables[DEFAULT_LOCALE]
        if odd := [locale for locale, names in variables.items() if names != wanted]:
            raise TemplateError(f"{name} names other variables in {', '.join(odd)}")
        for locale, text in texts.items():
            if bool(text.subject) == (channel is Channel.SMS):
                raise TemplateError(f"{name} in {locale}: all but SMS have a subject")
            if channel is Channel.SMS and len(text.body) > LONGEST_SMS:
                raise TemplateError(f"{name} in {locale} is too long for an SMS")
        self._templates[name, channel] = Template(name, channel, dict(texts), frozenset(wanted))

    def get(self, name: str, channel: Channel) -> Template:
        """Raises `TemplateError` for an unknown one."""
        try:
            return self._templates[name, channel]
        except KeyError:
            raise TemplateError(f"{name} is not registered for {channel}") from None

    def all(self) -> tuple[Template, ...]:
        return tuple(self._templates.values())

    def check(self, rules: Iterable[Rule], events: Iterable[type[Event]] = SUBSCRIBED) -> None:
        """Raise `TemplateError` unless every rule finds events, and all that its templates take."""
        rules = tuple(rules)
        used = set()
        for event in events:
            for channel, rule in rules_for(event.type, rules).items():
                used.add(rule)
                template = self.get(rule.template, channel)
                if missing := template.variables - event.model_fields.keys():
                    raise TemplateError(f"{event.type} cannot give {sorted(missing)}")
        if idle := [rule.pattern for rule in rules if rule not in used]:
            raise TemplateError(f"no event matches {', '.join(idle)}")


def variables_of(event: Event, template: Template) -> dict[str, Any]:
    """What the template takes, from the event's fields, as JSON."""
    return event.model_dump(mode="json", include=set(template.variables))
