"""A trace goes on where its caller was, and is recorded as the sampler says."""

from collections.abc import Iterator

import pytest

from shared.platform import settings
from shared.platform.telemetry import export, logs, traces
from shared.platform.telemetry.traces import Kind

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Variables that are read anew, and forgotten again."""
    known = (settings.load, export._settings, export._exporter, export._sampler)
    for one in known:
        one.cache_clear()
    yield monkeypatch
    for one in known:
        one.cache_clear()


@pytest.mark.parametrize("flags", ["00", "01", "03"])
def test_a_request_goes_on_its_callers_trace(flags: str) -> None:
    with traces.request("f", Kind.SERVER, f"00-{TRACE}-{SPAN}-{flags}") as span:
        said = traces.traceparent() or ""
    assert (f"{span.trace_id:032x}", f"{span.parent_id:016x}") == (TRACE, SPAN)
    assert said == f"00-{TRACE}-{span.span_id:016x}-0{int(flags, 16) & 1}"


@pytest.mark.parametrize(
    "malformed",
    [
        None,
        "",
        "Ada Example",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01-more",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
    ],
)
def test_what_is_no_traceparent_begins_a_trace(malformed: str | None) -> None:
    with traces.request("f", Kind.SERVER, malformed) as span:
        pass
    assert span.trace_id != int(TRACE, 16)
    assert span.parent_id == 0


def test_a_later_version_may_say_more() -> None:
    assert traces.read(f"01-{TRACE}-{SPAN}-01-what-is-to-come") is not None


@pytest.mark.parametrize(
    ("sampler", "argument", "alone", "under_sampled", "under_unsampled"),
    [
        ("parentbased_always_on", "1", True, True, False),
        ("parentbased_always_off", "1", False, True, False),
        ("parentbased_traceidratio", "0", False, True, False),
        ("always_on", "1", True, True, True),
        ("always_off", "1", False, False, False),
        ("traceidratio", "1", True, True, True),
        ("traceidratio", "0", False, False, False),
        ("nobody_knows_it", "0", True, True, False),
    ],
)
def test_a_sampler_decides(
    environment: pytest.MonkeyPatch,
    sampler: str,
    argument: str,
    alone: bool,
    under_sampled: bool,
    under_unsampled: bool,
) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setenv("OTEL_TRACES_SAMPLER", sampler)
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    found = [export.sampled(int(TRACE, 16), parent) for parent in (None, True, False)]
    assert found == [alone, under_sampled, under_unsampled]


def test_a_share_of_traces_is_about_that_share(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    environment.setenv("OTEL_TRACES_SAMPLER_ARG", "0.25")
    assert sum(export.sampled(n << 54, None) for n in range(1024)) == 256


@pytest.mark.parametrize("variable", ["OTEL_SDK_DISABLED", ""])
def test_without_an_endpoint_or_when_disabled_nothing_is_recorded(
    environment: pytest.MonkeyPatch, variable: str
) -> None:
    if variable:
        environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
        environment.setenv(variable, "true")
    with traces.request("f", Kind.SERVER, f"00-{TRACE}-{SPAN}-01") as span:
        assert not traces.child("step").recorded
    assert span.sampled, "whoever comes after may record it"
    assert not span.recorded


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_BSP_SCHEDULE_DELAY", "soon"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_SDK_DISABLED", "perhaps"),
    ],
)
def test_a_variable_that_makes_no_sense_turns_telemetry_off_and_fails_no_request(
    environment: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    variable: str,
    value: str,
) -> None:
    environment.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    environment.setenv(variable, value)
    logs._logger.cache_clear()
    with traces.request("f", Kind.SERVER, None) as span:
        assert not span.recorded
    assert f"missing or malformed: {variable}" in capsys.readouterr().err
    logs._logger.cache_clear()


def test_nothing_of_opentelemetry_is_loaded_while_nothing_is_exported() -> None:
    import subprocess
    import sys

    script = (
        "import sys, shared.runtime.tracing; "
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'requests'))])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout.strip() == "[]"
