"""Every benchmark is run by name, and by `make bench` without one."""

import importlib

import pytest

from bench.__main__ import NAMES, main


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_can_be_loaded_by_its_name(name: str) -> None:
    assert callable(importlib.import_module(f"bench.{name}").run)


def test_what_only_serves_benchmarks_is_none() -> None:
    assert {"push_handling", "layers", "cold_start"} <= set(NAMES)
    assert not {"kit", "apart", "driver", "publish", "__main__"} & set(NAMES)


def test_an_unknown_name_is_told_with_the_names_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["push_handlings"])
    told = capsys.readouterr().err
    assert "no benchmark is called push_handlings" in told
    assert all(name in told for name in NAMES)
