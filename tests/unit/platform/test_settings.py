"""Settings name what is wrong and never its value; production refuses emulators."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from emulators.parts import ENGINES
from shared.platform.settings import (
    EMULATOR_VARIABLES,
    Misconfigured,
    Settings,
    load,
    refuse_emulators_in_production,
)
from shared.runtime.agent import Agent
from shared.runtime.api import Api
from shared.runtime.webhooks import Webhooks


class Probe(Settings):
    probe_number: int
    probe_text: str = "default"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*EMULATOR_VARIABLES, "K_SERVICE", "PROBE_NUMBER", "PROBE_TEXT"):
        monkeypatch.delenv(name, raising=False)
    load.cache_clear()
    yield
    load.cache_clear()


def test_fields_are_read_from_variables_of_their_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_NUMBER", "7")
    assert load(Probe) == Probe(probe_number=7, probe_text="default")


def test_an_empty_variable_counts_as_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_NUMBER", "")
    with pytest.raises(Misconfigured, match="PROBE_NUMBER"):
        load(Probe)


def test_a_malformed_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROBE_NUMBER", "s3cret")
    with pytest.raises(Misconfigured) as caught:
        load(Probe)
    assert str(caught.value) == "missing or malformed: PROBE_NUMBER"
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("variable", EMULATOR_VARIABLES)
def test_production_refuses_every_emulator(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "contract-agent")
    monkeypatch.setenv(variable, "127.0.0.1:1")
    with pytest.raises(Misconfigured, match=variable):
        refuse_emulators_in_production()


@pytest.mark.parametrize("variable", EMULATOR_VARIABLES)
def test_a_laptop_may_use_emulators(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "127.0.0.1:1")
    refuse_emulators_in_production()


def test_production_without_emulators_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K_SERVICE", "contract-agent")
    refuse_emulators_in_production()


@pytest.mark.parametrize("edge", [Agent, lambda name: Api(name, "title"), Webhooks])
def test_no_kind_of_function_starts_in_production_with_an_emulator(
    edge: type[Agent], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("K_SERVICE", "x")
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
    with pytest.raises(Misconfigured):
        edge("x")


def test_every_emulator_of_the_local_cloud_is_known_to_the_guard() -> None:
    hosts = {spec.variable for spec in ENGINES.values() if spec.variable.endswith("EMULATOR_HOST")}
    assert hosts <= set(EMULATOR_VARIABLES)


def test_a_function_process_ends_with_a_clear_reason() -> None:
    command = [sys.executable, "-c", "import functions.outbox_relay.main"]
    env = {"K_SERVICE": "outbox-relay", "PUBSUB_EMULATOR_HOST": "secret:1", "PATH": os.defpath}
    done = subprocess.run(command, env=env, check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.endswith("emulator variables are set in production: PUBSUB_EMULATOR_HOST")
    assert "secret" not in done.stderr
