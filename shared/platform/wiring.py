"""The generated wiring, for the few who must know another function's address at run time."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from shared.platform.settings import Settings, load


class WiringSettings(Settings):
    """FUNCTIONS_URL is the address of a function, with `{function}` in it.

    In the cloud `https://{function}-<project number>.<region>.run.app` (a service's name has
    hyphens for underscores), on a laptop `http://127.0.0.1:8080/{function}`.
    """

    functions_url: str
    wiring_file: Path = Path("terraform/generated/wiring.auto.tfvars.json")


@cache
def _wiring() -> Any:
    return json.loads(load(WiringSettings).wiring_file.read_text())


def timer_function(kind: str) -> str:
    """The function that handles timers of this kind. Raises `KeyError` for an unknown kind."""
    function: str = _wiring()["timers"][kind]
    return function


def function_url(function: str) -> str:
    """The base address of a function: also the audience of the tokens it accepts."""
    template = load(WiringSettings).functions_url
    name = function if template.startswith("http://") else function.replace("_", "-")
    url: str = template.format(function=name)
    return url
