"""Filters, as documented under "Filter messages from a subscription"."""

from collections.abc import Iterator

import pytest
from google.api_core import exceptions

from tests.emulators.conformance.conftest import Target
from tests.emulators.conformance.pubsub_client import Api, api_of, texts


@pytest.fixture
def api(pubsub_target: Target) -> Iterator[Api]:
    with api_of(pubsub_target) as made:
        yield made


MESSAGES = {
    "com": {"domain": "com"},
    "net": {"domain": "net", "lang": "en"},
    "co.uk": {"domain": "co.uk", "lang": "en", "iana.org/language_tag": "en"},
    "none": {},
}
"""Attributes by the text of the message."""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("attributes:domain", ["com", "net", "co.uk"]),
        ("NOT attributes:domain", ["none"]),
        ("-attributes:domain", ["none"]),
        ('attributes.domain = "com"', ["com"]),
        ('attributes.domain="COM"', []),
        ('attributes.domain != "com"', ["net", "co.uk", "none"]),
        ('hasPrefix(attributes.domain, "co")', ["com", "co.uk"]),
        ('NOT hasPrefix(attributes.domain, "co")', ["net", "none"]),
        ('attributes:domain AND attributes.lang = "en"', ["net", "co.uk"]),
        ('attributes.domain = "com" OR attributes.domain = "net"', ["com", "net"]),
        ('attributes:lang AND NOT (attributes.domain = "net" OR attributes:x)', ["co.uk"]),
        ('attributes:"iana.org/language_tag"', ["co.uk"]),
        ('attributes."iana.org/language_tag" = "en"', ["co.uk"]),
    ],
)
@pytest.mark.differs("filters nothing")
def test_a_filter_chooses_by_attributes(api: Api, expression: str, expected: list[str]) -> None:
    api.subscribe(filter=expression)
    api.subscribe("all")
    for text, attributes in MESSAGES.items():
        api.publish(text, **attributes)
    assert len(api.pulled(len(MESSAGES), "all")) == len(MESSAGES)
    assert sorted(texts(api.pulled(len(expected)))) == sorted(expected)
    assert api.pull() == []


@pytest.mark.parametrize(
    "expression",
    [
        "attributes",
        "attributes.domain",
        "attributes.domain =",
        "attributes.domain = com",
        'domain = "com"',
        'data = "x"',
        "attributes:a AND attributes:b OR attributes:c",
        "attributes:a attributes:b",
        "(attributes:a",
        "NOT",
        'hasPrefix(attributes:a, "b")',
        'attributes.a > "b"',
        'attributes.a = "open',
    ],
)
@pytest.mark.differs("ends the call with UNKNOWN")
def test_what_is_no_filter_is_refused(api: Api, expression: str) -> None:
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe(filter=expression)


@pytest.mark.differs("takes longer filters")
def test_a_filter_has_256_bytes_at_most(api: Api) -> None:
    start = 'attributes.a = "'
    api.subscribe(filter=f'{start}{"x" * (255 - len(start))}"')
    with pytest.raises(exceptions.InvalidArgument):
        api.subscribe("longer", filter=f'{start}{"x" * (256 - len(start))}"')


def test_an_empty_filter_lets_all_through(api: Api) -> None:
    api.subscribe(filter="")
    for text, attributes in MESSAGES.items():
        api.publish(text, **attributes)
    assert sorted(texts(api.pulled(4))) == sorted(MESSAGES)


@pytest.mark.differs("filters nothing")
def test_messages_filtered_out_do_not_come_after_a_seek(api: Api) -> None:
    api.subscribe(filter="attributes:wanted", retain_acked_messages=True)
    start = api.started()
    api.publish("no")
    api.publish("yes", wanted="")
    api.ack(*api.pulled(1))
    api.seek(start)
    assert texts(api.pulled(1)) == ["yes"]
    assert api.pull() == []
