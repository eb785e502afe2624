"""A log entry is one line of JSON in Cloud Logging's names, and shows plain values only."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from shared.kernel.phi import Phi
from shared.platform.telemetry import log, logs


@pytest.fixture
def entry(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[], dict[str, Any]]]:
    """The one entry that was logged."""

    def read() -> dict[str, Any]:
        (line,) = capsys.readouterr().err.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found

    logs._logger.cache_clear()
    yield read
    logs._logger.cache_clear()


@pytest.mark.parametrize(
    ("method", "severity"), [("info", "INFO"), ("warning", "WARNING"), ("error", "ERROR")]
)
def test_an_entry_has_severity_message_and_time(
    entry: Callable[[], dict[str, Any]], method: str, severity: str
) -> None:
    getattr(log, method)("it_happened", count=7)
    found = entry()
    assert (found["severity"], found["message"], found["count"]) == (severity, "it_happened", 7)
    assert found["time"].endswith("Z")


@pytest.mark.parametrize(
    "value", [Phi("Ada"), ValueError("Ada"), {"name": "Ada"}, ["Ada"], ("Ada",), b"Ada"], ids=repr
)
def test_whatever_is_no_plain_value_is_shown_by_its_type(
    entry: Callable[[], dict[str, Any]], value: Any
) -> None:
    log.info("it_happened", value=value)
    assert entry()["value"] == type(value).__name__


def test_a_long_text_of_many_lines_stays_one_short_line(
    entry: Callable[[], dict[str, Any]],
) -> None:
    log.info("it_happened", value="line\n" * 1000)
    found = entry()["value"]
    assert len(found) == 300
    assert "\n" not in found
