"""Every benchmark is run by name, and by `make bench` without one."""

import pytest

from bench.__main__ import NAMES, main
from tests.architecture.sources import ROOT, functions, tree


def test_every_module_with_a_run_is_named() -> None:
    runners = {
        path.stem
        for path in (ROOT / "bench").glob("*.py")
        for function in functions(tree(path.relative_to(ROOT)))
        if function.name == "run" and not function.args.args
    }
    assert runners == set(NAMES)


def test_an_unknown_name_is_told_with_the_names_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["push_handlings"])
    told = capsys.readouterr().err
    assert "no benchmark is called push_handlings" in told
    assert all(name in told for name in NAMES)
