"""The filter language of subscriptions."""

import pytest

from emulators.pubsub.filters import InvalidFilter, compile_filter

COM = {"domain": "com"}
NET = {"domain": "net", "iana.org/language_tag": "en"}


@pytest.mark.parametrize(
    ("expression", "attributes", "matches"),
    [
        ("", {}, True),
        ("attributes:domain", COM, True),
        ("attributes:domain", {}, False),
        ("attributes : domain", COM, True),
        ("NOT attributes:domain", {}, True),
        ("-attributes:domain", COM, False),
        ("NOT NOT attributes:domain", COM, True),
        ('attributes.domain = "com"', COM, True),
        ('attributes.domain="com"', NET, False),
        ('attributes.domain = "COM"', COM, False),
        ('attributes.domain != "com"', NET, True),
        ('attributes.domain != "com"', COM, False),
        ('attributes.domain != "com"', {}, True),
        ('attributes.ce-type = "contract.created"', {"ce-type": "contract.created"}, True),
        ('attributes:"iana.org/language_tag"', NET, True),
        ('attributes."iana.org/language_tag" = "en"', NET, True),
        ('hasPrefix(attributes.domain, "co")', COM, True),
        ('hasPrefix(attributes.domain, "co")', NET, False),
        ('NOT hasPrefix(attributes.domain, "co")', {}, True),
        ('attributes.domain = "com" AND attributes:x', COM, False),
        ('attributes.domain = "com" OR attributes:x', COM, True),
        ('attributes:x OR attributes:y OR attributes.domain = "net"', NET, True),
        ('attributes:domain AND (attributes.domain = "net" OR attributes:x)', NET, True),
        ('attributes:domain AND (attributes.domain = "net" OR attributes:x)', COM, False),
        ("NOT (attributes:x OR attributes:y)", {}, True),
        ('attributes:domain AND NOT attributes.domain = "com"', COM, False),
        (r'attributes.quote = "a \"b\" \\ \x41 \u00e9 \101"', {"quote": 'a "b" \\ A é A'}, True),
        ('attributes:"みんな"', {"みんな": "x"}, True),
    ],
)
def test_filter_matches_as_documented(
    expression: str, attributes: dict[str, str], matches: bool
) -> None:
    assert compile_filter(expression)(attributes) is matches


@pytest.mark.parametrize(
    "expression",
    [
        "attributes",
        "attributes.domain",
        "attributes.domain =",
        "attributes.domain = com",
        "attributes.domain == 'com'",
        'domain = "com"',
        'attributes.a.b = "c"',
        "attributes:a AND attributes:b OR attributes:c",
        "attributes:a and attributes:b",
        "attributes:a attributes:b",
        "(attributes:a",
        "attributes:a)",
        "NOT",
        'hasPrefix(attributes:a, "b")',
        'hasprefix(attributes.a, "b")',
        'attributes.a > "b"',
        r'attributes.a = "\q"',
        'attributes.a = "open',
        'attributes.a = "' + "x" * 256 + '"',
    ],
)
def test_filter_outside_the_grammar_is_refused(expression: str) -> None:
    with pytest.raises(InvalidFilter):
        compile_filter(expression)
